//! Locals: a home slot in the frame for each, and a register for the hottest.
//!
//! A pinned local's register holds it for the whole function. Registers that calls preserve do
//! so always. The others are *kept home* around calls: a call stores those that changed since
//! they were last stored, and marks all of them stale; a stale one is loaded again when it is
//! read, or before control flow meets other control flow, where every pin must be in its
//! register.

use crate::function::Gen;
use crate::state::{Ty, load_op, store_op};
use crate::x86_64::{Gpr, Mem, Rm, Xmm};

/// The local is not in a register.
pub(crate) const NO_PIN: u8 = u8::MAX;
const _: () = assert!(NO_PIN > 15, "registers have numbers up to 15");

/// A local.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    /// Its home: offset from the frame pointer.
    pub(crate) home: i32,
    /// Entries of the operand stack that read it.
    pub(crate) reads: u32,
    pub(crate) ty: Ty,
    /// Number of its register, or [`NO_PIN`].
    pub(crate) pin: u8,
}

/// Pinned registers of one kind, as sets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pins {
    /// Those that a call destroys.
    pub(crate) volatile: u16,
    /// Those that a call preserves, unless it throws.
    pub(crate) kept: u16,
    /// Volatile ones whose register lacks the value, which is at home.
    pub(crate) stale: u16,
    /// Those whose home has the value.
    pub(crate) homed: u16,
    /// Those whose value does not exceed the reach of memory 0.
    clamped: u16,
    /// Which local a register belongs to.
    pub(crate) local: [u32; 16],
}

impl Pins {
    /// The register gets a new value.
    fn written(&mut self, reg: u8) {
        self.stale &= !(1 << reg);
        self.homed &= !(1 << reg);
        self.clamped &= !(1 << reg);
    }

    /// The register is to be clamped in its place; whether it is not so yet.
    pub(crate) fn clamp(&mut self, reg: Gpr) -> bool {
        let is_new = self.clamped & reg.bit() == 0;
        if is_new {
            self.written(reg.0);
            self.clamped |= reg.bit();
        }
        is_new
    }

    /// Control flow meets other: what is at home is not known.
    fn met(&mut self) {
        self.homed = 0;
        self.stale = 0;
        self.clamped = 0;
    }
}

/// Calls `f` with each register of a set.
pub(crate) fn each(mut set: u16, mut f: impl FnMut(u8)) {
    while set != 0 {
        f(set.trailing_zeros() as u8);
        set &= set - 1;
    }
}

impl Gen<'_> {
    /// Where an integer local is, in its register again if it was only at home.
    #[inline]
    pub(crate) fn local_gpr(&mut self, index: u32) -> Rm<Gpr> {
        let local = self.locals[index as usize];
        if local.pin == NO_PIN {
            return Rm::Mem(Mem::new(Gpr::RBP, local.home));
        }
        if self.gpr_pins.stale & 1 << local.pin != 0 {
            self.reload_gpr(local.pin);
            self.gpr_pins.stale &= !(1 << local.pin);
        }
        Rm::Reg(Gpr(local.pin))
    }

    /// Where a float or vector local is.
    #[inline]
    pub(crate) fn local_xmm(&mut self, index: u32) -> Rm<Xmm> {
        let local = self.locals[index as usize];
        if local.pin == NO_PIN {
            return Rm::Mem(Mem::new(Gpr::RBP, local.home));
        }
        Rm::Reg(self.local_pinned_xmm(index))
    }

    /// The register of a float or vector local that has one.
    pub(crate) fn local_pinned_xmm(&mut self, index: u32) -> Xmm {
        let pin = self.locals[index as usize].pin;
        if self.xmm_pins.stale & 1 << pin != 0 {
            self.reload_xmm(pin);
            self.xmm_pins.stale &= !(1 << pin);
        }
        Xmm(pin)
    }

    fn reload_gpr(&mut self, pin: u8) {
        let local = self.locals[self.gpr_pins.local[usize::from(pin)] as usize];
        self.asm.mov(local.ty.size(), Gpr(pin), Mem::new(Gpr::RBP, local.home));
    }

    fn reload_xmm(&mut self, pin: u8) {
        let local = self.locals[self.xmm_pins.local[usize::from(pin)] as usize];
        self.asm.xx(load_op(local.ty), Xmm(pin), Mem::new(Gpr::RBP, local.home));
    }

    /// The pinned register of a local, to be written; `None` if it has none.
    pub(crate) fn written_pin(&mut self, index: u32) -> Option<u8> {
        let local = self.locals[index as usize];
        if local.pin == NO_PIN {
            return None;
        }
        if local.ty.is_int() {
            self.gpr_pins.written(local.pin);
        } else {
            self.xmm_pins.written(local.pin);
        }
        Some(local.pin)
    }

    /// Stores volatile pins that changed since they were last stored: a call follows. Where a
    /// handler may catch what the call throws, the others too.
    pub(crate) fn leave_pins_home(&mut self) {
        let gprs = self.gpr_pins;
        let kept = if self.region().is_some() { gprs.kept } else { 0 };
        let leaving = gprs.volatile | kept;
        each(leaving & !gprs.stale & !gprs.homed, |pin| {
            let local = self.locals[gprs.local[usize::from(pin)] as usize];
            self.asm.store(local.ty.size(), Mem::new(Gpr::RBP, local.home), Gpr(pin));
        });
        let xmms = self.xmm_pins;
        each(xmms.volatile & !xmms.stale & !xmms.homed, |pin| {
            let local = self.locals[xmms.local[usize::from(pin)] as usize];
            self.asm.xx(store_op(local.ty), Xmm(pin), Mem::new(Gpr::RBP, local.home));
        });
        self.gpr_pins.homed |= leaving;
        self.xmm_pins.homed |= xmms.volatile;
    }

    /// The call is made: registers of volatile pins hold anything.
    pub(crate) fn pins_destroyed(&mut self) {
        self.gpr_pins.stale = self.gpr_pins.volatile;
        self.xmm_pins.stale = self.xmm_pins.volatile;
    }

    /// Whether some pin is only at home.
    pub(crate) fn has_stale_pins(&self) -> bool {
        self.gpr_pins.stale | self.xmm_pins.stale != 0
    }

    /// Emits loads of all stale pins, without taking note: for an edge.
    pub(crate) fn reload_pins_on_edge(&mut self) {
        each(self.gpr_pins.stale, |pin| self.reload_gpr(pin));
        each(self.xmm_pins.stale, |pin| self.reload_xmm(pin));
    }

    /// Emits loads of all pins, which are at home.
    pub(crate) fn reload_all_pins(&mut self) {
        each(self.gpr_pins.volatile | self.gpr_pins.kept, |pin| self.reload_gpr(pin));
        each(self.xmm_pins.volatile, |pin| self.reload_xmm(pin));
    }

    /// Brings all pins to their registers; the flags stay as they are.
    pub(crate) fn reload_pins(&mut self) {
        self.reload_pins_on_edge();
        self.gpr_pins.stale = 0;
        self.xmm_pins.stale = 0;
    }

    /// Control flow meets here, with all pins in their registers.
    pub(crate) fn pins_met(&mut self) {
        self.gpr_pins.met();
        self.xmm_pins.met();
    }
}
