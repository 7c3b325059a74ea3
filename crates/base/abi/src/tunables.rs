//! Choices that change machine code. Code made under other tunables must not be linked together.

use crate::types::MemoryType;

/// How accesses to linear memory are kept in bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryMode {
    /// The memory's reservation covers every address that a 32-bit index plus an offset below
    /// `guard_bytes` can form; what is not accessible faults. The base never moves.
    Guard {
        /// Inaccessible bytes behind the 4 GiB that an index reaches.
        guard_bytes: u64,
    },
    /// For 64-bit memories. An index above the memory's *reach*, a constant of the memory, is
    /// replaced by the reach, which lies behind all bytes that the memory can ever have; what is
    /// not accessible faults. The base never moves. The reservation is
    ///
    /// ```text
    /// [ CLAMP_GUARD_BYTES | base: bytes that there can be | CLAMP_GUARD_BYTES | CLAMP_GUARD_BYTES ]
    ///                                                                         base + reach
    /// ```
    ///
    /// so that offsets below [`CLAMP_GUARD_BYTES`] need no comparison of their own, and for an
    /// index `x + c` with `c` of either sign up to half of that it is enough to look at `x`.
    Clamped,
    /// Every access is compared with the memory's current length. The base may move on growth.
    Checked,
}

/// Bytes that a [`MemoryMode::Clamped`] memory has room for at least: addresses known to be below
/// this need no clamp.
pub const CLAMP_ROOM_BYTES_MIN: u64 = 64 << 30;

/// Inaccessible bytes before a [`MemoryMode::Clamped`] memory, between its room and its reach, and
/// behind its reach.
pub const CLAMP_GUARD_BYTES: u64 = 2 << 30;

/// Choices that change machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunables {
    /// How accesses to 32-bit memories are checked.
    pub memory_mode: MemoryMode,
    /// Whether accesses to 64-bit memories are `Clamped`, and not `Checked`.
    pub clamped64: bool,
    /// Whether code counts fuel.
    pub fuel: bool,
    /// Whether functions and loops poll, so that the host can find out what is hot; guests are
    /// stopped without it.
    pub poll: bool,
    /// Whether relaxed vector operators have the results of the specification's deterministic
    /// profile, instead of those that this machine produces fastest.
    pub relaxed_simd_deterministic: bool,
}

impl Default for Tunables {
    fn default() -> Self {
        Tunables {
            memory_mode: MemoryMode::Guard { guard_bytes: 32 << 20 },
            clamped64: true,
            fuel: false,
            poll: true,
            relaxed_simd_deterministic: false,
        }
    }
}

impl Tunables {
    /// The mode that code for a memory of this type is compiled for. Pages smaller than the host's
    /// cannot be kept in bounds by what is inaccessible.
    #[must_use]
    pub const fn memory_mode_of(&self, ty: &MemoryType) -> MemoryMode {
        match (ty.page_size_log2 >= 16, ty.index64, self.clamped64) {
            (true, false, _) => self.memory_mode,
            (true, true, true) => MemoryMode::Clamped,
            _ => MemoryMode::Checked,
        }
    }
}
