//! Relaxed vector operators.
//!
//! Each is what the machine does fastest, or under `Tunables::relaxed_simd_deterministic` what
//! the deterministic profile of the specification says. The baseline compiler makes the same
//! choices, so that the results of a function do not change when it is compiled again. Lanes are
//! always selected bit by bit.

use super::simd::Half;
use crate::error::Result;
use crate::translate::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{ConstantData, InstBuilder as _, Type, Value, types};
use types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64X2};

impl Translator<'_> {
    /// Whether instructions of x86-64 may be used whose results differ from other machines'.
    fn is_fast(&self) -> bool {
        self.is_x86_64() && !self.is_deterministic()
    }

    pub(super) fn relaxed_swizzle(&mut self) -> Result {
        let (bytes, indices) = self.pop2_vectors(I8X16)?;
        let result = if self.is_fast() {
            self.builder.ins().x86_pshufb(bytes, indices)
        } else {
            self.builder.ins().swizzle(bytes, indices)
        };
        self.push(result);
        Ok(())
    }

    pub(super) fn relaxed_truncate(&mut self) -> Result {
        let vector = self.pop_vector(F32X4)?;
        let result = if self.is_fast() {
            self.builder.ins().x86_cvtt2dq(I32X4, vector)
        } else {
            self.builder.ins().fcvt_to_sint_sat(I32X4, vector)
        };
        self.push(result);
        Ok(())
    }

    pub(super) fn relaxed_truncate_doubles(&mut self) -> Result {
        if !self.is_fast() {
            return self.truncate_to_low_half(true);
        }
        let vector = self.pop_vector(F64X2)?;
        let wide = self.builder.ins().x86_cvtt2dq(I64X2, vector);
        let zero = self.vector_zero(I64X2);
        let result = self.builder.ins().snarrow(wide, zero);
        self.push(result);
        Ok(())
    }

    pub(super) fn relaxed_multiply_add(&mut self, ty: Type, negated: bool) -> Result {
        let addend = self.pop_vector(ty)?;
        let (left, right) = self.pop2_vectors(ty)?;
        let is_fused = self.has_fma() && !self.is_deterministic();
        let result = match (is_fused, negated) {
            (true, false) => self.builder.ins().fma(left, right, addend),
            (true, true) => {
                let left = self.builder.ins().fneg(left);
                self.builder.ins().fma(left, right, addend)
            }
            (false, _) => {
                let product = self.builder.ins().fmul(left, right);
                match negated {
                    true => self.builder.ins().fsub(addend, product),
                    false => self.builder.ins().fadd(addend, product),
                }
            }
        };
        self.push(result);
        Ok(())
    }

    /// `relaxed_min`: the second operand unless the first is less.
    pub(super) fn relaxed_min(&mut self, ty: Type) -> Result {
        let (first, second) = self.pop2_vectors(ty)?;
        let result = if self.is_fast() {
            let mask = self.builder.ins().fcmp(FloatCC::LessThan, first, second);
            let mask = self.cast(mask, ty);
            self.builder.ins().bitselect(mask, first, second)
        } else {
            self.builder.ins().fmin(first, second)
        };
        self.push(result);
        Ok(())
    }

    /// `relaxed_max`: the second operand unless the first is greater.
    pub(super) fn relaxed_max(&mut self, ty: Type) -> Result {
        let (first, second) = self.pop2_vectors(ty)?;
        let result = if self.is_fast() {
            let mask = self.builder.ins().fcmp(FloatCC::LessThan, second, first);
            let mask = self.cast(mask, ty);
            self.builder.ins().bitselect(mask, first, second)
        } else {
            self.builder.ins().fmax(first, second)
        };
        self.push(result);
        Ok(())
    }

    pub(super) fn relaxed_q15_multiply(&mut self) -> Result {
        let (left, right) = self.pop2_vectors(I16X8)?;
        let result = if self.is_fast() {
            self.builder.ins().x86_pmulhrsw(left, right)
        } else {
            self.builder.ins().sqmul_round_sat(left, right)
        };
        self.push(result);
        Ok(())
    }

    pub(super) fn relaxed_dot(&mut self) -> Result {
        let (left, right) = self.pop2_vectors(I8X16)?;
        let result = if self.is_fast() {
            // The signed factor first.
            self.builder.ins().x86_pmaddubsw(left, right)
        } else {
            let mut half = |half| {
                let (left, right) = (self.widen_half(left, half), self.widen_half(right, half));
                self.builder.ins().imul(left, right)
            };
            let (low, high) = (half(Half::LowSigned), half(Half::HighSigned));
            let sums = self.builder.ins().iadd_pairwise(low, high);
            self.saturate_dot(sums)
        };
        self.push(result);
        Ok(())
    }

    /// Saturates sums of two products of signed bytes. Only 2 * (-128)^2 is too large for a lane,
    /// and it alone comes out as the least number: one less is the greatest.
    fn saturate_dot(&mut self, sums: Value) -> Value {
        let least: Vec<u8> = [i16::MIN.to_le_bytes(); 8].concat();
        let least = self.builder.func.dfg.constants.insert(ConstantData::from(&*least));
        let least = self.builder.ins().vconst(I16X8, least);
        let overflown = self.builder.ins().icmp(IntCC::Equal, sums, least);
        self.builder.ins().iadd(sums, overflown)
    }

    pub(super) fn relaxed_dot_add(&mut self) -> Result {
        let addend = self.pop_vector(I32X4)?;
        self.relaxed_dot()?;
        self.extended_pairwise_add(I16X8, Half::LowSigned, Half::HighSigned)?;
        let sums = self.pop_vector(I32X4)?;
        let result = self.builder.ins().iadd(sums, addend);
        self.push(result);
        Ok(())
    }
}
