//! Locals, globals, constants of the stack, and `select`.

use crate::function::Gen;
use crate::state::{Cond, Loc, Ty, Value, load_op, store_op};
use crate::x86_64::{Cc, Gpr, Mem, Size, Xmm};
use wasmoor_abi::vmctx::Place;
use wasmoor_abi::{DefinedGlobalIndex, GlobalIndex, GlobalType, ValType};
use wasmoor_module::ConstOp;

/// Opcodes of `local.set` and `local.tee`.
const LOCAL_SET: u8 = 0x21;
const LOCAL_TEE: u8 = 0x22;

impl Gen<'_> {
    /// `local.get`.
    pub(crate) fn local_get(&mut self, index: u32) {
        let ty = self.locals[index as usize].ty;
        self.push(Value::new(ty, Loc::Local(index)));
    }

    /// `local.set`.
    pub(crate) fn local_set(&mut self, index: u32) {
        let value = self.pop();
        if value.loc == Loc::Local(index) {
            return;
        }
        self.detach_local(index);
        self.assign_local(index, value);
        self.release(value);
    }

    /// `local.tee`.
    pub(crate) fn local_tee(&mut self, index: u32) {
        let value = self.pop();
        if value.loc == Loc::Local(index) {
            return self.push(value);
        }
        self.detach_local(index);
        self.assign_local(index, value);
        if value.constant().is_some() {
            return self.push(value);
        }
        match value.loc {
            // The temporary serves on where the local has no register.
            Loc::Gpr(reg) if self.is_temp_gpr(reg) && !self.is_pinned(index) => self.push(value),
            Loc::Xmm(reg) if self.is_temp_xmm(reg) && !self.is_pinned(index) => self.push(value),
            _ => {
                self.release(value);
                self.local_get(index);
            }
        }
    }

    fn is_pinned(&self, index: u32) -> bool {
        self.locals[index as usize].pin != crate::locals::NO_PIN
    }

    fn assign_local(&mut self, index: u32, value: Value) {
        let local = self.locals[index as usize];
        // Read the value before the pin counts as written: it may be the local's own.
        match (self.is_pinned(index), local.ty.is_int()) {
            (false, _) => self.store_value(value, Mem::new(Gpr::RBP, local.home)),
            (true, true) => self.load_gpr(Gpr(local.pin), value),
            (true, false) => self.load_xmm(Xmm(local.pin), value),
        }
        self.written_pin(index);
    }

    /// The register of an integer local that the operator at this position sets, if the result
    /// may be computed in it: no entry of the stack still needs the old value.
    pub(crate) fn foreseen_gpr(&mut self, next: usize) -> Option<Gpr> {
        self.foreseen(next, true).map(Gpr)
    }

    /// The same for a float or vector.
    pub(crate) fn foreseen_xmm(&mut self, next: usize) -> Option<Xmm> {
        self.foreseen(next, false).map(Xmm)
    }

    fn foreseen(&self, next: usize, int: bool) -> Option<u8> {
        let (opcode, index) = match *self.body.get(next..)? {
            [opcode, low, ..] if low < 0x80 => (opcode, u32::from(low)),
            [opcode, low, high, ..] if high < 0x80 => {
                (opcode, u32::from(low & 0x7f) | u32::from(high) << 7)
            }
            _ => return None,
        };
        if opcode != LOCAL_SET && opcode != LOCAL_TEE {
            return None;
        }
        let local = self.locals.get(index as usize)?;
        let usable = local.reads == 0 && local.ty.is_int() == int;
        (usable && local.pin != crate::locals::NO_PIN).then_some(local.pin)
    }

    /// Whether a popped value is the local with this pin, in the register or at home.
    pub(crate) fn reads_pin(&self, value: Value, pin: u8) -> bool {
        match value.loc {
            Loc::Local(index) => self.locals[index as usize].pin == pin,
            Loc::Gpr(Gpr(reg)) | Loc::Xmm(Xmm(reg)) => reg == pin,
            _ => false,
        }
    }

    /// `select`.
    pub(crate) fn select(&mut self) {
        let condition = self.pop();
        let second = self.pop();
        let first = self.pop();
        let condition_reg = match condition.loc {
            Loc::Cond(_) => None,
            _ => Some(self.use_gpr(condition)),
        };
        if first.ty.is_int() {
            return self.select_int(first, second, condition, condition_reg);
        }
        let dst = self.own_xmm(first);
        let cond = self.test_select(condition, condition_reg);
        let keep = match cond {
            Cond::Is(cc) => [Some(self.asm.jcc_short(cc)), None],
            Cond::FloatDiffers => {
                [Some(self.asm.jcc_short(Cc::P)), Some(self.asm.jcc_short(Cc::NE))]
            }
            Cond::FloatEqual => {
                let unordered = self.asm.jcc_short(Cc::P);
                let equal = self.asm.jcc_short(Cc::E);
                self.asm.bind_short(unordered);
                [Some(equal), None]
            }
        };
        self.load_second(dst, second);
        for jump in keep.into_iter().flatten() {
            self.asm.bind_short(jump);
        }
        self.release(second);
        self.push_xmm(first.ty, dst);
    }

    /// Loads without a lasting change of pins: not every way leads here.
    fn load_second(&mut self, dst: Xmm, value: Value) {
        let stale = self.xmm_pins.stale;
        self.load_xmm(dst, value);
        self.xmm_pins.stale = stale;
    }

    fn select_int(
        &mut self,
        first: Value,
        second: Value,
        condition: Value,
        condition_reg: Option<Gpr>,
    ) {
        let size = first.ty.size();
        let dst = self.own_gpr(first);
        let other = self.use_rm_gpr(second);
        let cond = self.test_select(condition, condition_reg);
        match cond {
            Cond::Is(cc) => self.asm.cmov(cc.negate(), size, dst, other),
            Cond::FloatEqual => {
                self.asm.cmov(Cc::P, size, dst, other);
                self.asm.cmov(Cc::NE, size, dst, other);
            }
            Cond::FloatDiffers => {
                // Only "ordered and equal" takes the second.
                let unordered = self.asm.jcc_short(Cc::P);
                self.asm.cmov(Cc::E, size, dst, other);
                self.asm.bind_short(unordered);
            }
        }
        self.release_rm_gpr(other);
        self.push_gpr(first.ty, dst);
    }

    fn test_select(&mut self, condition: Value, reg: Option<Gpr>) -> Cond {
        if let Some(reg) = reg {
            self.asm.test(Size::S32, reg, reg);
            self.release_gpr(reg);
        }
        match condition.loc {
            Loc::Cond(cond) => cond,
            _ => Cond::Is(Cc::NE),
        }
    }

    // Globals.

    /// `global.get`.
    pub(crate) fn global_get(&mut self, global: u32) {
        let index = GlobalIndex::from_u32(global);
        let ty = self.module.globals[index];
        if let Some(bits) = self.known_global(index, &ty) {
            return self.push(Value::new(Ty::of(ty.content), Loc::Const(bits)));
        }
        let ty = Ty::of(ty.content);
        let cell = self.global_cell(index);
        if ty.is_int() {
            let next = self.skip_leb(self.at + 1);
            let foreseen = next.and_then(|next| self.foreseen_gpr(next));
            let dst = foreseen.unwrap_or_else(|| self.alloc_gpr());
            self.asm.mov(ty.size(), dst, cell);
            self.push_gpr(ty, dst);
        } else {
            let dst = self.alloc_xmm();
            self.asm.xx(load_op(ty), dst, cell);
            self.push_xmm(ty, dst);
        }
    }

    /// `global.set`.
    pub(crate) fn global_set(&mut self, global: u32) {
        let index = GlobalIndex::from_u32(global);
        let ty = Ty::of(self.module.globals[index].content);
        let value = self.pop();
        if ty.is_int() {
            if let Some(imm) = value.imm32() {
                let cell = self.global_cell(index);
                return self.asm.store_imm(ty.size(), cell, imm);
            }
            let reg = self.use_gpr(value);
            let cell = self.global_cell(index);
            self.asm.store(ty.size(), cell, reg);
            self.release_gpr(reg);
        } else {
            let reg = self.use_xmm(value);
            let cell = self.global_cell(index);
            self.asm.xx(store_op(ty), reg, cell);
            self.release_xmm(reg);
        }
    }

    /// A global's cell; uses r11 for imported ones.
    fn global_cell(&mut self, global: GlobalIndex) -> Mem {
        match self.module.layout.global(global) {
            Place::Inline(offset) => self.vmctx_field(offset),
            Place::Behind(offset) => {
                self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(offset));
                Mem::new(Gpr::R11, 0)
            }
        }
    }

    /// The value of an immutable global whose initializer is a number.
    fn known_global(&self, global: GlobalIndex, ty: &GlobalType) -> Option<u64> {
        if ty.mutable {
            return None;
        }
        let defined = global.as_u32().checked_sub(self.module.counts.imported_globals)?;
        let init = self.module.global_inits.get(DefinedGlobalIndex::from_u32(defined))?;
        let [op] = init.ops.as_slice() else { return None };
        match (*op, ty.content) {
            (ConstOp::I32Const(value), ValType::I32) => Some(u64::from(value.cast_unsigned())),
            (ConstOp::I64Const(value), ValType::I64) => Some(value.cast_unsigned()),
            (ConstOp::F32Const(bits), ValType::F32) => Some(u64::from(bits)),
            (ConstOp::F64Const(bits), ValType::F64) => Some(bits),
            _ => None,
        }
    }
}
