//! What vector operators have in common, bitwise operators, and tests.
//!
//! Instructions have two operands, the first of which is also the result. Whole vectors in memory
//! are loaded before they are used: operands in memory would have to be aligned.

use crate::function::Gen;
use crate::state::{Cond, Loc, Ty, Value};
use crate::x86_64::insts::{self, Op};
use crate::x86_64::{Cc, Gpr, Size, Xmm};

impl Gen<'_> {
    /// Where a vector result goes; see `destination` of integers.
    pub(crate) fn vector_destination(&mut self, left: Value, right: Option<Value>) -> Xmm {
        if let Some(pin) = self.foreseen_xmm(self.after_opcode())
            && !right.is_some_and(|right| self.reads_pin(right, pin.0))
        {
            return pin;
        }
        match left.loc {
            Loc::Xmm(reg) if self.is_temp_xmm(reg) => reg,
            _ => self.alloc_xmm(),
        }
    }

    /// Loads the left operand to where the result goes.
    fn left_in_place(&mut self, left: Value, right: Option<Value>) -> Xmm {
        let dst = self.vector_destination(left, right);
        self.load_xmm(dst, left);
        if left.loc != Loc::Xmm(dst) {
            self.release(left);
        }
        dst
    }

    /// Pops two vectors: the first in a register for the result, the second in any.
    pub(crate) fn pop2_xmm(&mut self) -> (Xmm, Xmm) {
        let right = self.pop();
        let left = self.pop();
        let dst = self.left_in_place(left, Some(right));
        (dst, self.use_xmm(right))
    }

    /// The same with the operands exchanged.
    pub(crate) fn pop2_xmm_swapped(&mut self) -> (Xmm, Xmm) {
        let right = self.pop();
        let left = self.pop();
        let dst = self.left_in_place(right, Some(left));
        (dst, self.use_xmm(left))
    }

    /// Pops a vector to a register for the result.
    pub(crate) fn pop_in_place(&mut self) -> Xmm {
        let value = self.pop();
        self.left_in_place(value, None)
    }

    /// Pops a vector to any register.
    pub(crate) fn pop_xmm(&mut self) -> Xmm {
        let value = self.pop();
        self.use_xmm(value)
    }

    pub(crate) fn push_vector(&mut self, dst: Xmm) {
        self.push_xmm(Ty::V128, dst);
    }

    /// Pushes a result and gives back the other operand.
    pub(crate) fn push_binary(&mut self, dst: Xmm, other: Xmm) {
        self.release_xmm(other);
        self.push_vector(dst);
    }

    /// One instruction with two operands.
    pub(crate) fn vector_binary(&mut self, op: Op) {
        let (dst, src) = self.pop2_xmm();
        self.asm.xx(op, dst, src);
        self.push_binary(dst, src);
    }

    /// One instruction with the operands exchanged.
    pub(crate) fn vector_binary_swapped(&mut self, op: Op) {
        let (dst, src) = self.pop2_xmm_swapped();
        self.asm.xx(op, dst, src);
        self.push_binary(dst, src);
    }

    /// One instruction from one operand to another register.
    pub(crate) fn vector_unary(&mut self, op: Op) {
        let src = self.pop_xmm();
        let value = Value::new(Ty::V128, Loc::Xmm(src));
        let dst = self.vector_destination(value, None);
        self.asm.xx(op, dst, src);
        if dst != src {
            self.release_xmm(src);
        }
        self.push_vector(dst);
    }

    /// Inverts a register; uses xmm15.
    pub(crate) fn invert(&mut self, reg: Xmm) {
        self.asm.ones_xmm(Xmm::XMM15);
        self.asm.xx(insts::PXOR, reg, Xmm::XMM15);
    }

    /// `v128.const`.
    pub(crate) fn vector_const(&mut self, bytes: [u8; 16]) {
        let dst = self.alloc_xmm();
        match bytes {
            [0, ..] if bytes == [0; 16] => self.asm.zero_xmm(dst),
            [0xff, ..] if bytes == [0xff; 16] => self.asm.ones_xmm(dst),
            _ => self.asm.xx_wide(insts::MOVAPS, dst, bytes),
        }
        self.push_vector(dst);
    }

    /// `v128.not`.
    pub(crate) fn vector_not(&mut self) {
        let dst = self.pop_in_place();
        self.invert(dst);
        self.push_vector(dst);
    }

    /// `v128.bitselect`.
    pub(crate) fn bitselect(&mut self) {
        let mask = self.pop();
        let zeros = self.pop();
        let ones = self.pop();
        let dst = self.own_xmm(ones);
        let zeros = self.use_xmm(zeros);
        let mask = self.use_xmm(mask);
        self.asm.xx(insts::XORPS, dst, zeros);
        self.asm.xx(insts::ANDPS, dst, mask);
        self.asm.xx(insts::XORPS, dst, zeros);
        self.release_xmm(mask);
        self.push_binary(dst, zeros);
    }

    // Tests.

    /// `any_true`.
    pub(crate) fn any_true(&mut self) {
        let src = self.pop_xmm();
        self.asm.xx(insts::PTEST, src, src);
        self.release_xmm(src);
        self.push_condition(Cond::Is(Cc::NE));
    }

    /// `all_true`: no lane equals zero.
    pub(crate) fn all_true(&mut self, equal: Op) {
        let src = self.pop_xmm();
        self.asm.zero_xmm(Xmm::XMM15);
        self.asm.xx(equal, Xmm::XMM15, src);
        self.asm.xx(insts::PTEST, Xmm::XMM15, Xmm::XMM15);
        self.release_xmm(src);
        self.push_condition(Cond::Is(Cc::E));
    }

    /// `bitmask`, by an instruction that collects signs.
    pub(crate) fn bitmask(&mut self, op: Op) {
        let src = self.pop_xmm();
        let dst = self.alloc_gpr();
        self.asm.gx(op, Size::S32, dst, src);
        self.release_xmm(src);
        self.push_gpr(Ty::I32, dst);
    }

    /// `i16x8.bitmask`.
    pub(crate) fn bitmask_16(&mut self) {
        let src = self.pop_xmm();
        let dst: Gpr = self.alloc_gpr();
        self.asm.movaps(Xmm::XMM15, src);
        self.asm.xx(insts::PACKSSWB, Xmm::XMM15, Xmm::XMM15);
        self.asm.gx(insts::PMOVMSKB, Size::S32, dst, Xmm::XMM15);
        self.asm.movzx_b(dst, dst);
        self.release_xmm(src);
        self.push_gpr(Ty::I32, dst);
    }
}
