//! Float lanes, and conversions between them and integer lanes.

use super::float::Rounding;
use super::vector_int::{doubles, quads};
use crate::function::Gen;
use crate::state::Ty;
use crate::x86_64::insts::{self, Op};
use crate::x86_64::{VectorShift, Xmm};

/// Predicates of `cmpps` and `cmppd`.
const UNORDERED: u8 = 3;
const EQUAL: u8 = 0;
const LESS_OR_EQUAL: u8 = 2;

const fn pick(ty: Ty, single: Op, double: Op) -> Op {
    if matches!(ty, Ty::F32) { single } else { double }
}

impl Gen<'_> {
    pub(crate) fn lanes_abs(&mut self, ty: Ty) {
        let dst = self.pop_in_place();
        self.magnitude_mask(Xmm::XMM15, ty);
        self.asm.xx(insts::ANDPS, dst, Xmm::XMM15);
        self.push_vector(dst);
    }

    pub(crate) fn lanes_neg(&mut self, ty: Ty) {
        let dst = self.pop_in_place();
        self.sign_mask(Xmm::XMM15, ty);
        self.asm.xx(insts::XORPS, dst, Xmm::XMM15);
        self.push_vector(dst);
    }

    pub(crate) fn lanes_round(&mut self, rounding: Rounding, ty: Ty) {
        let dst = self.pop_in_place();
        let op = pick(ty, insts::ROUNDPS, insts::ROUNDPD);
        self.asm.xxi(op, dst, dst, rounding as u8);
        self.push_vector(dst);
    }

    /// A comparison by its predicate.
    pub(crate) fn compare_lanes(&mut self, ty: Ty, predicate: u8, swapped: bool) {
        let (dst, src) = if swapped { self.pop2_xmm_swapped() } else { self.pop2_xmm() };
        self.asm.xxi(pick(ty, insts::CMPPS, insts::CMPPD), dst, src, predicate);
        self.push_binary(dst, src);
    }

    /// `min`: the instruction takes the second operand when in doubt, so both orders are tried,
    /// and a difference is a zero's sign or a NaN.
    pub(crate) fn lanes_min(&mut self, ty: Ty) {
        let (dst, src) = self.pop2_xmm();
        let min = pick(ty, insts::MINPS, insts::MINPD);
        let asm = &mut self.asm;
        asm.movaps(Xmm::XMM15, src);
        asm.xx(min, Xmm::XMM15, dst);
        asm.xx(min, dst, src);
        asm.xx(insts::ORPS, Xmm::XMM15, dst);
        self.quiet_nans(ty, dst);
        self.push_binary(dst, src);
    }

    /// `max`; see `min`.
    pub(crate) fn lanes_max(&mut self, ty: Ty) {
        let (dst, src) = self.pop2_xmm();
        let max = pick(ty, insts::MAXPS, insts::MAXPD);
        let asm = &mut self.asm;
        asm.movaps(Xmm::XMM15, src);
        asm.xx(max, Xmm::XMM15, dst);
        asm.xx(max, dst, src);
        asm.xx(insts::XORPS, dst, Xmm::XMM15);
        asm.xx(insts::ORPS, Xmm::XMM15, dst);
        // Minus zero less minus zero is zero.
        asm.xx(pick(ty, insts::SUBPS, insts::SUBPD), Xmm::XMM15, dst);
        self.quiet_nans(ty, dst);
        self.push_binary(dst, src);
    }

    /// What is in xmm15, but quiet NaNs for NaNs, in `dst`, which is a NaN only where xmm15 is.
    fn quiet_nans(&mut self, ty: Ty, dst: Xmm) {
        let asm = &mut self.asm;
        asm.xxi(pick(ty, insts::CMPPS, insts::CMPPD), dst, Xmm::XMM15, UNORDERED);
        asm.xx(insts::ORPS, Xmm::XMM15, dst);
        // Leaves sign, exponent and the highest bit of the fraction.
        match ty {
            Ty::F32 => asm.vector_shift(VectorShift::PSRLD, dst, 10),
            _ => asm.vector_shift(VectorShift::PSRLQ, dst, 13),
        }
        asm.xx(insts::ANDNPS, dst, Xmm::XMM15);
    }

    // Conversions.

    /// `f32x4.convert_i32x4_u`: halves of 16 bits, each exact.
    pub(crate) fn lanes_convert_unsigned(&mut self) {
        let dst = self.pop_in_place();
        let asm = &mut self.asm;
        asm.zero_xmm(Xmm::XMM15);
        asm.xxi(insts::PBLENDW, Xmm::XMM15, dst, 0x55);
        asm.xx(insts::PSUBD, dst, Xmm::XMM15);
        asm.xx(insts::CVTDQ2PS, Xmm::XMM15, Xmm::XMM15);
        // The upper half as a positive number: halved, then doubled.
        asm.vector_shift(VectorShift::PSRLD, dst, 1);
        asm.xx(insts::CVTDQ2PS, dst, dst);
        asm.xx(insts::ADDPS, dst, dst);
        asm.xx(insts::ADDPS, dst, Xmm::XMM15);
        self.push_vector(dst);
    }

    /// `i32x4.trunc_sat_f32x4_s`: NaNs become 0; what overflows upwards gets all bits inverted.
    pub(crate) fn lanes_truncate_signed(&mut self) {
        let dst = self.pop_in_place();
        let asm = &mut self.asm;
        asm.movaps(Xmm::XMM15, dst);
        asm.xxi(insts::CMPPS, Xmm::XMM15, Xmm::XMM15, EQUAL);
        asm.xx(insts::ANDPS, dst, Xmm::XMM15);
        asm.xx(insts::PXOR, Xmm::XMM15, dst);
        asm.xx(insts::CVTTPS2DQ, dst, dst);
        asm.xx(insts::PAND, Xmm::XMM15, dst);
        asm.vector_shift(VectorShift::PSRAD, Xmm::XMM15, 31);
        asm.xx(insts::PXOR, dst, Xmm::XMM15);
        self.push_vector(dst);
    }

    /// `i32x4.trunc_sat_f32x4_u`: the part up to 2^31 and what goes beyond, added up.
    pub(crate) fn lanes_truncate_unsigned(&mut self) {
        let dst = self.pop_in_place();
        let asm = &mut self.asm;
        asm.zero_xmm(Xmm::XMM15);
        asm.xx(insts::MAXPS, dst, Xmm::XMM15);
        // xmm14: 2^31.
        asm.ones_xmm(Xmm::XMM14);
        asm.vector_shift(VectorShift::PSRLD, Xmm::XMM14, 1);
        asm.xx(insts::CVTDQ2PS, Xmm::XMM14, Xmm::XMM14);
        asm.movaps(Xmm::XMM15, dst);
        asm.xx(insts::SUBPS, Xmm::XMM15, Xmm::XMM14);
        asm.xxi(insts::CMPPS, Xmm::XMM14, Xmm::XMM15, LESS_OR_EQUAL);
        asm.xx(insts::CVTTPS2DQ, Xmm::XMM15, Xmm::XMM15);
        asm.xx(insts::PXOR, Xmm::XMM15, Xmm::XMM14);
        asm.zero_xmm(Xmm::XMM14);
        asm.xx(insts::PMAXSD, Xmm::XMM15, Xmm::XMM14);
        asm.xx(insts::CVTTPS2DQ, dst, dst);
        asm.xx(insts::PADDD, dst, Xmm::XMM15);
        self.push_vector(dst);
    }

    /// `i32x4.trunc_sat_f64x2_s_zero`.
    pub(crate) fn lanes_truncate_doubles_signed(&mut self) {
        let dst = self.pop_in_place();
        let asm = &mut self.asm;
        asm.movaps(Xmm::XMM15, dst);
        asm.xxi(insts::CMPPD, Xmm::XMM15, Xmm::XMM15, EQUAL);
        asm.xx_wide(insts::ANDPS, Xmm::XMM15, quads(2_147_483_647f64.to_bits()));
        asm.xx(insts::MINPD, dst, Xmm::XMM15);
        asm.xx(insts::CVTTPD2DQ, dst, dst);
        self.push_vector(dst);
    }

    /// `i32x4.trunc_sat_f64x2_u_zero`: adding 2^52 puts the integer into the low bits.
    pub(crate) fn lanes_truncate_doubles_unsigned(&mut self) {
        let dst = self.pop_in_place();
        let asm = &mut self.asm;
        asm.zero_xmm(Xmm::XMM15);
        asm.xx(insts::MAXPD, dst, Xmm::XMM15);
        asm.xx_wide(insts::MINPD, dst, quads(4_294_967_295f64.to_bits()));
        asm.xxi(insts::ROUNDPD, dst, dst, Rounding::Trunc as u8);
        asm.xx_wide(insts::ADDPD, dst, quads(4_503_599_627_370_496f64.to_bits()));
        asm.xxi(insts::SHUFPS, dst, Xmm::XMM15, 0x88);
        self.push_vector(dst);
    }

    /// `f64x2.convert_low_i32x4_u`: each integer as the low bits of 2^52 and more.
    pub(crate) fn lanes_convert_low_unsigned(&mut self) {
        let dst = self.pop_in_place();
        self.asm.xx_wide(insts::UNPCKLPS, dst, doubles(0x4330_0000));
        self.asm.xx_wide(insts::SUBPD, dst, quads(4_503_599_627_370_496f64.to_bits()));
        self.push_vector(dst);
    }
}
