//! The frame of a function: its layout, its prologue and its epilogue.

use crate::frame;
use crate::function::{Gen, PARAM_GPRS};
use crate::locals::{Local, NO_PIN, each};
use crate::moves::Moves;
use crate::pins;
use crate::state::{Ty, load_op, store_op};
use crate::x86_64::{Alu, Cc, Gpr, Mem, Size, Xmm, insts};
use std::sync::Arc;
use wasmoor_abi::TrapCode;
use wasmoor_abi::call::ParamPlace;
use wasmoor_abi::vmctx::{STORE_STACK_LIMIT, VMCTX_STORE};

/// has room for it and for the handling of the trap.
const EAGER_FRAME_BYTES_MAX: u32 = 32 << 10;
/// Leaf functions with smaller frames do not check the stack limit, for the same reason.
const UNCHECKED_FRAME_BYTES_MAX: u32 = 1 << 10;
/// Homes are zeroed by a loop from this size on.
const ZERO_LOOP_BYTES_MIN: u32 = 256;

impl Gen<'_> {
    /// Gives everything in the frame its place; returns the offset of the first home of a
    /// declared local.
    pub(crate) fn lay_out_frame(&mut self) -> i32 {
        self.frame.fixed = 8 * self.roles.saved.count_ones();
        if self.leaf {
            self.frame.vmctx = Some(self.frame.reserve(8));
        } else if self.module.facts(self.job.func).tries > 0 {
            self.frame.caught_vmctx = Some(self.frame.reserve(8));
        }
        if self.shape.area_bytes > 0 {
            self.frame.area = Some(self.frame.reserve(8));
        }
        let params = self.shape.params.len();
        for i in 0..params {
            self.locals[i].home = match self.shape.params[i] {
                ParamPlace::Stack(offset) => offset.cast_signed() + 16,
                _ => self.frame.reserve(home_bytes(self.locals[i].ty)),
            };
        }
        let first_home = -self.frame.fixed.cast_signed();
        for local in &mut self.locals[params..] {
            local.home = self.frame.reserve(home_bytes(local.ty));
        }
        // Homes are zeroed 16 bytes at a time.
        let zeroed = (-self.frame.fixed.cast_signed()).abs_diff(first_home);
        self.frame.fixed += zeroed.next_multiple_of(16) - zeroed;
        for index in 0..self.locals.len() {
            self.register_pin(index as u32);
        }
        first_home
    }

    fn register_pin(&mut self, index: u32) {
        let Local { pin, ty, .. } = self.locals[index as usize];
        if pin == NO_PIN {
            return;
        }
        let pins = if ty.is_int() { &mut self.gpr_pins } else { &mut self.xmm_pins };
        pins.local[usize::from(pin)] = index;
        if !ty.is_int() || pins::is_volatile(pin) {
            pins.volatile |= 1 << pin;
        } else {
            pins.kept |= 1 << pin;
        }
    }

    // Prologue and epilogue.

    pub(crate) fn prologue(&mut self, stack_height_max: u32, first_home: i32) -> Prologue {
        self.mark_none();
        self.asm.push(Gpr::RBP);
        self.asm.mov(Size::S64, Gpr::RBP, Gpr::RSP);
        let slots = stack_height_max.saturating_mul(self.frame.slot_bytes);
        let prologue = self.take_frame(self.frame.fixed.saturating_add(slots));
        let mut offset = 0;
        each(self.roles.saved, |reg| {
            offset -= 8;
            self.asm.store(Size::S64, frame::at(offset), Gpr(reg));
        });
        if self.roles.vmctx != Gpr::RDI {
            self.asm.mov(Size::S64, self.roles.vmctx, Gpr::RDI);
        }
        if let Some(home) = self.frame.caught_vmctx {
            self.asm.store(Size::S64, frame::at(home), Gpr::RDI);
        }
        if let Some(area) = self.frame.area {
            self.asm.store(Size::S64, frame::at(area), Gpr::RSI);
        }
        self.place_params();
        self.zero_locals(first_home);
        self.load_membase();
        // Leaf functions too: polls tell where time is spent.
        self.poll();
        prologue
    }

    /// Checks the stack limit and moves the stack pointer.
    fn take_frame(&mut self, bytes_estimated: u32) -> Prologue {
        if self.leaf && bytes_estimated <= UNCHECKED_FRAME_BYTES_MAX {
            let at = self.asm.alu_imm32_at(Alu::Sub, Size::S64, Gpr::RSP);
            return Prologue { frame_bytes_at: at, negative: false };
        }
        self.asm.mov(Size::S64, Gpr::R11, Mem::new(Gpr::RDI, VMCTX_STORE.cast_signed()));
        let limit = Mem::new(Gpr::R11, STORE_STACK_LIMIT.cast_signed());
        if bytes_estimated <= EAGER_FRAME_BYTES_MAX {
            let at = self.asm.alu_imm32_at(Alu::Sub, Size::S64, Gpr::RSP);
            self.asm.alu(Alu::Cmp, Size::S64, Gpr::RSP, limit);
            self.trap_if(Cc::B, TrapCode::StackOverflow);
            return Prologue { frame_bytes_at: at, negative: false };
        }
        // The distance is patched; any that needs four bytes will do.
        self.asm.lea(Size::S64, Gpr::RAX, Mem::new(Gpr::RSP, i32::MIN));
        let at = self.asm.here() - 4;
        self.asm.alu(Alu::Cmp, Size::S64, Gpr::RAX, limit);
        self.trap_if(Cc::B, TrapCode::StackOverflow);
        self.asm.mov(Size::S64, Gpr::RSP, Gpr::RAX);
        Prologue { frame_bytes_at: at, negative: true }
    }

    /// Brings parameters to their pins or homes.
    fn place_params(&mut self) {
        let shape = Arc::clone(&self.shape);
        let (mut gprs, mut xmms) = (Moves::default(), Moves::default());
        for (index, &place) in shape.params.iter().enumerate() {
            let Local { home, ty, pin, .. } = self.locals[index];
            match place {
                ParamPlace::Gpr(number) => {
                    let reg = PARAM_GPRS[usize::from(number)];
                    if pin == NO_PIN {
                        self.asm.store(ty.size(), frame::at(home), reg);
                    } else {
                        gprs.gpr(Gpr(pin), reg, ty);
                    }
                }
                ParamPlace::Fpr(number) => {
                    if pin == NO_PIN {
                        self.asm.xx(store_op(ty), Xmm(number), frame::at(home));
                    } else {
                        xmms.xmm(Xmm(pin), Xmm(number));
                    }
                }
                ParamPlace::Stack(_) => {}
            }
        }
        gprs.emit(&mut self.asm);
        xmms.emit(&mut self.asm);
        for (index, &place) in shape.params.iter().enumerate() {
            let Local { home, ty, pin, .. } = self.locals[index];
            if pin == NO_PIN || !matches!(place, ParamPlace::Stack(_)) {
                continue;
            }
            if ty.is_int() {
                self.asm.mov(ty.size(), Gpr(pin), frame::at(home));
            } else {
                self.asm.xx(load_op(ty), Xmm(pin), frame::at(home));
            }
        }
    }

    /// Declared locals start as zero: pins, and the homes from `first_home` down.
    fn zero_locals(&mut self, first_home: i32) {
        let params = self.shape.params.len();
        let mut homes = false;
        for index in params..self.locals.len() {
            let Local { ty, pin, .. } = self.locals[index];
            match (pin, ty.is_int()) {
                (NO_PIN, _) => homes = true,
                (pin, true) => self.asm.zero(Gpr(pin)),
                (pin, false) => self.asm.zero_xmm(Xmm(pin)),
            }
        }
        let end = -self.frame.fixed.cast_signed();
        let bytes = end.abs_diff(first_home);
        if !homes {
            return;
        }
        self.asm.zero_xmm(Xmm::XMM15);
        if bytes < ZERO_LOOP_BYTES_MIN {
            for at in (end..first_home).step_by(16) {
                self.asm.xx(insts::MOVUPS_MR, Xmm::XMM15, frame::at(at));
            }
            return;
        }
        self.asm.lea(Size::S64, Gpr::R11, frame::at(end));
        self.asm.lea(Size::S64, Gpr::RAX, frame::at(first_home));
        let again = self.asm.new_label();
        self.asm.bind(again);
        self.asm.xx(insts::MOVUPS_MR, Xmm::XMM15, Mem::new(Gpr::R11, 0));
        self.asm.alu_imm(Alu::Add, Size::S64, Gpr::R11, 16);
        self.asm.alu(Alu::Cmp, Size::S64, Gpr::R11, Gpr::RAX);
        self.asm.jcc(Cc::B, again);
    }

    /// Restores callee-saved registers from the frame.
    pub(crate) fn restore_saved(&mut self) {
        let mut offset = 0;
        each(self.roles.saved, |reg| {
            offset -= 8;
            self.asm.mov(Size::S64, Gpr(reg), frame::at(offset));
        });
    }

    /// Leaves the function; results are in their places.
    pub(crate) fn emit_epilogue(&mut self) {
        self.restore_saved();
        self.asm.leave();
        // At most a thousand parameters of 16 bytes.
        self.asm.ret(self.shape.stack_bytes as u16);
    }
}

/// Where the frame's size is filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prologue {
    /// Place of the 32-bit constant.
    pub(crate) frame_bytes_at: u32,
    /// Whether the constant is added to the stack pointer, not subtracted.
    pub(crate) negative: bool,
}

const fn home_bytes(ty: Ty) -> u32 {
    if matches!(ty, Ty::V128) { 16 } else { 8 }
}
