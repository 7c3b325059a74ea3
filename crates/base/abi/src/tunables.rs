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
    /// Every access is compared with the memory's current length. The base may move on growth.
    Checked,
}

/// Choices that change machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunables {
    /// How accesses to 32-bit memories are checked. 64-bit memories are always `Checked`.
    pub memory_mode: MemoryMode,
    /// Whether code counts fuel.
    pub fuel: bool,
    /// Whether functions and loops poll, so that the host can find out what is hot; guests are
    /// stopped without it.
    pub poll: bool,
    /// Whether relaxed vector operators have the results that every machine can produce, instead
    /// of those that this machine produces fastest.
    pub relaxed_simd_deterministic: bool,
}

impl Default for Tunables {
    fn default() -> Self {
        Tunables {
            memory_mode: MemoryMode::Guard { guard_bytes: 32 << 20 },
            fuel: false,
            poll: true,
            relaxed_simd_deterministic: false,
        }
    }
}

impl Tunables {
    /// The mode that code for a memory with this index width is compiled for.
    #[must_use]
    pub const fn memory_mode_for(&self, index64: bool) -> MemoryMode {
        if index64 { MemoryMode::Checked } else { self.memory_mode }
    }

    /// The mode that code for a memory of this type is compiled for: the index must be 32 bits
    /// wide, and pages smaller than the host's cannot be kept in bounds by guards.
    #[must_use]
    pub const fn memory_mode_of(&self, ty: &MemoryType) -> MemoryMode {
        self.memory_mode_for(ty.index64 || ty.page_size_log2 < 16)
    }
}
