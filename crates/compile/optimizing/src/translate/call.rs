//! Calls: within the module, of imports, through tables, and in place of the caller.
//!
//! ```text
//! defined    call the slot's content, or the function itself     vmctx: our own
//! imported   code = [[vmctx.import.slot]]                        vmctx: [vmctx.import.vmctx]
//! indirect   f = table[index];  f.type = expected, else trap
//! reference  f is not null
//! both       code = [[f.slot]]                                   vmctx: [f.vmctx]
//! ```
//!
//! Results beyond the registers come back through a return area: a stack slot of the caller,
//! shared by all of its calls. A tail call passes the caller's own area on: both functions have
//! the same results.

use super::Translator;
use super::environment::Region;
use super::exception::Target;
use super::table::OnNull;
use crate::error::{Result, validated};
use crate::signature::{ResultShape, clif_type, wasm_signature};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, FuncRef, InstBuilder as _, SigRef, StackSlot, StackSlotData,
    StackSlotKind, UserExternalName, Value, types,
};
use std::collections::HashMap;
use std::rc::Rc;
use wasmoor_abi::call::ResultPlace;
use wasmoor_abi::vmctx::{
    DISPLAY_COUNT, DISPLAY_TYPES, FUNCREF_DISPLAY, FUNCREF_SLOT, FUNCREF_TYPE, FUNCREF_VMCTX,
    IMPORT_FUNC_SLOT, IMPORT_FUNC_VMCTX, STORE_CALLER_VMCTX, TYPE_ID_BYTES, VMCTX_TYPE_IDS,
};
use wasmoor_abi::{
    DefinedFuncIndex, FuncIndex, FuncType, Libcall, SubType, TableIndex, TrapCode, TypeIndex,
};
use wasmoor_codegen::CallMode;

/// Logarithm of the alignment of return areas.
const AREA_ALIGN_LOG2: u8 = 4;

/// What calls of one function have in common.
#[derive(Default)]
pub(super) struct CallCache {
    /// Signatures by type.
    types: HashMap<TypeIndex, Rc<CallType>>,
    /// Functions of the module that are called.
    functions: HashMap<DefinedFuncIndex, FuncRef>,
    pub(super) libcalls: HashMap<Libcall, SigRef>,
    /// The return area of callees, as large as the largest needs it.
    area: Option<StackSlot>,
}

/// A function type as a call sees it.
struct CallType {
    signature: SigRef,
    params: usize,
    results: ResultShape,
}

/// What is called, with its first argument.
#[derive(Clone, Copy)]
pub(super) struct Callee {
    code: Target,
    vmctx: Value,
}

impl<'a> Translator<'a> {
    /// `call`.
    pub(crate) fn call(&mut self, func: FuncIndex) -> Result {
        let ty = validated(self.module.functions.get(func).copied(), "a function")?;
        let callee = self.function(func, ty)?;
        self.emit_call(callee, ty)
    }

    /// `return_call`.
    pub(crate) fn return_call(&mut self, func: FuncIndex) -> Result {
        let ty = validated(self.module.functions.get(func).copied(), "a function")?;
        let callee = self.function(func, ty)?;
        self.emit_return_call(callee, ty)
    }

    /// `call_indirect`.
    pub(crate) fn call_indirect(&mut self, table: TableIndex, ty: TypeIndex) -> Result {
        let callee = self.indirect(table, ty)?;
        self.emit_call(callee, ty)
    }

    /// `return_call_indirect`.
    pub(crate) fn return_call_indirect(&mut self, table: TableIndex, ty: TypeIndex) -> Result {
        let callee = self.indirect(table, ty)?;
        self.emit_return_call(callee, ty)
    }

    /// A type of the module.
    pub(crate) fn type_at(&self, index: TypeIndex) -> Result<&'a FuncType> {
        validated(self.module.types.get(index).and_then(SubType::as_func), "a function type")
    }

    fn function(&mut self, func: FuncIndex, ty: TypeIndex) -> Result<Callee> {
        match self.module.defined_func(func) {
            Some(defined) => self.defined(defined, ty),
            None => Ok(self.imported(func)),
        }
    }

    fn defined(&mut self, func: DefinedFuncIndex, ty: TypeIndex) -> Result<Callee> {
        let vmctx = self.vmctx();
        if let Some(&func) = self.calls.functions.get(&func) {
            return Ok(Callee { code: Target::Func(func), vmctx });
        }
        let signature = self.call_type(ty)?.signature;
        let name = UserExternalName::new(0, func.as_u32());
        let name = self.builder.func.declare_imported_user_function(name);
        let imported = self.builder.import_function(ExtFuncData {
            name: ExternalName::user(name),
            signature,
            colocated: self.job.calls == CallMode::Direct,
            patchable: false,
        });
        self.calls.functions.insert(func, imported);
        Ok(Callee { code: Target::Func(imported), vmctx })
    }

    fn imported(&mut self, func: FuncIndex) -> Callee {
        let at = self.module.layout.imported_func(func);
        let slot = self.vmctx_constant(at + IMPORT_FUNC_SLOT);
        let vmctx = self.vmctx_constant(at + IMPORT_FUNC_VMCTX);
        let code = self.slot_content(slot);
        self.announce_caller();
        Callee { code: Target::Address(code), vmctx }
    }

    fn indirect(&mut self, table: TableIndex, ty: TypeIndex) -> Result<Callee> {
        let table_type = self.table_type(table)?;
        let index = self.pop()?;
        let index = self.widen(index);
        let on_null = OnNull::Trap(TrapCode::UninitializedElement);
        let funcref =
            self.funcref_at(table, &table_type, index, TrapCode::UndefinedElement, on_null);
        if !self.module.is_declared_as(table_type.element.heap, ty) {
            self.check_type(funcref, ty)?;
        }
        let vmctx = self.funcref_field(funcref, FUNCREF_VMCTX, types::I64);
        Ok(self.callee_of(funcref, vmctx))
    }

    /// Pops a function reference that may be null.
    pub(super) fn referenced(&mut self) -> Result<Callee> {
        let funcref = self.pop()?;
        // Null is the address 0, where nothing is mapped: the load itself is the check.
        let flags = self.trapping_flags(Region::Funcref, TrapCode::NullReference);
        let flags = flags.with_aligned();
        let vmctx =
            self.builder.ins().load(types::I64, flags, funcref, FUNCREF_VMCTX.cast_signed());
        Ok(self.callee_of(funcref, vmctx))
    }

    fn callee_of(&mut self, funcref: Value, vmctx: Value) -> Callee {
        let slot = self.funcref_field(funcref, FUNCREF_SLOT, types::I64);
        let code = self.slot_content(slot);
        self.announce_caller();
        Callee { code: Target::Address(code), vmctx }
    }

    /// Traps unless the function has the type, or a subtype of it.
    fn check_type(&mut self, funcref: Value, ty: TypeIndex) -> Result {
        let is_final = validated(self.module.types.get(ty), "a type")?.is_final;
        let ids = self.vmctx_constant(VMCTX_TYPE_IDS);
        // At most a million types.
        let expected = self.constant(ids, ty.as_u32() * TYPE_ID_BYTES, types::I32);
        let found = if is_final {
            self.funcref_field(funcref, FUNCREF_TYPE, types::I32)
        } else {
            self.supertype(funcref, ty)
        };
        let differs = self.builder.ins().icmp(IntCC::NotEqual, found, expected);
        self.trap_if(differs, TrapCode::IndirectCallTypeMismatch);
        Ok(())
    }

    /// What stands in the display of a function's type where a type has itself; traps if the
    /// display is shorter.
    fn supertype(&mut self, funcref: Value, ty: TypeIndex) -> Value {
        // At most 63 supertypes.
        let depth = self.module.supertype_count(ty);
        let display = self.funcref_field(funcref, FUNCREF_DISPLAY, types::I64);
        let count = self.funcref_field(display, DISPLAY_COUNT, types::I32);
        let too_short =
            self.builder.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, count, i64::from(depth));
        self.trap_if(too_short, TrapCode::IndirectCallTypeMismatch);
        self.funcref_field(display, DISPLAY_TYPES + depth * TYPE_ID_BYTES, types::I32)
    }

    /// A field of a function reference that is not null, or of a display.
    fn funcref_field(
        &mut self,
        funcref: Value,
        offset: u32,
        ty: cranelift_codegen::ir::Type,
    ) -> Value {
        let flags = self.flags(Region::Funcref).with_readonly();
        self.builder.ins().load(ty, flags, funcref, offset.cast_signed())
    }

    /// The best code there is for the function of a slot.
    fn slot_content(&mut self, slot: Value) -> Value {
        let flags = self.flags(Region::Funcref);
        self.builder.ins().load(types::I64, flags, slot, 0)
    }

    /// Tells whoever is called which instance calls.
    fn announce_caller(&mut self) {
        let store = self.store_context();
        let flags = self.flags(Region::Store);
        let vmctx = self.vmctx();
        self.builder.ins().store(flags, vmctx, store, STORE_CALLER_VMCTX.cast_signed());
    }

    fn call_type(&mut self, index: TypeIndex) -> Result<Rc<CallType>> {
        if let Some(call_type) = self.calls.types.get(&index) {
            return Ok(Rc::clone(call_type));
        }
        let ty = self.type_at(index)?;
        let results = ResultShape::new(self.target.convention, &ty.results);
        let signature = self.builder.import_signature(wasm_signature(ty, &results));
        let call_type = Rc::new(CallType { signature, params: ty.params.len(), results });
        self.calls.types.insert(index, Rc::clone(&call_type));
        Ok(call_type)
    }

    pub(super) fn emit_call(&mut self, callee: Callee, index: TypeIndex) -> Result {
        self.has_call = true;
        let ty = self.call_type(index)?;
        let area = self.callee_area(ty.results.area_bytes);
        let args = self.call_args(callee.vmctx, area, ty.params)?;
        let call = self.make_call(callee.code, ty.signature, &args);
        self.values = args;
        let results = &self.type_at(index)?.results;
        let mut in_registers = 0;
        for (&result, place) in results.iter().zip(&ty.results.places) {
            let value = match (place, area) {
                (ResultPlace::Area(offset), Some(area)) => {
                    let flags = self.flags(Region::Area);
                    let offset = offset.cast_signed();
                    self.builder.ins().load(clif_type(result), flags, area, offset)
                }
                _ => {
                    in_registers += 1;
                    validated(self.results_of(call).get(in_registers - 1).copied(), "a result")?
                }
            };
            self.push(value);
        }
        Ok(())
    }

    pub(super) fn emit_return_call(&mut self, callee: Callee, index: TypeIndex) -> Result {
        self.has_call = true;
        let ty = self.call_type(index)?;
        let area = self.area();
        let args = self.call_args(callee.vmctx, area, ty.params)?;
        match callee.code {
            Target::Func(func) => self.builder.ins().return_call(func, &args),
            Target::Address(code) => {
                self.builder.ins().return_call_indirect(ty.signature, code, &args)
            }
        };
        self.values = args;
        self.end_reachable();
        Ok(())
    }

    /// Pops a call's arguments; those that every function has come first.
    fn call_args(
        &mut self,
        vmctx: Value,
        area: Option<Value>,
        params: usize,
    ) -> Result<Vec<Value>> {
        self.canonicalize_top(params)?;
        let first = self.top(params)?;
        let mut args = std::mem::take(&mut self.values);
        args.clear();
        args.push(vmctx);
        args.extend(area);
        args.extend(self.stack.drain(first..));
        Ok(args)
    }

    /// The address where a callee stores the results that find no register.
    fn callee_area(&mut self, bytes: u32) -> Option<Value> {
        if bytes == 0 {
            return None;
        }
        let slot = match self.calls.area {
            Some(slot) => slot,
            None => self.builder.create_sized_stack_slot(StackSlotData::new(
                StackSlotKind::ExplicitSlot,
                bytes,
                AREA_ALIGN_LOG2,
            )),
        };
        self.calls.area = Some(slot);
        let size = &mut self.builder.func.sized_stack_slots[slot].size;
        *size = bytes.max(*size);
        Some(self.builder.ins().stack_addr(types::I64, slot, 0))
    }

    /// Stores the results (topmost on the stack, from this position on) that find no register
    /// to the caller's area, and gives back the others.
    pub(super) fn store_area_results(&mut self, first: usize) -> Result<Vec<Value>> {
        let mut in_registers = std::mem::take(&mut self.values);
        in_registers.clear();
        for number in 0..self.results.places.len() {
            let value = validated(self.stack.get(first + number).copied(), "a result")?;
            match (self.results.places[number], self.area()) {
                (ResultPlace::Area(offset), Some(area)) => {
                    let flags = self.flags(Region::Area);
                    self.builder.ins().store(flags, value, area, offset.cast_signed());
                }
                _ => in_registers.push(value),
            }
        }
        Ok(in_registers)
    }
}
