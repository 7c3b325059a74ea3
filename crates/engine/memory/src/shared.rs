//! Memories that threads share.
//!
//! A shared memory reserves its maximum, so that its base never moves, and it never shrinks: what
//! is in bounds once stays in bounds. Its length is published by one atomic store after the new
//! bytes are accessible. Bytes are only touched by atomic accesses; there is no way to a slice of
//! them. Threads wait for words in one table per process ([`crate::parking`]).
//!
//! A fork copies the pages: in the child the memory is private to it, and of the threads that wait
//! only the forking one exists.
//!
//! # Safety
//! `definition.base..base + length` stays mapped and writable while the value lives. Offsets are
//! compared with the length, which only grows, before anything is touched.

#![allow(unsafe_code)]

use crate::linear::{GrowError, LinearMemory, MemoryError};
use crate::parking::{ParkingLot, Waited, Waiter};
use crate::plan::MemoryPlan;
use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::time::Instant;
use wasmoor_abi::{MemoryMode, MemoryType, TrapCode};
use wasmoor_sys::fork::Hooks;

/// Locks among which waiting threads are spread.
const SHARDS: usize = 64;

static LOT: LazyLock<ParkingLot> = LazyLock::new(|| {
    static HOOKS: Hooks = Hooks { prepare: hold_locks, parent: release_locks, child: empty_locks };
    static ONCE: Once = Once::new();
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
    ParkingLot::new(SHARDS)
});

/// Held while any shared memory grows, which is rare; one lock is one thing to take for a fork.
static GROWTH: Mutex<()> = Mutex::new(());

type Held = (MutexGuard<'static, ()>, Vec<MutexGuard<'static, Queues>>);
type Queues = std::collections::HashMap<usize, std::collections::VecDeque<Arc<Waiter>>>;

thread_local! {
    static HELD: Cell<Option<Held>> = const { Cell::new(None) };
}

fn hold_locks() {
    let growth = GROWTH.lock().unwrap_or_else(PoisonError::into_inner);
    HELD.set(Some((growth, LOT.lock_all())));
}

fn release_locks() {
    drop(HELD.take());
}

/// In the child no thread waits any more.
fn empty_locks() {
    if let Some((_growth, mut queues)) = HELD.take() {
        queues.iter_mut().for_each(|queues| queues.clear());
    }
}

/// What machine code reads of a shared memory; see `wasmoor_abi::vmctx`.
#[repr(C)]
#[derive(Debug)]
struct Definition {
    base: *mut u8,
    length: AtomicU64,
    reach: u64,
}

/// A memory that threads share; see the head of this module.
#[derive(Debug)]
pub struct SharedMemory {
    ty: MemoryType,
    mode: MemoryMode,
    definition: Definition,
    memory: UnsafeCell<LinearMemory>,
}

// SAFETY: `memory` is touched under GROWTH only (and when it is dropped); everything else is
// atomic or never changes.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

/// Why an access of a shared memory fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes at {offset} leave the memory of {bytes} bytes")]
pub struct OutOfBounds {
    /// Where the access starts.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
    /// The memory's length.
    pub bytes: u64,
}

/// What a wait expects, and how wide the word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Four bytes.
    U32(u32),
    /// Eight bytes.
    U64(u64),
}

impl Expected {
    const fn bytes(self) -> u64 {
        match self {
            Expected::U32(_) => 4,
            Expected::U64(_) => 8,
        }
    }
}

impl SharedMemory {
    /// A shared memory of the type's minimum, all zeros.
    ///
    /// # Errors
    /// See [`MemoryError`].
    pub fn new(ty: &MemoryType, plan: &MemoryPlan) -> Result<Self, MemoryError> {
        debug_assert!(ty.shared);
        LazyLock::force(&LOT);
        let memory = LinearMemory::new(&MemoryType { shared: true, ..*ty }, plan)?;
        let length = AtomicU64::new(memory.bytes() as u64);
        Ok(SharedMemory {
            ty: *ty,
            mode: memory.mode(),
            definition: Definition { base: memory.base(), length, reach: memory.reach() },
            memory: UnsafeCell::new(memory),
        })
    }

    /// The type; the minimum is that at creation.
    #[must_use]
    pub fn ty(&self) -> &MemoryType {
        &self.ty
    }

    /// How code that uses the memory must keep its accesses in bounds.
    #[must_use]
    pub fn mode(&self) -> MemoryMode {
        self.mode
    }

    /// Address of the definition that machine code reads.
    #[must_use]
    pub fn definition(&self) -> *const () {
        (&raw const self.definition).cast()
    }

    /// First byte; never moves.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.definition.base
    }

    /// The present length in bytes; only grows.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.definition.length.load(Ordering::SeqCst)
    }

    /// The present length in pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.bytes() >> self.ty.page_size_log2
    }

    /// Adds pages of zeros if `admit` accepts the new length in bytes; the pages before.
    ///
    /// # Errors
    /// `None` if `admit` refused; else see [`GrowError`].
    pub fn grow(
        &self,
        delta: u64,
        admit: impl FnOnce(u64) -> bool,
    ) -> Result<u64, Option<GrowError>> {
        let _growth = GROWTH.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only this function uses the field, under the lock.
        let memory = unsafe { &mut *self.memory.get() };
        let pages = memory.pages();
        let wanted = pages.saturating_add(delta).saturating_mul(self.ty.page_bytes());
        if !admit(wanted) {
            return Err(None);
        }
        let before = memory.grow(delta).map_err(Some)?;
        debug_assert!(memory.base() == self.definition.base, "shared memories never move");
        self.definition.length.store(memory.bytes() as u64, Ordering::SeqCst);
        Ok(before)
    }

    /// The address of a range that lies in the memory.
    fn range(&self, offset: u64, len: u64) -> Result<*mut u8, OutOfBounds> {
        let bytes = self.bytes();
        match offset.checked_add(len) {
            // SAFETY: the range is within the mapping, whose length only grows.
            Some(end) if end <= bytes => Ok(unsafe { self.base().add(offset as usize) }),
            _ => Err(OutOfBounds { offset, len, bytes }),
        }
    }

    /// Copies bytes out; concurrent changes may be seen in part.
    ///
    /// # Errors
    /// When the range leaves the memory.
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<(), OutOfBounds> {
        let from = self.range(offset, to.len() as u64)?;
        // SAFETY: the range lies in the memory.
        unsafe { load_bytes(from, to) };
        Ok(())
    }

    /// Copies bytes in; other threads may see them in part.
    ///
    /// # Errors
    /// When the range leaves the memory.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<(), OutOfBounds> {
        let to = self.range(offset, from.len() as u64)?;
        // SAFETY: the range lies in the memory.
        unsafe { store_bytes(to, from) };
        Ok(())
    }

    /// Wakes threads that wait at an offset.
    ///
    /// # Errors
    /// The trap of a guest that does so: the offset is not aligned to four or leaves the memory.
    pub fn notify(&self, offset: u64, count: u32) -> Result<u32, TrapCode> {
        let address = self.word(offset, 4)?;
        Ok(LOT.notify(address as usize, count))
    }

    /// Waits at an offset; see [`ParkingLot::wait`] for the other arguments.
    ///
    /// # Errors
    /// In the outer result the trap of a guest that does so: the offset is not aligned or leaves
    /// the memory. In the inner one what `serve` says.
    pub fn wait<E>(
        &self,
        offset: u64,
        expected: Expected,
        waiter: &Arc<Waiter>,
        deadline: Option<Instant>,
        is_asked: &dyn Fn() -> bool,
        serve: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Result<Waited, E>, TrapCode> {
        let address = self.word(offset, expected.bytes())?;
        // SAFETY: the word lies in the memory and is aligned; threads only use it atomically.
        let is_expected = || unsafe {
            match expected {
                Expected::U32(value) => {
                    AtomicU32::from_ptr(address.cast()).load(Ordering::SeqCst) == value
                }
                Expected::U64(value) => {
                    AtomicU64::from_ptr(address.cast()).load(Ordering::SeqCst) == value
                }
            }
        };
        Ok(LOT.wait(address as usize, waiter, is_expected, deadline, is_asked, serve))
    }

    /// The address of a word of so many bytes.
    fn word(&self, offset: u64, bytes: u64) -> Result<*mut u8, TrapCode> {
        if !offset.is_multiple_of(bytes) {
            return Err(TrapCode::UnalignedAtomic);
        }
        self.range(offset, bytes).map_err(|_| TrapCode::MemoryOutOfBounds)
    }
}

macro_rules! atomics {
    ($( $atomic:ident, $int:ident: $load:ident $store:ident $add:ident $exchange:ident; )*) => {
        impl SharedMemory { $(
            /// Loads a word, sequentially consistent.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $load(&self, offset: u64) -> Result<$int, TrapCode> {
                self.$int(offset, |word| word.load(Ordering::SeqCst))
            }

            /// Stores a word, sequentially consistent.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $store(&self, offset: u64, value: $int) -> Result<(), TrapCode> {
                self.$int(offset, |word| word.store(value, Ordering::SeqCst))
            }

            /// Adds to a word, wrapping around; answers what was there.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $add(&self, offset: u64, value: $int) -> Result<$int, TrapCode> {
                self.$int(offset, |word| word.fetch_add(value, Ordering::SeqCst))
            }

            /// Replaces a word if it is what is expected; answers what was there.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $exchange(
                &self,
                offset: u64,
                expected: $int,
                new: $int,
            ) -> Result<$int, TrapCode> {
                self.$int(offset, |word| {
                    let order = Ordering::SeqCst;
                    word.compare_exchange(expected, new, order, order).unwrap_or_else(|was| was)
                })
            }

            fn $int<R>(
                &self,
                offset: u64,
                f: impl FnOnce(&$atomic) -> R,
            ) -> Result<R, TrapCode> {
                let address = self.word(offset, size_of::<$int>() as u64)?;
                // SAFETY: the word lies in the memory and is aligned; the reference to it ends
                // with the call, and threads only use it atomically.
                Ok(f(unsafe { $atomic::from_ptr(address.cast()) }))
            }
        )* }
    };
}

atomics! {
    AtomicU32, u32: load_u32 store_u32 fetch_add_u32 compare_exchange_u32;
    AtomicU64, u64: load_u64 store_u64 fetch_add_u64 compare_exchange_u64;
}

/// Bytes moved at once where addresses allow it.
const WORD: usize = size_of::<u64>();

/// The byte at an address as other threads see it.
///
/// # Safety
/// The address lies in a shared memory that outlives the reference.
unsafe fn byte<'m>(address: *mut u8) -> &'m AtomicU8 {
    // SAFETY: the caller's promise.
    unsafe { AtomicU8::from_ptr(address) }
}

/// The aligned word at an address as other threads see it.
///
/// # Safety
/// As for [`byte`], and the address is a multiple of [`WORD`].
unsafe fn word<'m>(address: *mut u8) -> &'m AtomicU64 {
    // SAFETY: the caller's promise.
    unsafe { AtomicU64::from_ptr(address.cast()) }
}

/// Loads bytes that other threads may change meanwhile.
///
/// # Safety
/// The source range lies in a shared memory.
pub unsafe fn load_bytes(from: *mut u8, to: &mut [u8]) {
    let mut at = 0;
    while at < to.len() {
        // SAFETY: `at` is within the range.
        let here = unsafe { from.add(at) };
        let rest = &mut to[at..];
        if let Some(chunk) = rest.first_chunk_mut::<WORD>()
            && here.addr().is_multiple_of(WORD)
        {
            // SAFETY: the whole word is within the range, and aligned.
            *chunk = unsafe { word(here) }.load(Ordering::Relaxed).to_ne_bytes();
            at += WORD;
        } else {
            // SAFETY: the byte is within the range.
            rest[0] = unsafe { byte(here) }.load(Ordering::Relaxed);
            at += 1;
        }
    }
}

/// Stores bytes that other threads may use meanwhile.
///
/// # Safety
/// The destination range lies in a shared memory.
pub unsafe fn store_bytes(to: *mut u8, from: &[u8]) {
    let mut at = 0;
    while at < from.len() {
        // SAFETY: `at` is within the range.
        let here = unsafe { to.add(at) };
        let rest = &from[at..];
        if let Some(chunk) = rest.first_chunk::<WORD>()
            && here.addr().is_multiple_of(WORD)
        {
            // SAFETY: the whole word is within the range, and aligned.
            unsafe { word(here) }.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
            at += WORD;
        } else {
            // SAFETY: the byte is within the range.
            unsafe { byte(here) }.store(rest[0], Ordering::Relaxed);
            at += 1;
        }
    }
}

/// Fills bytes that other threads may use meanwhile.
///
/// # Safety
/// The range lies in a shared memory.
pub unsafe fn fill_bytes(to: *mut u8, value: u8, len: usize) {
    let chunk = [value; 4096];
    for at in (0..len).step_by(chunk.len()) {
        let count = chunk.len().min(len - at);
        // SAFETY: `at..at + count` is within the range.
        unsafe { store_bytes(to.add(at), &chunk[..count]) };
    }
}

/// Copies bytes between memories of which at least one is shared; they may overlap.
///
/// # Safety
/// Both ranges lie in memories.
pub unsafe fn copy_bytes(to: *mut u8, from: *mut u8, len: usize) {
    let mut chunk = [0; 4096];
    let starts = (0..len).step_by(chunk.len());
    let mut copy = |at: usize| {
        let count = chunk.len().min(len - at);
        // SAFETY: `at..at + count` is within both ranges.
        unsafe {
            load_bytes(from.add(at), &mut chunk[..count]);
            store_bytes(to.add(at), &chunk[..count]);
        }
    };
    // A destination above the source is filled from the end, so that nothing is overwritten that
    // is still to be read.
    if to.addr() > from.addr() {
        starts.rev().for_each(&mut copy);
    } else {
        starts.for_each(&mut copy);
    }
}
