//! References to functions: calls of them, and branches on null.

use crate::call::Callee;
use crate::function::Gen;
use crate::state::{Cond, Loc, Ty, Value};
use crate::x86_64::{Cc, Gpr, Size};
use wasmoor_abi::{TrapCode, TypeIndex};

impl Gen<'_> {
    /// `call_ref`.
    pub(crate) fn call_ref(&mut self, ty: u32) {
        self.load_referenced();
        self.emit_call(Callee::Reference, TypeIndex::from_u32(ty));
    }

    /// `return_call_ref`.
    pub(crate) fn return_call_ref(&mut self, ty: u32) {
        self.load_referenced();
        self.emit_return_call(Callee::Reference, TypeIndex::from_u32(ty));
    }

    /// Pops the callee of a call to rax and traps if it is null.
    fn load_referenced(&mut self) {
        self.mark();
        let value = self.pop();
        if value.loc != Loc::Gpr(Gpr::RAX) {
            self.take_gpr(Gpr::RAX);
            self.load_gpr(Gpr::RAX, value);
            self.release(value);
        }
        self.asm.test(Size::S64, Gpr::RAX, Gpr::RAX);
        self.trap_if(Cc::E, TrapCode::NullReference);
    }

    /// `ref.as_non_null`.
    pub(crate) fn ref_as_non_null(&mut self) {
        self.mark();
        let (value, _) = self.test_null();
        self.trap_if(Cc::E, TrapCode::NullReference);
        self.push(value);
    }

    /// `br_on_null`.
    pub(crate) fn br_on_null(&mut self, label: u32) {
        let (value, is_null) = self.test_null();
        self.branch_if(is_null, label);
        self.push(value);
    }

    /// `br_on_non_null`: the label takes the reference.
    pub(crate) fn br_on_non_null(&mut self, label: u32) {
        let (value, is_null) = self.test_null();
        // Only moves, so the flags survive.
        self.push(value);
        self.branch_if(is_null.negate(), label);
        let value = self.pop();
        self.release(value);
    }

    /// Pops a reference and compares it with null; answers where it is now.
    fn test_null(&mut self) -> (Value, Cond) {
        let value = self.pop();
        let reg = self.use_gpr(value);
        self.asm.test(Size::S64, reg, reg);
        let value = if self.is_temp_gpr(reg) { Value::new(Ty::I64, Loc::Gpr(reg)) } else { value };
        (value, Cond::Is(Cc::E))
    }
}
