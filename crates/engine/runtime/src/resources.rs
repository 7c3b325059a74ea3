//! Memories and tables of an instance: where they come from when it is made, and where they go
//! when it is freed.

use crate::compiled::CompiledModule;
use crate::entities::*;
use crate::error::{Error, ErrorKind};
use crate::instance::{Instance, InstanceParts};
use crate::pool::{Lease, Pool};
use crate::store::StoreInner;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use wasmoor_abi::MemoryType;
use wasmoor_abi::entity::{EntityRef, PrimaryMap};
use wasmoor_memory::{Creators, LinearMemory, MemoryError, MemoryImage, MemoryPlan, TableStorage};

/// What an instance is made of. Dropped, everything goes back to where it came from.
pub(crate) struct Resources {
    pub(crate) lease: Option<Lease>,
    pub(crate) parts: Option<InstanceParts>,
    /// Of the memories and tables that the module defines.
    pub(crate) memories: Vec<MemoryEntity>,
    pub(crate) tables: Vec<TableEntity>,
}

impl Resources {
    /// Takes a slot of the pool, if there is a pool, and makes what is not in it. On errors, and when
    /// an embedder's creator panics, nothing is taken, and nothing is charged.
    pub(crate) fn acquire(store: &mut StoreInner, module: &CompiledModule) -> Result<Self, Error> {
        let before = store.meter.clone();
        // What was made so far belongs to what unwinds; only the meter is behind.
        let resources = catch_unwind(AssertUnwindSafe(|| Self::try_acquire(store, module)));
        if !matches!(resources, Ok(Ok(_))) {
            store.meter = before;
        }
        resources.unwrap_or_else(|panic| resume_unwind(panic))
    }

    fn try_acquire(store: &mut StoreInner, module: &CompiledModule) -> Result<Self, Error> {
        charge(store, module)?;
        // A forked child makes its own: its parent's locks may be held for ever.
        let pool = module.engine().pool();
        let pool = pool.filter(|pool| is_worth_a_slot(module) && !pool.is_parents());
        let mut lease = pool.and_then(|pool| pool.take(module.affinity()));
        if let Some(pool) = pool
            && lease.is_none()
            && pool.config().is_strict
        {
            return Err(ErrorKind::PoolExhausted { slots_max: pool.config().slots_max }.into());
        }
        let parts = lease.as_mut().and_then(Lease::take_parts);
        let source = Source { store, module, pool };
        let memories = source.memories(lease.as_mut())?;
        let tables = source.tables(lease.as_mut())?;
        Ok(Resources { lease, parts, memories, tables })
    }
}

/// With fewer functions, an instance's own parts are made faster than found.
const FUNCTIONS_WORTH_A_SLOT: usize = 256;

/// Whether instances of a module are made of anything that is worth keeping.
fn is_worth_a_slot(module: &CompiledModule) -> bool {
    let module = module.module();
    let counts = &module.counts;
    counts.defined_memories + counts.defined_tables > 0
        || module.functions.len() >= FUNCTIONS_WORTH_A_SLOT
}

/// Charges everything that the module defines.
fn charge(store: &mut StoreInner, module: &CompiledModule) -> Result<(), Error> {
    let module = module.module();
    for ty in defined(&module.memories, module.counts.imported_memories) {
        MemoryEntity::charge(ty, &mut store.meter)?;
    }
    for ty in defined(&module.tables, module.counts.imported_tables) {
        TableEntity::charge(ty, &mut store.meter)?;
    }
    Ok(())
}

/// What a module defines, after its imports.
pub(crate) fn defined<K: EntityRef, T>(
    all: &PrimaryMap<K, T>,
    imported: u32,
) -> impl Iterator<Item = &T> {
    all.values().skip(imported as usize)
}

struct Source<'a> {
    store: &'a StoreInner,
    module: &'a CompiledModule,
    pool: Option<&'a Arc<Pool>>,
}

impl Source<'_> {
    fn memories(&self, mut lease: Option<&mut Lease>) -> Result<Vec<MemoryEntity>, Error> {
        let module = self.module.module();
        // Images are mapped into memories of the engine's own.
        let images = match self.creators().memory {
            Some(_) => &[],
            None => self.module.initial().images(module, self.pool.is_some()),
        };
        let all = defined(&module.memories, module.counts.imported_memories);
        let mut memories = Vec::with_capacity(all.size_hint().0);
        for (at, ty) in all.enumerate() {
            let image = images.get(at).and_then(Option::as_ref);
            let plan = self.store.memory_plan(ty);
            if ty.shared {
                // It may outlive the instance, and its store.
                memories.push(MemoryEntity::new_shared(*ty, &plan)?);
                continue;
            }
            let left = lease.as_mut().and_then(|lease| {
                let is_warm = lease.is_warm();
                let memory = lease.content.memories.pop_front()?;
                Some((memory, is_warm))
            });
            let memory = match left {
                Some((memory, true)) => Some(memory),
                Some((mut memory, false)) => {
                    matches!(memory.reuse(ty, &plan, image), Ok(true)).then_some(memory)
                }
                None => None,
            };
            let mut memory = match memory {
                Some(memory) => memory,
                None => self.new_memory(ty, &plan, image)?,
            };
            if !memory.has_image() {
                self.module.begin_with_stored(&mut memory, at)?;
            }
            memories.push(MemoryEntity::new(*ty, memory));
        }
        // Those that the former module had in excess.
        if let Some(lease) = lease {
            lease.content.memories.clear();
        }
        Ok(memories)
    }

    fn creators(&self) -> &Creators {
        &self.store.engine().config().creators
    }

    /// A new memory; where the system has no room for it, what lies unused in the pool makes room.
    fn new_memory(
        &self,
        ty: &MemoryType,
        plan: &MemoryPlan,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<LinearMemory, Error> {
        if let Some(creator) = &self.creators().memory {
            return Ok(LinearMemory::created(&**creator, ty, plan)?);
        }
        let made = match (self.make_memory(ty, plan, image), self.pool) {
            (Err(MemoryError::System { .. }), Some(pool)) => {
                pool.shrink();
                self.make_memory(ty, plan, image)
            }
            (made, _) => made,
        };
        Ok(made?)
    }

    fn make_memory(
        &self,
        ty: &MemoryType,
        plan: &MemoryPlan,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<LinearMemory, MemoryError> {
        if let Some(arena) = self.pool.and_then(|pool| pool.arena())
            && let Ok(memory) = LinearMemory::in_arena(arena, ty, plan, image)
        {
            return Ok(memory);
        }
        LinearMemory::with_image(ty, plan, image)
    }

    fn tables(&self, mut lease: Option<&mut Lease>) -> Result<Vec<TableEntity>, Error> {
        let module = self.module.module();
        let all = defined(&module.tables, module.counts.imported_tables);
        let mut tables = Vec::with_capacity(all.size_hint().0);
        for ty in all {
            let ty = self.module.types().table_type(*ty);
            let left = lease.as_mut().filter(|lease| lease.is_warm());
            let storage = match left.and_then(|lease| lease.content.tables.pop_front()) {
                Some(storage) => storage,
                None => new_storage(&ty, 0, self.creators())?,
            };
            tables.push(TableEntity::new(ty, storage));
        }
        if let Some(lease) = lease {
            lease.content.tables.clear();
        }
        Ok(tables)
    }
}

/// An instance that is no more, with what it had.
pub(crate) struct Remains {
    instance: Box<Instance>,
    /// Somebody may have written to the memories.
    is_touched: bool,
    /// What it defined, as far as that is not in its slot.
    pub(crate) memories: Vec<MemoryEntity>,
    pub(crate) tables: Vec<TableEntity>,
}

impl Remains {
    /// Takes what goes back to the pool out of the instance's memories and tables, if it came from
    /// there.
    pub(crate) fn new(store: &mut StoreInner, mut instance: Box<Instance>) -> Self {
        let mut is_touched = store.has_run;
        let counts = instance.module().counts;
        let Instance { parts, lease, .. } = &mut *instance;
        if let Some(lease) = lease {
            for &id in defined(&parts.memories, counts.imported_memories) {
                let entity = &mut store.memories[id];
                is_touched |= entity.is_touched();
                // There is none in a shared memory, which may live on.
                lease.content.memories.extend(entity.take_memory());
            }
            for &id in defined(&parts.tables, counts.imported_tables) {
                lease.content.tables.push_back(store.tables[id].take_storage());
            }
        }
        Remains { instance, is_touched, memories: Vec::new(), tables: Vec::new() }
    }

    /// Gives the parts of the instance back to the pool, and drops the rest.
    pub(crate) fn give_back(self) {
        let (mut parts, compiled, lease) = (*self.instance).into_parts();
        let Some(mut lease) = lease else { return };
        let module = compiled.module();
        let types = defined(&module.tables, module.counts.imported_tables);
        for (storage, ty) in lease.content.tables.iter_mut().zip(types) {
            if !storage.reset(ty.minimum) {
                match TableStorage::new(ty.minimum, 0) {
                    Ok(new) => *storage = new,
                    Err(_) => return,
                }
            }
        }
        parts.reset(&compiled);
        lease.content.parts = Some(parts);
        lease.give_back(compiled.affinity(), self.is_touched);
    }
}
