//! How instances go before their store does.
//!
//! An embedder lets an instance go, and it is freed once nothing in the store can reach it. What
//! reaches what is known by instance: an importer's context block points into that of the instance
//! whose items it imports, so an instance is kept whole or not at all.
//!
//! ```text
//! roots   instances that were not let go; tables and globals of the host; exceptions that the host
//!         holds as values or errors; imports of the instance that is being made
//! edges   instance  -> instances whose functions, memories, tables, globals or tags it imports;
//!                      what its tables and globals hold (its element segments hold no more:
//!                      they name functions and globals of its own and its imports')
//!         function  -> its instance (a function of the host has none)
//!         exception -> its tag's instance; what it carries
//! ```
//!
//! Handles of the host are no roots: they carry the generation of what they name, and the API
//! checks it before it follows an address.
//!
//! Frames of wasm hold references that nobody lists. So nothing is freed while any is on a stack,
//! which is when the store has been entered, or lies in a checkpoint: what was let go meanwhile
//! waits for the next time that something is let go or looked for outside.
//!
//! # Safety
//! References and tags that the search finds are those of living instances: what it frees is what it
//! did not reach, all of it at once.

#![allow(unsafe_code)]

use crate::context::Address;
use crate::entities::*;
use crate::instance::Instance;
use crate::resources::{Remains, defined};
use crate::slab::Key;
use crate::store::StoreInner;
use crate::value::{ExnRefId, FuncPtr, Val};
use std::collections::HashSet;
use wasmoor_abi::vmctx::{VMCTX_MAGIC, VMCTX_MAGIC_VALUE};
use wasmoor_abi::{RefFamily, ValType};

impl StoreInner {
    /// The instance that a function of this store belongs to; `None`: the host made it.
    #[must_use]
    pub fn func_instance(&self, func: FuncPtr) -> Option<InstanceId> {
        // SAFETY: see the head of this file. The context of a function says first what it is of.
        unsafe {
            let context: Address = func.as_ref().vmctx;
            let magic = ((context + VMCTX_MAGIC as usize) as *const u32).read();
            (magic == VMCTX_MAGIC_VALUE).then(|| Instance::from_vmctx(context).id())
        }
    }

    /// Lets an instance go: it is freed when nothing in the store reaches it any more, which is
    /// looked for now if no wasm of the store is running. False: it is gone already.
    pub fn release(&mut self, id: InstanceId) -> bool {
        let Some(instance) = self.instances.get_mut(id) else { return false };
        if !std::mem::replace(&mut instance.is_released, true) {
            self.released += 1;
        }
        self.free_released(&[]);
        true
    }

    /// Frees instances that were let go and are not reached, also by these imports of one that is
    /// being made; their number. 0 while wasm of the store is running.
    pub fn free_released(&mut self, imports: &[External]) -> usize {
        if self.context.entry_fp != 0 || !self.checkpoints.is_empty() {
            return 0;
        }
        let freed = if self.released > 0 { self.free_unreachable(imports) } else { 0 };
        self.forget_adopted(imports);
        freed
    }

    fn free_unreachable(&mut self, imports: &[External]) -> usize {
        let mut reach = Reach::new(self);
        reach.roots(imports);
        reach.follow();
        let Reach { instances, exceptions, .. } = reach;
        let is_dead = |id: &InstanceId| !instances[id.index()];
        let dead: Vec<_> = self.instances.iter().map(|(id, _)| id).filter(is_dead).collect();
        let exceptions_freed = self.exceptions.retain(&exceptions);
        self.meter.refund_host(exceptions_freed);
        self.free(&dead)
    }

    /// Frees instances that nothing reaches.
    fn free(&mut self, dead: &[InstanceId]) -> usize {
        if dead.is_empty() {
            return 0;
        }
        // It may be that of one of them.
        self.context.caller_vmctx = 0;
        // First the store has them no more, whatever an embedder's code does when they are dropped.
        let remains: Vec<Remains> = dead.iter().filter_map(|&id| self.detach(id)).collect();
        let freed = remains.len();
        let memories = remains.iter().map(|remains| remains.memories.len()).sum();
        let tables = remains.iter().map(|remains| remains.tables.len()).sum();
        self.engine().counts().ended(freed, memories, tables);
        self.released -= freed;
        remains.into_iter().for_each(Remains::give_back);
        freed
    }

    /// Takes an instance with everything that it defines out of the store, and off the meter.
    fn detach(&mut self, id: InstanceId) -> Option<Remains> {
        let instance = self.instances.remove(id)?;
        let (parts, counts) = (&instance.parts, instance.module().counts);
        for &id in defined(&parts.globals, counts.imported_globals) {
            self.globals.remove(id);
        }
        for &id in defined(&instance.tags, counts.imported_tags) {
            self.tags.remove(id);
        }
        let memories: Vec<_> =
            defined(&parts.memories, counts.imported_memories).copied().collect();
        let tables: Vec<_> = defined(&parts.tables, counts.imported_tables).copied().collect();
        for &id in &memories {
            self.meter.refund_memory(self.memories[id].charged());
        }
        for &id in &tables {
            self.meter.refund_table(self.tables[id].len());
        }
        let mut remains = Remains::new(self, instance);
        remains.memories = memories.into_iter().filter_map(|id| self.memories.remove(id)).collect();
        remains.tables = tables.into_iter().filter_map(|id| self.tables.remove(id)).collect();
        Some(remains)
    }

    /// Drops the store's part in shared memories that no instance imports any more.
    fn forget_adopted(&mut self, imports: &[External]) {
        if self.adopted.is_empty() {
            return;
        }
        let imported = self.instances.values().flat_map(|instance| {
            let count = instance.module().counts.imported_memories as usize;
            instance.parts.memories.values().take(count).copied()
        });
        let given = imports.iter().filter_map(|import| match import {
            External::Memory(id) => Some(*id),
            _ => None,
        });
        let used: HashSet<MemoryId> = imported.chain(given).collect();
        let (memories, meter) = (&mut self.memories, &mut self.meter);
        let before = self.adopted.len();
        self.adopted.retain(|_, id| {
            if used.contains(id) {
                return true;
            }
            if let Some(memory) = memories.remove(*id) {
                meter.refund_memory(memory.charged());
            }
            false
        });
        self.engine().counts().ended(0, before - self.adopted.len(), 0);
    }
}

/// What a search has found so far.
struct Reach<'s> {
    store: &'s StoreInner,
    /// By position.
    instances: Vec<bool>,
    exceptions: HashSet<ExnRefId>,
    /// Found, and still to be followed.
    next_instances: Vec<InstanceId>,
    next_exceptions: Vec<ExnRefId>,
}

impl<'s> Reach<'s> {
    fn new(store: &'s StoreInner) -> Self {
        Reach {
            store,
            instances: vec![false; store.instances.positions()],
            exceptions: HashSet::new(),
            next_instances: Vec::new(),
            next_exceptions: Vec::new(),
        }
    }

    fn roots(&mut self, imports: &[External]) {
        let store = self.store;
        let held = store.instances.iter().filter(|(_, instance)| !instance.is_released);
        held.for_each(|(id, _)| self.instance(id));
        let tables = store.tables.values().filter(|table| table.instance.is_none());
        tables.for_each(|table| self.table(table));
        let globals = store.globals.values().filter(|global| global.instance.is_none());
        globals.for_each(|global| self.global(global));
        store.exceptions.held().for_each(|handle| self.exception(handle));
        imports.iter().for_each(|import| self.external(import));
    }

    fn follow(&mut self) {
        loop {
            if let Some(id) = self.next_instances.pop() {
                self.content(&self.store.instances[id]);
            } else if let Some(handle) = self.next_exceptions.pop() {
                self.carried(handle);
            } else {
                return;
            }
        }
    }

    fn instance(&mut self, id: InstanceId) {
        if !std::mem::replace(&mut self.instances[id.index()], true) {
            self.next_instances.push(id);
        }
    }

    fn exception(&mut self, handle: ExnRefId) {
        if self.exceptions.insert(handle) {
            self.next_exceptions.push(handle);
        }
    }

    fn value(&mut self, value: Val) {
        match value {
            Val::Func(Some(func)) => self.func(func),
            Val::Exn(Some(handle)) => self.exception(handle),
            _ => {}
        }
    }

    fn func(&mut self, func: FuncPtr) {
        self.owner(self.store.func_instance(func));
    }

    fn owner(&mut self, instance: Option<InstanceId>) {
        if let Some(id) = instance {
            self.instance(id);
        }
    }

    fn external(&mut self, external: &External) {
        let store = self.store;
        match *external {
            External::Func(func) => self.func(func),
            External::Table(id) => self.owner(store.tables[id].instance),
            External::Memory(id) => self.owner(store.memories[id].instance),
            External::Global(id) => self.owner(store.globals[id].instance),
            External::Tag(id) => self.owner(store.tags[id].instance()),
        }
    }

    /// What an instance imports, and what its tables and globals hold.
    fn content(&mut self, instance: &Instance) {
        let (store, parts) = (self.store, &instance.parts);
        parts.imported_funcs.iter().for_each(|&func| self.func(func));
        for &id in parts.memories.values() {
            self.owner(store.memories[id].instance);
        }
        for &id in instance.tags.values() {
            self.owner(store.tags[id].instance());
        }
        for &id in parts.tables.values() {
            let table = &store.tables[id];
            match table.instance == Some(instance.id()) {
                true => self.table(table),
                false => self.owner(table.instance),
            }
        }
        for &id in parts.globals.values() {
            let global = &store.globals[id];
            match global.instance == Some(instance.id()) {
                true => self.global(global),
                false => self.owner(global.instance),
            }
        }
    }

    fn table(&mut self, table: &TableEntity) {
        if may_lead_to_instances(ValType::Ref(table.ty.element)) {
            table.filled().for_each(|value| self.value(value));
        }
    }

    fn global(&mut self, global: &GlobalEntity) {
        if may_lead_to_instances(global.ty.content) {
            self.value(global.get());
        }
    }

    fn carried(&mut self, handle: ExnRefId) {
        let store = self.store;
        // One that is gone leads nowhere.
        if let Some(tag) = store.exception_tag(handle) {
            self.owner(store.tags[tag].instance());
        }
        let values = store.exception_values(handle).unwrap_or_default();
        values.into_iter().for_each(|value| self.value(value));
    }
}

fn may_lead_to_instances(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(ty) if matches!(ty.family(), RefFamily::Func | RefFamily::Exn))
}
