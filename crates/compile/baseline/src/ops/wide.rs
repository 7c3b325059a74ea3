//! Wide arithmetic: 128-bit numbers as pairs of `i64`, the low half first.

use crate::function::Gen;
use crate::state::Ty::I64;
use crate::x86_64::insts::{self, Op};
use crate::x86_64::{Gpr, Size};

impl Gen<'_> {
    /// `i64.add128`.
    pub(crate) fn add_wide(&mut self) {
        self.carrying(insts::ADD, insts::ADC);
    }

    /// `i64.sub128`.
    pub(crate) fn subtract_wide(&mut self) {
        self.carrying(insts::SUB, insts::SBB);
    }

    /// One instruction for the low halves and one that takes its carry for the high ones. What is
    /// emitted in between loads and stores only, so the carry survives.
    fn carrying(&mut self, low: Op, high: Op) {
        let right_high = self.pop();
        let right_low = self.pop();
        let left_high = self.pop();
        let left_low = self.pop();
        let sum_low = self.own_gpr(left_low);
        let sum_high = self.own_gpr(left_high);
        let operand = self.use_rm_gpr(right_low);
        self.asm.gg(low, Size::S64, sum_low, operand);
        self.release_rm_gpr(operand);
        let operand = self.use_rm_gpr(right_high);
        self.asm.gg(high, Size::S64, sum_high, operand);
        self.release_rm_gpr(operand);
        self.push_gpr(I64, sum_low);
        self.push_gpr(I64, sum_high);
    }

    /// `i64.mul_wide_s` and `i64.mul_wide_u`.
    pub(crate) fn multiply_wide(&mut self, signed: bool) {
        let right = self.pop();
        let left = self.pop();
        let factor = self.divisor(right, I64);
        self.dividend_to_rax(left);
        self.take_rdx();
        if signed {
            self.asm.imul(Size::S64, factor);
        } else {
            self.asm.mul(Size::S64, factor);
        }
        self.release_gpr(factor);
        self.push_gpr(I64, Gpr::RAX);
        self.push_gpr(I64, Gpr::RDX);
    }
}
