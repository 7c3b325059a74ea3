//! Reachable operators other than vectors: control, variables, memory, numbers, references.
//!
//! Families that differ by one backend instruction are lists; everything else is a method.
//! Operators of proposals that are not handled are refused by name.

use super::Operators;
use crate::error::{Result, unsupported};
use crate::translate::Translator;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder as _, Type, Value, types};
use cranelift_frontend::FuncInstBuilder;
use types::{F32, F64, I8, I16, I32, I64};
use wasmoor_abi::{DataIndex, ElemIndex, FuncIndex, GlobalIndex, Libcall, MemoryIndex, TableIndex};
use wasmoor_abi::{TrapCode, TypeIndex};
use wasmparser::{
    BlockType, BrTable, Ieee32, Ieee64, MemArg, TryTable, VisitOperator, VisitSimdOperator,
};

/// Makes one instruction.
pub(super) type Ins<'short, 'long> = FuncInstBuilder<'short, 'long>;

impl<'a> Translator<'a> {
    /// Replaces the topmost value.
    pub(super) fn unary(&mut self, make: impl FnOnce(Ins<'_, 'a>, Value) -> Value) -> Result {
        let value = self.pop()?;
        let result = make(self.builder.ins(), value);
        self.push(result);
        Ok(())
    }

    /// Replaces the two topmost values by one.
    pub(super) fn binary(
        &mut self,
        make: impl FnOnce(Ins<'_, 'a>, Value, Value) -> Value,
    ) -> Result {
        let (left, right) = self.pop2()?;
        let result = make(self.builder.ins(), left, right);
        self.push(result);
        Ok(())
    }

    fn compare_ints(&mut self, condition: IntCC) -> Result {
        self.binary(|ins, left, right| ins.icmp(condition, left, right))?;
        let condition = self.pop()?;
        self.push_condition(condition);
        Ok(())
    }

    fn compare_floats(&mut self, condition: FloatCC) -> Result {
        self.binary(|ins, left, right| ins.fcmp(condition, left, right))?;
        let condition = self.pop()?;
        self.push_condition(condition);
        Ok(())
    }

    /// Whether the topmost integer or reference is zero.
    fn is_zero(&mut self) -> Result {
        let value = self.pop()?;
        let condition = self.builder.ins().icmp_imm_u(IntCC::Equal, value, 0);
        self.push_condition(condition);
        Ok(())
    }

    /// Sign-extends the low part of the topmost value.
    fn extend_part(&mut self, part: Type, whole: Type) -> Result {
        let value = self.pop()?;
        let part = self.builder.ins().ireduce(part, value);
        let value = self.builder.ins().sextend(whole, part);
        self.push(value);
        Ok(())
    }

    fn reinterpret(&mut self, ty: Type) -> Result {
        let value = self.pop()?;
        let value = self.cast(value, ty);
        self.push(value);
        Ok(())
    }

    fn select(&mut self) -> Result {
        let (first, second, condition) = self.pop3()?;
        let (first, second) = (self.canonical(first), self.canonical(second));
        let value = self.builder.ins().select(condition, first, second);
        self.push(value);
        Ok(())
    }

    fn local_set(&mut self, index: u32) -> Result {
        let local = self.local(index)?;
        let value = self.pop()?;
        let value = self.canonical(value);
        self.builder.def_var(local, value);
        Ok(())
    }
}

/// Operators of two values that are one instruction.
macro_rules! binary {
    ($($visit:ident = $ins:ident;)*) => {
        $( fn $visit(&mut self) -> Result { self.0.binary(|ins, a, b| ins.$ins(a, b)) } )*
    };
}

/// Operators of one value that are one instruction.
macro_rules! unary {
    ($($visit:ident = $ins:ident $(($ty:expr))?;)*) => {
        $( fn $visit(&mut self) -> Result { self.0.unary(|ins, a| ins.$ins($($ty,)? a)) } )*
    };
}

macro_rules! int_comparisons {
    ($($visit:ident = $condition:ident;)*) => {
        $( fn $visit(&mut self) -> Result { self.0.compare_ints(IntCC::$condition) } )*
    };
}

macro_rules! float_comparisons {
    ($($visit:ident = $condition:ident;)*) => {
        $( fn $visit(&mut self) -> Result { self.0.compare_floats(FloatCC::$condition) } )*
    };
}

/// Loads of a whole value.
macro_rules! loads {
    ($($visit:ident = $ty:expr;)*) => {
        $( fn $visit(&mut self, memarg: MemArg) -> Result { self.0.load(&memarg, $ty) } )*
    };
}

/// Loads of a few bytes that are extended to a type.
macro_rules! extending_loads {
    ($($visit:ident = $ins:ident $(($ty:expr))?, $size:literal;)*) => {
        $( fn $visit(&mut self, memarg: MemArg) -> Result {
            let at = self.0.address(&memarg, $size)?;
            let value = self.0.builder.ins().$ins($($ty,)? at.flags, at.base, at.offset);
            self.0.push(value);
            Ok(())
        } )*
    };
}

/// Stores of a whole value.
macro_rules! stores {
    ($($visit:ident)*) => {
        $( fn $visit(&mut self, memarg: MemArg) -> Result { self.0.store(&memarg) } )*
    };
}

/// Stores of a value's low bytes.
macro_rules! narrow_stores {
    ($($visit:ident = $ins:ident, $size:literal;)*) => {
        $( fn $visit(&mut self, memarg: MemArg) -> Result {
            let value = self.0.pop()?;
            let at = self.0.address(&memarg, $size)?;
            self.0.builder.ins().$ins(at.flags, value, at.base, at.offset);
            Ok(())
        } )*
    };
}

/// Atomic memory operators.
macro_rules! atomics {
    ($($visit:ident = $method:ident($($arg:expr),*);)*) => {
        $( fn $visit(&mut self, memarg: MemArg) -> Result { self.0.$method(&memarg, $($arg),*) } )*
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
        fn $visit(&mut self, $($arg: $ty),*) -> Result {
            $( let _ = $arg; )*
            Err(unsupported(concat!("the operator ", stringify!($op))))
        }
    };
}

impl<'a> VisitOperator<'a> for Operators<'_, '_> {
    type Output = Result;

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = Result>> {
        Some(self)
    }

    // Control.

    fn visit_unreachable(&mut self) -> Result {
        self.0.trap(TrapCode::Unreachable);
        Ok(())
    }

    fn visit_nop(&mut self) -> Result {
        Ok(())
    }

    fn visit_block(&mut self, ty: BlockType) -> Result {
        let shape = self.0.block_shape(ty)?;
        self.0.begin_block(shape)
    }

    fn visit_loop(&mut self, ty: BlockType) -> Result {
        let shape = self.0.block_shape(ty)?;
        self.0.begin_loop(shape)
    }

    fn visit_if(&mut self, ty: BlockType) -> Result {
        let condition = self.0.pop()?;
        let shape = self.0.block_shape(ty)?;
        self.0.begin_if(condition, shape)
    }

    // Exceptions.

    fn visit_try_table(&mut self, table: TryTable) -> Result {
        let shape = self.0.block_shape(table.ty)?;
        self.0.begin_try_table(shape, &table)
    }

    fn visit_throw(&mut self, tag: u32) -> Result {
        self.0.throw(tag)
    }

    fn visit_throw_ref(&mut self) -> Result {
        self.0.throw_ref()
    }

    fn visit_try(&mut self, ty: BlockType) -> Result {
        let shape = self.0.block_shape(ty)?;
        self.0.begin_legacy_try(shape)
    }

    fn visit_catch(&mut self, tag: u32) -> Result {
        self.0.begin_catch(Some(tag))
    }

    fn visit_catch_all(&mut self) -> Result {
        self.0.begin_catch(None)
    }

    fn visit_delegate(&mut self, label: u32) -> Result {
        self.0.delegate(label)
    }

    fn visit_rethrow(&mut self, label: u32) -> Result {
        self.0.rethrow(label)
    }

    fn visit_else(&mut self) -> Result {
        self.0.begin_else()
    }

    fn visit_end(&mut self) -> Result {
        self.0.end()
    }

    fn visit_br(&mut self, label: u32) -> Result {
        self.0.br(label)
    }

    fn visit_br_if(&mut self, label: u32) -> Result {
        let condition = self.0.pop()?;
        self.0.br_if(condition, label)
    }

    fn visit_br_table(&mut self, targets: BrTable<'a>) -> Result {
        let index = self.0.pop()?;
        self.0.br_table(index, &targets)
    }

    fn visit_return(&mut self) -> Result {
        self.0.emit_return()
    }

    fn visit_call(&mut self, func: u32) -> Result {
        self.0.call(FuncIndex::from_u32(func))
    }

    fn visit_call_indirect(&mut self, ty: u32, table: u32) -> Result {
        self.0.call_indirect(TableIndex::from_u32(table), TypeIndex::from_u32(ty))
    }

    fn visit_return_call(&mut self, func: u32) -> Result {
        self.0.return_call(FuncIndex::from_u32(func))
    }

    fn visit_return_call_indirect(&mut self, ty: u32, table: u32) -> Result {
        self.0.return_call_indirect(TableIndex::from_u32(table), TypeIndex::from_u32(ty))
    }

    fn visit_call_ref(&mut self, ty: u32) -> Result {
        self.0.call_ref(TypeIndex::from_u32(ty))
    }

    fn visit_return_call_ref(&mut self, ty: u32) -> Result {
        self.0.return_call_ref(TypeIndex::from_u32(ty))
    }

    fn visit_ref_as_non_null(&mut self) -> Result {
        self.0.ref_as_non_null()
    }

    fn visit_br_on_null(&mut self, label: u32) -> Result {
        self.0.br_on_null(label)
    }

    fn visit_br_on_non_null(&mut self, label: u32) -> Result {
        self.0.br_on_non_null(label)
    }

    fn visit_drop(&mut self) -> Result {
        self.0.pop().map(drop)
    }

    fn visit_select(&mut self) -> Result {
        self.0.select()
    }

    fn visit_typed_select(&mut self, _: wasmparser::ValType) -> Result {
        self.0.select()
    }

    fn visit_typed_select_multi(&mut self, _: Vec<wasmparser::ValType>) -> Result {
        Err(unsupported("select of several values"))
    }

    // Variables.

    fn visit_local_get(&mut self, index: u32) -> Result {
        let local = self.0.local(index)?;
        let value = self.0.builder.use_var(local);
        self.0.push(value);
        Ok(())
    }

    fn visit_local_set(&mut self, index: u32) -> Result {
        self.0.local_set(index)
    }

    fn visit_local_tee(&mut self, index: u32) -> Result {
        self.0.canonicalize_top(1)?;
        let value = self.0.pop()?;
        self.0.push(value);
        self.0.push(value);
        self.0.local_set(index)
    }

    fn visit_global_get(&mut self, global: u32) -> Result {
        self.0.global_get(GlobalIndex::from_u32(global))
    }

    fn visit_global_set(&mut self, global: u32) -> Result {
        self.0.global_set(GlobalIndex::from_u32(global))
    }

    // Memory.

    loads! {
        visit_i32_load = I32;
        visit_i64_load = I64;
        visit_f32_load = F32;
        visit_f64_load = F64;
    }

    extending_loads! {
        visit_i32_load8_s = sload8(I32), 1;
        visit_i32_load8_u = uload8(I32), 1;
        visit_i32_load16_s = sload16(I32), 2;
        visit_i32_load16_u = uload16(I32), 2;
        visit_i64_load8_s = sload8(I64), 1;
        visit_i64_load8_u = uload8(I64), 1;
        visit_i64_load16_s = sload16(I64), 2;
        visit_i64_load16_u = uload16(I64), 2;
        visit_i64_load32_s = sload32, 4;
        visit_i64_load32_u = uload32, 4;
    }

    stores! { visit_i32_store visit_i64_store visit_f32_store visit_f64_store }

    narrow_stores! {
        visit_i32_store8 = istore8, 1;
        visit_i32_store16 = istore16, 2;
        visit_i64_store8 = istore8, 1;
        visit_i64_store16 = istore16, 2;
        visit_i64_store32 = istore32, 4;
    }

    fn visit_memory_size(&mut self, memory: u32) -> Result {
        self.0.memory_size(MemoryIndex::from_u32(memory))
    }

    fn visit_memory_grow(&mut self, memory: u32) -> Result {
        self.0.memory_grow(MemoryIndex::from_u32(memory))
    }

    fn visit_memory_init(&mut self, data: u32, memory: u32) -> Result {
        self.0.memory_init(MemoryIndex::from_u32(memory), DataIndex::from_u32(data))
    }

    fn visit_memory_copy(&mut self, dst: u32, src: u32) -> Result {
        self.0.memory_copy(MemoryIndex::from_u32(dst), MemoryIndex::from_u32(src))
    }

    fn visit_memory_fill(&mut self, memory: u32) -> Result {
        self.0.memory_fill(MemoryIndex::from_u32(memory))
    }

    fn visit_data_drop(&mut self, data: u32) -> Result {
        self.0.data_drop(DataIndex::from_u32(data));
        Ok(())
    }

    // Tables and references.

    fn visit_table_init(&mut self, elem: u32, table: u32) -> Result {
        self.0.table_init(TableIndex::from_u32(table), ElemIndex::from_u32(elem))
    }

    fn visit_table_copy(&mut self, dst: u32, src: u32) -> Result {
        self.0.table_copy(TableIndex::from_u32(dst), TableIndex::from_u32(src))
    }

    fn visit_table_fill(&mut self, table: u32) -> Result {
        self.0.table_fill(TableIndex::from_u32(table))
    }

    fn visit_table_get(&mut self, table: u32) -> Result {
        self.0.table_get(TableIndex::from_u32(table))
    }

    fn visit_table_set(&mut self, table: u32) -> Result {
        self.0.table_set(TableIndex::from_u32(table))
    }

    fn visit_table_grow(&mut self, table: u32) -> Result {
        self.0.table_grow(TableIndex::from_u32(table))
    }

    fn visit_table_size(&mut self, table: u32) -> Result {
        self.0.table_size(TableIndex::from_u32(table))
    }

    fn visit_elem_drop(&mut self, elem: u32) -> Result {
        self.0.elem_drop(ElemIndex::from_u32(elem));
        Ok(())
    }

    fn visit_ref_null(&mut self, _: wasmparser::HeapType) -> Result {
        let null = self.0.iconst64(0);
        self.0.push(null);
        Ok(())
    }

    fn visit_ref_is_null(&mut self) -> Result {
        self.0.is_zero()
    }

    fn visit_ref_func(&mut self, func: u32) -> Result {
        self.0.ref_func(FuncIndex::from_u32(func));
        Ok(())
    }

    // Numbers.

    fn visit_i32_const(&mut self, value: i32) -> Result {
        let value = self.0.iconst32(value.cast_unsigned());
        self.0.push(value);
        Ok(())
    }

    fn visit_i64_const(&mut self, value: i64) -> Result {
        let value = self.0.iconst64(value.cast_unsigned());
        self.0.push(value);
        Ok(())
    }

    fn visit_f32_const(&mut self, value: Ieee32) -> Result {
        let bits = cranelift_codegen::ir::immediates::Ieee32::with_bits(value.bits());
        let value = self.0.builder.ins().f32const(bits);
        self.0.push(value);
        Ok(())
    }

    fn visit_f64_const(&mut self, value: Ieee64) -> Result {
        let bits = cranelift_codegen::ir::immediates::Ieee64::with_bits(value.bits());
        let value = self.0.builder.ins().f64const(bits);
        self.0.push(value);
        Ok(())
    }

    fn visit_i32_eqz(&mut self) -> Result {
        self.0.is_zero()
    }

    fn visit_i64_eqz(&mut self) -> Result {
        self.0.is_zero()
    }

    int_comparisons! {
        visit_i32_eq = Equal;
        visit_i32_ne = NotEqual;
        visit_i32_lt_s = SignedLessThan;
        visit_i32_lt_u = UnsignedLessThan;
        visit_i32_gt_s = SignedGreaterThan;
        visit_i32_gt_u = UnsignedGreaterThan;
        visit_i32_le_s = SignedLessThanOrEqual;
        visit_i32_le_u = UnsignedLessThanOrEqual;
        visit_i32_ge_s = SignedGreaterThanOrEqual;
        visit_i32_ge_u = UnsignedGreaterThanOrEqual;
        visit_i64_eq = Equal;
        visit_i64_ne = NotEqual;
        visit_i64_lt_s = SignedLessThan;
        visit_i64_lt_u = UnsignedLessThan;
        visit_i64_gt_s = SignedGreaterThan;
        visit_i64_gt_u = UnsignedGreaterThan;
        visit_i64_le_s = SignedLessThanOrEqual;
        visit_i64_le_u = UnsignedLessThanOrEqual;
        visit_i64_ge_s = SignedGreaterThanOrEqual;
        visit_i64_ge_u = UnsignedGreaterThanOrEqual;
    }

    float_comparisons! {
        visit_f32_eq = Equal;
        visit_f32_ne = NotEqual;
        visit_f32_lt = LessThan;
        visit_f32_gt = GreaterThan;
        visit_f32_le = LessThanOrEqual;
        visit_f32_ge = GreaterThanOrEqual;
        visit_f64_eq = Equal;
        visit_f64_ne = NotEqual;
        visit_f64_lt = LessThan;
        visit_f64_gt = GreaterThan;
        visit_f64_le = LessThanOrEqual;
        visit_f64_ge = GreaterThanOrEqual;
    }

    // Division by zero and overflow trap in the instructions themselves.
    binary! {
        visit_i32_add = iadd;
        visit_i32_sub = isub;
        visit_i32_mul = imul;
        visit_i32_div_s = sdiv;
        visit_i32_div_u = udiv;
        visit_i32_rem_s = srem;
        visit_i32_rem_u = urem;
        visit_i32_and = band;
        visit_i32_or = bor;
        visit_i32_xor = bxor;
        visit_i32_shl = ishl;
        visit_i32_shr_s = sshr;
        visit_i32_shr_u = ushr;
        visit_i32_rotl = rotl;
        visit_i32_rotr = rotr;
        visit_i64_add = iadd;
        visit_i64_sub = isub;
        visit_i64_mul = imul;
        visit_i64_div_s = sdiv;
        visit_i64_div_u = udiv;
        visit_i64_rem_s = srem;
        visit_i64_rem_u = urem;
        visit_i64_and = band;
        visit_i64_or = bor;
        visit_i64_xor = bxor;
        visit_i64_shl = ishl;
        visit_i64_shr_s = sshr;
        visit_i64_shr_u = ushr;
        visit_i64_rotl = rotl;
        visit_i64_rotr = rotr;
        visit_f32_add = fadd;
        visit_f32_sub = fsub;
        visit_f32_mul = fmul;
        visit_f32_div = fdiv;
        visit_f32_min = fmin;
        visit_f32_max = fmax;
        visit_f32_copysign = fcopysign;
        visit_f64_add = fadd;
        visit_f64_sub = fsub;
        visit_f64_mul = fmul;
        visit_f64_div = fdiv;
        visit_f64_min = fmin;
        visit_f64_max = fmax;
        visit_f64_copysign = fcopysign;
    }

    unary! {
        visit_i32_clz = clz;
        visit_i32_ctz = ctz;
        visit_i32_popcnt = popcnt;
        visit_i64_clz = clz;
        visit_i64_ctz = ctz;
        visit_i64_popcnt = popcnt;
        visit_f32_abs = fabs;
        visit_f32_neg = fneg;
        visit_f32_ceil = ceil;
        visit_f32_floor = floor;
        visit_f32_trunc = trunc;
        visit_f32_nearest = nearest;
        visit_f32_sqrt = sqrt;
        visit_f64_abs = fabs;
        visit_f64_neg = fneg;
        visit_f64_ceil = ceil;
        visit_f64_floor = floor;
        visit_f64_trunc = trunc;
        visit_f64_nearest = nearest;
        visit_f64_sqrt = sqrt;
        visit_i32_wrap_i64 = ireduce(I32);
        visit_i32_trunc_f32_s = fcvt_to_sint(I32);
        visit_i32_trunc_f32_u = fcvt_to_uint(I32);
        visit_i32_trunc_f64_s = fcvt_to_sint(I32);
        visit_i32_trunc_f64_u = fcvt_to_uint(I32);
        visit_i64_extend_i32_s = sextend(I64);
        visit_i64_extend_i32_u = uextend(I64);
        visit_i64_trunc_f32_s = fcvt_to_sint(I64);
        visit_i64_trunc_f32_u = fcvt_to_uint(I64);
        visit_i64_trunc_f64_s = fcvt_to_sint(I64);
        visit_i64_trunc_f64_u = fcvt_to_uint(I64);
        visit_f32_convert_i32_s = fcvt_from_sint(F32);
        visit_f32_convert_i32_u = fcvt_from_uint(F32);
        visit_f32_convert_i64_s = fcvt_from_sint(F32);
        visit_f32_convert_i64_u = fcvt_from_uint(F32);
        visit_f32_demote_f64 = fdemote(F32);
        visit_f64_convert_i32_s = fcvt_from_sint(F64);
        visit_f64_convert_i32_u = fcvt_from_uint(F64);
        visit_f64_convert_i64_s = fcvt_from_sint(F64);
        visit_f64_convert_i64_u = fcvt_from_uint(F64);
        visit_f64_promote_f32 = fpromote(F64);
        visit_i32_trunc_sat_f32_s = fcvt_to_sint_sat(I32);
        visit_i32_trunc_sat_f32_u = fcvt_to_uint_sat(I32);
        visit_i32_trunc_sat_f64_s = fcvt_to_sint_sat(I32);
        visit_i32_trunc_sat_f64_u = fcvt_to_uint_sat(I32);
        visit_i64_trunc_sat_f32_s = fcvt_to_sint_sat(I64);
        visit_i64_trunc_sat_f32_u = fcvt_to_uint_sat(I64);
        visit_i64_trunc_sat_f64_s = fcvt_to_sint_sat(I64);
        visit_i64_trunc_sat_f64_u = fcvt_to_uint_sat(I64);
    }

    fn visit_i32_reinterpret_f32(&mut self) -> Result {
        self.0.reinterpret(I32)
    }

    fn visit_i64_reinterpret_f64(&mut self) -> Result {
        self.0.reinterpret(I64)
    }

    fn visit_f32_reinterpret_i32(&mut self) -> Result {
        self.0.reinterpret(F32)
    }

    fn visit_f64_reinterpret_i64(&mut self) -> Result {
        self.0.reinterpret(F64)
    }

    fn visit_i32_extend8_s(&mut self) -> Result {
        self.0.extend_part(I8, I32)
    }

    fn visit_i32_extend16_s(&mut self) -> Result {
        self.0.extend_part(I16, I32)
    }

    fn visit_i64_extend8_s(&mut self) -> Result {
        self.0.extend_part(I8, I64)
    }

    fn visit_i64_extend16_s(&mut self) -> Result {
        self.0.extend_part(I16, I64)
    }

    fn visit_i64_extend32_s(&mut self) -> Result {
        self.0.extend_part(I32, I64)
    }

    // Wide arithmetic.

    fn visit_i64_add128(&mut self) -> Result {
        self.0.binary_wide(|ins, left, right| ins.iadd(left, right))
    }

    fn visit_i64_sub128(&mut self) -> Result {
        self.0.binary_wide(|ins, left, right| ins.isub(left, right))
    }

    fn visit_i64_mul_wide_s(&mut self) -> Result {
        self.0.multiply_wide(|ins, half| ins.sextend(types::I128, half))
    }

    fn visit_i64_mul_wide_u(&mut self) -> Result {
        self.0.multiply_wide(|ins, half| ins.uextend(types::I128, half))
    }

    // Atomic memory operators.

    fn visit_atomic_fence(&mut self, _: wasmparser::Ordering) -> Result {
        self.0.atomic_fence();
        Ok(())
    }

    atomics! {
        visit_memory_atomic_notify = atomic_notify();
        visit_memory_atomic_wait32 = atomic_wait(Libcall::memory_wait32);
        visit_memory_atomic_wait64 = atomic_wait(Libcall::memory_wait64);
        visit_i32_atomic_load = atomic_load(I32, I32);
        visit_i32_atomic_load8_u = atomic_load(I8, I32);
        visit_i32_atomic_load16_u = atomic_load(I16, I32);
        visit_i64_atomic_load = atomic_load(I64, I64);
        visit_i64_atomic_load8_u = atomic_load(I8, I64);
        visit_i64_atomic_load16_u = atomic_load(I16, I64);
        visit_i64_atomic_load32_u = atomic_load(I32, I64);
        visit_i32_atomic_store = atomic_store(I32);
        visit_i32_atomic_store8 = atomic_store(I8);
        visit_i32_atomic_store16 = atomic_store(I16);
        visit_i64_atomic_store = atomic_store(I64);
        visit_i64_atomic_store8 = atomic_store(I8);
        visit_i64_atomic_store16 = atomic_store(I16);
        visit_i64_atomic_store32 = atomic_store(I32);
        visit_i32_atomic_rmw_add = atomic_rmw(AtomicRmwOp::Add, I32, I32);
        visit_i32_atomic_rmw8_add_u = atomic_rmw(AtomicRmwOp::Add, I8, I32);
        visit_i32_atomic_rmw16_add_u = atomic_rmw(AtomicRmwOp::Add, I16, I32);
        visit_i64_atomic_rmw_add = atomic_rmw(AtomicRmwOp::Add, I64, I64);
        visit_i64_atomic_rmw8_add_u = atomic_rmw(AtomicRmwOp::Add, I8, I64);
        visit_i64_atomic_rmw16_add_u = atomic_rmw(AtomicRmwOp::Add, I16, I64);
        visit_i64_atomic_rmw32_add_u = atomic_rmw(AtomicRmwOp::Add, I32, I64);
        visit_i32_atomic_rmw_sub = atomic_rmw(AtomicRmwOp::Sub, I32, I32);
        visit_i32_atomic_rmw8_sub_u = atomic_rmw(AtomicRmwOp::Sub, I8, I32);
        visit_i32_atomic_rmw16_sub_u = atomic_rmw(AtomicRmwOp::Sub, I16, I32);
        visit_i64_atomic_rmw_sub = atomic_rmw(AtomicRmwOp::Sub, I64, I64);
        visit_i64_atomic_rmw8_sub_u = atomic_rmw(AtomicRmwOp::Sub, I8, I64);
        visit_i64_atomic_rmw16_sub_u = atomic_rmw(AtomicRmwOp::Sub, I16, I64);
        visit_i64_atomic_rmw32_sub_u = atomic_rmw(AtomicRmwOp::Sub, I32, I64);
        visit_i32_atomic_rmw_and = atomic_rmw(AtomicRmwOp::And, I32, I32);
        visit_i32_atomic_rmw8_and_u = atomic_rmw(AtomicRmwOp::And, I8, I32);
        visit_i32_atomic_rmw16_and_u = atomic_rmw(AtomicRmwOp::And, I16, I32);
        visit_i64_atomic_rmw_and = atomic_rmw(AtomicRmwOp::And, I64, I64);
        visit_i64_atomic_rmw8_and_u = atomic_rmw(AtomicRmwOp::And, I8, I64);
        visit_i64_atomic_rmw16_and_u = atomic_rmw(AtomicRmwOp::And, I16, I64);
        visit_i64_atomic_rmw32_and_u = atomic_rmw(AtomicRmwOp::And, I32, I64);
        visit_i32_atomic_rmw_or = atomic_rmw(AtomicRmwOp::Or, I32, I32);
        visit_i32_atomic_rmw8_or_u = atomic_rmw(AtomicRmwOp::Or, I8, I32);
        visit_i32_atomic_rmw16_or_u = atomic_rmw(AtomicRmwOp::Or, I16, I32);
        visit_i64_atomic_rmw_or = atomic_rmw(AtomicRmwOp::Or, I64, I64);
        visit_i64_atomic_rmw8_or_u = atomic_rmw(AtomicRmwOp::Or, I8, I64);
        visit_i64_atomic_rmw16_or_u = atomic_rmw(AtomicRmwOp::Or, I16, I64);
        visit_i64_atomic_rmw32_or_u = atomic_rmw(AtomicRmwOp::Or, I32, I64);
        visit_i32_atomic_rmw_xor = atomic_rmw(AtomicRmwOp::Xor, I32, I32);
        visit_i32_atomic_rmw8_xor_u = atomic_rmw(AtomicRmwOp::Xor, I8, I32);
        visit_i32_atomic_rmw16_xor_u = atomic_rmw(AtomicRmwOp::Xor, I16, I32);
        visit_i64_atomic_rmw_xor = atomic_rmw(AtomicRmwOp::Xor, I64, I64);
        visit_i64_atomic_rmw8_xor_u = atomic_rmw(AtomicRmwOp::Xor, I8, I64);
        visit_i64_atomic_rmw16_xor_u = atomic_rmw(AtomicRmwOp::Xor, I16, I64);
        visit_i64_atomic_rmw32_xor_u = atomic_rmw(AtomicRmwOp::Xor, I32, I64);
        visit_i32_atomic_rmw_xchg = atomic_rmw(AtomicRmwOp::Xchg, I32, I32);
        visit_i32_atomic_rmw8_xchg_u = atomic_rmw(AtomicRmwOp::Xchg, I8, I32);
        visit_i32_atomic_rmw16_xchg_u = atomic_rmw(AtomicRmwOp::Xchg, I16, I32);
        visit_i64_atomic_rmw_xchg = atomic_rmw(AtomicRmwOp::Xchg, I64, I64);
        visit_i64_atomic_rmw8_xchg_u = atomic_rmw(AtomicRmwOp::Xchg, I8, I64);
        visit_i64_atomic_rmw16_xchg_u = atomic_rmw(AtomicRmwOp::Xchg, I16, I64);
        visit_i64_atomic_rmw32_xchg_u = atomic_rmw(AtomicRmwOp::Xchg, I32, I64);
        visit_i32_atomic_rmw_cmpxchg = atomic_cmpxchg(I32, I32);
        visit_i32_atomic_rmw8_cmpxchg_u = atomic_cmpxchg(I8, I32);
        visit_i32_atomic_rmw16_cmpxchg_u = atomic_cmpxchg(I16, I32);
        visit_i64_atomic_rmw_cmpxchg = atomic_cmpxchg(I64, I64);
        visit_i64_atomic_rmw8_cmpxchg_u = atomic_cmpxchg(I8, I64);
        visit_i64_atomic_rmw16_cmpxchg_u = atomic_cmpxchg(I16, I64);
        visit_i64_atomic_rmw32_cmpxchg_u = atomic_cmpxchg(I32, I64);
    }

    wasmparser::for_each_visit_operator!(refuse);
}
