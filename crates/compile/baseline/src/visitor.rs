//! Operators: one line of a list or one short method each.
//!
//! [`Operators`] handles what can be reached, [`DeadCode`] only counts the nesting of what
//! cannot. Vectors are in `visitor_simd`. Operators of proposals that the engine does not
//! implement never come here; should one, it is reported as a bug.

use crate::function::Gen;
use crate::ops::{Access, Division, FloatCompare, Rmw, Rounding, float};
use crate::state::{Loc, Ty, Value};
use crate::x86_64::{Alu, Cc, Shift, Size, insts};
use Ty::{F32, F64, I32, I64};
use wasmoor_abi::{Libcall, TrapCode};
use wasmparser::{
    BlockType, BrTable, Ieee32, Ieee64, MemArg, TryTable, VisitOperator, VisitSimdOperator,
};

/// Translates reachable operators.
pub(crate) struct Operators<'g, 'a>(pub(crate) &'g mut Gen<'a>);

/// Skips unreachable operators until an `else` or `end` makes code reachable again.
pub(crate) struct DeadCode<'g, 'a>(pub(crate) &'g mut Gen<'a>);

/// Operators that are one call with fixed arguments.
macro_rules! simple {
    ($($visit:ident = $method:ident($($arg:expr),*);)*) => {
        $( fn $visit(&mut self) { self.0.$method($($arg),*); } )*
    };
}

/// Operators whose indices are the arguments of one call.
macro_rules! indexed {
    ($($visit:ident($($arg:ident),*) = $method:ident($($given:expr),*);)*) => {
        $( fn $visit(&mut self, $($arg: u32),*) { self.0.$method($($given),*); } )*
    };
}

/// Loads to general registers: bytes, type and instruction.
macro_rules! int_loads {
    ($($visit:ident = $size:literal, $ty:expr, |$asm:ident, $dst:ident, $mem:ident| $emit:expr;)*) => {
        $( fn $visit(&mut self, memarg: MemArg) {
            self.0.load_int(&memarg, $size, $ty, |$asm, $dst, $mem| $emit);
        } )*
    };
}

macro_rules! int_stores {
    ($($visit:ident = $size:literal;)*) => {
        $( fn $visit(&mut self, memarg: MemArg) { self.0.store_int(&memarg, $size); } )*
    };
}

/// Atomic memory operators.
macro_rules! atomics {
    ($($visit:ident = $method:ident($($arg:expr),*);)*) => {
        $( fn $visit(&mut self, memarg: MemArg) { self.0.$method(&memarg, $($arg),*); } )*
    };
}

/// Operators of proposals that are not handled.
macro_rules! refuse {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $( refuse!(@$proposal $op $visit ($($($arg: $ty),*)?)); )*
    };
    (@mvp $($rest:tt)*) => {};
    (@sign_extension $($rest:tt)*) => {};
    (@saturating_float_to_int $($rest:tt)*) => {};
    (@bulk_memory $($rest:tt)*) => {};
    (@reference_types $($rest:tt)*) => {};
    (@tail_call $($rest:tt)*) => {};
    (@function_references $($rest:tt)*) => {};
    (@exceptions $($rest:tt)*) => {};
    (@legacy_exceptions $($rest:tt)*) => {};
    (@wide_arithmetic $($rest:tt)*) => {};
    (@threads $($rest:tt)*) => {};
    (@$proposal:ident $op:ident $visit:ident ($($arg:ident: $ty:ty),*)) => {
        fn $visit(&mut self, $($arg: $ty),*) {
            $( let _ = $arg; )*
            self.0.bug(concat!("the operator ", stringify!($op)));
        }
    };
}

impl<'a> VisitOperator<'a> for Operators<'_, 'a> {
    type Output = ();

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = ()>> {
        Some(self)
    }

    // Control.

    fn visit_unreachable(&mut self) {
        self.0.mark();
        self.0.asm.trap(TrapCode::Unreachable);
        self.0.reachable = false;
    }

    fn visit_nop(&mut self) {}

    fn visit_block(&mut self, ty: BlockType) {
        self.0.block(ty);
    }

    fn visit_loop(&mut self, ty: BlockType) {
        self.0.begin_loop(ty);
    }

    fn visit_if(&mut self, ty: BlockType) {
        self.0.begin_if(ty);
    }

    simple! {
        visit_else = begin_else();
        visit_end = end();
        visit_return = emit_return();
        visit_select = select();
        visit_ref_as_non_null = ref_as_non_null();
        visit_throw_ref = throw_ref();
        visit_catch_all = begin_catch(None);
    }

    indexed! {
        visit_br(label) = br(label);
        visit_br_if(label) = br_if(label);
        visit_call(func) = call(func);
        visit_call_indirect(ty, table) = call_indirect(ty, table);
        visit_br_on_null(label) = br_on_null(label);
        visit_br_on_non_null(label) = br_on_non_null(label);
        visit_call_ref(ty) = call_ref(ty);
        visit_return_call_ref(ty) = return_call_ref(ty);
        visit_return_call(func) = return_call(func);
        visit_return_call_indirect(ty, table) = return_call_indirect(ty, table);
        visit_local_get(local) = local_get(local);
        visit_local_set(local) = local_set(local);
        visit_local_tee(local) = local_tee(local);
        visit_global_get(global) = global_get(global);
        visit_global_set(global) = global_set(global);
        visit_memory_size(memory) = memory_size(memory);
        visit_memory_grow(memory) = memory_grow(memory);
        visit_memory_fill(memory) = memory_fill(memory);
        visit_memory_copy(dst, src) = copy(Libcall::memory_copy, dst, src);
        visit_memory_init(data, memory) = init(Libcall::memory_init, memory, data);
        visit_data_drop(data) = drop_segment(Libcall::data_drop, data);
        visit_table_copy(dst, src) = copy(Libcall::table_copy, dst, src);
        visit_table_init(elem, table) = init(Libcall::table_init, table, elem);
        visit_elem_drop(elem) = drop_segment(Libcall::elem_drop, elem);
        visit_table_fill(table) = table_fill(table);
        visit_table_get(table) = table_get(table);
        visit_table_set(table) = table_set(table);
        visit_table_grow(table) = table_grow(table);
        visit_table_size(table) = table_size(table);
        visit_ref_func(func) = ref_func(func);
        visit_throw(tag) = throw(tag);
        visit_delegate(label) = delegate(label);
        visit_rethrow(label) = rethrow(label);
    }

    fn visit_try_table(&mut self, table: TryTable) {
        self.0.begin_try_table(&table);
    }

    fn visit_try(&mut self, ty: BlockType) {
        self.0.begin_legacy_try(ty);
    }

    fn visit_catch(&mut self, tag: u32) {
        self.0.begin_catch(Some(tag));
    }

    fn visit_br_table(&mut self, targets: BrTable<'a>) {
        self.0.br_table(&targets);
    }

    fn visit_drop(&mut self) {
        let value = self.0.pop();
        self.0.release(value);
    }

    fn visit_typed_select(&mut self, _: wasmparser::ValType) {
        self.0.select();
    }

    fn visit_typed_select_multi(&mut self, _: Vec<wasmparser::ValType>) {
        self.0.bug("select of one value");
    }

    // Memory.

    int_loads! {
        visit_i32_load = 4, I32, |asm, dst, mem| asm.mov(Size::S32, dst, mem);
        visit_i64_load = 8, I64, |asm, dst, mem| asm.mov(Size::S64, dst, mem);
        visit_i32_load8_s = 1, I32, |asm, dst, mem| asm.movsx_b(Size::S32, dst, mem);
        visit_i32_load8_u = 1, I32, |asm, dst, mem| asm.movzx_b(dst, mem);
        visit_i32_load16_s = 2, I32, |asm, dst, mem| asm.gg(insts::MOVSX_W, Size::S32, dst, mem);
        visit_i32_load16_u = 2, I32, |asm, dst, mem| asm.gg(insts::MOVZX_W, Size::S32, dst, mem);
        visit_i64_load8_s = 1, I64, |asm, dst, mem| asm.movsx_b(Size::S64, dst, mem);
        visit_i64_load8_u = 1, I64, |asm, dst, mem| asm.movzx_b(dst, mem);
        visit_i64_load16_s = 2, I64, |asm, dst, mem| asm.gg(insts::MOVSX_W, Size::S64, dst, mem);
        visit_i64_load16_u = 2, I64, |asm, dst, mem| asm.gg(insts::MOVZX_W, Size::S32, dst, mem);
        visit_i64_load32_s = 4, I64, |asm, dst, mem| asm.movsxd(dst, mem);
        visit_i64_load32_u = 4, I64, |asm, dst, mem| asm.mov(Size::S32, dst, mem);
    }

    int_stores! {
        visit_i32_store = 4;
        visit_i64_store = 8;
        visit_i32_store8 = 1;
        visit_i32_store16 = 2;
        visit_i64_store8 = 1;
        visit_i64_store16 = 2;
        visit_i64_store32 = 4;
    }

    fn visit_f32_load(&mut self, memarg: MemArg) {
        self.0.load_float(&memarg, F32, insts::MOVSS);
    }

    fn visit_f64_load(&mut self, memarg: MemArg) {
        self.0.load_float(&memarg, F64, insts::MOVSD);
    }

    fn visit_f32_store(&mut self, memarg: MemArg) {
        self.0.store_float(&memarg, F32);
    }

    fn visit_f64_store(&mut self, memarg: MemArg) {
        self.0.store_float(&memarg, F64);
    }

    // Constants.

    fn visit_i32_const(&mut self, value: i32) {
        self.0.push(Value::new(I32, Loc::Const(u64::from(value.cast_unsigned()))));
    }

    fn visit_i64_const(&mut self, value: i64) {
        self.0.push(Value::new(I64, Loc::Const(value.cast_unsigned())));
    }

    fn visit_f32_const(&mut self, value: Ieee32) {
        self.0.float_const(F32, u64::from(value.bits()));
    }

    fn visit_f64_const(&mut self, value: Ieee64) {
        self.0.float_const(F64, value.bits());
    }

    fn visit_ref_null(&mut self, _: wasmparser::HeapType) {
        self.0.push(Value::new(I64, Loc::Const(0)));
    }

    // Numbers.

    simple! {
        visit_ref_is_null = is_zero(I64);
        visit_i32_eqz = is_zero(I32);
        visit_i64_eqz = is_zero(I64);
        visit_i32_eq = compare(Cc::E, I32);
        visit_i32_ne = compare(Cc::NE, I32);
        visit_i32_lt_s = compare(Cc::L, I32);
        visit_i32_lt_u = compare(Cc::B, I32);
        visit_i32_gt_s = compare(Cc::G, I32);
        visit_i32_gt_u = compare(Cc::A, I32);
        visit_i32_le_s = compare(Cc::LE, I32);
        visit_i32_le_u = compare(Cc::BE, I32);
        visit_i32_ge_s = compare(Cc::GE, I32);
        visit_i32_ge_u = compare(Cc::AE, I32);
        visit_i64_eq = compare(Cc::E, I64);
        visit_i64_ne = compare(Cc::NE, I64);
        visit_i64_lt_s = compare(Cc::L, I64);
        visit_i64_lt_u = compare(Cc::B, I64);
        visit_i64_gt_s = compare(Cc::G, I64);
        visit_i64_gt_u = compare(Cc::A, I64);
        visit_i64_le_s = compare(Cc::LE, I64);
        visit_i64_le_u = compare(Cc::BE, I64);
        visit_i64_ge_s = compare(Cc::GE, I64);
        visit_i64_ge_u = compare(Cc::AE, I64);
        visit_f32_eq = float_compare(FloatCompare::Eq, F32);
        visit_f32_ne = float_compare(FloatCompare::Ne, F32);
        visit_f32_lt = float_compare(FloatCompare::Lt, F32);
        visit_f32_gt = float_compare(FloatCompare::Gt, F32);
        visit_f32_le = float_compare(FloatCompare::Le, F32);
        visit_f32_ge = float_compare(FloatCompare::Ge, F32);
        visit_f64_eq = float_compare(FloatCompare::Eq, F64);
        visit_f64_ne = float_compare(FloatCompare::Ne, F64);
        visit_f64_lt = float_compare(FloatCompare::Lt, F64);
        visit_f64_gt = float_compare(FloatCompare::Gt, F64);
        visit_f64_le = float_compare(FloatCompare::Le, F64);
        visit_f64_ge = float_compare(FloatCompare::Ge, F64);
        visit_i32_add = int_binary(Alu::Add, I32);
        visit_i32_sub = int_binary(Alu::Sub, I32);
        visit_i32_mul = multiply(I32);
        visit_i32_div_s = divide(Division::Signed, I32);
        visit_i32_div_u = divide(Division::Unsigned, I32);
        visit_i32_rem_s = divide(Division::SignedRemainder, I32);
        visit_i32_rem_u = divide(Division::UnsignedRemainder, I32);
        visit_i32_and = int_binary(Alu::And, I32);
        visit_i32_or = int_binary(Alu::Or, I32);
        visit_i32_xor = int_binary(Alu::Xor, I32);
        visit_i32_shl = shift(Shift::Shl, I32);
        visit_i32_shr_s = shift(Shift::Sar, I32);
        visit_i32_shr_u = shift(Shift::Shr, I32);
        visit_i32_rotl = shift(Shift::Rotl, I32);
        visit_i32_rotr = shift(Shift::Rotr, I32);
        visit_i64_add = int_binary(Alu::Add, I64);
        visit_i64_sub = int_binary(Alu::Sub, I64);
        visit_i64_mul = multiply(I64);
        visit_i64_div_s = divide(Division::Signed, I64);
        visit_i64_div_u = divide(Division::Unsigned, I64);
        visit_i64_rem_s = divide(Division::SignedRemainder, I64);
        visit_i64_rem_u = divide(Division::UnsignedRemainder, I64);
        visit_i64_and = int_binary(Alu::And, I64);
        visit_i64_or = int_binary(Alu::Or, I64);
        visit_i64_xor = int_binary(Alu::Xor, I64);
        visit_i64_shl = shift(Shift::Shl, I64);
        visit_i64_shr_s = shift(Shift::Sar, I64);
        visit_i64_shr_u = shift(Shift::Shr, I64);
        visit_i64_rotl = shift(Shift::Rotl, I64);
        visit_i64_rotr = shift(Shift::Rotr, I64);
        visit_i32_clz = count_leading_zeros(I32);
        visit_i32_ctz = count_trailing_zeros(I32);
        visit_i32_popcnt = count_ones(I32);
        visit_i64_clz = count_leading_zeros(I64);
        visit_i64_ctz = count_trailing_zeros(I64);
        visit_i64_popcnt = count_ones(I64);
        visit_i32_extend8_s = extend8(I32);
        visit_i32_extend16_s = extend16(I32);
        visit_i64_extend8_s = extend8(I64);
        visit_i64_extend16_s = extend16(I64);
        visit_i64_extend32_s = extend32();
        visit_i64_extend_i32_s = extend32();
        visit_i64_extend_i32_u = extend_unsigned();
        visit_i32_wrap_i64 = wrap();
        visit_f32_add = float_binary(float::ADD, F32);
        visit_f32_sub = float_binary(float::SUB, F32);
        visit_f32_mul = float_binary(float::MUL, F32);
        visit_f32_div = float_binary(float::DIV, F32);
        visit_f32_min = float_extreme(F32, false);
        visit_f32_max = float_extreme(F32, true);
        visit_f32_copysign = float_copysign(F32);
        visit_f32_abs = float_abs(F32);
        visit_f32_neg = float_neg(F32);
        visit_f32_ceil = float_round(Rounding::Ceil, F32);
        visit_f32_floor = float_round(Rounding::Floor, F32);
        visit_f32_trunc = float_round(Rounding::Trunc, F32);
        visit_f32_nearest = float_round(Rounding::Nearest, F32);
        visit_f32_sqrt = float_sqrt(F32);
        visit_f64_add = float_binary(float::ADD, F64);
        visit_f64_sub = float_binary(float::SUB, F64);
        visit_f64_mul = float_binary(float::MUL, F64);
        visit_f64_div = float_binary(float::DIV, F64);
        visit_f64_min = float_extreme(F64, false);
        visit_f64_max = float_extreme(F64, true);
        visit_f64_copysign = float_copysign(F64);
        visit_f64_abs = float_abs(F64);
        visit_f64_neg = float_neg(F64);
        visit_f64_ceil = float_round(Rounding::Ceil, F64);
        visit_f64_floor = float_round(Rounding::Floor, F64);
        visit_f64_trunc = float_round(Rounding::Trunc, F64);
        visit_f64_nearest = float_round(Rounding::Nearest, F64);
        visit_f64_sqrt = float_sqrt(F64);
        visit_i32_trunc_f32_s = truncate_float(F32, I32, true);
        visit_i32_trunc_f32_u = truncate_float(F32, I32, false);
        visit_i32_trunc_f64_s = truncate_float(F64, I32, true);
        visit_i32_trunc_f64_u = truncate_float(F64, I32, false);
        visit_i64_trunc_f32_s = truncate_float(F32, I64, true);
        visit_i64_trunc_f32_u = truncate_float(F32, I64, false);
        visit_i64_trunc_f64_s = truncate_float(F64, I64, true);
        visit_i64_trunc_f64_u = truncate_float(F64, I64, false);
        visit_i32_trunc_sat_f32_s = saturate_float(F32, I32, true);
        visit_i32_trunc_sat_f32_u = saturate_float(F32, I32, false);
        visit_i32_trunc_sat_f64_s = saturate_float(F64, I32, true);
        visit_i32_trunc_sat_f64_u = saturate_float(F64, I32, false);
        visit_i64_trunc_sat_f32_s = saturate_float(F32, I64, true);
        visit_i64_trunc_sat_f32_u = saturate_float(F32, I64, false);
        visit_i64_trunc_sat_f64_s = saturate_float(F64, I64, true);
        visit_i64_trunc_sat_f64_u = saturate_float(F64, I64, false);
        visit_f32_convert_i32_s = convert_int(I32, F32, true);
        visit_f32_convert_i32_u = convert_int(I32, F32, false);
        visit_f32_convert_i64_s = convert_int(I64, F32, true);
        visit_f32_convert_i64_u = convert_u64(F32);
        visit_f64_convert_i32_s = convert_int(I32, F64, true);
        visit_f64_convert_i32_u = convert_int(I32, F64, false);
        visit_f64_convert_i64_s = convert_int(I64, F64, true);
        visit_f64_convert_i64_u = convert_u64(F64);
        visit_f32_demote_f64 = demote();
        visit_f64_promote_f32 = promote();
        visit_i32_reinterpret_f32 = reinterpret_float(I32);
        visit_i64_reinterpret_f64 = reinterpret_float(I64);
        visit_f32_reinterpret_i32 = reinterpret_int(F32);
        visit_f64_reinterpret_i64 = reinterpret_int(F64);
        visit_i64_add128 = add_wide();
        visit_i64_sub128 = subtract_wide();
        visit_i64_mul_wide_s = multiply_wide(true);
        visit_i64_mul_wide_u = multiply_wide(false);
    }

    // Atomic memory operators.

    fn visit_atomic_fence(&mut self, _: wasmparser::Ordering) {
        self.0.atomic_fence();
    }

    atomics! {
        visit_memory_atomic_notify = atomic_notify();
        visit_memory_atomic_wait32 = atomic_wait(Libcall::memory_wait32);
        visit_memory_atomic_wait64 = atomic_wait(Libcall::memory_wait64);
        visit_i32_atomic_load = atomic_load(Access(4, I32));
        visit_i32_atomic_load8_u = atomic_load(Access(1, I32));
        visit_i32_atomic_load16_u = atomic_load(Access(2, I32));
        visit_i64_atomic_load = atomic_load(Access(8, I64));
        visit_i64_atomic_load8_u = atomic_load(Access(1, I64));
        visit_i64_atomic_load16_u = atomic_load(Access(2, I64));
        visit_i64_atomic_load32_u = atomic_load(Access(4, I64));
        visit_i32_atomic_store = atomic_store(Access(4, I32));
        visit_i32_atomic_store8 = atomic_store(Access(1, I32));
        visit_i32_atomic_store16 = atomic_store(Access(2, I32));
        visit_i64_atomic_store = atomic_store(Access(8, I64));
        visit_i64_atomic_store8 = atomic_store(Access(1, I64));
        visit_i64_atomic_store16 = atomic_store(Access(2, I64));
        visit_i64_atomic_store32 = atomic_store(Access(4, I64));
        visit_i32_atomic_rmw_add = atomic_rmw(Rmw::Add, Access(4, I32));
        visit_i32_atomic_rmw8_add_u = atomic_rmw(Rmw::Add, Access(1, I32));
        visit_i32_atomic_rmw16_add_u = atomic_rmw(Rmw::Add, Access(2, I32));
        visit_i64_atomic_rmw_add = atomic_rmw(Rmw::Add, Access(8, I64));
        visit_i64_atomic_rmw8_add_u = atomic_rmw(Rmw::Add, Access(1, I64));
        visit_i64_atomic_rmw16_add_u = atomic_rmw(Rmw::Add, Access(2, I64));
        visit_i64_atomic_rmw32_add_u = atomic_rmw(Rmw::Add, Access(4, I64));
        visit_i32_atomic_rmw_sub = atomic_rmw(Rmw::Sub, Access(4, I32));
        visit_i32_atomic_rmw8_sub_u = atomic_rmw(Rmw::Sub, Access(1, I32));
        visit_i32_atomic_rmw16_sub_u = atomic_rmw(Rmw::Sub, Access(2, I32));
        visit_i64_atomic_rmw_sub = atomic_rmw(Rmw::Sub, Access(8, I64));
        visit_i64_atomic_rmw8_sub_u = atomic_rmw(Rmw::Sub, Access(1, I64));
        visit_i64_atomic_rmw16_sub_u = atomic_rmw(Rmw::Sub, Access(2, I64));
        visit_i64_atomic_rmw32_sub_u = atomic_rmw(Rmw::Sub, Access(4, I64));
        visit_i32_atomic_rmw_and = atomic_rmw(Rmw::And, Access(4, I32));
        visit_i32_atomic_rmw8_and_u = atomic_rmw(Rmw::And, Access(1, I32));
        visit_i32_atomic_rmw16_and_u = atomic_rmw(Rmw::And, Access(2, I32));
        visit_i64_atomic_rmw_and = atomic_rmw(Rmw::And, Access(8, I64));
        visit_i64_atomic_rmw8_and_u = atomic_rmw(Rmw::And, Access(1, I64));
        visit_i64_atomic_rmw16_and_u = atomic_rmw(Rmw::And, Access(2, I64));
        visit_i64_atomic_rmw32_and_u = atomic_rmw(Rmw::And, Access(4, I64));
        visit_i32_atomic_rmw_or = atomic_rmw(Rmw::Or, Access(4, I32));
        visit_i32_atomic_rmw8_or_u = atomic_rmw(Rmw::Or, Access(1, I32));
        visit_i32_atomic_rmw16_or_u = atomic_rmw(Rmw::Or, Access(2, I32));
        visit_i64_atomic_rmw_or = atomic_rmw(Rmw::Or, Access(8, I64));
        visit_i64_atomic_rmw8_or_u = atomic_rmw(Rmw::Or, Access(1, I64));
        visit_i64_atomic_rmw16_or_u = atomic_rmw(Rmw::Or, Access(2, I64));
        visit_i64_atomic_rmw32_or_u = atomic_rmw(Rmw::Or, Access(4, I64));
        visit_i32_atomic_rmw_xor = atomic_rmw(Rmw::Xor, Access(4, I32));
        visit_i32_atomic_rmw8_xor_u = atomic_rmw(Rmw::Xor, Access(1, I32));
        visit_i32_atomic_rmw16_xor_u = atomic_rmw(Rmw::Xor, Access(2, I32));
        visit_i64_atomic_rmw_xor = atomic_rmw(Rmw::Xor, Access(8, I64));
        visit_i64_atomic_rmw8_xor_u = atomic_rmw(Rmw::Xor, Access(1, I64));
        visit_i64_atomic_rmw16_xor_u = atomic_rmw(Rmw::Xor, Access(2, I64));
        visit_i64_atomic_rmw32_xor_u = atomic_rmw(Rmw::Xor, Access(4, I64));
        visit_i32_atomic_rmw_xchg = atomic_rmw(Rmw::Exchange, Access(4, I32));
        visit_i32_atomic_rmw8_xchg_u = atomic_rmw(Rmw::Exchange, Access(1, I32));
        visit_i32_atomic_rmw16_xchg_u = atomic_rmw(Rmw::Exchange, Access(2, I32));
        visit_i64_atomic_rmw_xchg = atomic_rmw(Rmw::Exchange, Access(8, I64));
        visit_i64_atomic_rmw8_xchg_u = atomic_rmw(Rmw::Exchange, Access(1, I64));
        visit_i64_atomic_rmw16_xchg_u = atomic_rmw(Rmw::Exchange, Access(2, I64));
        visit_i64_atomic_rmw32_xchg_u = atomic_rmw(Rmw::Exchange, Access(4, I64));
        visit_i32_atomic_rmw_cmpxchg = atomic_cmpxchg(Access(4, I32));
        visit_i32_atomic_rmw8_cmpxchg_u = atomic_cmpxchg(Access(1, I32));
        visit_i32_atomic_rmw16_cmpxchg_u = atomic_cmpxchg(Access(2, I32));
        visit_i64_atomic_rmw_cmpxchg = atomic_cmpxchg(Access(8, I64));
        visit_i64_atomic_rmw8_cmpxchg_u = atomic_cmpxchg(Access(1, I64));
        visit_i64_atomic_rmw16_cmpxchg_u = atomic_cmpxchg(Access(2, I64));
        visit_i64_atomic_rmw32_cmpxchg_u = atomic_cmpxchg(Access(4, I64));
    }

    wasmparser::for_each_visit_operator!(refuse);
}

/// Methods that do nothing, but for operators that open or close blocks.
macro_rules! skip {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $( skip!(@method $op $visit ($($($arg: $ty),*)?)); )*
    };
    (@method Block $visit:ident $args:tt) => {};
    (@method Loop $visit:ident $args:tt) => {};
    (@method If $visit:ident $args:tt) => {};
    (@method Else $visit:ident $args:tt) => {};
    (@method End $visit:ident $args:tt) => {};
    (@method TryTable $visit:ident $args:tt) => {};
    (@method Try $visit:ident $args:tt) => {};
    (@method Catch $visit:ident $args:tt) => {};
    (@method CatchAll $visit:ident $args:tt) => {};
    (@method Delegate $visit:ident $args:tt) => {};
    (@method $op:ident $visit:ident ($($arg:ident: $ty:ty),*)) => {
        fn $visit(&mut self, $($arg: $ty),*) {
            $( let _ = $arg; )*
        }
    };
}

impl<'a> VisitOperator<'a> for DeadCode<'_, 'a> {
    type Output = ();

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = ()>> {
        Some(self)
    }

    fn visit_block(&mut self, _: BlockType) {
        self.0.dead_depth += 1;
    }

    fn visit_loop(&mut self, _: BlockType) {
        self.0.dead_depth += 1;
    }

    fn visit_if(&mut self, _: BlockType) {
        self.0.dead_depth += 1;
    }

    fn visit_try_table(&mut self, _: TryTable) {
        self.0.dead_depth += 1;
    }

    fn visit_try(&mut self, _: BlockType) {
        self.0.dead_depth += 1;
    }

    fn visit_catch(&mut self, tag: u32) {
        if self.0.dead_depth == 0 {
            self.0.begin_catch(Some(tag));
        }
    }

    fn visit_catch_all(&mut self) {
        if self.0.dead_depth == 0 {
            self.0.begin_catch(None);
        }
    }

    fn visit_delegate(&mut self, label: u32) {
        match self.0.dead_depth.checked_sub(1) {
            Some(depth) => self.0.dead_depth = depth,
            None => self.0.delegate(label),
        }
    }

    fn visit_else(&mut self) {
        if self.0.dead_depth == 0 {
            self.0.begin_else();
        }
    }

    fn visit_end(&mut self) {
        match self.0.dead_depth.checked_sub(1) {
            Some(depth) => self.0.dead_depth = depth,
            None => self.0.end(),
        }
    }

    wasmparser::for_each_visit_operator!(skip);
}

impl<'a> VisitSimdOperator<'a> for DeadCode<'_, 'a> {
    wasmparser::for_each_visit_simd_operator!(skip);
}
