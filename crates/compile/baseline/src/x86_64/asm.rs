//! The encoder: instructions with typed operands to bytes, labels, fixups and constants.
//!
//! Short jumps inside an operator are patched in place ([`Asm::jcc_short`], [`Asm::bind_short`]);
//! jumps to labels are resolved at the end of the function ([`Asm::finish`]), when all labels and
//! the constants behind the code have their places.

mod atomic;
mod instructions;

pub(crate) use atomic::Atomic;

use super::buffer::Buffer;
use super::insts::{self, Op};
use super::regs::{Cc, Gpr, Mem, Operand, Rm, Size, Xmm};
use wasmoor_abi::TrapCode;
use wasmoor_abi::tables::TrapEntry;
use wasmoor_abi::trap::FaultKind;
use wasmoor_codegen::{Relocation, RelocationKind, RelocationTarget};

/// A place that jumps lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(u32);

/// A jump within an operator that waits for its target: offset of its one-byte distance.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short(u32);

/// A label without a place.
const UNBOUND: u32 = u32::MAX;

/// A 32-bit field that depends on a label or constant.
#[derive(Clone, Copy, Debug)]
struct Fixup {
    at: u32,
    target: Target,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    /// Distance from the end of the field to a label.
    Label(Label),
    /// Distance from the given place, the start of a jump table, to a label.
    Entry { label: Label, table: u32 },
    /// Distance from the end of the field to a 16-byte constant.
    Wide(u32),
    /// Distance from the end of the field to an 8-byte constant.
    Narrow(u32),
}

/// Arithmetic with an immediate: the number that the encoding uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alu {
    Add = 0,
    Or = 1,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

impl Alu {
    pub(crate) const fn op(self) -> Op {
        match self {
            Alu::Add => insts::ADD,
            Alu::Or => insts::OR,
            Alu::And => insts::AND,
            Alu::Sub => insts::SUB,
            Alu::Xor => insts::XOR,
            Alu::Cmp => insts::CMP,
        }
    }
}

/// Shifts and rotations: the number that the encoding uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shift {
    Rotl = 0,
    Rotr = 1,
    Shl = 4,
    Shr = 5,
    Sar = 7,
}

/// Vector shifts by an immediate: opcode and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VectorShift(u8, u8);

#[allow(missing_docs, reason = "the names are the architecture's")]
impl VectorShift {
    pub(crate) const PSRLW: VectorShift = VectorShift(0x71, 2);
    pub(crate) const PSLLW: VectorShift = VectorShift(0x71, 6);
    pub(crate) const PSRLD: VectorShift = VectorShift(0x72, 2);
    pub(crate) const PSRAD: VectorShift = VectorShift(0x72, 4);
    pub(crate) const PSLLD: VectorShift = VectorShift(0x72, 6);
    pub(crate) const PSRLQ: VectorShift = VectorShift(0x73, 2);
    pub(crate) const PSLLQ: VectorShift = VectorShift(0x73, 6);
}

/// A multiplication and addition with one rounding, on all lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fused {
    /// Lanes are `f64`.
    pub(crate) double: bool,
    /// The product is subtracted.
    pub(crate) negated: bool,
}

/// Code under construction; see the head of this module.
#[derive(Debug, Default)]
pub(crate) struct Asm {
    code: Buffer,
    labels: Vec<u32>,
    fixups: Vec<Fixup>,
    wide: Vec<[u8; 16]>,
    narrow: Vec<u64>,
    pub(crate) traps: Vec<TrapEntry>,
    pub(crate) relocations: Vec<Relocation>,
}

impl Asm {
    /// Forgets the last function, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.code.clear();
        self.labels.clear();
        self.fixups.clear();
        self.wide.clear();
        self.narrow.clear();
        self.traps.clear();
        self.relocations.clear();
    }

    /// Offset of the next instruction.
    pub(crate) fn here(&self) -> u32 {
        self.code.len()
    }

    // Labels.

    pub(crate) fn new_label(&mut self) -> Label {
        self.labels.push(UNBOUND);
        Label(self.labels.len() as u32 - 1)
    }

    /// Puts the label here.
    pub(crate) fn bind(&mut self, label: Label) {
        self.labels[label.0 as usize] = self.here();
    }

    /// Where a label is bound.
    pub(crate) fn position(&self, label: Label) -> u32 {
        self.labels[label.0 as usize]
    }

    /// Resolves what waits for labels and constants, which are laid out behind the code.
    pub(crate) fn finish(&mut self) -> &[u8] {
        while !self.here().is_multiple_of(16) {
            self.code.put(0xcc, 1);
        }
        let wide = self.here();
        for i in 0..self.wide.len() {
            let (low, high) = self.wide[i].split_at(8);
            for half in [low, high] {
                let bytes = half.first_chunk().copied().unwrap_or_default();
                self.code.put(u64::from_le_bytes(bytes), 8);
            }
        }
        let narrow = self.here();
        for i in 0..self.narrow.len() {
            self.code.put(self.narrow[i], 8);
        }
        for fixup in &self.fixups {
            let end = fixup.at + 4;
            let (from, to) = match fixup.target {
                Target::Label(label) => (end, self.labels[label.0 as usize]),
                Target::Entry { label, table } => (table, self.labels[label.0 as usize]),
                Target::Wide(at) => (end, wide + at * 16),
                Target::Narrow(at) => (end, narrow + at * 8),
            };
            debug_assert!(to != UNBOUND, "a label that is jumped to has a place");
            self.code.patch32(fixup.at, to.wrapping_sub(from));
        }
        self.code.written()
    }

    /// Overwrites four bytes of what was emitted.
    pub(crate) fn patch32(&mut self, at: u32, value: u32) {
        self.code.patch32(at, value);
    }

    fn await_label(&mut self, label: Label) {
        self.fixups.push(Fixup { at: self.here(), target: Target::Label(label) });
        self.code.put(0, 4);
    }

    /// Distance from a place to a bound label, if it is near enough for a short jump.
    fn short_distance(&self, label: Label, end: u32) -> Option<i8> {
        let to = self.labels[label.0 as usize];
        if to == UNBOUND {
            return None;
        }
        i8::try_from(i64::from(to) - i64::from(end)).ok()
    }

    // Traps and relocations.

    /// The next instruction may fault.
    pub(crate) fn may_fault(&mut self, kind: FaultKind) {
        self.traps.push(TrapEntry { code_offset: self.here(), kind });
    }

    /// Traps.
    pub(crate) fn trap(&mut self, code: TrapCode) {
        self.may_fault(FaultKind::Trap(code));
        self.code.put(0x0b0f, 2);
    }

    /// `call`, `jmp` or a load through a function's slot, or its direct form; the 32-bit field
    /// comes next.
    fn relocate(&mut self, target: RelocationTarget) {
        let offset = self.here();
        let kind = RelocationKind::PcRelative32;
        self.relocations.push(Relocation { offset, kind, target, addend: -4 });
        self.code.put(0, 4);
    }

    /// Calls a function of the module.
    pub(crate) fn call_func(&mut self, target: RelocationTarget) {
        match target {
            RelocationTarget::Slot(_) => self.code.put(0x15ff, 2),
            RelocationTarget::Func(_) => self.code.put(0xe8, 1),
        }
        self.relocate(target);
    }

    /// Jumps to a function of the module.
    pub(crate) fn jump_func(&mut self, target: RelocationTarget) {
        match target {
            RelocationTarget::Slot(_) => self.code.put(0x25ff, 2),
            RelocationTarget::Func(_) => self.code.put(0xe9, 1),
        }
        self.relocate(target);
    }

    // The one place that encodes operands.

    #[inline]
    fn emit(&mut self, op: Op, wide: bool, byte: bool, reg: u8, rm: Operand) {
        let (base, index) = match rm {
            Rm::Reg(rm) => (rm, 0),
            Rm::Mem(mem) => (mem.base & 0xf, mem.index),
        };
        let rex = 0x40
            | u64::from(wide) << 3
            | u64::from(reg >> 3) << 2
            | u64::from(index >> 3) << 1
            | u64::from(base >> 3);
        let mut head = 0u64;
        let mut count = 0;
        if op.prefix != 0 {
            head = u64::from(op.prefix);
            count = 1;
        }
        if rex != 0x40 || byte {
            head |= rex << (8 * count);
            count += 1;
        }
        const ESCAPES: [(u64, usize); 4] = [(0, 0), (0x0f, 1), (0x380f, 2), (0x3a0f, 2)];
        let (escape, escape_len) = ESCAPES[usize::from(op.map & 3)];
        head |= escape << (8 * count);
        count += escape_len;
        head |= u64::from(op.opcode) << (8 * count);
        count += 1;
        self.operand(head, count, reg, rm);
    }

    /// Appends the ModRM byte and what follows it.
    #[inline]
    fn operand(&mut self, mut head: u64, mut count: usize, reg: u8, rm: Operand) {
        let reg = (reg & 7) << 3;
        let mem = match rm {
            Rm::Reg(rm) => {
                head |= u64::from(0xc0 | reg | rm & 7) << (8 * count);
                return self.code.put(head, count + 1);
            }
            Rm::Mem(mem) => mem,
        };
        if mem.base == Mem::RIP {
            head |= u64::from(reg | 5) << (8 * count);
            self.code.put(head, count + 1);
            return self.code.put(u64::from(mem.disp.cast_unsigned()), 4);
        }
        let low = mem.base & 7;
        let (mode, disp_len) = match mem.disp {
            0 if low != 5 => (0, 0),
            -128..=127 => (0x40, 1),
            _ => (0x80, 4),
        };
        if mem.index != Mem::NO_INDEX || low == 4 {
            let sib = mem.scale << 6 | (mem.index & 7) << 3 | low;
            head |= u64::from(mode | reg | 4) << (8 * count);
            head |= u64::from(sib) << (8 * (count + 1));
            count += 2;
        } else {
            head |= u64::from(mode | reg | low) << (8 * count);
            count += 1;
        }
        self.code.put(head, count);
        if disp_len > 0 {
            self.code.put(u64::from(mem.disp.cast_unsigned()), disp_len);
        }
    }

    // Instructions of the list, by the kinds of their operands.

    /// General register, general register or memory.
    #[inline]
    pub(crate) fn gg(&mut self, op: Op, size: Size, reg: Gpr, rm: impl Into<Rm<Gpr>>) {
        self.emit(op, size.wide(), false, reg.0, rm.into().into());
    }

    /// Vector register, vector register or memory.
    #[inline]
    pub(crate) fn xx(&mut self, op: Op, reg: Xmm, rm: impl Into<Rm<Xmm>>) {
        self.emit(op, false, false, reg.0, rm.into().into());
    }

    /// Vector register, vector register or memory, one byte.
    pub(crate) fn xxi(&mut self, op: Op, reg: Xmm, rm: impl Into<Rm<Xmm>>, byte: u8) {
        self.xx(op, reg, rm);
        self.code.put(u64::from(byte), 1);
    }

    /// Vector register, general register or memory.
    pub(crate) fn xg(&mut self, op: Op, size: Size, reg: Xmm, rm: impl Into<Rm<Gpr>>) {
        self.emit(op, size.wide(), false, reg.0, rm.into().into());
    }

    /// General register, vector register.
    pub(crate) fn gx(&mut self, op: Op, size: Size, reg: Gpr, rm: Xmm) {
        self.emit(op, size.wide(), false, reg.0, Rm::Reg(rm.0));
    }

    /// General register or memory, vector register.
    pub(crate) fn gx_mr(&mut self, op: Op, size: Size, rm: impl Into<Rm<Gpr>>, reg: Xmm) {
        self.emit(op, size.wide(), false, reg.0, rm.into().into());
    }

    /// Vector register, general register or memory, one byte.
    pub(crate) fn xgi(&mut self, op: Op, size: Size, reg: Xmm, rm: impl Into<Rm<Gpr>>, byte: u8) {
        self.xg(op, size, reg, rm);
        self.code.put(u64::from(byte), 1);
    }

    /// General register or memory, vector register, one byte.
    pub(crate) fn gxi_mr(
        &mut self,
        op: Op,
        size: Size,
        rm: impl Into<Rm<Gpr>>,
        reg: Xmm,
        byte: u8,
    ) {
        self.gx_mr(op, size, rm, reg);
        self.code.put(u64::from(byte), 1);
    }

    // Control.

    pub(crate) fn jmp(&mut self, label: Label) {
        if let Some(distance) = self.short_distance(label, self.here() + 2) {
            return self.code.put(0xeb | u64::from(distance.cast_unsigned()) << 8, 2);
        }
        self.code.put(0xe9, 1);
        self.await_label(label);
    }

    pub(crate) fn jcc(&mut self, cc: Cc, label: Label) {
        if let Some(distance) = self.short_distance(label, self.here() + 2) {
            let opcode = u64::from(0x70 | cc.0);
            return self.code.put(opcode | u64::from(distance.cast_unsigned()) << 8, 2);
        }
        self.code.put(0x0f | u64::from(0x80 | cc.0) << 8, 2);
        self.await_label(label);
    }

    /// A jump of at most 127 bytes to what [`Asm::bind_short`] marks.
    pub(crate) fn jcc_short(&mut self, cc: Cc) -> Short {
        self.code.put(u64::from(0x70 | cc.0), 2);
        Short(self.here() - 1)
    }

    /// As [`Asm::jcc_short`], always.
    pub(crate) fn jmp_short(&mut self) -> Short {
        self.code.put(0xeb, 2);
        Short(self.here() - 1)
    }

    pub(crate) fn bind_short(&mut self, short: Short) {
        let distance = self.here() - (short.0 + 1);
        debug_assert!(distance <= 127, "a short jump of {distance} bytes");
        self.code.patch8(short.0, distance as u8);
    }

    /// The address of a label.
    pub(crate) fn lea_label(&mut self, dst: Gpr, label: Label) {
        self.lea(Size::S64, dst, Mem::rip());
        self.fixups.push(Fixup { at: self.here() - 4, target: Target::Label(label) });
    }

    /// One entry of the jump table that starts at offset `table`: distance of the label from it.
    pub(crate) fn table_entry(&mut self, table: u32, label: Label) {
        self.fixups.push(Fixup { at: self.here(), target: Target::Entry { label, table } });
        self.code.put(0, 4);
    }

    pub(crate) fn jmp_reg(&mut self, reg: Gpr) {
        self.group5(4, Rm::Reg(reg.0));
    }

    pub(crate) fn jmp_mem(&mut self, mem: Mem) {
        self.group5(4, Rm::Mem(mem));
    }

    pub(crate) fn call_mem(&mut self, mem: Mem) {
        self.group5(2, Rm::Mem(mem));
    }

    fn group5(&mut self, number: u8, rm: Operand) {
        let op = Op { prefix: 0, map: 0, opcode: 0xff };
        self.emit(op, false, false, number, rm);
    }

    pub(crate) fn leave(&mut self) {
        self.code.put(0xc9, 1);
    }

    /// Returns and pops that many bytes of arguments.
    pub(crate) fn ret(&mut self, bytes: u16) {
        match bytes {
            0 => self.code.put(0xc3, 1),
            bytes => self.code.put(0xc2 | u64::from(bytes) << 8, 3),
        }
    }
}
