//! Globals: cells in the vmctx or behind a pointer of it.

use super::Translator;
use super::environment::Region;
use crate::error::{Result, validated};
use crate::signature::clif_type;
use cranelift_codegen::ir::{InstBuilder as _, MemFlagsData, Value, types};
use wasmoor_abi::vmctx::Place;
use wasmoor_abi::{DefinedGlobalIndex, GlobalIndex, GlobalType, ValType};
use wasmoor_module::ConstOp;

impl Translator<'_> {
    /// `global.get`.
    pub(crate) fn global_get(&mut self, global: GlobalIndex) -> Result {
        let ty = self.global_type(global)?;
        let value = match self.known_value(global, &ty) {
            Some(value) => value,
            None => self.load_global(global, &ty),
        };
        self.push(value);
        Ok(())
    }

    /// `global.set`.
    pub(crate) fn global_set(&mut self, global: GlobalIndex) -> Result {
        self.global_type(global)?;
        let value = self.pop()?;
        let value = self.canonical(value);
        let (pointer, offset, flags) = self.global_cell(global);
        self.builder.ins().store(flags, value, pointer, offset);
        Ok(())
    }

    fn global_type(&self, global: GlobalIndex) -> Result<GlobalType> {
        validated(self.module.globals.get(global).copied(), "a global")
    }

    fn load_global(&mut self, global: GlobalIndex, ty: &GlobalType) -> Value {
        let (pointer, offset, mut flags) = self.global_cell(global);
        if !ty.mutable {
            flags = flags.with_readonly().with_can_move();
        }
        self.builder.ins().load(clif_type(ty.content), flags, pointer, offset)
    }

    fn global_cell(&mut self, global: GlobalIndex) -> (Value, i32, MemFlagsData) {
        let flags = self.flags(Region::Global(global));
        match self.module.layout.global(global) {
            Place::Inline(offset) => (self.vmctx(), offset.cast_signed(), flags),
            Place::Behind(offset) => (self.vmctx_constant(offset), 0, flags),
        }
    }

    /// The value of an immutable global whose initializer is a number.
    fn known_value(&mut self, global: GlobalIndex, ty: &GlobalType) -> Option<Value> {
        if ty.mutable {
            return None;
        }
        let defined = global.as_u32().checked_sub(self.module.counts.imported_globals)?;
        let init = self.module.global_inits.get(DefinedGlobalIndex::from_u32(defined))?;
        let [op] = init.ops.as_slice() else { return None };
        Some(match (*op, ty.content) {
            (ConstOp::I32Const(value), ValType::I32) => self.iconst32(value.cast_unsigned()),
            (ConstOp::I64Const(value), ValType::I64) => {
                self.builder.ins().iconst(types::I64, value)
            }
            (ConstOp::F32Const(bits), ValType::F32) => {
                self.builder.ins().f32const(f32::from_bits(bits))
            }
            (ConstOp::F64Const(bits), ValType::F64) => {
                self.builder.ins().f64const(f64::from_bits(bits))
            }
            _ => return None,
        })
    }
}
