//! Registers, conditions and operands of x86-64.

/// A general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gpr(pub(crate) u8);

/// A vector register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Xmm(pub(crate) u8);

#[allow(missing_docs, reason = "the names are the architecture's")]
impl Gpr {
    pub(crate) const RAX: Gpr = Gpr(0);
    pub(crate) const RCX: Gpr = Gpr(1);
    pub(crate) const RDX: Gpr = Gpr(2);
    pub(crate) const RBX: Gpr = Gpr(3);
    pub(crate) const RSP: Gpr = Gpr(4);
    pub(crate) const RBP: Gpr = Gpr(5);
    pub(crate) const RSI: Gpr = Gpr(6);
    pub(crate) const RDI: Gpr = Gpr(7);
    pub(crate) const R8: Gpr = Gpr(8);
    pub(crate) const R9: Gpr = Gpr(9);
    pub(crate) const R10: Gpr = Gpr(10);
    pub(crate) const R11: Gpr = Gpr(11);
    pub(crate) const R12: Gpr = Gpr(12);
    pub(crate) const R13: Gpr = Gpr(13);
    pub(crate) const R14: Gpr = Gpr(14);
    pub(crate) const R15: Gpr = Gpr(15);

    /// The register's bit in a mask.
    pub(crate) const fn bit(self) -> u16 {
        1 << self.0
    }
}

impl Xmm {
    /// Where the first float argument and result travel.
    pub(crate) const XMM0: Xmm = Xmm(0);
    /// Second scratch register of operators.
    pub(crate) const XMM14: Xmm = Xmm(14);
    /// First scratch register of operators, and of moves.
    pub(crate) const XMM15: Xmm = Xmm(15);

    /// The register's bit in a mask.
    pub(crate) const fn bit(self) -> u16 {
        1 << self.0
    }
}

/// A condition of the flags, by its number in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cc(pub(crate) u8);

#[allow(missing_docs, reason = "the names are the architecture's")]
impl Cc {
    pub(crate) const O: Cc = Cc(0);
    pub(crate) const NO: Cc = Cc(1);
    pub(crate) const B: Cc = Cc(2);
    pub(crate) const AE: Cc = Cc(3);
    pub(crate) const E: Cc = Cc(4);
    pub(crate) const NE: Cc = Cc(5);
    pub(crate) const BE: Cc = Cc(6);
    pub(crate) const A: Cc = Cc(7);
    pub(crate) const S: Cc = Cc(8);
    pub(crate) const NS: Cc = Cc(9);
    pub(crate) const P: Cc = Cc(10);
    pub(crate) const NP: Cc = Cc(11);
    pub(crate) const L: Cc = Cc(12);
    pub(crate) const GE: Cc = Cc(13);
    pub(crate) const LE: Cc = Cc(14);
    pub(crate) const G: Cc = Cc(15);

    /// The opposite condition.
    pub(crate) const fn negate(self) -> Cc {
        Cc(self.0 ^ 1)
    }

    /// The condition with the operands of the comparison exchanged.
    pub(crate) const fn swap(self) -> Cc {
        match self {
            Cc::B => Cc::A,
            Cc::A => Cc::B,
            Cc::AE => Cc::BE,
            Cc::BE => Cc::AE,
            Cc::L => Cc::G,
            Cc::G => Cc::L,
            Cc::LE => Cc::GE,
            Cc::GE => Cc::LE,
            same => same,
        }
    }
}

/// Width of an integer operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// 32 bits; the upper half of the destination becomes zero.
    S32,
    /// 64 bits.
    S64,
}

impl Size {
    pub(crate) const fn wide(self) -> bool {
        matches!(self, Size::S64)
    }

    pub(crate) const fn bits(self) -> u8 {
        match self {
            Size::S32 => 32,
            Size::S64 => 64,
        }
    }
}

/// A memory operand: `base + index * 2^scale + disp`, or a place in this function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mem {
    pub(super) base: u8,
    pub(super) index: u8,
    pub(super) scale: u8,
    pub(super) disp: i32,
}

impl Mem {
    pub(super) const NO_INDEX: u8 = 4;
    pub(super) const RIP: u8 = 0x10;

    /// `[base + disp]`.
    pub(crate) const fn new(base: Gpr, disp: i32) -> Mem {
        Mem { base: base.0, index: Mem::NO_INDEX, scale: 0, disp }
    }

    /// `[base + index + disp]`.
    pub(crate) const fn indexed(base: Gpr, index: Gpr, disp: i32) -> Mem {
        Mem { base: base.0, index: index.0, scale: 0, disp }
    }

    /// `[base + index * 2^scale]`.
    pub(crate) const fn scaled(base: Gpr, index: Gpr, scale: u8) -> Mem {
        Mem { base: base.0, index: index.0, scale, disp: 0 }
    }

    /// Relative to the next instruction; the displacement is a fixup's or a relocation's.
    pub(crate) const fn rip() -> Mem {
        Mem { base: Mem::RIP, index: Mem::NO_INDEX, scale: 0, disp: 0 }
    }
}

/// A register or a memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rm<R> {
    /// A register.
    Reg(R),
    /// Memory.
    Mem(Mem),
}

impl<R> From<R> for Rm<R> {
    fn from(reg: R) -> Self {
        Rm::Reg(reg)
    }
}

impl From<Mem> for Rm<Gpr> {
    fn from(mem: Mem) -> Self {
        Rm::Mem(mem)
    }
}

impl From<Mem> for Rm<Xmm> {
    fn from(mem: Mem) -> Self {
        Rm::Mem(mem)
    }
}

/// A register or memory operand as instructions encode it.
pub(super) type Operand = Rm<u8>;

impl From<Rm<Gpr>> for Operand {
    fn from(rm: Rm<Gpr>) -> Self {
        match rm {
            Rm::Reg(reg) => Rm::Reg(reg.0),
            Rm::Mem(mem) => Rm::Mem(mem),
        }
    }
}

impl From<Rm<Xmm>> for Operand {
    fn from(rm: Rm<Xmm>) -> Self {
        match rm {
            Rm::Reg(reg) => Rm::Reg(reg.0),
            Rm::Mem(mem) => Rm::Mem(mem),
        }
    }
}
