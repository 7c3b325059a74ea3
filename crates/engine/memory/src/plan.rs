//! How much address space a memory gets.
//!
//! ```text
//! Guard     [ bytes: read-write | inaccessible ... 4 GiB | guard_bytes | one page ]   never moves
//! Clamped   [ 2 GiB | bytes: read-write | inaccessible ... 64 GiB | 4 GiB | one page ]
//!                   base                                                      never moves
//! Checked   [ bytes: read-write | inaccessible ........ ]                     moves when outgrown
//! ```
//!
//! The page behind the guard is for the width of an access that starts on the guard's last byte.

use crate::creator::MemoryRequest;
use crate::linear::MemoryError;
use wasmoor_abi::{MemoryMode, MemoryType};
use wasmoor_sys::vm;

/// Bytes that a 32-bit index reaches.
const INDEX32_BYTES: u64 = 1 << 32;
/// What is wanted for a `Clamped` memory whose type says that it may grow so far.
const CLAMP_ROOM_BYTES_BEST: usize = 256 << 30;
/// Inaccessible bytes on either side of a `Clamped` memory's reach, which is in bounds of `usize`
/// wherever such memories are.
const CLAMP_GUARD: usize = wasmoor_abi::CLAMP_GUARD_BYTES as usize;

/// Choices of the host for a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// How the code that uses the memory keeps its accesses in bounds.
    pub mode: MemoryMode,
    /// Bytes of address space that a `Checked` memory gets at first, even if it needs fewer. One
    /// whose maximum is not above this never moves.
    pub reservation_bytes_max: usize,
}

impl MemoryPlan {
    /// 64 MiB: enough that most guests' memories never move, small enough for 100,000 of them.
    pub const RESERVATION_BYTES_MAX_DEFAULT: usize = 64 << 20;

    /// The plan for a mode, with the default reservation.
    #[must_use]
    pub const fn new(mode: MemoryMode) -> Self {
        MemoryPlan { mode, reservation_bytes_max: Self::RESERVATION_BYTES_MAX_DEFAULT }
    }
}

/// A memory's type in bytes and pages, with the arithmetic that cannot overflow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) page_size_log2: u8,
    /// Pages that the type and its index allow.
    pub(crate) pages_max: u64,
}

impl Size {
    pub(crate) fn of(ty: &MemoryType) -> Self {
        let by_index = ty.pages_max_by_index();
        let pages_max = ty.maximum.map_or(by_index, |maximum| maximum.min(by_index));
        Size { page_size_log2: ty.page_size_log2, pages_max }
    }

    /// Bytes of this many pages; `None`: more than the host can address.
    pub(crate) fn bytes(&self, pages: u64) -> Option<usize> {
        let bytes = pages.checked_mul(1 << self.page_size_log2)?;
        usize::try_from(bytes).ok().filter(|&bytes| bytes <= isize::MAX as usize)
    }

    /// Pages that the type and its index allow and the host can address: what errors name.
    pub(crate) fn pages_at_most(&self) -> u64 {
        self.pages_max.min((isize::MAX as u64) >> self.page_size_log2)
    }

    /// The type's maximum in bytes, saturating.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes(self.pages_max).unwrap_or(isize::MAX as usize)
    }
}

/// Bytes of address space for a memory that starts with `bytes`: what is wanted, and what will do
/// where that is refused; both counted from the memory's base on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) best: usize,
    pub(crate) least: usize,
    /// Inaccessible bytes before the base.
    pub(crate) front: usize,
}

pub(crate) fn reservation(
    plan: &MemoryPlan,
    ty: &MemoryType,
    bytes: usize,
) -> Result<Wanted, MemoryError> {
    match plan.mode {
        MemoryMode::Guard { guard_bytes } => {
            let len = guard_reservation(ty, guard_bytes).ok_or(MemoryError::Guard(*ty))?;
            Ok(Wanted { best: len, least: len, front: 0 })
        }
        MemoryMode::Clamped => {
            if !ty.index64 || !has_whole_pages(ty) {
                return Err(MemoryError::Guard(*ty));
            }
            let [best, least] = clamp_rooms(ty, bytes).map(clamp_len);
            Ok(Wanted { best, least, front: CLAMP_GUARD })
        }
        MemoryMode::Checked => {
            let max = Size::of(ty).bytes_max();
            // Threads that use a shared memory cannot be told of a new base.
            let best = if ty.shared { max } else { max.min(plan.reservation_bytes_max).max(bytes) };
            let least = if ty.shared { max } else { bytes };
            // A memory without bytes has a base, too.
            Ok(Wanted { best: best.max(1), least: least.max(1), front: 0 })
        }
    }
}

/// Bytes that a `Clamped` memory may grow to: what is wanted, and what will do.
fn clamp_rooms(ty: &MemoryType, bytes: usize) -> [usize; 2] {
    let room_min = wasmoor_abi::CLAMP_ROOM_BYTES_MIN as usize;
    let max = Size::of(ty).bytes_max();
    if ty.shared {
        return [max.max(room_min); 2];
    }
    let best = match ty.maximum {
        Some(_) => max.min(CLAMP_ROOM_BYTES_BEST),
        None => room_min,
    };
    let grown = bytes.saturating_mul(2).min(max);
    [best.max(grown).max(room_min), bytes.max(room_min)]
}

/// Bytes of address space, from the base on, for a `Clamped` memory; too many if it overflows.
fn clamp_len(room: usize) -> usize {
    room.saturating_add(2 * CLAMP_GUARD).saturating_add(vm::page_bytes())
}

/// The inverse of [`clamp_len`].
pub(crate) fn clamp_room(len: usize) -> usize {
    len.saturating_sub(2 * CLAMP_GUARD + vm::page_bytes())
}

/// What indices are clamped to in a memory that has this much room.
pub(crate) fn clamp_reach(room: usize) -> usize {
    room + CLAMP_GUARD
}

/// Bytes of address space that a `Clamped` memory without a maximum takes.
pub(crate) fn clamp_reservation() -> usize {
    clamp_len(wasmoor_abi::CLAMP_ROOM_BYTES_MIN as usize).saturating_add(CLAMP_GUARD)
}

/// Whether what is accessible can end where the memory ends.
fn has_whole_pages(ty: &MemoryType) -> bool {
    ty.page_bytes().is_multiple_of(vm::page_bytes() as u64)
}

/// What an embedder's creator is asked for.
pub(crate) fn request(
    plan: &MemoryPlan,
    ty: &MemoryType,
    bytes: usize,
) -> Result<MemoryRequest, MemoryError> {
    let (reserved_bytes, guard_bytes) = match plan.mode {
        MemoryMode::Guard { guard_bytes } => {
            let len = guard_reservation(ty, guard_bytes).ok_or(MemoryError::Guard(*ty))?;
            // It is less than `len`, which fits.
            (INDEX32_BYTES as usize, len - INDEX32_BYTES as usize)
        }
        // Engines with a creator of memories have code that checks these.
        MemoryMode::Clamped => return Err(MemoryError::Guard(*ty)),
        MemoryMode::Checked => (0, 0),
    };
    let bytes_max = Size::of(ty).bytes_max();
    Ok(MemoryRequest { ty: *ty, bytes, bytes_max, reserved_bytes, guard_bytes })
}

/// Bytes of a reservation under guards; `None` where guards cannot do: 64-bit indices reach
/// everywhere, and pages smaller than the host's would leave accessible bytes behind the end.
pub(crate) fn guard_reservation(ty: &MemoryType, guard_bytes: u64) -> Option<usize> {
    let host_page = vm::page_bytes() as u64;
    if ty.index64 || !has_whole_pages(ty) {
        return None;
    }
    let len = INDEX32_BYTES.checked_add(guard_bytes)?.checked_add(host_page)?;
    usize::try_from(len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(maximum: Option<u64>, index64: bool, page_size_log2: u8) -> MemoryType {
        MemoryType { minimum: 0, maximum, index64, shared: false, page_size_log2 }
    }

    #[test]
    fn sizes_never_overflow() {
        for (ty, pages_max, bytes_max) in [
            (ty(None, false, 16), 1 << 16, 1 << 32),
            (ty(Some(3), false, 16), 3, 3 << 16),
            (ty(Some(u64::MAX), false, 16), 1 << 16, 1 << 32),
            (ty(None, false, 0), 1 << 32, 1 << 32),
            (ty(None, true, 16), 1 << 48, isize::MAX as usize),
            (ty(None, true, 0), u64::MAX, isize::MAX as usize),
            (ty(Some(1 << 47), true, 16), 1 << 47, isize::MAX as usize),
            (ty(Some(u64::MAX), true, 0), u64::MAX, isize::MAX as usize),
            (ty(Some(0), true, 0), 0, 0),
        ] {
            let size = Size::of(&ty);
            assert_eq!((size.pages_max, size.bytes_max()), (pages_max, bytes_max), "{ty}");
            assert_eq!(size.bytes(u64::MAX), None, "{ty}");
        }
    }

    #[test]
    fn checked_memories_reserve_little_and_shared_ones_all() {
        let plan = MemoryPlan { mode: MemoryMode::Checked, reservation_bytes_max: 1 << 20 };
        let shared = MemoryType { shared: true, ..ty(Some(100), false, 16) };
        for (ty, bytes, best, least) in [
            (ty(None, false, 16), 0, 1 << 20, 1),
            (ty(None, true, 16), 3 << 20, 3 << 20, 3 << 20),
            (ty(Some(2), false, 16), 1 << 16, 2 << 16, 1 << 16),
            (ty(Some(0), false, 16), 0, 1, 1),
            (shared, 1 << 16, 100 << 16, 100 << 16),
        ] {
            let wanted = Wanted { best, least, front: 0 };
            assert_eq!(reservation(&plan, &ty, bytes).unwrap(), wanted, "{ty}");
        }
    }

    #[test]
    fn clamped_memories_have_room_to_grow_to() {
        const GIB: usize = 1 << 30;
        let plan = MemoryPlan::new(MemoryMode::Clamped);
        let around = 4 * GIB + vm::page_bytes();
        let shared = MemoryType { shared: true, ..ty(Some(3), true, 16) };
        for (ty, bytes, best, least) in [
            (ty(None, true, 16), 0, 64, 64),
            (ty(None, true, 16), 40 * GIB, 80, 64),
            (ty(None, true, 16), 100 * GIB, 200, 100),
            (ty(Some(3), true, 16), 1 << 16, 64, 64),
            (ty(Some(100 << 14), true, 16), 0, 100, 64),
            (ty(Some(1 << 40), true, 16), 0, 256, 64),
            (ty(Some(300 << 14), true, 16), 200 * GIB, 300, 200),
            (shared, 1 << 16, 64, 64),
            (MemoryType { maximum: Some(100 << 14), ..shared }, 0, 100, 100),
        ] {
            let [best, least] = [best, least].map(|room| room * GIB + around);
            let wanted = Wanted { best, least, front: 2 * GIB };
            assert_eq!(reservation(&plan, &ty, bytes).unwrap(), wanted, "{ty}");
            assert!(clamp_reach(clamp_room(least)) < least, "{ty}");
        }
        let most = reservation(&plan, &ty(None, true, 16), isize::MAX as usize).unwrap();
        assert!(most.least > isize::MAX as usize, "the system will refuse it");
        for ty in [ty(None, false, 16), ty(None, true, 0)] {
            assert!(matches!(reservation(&plan, &ty, 0), Err(MemoryError::Guard(_))), "{ty}");
        }
    }

    #[test]
    fn guards_need_32_bit_indices_and_large_pages() {
        let guard_bytes = 32 << 20;
        let len = guard_reservation(&ty(None, false, 16), guard_bytes).unwrap();
        assert_eq!(len, (1 << 32) + (32 << 20) + vm::page_bytes());
        assert_eq!(guard_reservation(&ty(None, true, 16), guard_bytes), None);
        assert_eq!(guard_reservation(&ty(None, false, 0), guard_bytes), None);
        assert_eq!(guard_reservation(&ty(None, false, 16), u64::MAX), None);
    }
}
