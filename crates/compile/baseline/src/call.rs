//! Calls: within the module, of imports, through tables, in place of the caller, and of the
//! runtime.
//!
//! Before a call everything below its arguments leaves the temporaries, and volatile pins are
//! kept home; the arguments go straight from where they are to their registers. Stack arguments
//! and the return area lie at the stack pointer; the callee pops the former, and the caller
//! moves the stack pointer back.

use crate::frame;
use crate::function::{Gen, PARAM_GPRS};
use crate::moves::Moves;
use crate::places::{Place, RESULT_GPRS};
use crate::state::{Loc, Ty, Value};
use crate::x86_64::{Alu, Gpr, Mem, Size, Xmm, insts};
use wasmoor_abi::call::{CallShape, ParamPlace, ResultPlace};
use wasmoor_abi::vmctx::{
    FUNCREF_SLOT, FUNCREF_VMCTX, IMPORT_FUNC_SLOT, IMPORT_FUNC_VMCTX, STORE_CALLER_VMCTX,
    VMCTX_LIBCALLS, VMCTX_STORE,
};
use wasmoor_abi::{FuncIndex, FuncType, Libcall, TypeIndex};
use wasmoor_codegen::{CallMode, RelocationTarget};

/// What is called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Callee {
    /// A function of the module.
    Defined(RelocationTarget),
    /// The imported function whose pair is at this offset of the vmctx.
    Imported(u32),
    /// The function reference in rax.
    Reference,
}

/// An argument of a libcall.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    /// An index of something in the module.
    Index(u32),
    /// A popped value; 32-bit ones are zero-extended.
    Value(Value),
}

impl<'a> Gen<'a> {
    fn callee(&self, func: FuncIndex) -> Callee {
        match self.module.defined_func(func) {
            None => Callee::Imported(self.module.layout.imported_func(func)),
            Some(func) => Callee::Defined(match self.job.calls {
                CallMode::Slots => RelocationTarget::Slot(func),
                CallMode::Direct => RelocationTarget::Func(func),
            }),
        }
    }

    /// `call`.
    pub(crate) fn call(&mut self, func: u32) {
        let func = FuncIndex::from_u32(func);
        self.emit_call(self.callee(func), self.module.functions[func]);
    }

    /// `return_call`.
    pub(crate) fn return_call(&mut self, func: u32) {
        let func = FuncIndex::from_u32(func);
        self.emit_return_call(self.callee(func), self.module.functions[func]);
    }

    /// `call_indirect`.
    pub(crate) fn call_indirect(&mut self, ty: u32, table: u32) {
        self.load_callee(ty, table);
        self.emit_call(Callee::Reference, TypeIndex::from_u32(ty));
    }

    /// `return_call_indirect`.
    pub(crate) fn return_call_indirect(&mut self, ty: u32, table: u32) {
        self.load_callee(ty, table);
        self.emit_return_call(Callee::Reference, TypeIndex::from_u32(ty));
    }

    /// Tells whoever is called which instance calls; uses r11.
    fn announce_caller(&mut self) {
        self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(VMCTX_STORE));
        let field = Mem::new(Gpr::R11, STORE_CALLER_VMCTX.cast_signed());
        self.asm.store(Size::S64, field, self.roles.vmctx);
    }

    pub(crate) fn emit_call(&mut self, callee: Callee, index: TypeIndex) {
        self.mark();
        let ty: &'a FuncType = self.module.signature(index);
        let shape = self.shapes.get(self.module, index);
        let first = self.top(shape.params.len());
        self.spill_temps_below(first);
        self.leave_pins_home();
        self.frame.reserve_outgoing(shape.stack_bytes + shape.area_bytes);
        self.place_args(callee, &shape, first);
        if shape.area_bytes > 0 {
            let area = Mem::new(Gpr::RSP, shape.stack_bytes.cast_signed());
            self.asm.lea(Size::S64, Gpr::RSI, area);
        }
        self.transfer(callee, false);
        self.note_site();
        self.pins_destroyed();
        if shape.stack_bytes > 0 {
            self.asm.alu_imm(Alu::Sub, Size::S64, Gpr::RSP, shape.stack_bytes.cast_signed());
        }
        self.truncate(first);
        self.release_all();
        self.push_results(ty, &shape);
    }

    /// Moves the arguments to the stack and to registers; vmctx and return area come later, since
    /// their registers may still be read here.
    fn place_args(&mut self, callee: Callee, shape: &CallShape, first: usize) {
        for (number, &place) in shape.params.iter().enumerate() {
            if let ParamPlace::Stack(offset) = place {
                let value = self.stack[first + number];
                self.copy_value(value, Mem::new(Gpr::RSP, offset.cast_signed()));
            }
        }
        if !matches!(callee, Callee::Defined(_)) {
            self.announce_caller();
        }
        self.place_values(first, shape.params.len(), |_, number| match shape.params[number] {
            ParamPlace::Gpr(at) => Place::Gpr(PARAM_GPRS[usize::from(at)]),
            ParamPlace::Fpr(at) => Place::Xmm(Xmm(at)),
            ParamPlace::Stack(_) => Place::Memory,
        });
    }

    /// Loads the callee's vmctx, and calls; or only leaves in rax where its slot is.
    fn transfer(&mut self, callee: Callee, prepare_only: bool) {
        let (vmctx, slot) = match callee {
            Callee::Defined(target) => {
                if self.roles.vmctx != Gpr::RDI {
                    self.asm.mov(Size::S64, Gpr::RDI, self.roles.vmctx);
                }
                if !prepare_only {
                    self.asm.call_func(target);
                }
                return;
            }
            Callee::Imported(at) => {
                (self.vmctx_field(at + IMPORT_FUNC_VMCTX), self.vmctx_field(at + IMPORT_FUNC_SLOT))
            }
            Callee::Reference => (
                Mem::new(Gpr::RAX, FUNCREF_VMCTX.cast_signed()),
                Mem::new(Gpr::RAX, FUNCREF_SLOT.cast_signed()),
            ),
        };
        self.asm.mov(Size::S64, Gpr::RDI, vmctx);
        self.asm.mov(Size::S64, Gpr::RAX, slot);
        if !prepare_only {
            self.asm.call_mem(Mem::new(Gpr::RAX, 0));
        }
    }

    /// Pushes what a call left in its places.
    fn push_results(&mut self, ty: &FuncType, shape: &CallShape) {
        // First all registers, so that nothing takes one of them.
        for (&ty, &place) in ty.results.iter().zip(&shape.results) {
            match place {
                ResultPlace::Gpr(at) => {
                    let reg = RESULT_GPRS[usize::from(at)];
                    self.gprs.free &= !reg.bit();
                    if Ty::of(ty) == Ty::I32 && self.is_temp_gpr(reg) {
                        self.asm.mov(Size::S32, reg, reg);
                    }
                }
                ResultPlace::Fpr(at) => self.xmms.free &= !Xmm(at).bit(),
                ResultPlace::Area(_) => {}
            }
        }
        for (&ty, &place) in ty.results.iter().zip(&shape.results) {
            let ty = Ty::of(ty);
            match place {
                ResultPlace::Gpr(at) => {
                    let reg = RESULT_GPRS[usize::from(at)];
                    if self.is_temp_gpr(reg) {
                        self.push_gpr(ty, reg);
                    } else {
                        self.push_stored(Value::new(ty, Loc::Gpr(reg)));
                    }
                }
                ResultPlace::Fpr(at) => self.push_xmm(ty, Xmm(at)),
                ResultPlace::Area(offset) => {
                    let at = (shape.stack_bytes + offset).cast_signed();
                    let from = Mem::new(Gpr::RSP, at);
                    self.asm.xx(crate::state::load_op(as_float(ty)), Xmm::XMM15, from);
                    let disp = self.slot(self.stack.len());
                    let op = crate::state::store_op(as_float(ty));
                    self.asm.xx(op, Xmm::XMM15, frame::at(disp));
                    self.push(Value::new(ty, Loc::Slot(disp)));
                }
            }
        }
    }

    /// Stores a value that is in no temporary to the next slot and pushes it.
    fn push_stored(&mut self, value: Value) {
        let disp = self.slot(self.stack.len());
        self.copy_value(value, frame::at(disp));
        self.push(Value::new(value.ty, Loc::Slot(disp)));
    }

    // Tail calls.

    /// Replaces this function's frame by the callee's: arguments on the stack are put together
    /// at the stack pointer first, then moved to where this function's own were.
    pub(crate) fn emit_return_call(&mut self, callee: Callee, index: TypeIndex) {
        self.mark();
        let shape = self.shapes.get(self.module, index);
        let first = self.top(shape.params.len());
        self.frame.reserve_outgoing(shape.stack_bytes);
        self.place_args(callee, &shape, first);
        if let Some(area) = self.frame.area {
            self.asm.mov(Size::S64, Gpr::RSI, frame::at(area));
        }
        self.transfer(callee, true);
        self.restore_saved();
        self.replace_frame(shape.stack_bytes);
        match callee {
            Callee::Defined(target) => self.asm.jump_func(target),
            Callee::Imported(_) | Callee::Reference => self.asm.jmp_mem(Mem::new(Gpr::RAX, 0)),
        }
        self.reachable = false;
    }

    /// Leaves the frame with `stack_bytes` of arguments from the stack pointer on; uses r10, r11.
    fn replace_frame(&mut self, stack_bytes: u32) {
        let own = self.shape.stack_bytes;
        if own == 0 && stack_bytes == 0 {
            return self.asm.leave();
        }
        // The chain of frame pointers stays whole: a signal may walk it at any instruction.
        self.asm.mov(Size::S64, Gpr::R10, Gpr::RBP);
        self.asm.mov(Size::S64, Gpr::R11, Mem::new(Gpr::RBP, 8));
        self.asm.mov(Size::S64, Gpr::RBP, Mem::new(Gpr::RBP, 0));
        // The destination lies above the source, so the last bytes go first.
        let start = (16 + own).cast_signed() - stack_bytes.cast_signed();
        for at in (0..stack_bytes.cast_signed()).step_by(16).rev() {
            self.asm.xx(insts::MOVUPS, Xmm::XMM15, Mem::new(Gpr::RSP, at));
            self.asm.xx(insts::MOVUPS_MR, Xmm::XMM15, Mem::new(Gpr::R10, start + at));
        }
        self.asm.lea(Size::S64, Gpr::RSP, Mem::new(Gpr::R10, start - 8));
        self.asm.store(Size::S64, Mem::new(Gpr::RSP, 0), Gpr::R11);
    }

    // Libcalls.

    /// Calls the runtime; a result is in rax, which then belongs to the caller.
    pub(crate) fn libcall(&mut self, libcall: Libcall, args: &[Arg]) {
        self.mark();
        self.spill_temps_below(self.stack.len());
        self.leave_pins_home();
        self.place_libcall_args(args);
        if let Some(home) = self.frame.vmctx {
            self.asm.store(Size::S64, frame::at(home), Gpr::RDI);
        } else {
            self.asm.mov(Size::S64, Gpr::RDI, self.roles.vmctx);
        }
        self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(VMCTX_LIBCALLS));
        self.asm.call_mem(Mem::new(Gpr::R11, libcall.table_offset().cast_signed()));
        self.pins_destroyed();
        if let Some(home) = self.frame.vmctx {
            self.asm.mov(Size::S64, Gpr::RDI, frame::at(home));
            self.load_membase();
        }
        self.release_all();
        if libcall.result().is_some() {
            self.take_gpr(Gpr::RAX);
        }
    }

    pub(crate) fn place_libcall_args(&mut self, args: &[Arg]) {
        let mut moves = Moves::default();
        for (&arg, &dst) in args.iter().zip(&PARAM_GPRS[1..]) {
            if let Arg::Value(value) = arg
                && let Some(src) = self.gpr_of(value)
                && src != dst
            {
                moves.gpr(dst, src, value.ty);
            }
        }
        moves.emit(&mut self.asm);
        for (&arg, &dst) in args.iter().zip(&PARAM_GPRS[1..]) {
            match arg {
                Arg::Index(index) => self.asm.mov_imm(dst, u64::from(index)),
                Arg::Value(value) if self.gpr_of(value).is_none() => self.load_home(dst, value),
                Arg::Value(_) => {}
            }
        }
    }

    /// Pushes a libcall's result, cut to 32 bits unless it is an index of a 64-bit thing.
    pub(crate) fn push_libcall_result(&mut self, ty: Ty) {
        if ty == Ty::I32 {
            self.asm.mov(Size::S32, Gpr::RAX, Gpr::RAX);
        }
        self.push_gpr(ty, Gpr::RAX);
    }
}

/// The float type of an integer's size.
pub(crate) const fn as_float(ty: Ty) -> Ty {
    match ty {
        Ty::I32 => Ty::F32,
        Ty::I64 => Ty::F64,
        other => other,
    }
}
