//! Conversions between integers and scalar floats.

use super::float::pick;
use crate::cold::Truncation;
use crate::function::Gen;
use crate::state::{Loc, Ty, Value};
use crate::x86_64::{Alu, Cc, Gpr, Shift, Size, Xmm, insts};

const UCOMI: (insts::Op, insts::Op) = (insts::UCOMISS, insts::UCOMISD);
const SUB: (insts::Op, insts::Op) = (insts::SUBSS, insts::SUBSD);
const TRUNCATE: (insts::Op, insts::Op) = (insts::CVTTSS2SI, insts::CVTTSD2SI);
const CONVERT: (insts::Op, insts::Op) = (insts::CVTSI2SS, insts::CVTSI2SD);

/// Bits of 2^63 as a float.
const fn two_to_63(ty: Ty) -> u64 {
    if matches!(ty, Ty::F32) { 0x5f00_0000 } else { 0x43e0_0000_0000_0000 }
}

/// Bits of -2^63 as a float.
const fn minus_two_to_63(ty: Ty) -> u64 {
    if matches!(ty, Ty::F32) { 0xdf00_0000 } else { 0xc3e0_0000_0000_0000 }
}

impl Gen<'_> {
    /// `trunc`: traps on NaNs and on what the integer cannot represent.
    pub(crate) fn truncate_float(&mut self, from: Ty, to: Ty, signed: bool) {
        self.mark();
        let value = self.pop();
        let src = self.use_xmm(value);
        let dst = self.alloc_gpr();
        match (to, signed) {
            (Ty::I32, _) => self.truncate_to_32(from, dst, src, signed),
            (_, true) => self.truncate_to_i64(from, dst, src),
            (_, false) => self.truncate_to_u64(from, dst, src),
        }
        self.release_xmm(src);
        self.push_gpr(to, dst);
    }

    /// Through 64 bits: the result must survive being cut to 32.
    fn truncate_to_32(&mut self, from: Ty, dst: Gpr, src: Xmm, signed: bool) {
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, src);
        self.compare_with_cut(dst, signed);
        let bad = self.bad_truncation(from, src);
        self.asm.jcc(Cc::NE, bad);
        if signed {
            self.asm.mov(Size::S32, dst, dst);
        }
    }

    /// Sets the flags to "equal" if the register's 32 low bits represent all of it.
    fn compare_with_cut(&mut self, reg: Gpr, signed: bool) {
        if signed {
            self.asm.movsxd(Gpr::R11, reg);
        } else {
            self.asm.mov(Size::S32, Gpr::R11, reg);
        }
        self.asm.alu(Alu::Cmp, Size::S64, Gpr::R11, reg);
    }

    fn bad_truncation(&mut self, from: Ty, value: Xmm) -> crate::x86_64::Label {
        let compare = pick(UCOMI, from);
        self.cold_truncation(Truncation { compare, value, minimum: None })
    }

    fn truncate_to_i64(&mut self, from: Ty, dst: Gpr, src: Xmm) {
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, src);
        // Only the least integer, which also stands for failure, overflows here.
        self.asm.alu_imm(Alu::Cmp, Size::S64, dst, 1);
        let next = self.asm.new_label();
        let minimum = Some((minus_two_to_63(from), next));
        let compare = pick(UCOMI, from);
        let cold = self.cold_truncation(Truncation { compare, value: src, minimum });
        self.asm.jcc(Cc::O, cold);
        self.asm.bind(next);
    }

    fn truncate_to_u64(&mut self, from: Ty, dst: Gpr, src: Xmm) {
        let bad = self.bad_truncation(from, src);
        self.load_bits(Xmm::XMM15, two_to_63(from));
        self.asm.xx(pick(UCOMI, from), src, Xmm::XMM15);
        let large = self.asm.jcc_short(Cc::AE);
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, src);
        self.asm.test(Size::S64, dst, dst);
        self.asm.jcc(Cc::S, bad);
        let done = self.asm.jmp_short();
        self.asm.bind_short(large);
        self.truncate_large(from, dst, src);
        self.asm.jcc(Cc::S, bad);
        self.asm.btc_imm(Size::S64, dst, 63);
        self.asm.bind_short(done);
    }

    /// Truncates `src - 2^63`, with 2^63 in xmm15; the sign flag tells a failure.
    fn truncate_large(&mut self, from: Ty, dst: Gpr, src: Xmm) {
        self.asm.movaps(Xmm::XMM14, src);
        self.asm.xx(pick(SUB, from), Xmm::XMM14, Xmm::XMM15);
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, Xmm::XMM14);
        self.asm.test(Size::S64, dst, dst);
    }

    /// `trunc_sat`: NaNs become 0, and what is out of range the nearest integer.
    pub(crate) fn saturate_float(&mut self, from: Ty, to: Ty, signed: bool) {
        let value = self.pop();
        let src = self.use_xmm(value);
        let dst = self.alloc_gpr();
        match (to, signed) {
            (Ty::I32, true) => self.saturate_to_i32(from, dst, src),
            (Ty::I32, false) => self.saturate_to_u32(from, dst, src),
            (_, true) => self.saturate_to_i64(from, dst, src),
            (_, false) => self.saturate_to_u64(from, dst, src),
        }
        self.release_xmm(src);
        self.push_gpr(to, dst);
    }

    /// Compares a float with zero: "parity" if it is a NaN, else "above" or "below".
    fn compare_with_zero(&mut self, from: Ty, src: Xmm) {
        self.asm.zero_xmm(Xmm::XMM15);
        self.asm.xx(pick(UCOMI, from), src, Xmm::XMM15);
    }

    fn saturate_to_i32(&mut self, from: Ty, dst: Gpr, src: Xmm) {
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, src);
        self.compare_with_cut(dst, true);
        let fine = self.asm.jcc_short(Cc::E);
        self.saturate_signed(from, dst, src, 0x7fff_ffff, 0x8000_0000);
        self.asm.bind_short(fine);
        self.asm.mov(Size::S32, dst, dst);
    }

    fn saturate_to_i64(&mut self, from: Ty, dst: Gpr, src: Xmm) {
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, src);
        self.asm.alu_imm(Alu::Cmp, Size::S64, dst, 1);
        let fine = self.asm.jcc_short(Cc::NO);
        self.saturate_signed(from, dst, src, i64::MAX as u64, 1 << 63);
        self.asm.bind_short(fine);
    }

    fn saturate_signed(&mut self, from: Ty, dst: Gpr, src: Xmm, max: u64, min: u64) {
        self.compare_with_zero(from, src);
        self.asm.mov_imm(dst, 0);
        let nan = self.asm.jcc_short(Cc::P);
        self.asm.mov_imm(dst, max);
        let above = self.asm.jcc_short(Cc::A);
        self.asm.mov_imm(dst, min);
        self.asm.bind_short(nan);
        self.asm.bind_short(above);
    }

    fn saturate_to_u32(&mut self, from: Ty, dst: Gpr, src: Xmm) {
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, src);
        self.compare_with_cut(dst, false);
        let fine = self.asm.jcc_short(Cc::E);
        self.compare_with_zero(from, src);
        self.asm.mov_imm(dst, 0);
        // A NaN counts as below too.
        let below = self.asm.jcc_short(Cc::BE);
        self.asm.mov_imm(dst, 0xffff_ffff);
        self.asm.bind_short(fine);
        self.asm.bind_short(below);
    }

    fn saturate_to_u64(&mut self, from: Ty, dst: Gpr, src: Xmm) {
        self.load_bits(Xmm::XMM15, two_to_63(from));
        self.asm.xx(pick(UCOMI, from), src, Xmm::XMM15);
        let large = self.asm.jcc_short(Cc::AE);
        self.asm.gx(pick(TRUNCATE, from), Size::S64, dst, src);
        self.asm.test(Size::S64, dst, dst);
        let fine = self.asm.jcc_short(Cc::NS);
        self.asm.zero(dst);
        let below = self.asm.jmp_short();
        self.asm.bind_short(large);
        self.truncate_large(from, dst, src);
        let over = self.asm.jcc_short(Cc::S);
        self.asm.btc_imm(Size::S64, dst, 63);
        let done = self.asm.jmp_short();
        self.asm.bind_short(over);
        self.asm.mov_imm(dst, u64::MAX);
        for jump in [fine, below, done] {
            self.asm.bind_short(jump);
        }
    }

    /// `convert` of a signed integer, or of an unsigned one of 32 bits, whose register holds it
    /// as a positive one of 64.
    pub(crate) fn convert_int(&mut self, from: Ty, to: Ty, signed: bool) {
        let value = self.pop();
        let unsigned_32 = from == Ty::I32 && !signed;
        let size = if unsigned_32 { Size::S64 } else { from.size() };
        let src = if unsigned_32 {
            crate::x86_64::Rm::Reg(self.use_gpr(value))
        } else {
            self.use_rm_gpr(value)
        };
        let dst = self.foreseen_xmm(self.at + 1).unwrap_or_else(|| self.alloc_xmm());
        // The instruction keeps the upper bits, and with them a false dependency.
        self.asm.zero_xmm(dst);
        self.asm.xg(pick(CONVERT, to), size, dst, src);
        self.release_rm_gpr(src);
        self.push_xmm(to, dst);
    }

    /// `convert` of an unsigned 64-bit integer: large ones are halved, rounding to odd.
    pub(crate) fn convert_u64(&mut self, to: Ty) {
        let value = self.pop();
        let src = self.own_gpr(value);
        let dst = self.alloc_xmm();
        self.asm.zero_xmm(dst);
        self.asm.test(Size::S64, src, src);
        let large = self.asm.jcc_short(Cc::S);
        self.asm.xg(pick(CONVERT, to), Size::S64, dst, src);
        let done = self.asm.jmp_short();
        self.asm.bind_short(large);
        self.asm.mov(Size::S64, Gpr::R11, src);
        self.asm.shift_imm(Shift::Shr, Size::S64, Gpr::R11, 1);
        self.asm.alu_imm(Alu::And, Size::S32, src, 1);
        self.asm.alu(Alu::Or, Size::S64, Gpr::R11, src);
        self.asm.xg(pick(CONVERT, to), Size::S64, dst, Gpr::R11);
        self.asm.xx(pick((insts::ADDSS, insts::ADDSD), to), dst, dst);
        self.asm.bind_short(done);
        self.release_gpr(src);
        self.push_xmm(to, dst);
    }

    /// A constant float.
    pub(crate) fn float_const(&mut self, ty: Ty, bits: u64) {
        self.push(Value::new(ty, Loc::Const(bits)));
    }
}
