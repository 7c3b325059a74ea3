//! How much memory there is to be had.

use crate::port;

/// Bytes that this process may take at most, by any limit that is known: those of its control groups,
/// its address space, and the machine's memory. `None`: none is known.
#[must_use]
pub fn bytes() -> Option<u64> {
    port::memory_limit::bytes()
}
