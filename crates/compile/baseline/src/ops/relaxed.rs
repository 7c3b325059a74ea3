//! Relaxed vector operators.
//!
//! Each is what this machine does fastest, or under `Tunables::relaxed_simd_deterministic` what
//! the deterministic profile of the specification says. The optimizing compiler makes the same
//! choices, so that the results of a function do not change when it is compiled again. Lanes are
//! always selected bit by bit.

use super::vector_int::words;
use crate::function::Gen;
use crate::state::Ty;
use crate::x86_64::insts::{self, Op};
use crate::x86_64::{Fused, Xmm};

/// `pshufd` selector for the upper half.
const UPPER: u8 = 0xee;

const fn pick(ty: Ty, single: Op, double: Op) -> Op {
    if matches!(ty, Ty::F32) { single } else { double }
}

impl Gen<'_> {
    fn is_deterministic(&self) -> bool {
        self.job.tunables.relaxed_simd_deterministic
    }

    /// `i8x16.relaxed_swizzle`: indices from 16 to 127 count modulo 16.
    pub(crate) fn relaxed_swizzle(&mut self) {
        if self.is_deterministic() {
            return self.swizzle();
        }
        self.vector_binary(insts::PSHUFB);
    }

    /// `i32x4.relaxed_trunc_f32x4_s`: what has no representation becomes the least integer.
    pub(crate) fn relaxed_truncate(&mut self) {
        if self.is_deterministic() {
            return self.lanes_truncate_signed();
        }
        self.vector_unary(insts::CVTTPS2DQ);
    }

    /// `i32x4.relaxed_trunc_f64x2_s_zero`.
    pub(crate) fn relaxed_truncate_doubles(&mut self) {
        if self.is_deterministic() {
            return self.lanes_truncate_doubles_signed();
        }
        self.vector_unary(insts::CVTTPD2DQ);
    }

    /// `relaxed_madd` and `relaxed_nmadd`.
    pub(crate) fn relaxed_multiply_add(&mut self, ty: Ty, negated: bool) {
        let addend = self.pop();
        let right = self.pop();
        let left = self.pop();
        let sum = self.own_xmm(addend);
        let right = self.use_xmm(right);
        let left = self.use_xmm(left);
        if self.cpu.fma && !self.is_deterministic() {
            let double = !matches!(ty, Ty::F32);
            self.asm.fused(Fused { double, negated }, sum, left, right);
        } else {
            self.asm.movaps(Xmm::XMM15, left);
            self.asm.xx(pick(ty, insts::MULPS, insts::MULPD), Xmm::XMM15, right);
            let op = match negated {
                true => pick(ty, insts::SUBPS, insts::SUBPD),
                false => pick(ty, insts::ADDPS, insts::ADDPD),
            };
            self.asm.xx(op, sum, Xmm::XMM15);
        }
        self.release_xmm(left);
        self.push_binary(sum, right);
    }

    /// `relaxed_min`: the second operand unless the first is less.
    pub(crate) fn relaxed_min(&mut self, ty: Ty) {
        if self.is_deterministic() {
            return self.lanes_min(ty);
        }
        self.vector_binary(pick(ty, insts::MINPS, insts::MINPD));
    }

    /// `relaxed_max`: the second operand unless the first is greater.
    pub(crate) fn relaxed_max(&mut self, ty: Ty) {
        if self.is_deterministic() {
            return self.lanes_max(ty);
        }
        self.vector_binary(pick(ty, insts::MAXPS, insts::MAXPD));
    }

    /// `i16x8.relaxed_q15mulr_s`: the square of the least number may overflow.
    pub(crate) fn relaxed_q15_multiply(&mut self) {
        if self.is_deterministic() {
            return self.q15_multiply();
        }
        self.vector_binary(insts::PMULHRSW);
    }

    /// `i16x8.relaxed_dot_i8x16_i7x16_s`.
    pub(crate) fn relaxed_dot(&mut self) {
        if self.is_deterministic() {
            return self.signed_dot();
        }
        // The instruction's first operand is the unsigned one: the factor of seven bits.
        self.vector_binary_swapped(insts::PMADDUBSW);
    }

    /// Sums of two products of signed bytes, saturated.
    fn signed_dot(&mut self) {
        let right = self.pop_xmm();
        let left = self.pop_xmm();
        let dst = self.alloc_xmm();
        let asm = &mut self.asm;
        asm.xx(insts::PMOVSXBW, dst, left);
        asm.xx(insts::PMOVSXBW, Xmm::XMM15, right);
        asm.xx(insts::PMULLW, dst, Xmm::XMM15);
        asm.xxi(insts::PSHUFD, Xmm::XMM15, left, UPPER);
        asm.xx(insts::PMOVSXBW, Xmm::XMM15, Xmm::XMM15);
        asm.xxi(insts::PSHUFD, Xmm::XMM14, right, UPPER);
        asm.xx(insts::PMOVSXBW, Xmm::XMM14, Xmm::XMM14);
        asm.xx(insts::PMULLW, Xmm::XMM15, Xmm::XMM14);
        asm.xx(insts::PHADDSW, dst, Xmm::XMM15);
        self.release_xmm(right);
        self.push_binary(dst, left);
    }

    /// `i32x4.relaxed_dot_i8x16_i7x16_add_s`.
    pub(crate) fn relaxed_dot_add(&mut self) {
        let addend = self.pop();
        let addend = self.own_xmm(addend);
        self.relaxed_dot();
        let dot = self.pop();
        // Perhaps the pin of the local that is set next: nobody needs its former value.
        let dot = self.own_xmm(dot);
        self.asm.xx_wide(insts::PMADDWD, dot, words(1));
        self.asm.xx(insts::PADDD, addend, dot);
        self.push_binary(addend, dot);
    }
}
