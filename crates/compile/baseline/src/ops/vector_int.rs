//! Integer lanes.

use crate::function::Gen;
use crate::state::Ty;
use crate::x86_64::insts::{self, Op};
use crate::x86_64::{Alu, Gpr, Shift, Size, VectorShift, Xmm};

/// Which half of the lanes is extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Low,
    High,
}

/// Which side of an order a comparison asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Lt,
    Gt,
    Le,
    Ge,
}

/// `pshufd` selector for the upper half.
const UPPER: u8 = 0xee;
/// `pshufd` selector that copies the upper 32 bits of each 64.
const UPPER_OF_EACH: u8 = 0xf5;

impl Gen<'_> {
    // Comparisons.

    /// `ne`, by the instruction for `eq`.
    pub(crate) fn lanes_differ(&mut self, equal: Op) {
        let (dst, src) = self.pop2_xmm();
        self.asm.xx(equal, dst, src);
        self.invert(dst);
        self.push_binary(dst, src);
    }

    /// Signed order, by the instruction for "greater".
    pub(crate) fn compare_signed(&mut self, greater: Op, side: Side) {
        let (dst, src) = match side {
            Side::Gt | Side::Le => self.pop2_xmm(),
            Side::Lt | Side::Ge => self.pop2_xmm_swapped(),
        };
        self.asm.xx(greater, dst, src);
        if matches!(side, Side::Le | Side::Ge) {
            self.invert(dst);
        }
        self.push_binary(dst, src);
    }

    /// Unsigned order, by the instructions for minimum or maximum and equality.
    pub(crate) fn compare_unsigned(&mut self, min: Op, max: Op, equal: Op, side: Side) {
        let (dst, src) = self.pop2_xmm();
        let extreme = if matches!(side, Side::Gt | Side::Le) { min } else { max };
        self.asm.movaps(Xmm::XMM15, dst);
        self.asm.xx(extreme, Xmm::XMM15, src);
        self.asm.xx(equal, dst, Xmm::XMM15);
        if matches!(side, Side::Gt | Side::Lt) {
            self.invert(dst);
        }
        self.push_binary(dst, src);
    }

    /// Signed order of 64-bit lanes, for which SSE4.1 has no instruction: compares the upper
    /// halves, and where they are equal looks at the sign of the difference.
    pub(crate) fn compare_signed_64(&mut self, side: Side) {
        let (dst, src) = match side {
            Side::Gt | Side::Le => self.pop2_xmm(),
            Side::Lt | Side::Ge => self.pop2_xmm_swapped(),
        };
        let asm = &mut self.asm;
        asm.movaps(Xmm::XMM15, src);
        asm.xx(insts::PSUBQ, Xmm::XMM15, dst);
        asm.movaps(Xmm::XMM14, dst);
        asm.xx(insts::PCMPEQD, Xmm::XMM14, src);
        asm.xx(insts::PAND, Xmm::XMM15, Xmm::XMM14);
        asm.xx(insts::PCMPGTD, dst, src);
        asm.xx(insts::POR, dst, Xmm::XMM15);
        asm.xxi(insts::PSHUFD, dst, dst, UPPER_OF_EACH);
        if matches!(side, Side::Le | Side::Ge) {
            self.invert(dst);
        }
        self.push_binary(dst, src);
    }

    // Arithmetic.

    /// `neg`, by the instruction for subtraction.
    pub(crate) fn lanes_negate(&mut self, subtract: Op) {
        let src = self.pop_xmm();
        let dst = self.alloc_xmm();
        self.asm.zero_xmm(dst);
        self.asm.xx(subtract, dst, src);
        self.push_binary(dst, src);
    }

    /// `i64x2.abs`.
    pub(crate) fn abs_64(&mut self) {
        let dst = self.pop_in_place();
        self.asm.xxi(insts::PSHUFD, Xmm::XMM15, dst, UPPER_OF_EACH);
        self.asm.vector_shift(VectorShift::PSRAD, Xmm::XMM15, 31);
        self.asm.xx(insts::PXOR, dst, Xmm::XMM15);
        self.asm.xx(insts::PSUBQ, dst, Xmm::XMM15);
        self.push_vector(dst);
    }

    /// `i64x2.mul`, from products of halves.
    pub(crate) fn multiply_64(&mut self) {
        let (dst, src) = self.pop2_xmm();
        let asm = &mut self.asm;
        asm.movaps(Xmm::XMM15, dst);
        asm.vector_shift(VectorShift::PSRLQ, Xmm::XMM15, 32);
        asm.xx(insts::PMULUDQ, Xmm::XMM15, src);
        asm.movaps(Xmm::XMM14, src);
        asm.vector_shift(VectorShift::PSRLQ, Xmm::XMM14, 32);
        asm.xx(insts::PMULUDQ, Xmm::XMM14, dst);
        asm.xx(insts::PADDQ, Xmm::XMM15, Xmm::XMM14);
        asm.vector_shift(VectorShift::PSLLQ, Xmm::XMM15, 32);
        asm.xx(insts::PMULUDQ, dst, src);
        asm.xx(insts::PADDQ, dst, Xmm::XMM15);
        self.push_binary(dst, src);
    }

    /// `i8x16.popcnt`: a table of nibbles, looked up twice.
    pub(crate) fn lanes_popcnt(&mut self) {
        const TABLE: [u8; 16] = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];
        let value = self.pop();
        let low = self.own_xmm(value);
        let dst = self.alloc_xmm();
        let asm = &mut self.asm;
        asm.xx_wide(insts::MOVAPS, Xmm::XMM14, [0x0f; 16]);
        asm.movaps(Xmm::XMM15, low);
        asm.vector_shift(VectorShift::PSRLW, Xmm::XMM15, 4);
        asm.xx(insts::PAND, Xmm::XMM15, Xmm::XMM14);
        asm.xx(insts::PAND, low, Xmm::XMM14);
        asm.xx_wide(insts::MOVAPS, dst, TABLE);
        asm.xx_wide(insts::MOVAPS, Xmm::XMM14, TABLE);
        asm.xx(insts::PSHUFB, dst, low);
        asm.xx(insts::PSHUFB, Xmm::XMM14, Xmm::XMM15);
        asm.xx(insts::PADDB, dst, Xmm::XMM14);
        self.push_binary(dst, low);
    }

    /// `q15mulr_sat_s`: only the square of the least number overflows.
    pub(crate) fn q15_multiply(&mut self) {
        let (dst, src) = self.pop2_xmm();
        self.asm.xx(insts::PMULHRSW, dst, src);
        self.asm.xx_wide(insts::MOVAPS, Xmm::XMM15, words(0x8000));
        self.asm.xx(insts::PCMPEQW, Xmm::XMM15, dst);
        self.asm.xx(insts::PXOR, dst, Xmm::XMM15);
        self.push_binary(dst, src);
    }

    // Extensions.

    /// Half of the lanes, extended by this instruction.
    pub(crate) fn extend_half(&mut self, extend: Op, half: Half) {
        let src = self.pop_xmm();
        let dst = self.alloc_xmm();
        self.extend_to(extend, half, dst, src);
        self.push_binary(dst, src);
    }

    fn extend_to(&mut self, extend: Op, half: Half, dst: Xmm, src: Xmm) {
        if half == Half::Low {
            return self.asm.xx(extend, dst, src);
        }
        self.asm.xxi(insts::PSHUFD, dst, src, UPPER);
        self.asm.xx(extend, dst, dst);
    }

    /// `extmul`: both halves are extended, then multiplied.
    pub(crate) fn extended_multiply(&mut self, extend: Op, multiply: Op, half: Half) {
        let right = self.pop_xmm();
        let left = self.pop_xmm();
        let dst = self.alloc_xmm();
        self.extend_to(extend, half, dst, left);
        self.extend_to(extend, half, Xmm::XMM15, right);
        self.asm.xx(multiply, dst, Xmm::XMM15);
        self.release_xmm(right);
        self.push_binary(dst, left);
    }

    /// `extmul` of 32-bit lanes, which the multiplication itself extends.
    pub(crate) fn extended_multiply_32(&mut self, multiply: Op, half: Half) {
        let selector = if half == Half::Low { 0x50 } else { 0xfa };
        let right = self.pop_xmm();
        let left = self.pop_xmm();
        let dst = self.alloc_xmm();
        self.asm.xxi(insts::PSHUFD, dst, left, selector);
        self.asm.xxi(insts::PSHUFD, Xmm::XMM15, right, selector);
        self.asm.xx(multiply, dst, Xmm::XMM15);
        self.release_xmm(right);
        self.push_binary(dst, left);
    }

    /// `i16x8.extadd_pairwise_i8x16_s`: products with one, the unsigned factor first.
    pub(crate) fn pairwise_add_signed_8(&mut self) {
        let src = self.pop_xmm();
        let dst = self.alloc_xmm();
        self.asm.xx_wide(insts::MOVAPS, dst, [1; 16]);
        self.asm.xx(insts::PMADDUBSW, dst, src);
        self.push_binary(dst, src);
    }

    /// `extadd_pairwise` by an instruction with this constant as the second factor.
    pub(crate) fn pairwise_add(&mut self, multiply: Op, ones: [u8; 16]) {
        let dst = self.pop_in_place();
        self.asm.xx_wide(multiply, dst, ones);
        self.push_vector(dst);
    }

    pub(crate) fn pairwise_add_unsigned_8(&mut self) {
        self.pairwise_add(insts::PMADDUBSW, [1; 16]);
    }

    pub(crate) fn pairwise_add_signed_16(&mut self) {
        self.pairwise_add(insts::PMADDWD, words(1));
    }

    /// Shifts the range to that of signed numbers and back.
    pub(crate) fn pairwise_add_unsigned_16(&mut self) {
        let dst = self.pop_in_place();
        self.asm.xx_wide(insts::PXOR, dst, words(0x8000));
        self.asm.xx_wide(insts::PMADDWD, dst, words(1));
        self.asm.xx_wide(insts::PADDD, dst, doubles(0x1_0000));
        self.push_vector(dst);
    }

    // Shifts.

    /// Brings the popped count, modulo the width of a lane, to xmm15.
    fn shift_count(&mut self, bits: i32) {
        let count = self.pop();
        self.load_gpr(Gpr::R11, count);
        self.release(count);
        self.asm.alu_imm(Alu::And, Size::S32, Gpr::R11, bits - 1);
        self.asm.xg(insts::MOVD, Size::S32, Xmm::XMM15, Gpr::R11);
    }

    /// Shifts that are one instruction.
    pub(crate) fn vector_shift(&mut self, op: Op, bits: i32) {
        self.shift_count(bits);
        let dst = self.pop_in_place();
        self.asm.xx(op, dst, Xmm::XMM15);
        self.push_vector(dst);
    }

    /// `i64x2.shr_s`, from the unsigned shift: the moved sign bit is extended.
    pub(crate) fn shift_right_signed_64(&mut self) {
        self.shift_count(64);
        let dst = self.pop_in_place();
        self.sign_mask(Xmm::XMM14, Ty::F64);
        self.asm.xx(insts::PSRLQ, Xmm::XMM14, Xmm::XMM15);
        self.asm.xx(insts::PSRLQ, dst, Xmm::XMM15);
        self.asm.xx(insts::PXOR, dst, Xmm::XMM14);
        self.asm.xx(insts::PSUBQ, dst, Xmm::XMM14);
        self.push_vector(dst);
    }

    /// Shifts of bytes: even and odd ones apart, as halves of words.
    pub(crate) fn shift_bytes(&mut self, shift: Shift) {
        self.shift_count(8);
        let value = self.pop();
        let odd = self.own_xmm(value);
        let even = self.alloc_xmm();
        let asm = &mut self.asm;
        // xmm14: 00ff in each word.
        asm.ones_xmm(Xmm::XMM14);
        asm.vector_shift(VectorShift::PSRLW, Xmm::XMM14, 8);
        asm.movaps(even, odd);
        match shift {
            Shift::Shl => {
                asm.xx(insts::PSLLW, even, Xmm::XMM15);
                asm.xx(insts::PAND, even, Xmm::XMM14);
                asm.xx(insts::PANDN, Xmm::XMM14, odd);
                asm.xx(insts::PSLLW, Xmm::XMM14, Xmm::XMM15);
            }
            Shift::Sar => {
                asm.vector_shift(VectorShift::PSLLW, even, 8);
                asm.xx(insts::PSRAW, even, Xmm::XMM15);
                asm.vector_shift(VectorShift::PSRLW, even, 8);
                asm.xx(insts::PSRAW, odd, Xmm::XMM15);
                asm.xx(insts::PANDN, Xmm::XMM14, odd);
            }
            _ => {
                asm.xx(insts::PAND, even, Xmm::XMM14);
                asm.xx(insts::PSRLW, even, Xmm::XMM15);
                asm.xx(insts::PSRLW, odd, Xmm::XMM15);
                asm.xx(insts::PANDN, Xmm::XMM14, odd);
            }
        }
        asm.xx(insts::POR, even, Xmm::XMM14);
        self.push_binary(even, odd);
    }
}

/// The same 16 bits in each lane.
pub(super) fn words(value: u16) -> [u8; 16] {
    let [low, high] = value.to_le_bytes();
    std::array::from_fn(|i| if i % 2 == 0 { low } else { high })
}

/// The same 32 bits in each lane.
pub(super) fn doubles(value: u32) -> [u8; 16] {
    let bytes = value.to_le_bytes();
    std::array::from_fn(|i| bytes[i % 4])
}

/// The same 64 bits in each lane.
pub(super) fn quads(value: u64) -> [u8; 16] {
    let bytes = value.to_le_bytes();
    std::array::from_fn(|i| bytes[i % 8])
}
