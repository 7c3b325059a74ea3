//! Scalar floats: arithmetic and comparisons.

use crate::function::Gen;
use crate::state::{Cond, Loc, Ty, Value};
use crate::x86_64::insts::{self, Op};
use crate::x86_64::{Cc, Gpr, Size, VectorShift, Xmm};

/// The instruction for a type: the first for `f32`, the second for `f64`.
pub(crate) type Pair = (Op, Op);

pub(crate) const ADD: Pair = (insts::ADDSS, insts::ADDSD);
pub(crate) const SUB: Pair = (insts::SUBSS, insts::SUBSD);
pub(crate) const MUL: Pair = (insts::MULSS, insts::MULSD);
pub(crate) const DIV: Pair = (insts::DIVSS, insts::DIVSD);
pub(crate) const SQRT: Pair = (insts::SQRTSS, insts::SQRTSD);
const UCOMI: Pair = (insts::UCOMISS, insts::UCOMISD);

/// Which of the two operations.
pub(crate) const fn pick(pair: Pair, ty: Ty) -> Op {
    if matches!(ty, Ty::F32) { pair.0 } else { pair.1 }
}

/// Directions of rounding, as `round` instructions encode them (without exceptions).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rounding {
    Nearest = 8,
    Floor = 9,
    Ceil = 10,
    Trunc = 11,
}

/// Comparisons of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatCompare {
    Eq,
    Ne,
    Lt,
    Gt,
    Le,
    Ge,
}

impl Gen<'_> {
    /// Where a float result goes; see `destination` of integers.
    fn float_destination(&mut self, left: Value, right: Option<Value>) -> Xmm {
        if let Some(pin) = self.foreseen_xmm(self.at + 1)
            && !right.is_some_and(|right| self.reads_pin(right, pin.0))
        {
            return pin;
        }
        match left.loc {
            Loc::Xmm(reg) if self.is_temp_xmm(reg) => reg,
            _ => self.alloc_xmm(),
        }
    }

    fn release_float_left(&mut self, left: Value, dst: Xmm) {
        if left.loc != Loc::Xmm(dst) {
            self.release(left);
        }
    }

    /// `add`, `sub`, `mul`, `div`.
    pub(crate) fn float_binary(&mut self, pair: Pair, ty: Ty) {
        let right = self.pop();
        let left = self.pop();
        let dst = self.float_destination(left, Some(right));
        self.load_xmm(dst, left);
        self.release_float_left(left, dst);
        if let Some(bits) = right.constant() {
            self.asm.xx_narrow(pick(pair, ty), dst, bits);
        } else {
            let operand = self.use_rm_xmm(right);
            self.asm.xx(pick(pair, ty), dst, operand);
            self.release_rm_xmm(operand);
        }
        self.push_xmm(ty, dst);
    }

    pub(crate) fn float_sqrt(&mut self, ty: Ty) {
        let value = self.pop();
        let src = self.use_xmm(value);
        let value = Value::new(ty, Loc::Xmm(src));
        let dst = self.float_destination(value, None);
        self.asm.xx(pick(SQRT, ty), dst, src);
        self.release_float_left(value, dst);
        self.push_xmm(ty, dst);
    }

    pub(crate) fn float_round(&mut self, rounding: Rounding, ty: Ty) {
        let value = self.pop();
        let src = self.use_xmm(value);
        let value = Value::new(ty, Loc::Xmm(src));
        let dst = self.float_destination(value, None);
        self.asm.xxi(pick((insts::ROUNDSS, insts::ROUNDSD), ty), dst, src, rounding as u8);
        self.release_float_left(value, dst);
        self.push_xmm(ty, dst);
    }

    /// All bits but the sign's in each lane.
    pub(crate) fn magnitude_mask(&mut self, dst: Xmm, ty: Ty) {
        self.asm.ones_xmm(dst);
        let shift = if ty == Ty::F32 { VectorShift::PSRLD } else { VectorShift::PSRLQ };
        self.asm.vector_shift(shift, dst, 1);
    }

    /// The sign bit in each lane.
    pub(crate) fn sign_mask(&mut self, dst: Xmm, ty: Ty) {
        self.asm.ones_xmm(dst);
        match ty {
            Ty::F32 => self.asm.vector_shift(VectorShift::PSLLD, dst, 31),
            _ => self.asm.vector_shift(VectorShift::PSLLQ, dst, 63),
        }
    }

    pub(crate) fn float_abs(&mut self, ty: Ty) {
        let value = self.pop();
        let dst = self.float_destination(value, None);
        self.load_xmm(dst, value);
        self.release_float_left(value, dst);
        self.magnitude_mask(Xmm::XMM15, ty);
        self.asm.xx(insts::ANDPS, dst, Xmm::XMM15);
        self.push_xmm(ty, dst);
    }

    pub(crate) fn float_neg(&mut self, ty: Ty) {
        let value = self.pop();
        let dst = self.float_destination(value, None);
        self.load_xmm(dst, value);
        self.release_float_left(value, dst);
        self.sign_mask(Xmm::XMM15, ty);
        self.asm.xx(insts::XORPS, dst, Xmm::XMM15);
        self.push_xmm(ty, dst);
    }

    pub(crate) fn float_copysign(&mut self, ty: Ty) {
        let right = self.pop();
        let left = self.pop();
        let dst = self.own_xmm(left);
        let sign = self.use_xmm(right);
        self.magnitude_mask(Xmm::XMM15, ty);
        self.asm.xx(insts::ANDPS, dst, Xmm::XMM15);
        self.asm.xx(insts::ANDNPS, Xmm::XMM15, sign);
        self.asm.xx(insts::ORPS, dst, Xmm::XMM15);
        self.release_xmm(sign);
        self.push_xmm(ty, dst);
    }

    /// `min` and `max`: a NaN wins, and -0 is less than 0.
    pub(crate) fn float_extreme(&mut self, ty: Ty, max: bool) {
        let right = self.pop();
        let left = self.pop();
        let dst = self.own_xmm(left);
        let other = self.use_xmm(right);
        let (extreme, equal) = if max {
            ((insts::MAXSS, insts::MAXSD), insts::ANDPS)
        } else {
            ((insts::MINSS, insts::MINSD), insts::ORPS)
        };
        let asm = &mut self.asm;
        asm.xx(pick(UCOMI, ty), dst, other);
        let differs = asm.jcc_short(Cc::NE);
        let unordered = asm.jcc_short(Cc::P);
        asm.xx(equal, dst, other);
        let done = asm.jmp_short();
        asm.bind_short(unordered);
        asm.xx(pick(ADD, ty), dst, other);
        let done_too = asm.jmp_short();
        asm.bind_short(differs);
        asm.xx(pick(extreme, ty), dst, other);
        asm.bind_short(done);
        asm.bind_short(done_too);
        self.release_xmm(other);
        self.push_xmm(ty, dst);
    }

    pub(crate) fn float_compare(&mut self, compare: FloatCompare, ty: Ty) {
        let right = self.pop();
        let left = self.pop();
        let (left, right) = match compare {
            // "Above" is false for NaNs, "below" is not.
            FloatCompare::Lt | FloatCompare::Le => (right, left),
            _ => (left, right),
        };
        let reg = self.use_xmm(left);
        if let Some(bits) = right.constant() {
            self.asm.xx_narrow(pick(UCOMI, ty), reg, bits);
        } else {
            let operand = self.use_rm_xmm(right);
            self.asm.xx(pick(UCOMI, ty), reg, operand);
            self.release_rm_xmm(operand);
        }
        self.release_xmm(reg);
        self.push_condition(match compare {
            FloatCompare::Eq => Cond::FloatEqual,
            FloatCompare::Ne => Cond::FloatDiffers,
            FloatCompare::Lt | FloatCompare::Gt => Cond::Is(Cc::A),
            FloatCompare::Le | FloatCompare::Ge => Cond::Is(Cc::AE),
        });
    }

    // Bits of one kind as another.

    pub(crate) fn reinterpret_float(&mut self, to: Ty) {
        let value = self.pop();
        if let Some(bits) = value.constant() {
            return self.push(Value::new(to, Loc::Const(bits)));
        }
        let src = self.use_xmm(value);
        let dst = self.alloc_gpr();
        self.asm.gx_mr(insts::MOVD_MR, to.size(), dst, src);
        self.release_xmm(src);
        self.push_gpr(to, dst);
    }

    pub(crate) fn reinterpret_int(&mut self, to: Ty) {
        let value = self.pop();
        if let Some(bits) = value.constant() {
            return self.push(Value::new(to, Loc::Const(bits)));
        }
        let src = self.use_rm_gpr(value);
        let dst = self.alloc_xmm();
        self.asm.xg(insts::MOVD, to.size(), dst, src);
        self.release_rm_gpr(src);
        self.push_xmm(to, dst);
    }

    pub(crate) fn promote(&mut self) {
        self.change_width(insts::CVTSS2SD, Ty::F64);
    }

    pub(crate) fn demote(&mut self) {
        self.change_width(insts::CVTSD2SS, Ty::F32);
    }

    fn change_width(&mut self, op: Op, to: Ty) {
        let value = self.pop();
        let src = self.use_xmm(value);
        let value = Value::new(to, Loc::Xmm(src));
        let dst = self.float_destination(value, None);
        self.asm.xx(op, dst, src);
        self.release_float_left(value, dst);
        self.push_xmm(to, dst);
    }

    /// Loads bits into a vector register; uses r11.
    pub(crate) fn load_bits(&mut self, dst: Xmm, bits: u64) {
        self.asm.mov_imm(Gpr::R11, bits);
        self.asm.xg(insts::MOVD, Size::S64, dst, Gpr::R11);
    }
}
