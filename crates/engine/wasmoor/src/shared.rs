//! Memories that threads share.

use crate::{Engine, Error, MemoryType, Result, TrapCode};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmoor_memory::{self as memory, Expected, MemoryPlan, Waiter};
pub use wasmoor_memory::{OutOfBounds, Waited};

/// A linear memory that instances of several stores, on several threads, import at the same time.
///
/// Unlike [`crate::Memory`] it belongs to no store, and there is no way to a slice of its bytes:
/// they are read, written and used as atomic words by methods, while guests run. It lives as long
/// as a clone of it or a store that uses it.
///
/// Growth is charged to the store whose guest asks for it, for all bytes that it has not been
/// charged for yet; a store that only imports the memory is charged for its size at that time.
#[derive(Clone, Debug)]
pub struct SharedMemory {
    pub(crate) inner: Arc<memory::SharedMemory>,
}

impl SharedMemory {
    /// A shared memory for modules of this engine (or of one that keeps memories in bounds in the
    /// same way).
    ///
    /// # Errors
    /// When the type is not shared or has no maximum, or the system refuses the memory.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory> {
        if !ty.shared || ty.maximum.is_none() {
            return Err(Error::usage(format!("`{ty}` is no type of a shared memory")));
        }
        let plan = MemoryPlan::new(engine.inner.config().tunables.memory_mode_of(&ty));
        let inner = memory::SharedMemory::new(&ty, &plan)
            .map_err(|error| Error::from(crate::ErrorKind::Limit(error.to_string())))?;
        Ok(SharedMemory { inner: Arc::new(inner) })
    }

    /// The type, with the present size as minimum.
    #[must_use]
    pub fn ty(&self) -> MemoryType {
        MemoryType { minimum: self.size(), ..*self.inner.ty() }
    }

    /// Length in bytes at this moment; it never shrinks.
    #[must_use]
    pub fn data_size(&self) -> u64 {
        self.inner.bytes()
    }

    /// Length in pages at this moment; it never shrinks.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.inner.pages()
    }

    /// Grows by pages, at the host's expense; answers the pages before.
    ///
    /// # Errors
    /// When the type's maximum or the system refuses.
    pub fn grow(&self, delta: u64) -> Result<u64> {
        self.inner
            .grow(delta, |_| true)
            .map_err(|_| Error::usage(format!("the memory cannot grow by {delta} pages")))
    }

    /// Copies bytes out of the memory. What other threads write meanwhile may be seen in part.
    ///
    /// # Errors
    /// When the range leaves the memory.
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<(), OutOfBounds> {
        self.inner.read(offset, to)
    }

    /// Copies bytes into the memory. Other threads may see them in part.
    ///
    /// # Errors
    /// When the range leaves the memory.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<(), OutOfBounds> {
        self.inner.write(offset, from)
    }

    /// Wakes at most `count` threads that wait at an offset; answers how many.
    ///
    /// # Errors
    /// When the offset is not a multiple of four or leaves the memory.
    pub fn notify(&self, offset: u64, count: u32) -> Result<u32, TrapCode> {
        self.inner.notify(offset, count)
    }

    /// Blocks this thread until another one notifies the offset, if the word there is as expected.
    ///
    /// # Errors
    /// When the offset is not a multiple of four or leaves the memory.
    pub fn wait32(
        &self,
        offset: u64,
        expected: u32,
        timeout: Option<Duration>,
    ) -> Result<Waited, TrapCode> {
        self.wait(offset, Expected::U32(expected), timeout)
    }

    /// As [`SharedMemory::wait32`] for a word of eight bytes.
    ///
    /// # Errors
    /// When the offset is not a multiple of eight or leaves the memory.
    pub fn wait64(
        &self,
        offset: u64,
        expected: u64,
        timeout: Option<Duration>,
    ) -> Result<Waited, TrapCode> {
        self.wait(offset, Expected::U64(expected), timeout)
    }

    fn wait(
        &self,
        offset: u64,
        expected: Expected,
        timeout: Option<Duration>,
    ) -> Result<Waited, TrapCode> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let waiter = Arc::new(Waiter::default());
        let mut serve = || Ok::<(), Infallible>(());
        let waited = self.inner.wait(offset, expected, &waiter, deadline, &|| false, &mut serve)?;
        match waited {
            Ok(waited) => Ok(waited),
            Err(never) => match never {},
        }
    }
}

macro_rules! atomics {
    ($($int:ident: $load:ident $store:ident $add:ident $exchange:ident;)*) => {
        /// Sequentially consistent operations on words, which must be aligned.
        impl SharedMemory { $(
            /// Loads a word.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $load(&self, offset: u64) -> Result<$int, TrapCode> {
                self.inner.$load(offset)
            }

            /// Stores a word.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $store(&self, offset: u64, value: $int) -> Result<(), TrapCode> {
                self.inner.$store(offset, value)
            }

            /// Adds to a word, wrapping around; answers what was there.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $add(&self, offset: u64, value: $int) -> Result<$int, TrapCode> {
                self.inner.$add(offset, value)
            }

            /// Replaces a word if it is as expected; answers what was there.
            ///
            /// # Errors
            /// When the offset is not aligned or leaves the memory.
            pub fn $exchange(
                &self,
                offset: u64,
                expected: $int,
                new: $int,
            ) -> Result<$int, TrapCode> {
                self.inner.$exchange(offset, expected, new)
            }
        )* }
    };
}

atomics! {
    u32: load_u32 store_u32 fetch_add_u32 compare_exchange_u32;
    u64: load_u64 store_u64 fetch_add_u64 compare_exchange_u64;
}
