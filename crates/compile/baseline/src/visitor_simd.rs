//! Vector operators: lists of what each is made of.

use crate::ops::{Half, Lanes, Rounding, Side};
use crate::state::Ty::{F32, F64};
use crate::visitor::Operators;
use crate::x86_64::{Shift, insts};
use Half::{High, Low};
use wasmparser::{MemArg, V128, VisitSimdOperator};

/// Operators that are one call with fixed arguments.
macro_rules! simple {
    ($($visit:ident = $method:ident($($arg:expr),*);)*) => {
        $( fn $visit(&mut self) { self.0.$method($($arg),*); } )*
    };
}

/// Operators that are one instruction with two operands.
macro_rules! binary {
    ($($visit:ident = $op:ident;)*) => {
        $( fn $visit(&mut self) { self.0.vector_binary(insts::$op); } )*
    };
}

/// Operators that are one instruction with one operand.
macro_rules! unary {
    ($($visit:ident = $op:ident;)*) => {
        $( fn $visit(&mut self) { self.0.vector_unary(insts::$op); } )*
    };
}

/// Memory operators.
macro_rules! memory {
    ($($visit:ident = $method:ident($($arg:expr),*);)*) => {
        $( fn $visit(&mut self, memarg: MemArg) { self.0.$method(&memarg, $($arg),*); } )*
    };
}

/// Memory operators on one lane.
macro_rules! lane_memory {
    ($($visit:ident = $method:ident($lanes:ident);)*) => {
        $( fn $visit(&mut self, memarg: MemArg, lane: u8) {
            self.0.$method(&memarg, Lanes::$lanes, lane);
        } )*
    };
}

/// Operators on one lane.
macro_rules! lane {
    ($($visit:ident = $method:ident($arg:expr);)*) => {
        $( fn $visit(&mut self, lane: u8) { self.0.$method($arg, lane); } )*
    };
}

impl<'a> VisitSimdOperator<'a> for Operators<'_, 'a> {
    // Memory.

    memory! {
        visit_v128_load = vector_load(16, insts::MOVUPS);
        visit_v128_load8x8_s = vector_load(8, insts::PMOVSXBW);
        visit_v128_load8x8_u = vector_load(8, insts::PMOVZXBW);
        visit_v128_load16x4_s = vector_load(8, insts::PMOVSXWD);
        visit_v128_load16x4_u = vector_load(8, insts::PMOVZXWD);
        visit_v128_load32x2_s = vector_load(8, insts::PMOVSXDQ);
        visit_v128_load32x2_u = vector_load(8, insts::PMOVZXDQ);
        visit_v128_load32_zero = vector_load(4, insts::MOVSS);
        visit_v128_load64_zero = vector_load(8, insts::MOVSD);
        visit_v128_load8_splat = load_splat(Lanes::I8);
        visit_v128_load16_splat = load_splat(Lanes::I16);
        visit_v128_load32_splat = load_splat(Lanes::I32);
        visit_v128_load64_splat = load_splat(Lanes::I64);
        visit_v128_store = vector_store();
    }

    lane_memory! {
        visit_v128_load8_lane = load_lane(I8);
        visit_v128_load16_lane = load_lane(I16);
        visit_v128_load32_lane = load_lane(I32);
        visit_v128_load64_lane = load_lane(I64);
        visit_v128_store8_lane = store_lane(I8);
        visit_v128_store16_lane = store_lane(I16);
        visit_v128_store32_lane = store_lane(I32);
        visit_v128_store64_lane = store_lane(I64);
    }

    // Constants and lanes.

    fn visit_v128_const(&mut self, value: V128) {
        self.0.vector_const(*value.bytes());
    }

    fn visit_i8x16_shuffle(&mut self, lanes: [u8; 16]) {
        self.0.shuffle(lanes);
    }

    lane! {
        visit_i8x16_extract_lane_s = extract_lane_signed(Lanes::I8);
        visit_i8x16_extract_lane_u = extract_lane(Lanes::I8);
        visit_i16x8_extract_lane_s = extract_lane_signed(Lanes::I16);
        visit_i16x8_extract_lane_u = extract_lane(Lanes::I16);
        visit_i32x4_extract_lane = extract_lane(Lanes::I32);
        visit_i64x2_extract_lane = extract_lane(Lanes::I64);
        visit_f32x4_extract_lane = extract_float(F32);
        visit_f64x2_extract_lane = extract_float(F64);
        visit_i8x16_replace_lane = replace_lane(Lanes::I8);
        visit_i16x8_replace_lane = replace_lane(Lanes::I16);
        visit_i32x4_replace_lane = replace_lane(Lanes::I32);
        visit_i64x2_replace_lane = replace_lane(Lanes::I64);
        visit_f32x4_replace_lane = replace_float(F32);
        visit_f64x2_replace_lane = replace_float(F64);
    }

    simple! {
        visit_i8x16_swizzle = swizzle();
        visit_i8x16_splat = splat(Lanes::I8);
        visit_i16x8_splat = splat(Lanes::I16);
        visit_i32x4_splat = splat(Lanes::I32);
        visit_i64x2_splat = splat(Lanes::I64);
        visit_f32x4_splat = splat(Lanes::F32);
        visit_f64x2_splat = splat(Lanes::F64);
    }

    // Comparisons.

    simple! {
        visit_i8x16_ne = lanes_differ(insts::PCMPEQB);
        visit_i16x8_ne = lanes_differ(insts::PCMPEQW);
        visit_i32x4_ne = lanes_differ(insts::PCMPEQD);
        visit_i64x2_ne = lanes_differ(insts::PCMPEQQ);
        visit_i8x16_lt_s = compare_signed(insts::PCMPGTB, Side::Lt);
        visit_i8x16_gt_s = compare_signed(insts::PCMPGTB, Side::Gt);
        visit_i8x16_le_s = compare_signed(insts::PCMPGTB, Side::Le);
        visit_i8x16_ge_s = compare_signed(insts::PCMPGTB, Side::Ge);
        visit_i16x8_lt_s = compare_signed(insts::PCMPGTW, Side::Lt);
        visit_i16x8_gt_s = compare_signed(insts::PCMPGTW, Side::Gt);
        visit_i16x8_le_s = compare_signed(insts::PCMPGTW, Side::Le);
        visit_i16x8_ge_s = compare_signed(insts::PCMPGTW, Side::Ge);
        visit_i32x4_lt_s = compare_signed(insts::PCMPGTD, Side::Lt);
        visit_i32x4_gt_s = compare_signed(insts::PCMPGTD, Side::Gt);
        visit_i32x4_le_s = compare_signed(insts::PCMPGTD, Side::Le);
        visit_i32x4_ge_s = compare_signed(insts::PCMPGTD, Side::Ge);
        visit_i64x2_lt_s = compare_signed_64(Side::Lt);
        visit_i64x2_gt_s = compare_signed_64(Side::Gt);
        visit_i64x2_le_s = compare_signed_64(Side::Le);
        visit_i64x2_ge_s = compare_signed_64(Side::Ge);
        visit_i8x16_lt_u = compare_unsigned(insts::PMINUB, insts::PMAXUB, insts::PCMPEQB, Side::Lt);
        visit_i8x16_gt_u = compare_unsigned(insts::PMINUB, insts::PMAXUB, insts::PCMPEQB, Side::Gt);
        visit_i8x16_le_u = compare_unsigned(insts::PMINUB, insts::PMAXUB, insts::PCMPEQB, Side::Le);
        visit_i8x16_ge_u = compare_unsigned(insts::PMINUB, insts::PMAXUB, insts::PCMPEQB, Side::Ge);
        visit_i16x8_lt_u = compare_unsigned(insts::PMINUW, insts::PMAXUW, insts::PCMPEQW, Side::Lt);
        visit_i16x8_gt_u = compare_unsigned(insts::PMINUW, insts::PMAXUW, insts::PCMPEQW, Side::Gt);
        visit_i16x8_le_u = compare_unsigned(insts::PMINUW, insts::PMAXUW, insts::PCMPEQW, Side::Le);
        visit_i16x8_ge_u = compare_unsigned(insts::PMINUW, insts::PMAXUW, insts::PCMPEQW, Side::Ge);
        visit_i32x4_lt_u = compare_unsigned(insts::PMINUD, insts::PMAXUD, insts::PCMPEQD, Side::Lt);
        visit_i32x4_gt_u = compare_unsigned(insts::PMINUD, insts::PMAXUD, insts::PCMPEQD, Side::Gt);
        visit_i32x4_le_u = compare_unsigned(insts::PMINUD, insts::PMAXUD, insts::PCMPEQD, Side::Le);
        visit_i32x4_ge_u = compare_unsigned(insts::PMINUD, insts::PMAXUD, insts::PCMPEQD, Side::Ge);
        visit_f32x4_eq = compare_lanes(F32, 0, false);
        visit_f32x4_ne = compare_lanes(F32, 4, false);
        visit_f32x4_lt = compare_lanes(F32, 1, false);
        visit_f32x4_gt = compare_lanes(F32, 1, true);
        visit_f32x4_le = compare_lanes(F32, 2, false);
        visit_f32x4_ge = compare_lanes(F32, 2, true);
        visit_f64x2_eq = compare_lanes(F64, 0, false);
        visit_f64x2_ne = compare_lanes(F64, 4, false);
        visit_f64x2_lt = compare_lanes(F64, 1, false);
        visit_f64x2_gt = compare_lanes(F64, 1, true);
        visit_f64x2_le = compare_lanes(F64, 2, false);
        visit_f64x2_ge = compare_lanes(F64, 2, true);
        visit_v128_any_true = any_true();
        visit_i8x16_all_true = all_true(insts::PCMPEQB);
        visit_i16x8_all_true = all_true(insts::PCMPEQW);
        visit_i32x4_all_true = all_true(insts::PCMPEQD);
        visit_i64x2_all_true = all_true(insts::PCMPEQQ);
        visit_i8x16_bitmask = bitmask(insts::PMOVMSKB);
        visit_i16x8_bitmask = bitmask_16();
        visit_i32x4_bitmask = bitmask(insts::MOVMSKPS);
        visit_i64x2_bitmask = bitmask(insts::MOVMSKPD);
    }

    // Bits and shifts.

    simple! {
        visit_v128_not = vector_not();
        visit_v128_andnot = vector_binary_swapped(insts::ANDNPS);
        visit_v128_bitselect = bitselect();
        visit_i8x16_shl = shift_bytes(Shift::Shl);
        visit_i8x16_shr_s = shift_bytes(Shift::Sar);
        visit_i8x16_shr_u = shift_bytes(Shift::Shr);
        visit_i16x8_shl = vector_shift(insts::PSLLW, 16);
        visit_i16x8_shr_s = vector_shift(insts::PSRAW, 16);
        visit_i16x8_shr_u = vector_shift(insts::PSRLW, 16);
        visit_i32x4_shl = vector_shift(insts::PSLLD, 32);
        visit_i32x4_shr_s = vector_shift(insts::PSRAD, 32);
        visit_i32x4_shr_u = vector_shift(insts::PSRLD, 32);
        visit_i64x2_shl = vector_shift(insts::PSLLQ, 64);
        visit_i64x2_shr_s = shift_right_signed_64();
        visit_i64x2_shr_u = vector_shift(insts::PSRLQ, 64);
    }

    // Integers.

    simple! {
        visit_i8x16_neg = lanes_negate(insts::PSUBB);
        visit_i16x8_neg = lanes_negate(insts::PSUBW);
        visit_i32x4_neg = lanes_negate(insts::PSUBD);
        visit_i64x2_neg = lanes_negate(insts::PSUBQ);
        visit_i64x2_abs = abs_64();
        visit_i8x16_popcnt = lanes_popcnt();
        visit_i16x8_q15mulr_sat_s = q15_multiply();
        visit_i64x2_mul = multiply_64();
        visit_i16x8_extend_low_i8x16_s = extend_half(insts::PMOVSXBW, Low);
        visit_i16x8_extend_high_i8x16_s = extend_half(insts::PMOVSXBW, High);
        visit_i16x8_extend_low_i8x16_u = extend_half(insts::PMOVZXBW, Low);
        visit_i16x8_extend_high_i8x16_u = extend_half(insts::PMOVZXBW, High);
        visit_i32x4_extend_low_i16x8_s = extend_half(insts::PMOVSXWD, Low);
        visit_i32x4_extend_high_i16x8_s = extend_half(insts::PMOVSXWD, High);
        visit_i32x4_extend_low_i16x8_u = extend_half(insts::PMOVZXWD, Low);
        visit_i32x4_extend_high_i16x8_u = extend_half(insts::PMOVZXWD, High);
        visit_i64x2_extend_low_i32x4_s = extend_half(insts::PMOVSXDQ, Low);
        visit_i64x2_extend_high_i32x4_s = extend_half(insts::PMOVSXDQ, High);
        visit_i64x2_extend_low_i32x4_u = extend_half(insts::PMOVZXDQ, Low);
        visit_i64x2_extend_high_i32x4_u = extend_half(insts::PMOVZXDQ, High);
        visit_i16x8_extmul_low_i8x16_s = extended_multiply(insts::PMOVSXBW, insts::PMULLW, Low);
        visit_i16x8_extmul_high_i8x16_s = extended_multiply(insts::PMOVSXBW, insts::PMULLW, High);
        visit_i16x8_extmul_low_i8x16_u = extended_multiply(insts::PMOVZXBW, insts::PMULLW, Low);
        visit_i16x8_extmul_high_i8x16_u = extended_multiply(insts::PMOVZXBW, insts::PMULLW, High);
        visit_i32x4_extmul_low_i16x8_s = extended_multiply(insts::PMOVSXWD, insts::PMULLD, Low);
        visit_i32x4_extmul_high_i16x8_s = extended_multiply(insts::PMOVSXWD, insts::PMULLD, High);
        visit_i32x4_extmul_low_i16x8_u = extended_multiply(insts::PMOVZXWD, insts::PMULLD, Low);
        visit_i32x4_extmul_high_i16x8_u = extended_multiply(insts::PMOVZXWD, insts::PMULLD, High);
        visit_i64x2_extmul_low_i32x4_s = extended_multiply_32(insts::PMULDQ, Low);
        visit_i64x2_extmul_high_i32x4_s = extended_multiply_32(insts::PMULDQ, High);
        visit_i64x2_extmul_low_i32x4_u = extended_multiply_32(insts::PMULUDQ, Low);
        visit_i64x2_extmul_high_i32x4_u = extended_multiply_32(insts::PMULUDQ, High);
        visit_i16x8_extadd_pairwise_i8x16_s = pairwise_add_signed_8();
        visit_i16x8_extadd_pairwise_i8x16_u = pairwise_add_unsigned_8();
        visit_i32x4_extadd_pairwise_i16x8_s = pairwise_add_signed_16();
        visit_i32x4_extadd_pairwise_i16x8_u = pairwise_add_unsigned_16();
    }

    binary! {
        visit_v128_and = ANDPS;
        visit_v128_or = ORPS;
        visit_v128_xor = XORPS;
        visit_i8x16_eq = PCMPEQB;
        visit_i16x8_eq = PCMPEQW;
        visit_i32x4_eq = PCMPEQD;
        visit_i64x2_eq = PCMPEQQ;
        visit_i8x16_narrow_i16x8_s = PACKSSWB;
        visit_i8x16_narrow_i16x8_u = PACKUSWB;
        visit_i16x8_narrow_i32x4_s = PACKSSDW;
        visit_i16x8_narrow_i32x4_u = PACKUSDW;
        visit_i8x16_add = PADDB;
        visit_i8x16_add_sat_s = PADDSB;
        visit_i8x16_add_sat_u = PADDUSB;
        visit_i8x16_sub = PSUBB;
        visit_i8x16_sub_sat_s = PSUBSB;
        visit_i8x16_sub_sat_u = PSUBUSB;
        visit_i8x16_min_s = PMINSB;
        visit_i8x16_min_u = PMINUB;
        visit_i8x16_max_s = PMAXSB;
        visit_i8x16_max_u = PMAXUB;
        visit_i8x16_avgr_u = PAVGB;
        visit_i16x8_add = PADDW;
        visit_i16x8_add_sat_s = PADDSW;
        visit_i16x8_add_sat_u = PADDUSW;
        visit_i16x8_sub = PSUBW;
        visit_i16x8_sub_sat_s = PSUBSW;
        visit_i16x8_sub_sat_u = PSUBUSW;
        visit_i16x8_mul = PMULLW;
        visit_i16x8_min_s = PMINSW;
        visit_i16x8_min_u = PMINUW;
        visit_i16x8_max_s = PMAXSW;
        visit_i16x8_max_u = PMAXUW;
        visit_i16x8_avgr_u = PAVGW;
        visit_i32x4_add = PADDD;
        visit_i32x4_sub = PSUBD;
        visit_i32x4_mul = PMULLD;
        visit_i32x4_min_s = PMINSD;
        visit_i32x4_min_u = PMINUD;
        visit_i32x4_max_s = PMAXSD;
        visit_i32x4_max_u = PMAXUD;
        visit_i32x4_dot_i16x8_s = PMADDWD;
        visit_i64x2_add = PADDQ;
        visit_i64x2_sub = PSUBQ;
        visit_f32x4_add = ADDPS;
        visit_f32x4_sub = SUBPS;
        visit_f32x4_mul = MULPS;
        visit_f32x4_div = DIVPS;
        visit_f64x2_add = ADDPD;
        visit_f64x2_sub = SUBPD;
        visit_f64x2_mul = MULPD;
        visit_f64x2_div = DIVPD;
    }

    unary! {
        visit_i8x16_abs = PABSB;
        visit_i16x8_abs = PABSW;
        visit_i32x4_abs = PABSD;
        visit_f32x4_sqrt = SQRTPS;
        visit_f64x2_sqrt = SQRTPD;
        visit_f32x4_convert_i32x4_s = CVTDQ2PS;
        visit_f64x2_convert_low_i32x4_s = CVTDQ2PD;
        visit_f32x4_demote_f64x2_zero = CVTPD2PS;
        visit_f64x2_promote_low_f32x4 = CVTPS2PD;
    }

    // Floats.

    simple! {
        visit_f32x4_pmin = vector_binary_swapped(insts::MINPS);
        visit_f32x4_pmax = vector_binary_swapped(insts::MAXPS);
        visit_f64x2_pmin = vector_binary_swapped(insts::MINPD);
        visit_f64x2_pmax = vector_binary_swapped(insts::MAXPD);
        visit_f32x4_min = lanes_min(F32);
        visit_f32x4_max = lanes_max(F32);
        visit_f64x2_min = lanes_min(F64);
        visit_f64x2_max = lanes_max(F64);
        visit_f32x4_abs = lanes_abs(F32);
        visit_f32x4_neg = lanes_neg(F32);
        visit_f64x2_abs = lanes_abs(F64);
        visit_f64x2_neg = lanes_neg(F64);
        visit_f32x4_ceil = lanes_round(Rounding::Ceil, F32);
        visit_f32x4_floor = lanes_round(Rounding::Floor, F32);
        visit_f32x4_trunc = lanes_round(Rounding::Trunc, F32);
        visit_f32x4_nearest = lanes_round(Rounding::Nearest, F32);
        visit_f64x2_ceil = lanes_round(Rounding::Ceil, F64);
        visit_f64x2_floor = lanes_round(Rounding::Floor, F64);
        visit_f64x2_trunc = lanes_round(Rounding::Trunc, F64);
        visit_f64x2_nearest = lanes_round(Rounding::Nearest, F64);
        visit_f32x4_convert_i32x4_u = lanes_convert_unsigned();
        visit_i32x4_trunc_sat_f32x4_s = lanes_truncate_signed();
        visit_i32x4_trunc_sat_f32x4_u = lanes_truncate_unsigned();
        visit_i32x4_trunc_sat_f64x2_s_zero = lanes_truncate_doubles_signed();
        visit_i32x4_trunc_sat_f64x2_u_zero = lanes_truncate_doubles_unsigned();
        visit_f64x2_convert_low_i32x4_u = lanes_convert_low_unsigned();
    }

    // Relaxed operators.

    simple! {
        visit_i8x16_relaxed_swizzle = relaxed_swizzle();
        visit_i32x4_relaxed_trunc_f32x4_s = relaxed_truncate();
        visit_i32x4_relaxed_trunc_f32x4_u = lanes_truncate_unsigned();
        visit_i32x4_relaxed_trunc_f64x2_s_zero = relaxed_truncate_doubles();
        visit_i32x4_relaxed_trunc_f64x2_u_zero = lanes_truncate_doubles_unsigned();
        visit_f32x4_relaxed_madd = relaxed_multiply_add(F32, false);
        visit_f32x4_relaxed_nmadd = relaxed_multiply_add(F32, true);
        visit_f64x2_relaxed_madd = relaxed_multiply_add(F64, false);
        visit_f64x2_relaxed_nmadd = relaxed_multiply_add(F64, true);
        visit_i8x16_relaxed_laneselect = bitselect();
        visit_i16x8_relaxed_laneselect = bitselect();
        visit_i32x4_relaxed_laneselect = bitselect();
        visit_i64x2_relaxed_laneselect = bitselect();
        visit_f32x4_relaxed_min = relaxed_min(F32);
        visit_f32x4_relaxed_max = relaxed_max(F32);
        visit_f64x2_relaxed_min = relaxed_min(F64);
        visit_f64x2_relaxed_max = relaxed_max(F64);
        visit_i16x8_relaxed_q15mulr_s = relaxed_q15_multiply();
        visit_i16x8_relaxed_dot_i8x16_i7x16_s = relaxed_dot();
        visit_i32x4_relaxed_dot_i8x16_i7x16_add_s = relaxed_dot_add();
    }
}
