//! Stores and the ways to reach them.
//!
//! # Safety
//! A `Store` owns a `StoreBox` at a fixed address. Everything reaches it through a raw pointer
//! that is dereferenced for one operation at a time, because wasm and host functions re-enter the
//! store while an outer borrow waits; the lifetimes of `StoreContext(Mut)` and `Caller` keep safe
//! code from using two at once.

#![allow(unsafe_code)]

use crate::entities::Extern;
use crate::shared::{SharedMemory, Waited};
use crate::{Deadline, Engine, Error, ErrorKind, InterruptHandle, Meter, Result, StoreLimits};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;
use wasmoor_memory::Expected;
use wasmoor_runtime as runtime;
use wasmoor_runtime::store::StoreId;
use wasmoor_runtime::{InstanceId, MemoryEntity, StoreInner};

/// Owns instances and everything they are linked to, and the host's data `T`. What the host makes in
/// it (functions, memories, tables, globals, tags) goes with the store.
///
/// One thread at a time runs a store's guests; a store may move between threads when `T: Send`.
#[derive(Debug)]
pub struct Store<T> {
    store: NonNull<StoreBox<T>>,
    engine: Engine,
}

/// The inner store comes first: host functions find the whole by its address.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct StoreBox<T> {
    inner: StoreInner,
    data: T,
}

// SAFETY: a store owns what it points to, and its guests run only while it is borrowed mutably.
unsafe impl<T: Send> Send for Store<T> {}
// SAFETY: `&Store` only reads.
unsafe impl<T: Sync> Sync for Store<T> {}

impl<T> Store<T> {
    /// An empty store.
    ///
    /// # Errors
    /// When the system refuses a few pages of memory.
    pub fn new(engine: &Engine, data: T) -> Result<Self> {
        let inner = StoreInner::new(&engine.inner)?;
        let store = Box::leak(Box::new(StoreBox { inner, data }));
        store.inner.bind();
        Ok(Store { store: NonNull::from(store), engine: engine.clone() })
    }

    /// The host's data.
    #[must_use]
    pub fn data(&self) -> &T {
        // SAFETY: see the head of this file.
        unsafe { &self.store.as_ref().data }
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: see the head of this file.
        unsafe { &mut self.store.as_mut().data }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Drops everything the guests had and gives back the host's data.
    #[must_use]
    pub fn into_data(self) -> T {
        let mut this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped; the engine and the box are each taken once.
        unsafe {
            std::ptr::drop_in_place(&raw mut this.engine);
            Box::from_raw(this.store.as_ptr()).data
        }
    }

    /// Limits what the store's guests may take from now on. What they have is kept.
    pub fn set_limits(&mut self, limits: StoreLimits) {
        self.as_context_mut().inner().meter.limits = limits;
    }

    /// Frees instances that were let go ([`crate::Instance::release`]) and are needed no more; how many.
    ///
    /// Only of use where they were let go while a guest ran, or were needed then: releasing an
    /// instance does the same.
    pub fn free_released(&mut self) -> usize {
        self.as_context_mut().inner().free_released(&[])
    }

    /// Instances that have not been freed.
    #[must_use]
    pub fn instances_living(&self) -> usize {
        // SAFETY: see the head of this file.
        unsafe { self.store.as_ref().inner.instances_living() }
    }

    /// What the guests have taken.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        // SAFETY: see the head of this file.
        unsafe { &self.store.as_ref().inner.meter }
    }

    /// Fuel left. 0 unless the engine counts fuel.
    #[must_use]
    pub fn fuel(&self) -> u64 {
        // SAFETY: see the head of this file.
        unsafe { self.store.as_ref().inner.fuel() }
    }

    /// Grants fuel: one unit per executed operator, except `block`, `loop`, `end`, `else` and
    /// `nop`. A guest that has none left traps with [`crate::TrapCode::OutOfFuel`]. A new store
    /// has none.
    ///
    /// # Errors
    /// When the engine does not count fuel.
    pub fn set_fuel(&mut self, fuel: u64) -> Result<()> {
        if !self.engine.inner.config().tunables.fuel {
            return Err(Error::usage("this engine does not count fuel; see Config::fuel"));
        }
        self.as_context_mut().inner().set_fuel(fuel);
        Ok(())
    }

    /// A handle by which any thread interrupts this store's guests.
    #[must_use]
    pub fn interrupt_handle(&self) -> InterruptHandle {
        // SAFETY: see the head of this file.
        unsafe { self.store.as_ref().inner.interrupt_handle() }
    }

    /// Guests trap with [`crate::TrapCode::DeadlineExceeded`] when they still run `timeout` from
    /// now, until the returned guard is dropped. System calls that block in a host function end
    /// with `EINTR`, repeatedly, until the guest is back; nothing else of a host function is cut
    /// short.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn set_deadline(&mut self, timeout: Duration) -> Result<Deadline> {
        Deadline::after(timeout, self.interrupt_handle()).map_err(|error| {
            ErrorKind::System { what: "start a thread for deadlines", error }.into()
        })
    }

    /// Sets what is called on the guest's thread, between two of its instructions or when a host
    /// function returns, after [`InterruptHandle::call_back`]; an error from it leaves wasm.
    ///
    /// The hook may call functions of the guest, as a signal handler: the guest goes on where it was
    /// when the hook returns. As the guest may be in the middle of anything, memories and tables
    /// that would have to move do not grow meanwhile, and an exception that the hook returns is not
    /// caught by the code that was interrupted between two instructions. Code of the guest that the
    /// hook calls may be interrupted for the hook again.
    pub fn on_poll(&mut self, hook: impl Fn(Caller<'_, T>) -> Result<()> + Send + Sync + 'static)
    where
        T: 'static,
    {
        // SAFETY: the runtime calls the hook of a store with that store, on the thread that runs it.
        let hook = move |store| hook(unsafe { Caller::new(store) });
        self.as_context_mut().inner().set_poll_hook(Some(runtime::store::PollHook(Arc::new(hook))));
    }
}

impl<T> Drop for Store<T> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` in `new`, dropped once.
        drop(unsafe { Box::from_raw(self.store.as_ptr()) });
    }
}

/// Shared access to a store.
#[derive(Debug)]
pub struct StoreContext<'a, T> {
    store: NonNull<StoreBox<T>>,
    _borrow: PhantomData<&'a StoreBox<T>>,
}

/// Exclusive access to a store.
#[derive(Debug)]
pub struct StoreContextMut<'a, T> {
    store: NonNull<StoreBox<T>>,
    _borrow: PhantomData<&'a mut StoreBox<T>>,
}

impl<'a, T> StoreContext<'a, T> {
    /// The host's data.
    #[must_use]
    pub fn data(&self) -> &'a T {
        // SAFETY: see the head of this file.
        unsafe { &(*self.store.as_ptr()).data }
    }

    pub(crate) fn inner(&self) -> &'a StoreInner {
        // SAFETY: see the head of this file.
        unsafe { &(*self.store.as_ptr()).inner }
    }
}

impl<T> StoreContextMut<'_, T> {
    /// The host's data.
    #[must_use]
    pub fn data(&self) -> &T {
        // SAFETY: see the head of this file.
        unsafe { &(*self.store.as_ptr()).data }
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: see the head of this file.
        unsafe { &mut (*self.store.as_ptr()).data }
    }

    pub(crate) fn inner(&mut self) -> &mut StoreInner {
        // SAFETY: see the head of this file.
        unsafe { &mut (*self.store.as_ptr()).inner }
    }

    /// For calls into wasm, which re-enter the store.
    pub(crate) fn inner_ptr(&mut self) -> *mut StoreInner {
        // SAFETY: a field's address of a living box.
        unsafe { &raw mut (*self.store.as_ptr()).inner }
    }
}

/// Anything that gives shared access to a store.
pub trait AsContext {
    /// The host's data in the store.
    type Data;

    /// The access.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// Anything that gives exclusive access to a store.
pub trait AsContextMut: AsContext {
    /// The access.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

macro_rules! context {
    ([$($generics:tt)*] $ty:ty, |$this:ident| $store:expr) => {
        impl<$($generics)*> AsContext for $ty {
            type Data = T;

            fn as_context(&self) -> StoreContext<'_, T> {
                let $this = self;
                StoreContext { store: $store, _borrow: PhantomData }
            }
        }
    };
}

macro_rules! context_mut {
    ([$($generics:tt)*] $ty:ty, |$this:ident| $store:expr) => {
        context!([$($generics)*] $ty, |$this| $store);

        impl<$($generics)*> AsContextMut for $ty {
            fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
                let $this = self;
                StoreContextMut { store: $store, _borrow: PhantomData }
            }
        }
    };
}

context!(['a, T] StoreContext<'a, T>, |this| this.store);
context_mut!([T] Store<T>, |this| this.store);
context_mut!(['a, T] StoreContextMut<'a, T>, |this| this.store);
context_mut!(['a, T] Caller<'a, T>, |this| this.store.store);

impl<C: AsContext> AsContext for &C {
    type Data = C::Data;

    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;

    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContextMut> AsContextMut for &mut C {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}

/// What a host function sees of its caller: the store, and the exports of the calling instance.
#[derive(Debug)]
pub struct Caller<'a, T> {
    store: StoreContextMut<'a, T>,
}

impl<T> Caller<'_, T> {
    /// # Safety
    /// `store` is the inner store of a `Store<T>`, which called a host function on this thread.
    pub(crate) unsafe fn new(store: *mut StoreInner) -> Self {
        // SAFETY: the inner store is the first field of the box, and not null.
        let store = unsafe { NonNull::new_unchecked(store.cast::<StoreBox<T>>()) };
        Caller { store: StoreContextMut { store, _borrow: PhantomData } }
    }

    /// The host's data.
    #[must_use]
    pub fn data(&self) -> &T {
        self.store.data()
    }

    /// The host's data, to change.
    pub fn data_mut(&mut self) -> &mut T {
        self.store.data_mut()
    }

    /// An export of the calling instance.
    #[must_use]
    pub fn get_export(&mut self, name: &str) -> Option<Extern> {
        let inner = self.store.inner();
        let external = inner.instance(inner.caller_instance()?).export(name)?;
        Some(Extern::from_runtime(inner, external))
    }

    /// The memory that the calling instance exports as `memory`, else the first one that it
    /// imports, as raw parts for the duration of the call (it moves only if wasm runs or the memory
    /// grows meanwhile), together with the host's data. `None` if there is no such memory or
    /// threads share it.
    pub fn memory_and_data(&mut self) -> Option<(RawMemory, &mut T)> {
        // Shared memories are not lent: other threads use them meanwhile.
        if self.memory_entity()?.shared().is_some() {
            return None;
        }
        self.any_memory_and_data()
    }

    /// As [`Caller::memory_and_data`], but also for a memory that threads share. Other threads may
    /// use its bytes at any time: they must be read and written as atomics, or by the kernel.
    pub fn any_memory_and_data(&mut self) -> Option<(RawMemory, &mut T)> {
        let memory = self.memory_entity()?;
        let memory = RawMemory { base: memory.base(), len: memory.bytes() };
        Some((memory, self.store.data_mut()))
    }

    fn memory_entity(&mut self) -> Option<&MemoryEntity> {
        let inner = self.store.inner();
        let id: InstanceId = inner.caller_instance()?;
        Some(inner.memory(inner.instance(id).memory_export()?))
    }

    /// The memory of [`Caller::memory_and_data`], if threads share it.
    pub fn shared_memory(&mut self) -> Option<SharedMemory> {
        Some(SharedMemory { inner: Arc::clone(self.memory_entity()?.shared()?) })
    }

    /// Blocks the guest, as `memory.atomic.wait32` does, until another thread notifies the address,
    /// if the word there is as expected. Unlike [`SharedMemory::wait32`] it ends when the guest is
    /// interrupted or its time is up.
    ///
    /// # Errors
    /// When the address is not a multiple of four or leaves the memory, and when the guest must
    /// stop: host functions pass that on.
    pub fn wait32(
        &mut self,
        memory: &SharedMemory,
        address: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<Waited> {
        let (store, expected) = (self.store.inner_ptr(), Expected::U32(expected));
        // SAFETY: the store executes this host function, and is only reached by its address.
        unsafe { runtime::wait_in_host(store, &memory.inner, address, expected, timeout) }
    }
}

/// A linear memory's first byte and length in bytes. Guests may change the contents whenever they
/// run, so no Rust reference to them should outlive a host call.
#[derive(Clone, Copy, Debug)]
pub struct RawMemory {
    /// First byte.
    pub base: *mut u8,
    /// Length in bytes.
    pub len: usize,
}

/// Checks that a handle belongs to the store at hand.
#[track_caller]
pub(crate) fn check_store(handle: StoreId, store: &StoreInner) {
    assert!(handle == store.id(), "a handle was used with a store that it does not belong to");
}
