//! Which memory mode the machine grants.

use crate::claim::Claim;
use crate::plan::{clamp_reservation, guard_reservation};
use wasmoor_abi::{MemoryMode, MemoryType, Tunables};
use wasmoor_sys::vm::Reservation;

/// Memories with guards that a process should have room for before it relies on guards.
const MEMORIES_MIN: usize = 8;
/// ... when it makes many instances.
const POOLED_MEMORIES_MIN: usize = 64;

/// `Guard` where the machine has address space for several memories with guards, else `Checked`.
#[must_use]
pub fn choose_memory_mode() -> MemoryMode {
    choose(MEMORIES_MIN)
}

/// As [`choose_memory_mode`], for a pool of up to `slots_max` instances.
#[must_use]
pub fn choose_pool_memory_mode(slots_max: usize) -> MemoryMode {
    choose(slots_max.clamp(MEMORIES_MIN, POOLED_MEMORIES_MIN))
}

/// Whether 64-bit memories may be `Clamped`: the machine has address space for several of them, or
/// for those of a pool of so many instances.
#[must_use]
pub fn choose_clamped64(slots_max: Option<usize>) -> bool {
    clamp_reservation()
        .checked_mul(slots_max.unwrap_or(0).max(MEMORIES_MIN))
        .is_some_and(|len| Claim::is_possible(len) && Reservation::new(len).is_ok())
}

/// The answer is found by trying, so it takes every limit into account: `RLIMIT_AS`, short
/// addresses, what is in use already. It costs two system calls; ask once per engine.
fn choose(memories: usize) -> MemoryMode {
    let preferred = Tunables::default().memory_mode;
    match preferred {
        MemoryMode::Guard { guard_bytes } if is_granted(guard_bytes, memories) => preferred,
        _ => MemoryMode::Checked,
    }
}

fn is_granted(guard_bytes: u64, memories: usize) -> bool {
    let ty =
        MemoryType { minimum: 0, maximum: None, index64: false, shared: false, page_size_log2: 16 };
    guard_reservation(&ty, guard_bytes)
        .and_then(|len| len.checked_mul(memories))
        .is_some_and(|len| Reservation::new(len).is_ok())
}
