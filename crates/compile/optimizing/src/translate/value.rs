//! The operand stack, and values of the types that operators expect.

use super::Translator;
use crate::error::{Result, validated};
use crate::signature::clif_type;
use cranelift_codegen::ir::{
    ConstantData, Endianness, InstBuilder as _, MemFlagsData, Type, Value, types,
};
use cranelift_frontend::Variable;
use wasmoor_abi::ValType;

/// Flags of bit casts: lane order is that of memory.
const CAST: MemFlagsData = MemFlagsData::new().with_endianness(Endianness::Little);

impl Translator<'_> {
    /// Pushes a value.
    pub(crate) fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    /// Pops a value.
    pub(crate) fn pop(&mut self) -> Result<Value> {
        validated(self.stack.pop(), "an operand")
    }

    /// Pops two values; the first is the one pushed first.
    pub(crate) fn pop2(&mut self) -> Result<(Value, Value)> {
        let second = self.pop()?;
        Ok((self.pop()?, second))
    }

    /// Pops three values; the first is the one pushed first.
    pub(crate) fn pop3(&mut self) -> Result<(Value, Value, Value)> {
        let third = self.pop()?;
        let (first, second) = self.pop2()?;
        Ok((first, second, third))
    }

    /// Position on the stack of the first of the topmost `count` values.
    pub(crate) fn top(&self, count: usize) -> Result<usize> {
        validated(self.stack.len().checked_sub(count), "operands")
    }

    /// Pops a vector as one of these lanes.
    pub(crate) fn pop_vector(&mut self, ty: Type) -> Result<Value> {
        let value = self.pop()?;
        Ok(self.cast(value, ty))
    }

    /// Pops two vectors as ones of these lanes; the first is the one pushed first.
    pub(crate) fn pop2_vectors(&mut self, ty: Type) -> Result<(Value, Value)> {
        let second = self.pop_vector(ty)?;
        Ok((self.pop_vector(ty)?, second))
    }

    /// The same bits as another type of the same size.
    pub(crate) fn cast(&mut self, value: Value, ty: Type) -> Value {
        if self.type_of(value) == ty { value } else { self.builder.ins().bitcast(ty, CAST, value) }
    }

    /// The value in the form in which it may meet others of its wasm type: vectors as `I8X16`.
    pub(crate) fn canonical(&mut self, value: Value) -> Value {
        if self.type_of(value).is_vector() { self.cast(value, types::I8X16) } else { value }
    }

    /// Makes the topmost `count` values canonical.
    pub(crate) fn canonicalize_top(&mut self, count: usize) -> Result {
        for at in self.top(count)?..self.stack.len() {
            self.stack[at] = self.canonical(self.stack[at]);
        }
        Ok(())
    }

    /// The CLIF type of a value.
    pub(crate) fn type_of(&self, value: Value) -> Type {
        self.builder.func.dfg.value_type(value)
    }

    /// A vector constant from its bytes, lowest lane first.
    pub(crate) fn vector_constant(&mut self, bytes: [u8; 16]) -> Value {
        let data = ConstantData::from(bytes.as_slice());
        let constant = self.builder.func.dfg.constants.insert(data);
        self.builder.ins().vconst(types::I8X16, constant)
    }

    /// A 32-bit constant from its unsigned value.
    pub(crate) fn iconst32(&mut self, value: u32) -> Value {
        self.builder.ins().iconst(types::I32, i64::from(value))
    }

    /// A 64-bit constant from its unsigned value.
    pub(crate) fn iconst64(&mut self, value: u64) -> Value {
        self.builder.ins().iconst(types::I64, value.cast_signed())
    }

    /// An index or a size as 64 bits: 32-bit ones are zero-extended.
    pub(crate) fn widen(&mut self, value: Value) -> Value {
        if self.type_of(value) == types::I32 {
            self.builder.ins().uextend(types::I64, value)
        } else {
            value
        }
    }

    /// A 64-bit size as the index type of a memory or table.
    pub(crate) fn narrow(&mut self, value: Value, index64: bool) -> Value {
        if index64 { value } else { self.builder.ins().ireduce(types::I32, value) }
    }

    /// A comparison's result as the `i32` of wasm.
    pub(crate) fn push_condition(&mut self, condition: Value) {
        let value = self.builder.ins().uextend(types::I32, condition);
        self.push(value);
    }

    /// The variable of a local.
    pub(crate) fn local(&self, index: u32) -> Result<Variable> {
        validated(self.locals.get(index as usize).copied(), "a local")
    }
}

/// The CLIF type of a decoded type: all references are alike to the translator.
pub(crate) const fn clif_type_of(ty: wasmparser::ValType) -> Type {
    clif_type(plain(ty))
}

/// Our form of a decoded type, with one type for all references.
pub(crate) const fn plain(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(_) => ValType::FUNCREF,
    }
}
