//! A small runtime: links what the compiler makes for one module and instantiates it.
//!
//! It has what the tests need and no more: imports are functions that do nothing or globals,
//! tables are filled at once except for cells that are left lazy on purpose.
//!
//! # Safety
//! Libcalls get the vmctx of an [`Instance`] that is alive, whose `instance` field points to its
//! [`State`].
#![allow(unsafe_code)]

use crate::machine::{self, CodeRange, Mapping};
use std::collections::HashMap;
use std::sync::Arc;
use wasmoor_abi::call::{CallShape, X86_64};
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::vmctx::{self, Place};
use wasmoor_abi::*;
use wasmoor_codegen::{
    CallMode, CompileJob, CompiledFunction, FunctionCompiler, RelocationKind, RelocationTarget,
};
use wasmoor_module::{
    ConstExpr, ConstOp, DataMode, ElementItems, ElementMode, EntityIndex, Module,
};
use wasmoor_optimizing::OptimizingCompiler;

const RESERVED_BYTES: usize = (4 << 30) + (64 << 20);
/// Memories of 64 bits have guards on both sides of this.
const ROOM_BYTES: usize = CLAMP_ROOM_BYTES_MIN as usize;
const GUARD_BYTES: usize = CLAMP_GUARD_BYTES as usize;
/// Definitions of tables and memories are two or three words.
type Definition = [u64; 3];

/// A function reference as machine code reads it.
#[repr(C)]
struct Funcref {
    slot: u64,
    vmctx: u64,
    ty: u32,
}

/// What libcalls work on.
pub(crate) struct State {
    module: Arc<Module>,
    vmctx: Vec<u128>,
    slots: Vec<u64>,
    nothing_slot: Box<u64>,
    funcrefs: Vec<Funcref>,
    tables: Vec<Vec<u64>>,
    memories: Vec<Mapping>,
    /// Definitions of imported entities: tables, memories, globals.
    #[allow(clippy::vec_box, reason = "machine code holds their addresses")]
    imported: Vec<Box<[u128; 2]>>,
    data_dropped: Vec<bool>,
    elem_dropped: Vec<bool>,
    store: Box<[u64; 8]>,
    libcalls: Vec<u64>,
    type_ids: Vec<u32>,
    poll_page: Vec<u8>,
}

/// An instance with its code.
pub(crate) struct Instance {
    state: Box<State>,
    code: Mapping,
    entries: Vec<u64>,
}

impl Instance {
    /// Compiles all functions and instantiates; `None` if the module needs what is not here.
    pub(crate) fn new(
        compiler: &OptimizingCompiler,
        module: &Arc<Module>,
        tunables: &Tunables,
        calls: CallMode,
    ) -> Option<Result<Self, FaultKind>> {
        let supported = module.imports.iter().all(|import| {
            let entity = import.entity;
            import.module == "spectest"
                && matches!(entity, EntityIndex::Func(_) | EntityIndex::Global(_))
        });
        if !supported {
            return None;
        }
        let functions = compile_all(compiler, module, tunables, calls);
        let mut instance = Instance {
            state: State::new(module),
            code: Mapping::reserve(1 << 26),
            entries: vec![],
        };
        instance.link(&functions);
        Some(instance.initialize().map(|()| instance))
    }

    /// Copies code behind each other and fills in what depends on places.
    fn link(&mut self, functions: &[CompiledFunction]) {
        // The slots must be within 2 GiB of the code: they lie in the same mapping.
        let slots_bytes = (functions.len() * 8).next_multiple_of(4096);
        let mut at = slots_bytes;
        let mut offsets = Vec::new();
        for function in functions {
            at = at.next_multiple_of(function.align as usize);
            offsets.push(at);
            at += function.code.len();
        }
        self.code.protect(at.next_multiple_of(4096), libc::PROT_READ | libc::PROT_WRITE);
        let base = self.code.base() as u64;
        let slot = |index: usize| base + index as u64 * 8;
        for (index, function) in functions.iter().enumerate() {
            let start = base + offsets[index] as u64;
            let mut code = function.code.clone();
            for reloc in &function.relocations {
                let target = match reloc.target {
                    RelocationTarget::Slot(func) => slot(func.as_u32() as usize),
                    RelocationTarget::Func(func) => base + offsets[func.as_u32() as usize] as u64,
                };
                assert_eq!(reloc.kind, RelocationKind::PcRelative32);
                let field = start + u64::from(reloc.offset);
                let value = target.wrapping_add_signed(reloc.addend).wrapping_sub(field) as u32;
                let range = reloc.offset as usize..reloc.offset as usize + 4;
                code[range].copy_from_slice(&value.to_le_bytes());
            }
            // SAFETY: the mapping is ours, writable up to `at`, and not yet executable.
            unsafe {
                (start as *mut u8).copy_from_nonoverlapping(code.as_ptr(), code.len());
                *(slot(index) as *mut u64) = start;
            }
            let end = start + code.len() as u64;
            machine::register_code(CodeRange { start, end, traps: function.traps.clone() });
            self.entries.push(start);
            self.state.slots.push(slot(index));
        }
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        self.code.protect(at.next_multiple_of(4096).max(4096), all);
    }

    fn initialize(&mut self) -> Result<(), FaultKind> {
        let module = Arc::clone(&self.state.module);
        self.state.make_funcrefs();
        self.state.fill_header();
        self.state.make_tables();
        self.state.make_memories();
        self.state.make_globals();
        let trap = |code| Err(FaultKind::Trap(code));
        for (index, segment) in &module.elements {
            if let ElementMode::Active { table, offset } = &segment.mode {
                let at = self.state.evaluate(offset) as u64;
                let len = segment.items.len() as u64;
                if !self.state.table_init(*table, index, at, 0, len) {
                    return trap(TrapCode::TableOutOfBounds);
                }
            }
            if !matches!(segment.mode, ElementMode::Passive) {
                self.state.elem_dropped[index.as_u32() as usize] = true;
            }
        }
        for (index, segment) in &module.data {
            if let DataMode::Active { memory, offset } = &segment.mode {
                let at = self.state.evaluate(offset) as u64;
                let len = module.data_bytes(index).len() as u64;
                if !self.state.memory_init(*memory, index, at, 0, len) {
                    return trap(TrapCode::MemoryOutOfBounds);
                }
                self.state.data_dropped[index.as_u32() as usize] = true;
            }
        }
        match module.start {
            Some(start) => self.call_index(start, &[]).map(drop),
            None => Ok(()),
        }
    }

    /// Calls an exported function. Values are bit patterns.
    pub(crate) fn call(&mut self, name: &str, args: &[u128]) -> Result<Vec<u128>, FaultKind> {
        match self.state.module.export(name) {
            Some(EntityIndex::Func(func)) => self.call_index(func, args),
            other => panic!("the export {name} is {other:?}"),
        }
    }

    fn call_index(&mut self, func: FuncIndex, args: &[u128]) -> Result<Vec<u128>, FaultKind> {
        let Some(defined) = self.state.module.defined_func(func) else { return Ok(vec![]) };
        let shape = CallShape::new(&X86_64, self.state.module.func_type(func));
        let code = self.entries[defined.as_u32() as usize] as *const u8;
        // SAFETY: the code was compiled for this type, and the state is what it expects.
        unsafe { machine::enter(code, self.state.vmctx.as_ptr().cast(), &shape, args) }
    }

    /// Sets the fuel and gives it back.
    pub(crate) fn set_fuel(&mut self, fuel: i64) {
        self.state.store[vmctx::STORE_FUEL as usize / 8] = fuel.cast_unsigned();
    }

    /// Fuel left.
    pub(crate) fn fuel(&self) -> i64 {
        self.state.store[vmctx::STORE_FUEL as usize / 8].cast_signed()
    }

    /// Lets guest code use no stack at all. Code adds its frame's size to the limit, so that it
    /// must not be close to 2^64.
    pub(crate) fn forbid_stack(&mut self) {
        self.state.store[vmctx::STORE_STACK_LIMIT as usize / 8] = u64::MAX / 2;
    }

    /// Makes a cell of a function table lazy again.
    pub(crate) fn make_lazy(&mut self, table: usize, index: usize) {
        self.state.tables[table][index] = vmctx::FUNCREF_CELL_LAZY;
    }
}

/// Compiles every function of a module.
pub(crate) fn compile_all(
    compiler: &OptimizingCompiler,
    module: &Arc<Module>,
    tunables: &Tunables,
    calls: CallMode,
) -> Vec<CompiledFunction> {
    let mut worker = compiler.worker();
    module
        .bodies
        .keys()
        .map(|func| {
            let job = CompileJob { module, func, tunables, calls };
            worker.compile(&job).unwrap_or_else(|error| panic!("function {func:?}: {error}"))
        })
        .collect()
}

impl State {
    fn new(module: &Arc<Module>) -> Box<Self> {
        let size = module.layout.size() as usize / 16;
        let mut store = Box::new([0u64; 8]);
        let here = std::ptr::from_ref(&size) as u64;
        // A megabyte of the thread's stack is for the guest.
        store[vmctx::STORE_STACK_LIMIT as usize / 8] = here - (1 << 20);
        store[vmctx::STORE_FUEL as usize / 8] = i64::MAX.cast_unsigned();
        Box::new(State {
            module: Arc::clone(module),
            vmctx: vec![0; size],
            slots: vec![],
            nothing_slot: Box::new(machine::nothing()),
            funcrefs: vec![],
            tables: vec![],
            memories: vec![],
            imported: vec![],
            data_dropped: vec![false; module.data.len()],
            elem_dropped: vec![false; module.elements.len()],
            store,
            libcalls: libcall_table(),
            type_ids: canonical_ids(module),
            poll_page: vec![0; limits::POLL_SITES_MAX as usize],
        })
    }

    fn write(&mut self, offset: u32, value: u64) {
        let (word, shift) = (offset as usize / 16, offset % 16 * 8);
        let mask = u128::from(u64::MAX) << shift;
        self.vmctx[word] = self.vmctx[word] & !mask | u128::from(value) << shift;
    }

    fn read(&self, offset: u32) -> u64 {
        (self.vmctx[offset as usize / 16] >> (offset % 16 * 8)) as u64
    }

    fn fill_header(&mut self) {
        let instance = std::ptr::from_mut(self) as u64;
        let fields = [
            (vmctx::VMCTX_MAGIC, u64::from(vmctx::VMCTX_MAGIC_VALUE)),
            (vmctx::VMCTX_STORE, self.store.as_ptr() as u64),
            (vmctx::VMCTX_LIBCALLS, self.libcalls.as_ptr() as u64),
            (vmctx::VMCTX_POLL_PAGE, self.poll_page.as_ptr() as u64),
            (vmctx::VMCTX_TYPE_IDS, self.type_ids.as_ptr() as u64),
            (vmctx::VMCTX_INSTANCE, instance),
        ];
        for (offset, value) in fields {
            self.write(offset, value);
        }
        for func in 0..self.module.counts.imported_funcs {
            let at = self.module.layout.imported_func(FuncIndex::from_u32(func));
            let slot = &raw const *self.nothing_slot as u64;
            self.write(at + vmctx::IMPORT_FUNC_SLOT, slot);
        }
    }

    fn make_funcrefs(&mut self) {
        let vmctx = self.vmctx.as_ptr() as u64;
        for (func, &ty) in &self.module.functions {
            let slot = match self.module.defined_func(func) {
                Some(defined) => self.slots[defined.as_u32() as usize],
                None => &raw const *self.nothing_slot as u64,
            };
            self.funcrefs.push(Funcref { slot, vmctx, ty: self.type_ids[ty.as_u32() as usize] });
        }
    }

    fn funcref(&self, func: FuncIndex) -> u64 {
        &raw const self.funcrefs[func.as_u32() as usize] as u64
    }

    fn make_tables(&mut self) {
        let module = Arc::clone(&self.module);
        for (index, ty) in &module.tables {
            let null = if ty.element.is_func() { vmctx::FUNCREF_CELL_NULL } else { 0 };
            let mut cells = vec![null; ty.minimum as usize];
            if let Some(defined) = index.as_u32().checked_sub(module.counts.imported_tables) {
                let init = &module.table_inits[DefinedTableIndex::from_u32(defined)];
                if !init.ops.is_empty() {
                    let value = self.evaluate(init) as u64;
                    cells.fill(cell(ty, value));
                }
            }
            self.tables.push(cells);
            self.update_table(index);
        }
    }

    /// Where the definition of something is, made on first use if it is imported.
    fn place(&mut self, place: Place) -> *mut Definition {
        match place {
            Place::Inline(offset) => {
                // SAFETY: the layout's offsets are within the vmctx.
                unsafe { self.vmctx.as_mut_ptr().byte_add(offset as usize).cast() }
            }
            Place::Behind(offset) => {
                if self.read(offset) == 0 {
                    self.imported.push(Box::new([0; 2]));
                    let made = self.imported.last_mut().expect("just pushed").as_mut_ptr() as u64;
                    self.write(offset, made);
                }
                self.read(offset) as *mut Definition
            }
        }
    }

    fn update_table(&mut self, index: TableIndex) {
        let place = self.place(self.module.layout.table(index));
        let cells = &self.tables[index.as_u32() as usize];
        // SAFETY: `place` gives a definition that lives as long as the state.
        unsafe { *place.cast() = [cells.as_ptr() as u64, cells.len() as u64] };
    }

    fn make_memories(&mut self) {
        let module = Arc::clone(&self.module);
        for (index, ty) in &module.memories {
            let mapping = match ty.index64 {
                true => Mapping::reserve_behind(GUARD_BYTES, ROOM_BYTES + 2 * GUARD_BYTES + 4096),
                false => Mapping::reserve(RESERVED_BYTES),
            };
            self.memories.push(mapping);
            self.resize(index, ty.minimum * ty.page_bytes());
        }
    }

    fn definition(&mut self, index: MemoryIndex) -> *mut Definition {
        let ty = self.module.memories[index];
        self.place(self.module.layout.memory(index, &ty))
    }

    fn length(&mut self, index: MemoryIndex) -> u64 {
        // SAFETY: as above.
        unsafe { (*self.definition(index))[1] }
    }

    fn resize(&mut self, index: MemoryIndex, bytes: u64) {
        let mapping = &self.memories[index.as_u32() as usize];
        let accessible = (bytes as usize).next_multiple_of(4096);
        mapping.protect(accessible, libc::PROT_READ | libc::PROT_WRITE);
        let base = mapping.base() as u64;
        // SAFETY: as above.
        unsafe { *self.definition(index) = [base, bytes, (ROOM_BYTES + GUARD_BYTES) as u64] };
    }

    fn make_globals(&mut self) {
        let module = Arc::clone(&self.module);
        for (index, ty) in &module.globals {
            let defined = index.as_u32().checked_sub(module.counts.imported_globals);
            let value = match defined {
                Some(defined) => {
                    let init = &module.global_inits[DefinedGlobalIndex::from_u32(defined)];
                    self.evaluate(init)
                }
                // The suite's host module has these values.
                None => match ty.content {
                    ValType::F32 => u128::from(666.6f32.to_bits()),
                    ValType::F64 => u128::from(666.6f64.to_bits()),
                    _ => 666,
                },
            };
            let place = self.place(module.layout.global(index)).cast::<u128>();
            // SAFETY: cells are 16 bytes.
            unsafe { place.write_unaligned(value) };
        }
    }

    fn evaluate(&mut self, expr: &ConstExpr) -> u128 {
        let mut stack: Vec<u128> = vec![];
        for op in &expr.ops {
            let value = match *op {
                ConstOp::I32Const(value) => u128::from(value.cast_unsigned()),
                ConstOp::I64Const(value) => u128::from(value.cast_unsigned()),
                ConstOp::F32Const(bits) => u128::from(bits),
                ConstOp::F64Const(bits) => u128::from(bits),
                ConstOp::V128Const(bits) => bits,
                ConstOp::RefNull(_) => 0,
                ConstOp::RefFunc(func) => u128::from(self.funcref(func)),
                ConstOp::GlobalGet(global) => {
                    let place = self.place(self.module.layout.global(global)).cast::<u128>();
                    // SAFETY: cells are 16 bytes.
                    unsafe { place.read_unaligned() }
                }
                binary => {
                    let (b, a) = (stack.pop().expect("valid"), stack.pop().expect("valid"));
                    arithmetic(binary, a as u64, b as u64)
                }
            };
            stack.push(value);
        }
        stack.pop().expect("a constant expression has a value")
    }

    fn memory_init(
        &mut self,
        memory: MemoryIndex,
        data: DataIndex,
        dst: u64,
        src: u64,
        len: u64,
    ) -> bool {
        let module = Arc::clone(&self.module);
        let dropped = self.data_dropped[data.as_u32() as usize];
        let bytes = if dropped { &[] } else { module.data_bytes(data) };
        if !within(src, len, bytes.len() as u64) || !within(dst, len, self.length(memory)) {
            return false;
        }
        let base = self.memories[memory.as_u32() as usize].base();
        // SAFETY: both ranges were just checked.
        unsafe {
            base.add(dst as usize)
                .copy_from_nonoverlapping(bytes.as_ptr().add(src as usize), len as usize);
        }
        true
    }

    fn table_init(
        &mut self,
        table: TableIndex,
        elem: ElemIndex,
        dst: u64,
        src: u64,
        len: u64,
    ) -> bool {
        let module = Arc::clone(&self.module);
        let dropped = self.elem_dropped[elem.as_u32() as usize];
        let ty = module.tables[table];
        let items: Vec<u64> = match &module.elements[elem].items {
            _ if dropped => vec![],
            ElementItems::Funcs(funcs) => funcs.iter().map(|&func| self.funcref(func)).collect(),
            ElementItems::Exprs(exprs) => {
                exprs.iter().map(|expr| self.evaluate(expr) as u64).collect()
            }
        };
        let cells = &mut self.tables[table.as_u32() as usize];
        if !within(src, len, items.len() as u64) || !within(dst, len, cells.len() as u64) {
            return false;
        }
        for i in 0..len as usize {
            cells[dst as usize + i] = cell(&ty, items[src as usize + i]);
        }
        true
    }
}

fn within(start: u64, len: u64, limit: u64) -> bool {
    start.checked_add(len).is_some_and(|end| end <= limit)
}

/// A reference as a table of this type holds it.
fn cell(ty: &TableType, value: u64) -> u64 {
    if ty.element.is_func() && value == 0 { vmctx::FUNCREF_CELL_NULL } else { value }
}

fn arithmetic(op: ConstOp, a: u64, b: u64) -> u128 {
    match op {
        ConstOp::I32Add => u128::from((a as u32).wrapping_add(b as u32)),
        ConstOp::I32Sub => u128::from((a as u32).wrapping_sub(b as u32)),
        ConstOp::I32Mul => u128::from((a as u32).wrapping_mul(b as u32)),
        ConstOp::I64Add => u128::from(a.wrapping_add(b)),
        ConstOp::I64Sub => u128::from(a.wrapping_sub(b)),
        ConstOp::I64Mul => u128::from(a.wrapping_mul(b)),
        other => panic!("{other:?} is no arithmetic"),
    }
}

/// Equal types have equal numbers, beginning at 1000 to tell them from type indices.
fn canonical_ids(module: &Module) -> Vec<u32> {
    let mut known: HashMap<&SubType, u32> = HashMap::new();
    let next = |known: &HashMap<&SubType, u32>| 1000 + known.len() as u32;
    module
        .types
        .values()
        .map(|ty| {
            let fresh = next(&known);
            *known.entry(ty).or_insert(fresh)
        })
        .collect()
}

/// The state behind a vmctx.
///
/// # Safety
/// The pointer is the vmctx of a living instance whose state nobody else uses now.
unsafe fn state<'a>(vmctx: *mut u8) -> &'a mut State {
    // SAFETY: by the caller's promise the field holds the state's address.
    unsafe { &mut **vmctx.add(vmctx::VMCTX_INSTANCE as usize).cast::<*mut State>() }
}

macro_rules! libcalls {
    ($($name:ident($state:ident $(, $arg:ident: $ty:ty)*) $(-> $ret:ty)? $body:block)*) => {
        mod entries {
            use super::*;
            $( pub(super) extern "C" fn $name(vmctx: *mut u8 $(, $arg: $ty)*) $(-> $ret)? {
                // SAFETY: machine code passes its own vmctx.
                let $state = unsafe { state(vmctx) };
                let _ = &$state;
                $body
            } )*
        }

        fn libcall_table() -> Vec<u64> {
            Libcall::ALL
                .iter()
                .map(|libcall| match libcall.name() {
                    $( stringify!($name) => entries::$name as *const () as u64, )*
                    other => panic!("the tests lack the libcall {other}"),
                })
                .collect()
        }
    };
}

fn require(condition: bool, code: TrapCode) {
    if !condition {
        machine::raise(code);
    }
}

libcalls! {
    raise(_state, code: u32) {
        machine::raise(TrapCode::from_number(code as u8).expect("a trap's number"))
    }
    memory_grow(state, memory: u32, delta: u64) -> u64 {
        let index = MemoryIndex::from_u32(memory);
        let ty = state.module.memories[index];
        let before = state.length(index) / ty.page_bytes();
        let max = ty.maximum.unwrap_or(u64::MAX).min(1 << (32 - ty.page_size_log2));
        match before.checked_add(delta) {
            Some(after) if after <= max => {
                state.resize(index, after * ty.page_bytes());
                before
            }
            _ => u64::MAX,
        }
    }
    memory_fill(state, memory: u32, dst: u64, value: u32, len: u64) {
        let length = state.length(MemoryIndex::from_u32(memory));
        require(within(dst, len, length), TrapCode::MemoryOutOfBounds);
        let base = state.memories[memory as usize].base();
        // SAFETY: the range was just checked.
        unsafe { base.add(dst as usize).write_bytes(value as u8, len as usize) };
    }
    memory_copy(state, dst_memory: u32, src_memory: u32, dst: u64, src: u64, len: u64) {
        let dst_length = state.length(MemoryIndex::from_u32(dst_memory));
        let src_length = state.length(MemoryIndex::from_u32(src_memory));
        require(
            within(dst, len, dst_length) && within(src, len, src_length),
            TrapCode::MemoryOutOfBounds,
        );
        let to = state.memories[dst_memory as usize].base();
        let from = state.memories[src_memory as usize].base();
        // SAFETY: both ranges were just checked; they may overlap.
        unsafe { to.add(dst as usize).copy_from(from.add(src as usize), len as usize) };
    }
    memory_init(state, memory: u32, data: u32, dst: u64, src: u32, len: u32) {
        let (memory, data) = (MemoryIndex::from_u32(memory), DataIndex::from_u32(data));
        let done = state.memory_init(memory, data, dst, src.into(), len.into());
        require(done, TrapCode::MemoryOutOfBounds);
    }
    data_drop(state, data: u32) {
        state.data_dropped[data as usize] = true;
    }
    table_grow(state, table: u32, init: u64, delta: u64) -> u64 {
        let index = TableIndex::from_u32(table);
        let ty = state.module.tables[index];
        let cells = &mut state.tables[table as usize];
        let before = cells.len() as u64;
        let max = ty.maximum.unwrap_or(u64::MAX).min(limits::TABLE_ELEMENTS_MAX);
        match before.checked_add(delta) {
            Some(after) if after <= max => {
                cells.resize(after as usize, cell(&ty, init));
                state.update_table(index);
                before
            }
            _ => u64::MAX,
        }
    }
    table_fill(state, table: u32, dst: u64, value: u64, len: u64) {
        let ty = state.module.tables[TableIndex::from_u32(table)];
        let cells = &mut state.tables[table as usize];
        require(within(dst, len, cells.len() as u64), TrapCode::TableOutOfBounds);
        cells[dst as usize..(dst + len) as usize].fill(cell(&ty, value));
    }
    table_copy(state, dst_table: u32, src_table: u32, dst: u64, src: u64, len: u64) {
        let dst_len = state.tables[dst_table as usize].len() as u64;
        let src_len = state.tables[src_table as usize].len() as u64;
        require(
            within(dst, len, dst_len) && within(src, len, src_len),
            TrapCode::TableOutOfBounds,
        );
        let cells = state.tables[src_table as usize][src as usize..(src + len) as usize].to_vec();
        state.tables[dst_table as usize][dst as usize..(dst + len) as usize]
            .copy_from_slice(&cells);
    }
    table_init(state, table: u32, elem: u32, dst: u64, src: u32, len: u32) {
        let (table, elem) = (TableIndex::from_u32(table), ElemIndex::from_u32(elem));
        let done = state.table_init(table, elem, dst, src.into(), len.into());
        require(done, TrapCode::TableOutOfBounds);
    }
    elem_drop(state, elem: u32) {
        state.elem_dropped[elem as usize] = true;
    }
    ref_func(state, func: u32) -> u64 {
        state.funcref(FuncIndex::from_u32(func))
    }
    table_get_lazy(state, table: u32, index: u64) -> u64 {
        // Cells are made lazy by tests: the function of the same number belongs there.
        let func = state.module.func_index(DefinedFuncIndex::from_u32(index as u32));
        let value = if (index as usize) < state.slots.len() { state.funcref(func) } else { 0 };
        let ty = state.module.tables[TableIndex::from_u32(table)];
        state.tables[table as usize][index as usize] = cell(&ty, value);
        value
    }
    throw(_state, _tag: u32, _values: u64) {
        panic!("exceptions need a runtime that unwinds");
    }
    throw_ref(_state, _exception: u64) {
        panic!("exceptions need a runtime that unwinds");
    }
    copy_bytes(_state, dst: u64, src: u64, len: u64) {
        // SAFETY: machine code has checked both ranges.
        unsafe { std::ptr::copy(src as *const u8, dst as *mut u8, len as usize) };
    }
    fill_bytes(_state, dst: u64, value: u32, len: u64) {
        // SAFETY: machine code has checked the range.
        unsafe { std::ptr::write_bytes(dst as *mut u8, value as u8, len as usize) };
    }
    memory_notify(_state, _memory: u32, _address: u64, _count: u32) -> u64 {
        // These memories belong to one thread.
        0
    }
    memory_wait32(_state, _memory: u32, _address: u64, _expected: u32, _timeout: u64) -> u64 {
        machine::raise(TrapCode::ExpectedSharedMemory)
    }
    memory_wait64(_state, _memory: u32, _address: u64, _expected: u64, _timeout: u64) -> u64 {
        machine::raise(TrapCode::ExpectedSharedMemory)
    }
}
