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

pub(crate) use crate::bank::{Bank, NOBODY};
pub(crate) use crate::value::{Cond, Loc, Ty, Value, load_op, store_op};

use crate::function::Gen;
use crate::x86_64::{Gpr, Mem, Xmm};

/// Entries that may be anywhere but in their home slots.
const WINDOW: usize = 48;

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
        let Value { ty, loc, .. } = self.stack[position];
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
        let Value { ty, loc, .. } = self.stack[position];
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
            let Value { ty, loc, .. } = self.stack[at];
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
}
