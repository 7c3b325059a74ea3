//! The abstract operand stack and the registers that its values sit in.
//!
//! A value on the stack is a constant, a local that was read, a register, its home slot in the
//! frame, or a condition still in the flags. Code is emitted only when an operator needs the
//! value. Invariants:
//!
//! * A 32-bit integer in a general register has zeros in the upper half.
//! * A temporary register belongs to at most one stack entry (`owner`) or to the operator that
//!   popped it, which releases it.
//! * The lowest `settled` entries are constants or in their home slots; at most [`WINDOW`]
//!   entries lie above them, so that every search over the stack is short.
//! * A condition is the topmost entry, and the next operator consumes it.

use crate::function::Gen;
use crate::locals::NO_PIN;
use crate::x86_64::{Cc, Gpr, Mem, Rm, Size, Xmm, insts};
use wasmoor_abi::ValType;

/// Entries that may be anywhere but in their home slots.
const WINDOW: usize = 48;
/// No stack entry owns the register.
const NOBODY: u32 = u32::MAX;

/// Type of a value as code sees it; references are 64-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    I32,
    I64,
    F32,
    F64,
    V128,
}

impl Ty {
    pub(crate) const fn of(ty: ValType) -> Ty {
        match ty {
            ValType::I32 => Ty::I32,
            ValType::I64 | ValType::Ref(_) => Ty::I64,
            ValType::F32 => Ty::F32,
            ValType::F64 => Ty::F64,
            ValType::V128 => Ty::V128,
        }
    }

    /// Whether values sit in general registers.
    pub(crate) const fn is_int(self) -> bool {
        matches!(self, Ty::I32 | Ty::I64)
    }

    /// Size of an integer.
    pub(crate) const fn size(self) -> Size {
        if matches!(self, Ty::I32 | Ty::F32) { Size::S32 } else { Size::S64 }
    }
}

/// A condition of the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cond {
    /// One condition of the machine.
    Is(Cc),
    /// After a comparison of floats: equal, and neither is a NaN.
    FloatEqual,
    /// After a comparison of floats: different, or one is a NaN.
    FloatDiffers,
}

impl Cond {
    pub(crate) const fn negate(self) -> Cond {
        match self {
            Cond::Is(cc) => Cond::Is(cc.negate()),
            Cond::FloatEqual => Cond::FloatDiffers,
            Cond::FloatDiffers => Cond::FloatEqual,
        }
    }
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loc {
    Gpr(Gpr),
    Xmm(Xmm),
    /// Bits of an integer or float; never a vector.
    Const(u64),
    Local(u32),
    /// Offset from the frame pointer.
    Slot(i32),
    Cond(Cond),
}

/// An entry of the operand stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) ty: Ty,
    pub(crate) loc: Loc,
}

impl Value {
    pub(crate) const fn new(ty: Ty, loc: Loc) -> Value {
        Value { ty, loc }
    }

    /// The value if it is a constant.
    pub(crate) const fn constant(&self) -> Option<u64> {
        match self.loc {
            Loc::Const(bits) => Some(bits),
            _ => None,
        }
    }

    /// The value as an immediate of its size, if it fits one.
    pub(crate) fn imm32(&self) -> Option<i32> {
        let bits = self.constant()?;
        match self.ty {
            Ty::I32 => Some((bits as u32).cast_signed()),
            _ => i32::try_from(bits.cast_signed()).ok(),
        }
    }
}

/// Temporary registers of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bank {
    /// All temporaries.
    pub(crate) temps: u16,
    /// Those that hold nothing.
    pub(crate) free: u16,
    /// Position of the stack entry that each holds.
    owner: [u32; 16],
}

impl Default for Bank {
    fn default() -> Self {
        Bank { temps: 0, free: 0, owner: [NOBODY; 16] }
    }
}

impl Bank {
    /// Only these temporaries, all free.
    pub(crate) fn reset(&mut self, temps: u16) {
        *self = Bank { temps, free: temps, owner: [NOBODY; 16] };
    }

    /// All registers become free: nothing on the stack is in any of them.
    fn free_all(&mut self) {
        self.free = self.temps;
        self.owner = [NOBODY; 16];
    }

    fn release(&mut self, reg: u8) {
        self.owner[usize::from(reg)] = NOBODY;
        self.free |= self.temps & 1 << reg;
    }

    fn take(&mut self) -> Option<u8> {
        if self.free == 0 {
            return None;
        }
        let reg = self.free.trailing_zeros() as u8;
        self.free &= self.free - 1;
        Some(reg)
    }

    /// The owned register that is needed last: the one deepest on the stack.
    fn victim(&self) -> Option<(u8, u32)> {
        let mut used = self.temps & !self.free;
        let mut best = None;
        while used != 0 {
            let reg = used.trailing_zeros() as u8;
            used &= used - 1;
            let owner = self.owner[usize::from(reg)];
            if owner != NOBODY && best.is_none_or(|(_, other)| owner < other) {
                best = Some((reg, owner));
            }
        }
        best
    }
}

impl Gen<'_> {
    // The stack.

    /// Takes note of a contradiction to validation, or a bug of ours; reported at the end.
    #[cold]
    pub(crate) fn bug(&mut self, what: &'static str) {
        self.bug.get_or_insert(what);
    }

    #[inline]
    pub(crate) fn push(&mut self, value: Value) {
        let at = self.stack.len() as u32;
        match value.loc {
            Loc::Gpr(reg) => self.gprs.owner[usize::from(reg.0)] = at,
            Loc::Xmm(reg) => self.xmms.owner[usize::from(reg.0)] = at,
            Loc::Local(index) => self.locals[index as usize].reads += 1,
            _ => {}
        }
        self.stack.push(value);
        if self.stack.len() > self.settled + WINDOW {
            self.settle(self.settled);
            self.settled += 1;
        }
    }

    pub(crate) fn push_gpr(&mut self, ty: Ty, reg: Gpr) {
        self.push(Value::new(ty, Loc::Gpr(reg)));
    }

    pub(crate) fn push_xmm(&mut self, ty: Ty, reg: Xmm) {
        self.push(Value::new(ty, Loc::Xmm(reg)));
    }

    /// Pops a value; a register that it is in now belongs to the caller.
    #[inline]
    pub(crate) fn pop(&mut self) -> Value {
        let Some(value) = self.stack.pop() else {
            self.bug("an operand");
            return Value::new(Ty::I32, Loc::Const(0));
        };
        match value.loc {
            Loc::Gpr(reg) => self.gprs.owner[usize::from(reg.0)] = NOBODY,
            Loc::Xmm(reg) => self.xmms.owner[usize::from(reg.0)] = NOBODY,
            Loc::Local(index) => self.locals[index as usize].reads -= 1,
            _ => {}
        }
        self.settled = self.settled.min(self.stack.len());
        value
    }

    /// Drops entries from the top until that many are left.
    pub(crate) fn truncate(&mut self, height: usize) {
        while self.stack.len() > height {
            let value = self.pop();
            self.release(value);
        }
    }

    /// Position of the first of the topmost `count` entries.
    pub(crate) fn top(&mut self, count: usize) -> usize {
        match self.stack.len().checked_sub(count) {
            Some(first) => first,
            None => {
                self.bug("operands");
                0
            }
        }
    }

    /// The home slot of a stack position.
    pub(crate) fn slot(&mut self, position: usize) -> i32 {
        self.frame.slot(position)
    }

    /// Moves the entry at a position to its home slot, unless it is a constant.
    pub(crate) fn settle(&mut self, position: usize) {
        let Value { ty, loc } = self.stack[position];
        match loc {
            Loc::Const(_) | Loc::Slot(_) | Loc::Cond(_) => return,
            Loc::Gpr(_) | Loc::Xmm(_) | Loc::Local(_) => {}
        }
        let disp = self.slot(position);
        let mem = Mem::new(Gpr::RBP, disp);
        self.store_value(self.stack[position], mem);
        match loc {
            Loc::Gpr(reg) => self.gprs.release(reg.0),
            Loc::Xmm(reg) => self.xmms.release(reg.0),
            Loc::Local(index) => self.locals[index as usize].reads -= 1,
            _ => {}
        }
        self.stack[position] = Value::new(ty, Loc::Slot(disp));
    }

    /// Settles all entries below a position.
    pub(crate) fn settle_below(&mut self, position: usize) {
        for at in self.settled..position {
            self.settle(at);
        }
        self.settled = self.settled.max(position);
    }

    /// Puts the entry at a position into its slot, constants too.
    pub(crate) fn settle_fully(&mut self, position: usize) {
        let Value { ty, loc } = self.stack[position];
        if !matches!(loc, Loc::Const(_)) {
            return self.settle(position);
        }
        let disp = self.slot(position);
        self.store_value(self.stack[position], Mem::new(Gpr::RBP, disp));
        self.stack[position] = Value::new(ty, Loc::Slot(disp));
    }

    /// Moves what sits in temporaries below a position to the slots: a call follows.
    pub(crate) fn spill_temps_below(&mut self, position: usize) {
        while let Some((_, owner)) = self.gprs.victim()
            && (owner as usize) < position
        {
            self.settle(owner as usize);
        }
        while let Some((_, owner)) = self.xmms.victim()
            && (owner as usize) < position
        {
            self.settle(owner as usize);
        }
    }

    /// Entries that read this local get its present value: it is about to change.
    pub(crate) fn detach_local(&mut self, index: u32) {
        let mut at = self.stack.len();
        while self.locals[index as usize].reads > 0 && at > self.settled {
            at -= 1;
            let Value { ty, loc } = self.stack[at];
            if loc != Loc::Local(index) {
                continue;
            }
            let free = if ty.is_int() { self.gprs.free } else { self.xmms.free };
            if free == 0 {
                self.settle(at);
                continue;
            }
            self.locals[index as usize].reads -= 1;
            let local = Value::new(ty, loc);
            if ty.is_int() {
                let reg = self.alloc_gpr();
                self.load_gpr(reg, local);
                self.gprs.owner[usize::from(reg.0)] = at as u32;
                self.stack[at].loc = Loc::Gpr(reg);
            } else {
                let reg = self.alloc_xmm();
                self.load_xmm(reg, local);
                self.xmms.owner[usize::from(reg.0)] = at as u32;
                self.stack[at].loc = Loc::Xmm(reg);
            }
        }
    }

    // Registers.

    /// A temporary for the caller to fill.
    pub(crate) fn alloc_gpr(&mut self) -> Gpr {
        if self.gprs.free == 0
            && let Some((_, owner)) = self.gprs.victim()
        {
            self.settle(owner as usize);
        }
        match self.gprs.take() {
            Some(reg) => Gpr(reg),
            None => {
                self.bug("a general register");
                Gpr::R11
            }
        }
    }

    /// A vector temporary for the caller to fill.
    pub(crate) fn alloc_xmm(&mut self) -> Xmm {
        if self.xmms.free == 0
            && let Some((_, owner)) = self.xmms.victim()
        {
            self.settle(owner as usize);
        }
        match self.xmms.take() {
            Some(reg) => Xmm(reg),
            None => {
                self.bug("a vector register");
                Xmm::XMM15
            }
        }
    }

    /// Takes this temporary; a stack entry in it moves elsewhere. It must not belong to the
    /// caller already.
    pub(crate) fn take_gpr(&mut self, reg: Gpr) {
        let bit = reg.bit();
        if self.gprs.free & bit == 0 {
            let owner = self.gprs.owner[usize::from(reg.0)];
            if owner == NOBODY {
                return self.bug("a register that is taken");
            }
            match self.gprs.take() {
                Some(other) => {
                    let ty = self.stack[owner as usize].ty;
                    self.asm.mov(ty.size(), Gpr(other), reg);
                    self.gprs.owner[usize::from(other)] = owner;
                    self.stack[owner as usize].loc = Loc::Gpr(Gpr(other));
                    self.gprs.owner[usize::from(reg.0)] = NOBODY;
                }
                None => self.settle(owner as usize),
            }
        }
        self.gprs.free &= !bit;
    }

    /// Gives back a register; pinned ones stay what they are.
    #[inline]
    pub(crate) fn release_gpr(&mut self, reg: Gpr) {
        self.gprs.release(reg.0);
    }

    #[inline]
    pub(crate) fn release_xmm(&mut self, reg: Xmm) {
        self.xmms.release(reg.0);
    }

    /// Gives back what a popped value sat in.
    #[inline]
    pub(crate) fn release(&mut self, value: Value) {
        match value.loc {
            Loc::Gpr(reg) => self.release_gpr(reg),
            Loc::Xmm(reg) => self.release_xmm(reg),
            _ => {}
        }
    }

    /// All temporaries are free: a call took their content away, or control came from elsewhere.
    pub(crate) fn release_all(&mut self) {
        self.gprs.free_all();
        self.xmms.free_all();
    }

    /// Whether the register is a temporary, which may be overwritten by its holder.
    pub(crate) fn is_temp_gpr(&self, reg: Gpr) -> bool {
        self.gprs.temps & reg.bit() != 0
    }

    pub(crate) fn is_temp_xmm(&self, reg: Xmm) -> bool {
        self.xmms.temps & reg.bit() != 0
    }

    // Values to registers and memory.

    /// Loads a value; the flags stay as they are.
    pub(crate) fn load_gpr(&mut self, dst: Gpr, value: Value) {
        match value.loc {
            Loc::Gpr(src) if src == dst => {}
            Loc::Gpr(src) => self.asm.mov(value.ty.size(), dst, src),
            Loc::Const(bits) => self.asm.mov_imm(dst, bits),
            Loc::Slot(disp) => self.asm.mov(value.ty.size(), dst, Mem::new(Gpr::RBP, disp)),
            Loc::Local(index) => match self.local_gpr(index) {
                Rm::Reg(src) if src == dst => {}
                src => self.asm.mov(value.ty.size(), dst, src),
            },
            Loc::Cond(cond) => self.materialize(cond, dst),
            Loc::Xmm(_) => self.bug("an integer"),
        }
    }

    /// Loads a float or vector; the flags stay as they are.
    pub(crate) fn load_xmm(&mut self, dst: Xmm, value: Value) {
        match value.loc {
            Loc::Xmm(src) if src == dst => {}
            Loc::Xmm(src) => self.asm.movaps(dst, src),
            Loc::Const(0) => self.asm.zero_xmm(dst),
            Loc::Const(bits) => self.asm.xx_narrow(load_op(value.ty), dst, bits),
            Loc::Slot(disp) => self.asm.xx(load_op(value.ty), dst, Mem::new(Gpr::RBP, disp)),
            Loc::Local(index) => match self.local_xmm(index) {
                Rm::Reg(src) if src == dst => {}
                Rm::Reg(src) => self.asm.movaps(dst, src),
                Rm::Mem(mem) => self.asm.xx(load_op(value.ty), dst, mem),
            },
            Loc::Gpr(_) | Loc::Cond(_) => self.bug("a float"),
        }
    }

    /// Stores a value of its type's size; uses scratch registers only, and leaves the flags.
    pub(crate) fn store_value(&mut self, value: Value, mem: Mem) {
        if value.ty.is_int() {
            if let Some(imm) = value.imm32() {
                return self.asm.store_imm(value.ty.size(), mem, imm);
            }
            let reg = match value.loc {
                Loc::Gpr(reg) => reg,
                Loc::Local(index) => match self.local_gpr(index) {
                    Rm::Reg(reg) => reg,
                    Rm::Mem(from) => {
                        self.asm.mov(value.ty.size(), Gpr::R11, from);
                        Gpr::R11
                    }
                },
                _ => {
                    self.load_gpr(Gpr::R11, value);
                    Gpr::R11
                }
            };
            return self.asm.store(value.ty.size(), mem, reg);
        }
        if let Some(bits) = value.constant() {
            self.asm.mov_imm(Gpr::R11, bits);
            return self.asm.store(value.ty.size(), mem, Gpr::R11);
        }
        let reg = match value.loc {
            Loc::Xmm(reg) => reg,
            Loc::Local(index) if self.locals[index as usize].pin != NO_PIN => {
                self.local_pinned_xmm(index)
            }
            _ => {
                self.load_xmm(Xmm::XMM15, value);
                Xmm::XMM15
            }
        };
        self.asm.xx(store_op(value.ty), reg, mem);
    }

    /// A register that holds a popped integer; it may be a pinned one, so it must not be
    /// changed.
    pub(crate) fn use_gpr(&mut self, value: Value) -> Gpr {
        match value.loc {
            Loc::Gpr(reg) => return reg,
            Loc::Local(index) => {
                if let Rm::Reg(reg) = self.local_gpr(index) {
                    return reg;
                }
            }
            _ => {}
        }
        let reg = self.alloc_gpr();
        self.load_gpr(reg, value);
        reg
    }

    /// A temporary that holds a popped integer and may be changed.
    pub(crate) fn own_gpr(&mut self, value: Value) -> Gpr {
        if let Loc::Gpr(reg) = value.loc {
            return reg;
        }
        let reg = self.alloc_gpr();
        self.load_gpr(reg, value);
        reg
    }

    /// A popped integer as an operand; constants are loaded to the scratch register r11.
    pub(crate) fn use_rm_gpr(&mut self, value: Value) -> Rm<Gpr> {
        match value.loc {
            Loc::Gpr(reg) => Rm::Reg(reg),
            Loc::Local(index) => self.local_gpr(index),
            Loc::Slot(disp) => Rm::Mem(Mem::new(Gpr::RBP, disp)),
            _ => {
                self.load_gpr(Gpr::R11, value);
                Rm::Reg(Gpr::R11)
            }
        }
    }

    /// As [`Gen::use_gpr`], for floats and vectors.
    pub(crate) fn use_xmm(&mut self, value: Value) -> Xmm {
        match value.loc {
            Loc::Xmm(reg) => return reg,
            Loc::Local(index) => {
                if let Rm::Reg(reg) = self.local_xmm(index) {
                    return reg;
                }
            }
            _ => {}
        }
        let reg = self.alloc_xmm();
        self.load_xmm(reg, value);
        reg
    }

    /// As [`Gen::own_gpr`], for floats and vectors.
    pub(crate) fn own_xmm(&mut self, value: Value) -> Xmm {
        if let Loc::Xmm(reg) = value.loc {
            return reg;
        }
        let reg = self.alloc_xmm();
        self.load_xmm(reg, value);
        reg
    }

    /// A popped scalar float as an operand; constants are loaded to the scratch register xmm15.
    pub(crate) fn use_rm_xmm(&mut self, value: Value) -> Rm<Xmm> {
        match value.loc {
            Loc::Xmm(reg) => Rm::Reg(reg),
            Loc::Local(index) => self.local_xmm(index),
            Loc::Slot(disp) => Rm::Mem(Mem::new(Gpr::RBP, disp)),
            _ => {
                self.load_xmm(Xmm::XMM15, value);
                Rm::Reg(Xmm::XMM15)
            }
        }
    }

    /// Gives back the register of an operand.
    pub(crate) fn release_rm_gpr(&mut self, rm: Rm<Gpr>) {
        if let Rm::Reg(reg) = rm {
            self.release_gpr(reg);
        }
    }

    pub(crate) fn release_rm_xmm(&mut self, rm: Rm<Xmm>) {
        if let Rm::Reg(reg) = rm {
            self.release_xmm(reg);
        }
    }

    /// 1 if the condition holds, else 0.
    pub(crate) fn materialize(&mut self, cond: Cond, dst: Gpr) {
        let asm = &mut self.asm;
        match cond {
            Cond::Is(cc) => asm.setcc(cc, dst),
            Cond::FloatEqual => {
                asm.setcc(Cc::NP, Gpr::R11);
                asm.setcc(Cc::E, dst);
                asm.gg(insts::AND, Size::S32, dst, Gpr::R11);
            }
            Cond::FloatDiffers => {
                asm.setcc(Cc::P, Gpr::R11);
                asm.setcc(Cc::NE, dst);
                asm.gg(insts::OR, Size::S32, dst, Gpr::R11);
            }
        }
        asm.movzx_b(dst, dst);
    }
}

/// The instruction that loads a float or vector from memory.
pub(crate) const fn load_op(ty: Ty) -> insts::Op {
    match ty {
        Ty::F32 => insts::MOVSS,
        Ty::F64 => insts::MOVSD,
        _ => insts::MOVUPS,
    }
}

/// The instruction that stores a float or vector.
pub(crate) const fn store_op(ty: Ty) -> insts::Op {
    match ty {
        Ty::F32 => insts::MOVSS_MR,
        Ty::F64 => insts::MOVSD_MR,
        _ => insts::MOVUPS_MR,
    }
}
