//! An instance: its context block and what its indices stand for in the store.
//!
//! # Safety
//! The context block is one allocation with the layout of `wasmoor_abi::vmctx`, owned by the
//! instance and freed with it. Machine code reads and writes it, so it is only touched through
//! raw pointers. Instances are boxed by their store, and nothing in it leads to one that was freed
//! (`reach.rs`).

#![allow(unsafe_code)]

use crate::compiled::CompiledModule;
use crate::context::*;
use crate::entities::*;
use crate::pool::Lease;
use crate::store::StoreInner;
use crate::value::FuncPtr;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::UnsafeCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmoor_abi::entity::{EntityRef, PrimaryMap};
use wasmoor_abi::vmctx::{Place, VMCTX_INSTANCE, VMCTX_MAGIC_VALUE};
use wasmoor_abi::*;
use wasmoor_module::{EntityIndex, Module};

/// An instance of a module.
#[derive(Debug)]
pub struct Instance {
    id: InstanceId,
    module: Arc<CompiledModule>,
    pub(crate) parts: InstanceParts,
    pub(crate) tags: PrimaryMap<TagIndex, TagId>,
    /// Held while a reference is filled.
    filling: Mutex<()>,
    /// Where the instance's parts come from and go to.
    pub(crate) lease: Option<Lease>,
    /// The embedder let it go: it stays for as long as others need it.
    pub(crate) is_released: bool,
}

/// What an instance is made of, and leaves behind for the next one of the same module.
///
/// References to functions that the module defines hold the block's address and the module's
/// slots, so they stay right from one instance to the next.
#[derive(Debug)]
pub(crate) struct InstanceParts {
    vmctx: VmctxBlock,
    pub(crate) memories: PrimaryMap<MemoryIndex, MemoryId>,
    pub(crate) tables: PrimaryMap<TableIndex, TableId>,
    pub(crate) globals: PrimaryMap<GlobalIndex, GlobalId>,
    /// The functions given as imports: a reference to one is a reference to the function itself.
    pub(crate) imported_funcs: Vec<FuncPtr>,
    /// References to functions, filled when first asked for; those of imports are not used.
    references: Box<[UnsafeCell<FuncRef>]>,
    pub(crate) dropped_elems: Box<[bool]>,
    pub(crate) dropped_data: Box<[bool]>,
    /// Others are dropped than at the beginning.
    pub(crate) has_dropped_data: bool,
}

// SAFETY: the parts of no instance are plain memory; the addresses in it are not followed.
unsafe impl Send for InstanceParts {}

impl InstanceParts {
    fn new(compiled: &CompiledModule) -> Self {
        let module = compiled.module();
        InstanceParts {
            vmctx: VmctxBlock::new(module.layout.size()),
            memories: PrimaryMap::new(),
            tables: PrimaryMap::new(),
            globals: PrimaryMap::new(),
            imported_funcs: Vec::new(),
            references: unset_references(module.functions.len()),
            dropped_elems: vec![false; module.elements.len()].into(),
            dropped_data: compiled.initial().dropped_data().into(),
            has_dropped_data: false,
        }
    }

    /// Forgets everything that was of the instance alone.
    pub(crate) fn reset(&mut self, compiled: &CompiledModule) {
        self.vmctx.clear();
        self.memories.clear();
        self.tables.clear();
        self.globals.clear();
        self.dropped_elems.fill(false);
        if std::mem::take(&mut self.has_dropped_data) {
            self.dropped_data.copy_from_slice(compiled.initial().dropped_data());
        }
        self.imported_funcs.clear();
    }
}

impl Instance {
    /// An instance whose header is filled in and whose sections are still zero.
    pub(crate) fn new(
        id: InstanceId,
        module: Arc<CompiledModule>,
        parts: Option<InstanceParts>,
        store: &mut StoreInner,
    ) -> Box<Self> {
        let parts = parts.unwrap_or_else(|| InstanceParts::new(&module));
        let (tags, filling) = (PrimaryMap::new(), Mutex::new(()));
        let mut instance = Box::new(Instance {
            id,
            module,
            parts,
            tags,
            filling,
            lease: None,
            is_released: false,
        });
        let header = VmctxHeader {
            magic: VMCTX_MAGIC_VALUE,
            padding: 0,
            store: store.context_ptr(),
            libcalls: (&raw const crate::arch::LIBCALLS).cast(),
            poll_page: store.poll.page(),
            type_ids: instance.module.types().ids().as_ptr().cast(),
            instance: &raw mut *instance,
            slots: instance.module.code().slots_start(),
            reserved: 0,
        };
        // SAFETY: the block begins with a header and is aligned to 16.
        unsafe { instance.parts.vmctx.base.cast::<VmctxHeader>().write(header) };
        instance
    }

    /// The parts and where they go to, reset: the instance is no more.
    pub(crate) fn into_parts(self) -> (InstanceParts, Arc<CompiledModule>, Option<Lease>) {
        (self.parts, self.module, self.lease)
    }

    /// The instance with this vmctx.
    ///
    /// # Safety
    /// `vmctx` is that of a living instance, which nobody changes while the result is used.
    pub(crate) unsafe fn from_vmctx<'a>(vmctx: Address) -> &'a Instance {
        // SAFETY: the header's field was set by `new` and never changes.
        unsafe { &**((vmctx + VMCTX_INSTANCE as usize) as *const *const Instance) }
    }

    /// Which instance of its store this is.
    #[must_use]
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// The compiled module.
    #[must_use]
    pub fn compiled(&self) -> &Arc<CompiledModule> {
        &self.module
    }

    /// The module's description.
    #[must_use]
    pub fn module(&self) -> &Arc<Module> {
        self.module.module()
    }

    pub(crate) fn vmctx(&self) -> Address {
        self.parts.vmctx.base.as_ptr() as Address
    }

    /// Address of a field of the context block.
    pub(crate) fn field<T>(&self, offset: u32) -> *mut T {
        debug_assert!(offset as usize + size_of::<T>() <= self.parts.vmctx.layout.size());
        // SAFETY: offsets come from the module's own layout, so they lie in the block.
        unsafe { self.parts.vmctx.base.as_ptr().add(offset as usize).cast() }
    }

    /// The function reference of one of the instance's functions.
    pub fn func(&self, index: FuncIndex) -> FuncPtr {
        if let Some(&imported) = self.parts.imported_funcs.get(index.index()) {
            return imported;
        }
        let cell = self.parts.references[index.index()].get();
        // SAFETY: an aligned pointer of a living cell, which is only accessed as an atomic until it
        // has been set.
        let slot =
            unsafe { AtomicPtr::from_ptr((&raw mut (*cell).slot).cast::<*mut AtomicUsize>()) };
        if slot.load(Ordering::Acquire).is_null() {
            self.fill_reference(index, cell, slot);
        }
        // SAFETY: the address of a cell is not null.
        unsafe { NonNull::new_unchecked(cell) }
    }

    /// Fills a reference, once: a shared store may be asked for a function by several threads.
    #[cold]
    fn fill_reference(&self, index: FuncIndex, cell: *mut FuncRef, slot: &AtomicPtr<AtomicUsize>) {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if !slot.load(Ordering::Relaxed).is_null() {
            return;
        }
        let reference = self.make_reference(index);
        // SAFETY: nobody reads these fields before the slot is set, and this thread alone sets it.
        unsafe {
            (&raw mut (*cell).vmctx).write(reference.vmctx);
            (&raw mut (*cell).type_id).write(reference.type_id);
            (&raw mut (*cell).func_index).write(reference.func_index);
            (&raw mut (*cell).display).write(reference.display);
        }
        slot.store(reference.slot.cast_mut(), Ordering::Release);
    }

    fn make_reference(&self, index: FuncIndex) -> FuncRef {
        let module = self.module();
        let ty = self.module.types().get(module.functions[index]);
        let (type_id, display) = (ty.id().0, ty.display());
        let func_index = index.as_u32();
        // Imported functions have references already.
        let slot = module.defined_func(index).map(|defined| self.module.code().slot(defined));
        debug_assert!(slot.is_some(), "{index} is imported but was not given");
        let slot = slot.map_or(ptr::null(), ptr::from_ref);
        FuncRef { slot, vmctx: self.vmctx(), type_id, func_index, display }
    }

    /// What an index stands for in the store.
    #[must_use]
    pub fn external(&self, entity: EntityIndex) -> Option<External> {
        Some(match entity {
            EntityIndex::Func(index) => External::Func(self.func(index)),
            EntityIndex::Table(index) => External::Table(self.parts.tables[index]),
            EntityIndex::Memory(index) => External::Memory(self.parts.memories[index]),
            EntityIndex::Global(index) => External::Global(self.parts.globals[index]),
            EntityIndex::Tag(index) => External::Tag(self.tags[index]),
        })
    }

    /// An export.
    #[must_use]
    pub fn export(&self, name: &str) -> Option<External> {
        self.external(self.module().export(name)?)
    }

    /// The memory that is exported as `memory`; for every call of a host's function, so without a
    /// look-up by name.
    #[must_use]
    pub fn memory_export(&self) -> Option<MemoryId> {
        Some(self.parts.memories[self.module().memory_export()?])
    }

    /// Writes a pointer to an imported entity, or finds the place of a defined one.
    pub(crate) fn place<T>(
        &self,
        place: Place,
        imported: impl FnOnce() -> *mut T,
    ) -> Option<*mut T> {
        match place {
            Place::Inline(offset) => Some(self.field(offset)),
            Place::Behind(offset) => {
                // SAFETY: the field is a pointer in the block.
                unsafe { self.field::<*mut T>(offset).write(imported()) };
                None
            }
        }
    }
}

/// Zeroed references without touching their memory: large lists come untouched from the system.
fn unset_references(count: usize) -> Box<[UnsafeCell<FuncRef>]> {
    let references = Box::<[UnsafeCell<FuncRef>]>::new_zeroed_slice(count);
    // SAFETY: all zeroes is a valid reference structure (a null slot marks it as unset).
    unsafe { references.assume_init() }
}

#[derive(Debug)]
struct VmctxBlock {
    base: NonNull<u8>,
    layout: Layout,
}

impl VmctxBlock {
    #[allow(clippy::unreachable, reason = "4 GiB are a layout wherever there are 64-bit addresses")]
    fn new(bytes: u32) -> Self {
        let layout = Layout::from_size_align(bytes as usize, 16)
            .unwrap_or_else(|_| unreachable!("4 GiB fit the address space"));
        // SAFETY: the layout is not empty: it has a header.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        VmctxBlock { base, layout }
    }
}

impl VmctxBlock {
    /// Zeroes it, as it was at first.
    fn clear(&mut self) {
        // SAFETY: the block has this length, and nobody else uses it.
        unsafe { self.base.write_bytes(0, self.layout.size()) };
    }
}

impl Drop for VmctxBlock {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}
