//! Which memory mode the machine grants.

use crate::claim::Claim;
use crate::plan::{clamp_reservation, guard_reservation};
use crate::reset::OWN_PAGES_MAX;
use wasmoor_abi::{MemoryMode, MemoryType, Tunables};
use wasmoor_sys::memory_limit;
use wasmoor_sys::vm::{self, Reservation};

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

/// Memories that may keep pages while nobody uses them: with the most that each may keep, they all
/// have an eighth of what the process may take.
#[must_use]
pub fn memories_kept_max() -> u32 {
    memory_limit::bytes().map_or(u32::MAX, kept_max)
}

fn kept_max(bytes: u64) -> u32 {
    let kept = bytes / 8 / (OWN_PAGES_MAX * vm::page_bytes()) as u64;
    u32::try_from(kept).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_a_part_of_what_there_is() {
        let memory = (OWN_PAGES_MAX * vm::page_bytes()) as u64;
        let rows = [(8 * memory * 1000, 1000), (8 * memory, 1), (8 * memory - 1, 0), (0, 0)];
        for (bytes, expected) in rows {
            assert_eq!(kept_max(bytes), expected, "{bytes} bytes");
        }
        assert!(kept_max(u64::MAX) > 1 << 30);
    }
}
