//! Which memory mode the machine grants.

use crate::plan::guard_reservation;
use wasmoor_abi::{MemoryMode, MemoryType, Tunables};
use wasmoor_sys::vm::Reservation;

/// Memories with guards that a process should have room for before it relies on guards.
const MEMORIES_MIN: usize = 8;

/// `Guard` where the machine has address space for several memories with guards, else `Checked`.
///
/// The answer is found by trying, so it takes every limit into account: `RLIMIT_AS`, short
/// addresses, what is in use already. It costs two system calls; ask once per engine.
#[must_use]
pub fn choose_memory_mode() -> MemoryMode {
    let preferred = Tunables::default().memory_mode;
    match preferred {
        MemoryMode::Guard { guard_bytes } if is_granted(guard_bytes) => preferred,
        _ => MemoryMode::Checked,
    }
}

fn is_granted(guard_bytes: u64) -> bool {
    let ty =
        MemoryType { minimum: 0, maximum: None, index64: false, shared: false, page_size_log2: 16 };
    guard_reservation(&ty, guard_bytes)
        .and_then(|len| len.checked_mul(MEMORIES_MIN))
        .is_some_and(|len| Reservation::new(len).is_ok())
}
