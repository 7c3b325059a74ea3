//! Instantiation, as the specification orders it (`exec-instantiation`).
//!
//! # Safety
//! Fills the context block of an instance that no code runs in yet.

#![allow(unsafe_code)]

use crate::compiled::CompiledModule;
use crate::const_eval::eval;
use crate::context::*;
use crate::entities::*;
use crate::error::{Error, ErrorKind, ImportError};
use crate::exception::TagIdentity;
use crate::instance::Instance;
use crate::invoke::invoke;
use crate::libcalls;
use crate::resources::Resources;
use crate::store::StoreInner;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmoor_abi::entity::EntityRef;
use wasmoor_abi::*;
use wasmoor_module::{DataMode, ElementMode, EntityIndex, Import, Module};

impl StoreInner {
    /// Makes an instance: checks imports, allocates, copies segments, runs the start function.
    ///
    /// `imports` correspond to the module's imports one by one.
    ///
    /// # Errors
    /// Imports of other types, limits, or a trap of a segment or the start function. What a
    /// segment or the start function changed before a trap stays changed, as the specification
    /// says.
    ///
    /// # Safety
    /// `store` is bound, all imports belong to it, and no Rust reference to it is used across the
    /// call.
    pub unsafe fn instantiate(
        store: *mut StoreInner,
        module: &Arc<CompiledModule>,
        imports: &[External],
    ) -> Result<InstanceId, Error> {
        let id = {
            // SAFETY: the caller's promise; this reference ends before any code runs.
            let store = unsafe { &mut *store };
            let allocated = allocate(store, module, imports);
            if allocated.is_err() {
                // Shared memories among the imports are of no use.
                store.free_released(&[]);
            }
            allocated?
        };
        let unfinished = Unfinished { store, id };
        // SAFETY: the instance was made a moment ago; the reference ends before any code runs.
        copy_segments(unsafe { &mut *store }, module, id)?;
        if let Some(start) = module.module().start {
            // SAFETY: the start function belongs to the store and takes and gives nothing.
            unsafe {
                let func = (&*store).instance(id).func(start);
                invoke(store, func, &mut CallFrame::new())?;
            }
        }
        std::mem::forget(unfinished);
        Ok(id)
    }
}

/// An instance that is let go unless it is finished: after a trap, and when a host function that the
/// start function calls panics. Its functions may be in tables of others by then, so that it lives on.
struct Unfinished {
    store: *mut StoreInner,
    id: InstanceId,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // SAFETY: the promise of `instantiate`'s caller; no code of this instantiation runs any more.
        unsafe { &mut *self.store }.release(self.id);
    }
}

/// Everything before segments.
fn allocate(
    store: &mut StoreInner,
    module: &Arc<CompiledModule>,
    imports: &[External],
) -> Result<InstanceId, Error> {
    if !module.engine().same(store.engine()) {
        return Err(Error::usage("the module was loaded by another engine than the store's"));
    }
    check_imports(store, module, imports)?;
    let resources = match acquire(store, module) {
        // What was let go while it could not be freed makes room.
        Err(_) if makes_room(store, imports) => acquire(store, module),
        resources => resources,
    };
    let Resources { lease, parts, memories, tables } = resources?;
    // From here on nothing fails.
    store.engine().counts().instance_made();
    store.engine().counts().storage_made(memories.len(), tables.len());
    let id = store.instances.next_key();
    let mut instance = Instance::new(id, module.clone(), parts, store);
    instance.lease = lease;
    let module = module.module();
    add_imports(store, module, &mut instance, imports);
    add_memories(store, module, &mut instance, memories);
    add_tables(store, module, &mut instance, tables);
    add_globals(store, module, &mut instance);
    add_tags(store, module, &mut instance);
    fill_tables(store, module, &instance);
    store.instances.insert(instance);
    Ok(id)
}

/// Frees what was let go and is not among these imports; whether that was anything.
fn makes_room(store: &mut StoreInner, imports: &[External]) -> bool {
    let before = store.meter.memory_bytes;
    store.free_released(imports) > 0 || store.meter.memory_bytes < before
}

fn acquire(store: &mut StoreInner, module: &CompiledModule) -> Result<Resources, Error> {
    if store.instances.len() >= store.meter.limits.instances_max as usize {
        let max = store.meter.limits.instances_max;
        return Err(ErrorKind::Limit(format!("the store has {max} instances, its limit")).into());
    }
    Resources::acquire(store, module)
}

fn add_imports(store: &StoreInner, module: &Module, instance: &mut Instance, imports: &[External]) {
    let layout = &module.layout;
    for external in imports {
        match *external {
            External::Func(func) => {
                let index = FuncIndex::new(instance.parts.imported_funcs.len());
                let offset = layout.imported_func(index);
                instance.parts.imported_funcs.push(func);
                // SAFETY: the function belongs to the store; the field is the import's.
                unsafe {
                    let FuncRef { slot, vmctx, .. } = *func.as_ref();
                    instance.field::<ImportedFunc>(offset).write(ImportedFunc { slot, vmctx });
                }
            }
            External::Table(id) => {
                let index = instance.parts.tables.push(id);
                instance.place(layout.table(index), || store.tables[id].definition());
            }
            External::Memory(id) => {
                let index = instance.parts.memories.push(id);
                let place = layout.memory(index, &module.memories[index]);
                instance.place(place, || store.memories[id].definition());
            }
            External::Global(id) => {
                let index = instance.parts.globals.push(id);
                instance.place(layout.global(index), || store.globals[id].cell());
            }
            External::Tag(id) => add_tag(store, instance, id),
        }
    }
}

fn add_memories(
    store: &mut StoreInner,
    module: &Module,
    instance: &mut Instance,
    memories: Vec<MemoryEntity>,
) {
    for mut memory in memories {
        let index = instance.parts.memories.next_key();
        match module.layout.memory(index, &memory.ty) {
            // SAFETY: the place is in the context block, which lives as long as the instance,
            // with which the entity goes.
            vmctx::Place::Inline(offset) => unsafe { memory.place(instance.field(offset)) },
            place => {
                memory.place_owned();
                instance.place(place, || memory.definition());
            }
        }
        memory.instance = Some(instance.id());
        instance.parts.memories.push(store.memories.insert(memory));
    }
}

fn add_tables(
    store: &mut StoreInner,
    module: &Module,
    instance: &mut Instance,
    tables: Vec<TableEntity>,
) {
    for (mut table, defined) in tables.into_iter().zip(0..) {
        let index = instance.parts.tables.next_key();
        match module.layout.table(index) {
            // SAFETY: as for memories.
            vmctx::Place::Inline(offset) => unsafe { table.place(instance.field(offset)) },
            vmctx::Place::Behind(_) => debug_assert!(false, "defined tables are inline"),
        }
        // SAFETY: the instance is boxed, and the entity goes with it.
        unsafe {
            table.fill_from(NonNull::from(&mut *instance), DefinedTableIndex::from_u32(defined));
        }
        table.instance = Some(instance.id());
        instance.parts.tables.push(store.tables.insert(table));
    }
}

fn add_globals(store: &mut StoreInner, module: &Module, instance: &mut Instance) {
    for (index, &ty) in module.globals.iter().skip(instance.parts.globals.len()) {
        let defined = DefinedGlobalIndex::from_u32(index.as_u32() - module.counts.imported_globals);
        let value = eval(store, instance, &module.global_inits[defined]);
        let vmctx::Place::Inline(offset) = module.layout.global(index) else {
            debug_assert!(false, "defined globals are inline");
            continue;
        };
        let ty = instance.compiled().types().global_type(ty);
        let cell = instance.field::<GlobalCell>(offset);
        // SAFETY: the cell is in the context block of the instance, with which the entity goes.
        let global = unsafe {
            cell.write(GlobalCell(value));
            GlobalEntity::in_vmctx(ty, cell, instance.id())
        };
        instance.parts.globals.push(store.globals.insert(global));
    }
}

fn add_tags(store: &mut StoreInner, module: &Module, instance: &mut Instance) {
    for (index, &ty) in module.tags.iter().skip(instance.tags.len()) {
        let origin = Some((instance.id(), index));
        let id = store.add_tag(instance.compiled().types().get(ty).clone(), origin);
        add_tag(store, instance, id);
    }
}

fn add_tag(store: &StoreInner, instance: &mut Instance, id: TagId) {
    let index = instance.tags.push(id);
    let field = instance.field::<*const TagIdentity>(instance.module().layout.tag(index));
    // SAFETY: the field is in the context block, in which no code runs yet.
    unsafe { field.write(store.tag(id).identity()) };
}

/// Gives defined tables their initial element where it is not null.
fn fill_tables(store: &mut StoreInner, module: &Module, instance: &Instance) {
    for (defined, init) in &module.table_inits {
        let bits = eval(store, instance, init) as u64;
        if bits != 0 {
            let index = module.counts.imported_tables + defined.as_u32();
            let table = &mut store.tables[instance.parts.tables[TableIndex::from_u32(index)]];
            let filled = table.fill(0, bits, table.len());
            debug_assert!(filled);
        }
    }
}

/// Copies active element segments, then active data segments, in order, except what the instance
/// began with.
fn copy_segments(
    store: &mut StoreInner,
    compiled: &CompiledModule,
    id: InstanceId,
) -> Result<(), Error> {
    let module = compiled.module();
    for (index, segment) in &module.elements {
        match &segment.mode {
            ElementMode::Passive => {}
            ElementMode::Declared => store.instances[id].parts.dropped_elems[index.index()] = true,
            ElementMode::Active { table, offset } => {
                if !compiled.initial().has_tables() {
                    let dst = eval_index(store, id, offset, module.tables[*table].index64);
                    let len = segment.items.len() as u32;
                    libcalls::table_init_in(store, id, *table, index, dst, 0, len)
                        .map_err(Error::trap)?;
                }
                store.instances[id].parts.dropped_elems[index.index()] = true;
            }
        }
    }
    if let Some(folded) = compiled.initial().folded_data() {
        return copy_folded_data(store, module, id, folded);
    }
    for (index, segment) in &module.data {
        if let DataMode::Active { memory, offset } = &segment.mode {
            let dst = eval_index(store, id, offset, module.memories[*memory].index64);
            let len = module.data_bytes(index).len() as u32;
            libcalls::memory_init_in(store, id, *memory, index, dst, 0, len)
                .map_err(Error::trap)?;
            let parts = &mut store.instances[id].parts;
            parts.dropped_data[index.index()] = true;
            parts.has_dropped_data = true;
        }
    }
    Ok(())
}

/// Copies the active data segments of memories that do not begin with an image of them. They
/// are dropped already, which nobody can have seen.
fn copy_folded_data(
    store: &StoreInner,
    module: &Module,
    id: InstanceId,
    folded: &[Vec<DataIndex>],
) -> Result<(), Error> {
    for (memory, data) in (module.counts.imported_memories..).zip(folded) {
        let memory = MemoryIndex::from_u32(memory);
        if data.is_empty() || store.memory(store.instances[id].parts.memories[memory]).has_image() {
            continue;
        }
        for &index in data {
            if let DataMode::Active { offset, .. } = &module.data[index].mode {
                let dst = eval_index(store, id, offset, module.memories[memory].index64);
                libcalls::write_data(store, id, memory, module.data_bytes(index), dst)
                    .map_err(Error::trap)?;
            }
        }
    }
    Ok(())
}

fn eval_index(
    store: &StoreInner,
    id: InstanceId,
    expr: &wasmoor_module::ConstExpr,
    index64: bool,
) -> u64 {
    let bits = eval(store, &store.instances[id], expr) as u64;
    if index64 { bits } else { u64::from(bits as u32) }
}

/// All imports that do not fit, with their types.
fn check_imports(
    store: &StoreInner,
    compiled: &CompiledModule,
    given: &[External],
) -> Result<(), Error> {
    let module = compiled.module();
    if given.len() != module.imports.len() {
        return Err(Error::usage(format!(
            "the module has {} imports, {} were given",
            module.imports.len(),
            given.len()
        )));
    }
    let errors: Vec<ImportError> = module
        .imports
        .iter()
        .zip(given)
        .filter(|(import, external)| !fits(store, compiled, import.entity, **external))
        .map(|(import, external)| ImportError {
            module: import.module.clone(),
            name: import.name.clone(),
            expected: describe_entity(module, import.entity),
            found: Some(describe_external(store, *external)),
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(ErrorKind::Imports(errors).into()) }
}

/// The error for imports that nobody provides.
#[must_use]
pub fn unknown_imports<'a>(
    module: &Module,
    missing: impl IntoIterator<Item = &'a Import>,
) -> Error {
    let errors = missing.into_iter().map(|import| ImportError {
        module: import.module.clone(),
        name: import.name.clone(),
        expected: describe_entity(module, import.entity),
        found: None,
    });
    ErrorKind::Imports(errors.collect()).into()
}

fn fits(
    store: &StoreInner,
    compiled: &CompiledModule,
    wanted: EntityIndex,
    given: External,
) -> bool {
    let (module, types) = (compiled.module(), compiled.types());
    let registry = store.engine().types();
    match (wanted, given) {
        (EntityIndex::Func(index), External::Func(func)) => {
            let wanted = types.get(module.functions[index]).heap_type();
            registry.func_matches(store.func_type_id(func), wanted)
        }
        (EntityIndex::Table(index), External::Table(id)) => {
            let (wanted, table) = (types.table_type(module.tables[index]), &store.tables[id]);
            wanted.element == table.ty.element
                && wanted.index64 == table.ty.index64
                && limits_fit(wanted.minimum, wanted.maximum, table.len(), table.ty.maximum)
        }
        (EntityIndex::Memory(index), External::Memory(id)) => {
            let (wanted, memory) = (&module.memories[index], &store.memories[id]);
            wanted.index64 == memory.ty.index64
                && wanted.shared == memory.ty.shared
                && wanted.page_size_log2 == memory.ty.page_size_log2
                && limits_fit(wanted.minimum, wanted.maximum, memory.pages(), memory.ty.maximum)
        }
        (EntityIndex::Global(index), External::Global(id)) => {
            let (wanted, given) = (types.global_type(module.globals[index]), store.globals[id].ty);
            // Who can set it may set any value of its type (`match-globaltype`).
            wanted.mutable == given.mutable
                && registry.matches(given.content, wanted.content)
                && (!wanted.mutable || registry.matches(wanted.content, given.content))
        }
        (EntityIndex::Tag(index), External::Tag(id)) => {
            types.get(module.tags[index]).id() == store.tag(id).type_id()
        }
        _ => false,
    }
}

/// Import matching of limits (`match-limits`): the given size counts, not the given minimum.
fn limits_fit(min: u64, max: Option<u64>, given: u64, given_max: Option<u64>) -> bool {
    given >= min && max.is_none_or(|max| given_max.is_some_and(|given| given <= max))
}

/// An entity's type, for messages.
#[must_use]
pub fn describe_entity(module: &Module, entity: EntityIndex) -> String {
    match entity {
        EntityIndex::Func(index) => format!("function {}", module.func_type(index)),
        EntityIndex::Table(index) => module.tables[index].to_string(),
        EntityIndex::Memory(index) => module.memories[index].to_string(),
        EntityIndex::Global(index) => module.globals[index].to_string(),
        EntityIndex::Tag(index) => format!("tag {}", module.signature(module.tags[index])),
    }
}

fn describe_external(store: &StoreInner, external: External) -> String {
    match external {
        External::Func(func) => format!("function {}", store.func_type(func)),
        External::Table(id) => {
            let table = store.table(id);
            TableType { minimum: table.len(), ..table.ty }.to_string()
        }
        External::Memory(id) => {
            let memory = store.memory(id);
            MemoryType { minimum: memory.pages(), ..memory.ty }.to_string()
        }
        External::Global(id) => store.global(id).ty.to_string(),
        External::Tag(id) => {
            let params = store.tag(id).params().iter().copied();
            format!("tag {}", FuncType::new(params, []))
        }
    }
}
