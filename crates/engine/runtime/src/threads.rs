//! Guests that wait for other threads, and wake them.
//!
//! A guest sleeps in a libcall. Requests of the host wake it ([`crate::poll`]): it serves them
//! without leaving its queue and sleeps on, or stops with the trap that is asked for.
//!
//! # Safety
//! As for all libcalls: they run on the thread that executes the store's wasm, and nothing else
//! refers to the store meanwhile. While the guest sleeps no Rust reference to the store is live:
//! requests are served through its address.

#![allow(unsafe_code)]

use crate::context::{Address, VmctxHeader};
use crate::error::Error;
use crate::instance::Instance;
use crate::libcalls::{Answer, answer};
use crate::poll::serve_at_return;
use crate::store::StoreInner;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmoor_abi::{MemoryIndex, TrapCode};
use wasmoor_memory::{Expected, SharedMemory, Waited};

/// A memory of the calling instance.
struct Place {
    shared: Option<Arc<SharedMemory>>,
    bytes: u64,
}

/// # Safety
/// See the head of this file.
unsafe fn store_and_place(vmctx: Address, memory: u32) -> (*mut StoreInner, Place) {
    // SAFETY: the caller's promise; the references end here.
    unsafe {
        let store = (*(*(vmctx as *const VmctxHeader)).store).store;
        let id = Instance::from_vmctx(vmctx).parts.memories[MemoryIndex::from_u32(memory)];
        let memory = (&*store).memory(id);
        (store, Place { shared: memory.shared().cloned(), bytes: memory.bytes() as u64 })
    }
}

impl Place {
    /// As `exec-atomic-waitnotify` demands of an address.
    fn check(&self, address: u64, bytes: u64) -> Result<(), TrapCode> {
        if !address.is_multiple_of(bytes) {
            return Err(TrapCode::UnalignedAtomic);
        }
        match address.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(TrapCode::MemoryOutOfBounds),
        }
    }
}

/// # Safety
/// See the head of this file.
pub(crate) unsafe extern "C" fn memory_notify(
    vmctx: Address,
    memory: u32,
    address: u64,
    count: u32,
) -> Answer {
    // SAFETY: the caller's promise.
    unsafe {
        let (store, place) = store_and_place(vmctx, memory);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            place.check(address, 4).map_err(Error::trap)?;
            let woken = match &place.shared {
                // Nobody can wait here.
                None => 0,
                Some(memory) => memory.notify(address, count).map_err(Error::trap)?,
            };
            serve_at_return(store).map(|()| u64::from(woken))
        }));
        answer(store, outcome)
    }
}

/// # Safety
/// See the head of this file.
pub(crate) unsafe extern "C" fn memory_wait32(
    vmctx: Address,
    memory: u32,
    address: u64,
    expected: u32,
    timeout: i64,
) -> Answer {
    // SAFETY: the caller's promise.
    unsafe { wait(vmctx, memory, address, Expected::U32(expected), timeout) }
}

/// # Safety
/// See the head of this file.
pub(crate) unsafe extern "C" fn memory_wait64(
    vmctx: Address,
    memory: u32,
    address: u64,
    expected: u64,
    timeout: i64,
) -> Answer {
    // SAFETY: the caller's promise.
    unsafe { wait(vmctx, memory, address, Expected::U64(expected), timeout) }
}

/// # Safety
/// See the head of this file.
unsafe fn wait(
    vmctx: Address,
    memory: u32,
    address: u64,
    expected: Expected,
    timeout: i64,
) -> Answer {
    // SAFETY: the caller's promise.
    unsafe {
        let (store, place) = store_and_place(vmctx, memory);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let bytes = if matches!(expected, Expected::U32(_)) { 4 } else { 8 };
            place.check(address, bytes).map_err(Error::trap)?;
            let Some(memory) = &place.shared else {
                return Err(Error::trap(TrapCode::ExpectedSharedMemory));
            };
            let poll = Arc::clone(&(*store).poll);
            let in_use = poll.waiter();
            let waited = memory.wait(
                address,
                expected,
                in_use.waiter(),
                deadline(timeout),
                &|| poll.has_request(),
                &mut || serve_at_return(store),
            );
            drop(in_use);
            let waited = waited.map_err(Error::trap)??;
            serve_at_return(store)?;
            Ok(match waited {
                Waited::Woken => 0,
                Waited::Changed => 1,
                Waited::TimedOut => 2,
            })
        }));
        answer(store, outcome)
    }
}

/// Waits, in a host function, for a word of a memory that threads share, as
/// `memory.atomic.wait32` does: requests of the host are served meanwhile.
///
/// # Errors
/// The trap of a guest that waits there, or that a request asks for.
///
/// # Safety
/// `store` is alive, executes a host function on this thread, and no reference to it is live.
pub unsafe fn wait_in_host(
    store: *mut StoreInner,
    memory: &SharedMemory,
    address: u64,
    expected: Expected,
    timeout: Option<Duration>,
) -> Result<Waited, Error> {
    // SAFETY: the caller's promise.
    let poll = unsafe { Arc::clone(&(*store).poll) };
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let asked = || poll.has_request();
    // SAFETY: the caller's promise.
    let mut serve = || unsafe { serve_at_return(store) };
    let in_use = poll.waiter();
    memory
        .wait(address, expected, in_use.waiter(), until, &asked, &mut serve)
        .map_err(Error::trap)?
}

/// When a timeout in nanoseconds ends; `None`: never, as for negative ones, or beyond what the
/// clock can express.
fn deadline(timeout: i64) -> Option<Instant> {
    let timeout = Duration::from_nanos(u64::try_from(timeout).ok()?);
    Instant::now().checked_add(timeout)
}
