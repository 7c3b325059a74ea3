//! A store: everything that instances linked together own.
//!
//! # Safety
//! A store lives in a box and never moves; machine code and stubs hold its context's address.
//! While wasm runs, the host reaches the store only through that address (host functions and
//! libcalls), so no Rust reference to it is live across a call into wasm: callers pass `*mut`.

#![allow(unsafe_code)]

use crate::checkpoint::Checkpoints;
use crate::context::{Captured, Landing, Resumption, StoreContext};
use crate::engine::Engine;
use crate::entities::*;
use crate::error::{Error, ErrorKind};
use crate::exception::{Exceptions, TagEntity};
use crate::host_func::Panic;
use crate::host_funcs::HostFuncs;
use crate::instance::Instance;
use crate::limits::Meter;
use crate::poll::{InterruptHandle, PollState};
use crate::resources::Remains;
use crate::slab::Slab;
use crate::types::RegisteredType;
use crate::value::{ExternRefId, FuncPtr, Val};
use std::any::Any;
use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use wasmoor_abi::{CanonicalTypeId, FuncType, GlobalType, MemoryType, TableType, ValType};
use wasmoor_memory::{MemoryPlan, SharedMemory};

/// Distinguishes stores, so that handles are never used with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(u64);

impl StoreId {
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// The untyped part of a store.
#[derive(Debug)]
pub struct StoreInner {
    pub(crate) context: StoreContext,
    id: StoreId,
    engine: Engine,
    pub(crate) instances: Slab<InstanceId, Box<Instance>>,
    /// Those among them that the embedder has let go.
    pub(crate) released: usize,
    pub(crate) memories: Slab<MemoryId, MemoryEntity>,
    /// Shared memories made elsewhere, by address; the entities keep them.
    pub(crate) adopted: HashMap<usize, MemoryId>,
    pub(crate) tables: Slab<TableId, TableEntity>,
    pub(crate) globals: Slab<GlobalId, GlobalEntity>,
    pub(crate) tags: Slab<TagId, TagEntity>,
    pub(crate) exceptions: Exceptions,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) host_funcs: HostFuncs,
    extern_refs: Vec<Box<dyn Any + Send + Sync>>,
    /// What the store's guests have taken.
    pub meter: Meter,
    pub(crate) poll: Arc<PollState>,
    /// While wasm runs: context of the store whose host function entered this one, or null.
    pub(crate) outer: *mut StoreContext,
    pub(crate) pending: Option<Pending>,
    /// Wasm has run, so any of the store's memories may have been written to.
    pub(crate) has_run: bool,
    on_poll: Option<PollHook>,
    /// Poll hooks that run now. Code that is interrupted anywhere may hold addresses of what it
    /// uses, so nothing that would have to move grows meanwhile.
    pub(crate) hooks_running: u32,
}

/// Called when a guest reaches a poll after `InterruptHandle::call_back`, with the store, which
/// nothing else uses meanwhile. It may call into wasm, and then be called again.
#[derive(Clone)]
pub struct PollHook(pub Arc<PollHookFn>);

/// The function of a [`PollHook`].
pub type PollHookFn = dyn Fn(*mut StoreInner) -> Result<(), Error> + Send + Sync;

impl std::fmt::Debug for PollHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PollHook")
    }
}

/// Why wasm is being left.
#[derive(Debug)]
pub(crate) enum Pending {
    Error(Error),
    Panic(Panic),
}

// SAFETY: raw pointers in the store lead to memory that it owns; wasm runs only while a thread
// holds the store exclusively; host functions and references are required to be `Send`.
unsafe impl Send for StoreInner {}
// SAFETY: `&StoreInner` gives no access to guest memory without going through `&mut`.
unsafe impl Sync for StoreInner {}

impl StoreInner {
    /// An empty store. Its address must not change: see [`StoreInner::bind`].
    ///
    /// # Errors
    /// When the system refuses memory for the poll page.
    pub fn new(engine: &Engine) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let poll = PollState::new()
            .map_err(|error| ErrorKind::System { what: "reserve a poll page", error })?;
        let poll = Arc::new(poll);
        Ok(StoreInner {
            context: StoreContext {
                stack_limit: AtomicUsize::new(0),
                fuel: 0,
                caller_vmctx: 0,
                exit_fp: 0,
                entry_fp: 0,
                request: poll.request_word(),
                compile_stack_top: 0,
                store: ptr::null_mut(),
                landing: Landing::default(),
                captured: Captured::default(),
                resumption: Resumption::default(),
            },
            id: StoreId(NEXT.fetch_add(1, Ordering::Relaxed)),
            engine: engine.clone(),
            instances: Slab::default(),
            released: 0,
            memories: Slab::default(),
            adopted: HashMap::new(),
            tables: Slab::default(),
            globals: Slab::default(),
            tags: Slab::default(),
            exceptions: Exceptions::default(),
            checkpoints: Checkpoints::default(),
            host_funcs: HostFuncs::default(),
            extern_refs: Vec::new(),
            meter: Meter::default(),
            poll,
            outer: ptr::null_mut(),
            pending: None,
            has_run: false,
            on_poll: None,
            hooks_running: 0,
        })
    }

    /// Tells the store its final address; called once it lies in its box.
    pub fn bind(&mut self) {
        self.context.store = self;
    }

    /// Address of the context, for vmctxs and stubs.
    pub(crate) fn context_ptr(&mut self) -> *mut StoreContext {
        debug_assert!(!self.context.store.is_null(), "bind comes first");
        &raw mut self.context
    }

    /// Which store this is.
    #[must_use]
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A handle by which other threads interrupt this store's guests.
    #[must_use]
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle::new(&self.poll)
    }

    /// Fuel left; meaningful when the engine's code counts fuel. Never negative.
    #[must_use]
    pub fn fuel(&self) -> u64 {
        u64::try_from(self.context.fuel).unwrap_or(0)
    }

    /// Sets the fuel, at most `i64::MAX`.
    pub fn set_fuel(&mut self, fuel: u64) {
        self.context.fuel = i64::try_from(fuel).unwrap_or(i64::MAX);
    }

    /// Sets what is called at a poll after `InterruptHandle::call_back`.
    pub fn set_poll_hook(&mut self, hook: Option<PollHook>) {
        self.on_poll = hook;
    }

    pub(crate) fn poll_hook(&self) -> Option<PollHook> {
        self.on_poll.clone()
    }

    /// Vmctx's instance that last called out; `None` before any call.
    #[must_use]
    pub fn caller_instance(&self) -> Option<InstanceId> {
        let vmctx = self.context.caller_vmctx;
        if vmctx == 0 {
            return None;
        }
        // SAFETY: code stores only the vmctx of an instance of this store, and it is forgotten when
        // instances are freed.
        Some(unsafe { Instance::from_vmctx(vmctx) }.id())
    }

    /// The plan for memories under the engine's tunables.
    #[must_use]
    pub fn memory_plan(&self, ty: &MemoryType) -> MemoryPlan {
        MemoryPlan::new(self.engine.config().tunables.memory_mode_of(ty))
    }

    /// A memory made by the host.
    ///
    /// # Errors
    /// When the meter or the system refuses it.
    pub fn create_memory(&mut self, ty: MemoryType) -> Result<MemoryId, Error> {
        let plan = self.memory_plan(&ty);
        let creators = &self.engine.config().creators;
        let mut memory = MemoryEntity::on_demand(ty, &plan, creators, &mut self.meter)?;
        memory.place_owned();
        self.engine.counts().storage_made(1, 0);
        Ok(self.memories.insert(memory))
    }

    /// The store's handle of a shared memory, the same each time.
    ///
    /// # Errors
    /// When the meter refuses it, or code of the store's engine cannot use it.
    pub fn adopt_memory(&mut self, memory: &Arc<SharedMemory>) -> Result<MemoryId, Error> {
        let address = Arc::as_ptr(memory).addr();
        if let Some(&id) = self.adopted.get(&address) {
            return Ok(id);
        }
        let plan = self.memory_plan(memory.ty());
        let entity = MemoryEntity::adopt(Arc::clone(memory), &plan, &mut self.meter)?;
        self.engine.counts().storage_made(1, 0);
        let id = self.memories.insert(entity);
        self.adopted.insert(address, id);
        Ok(id)
    }

    /// A table made by the host, filled with a reference.
    ///
    /// # Errors
    /// When the meter or the system refuses it, or the engine does not know the elements' type.
    pub fn create_table(&mut self, ty: TableType, init: Val) -> Result<TableId, Error> {
        let kept_type = self.engine.types().keep(ValType::Ref(ty.element))?;
        let (init, creators) = (init.to_bits() as u64, &self.engine.config().creators);
        let mut table = TableEntity::on_demand(ty, init, creators, &mut self.meter)?;
        table.kept_type = kept_type;
        table.place_owned();
        self.engine.counts().storage_made(0, 1);
        Ok(self.tables.insert(table))
    }

    /// A global made by the host; the value's type has been checked.
    ///
    /// # Errors
    /// When the engine does not know the type.
    pub fn create_global(&mut self, ty: GlobalType, value: Val) -> Result<GlobalId, Error> {
        let kept_type = self.engine.types().keep(ty.content)?;
        Ok(self.globals.insert(GlobalEntity::owned(ty, value, kept_type)))
    }

    /// Type of a function of this store, what it mentions named by `TypeUse::Defined`.
    #[must_use]
    pub fn func_type(&self, func: FuncPtr) -> FuncType {
        let ty = self.registered_func_type(func);
        let ty = ty.as_ref().and_then(|ty| ty.ty().as_func());
        ty.cloned().unwrap_or_else(|| FuncType::new([], []))
    }

    /// Type of a function of this store.
    #[must_use]
    pub fn registered_func_type(&self, func: FuncPtr) -> Option<RegisteredType> {
        let ty = self.engine.types().of_id(self.func_type_id(func));
        debug_assert!(ty.is_some(), "a store keeps its functions' types");
        ty
    }

    /// Canonical id of a function's type.
    #[must_use]
    pub fn func_type_id(&self, func: FuncPtr) -> CanonicalTypeId {
        // SAFETY: see `FuncPtr`: it is a function of this store that is not gone.
        CanonicalTypeId(unsafe { func.as_ref() }.type_id)
    }

    /// Whether a value of this store belongs to a type.
    #[must_use]
    pub fn value_is(&self, value: &Val, ty: ValType) -> bool {
        let (ValType::Ref(found), ValType::Ref(wanted)) = (value.ty(), ty) else {
            return value.ty() == ty;
        };
        if value.is_null() {
            return wanted.nullable && found.family() == wanted.family();
        }
        match value {
            Val::Func(Some(func)) => {
                self.engine.types().func_matches(self.func_type_id(*func), wanted.heap)
            }
            _ => found.non_null().matches(wanted, |_, _| false),
        }
    }

    /// Keeps an object of the host's for guests to refer to, as long as the store lives.
    ///
    /// # Errors
    /// When the meter refuses it.
    pub fn create_extern_ref(
        &mut self,
        object: Box<dyn Any + Send + Sync>,
    ) -> Result<ExternRefId, Error> {
        let bytes = size_of::<Box<dyn Any>>() + size_of_val(&*object);
        if !self.meter.charge_host(bytes as u64) {
            return Err(ErrorKind::Limit("too many host references are kept".into()).into());
        }
        self.extern_refs.push(object);
        u32::try_from(self.extern_refs.len())
            .ok()
            .and_then(ExternRefId::new)
            .ok_or_else(|| ErrorKind::Limit("too many host references are kept".into()).into())
    }

    /// The object that a host reference refers to.
    #[must_use]
    pub fn extern_ref(&self, id: ExternRefId) -> Option<&(dyn Any + Send + Sync)> {
        self.extern_refs.get(id.get() as usize - 1).map(|object| &**object)
    }

    /// Instances that have not been freed.
    #[must_use]
    pub fn instances_living(&self) -> usize {
        self.instances.len()
    }

    /// Whether an instance has not been freed.
    #[must_use]
    #[inline]
    pub fn has_instance(&self, id: InstanceId) -> bool {
        self.instances.contains(id)
    }

    /// Whether a memory did not go with its instance.
    #[must_use]
    pub fn has_memory(&self, id: MemoryId) -> bool {
        self.memories.contains(id)
    }

    /// Whether a table did not go with its instance.
    #[must_use]
    pub fn has_table(&self, id: TableId) -> bool {
        self.tables.contains(id)
    }

    /// Whether a global did not go with its instance.
    #[must_use]
    pub fn has_global(&self, id: GlobalId) -> bool {
        self.globals.contains(id)
    }

    /// Whether a tag did not go with its instance.
    #[must_use]
    pub fn has_tag(&self, id: TagId) -> bool {
        self.tags.contains(id)
    }

    /// An instance.
    #[must_use]
    pub fn instance(&self, id: InstanceId) -> &Instance {
        &self.instances[id]
    }

    /// A memory.
    #[must_use]
    pub fn memory(&self, id: MemoryId) -> &MemoryEntity {
        &self.memories[id]
    }

    /// Grows a memory by pages; the pages before.
    pub fn grow_memory(&mut self, id: MemoryId, delta: u64) -> Option<u64> {
        if self.hooks_running > 0 && self.memories[id].moves_when_grown(delta) {
            return None;
        }
        self.memories[id].grow(delta, &mut self.meter)
    }

    /// A table.
    #[must_use]
    pub fn table(&self, id: TableId) -> &TableEntity {
        &self.tables[id]
    }

    /// A table, to change.
    pub fn table_mut(&mut self, id: TableId) -> &mut TableEntity {
        &mut self.tables[id]
    }

    /// Grows a table; the elements before.
    pub fn grow_table(&mut self, id: TableId, delta: u64, init: Val) -> Option<u64> {
        self.grow_table_bits(id, delta, init.to_bits() as u64)
    }

    /// The same with the bits of a reference.
    pub(crate) fn grow_table_bits(&mut self, id: TableId, delta: u64, init: u64) -> Option<u64> {
        if self.hooks_running > 0 && self.tables[id].moves_when_grown(delta) {
            return None;
        }
        self.tables[id].grow(delta, init, &mut self.meter)
    }

    /// A global.
    #[must_use]
    pub fn global(&self, id: GlobalId) -> &GlobalEntity {
        &self.globals[id]
    }

    /// A global, to change.
    pub fn global_mut(&mut self, id: GlobalId) -> &mut GlobalEntity {
        &mut self.globals[id]
    }

    /// Records why wasm is to be left; the stub or handler that asked unwinds next.
    pub(crate) fn set_pending(&mut self, pending: Pending) {
        self.pending = Some(pending);
    }
}

impl Drop for StoreInner {
    /// Gives everything of the instances back to the pool.
    fn drop(&mut self) {
        let instances = std::mem::take(&mut self.instances);
        let (memories, tables) = (self.memories.len(), self.tables.len());
        self.engine.counts().ended(instances.len(), memories, tables);
        for instance in instances.into_values() {
            Remains::new(self, instance).give_back();
        }
    }
}
