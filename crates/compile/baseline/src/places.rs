//! Bringing stack entries to places that something else dictates: arguments, results, labels.
//!
//! Nothing here changes the state of the stack or of pins: the moves may be on an edge of their
//! own.

use crate::frame;
use crate::function::Gen;
use crate::locals::NO_PIN;
use crate::moves::Moves;
use crate::state::{Loc, Ty, Value, load_op, store_op};
use crate::x86_64::{Gpr, Mem, Size, Xmm, insts};
use std::sync::Arc;
use wasmoor_abi::call::ResultPlace;

/// General registers of results.
pub(crate) const RESULT_GPRS: [Gpr; 8] =
    [Gpr::RAX, Gpr::RCX, Gpr::RDX, Gpr::RSI, Gpr::RDI, Gpr::R8, Gpr::R9, Gpr::R10];

/// Where a value must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Gpr(Gpr),
    Xmm(Xmm),
    /// Memory, which is another's business.
    Memory,
}

impl Place {
    /// Where a first result travels.
    pub(crate) const fn first(ty: Ty) -> Place {
        if ty.is_int() { Place::Gpr(Gpr::RAX) } else { Place::Xmm(Xmm::XMM0) }
    }
}

/// Where a value is right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Gpr(Gpr),
    Xmm(Xmm),
    Mem(Mem),
    Const(u64),
}

impl Gen<'_> {
    fn source(&self, value: Value) -> Source {
        match value.loc {
            Loc::Gpr(reg) => Source::Gpr(reg),
            Loc::Xmm(reg) => Source::Xmm(reg),
            Loc::Const(bits) => Source::Const(bits),
            Loc::Slot(disp) => Source::Mem(frame::at(disp)),
            Loc::Local(index) => {
                let local = self.locals[index as usize];
                let pins = if local.ty.is_int() { &self.gpr_pins } else { &self.xmm_pins };
                if local.pin == NO_PIN || pins.stale & 1 << local.pin != 0 {
                    Source::Mem(frame::at(local.home))
                } else if local.ty.is_int() {
                    Source::Gpr(Gpr(local.pin))
                } else {
                    Source::Xmm(Xmm(local.pin))
                }
            }
            // Conditions are consumed at once by what can use them.
            Loc::Cond(_) => Source::Const(0),
        }
    }

    /// The register that an integer is in, if it is in one.
    pub(crate) fn gpr_of(&self, value: Value) -> Option<Gpr> {
        match self.source(value) {
            Source::Gpr(reg) => Some(reg),
            _ => None,
        }
    }

    /// Loads an integer that is in no register.
    pub(crate) fn load_home(&mut self, dst: Gpr, value: Value) {
        match self.source(value) {
            Source::Mem(mem) => self.asm.mov(value.ty.size(), dst, mem),
            Source::Const(bits) => self.asm.mov_imm(dst, bits),
            Source::Gpr(_) | Source::Xmm(_) => self.bug("a value at home"),
        }
    }

    /// Stores a value; uses xmm15 only.
    pub(crate) fn copy_value(&mut self, value: Value, mem: Mem) {
        let ty = value.ty;
        if ty.is_int()
            && let Some(imm) = value.imm32()
        {
            return self.asm.store_imm(ty.size(), mem, imm);
        }
        // The same bits as a float, for what passes through a vector register.
        let bits = match ty {
            Ty::I32 => Ty::F32,
            Ty::I64 => Ty::F64,
            other => other,
        };
        let through = match self.source(value) {
            Source::Gpr(reg) => return self.asm.store(ty.size(), mem, reg),
            Source::Xmm(reg) => reg,
            Source::Mem(from) => {
                self.asm.xx(load_op(bits), Xmm::XMM15, from);
                Xmm::XMM15
            }
            Source::Const(value) => {
                self.asm.xx_narrow(insts::MOVSD, Xmm::XMM15, value);
                Xmm::XMM15
            }
        };
        self.asm.xx(store_op(bits), through, mem);
    }

    /// Moves the `count` entries from a position on to registers, all at once. The function gives
    /// the place of a value from its type and number.
    pub(crate) fn place_values(
        &mut self,
        first: usize,
        count: usize,
        place: impl Fn(Ty, usize) -> Place,
    ) {
        let (mut gprs, mut xmms) = (Moves::default(), Moves::default());
        let mut later = false;
        for number in 0..count {
            let value = self.stack[first + number];
            match (place(value.ty, number), self.source(value)) {
                (Place::Gpr(dst), Source::Gpr(src)) if dst != src => gprs.gpr(dst, src, value.ty),
                (Place::Xmm(dst), Source::Xmm(src)) if dst != src => xmms.xmm(dst, src),
                (Place::Memory, _) => {}
                (_, Source::Mem(_) | Source::Const(_)) => later = true,
                _ => {}
            }
        }
        gprs.emit(&mut self.asm);
        xmms.emit(&mut self.asm);
        if !later {
            return;
        }
        for number in 0..count {
            let value = self.stack[first + number];
            match (place(value.ty, number), self.source(value)) {
                (Place::Gpr(dst), Source::Mem(mem)) => self.asm.mov(value.ty.size(), dst, mem),
                (Place::Gpr(dst), Source::Const(bits)) => self.asm.mov_imm(dst, bits),
                (Place::Xmm(dst), Source::Mem(mem)) => self.asm.xx(load_op(value.ty), dst, mem),
                (Place::Xmm(dst), Source::Const(0)) => self.asm.zero_xmm(dst),
                (Place::Xmm(dst), Source::Const(bits)) => {
                    self.asm.xx_narrow(load_op(value.ty), dst, bits);
                }
                _ => {}
            }
        }
    }

    /// Moves the function's results, topmost on the stack, to where its caller finds them.
    pub(crate) fn place_results(&mut self) {
        let shape = Arc::clone(&self.shape);
        let count = shape.results.len();
        let first = self.top(count);
        if let Some(area) = self.frame.area {
            self.asm.mov(Size::S64, Gpr::R11, frame::at(area));
            for (number, &place) in shape.results.iter().enumerate() {
                if let ResultPlace::Area(offset) = place {
                    let value = self.stack[first + number];
                    self.copy_value(value, Mem::new(Gpr::R11, offset.cast_signed()));
                }
            }
        }
        self.place_values(first, count, |_, number| match shape.results[number] {
            ResultPlace::Gpr(at) => Place::Gpr(RESULT_GPRS[usize::from(at)]),
            ResultPlace::Fpr(at) => Place::Xmm(Xmm(at)),
            ResultPlace::Area(_) => Place::Memory,
        });
    }
}
