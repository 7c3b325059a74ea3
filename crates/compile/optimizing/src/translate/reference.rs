//! References to functions: calls of them, and branches on null.

use super::Translator;
use super::environment::trap_code;
use crate::error::Result;
use cranelift_codegen::ir::InstBuilder as _;
use cranelift_codegen::ir::condcodes::IntCC;
use wasmoor_abi::{TrapCode, TypeIndex};

impl Translator<'_> {
    /// `call_ref`.
    pub(crate) fn call_ref(&mut self, ty: TypeIndex) -> Result {
        let callee = self.referenced()?;
        self.emit_call(callee, ty)
    }

    /// `return_call_ref`.
    pub(crate) fn return_call_ref(&mut self, ty: TypeIndex) -> Result {
        let callee = self.referenced()?;
        self.emit_return_call(callee, ty)
    }

    /// `ref.as_non_null`.
    pub(crate) fn ref_as_non_null(&mut self) -> Result {
        let value = self.pop()?;
        self.builder.ins().trapz(value, trap_code(TrapCode::NullReference));
        self.push(value);
        Ok(())
    }

    /// `br_on_null`.
    pub(crate) fn br_on_null(&mut self, label: u32) -> Result {
        let value = self.pop()?;
        let is_null = self.builder.ins().icmp_imm_u(IntCC::Equal, value, 0);
        self.br_if(is_null, label)?;
        self.push(value);
        Ok(())
    }

    /// `br_on_non_null`: the label takes the reference.
    pub(crate) fn br_on_non_null(&mut self, label: u32) -> Result {
        let value = self.pop()?;
        let is_some = self.builder.ins().icmp_imm_u(IntCC::NotEqual, value, 0);
        self.push(value);
        self.br_if(is_some, label)?;
        self.pop().map(drop)
    }
}
