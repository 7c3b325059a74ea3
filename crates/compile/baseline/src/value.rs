//! Values as the compiler sees them: their types and places, and the instructions that move them.

use crate::x86_64::{Cc, Gpr, Size, Xmm, insts};
use wasmoor_abi::ValType;

/// Type of a value as code sees it; references are 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    I32,
    I64,
    F32,
    F64,
    V128,
}

impl Ty {
    pub(crate) const fn of(ty: ValType) -> Ty {
        match ty {
            ValType::I32 => Ty::I32,
            ValType::I64 | ValType::Ref(_) => Ty::I64,
            ValType::F32 => Ty::F32,
            ValType::F64 => Ty::F64,
            ValType::V128 => Ty::V128,
        }
    }

    /// Whether values sit in general registers.
    pub(crate) const fn is_int(self) -> bool {
        matches!(self, Ty::I32 | Ty::I64)
    }

    /// Size of an integer.
    pub(crate) const fn size(self) -> Size {
        if matches!(self, Ty::I32 | Ty::F32) { Size::S32 } else { Size::S64 }
    }
}

/// A condition of the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cond {
    /// One condition of the machine.
    Is(Cc),
    /// After a comparison of floats: equal, and neither is a NaN.
    FloatEqual,
    /// After a comparison of floats: different, or one is a NaN.
    FloatDiffers,
}

impl Cond {
    pub(crate) const fn negate(self) -> Cond {
        match self {
            Cond::Is(cc) => Cond::Is(cc.negate()),
            Cond::FloatEqual => Cond::FloatDiffers,
            Cond::FloatDiffers => Cond::FloatEqual,
        }
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loc {
    Gpr(Gpr),
    Xmm(Xmm),
    /// Bits of an integer or float; never a vector.
    Const(u64),
    Local(u32),
    /// Offset from the frame pointer.
    Slot(i32),
    Cond(Cond),
}

/// An entry of the operand stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) ty: Ty,
    /// An integer, taken as unsigned, is below 2 to the power of this.
    bits: u8,
    pub(crate) loc: Loc,
}

impl Value {
    pub(crate) const fn new(ty: Ty, loc: Loc) -> Value {
        Value { ty, bits: if matches!(ty, Ty::I32) { 32 } else { 64 }, loc }
    }

    /// The same, of which it is known that it is an integer below 2 to the power of `bits`.
    pub(crate) const fn below(self, bits: u8) -> Value {
        Value { bits: if bits < self.bits { bits } else { self.bits }, ..self }
    }

    /// Bits that an integer has at most.
    pub(crate) const fn bits(&self) -> u8 {
        match self.loc {
            Loc::Const(number) => (u64::BITS - number.leading_zeros()) as u8,
            _ => self.bits,
        }
    }

    /// The value if it is a constant.
    pub(crate) const fn constant(&self) -> Option<u64> {
        match self.loc {
            Loc::Const(bits) => Some(bits),
            _ => None,
        }
    }

    /// The value as an immediate of its size, if it fits one.
    pub(crate) fn imm32(&self) -> Option<i32> {
        let bits = self.constant()?;
        match self.ty {
            Ty::I32 => Some((bits as u32).cast_signed()),
            _ => i32::try_from(bits.cast_signed()).ok(),
        }
    }
}

/// The instruction that loads a float or vector from memory.
pub(crate) const fn load_op(ty: Ty) -> insts::Op {
    match ty {
        Ty::F32 => insts::MOVSS,
        Ty::F64 => insts::MOVSD,
        _ => insts::MOVUPS,
    }
}

/// The instruction that stores a float or vector.
pub(crate) const fn store_op(ty: Ty) -> insts::Op {
    match ty {
        Ty::F32 => insts::MOVSS_MR,
        Ty::F64 => insts::MOVSD_MR,
        _ => insts::MOVUPS_MR,
    }
}
