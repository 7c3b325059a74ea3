//! Code that hardly ever runs, emitted behind the function's ordinary code: traps, and calls of
//! the runtime that keep every register.

use crate::function::Gen;
use crate::locals::each;
use crate::x86_64::{Alu, Cc, Gpr, Label, Mem, Size, Xmm, insts};
use wasmoor_abi::Libcall;
use wasmoor_abi::TrapCode;
use wasmoor_abi::vmctx::VMCTX_LIBCALLS;

/// A piece of cold code with the operator it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cold {
    label: Label,
    offset: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Trap(TrapCode),
    Truncation(Truncation),
    LazyCell(LazyCell),
}

/// A conversion to an integer whose fast way failed: the value is a NaN, or too large, or (where
/// `minimum` is given) exactly the least integer, which is the fast way's result too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truncation {
    pub(crate) compare: insts::Op,
    pub(crate) value: Xmm,
    /// Bits of the least integer as a float, and where to go on.
    pub(crate) minimum: Option<(u64, Label)>,
}

/// A function table's cell, read to rax, that holds no function reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LazyCell {
    pub(crate) table: u32,
    pub(crate) index: Gpr,
    /// What happens with null; without a trap it becomes 0.
    pub(crate) null: Option<TrapCode>,
    pub(crate) next: Label,
    pub(crate) live_gprs: u16,
    pub(crate) live_xmms: u16,
}

impl Gen<'_> {
    /// Traps if the condition holds.
    pub(crate) fn trap_if(&mut self, cc: Cc, code: TrapCode) {
        let label = self.trap_label(code);
        self.asm.jcc(cc, label);
    }

    /// A place that traps on behalf of the current operator.
    pub(crate) fn trap_label(&mut self, code: TrapCode) -> Label {
        match self.colds.last() {
            Some(Cold { label, offset, kind: Kind::Trap(last) })
                if *last == code && *offset == self.offset =>
            {
                *label
            }
            _ => self.cold(Kind::Trap(code)),
        }
    }

    pub(crate) fn cold_truncation(&mut self, truncation: Truncation) -> Label {
        self.cold(Kind::Truncation(truncation))
    }

    pub(crate) fn cold_lazy_cell(&mut self, cell: LazyCell) -> Label {
        self.cold(Kind::LazyCell(cell))
    }

    fn cold(&mut self, kind: Kind) -> Label {
        let label = self.asm.new_label();
        self.colds.push(Cold { label, offset: self.offset, kind });
        label
    }

    /// Emits all cold code.
    pub(crate) fn emit_colds(&mut self) {
        for at in 0..self.colds.len() {
            let Cold { label, offset, kind } = self.colds[at];
            self.mark_offset(offset);
            self.asm.bind(label);
            match kind {
                Kind::Trap(code) => self.asm.trap(code),
                Kind::Truncation(truncation) => self.emit_truncation(truncation),
                Kind::LazyCell(cell) => self.emit_lazy_cell(cell),
            }
        }
    }

    fn emit_truncation(&mut self, truncation: Truncation) {
        let Truncation { compare, value, minimum } = truncation;
        self.asm.xx(compare, value, value);
        let nan = self.asm.jcc_short(Cc::P);
        if let Some((bits, next)) = minimum {
            self.asm.xx_narrow(compare, value, bits);
            self.asm.jcc(Cc::E, next);
        }
        self.asm.trap(TrapCode::IntegerOverflow);
        self.asm.bind_short(nan);
        self.asm.trap(TrapCode::InvalidConversionToInteger);
    }

    /// Asks the runtime for the element and leaves all registers but rax as they were.
    fn emit_lazy_cell(&mut self, cell: LazyCell) {
        let null = self.asm.new_label();
        self.asm.test(Size::S64, Gpr::RAX, Gpr::RAX);
        self.asm.jcc(Cc::NE, null);
        let gprs = cell.live_gprs & !Gpr::RAX.bit();
        let bytes = self.save_live(gprs, cell.live_xmms);
        // The index first: it may be in any of these.
        self.asm.mov(Size::S64, Gpr::RDX, cell.index);
        if self.roles.vmctx != Gpr::RDI {
            self.asm.mov(Size::S64, Gpr::RDI, self.roles.vmctx);
        }
        self.asm.mov_imm(Gpr::RSI, u64::from(cell.table));
        self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(VMCTX_LIBCALLS));
        let entry = Libcall::table_get_lazy.table_offset().cast_signed();
        self.asm.call_mem(Mem::new(Gpr::R11, entry));
        self.restore_live(gprs, cell.live_xmms, bytes);
        if cell.null.is_some() {
            self.asm.test(Size::S64, Gpr::RAX, Gpr::RAX);
            self.asm.jcc(Cc::E, null);
        }
        self.asm.jmp(cell.next);
        self.asm.bind(null);
        match cell.null {
            Some(code) => self.asm.trap(code),
            None => {
                self.asm.zero(Gpr::RAX);
                self.asm.jmp(cell.next);
            }
        }
    }

    /// Stores registers below the stack pointer, which stays a multiple of 16.
    fn save_live(&mut self, gprs: u16, xmms: u16) -> u32 {
        let gpr_bytes = (8 * gprs.count_ones()).next_multiple_of(16);
        let bytes = gpr_bytes + 16 * xmms.count_ones();
        if bytes > 0 {
            self.asm.alu_imm(Alu::Sub, Size::S64, Gpr::RSP, bytes.cast_signed());
        }
        let mut at = 0;
        each(gprs, |reg| {
            self.asm.store(Size::S64, Mem::new(Gpr::RSP, at), Gpr(reg));
            at += 8;
        });
        let mut at = gpr_bytes.cast_signed();
        each(xmms, |reg| {
            self.asm.xx(insts::MOVUPS_MR, Xmm(reg), Mem::new(Gpr::RSP, at));
            at += 16;
        });
        bytes
    }

    fn restore_live(&mut self, gprs: u16, xmms: u16, bytes: u32) {
        let mut at = 0;
        each(gprs, |reg| {
            self.asm.mov(Size::S64, Gpr(reg), Mem::new(Gpr::RSP, at));
            at += 8;
        });
        let mut at = (8 * gprs.count_ones()).next_multiple_of(16).cast_signed();
        each(xmms, |reg| {
            self.asm.xx(insts::MOVUPS, Xmm(reg), Mem::new(Gpr::RSP, at));
            at += 16;
        });
        if bytes > 0 {
            self.asm.alu_imm(Alu::Add, Size::S64, Gpr::RSP, bytes.cast_signed());
        }
    }
}
