//! Reachable vector operators.
//!
//! Lists name the lanes that an operator sees; values are cast when they are popped. Results
//! keep their lanes until something needs `I8X16`.

use super::Operators;
use crate::error::Result;
use crate::translate::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{ConstantData, InstBuilder as _, Type, Value, types};
use types::{F32X4, F64X2, I8X16, I16X8, I32, I32X4, I64X2};
use wasmparser::{MemArg, V128, VisitSimdOperator};

impl Translator<'_> {
    /// Loads one lane's bytes as a scalar.
    fn load_lane(&mut self, memarg: &MemArg, lane: Type) -> Result<Value> {
        let at = self.address(memarg, lane.bytes())?;
        Ok(self.builder.ins().load(lane, at.flags, at.base, at.offset))
    }

    fn load_splat(&mut self, memarg: &MemArg, ty: Type) -> Result {
        let value = self.load_lane(memarg, ty.lane_type())?;
        let vector = self.builder.ins().splat(ty, value);
        self.push(vector);
        Ok(())
    }

    fn load_zero(&mut self, memarg: &MemArg, ty: Type) -> Result {
        let value = self.load_lane(memarg, ty.lane_type())?;
        let vector = self.builder.ins().scalar_to_vector(ty, value);
        self.push(vector);
        Ok(())
    }

    fn load_into_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) -> Result {
        let vector = self.pop_vector(ty)?;
        let value = self.load_lane(memarg, ty.lane_type())?;
        let vector = self.builder.ins().insertlane(vector, value, lane);
        self.push(vector);
        Ok(())
    }

    fn store_lane(&mut self, memarg: &MemArg, ty: Type, lane: u8) -> Result {
        let vector = self.pop_vector(ty)?;
        let value = self.builder.ins().extractlane(vector, lane);
        self.push(value);
        self.store(memarg)
    }

    /// A scalar as it fits a lane: narrow ones are the low bits of an `i32`.
    fn pop_lane(&mut self, lane: Type) -> Result<Value> {
        let value = self.pop()?;
        let narrow = lane.is_int() && lane.bits() < 32;
        Ok(if narrow { self.builder.ins().ireduce(lane, value) } else { value })
    }

    fn splat(&mut self, ty: Type) -> Result {
        let value = self.pop_lane(ty.lane_type())?;
        let vector = self.builder.ins().splat(ty, value);
        self.push(vector);
        Ok(())
    }

    fn replace_lane(&mut self, ty: Type, lane: u8) -> Result {
        let value = self.pop_lane(ty.lane_type())?;
        let vector = self.pop_vector(ty)?;
        let vector = self.builder.ins().insertlane(vector, value, lane);
        self.push(vector);
        Ok(())
    }

    fn extract_lane(&mut self, ty: Type, lane: u8) -> Result<Value> {
        let vector = self.pop_vector(ty)?;
        Ok(self.builder.ins().extractlane(vector, lane))
    }

    fn shuffle(&mut self, lanes: [u8; 16]) -> Result {
        let (left, right) = self.pop2_vectors(I8X16)?;
        let mask = self.builder.func.dfg.immediates.push(ConstantData::from(lanes.as_slice()));
        let vector = self.builder.ins().shuffle(left, right, mask);
        self.push(vector);
        Ok(())
    }

    fn shift(&mut self, ty: Type, kind: Shift) -> Result {
        let amount = self.pop()?;
        let vector = self.pop_vector(ty)?;
        // Amounts count modulo the width of a lane, in the backend as in wasm.
        let vector = match kind {
            Shift::Left => self.builder.ins().ishl(vector, amount),
            Shift::RightSigned => self.builder.ins().sshr(vector, amount),
            Shift::RightUnsigned => self.builder.ins().ushr(vector, amount),
        };
        self.push(vector);
        Ok(())
    }

    fn compare_int_lanes(&mut self, ty: Type, condition: IntCC) -> Result {
        let (left, right) = self.pop2_vectors(ty)?;
        let mask = self.builder.ins().icmp(condition, left, right);
        self.push(mask);
        Ok(())
    }

    fn compare_float_lanes(&mut self, ty: Type, condition: FloatCC) -> Result {
        let (left, right) = self.pop2_vectors(ty)?;
        let mask = self.builder.ins().fcmp(condition, left, right);
        self.push(mask);
        Ok(())
    }

    /// `pmin` and `pmax`: the second operand where it is on the asked side of the first.
    fn pseudo_extreme(&mut self, ty: Type, want_less: bool) -> Result {
        let (first, second) = self.pop2_vectors(ty)?;
        let (low, high) = if want_less { (second, first) } else { (first, second) };
        let mask = self.builder.ins().fcmp(FloatCC::LessThan, low, high);
        let mask = self.cast(mask, ty);
        let vector = self.builder.ins().bitselect(mask, second, first);
        self.push(vector);
        Ok(())
    }

    /// Half of a vector's lanes, extended to twice their width.
    pub(super) fn widen_half(&mut self, vector: Value, half: Half) -> Value {
        let ins = self.builder.ins();
        match half {
            Half::LowSigned => ins.swiden_low(vector),
            Half::HighSigned => ins.swiden_high(vector),
            Half::LowUnsigned => ins.uwiden_low(vector),
            Half::HighUnsigned => ins.uwiden_high(vector),
        }
    }

    fn extend_half(&mut self, from: Type, half: Half) -> Result {
        let vector = self.pop_vector(from)?;
        let vector = self.widen_half(vector, half);
        self.push(vector);
        Ok(())
    }

    fn extended_multiply(&mut self, from: Type, half: Half) -> Result {
        let (left, right) = self.pop2_vectors(from)?;
        let (left, right) = (self.widen_half(left, half), self.widen_half(right, half));
        let vector = self.builder.ins().imul(left, right);
        self.push(vector);
        Ok(())
    }

    pub(super) fn extended_pairwise_add(&mut self, from: Type, low: Half, high: Half) -> Result {
        let vector = self.pop_vector(from)?;
        let (low, high) = (self.widen_half(vector, low), self.widen_half(vector, high));
        let vector = self.builder.ins().iadd_pairwise(low, high);
        self.push(vector);
        Ok(())
    }

    fn dot(&mut self) -> Result {
        let (left, right) = self.pop2_vectors(I16X8)?;
        let mut half = |half| {
            let (left, right) = (self.widen_half(left, half), self.widen_half(right, half));
            self.builder.ins().imul(left, right)
        };
        let (low, high) = (half(Half::LowSigned), half(Half::HighSigned));
        let vector = self.builder.ins().iadd_pairwise(low, high);
        self.push(vector);
        Ok(())
    }

    /// A literal zero of these lanes.
    pub(super) fn vector_zero(&mut self, ty: Type) -> Value {
        let zero = self.builder.func.dfg.constants.insert(ConstantData::from([0; 16].as_slice()));
        self.builder.ins().vconst(ty, zero)
    }

    /// `f64x2` to `i32x4` with zeros in the upper half.
    pub(super) fn truncate_to_low_half(&mut self, signed: bool) -> Result {
        let vector = self.pop_vector(F64X2)?;
        // The backend narrows this vector only together with the conversion and a literal zero.
        let zero = self.vector_zero(I64X2);
        let vector = if signed {
            let wide = self.builder.ins().fcvt_to_sint_sat(I64X2, vector);
            self.builder.ins().snarrow(wide, zero)
        } else {
            let wide = self.builder.ins().fcvt_to_uint_sat(I64X2, vector);
            self.builder.ins().uunarrow(wide, zero)
        };
        self.push(vector);
        Ok(())
    }

    /// The low half of `i32x4` as `f64x2`.
    fn convert_low_half(&mut self, signed: bool) -> Result {
        let vector = self.pop_vector(I32X4)?;
        let vector = if signed {
            let wide = self.builder.ins().swiden_low(vector);
            self.builder.ins().fcvt_from_sint(F64X2, wide)
        } else {
            let wide = self.builder.ins().uwiden_low(vector);
            self.builder.ins().fcvt_from_uint(F64X2, wide)
        };
        self.push(vector);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Shift {
    Left,
    RightSigned,
    RightUnsigned,
}

/// Which half of the lanes is extended, and how.
#[derive(Clone, Copy)]
pub(super) enum Half {
    LowSigned,
    HighSigned,
    LowUnsigned,
    HighUnsigned,
}

/// Operators of two vectors that are one instruction.
macro_rules! binary {
    ($($visit:ident = $ins:ident($ty:ident);)*) => {
        $( fn $visit(&mut self) -> Result {
            let (left, right) = self.0.pop2_vectors($ty)?;
            let vector = self.0.builder.ins().$ins(left, right);
            self.0.push(vector);
            Ok(())
        } )*
    };
}

/// Operators of one vector that are one instruction, with the result's type if it needs one.
macro_rules! unary {
    ($($visit:ident = $ins:ident($ty:ident) $(-> $to:ident)?;)*) => {
        $( fn $visit(&mut self) -> Result {
            let vector = self.0.pop_vector($ty)?;
            let vector = self.0.builder.ins().$ins($($to,)? vector);
            self.0.push(vector);
            Ok(())
        } )*
    };
}

/// Operators whose method takes the lanes and something else.
macro_rules! with_lanes {
    ($($visit:ident = $method:ident($($arg:expr),*);)*) => {
        $( fn $visit(&mut self) -> Result { self.0.$method($($arg),*) } )*
    };
}

/// Tests of all lanes.
macro_rules! all_true {
    ($($visit:ident = $ty:ident;)*) => {
        $( fn $visit(&mut self) -> Result {
            let vector = self.0.pop_vector($ty)?;
            let condition = self.0.builder.ins().vall_true(vector);
            self.0.push_condition(condition);
            Ok(())
        } )*
    };
}

/// Loads of eight bytes whose lanes are extended.
macro_rules! widening_loads {
    ($($visit:ident = $ins:ident;)*) => {
        $( fn $visit(&mut self, memarg: MemArg) -> Result {
            let at = self.0.address(&memarg, 8)?;
            let vector = self.0.builder.ins().$ins(at.flags, at.base, at.offset);
            self.0.push(vector);
            Ok(())
        } )*
    };
}

/// Memory operators whose method takes the lanes.
macro_rules! memory {
    ($($visit:ident = $method:ident($ty:ident);)*) => {
        $( fn $visit(&mut self, memarg: MemArg) -> Result { self.0.$method(&memarg, $ty) } )*
    };
}

/// Memory operators on one lane.
macro_rules! lane_memory {
    ($($visit:ident = $method:ident($ty:ident);)*) => {
        $( fn $visit(&mut self, memarg: MemArg, lane: u8) -> Result {
            self.0.$method(&memarg, $ty, lane)
        } )*
    };
}

/// Lanes as scalars, extended to `i32` where they are narrower.
macro_rules! extract_lanes {
    ($($visit:ident = $ty:ident $(, $extend:ident)?;)*) => {
        $( fn $visit(&mut self, lane: u8) -> Result {
            let value = self.0.extract_lane($ty, lane)?;
            $( let value = self.0.builder.ins().$extend(I32, value); )?
            self.0.push(value);
            Ok(())
        } )*
    };
}

macro_rules! replace_lanes {
    ($($visit:ident = $ty:ident;)*) => {
        $( fn $visit(&mut self, lane: u8) -> Result { self.0.replace_lane($ty, lane) } )*
    };
}

impl VisitSimdOperator<'_> for Operators<'_, '_> {
    // Memory.

    memory! {
        visit_v128_load = load(I8X16);
        visit_v128_load8_splat = load_splat(I8X16);
        visit_v128_load16_splat = load_splat(I16X8);
        visit_v128_load32_splat = load_splat(I32X4);
        visit_v128_load64_splat = load_splat(I64X2);
        visit_v128_load32_zero = load_zero(I32X4);
        visit_v128_load64_zero = load_zero(I64X2);
    }

    widening_loads! {
        visit_v128_load8x8_s = sload8x8;
        visit_v128_load8x8_u = uload8x8;
        visit_v128_load16x4_s = sload16x4;
        visit_v128_load16x4_u = uload16x4;
        visit_v128_load32x2_s = sload32x2;
        visit_v128_load32x2_u = uload32x2;
    }

    lane_memory! {
        visit_v128_load8_lane = load_into_lane(I8X16);
        visit_v128_load16_lane = load_into_lane(I16X8);
        visit_v128_load32_lane = load_into_lane(I32X4);
        visit_v128_load64_lane = load_into_lane(I64X2);
        visit_v128_store8_lane = store_lane(I8X16);
        visit_v128_store16_lane = store_lane(I16X8);
        visit_v128_store32_lane = store_lane(I32X4);
        visit_v128_store64_lane = store_lane(I64X2);
    }

    fn visit_v128_store(&mut self, memarg: MemArg) -> Result {
        self.0.store(&memarg)
    }

    // Constants and lanes.

    fn visit_v128_const(&mut self, value: V128) -> Result {
        let vector = self.0.vector_constant(*value.bytes());
        self.0.push(vector);
        Ok(())
    }

    fn visit_i8x16_shuffle(&mut self, lanes: [u8; 16]) -> Result {
        self.0.shuffle(lanes)
    }

    extract_lanes! {
        visit_i8x16_extract_lane_s = I8X16, sextend;
        visit_i8x16_extract_lane_u = I8X16, uextend;
        visit_i16x8_extract_lane_s = I16X8, sextend;
        visit_i16x8_extract_lane_u = I16X8, uextend;
        visit_i32x4_extract_lane = I32X4;
        visit_i64x2_extract_lane = I64X2;
        visit_f32x4_extract_lane = F32X4;
        visit_f64x2_extract_lane = F64X2;
    }

    replace_lanes! {
        visit_i8x16_replace_lane = I8X16;
        visit_i16x8_replace_lane = I16X8;
        visit_i32x4_replace_lane = I32X4;
        visit_i64x2_replace_lane = I64X2;
        visit_f32x4_replace_lane = F32X4;
        visit_f64x2_replace_lane = F64X2;
    }

    with_lanes! {
        visit_i8x16_splat = splat(I8X16);
        visit_i16x8_splat = splat(I16X8);
        visit_i32x4_splat = splat(I32X4);
        visit_i64x2_splat = splat(I64X2);
        visit_f32x4_splat = splat(F32X4);
        visit_f64x2_splat = splat(F64X2);
    }

    // Comparisons.

    with_lanes! {
        visit_i8x16_eq = compare_int_lanes(I8X16, IntCC::Equal);
        visit_i8x16_ne = compare_int_lanes(I8X16, IntCC::NotEqual);
        visit_i8x16_lt_s = compare_int_lanes(I8X16, IntCC::SignedLessThan);
        visit_i8x16_lt_u = compare_int_lanes(I8X16, IntCC::UnsignedLessThan);
        visit_i8x16_gt_s = compare_int_lanes(I8X16, IntCC::SignedGreaterThan);
        visit_i8x16_gt_u = compare_int_lanes(I8X16, IntCC::UnsignedGreaterThan);
        visit_i8x16_le_s = compare_int_lanes(I8X16, IntCC::SignedLessThanOrEqual);
        visit_i8x16_le_u = compare_int_lanes(I8X16, IntCC::UnsignedLessThanOrEqual);
        visit_i8x16_ge_s = compare_int_lanes(I8X16, IntCC::SignedGreaterThanOrEqual);
        visit_i8x16_ge_u = compare_int_lanes(I8X16, IntCC::UnsignedGreaterThanOrEqual);
        visit_i16x8_eq = compare_int_lanes(I16X8, IntCC::Equal);
        visit_i16x8_ne = compare_int_lanes(I16X8, IntCC::NotEqual);
        visit_i16x8_lt_s = compare_int_lanes(I16X8, IntCC::SignedLessThan);
        visit_i16x8_lt_u = compare_int_lanes(I16X8, IntCC::UnsignedLessThan);
        visit_i16x8_gt_s = compare_int_lanes(I16X8, IntCC::SignedGreaterThan);
        visit_i16x8_gt_u = compare_int_lanes(I16X8, IntCC::UnsignedGreaterThan);
        visit_i16x8_le_s = compare_int_lanes(I16X8, IntCC::SignedLessThanOrEqual);
        visit_i16x8_le_u = compare_int_lanes(I16X8, IntCC::UnsignedLessThanOrEqual);
        visit_i16x8_ge_s = compare_int_lanes(I16X8, IntCC::SignedGreaterThanOrEqual);
        visit_i16x8_ge_u = compare_int_lanes(I16X8, IntCC::UnsignedGreaterThanOrEqual);
        visit_i32x4_eq = compare_int_lanes(I32X4, IntCC::Equal);
        visit_i32x4_ne = compare_int_lanes(I32X4, IntCC::NotEqual);
        visit_i32x4_lt_s = compare_int_lanes(I32X4, IntCC::SignedLessThan);
        visit_i32x4_lt_u = compare_int_lanes(I32X4, IntCC::UnsignedLessThan);
        visit_i32x4_gt_s = compare_int_lanes(I32X4, IntCC::SignedGreaterThan);
        visit_i32x4_gt_u = compare_int_lanes(I32X4, IntCC::UnsignedGreaterThan);
        visit_i32x4_le_s = compare_int_lanes(I32X4, IntCC::SignedLessThanOrEqual);
        visit_i32x4_le_u = compare_int_lanes(I32X4, IntCC::UnsignedLessThanOrEqual);
        visit_i32x4_ge_s = compare_int_lanes(I32X4, IntCC::SignedGreaterThanOrEqual);
        visit_i32x4_ge_u = compare_int_lanes(I32X4, IntCC::UnsignedGreaterThanOrEqual);
        visit_i64x2_eq = compare_int_lanes(I64X2, IntCC::Equal);
        visit_i64x2_ne = compare_int_lanes(I64X2, IntCC::NotEqual);
        visit_i64x2_lt_s = compare_int_lanes(I64X2, IntCC::SignedLessThan);
        visit_i64x2_gt_s = compare_int_lanes(I64X2, IntCC::SignedGreaterThan);
        visit_i64x2_le_s = compare_int_lanes(I64X2, IntCC::SignedLessThanOrEqual);
        visit_i64x2_ge_s = compare_int_lanes(I64X2, IntCC::SignedGreaterThanOrEqual);
        visit_f32x4_eq = compare_float_lanes(F32X4, FloatCC::Equal);
        visit_f32x4_ne = compare_float_lanes(F32X4, FloatCC::NotEqual);
        visit_f32x4_lt = compare_float_lanes(F32X4, FloatCC::LessThan);
        visit_f32x4_gt = compare_float_lanes(F32X4, FloatCC::GreaterThan);
        visit_f32x4_le = compare_float_lanes(F32X4, FloatCC::LessThanOrEqual);
        visit_f32x4_ge = compare_float_lanes(F32X4, FloatCC::GreaterThanOrEqual);
        visit_f64x2_eq = compare_float_lanes(F64X2, FloatCC::Equal);
        visit_f64x2_ne = compare_float_lanes(F64X2, FloatCC::NotEqual);
        visit_f64x2_lt = compare_float_lanes(F64X2, FloatCC::LessThan);
        visit_f64x2_gt = compare_float_lanes(F64X2, FloatCC::GreaterThan);
        visit_f64x2_le = compare_float_lanes(F64X2, FloatCC::LessThanOrEqual);
        visit_f64x2_ge = compare_float_lanes(F64X2, FloatCC::GreaterThanOrEqual);
    }

    all_true! {
        visit_i8x16_all_true = I8X16;
        visit_i16x8_all_true = I16X8;
        visit_i32x4_all_true = I32X4;
        visit_i64x2_all_true = I64X2;
    }

    fn visit_v128_any_true(&mut self) -> Result {
        let vector = self.0.pop_vector(I8X16)?;
        let condition = self.0.builder.ins().vany_true(vector);
        self.0.push_condition(condition);
        Ok(())
    }

    // Bits.

    fn visit_v128_bitselect(&mut self) -> Result {
        let mask = self.0.pop_vector(I8X16)?;
        let (ones, zeros) = self.0.pop2_vectors(I8X16)?;
        let vector = self.0.builder.ins().bitselect(mask, ones, zeros);
        self.0.push(vector);
        Ok(())
    }

    // Shifts.

    with_lanes! {
        visit_i8x16_shl = shift(I8X16, Shift::Left);
        visit_i8x16_shr_s = shift(I8X16, Shift::RightSigned);
        visit_i8x16_shr_u = shift(I8X16, Shift::RightUnsigned);
        visit_i16x8_shl = shift(I16X8, Shift::Left);
        visit_i16x8_shr_s = shift(I16X8, Shift::RightSigned);
        visit_i16x8_shr_u = shift(I16X8, Shift::RightUnsigned);
        visit_i32x4_shl = shift(I32X4, Shift::Left);
        visit_i32x4_shr_s = shift(I32X4, Shift::RightSigned);
        visit_i32x4_shr_u = shift(I32X4, Shift::RightUnsigned);
        visit_i64x2_shl = shift(I64X2, Shift::Left);
        visit_i64x2_shr_s = shift(I64X2, Shift::RightSigned);
        visit_i64x2_shr_u = shift(I64X2, Shift::RightUnsigned);
    }

    // Extensions.

    with_lanes! {
        visit_i16x8_extend_low_i8x16_s = extend_half(I8X16, Half::LowSigned);
        visit_i16x8_extend_high_i8x16_s = extend_half(I8X16, Half::HighSigned);
        visit_i16x8_extend_low_i8x16_u = extend_half(I8X16, Half::LowUnsigned);
        visit_i16x8_extend_high_i8x16_u = extend_half(I8X16, Half::HighUnsigned);
        visit_i32x4_extend_low_i16x8_s = extend_half(I16X8, Half::LowSigned);
        visit_i32x4_extend_high_i16x8_s = extend_half(I16X8, Half::HighSigned);
        visit_i32x4_extend_low_i16x8_u = extend_half(I16X8, Half::LowUnsigned);
        visit_i32x4_extend_high_i16x8_u = extend_half(I16X8, Half::HighUnsigned);
        visit_i64x2_extend_low_i32x4_s = extend_half(I32X4, Half::LowSigned);
        visit_i64x2_extend_high_i32x4_s = extend_half(I32X4, Half::HighSigned);
        visit_i64x2_extend_low_i32x4_u = extend_half(I32X4, Half::LowUnsigned);
        visit_i64x2_extend_high_i32x4_u = extend_half(I32X4, Half::HighUnsigned);
        visit_i16x8_extmul_low_i8x16_s = extended_multiply(I8X16, Half::LowSigned);
        visit_i16x8_extmul_high_i8x16_s = extended_multiply(I8X16, Half::HighSigned);
        visit_i16x8_extmul_low_i8x16_u = extended_multiply(I8X16, Half::LowUnsigned);
        visit_i16x8_extmul_high_i8x16_u = extended_multiply(I8X16, Half::HighUnsigned);
        visit_i32x4_extmul_low_i16x8_s = extended_multiply(I16X8, Half::LowSigned);
        visit_i32x4_extmul_high_i16x8_s = extended_multiply(I16X8, Half::HighSigned);
        visit_i32x4_extmul_low_i16x8_u = extended_multiply(I16X8, Half::LowUnsigned);
        visit_i32x4_extmul_high_i16x8_u = extended_multiply(I16X8, Half::HighUnsigned);
        visit_i64x2_extmul_low_i32x4_s = extended_multiply(I32X4, Half::LowSigned);
        visit_i64x2_extmul_high_i32x4_s = extended_multiply(I32X4, Half::HighSigned);
        visit_i64x2_extmul_low_i32x4_u = extended_multiply(I32X4, Half::LowUnsigned);
        visit_i64x2_extmul_high_i32x4_u = extended_multiply(I32X4, Half::HighUnsigned);
        visit_i16x8_extadd_pairwise_i8x16_s =
            extended_pairwise_add(I8X16, Half::LowSigned, Half::HighSigned);
        visit_i16x8_extadd_pairwise_i8x16_u =
            extended_pairwise_add(I8X16, Half::LowUnsigned, Half::HighUnsigned);
        visit_i32x4_extadd_pairwise_i16x8_s =
            extended_pairwise_add(I16X8, Half::LowSigned, Half::HighSigned);
        visit_i32x4_extadd_pairwise_i16x8_u =
            extended_pairwise_add(I16X8, Half::LowUnsigned, Half::HighUnsigned);
        visit_i32x4_dot_i16x8_s = dot();
        visit_i32x4_trunc_sat_f64x2_s_zero = truncate_to_low_half(true);
        visit_i32x4_trunc_sat_f64x2_u_zero = truncate_to_low_half(false);
        visit_f64x2_convert_low_i32x4_s = convert_low_half(true);
        visit_f64x2_convert_low_i32x4_u = convert_low_half(false);
        visit_f32x4_pmin = pseudo_extreme(F32X4, true);
        visit_f32x4_pmax = pseudo_extreme(F32X4, false);
        visit_f64x2_pmin = pseudo_extreme(F64X2, true);
        visit_f64x2_pmax = pseudo_extreme(F64X2, false);
    }

    // One instruction each.

    binary! {
        visit_i8x16_swizzle = swizzle(I8X16);
        visit_v128_and = band(I8X16);
        visit_v128_andnot = band_not(I8X16);
        visit_v128_or = bor(I8X16);
        visit_v128_xor = bxor(I8X16);
        visit_i8x16_narrow_i16x8_s = snarrow(I16X8);
        visit_i8x16_narrow_i16x8_u = unarrow(I16X8);
        visit_i16x8_narrow_i32x4_s = snarrow(I32X4);
        visit_i16x8_narrow_i32x4_u = unarrow(I32X4);
        visit_i8x16_add = iadd(I8X16);
        visit_i8x16_add_sat_s = sadd_sat(I8X16);
        visit_i8x16_add_sat_u = uadd_sat(I8X16);
        visit_i8x16_sub = isub(I8X16);
        visit_i8x16_sub_sat_s = ssub_sat(I8X16);
        visit_i8x16_sub_sat_u = usub_sat(I8X16);
        visit_i8x16_min_s = smin(I8X16);
        visit_i8x16_min_u = umin(I8X16);
        visit_i8x16_max_s = smax(I8X16);
        visit_i8x16_max_u = umax(I8X16);
        visit_i8x16_avgr_u = avg_round(I8X16);
        visit_i16x8_q15mulr_sat_s = sqmul_round_sat(I16X8);
        visit_i16x8_add = iadd(I16X8);
        visit_i16x8_add_sat_s = sadd_sat(I16X8);
        visit_i16x8_add_sat_u = uadd_sat(I16X8);
        visit_i16x8_sub = isub(I16X8);
        visit_i16x8_sub_sat_s = ssub_sat(I16X8);
        visit_i16x8_sub_sat_u = usub_sat(I16X8);
        visit_i16x8_mul = imul(I16X8);
        visit_i16x8_min_s = smin(I16X8);
        visit_i16x8_min_u = umin(I16X8);
        visit_i16x8_max_s = smax(I16X8);
        visit_i16x8_max_u = umax(I16X8);
        visit_i16x8_avgr_u = avg_round(I16X8);
        visit_i32x4_add = iadd(I32X4);
        visit_i32x4_sub = isub(I32X4);
        visit_i32x4_mul = imul(I32X4);
        visit_i32x4_min_s = smin(I32X4);
        visit_i32x4_min_u = umin(I32X4);
        visit_i32x4_max_s = smax(I32X4);
        visit_i32x4_max_u = umax(I32X4);
        visit_i64x2_add = iadd(I64X2);
        visit_i64x2_sub = isub(I64X2);
        visit_i64x2_mul = imul(I64X2);
        visit_f32x4_add = fadd(F32X4);
        visit_f32x4_sub = fsub(F32X4);
        visit_f32x4_mul = fmul(F32X4);
        visit_f32x4_div = fdiv(F32X4);
        visit_f32x4_min = fmin(F32X4);
        visit_f32x4_max = fmax(F32X4);
        visit_f64x2_add = fadd(F64X2);
        visit_f64x2_sub = fsub(F64X2);
        visit_f64x2_mul = fmul(F64X2);
        visit_f64x2_div = fdiv(F64X2);
        visit_f64x2_min = fmin(F64X2);
        visit_f64x2_max = fmax(F64X2);
    }

    unary! {
        visit_v128_not = bnot(I8X16);
        visit_i8x16_abs = iabs(I8X16);
        visit_i8x16_neg = ineg(I8X16);
        visit_i8x16_popcnt = popcnt(I8X16);
        visit_i8x16_bitmask = vhigh_bits(I8X16) -> I32;
        visit_i16x8_abs = iabs(I16X8);
        visit_i16x8_neg = ineg(I16X8);
        visit_i16x8_bitmask = vhigh_bits(I16X8) -> I32;
        visit_i32x4_abs = iabs(I32X4);
        visit_i32x4_neg = ineg(I32X4);
        visit_i32x4_bitmask = vhigh_bits(I32X4) -> I32;
        visit_i64x2_abs = iabs(I64X2);
        visit_i64x2_neg = ineg(I64X2);
        visit_i64x2_bitmask = vhigh_bits(I64X2) -> I32;
        visit_f32x4_ceil = ceil(F32X4);
        visit_f32x4_floor = floor(F32X4);
        visit_f32x4_trunc = trunc(F32X4);
        visit_f32x4_nearest = nearest(F32X4);
        visit_f32x4_abs = fabs(F32X4);
        visit_f32x4_neg = fneg(F32X4);
        visit_f32x4_sqrt = sqrt(F32X4);
        visit_f64x2_ceil = ceil(F64X2);
        visit_f64x2_floor = floor(F64X2);
        visit_f64x2_trunc = trunc(F64X2);
        visit_f64x2_nearest = nearest(F64X2);
        visit_f64x2_abs = fabs(F64X2);
        visit_f64x2_neg = fneg(F64X2);
        visit_f64x2_sqrt = sqrt(F64X2);
        visit_i32x4_trunc_sat_f32x4_s = fcvt_to_sint_sat(F32X4) -> I32X4;
        visit_i32x4_trunc_sat_f32x4_u = fcvt_to_uint_sat(F32X4) -> I32X4;
        visit_f32x4_convert_i32x4_s = fcvt_from_sint(I32X4) -> F32X4;
        visit_f32x4_convert_i32x4_u = fcvt_from_uint(I32X4) -> F32X4;
        visit_f32x4_demote_f64x2_zero = fvdemote(F64X2);
        visit_f64x2_promote_low_f32x4 = fvpromote_low(F32X4);
    }

    // Relaxed operators.

    with_lanes! {
        visit_i8x16_relaxed_swizzle = relaxed_swizzle();
        visit_i32x4_relaxed_trunc_f32x4_s = relaxed_truncate();
        visit_i32x4_relaxed_trunc_f64x2_s_zero = relaxed_truncate_doubles();
        visit_i32x4_relaxed_trunc_f64x2_u_zero = truncate_to_low_half(false);
        visit_f32x4_relaxed_madd = relaxed_multiply_add(F32X4, false);
        visit_f32x4_relaxed_nmadd = relaxed_multiply_add(F32X4, true);
        visit_f64x2_relaxed_madd = relaxed_multiply_add(F64X2, false);
        visit_f64x2_relaxed_nmadd = relaxed_multiply_add(F64X2, true);
        visit_f32x4_relaxed_min = relaxed_min(F32X4);
        visit_f32x4_relaxed_max = relaxed_max(F32X4);
        visit_f64x2_relaxed_min = relaxed_min(F64X2);
        visit_f64x2_relaxed_max = relaxed_max(F64X2);
        visit_i16x8_relaxed_q15mulr_s = relaxed_q15_multiply();
        visit_i16x8_relaxed_dot_i8x16_i7x16_s = relaxed_dot();
        visit_i32x4_relaxed_dot_i8x16_i7x16_add_s = relaxed_dot_add();
    }

    unary! {
        visit_i32x4_relaxed_trunc_f32x4_u = fcvt_to_uint_sat(F32X4) -> I32X4;
    }

    fn visit_i8x16_relaxed_laneselect(&mut self) -> Result {
        self.visit_v128_bitselect()
    }

    fn visit_i16x8_relaxed_laneselect(&mut self) -> Result {
        self.visit_v128_bitselect()
    }

    fn visit_i32x4_relaxed_laneselect(&mut self) -> Result {
        self.visit_v128_bitselect()
    }

    fn visit_i64x2_relaxed_laneselect(&mut self) -> Result {
        self.visit_v128_bitselect()
    }
}
