//! The encoder: instructions with typed operands to bytes, labels, fixups and constants.
//!
//! Short jumps inside an operator are patched in place ([`Asm::jcc_short`], [`Asm::bind_short`]);
//! jumps to labels are resolved at the end of the function ([`Asm::finish`]), when all labels and
//! the constants behind the code have their places.

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

    // Moves.

    pub(crate) fn mov(&mut self, size: Size, dst: Gpr, src: impl Into<Rm<Gpr>>) {
        self.gg(insts::MOV, size, dst, src);
    }

    pub(crate) fn store(&mut self, size: Size, mem: Mem, src: Gpr) {
        self.gg(insts::MOV_MR, size, src, mem);
    }

    pub(crate) fn store8(&mut self, mem: Mem, src: Gpr) {
        let op = Op { prefix: 0, map: 0, opcode: 0x88 };
        self.emit(op, false, src.0 >= 4, src.0, Rm::Mem(mem));
    }

    pub(crate) fn store16(&mut self, mem: Mem, src: Gpr) {
        let op = Op { prefix: 0x66, map: 0, opcode: 0x89 };
        self.emit(op, false, false, src.0, Rm::Mem(mem));
    }

    /// Stores a constant, sign-extended to 64 bits if the store is as wide.
    pub(crate) fn store_imm(&mut self, size: Size, mem: Mem, value: i32) {
        let op = Op { prefix: 0, map: 0, opcode: 0xc7 };
        self.emit(op, size.wide(), false, 0, Rm::Mem(mem));
        self.code.put(u64::from(value.cast_unsigned()), 4);
    }

    pub(crate) fn store8_imm(&mut self, mem: Mem, value: u8) {
        let op = Op { prefix: 0, map: 0, opcode: 0xc6 };
        self.emit(op, false, false, 0, Rm::Mem(mem));
        self.code.put(u64::from(value), 1);
    }

    pub(crate) fn store16_imm(&mut self, mem: Mem, value: u16) {
        let op = Op { prefix: 0x66, map: 0, opcode: 0xc7 };
        self.emit(op, false, false, 0, Rm::Mem(mem));
        self.code.put(u64::from(value), 2);
    }

    /// Loads a constant; the flags stay as they are.
    pub(crate) fn mov_imm(&mut self, dst: Gpr, value: u64) {
        if let Ok(value) = u32::try_from(value) {
            let rex = if dst.0 >= 8 { 0x41u64 } else { 0 };
            let (head, count) = match rex {
                0 => (u64::from(0xb8 | dst.0), 1),
                rex => (rex | u64::from(0xb8 | dst.0 & 7) << 8, 2),
            };
            self.code.put(head | u64::from(value) << (8 * count), count + 4);
        } else if let Ok(value) = i32::try_from(value.cast_signed()) {
            let op = Op { prefix: 0, map: 0, opcode: 0xc7 };
            self.emit(op, true, false, 0, Rm::Reg(dst.0));
            self.code.put(u64::from(value.cast_unsigned()), 4);
        } else {
            let rex = 0x48 | u64::from(dst.0 >> 3);
            self.code.put(rex | u64::from(0xb8 | dst.0 & 7) << 8, 2);
            self.code.put(value, 8);
        }
    }

    /// Zero; changes the flags.
    pub(crate) fn zero(&mut self, dst: Gpr) {
        self.gg(insts::XOR, Size::S32, dst, dst);
    }

    /// Zero-extends a byte.
    pub(crate) fn movzx_b(&mut self, dst: Gpr, src: impl Into<Rm<Gpr>>) {
        let op = Op { prefix: 0, map: 1, opcode: 0xb6 };
        let src: Operand = src.into().into();
        let byte = matches!(src, Rm::Reg(reg) if reg >= 4);
        self.emit(op, false, byte, dst.0, src);
    }

    /// Sign-extends a byte.
    pub(crate) fn movsx_b(&mut self, size: Size, dst: Gpr, src: impl Into<Rm<Gpr>>) {
        let op = Op { prefix: 0, map: 1, opcode: 0xbe };
        let src: Operand = src.into().into();
        let byte = matches!(src, Rm::Reg(reg) if reg >= 4);
        self.emit(op, size.wide(), byte, dst.0, src);
    }

    /// Sign-extends 32 bits to 64.
    pub(crate) fn movsxd(&mut self, dst: Gpr, src: impl Into<Rm<Gpr>>) {
        let op = Op { prefix: 0, map: 0, opcode: 0x63 };
        self.emit(op, true, false, dst.0, src.into().into());
    }

    pub(crate) fn lea(&mut self, size: Size, dst: Gpr, mem: Mem) {
        let op = Op { prefix: 0, map: 0, opcode: 0x8d };
        self.emit(op, size.wide(), false, dst.0, Rm::Mem(mem));
    }

    /// `lea` of `left + right` or `left + disp`.
    pub(crate) fn lea_sum(&mut self, size: Size, dst: Gpr, left: Gpr, right: Gpr) {
        self.lea(size, dst, Mem::indexed(left, right, 0));
    }

    pub(crate) fn xchg(&mut self, a: Gpr, b: Gpr) {
        self.gg(insts::XCHG_MR, Size::S64, b, a);
    }

    pub(crate) fn push(&mut self, reg: Gpr) {
        self.push_pop(0x50, reg);
    }

    fn push_pop(&mut self, opcode: u8, reg: Gpr) {
        if reg.0 >= 8 {
            self.code.put(0x41 | u64::from(opcode | reg.0 & 7) << 8, 2);
        } else {
            self.code.put(u64::from(opcode | reg.0), 1);
        }
    }

    // Integer arithmetic.

    pub(crate) fn alu(&mut self, alu: Alu, size: Size, dst: Gpr, src: impl Into<Rm<Gpr>>) {
        self.gg(alu.op(), size, dst, src);
    }

    /// Arithmetic with a constant, sign-extended to 64 bits if the operation is as wide.
    pub(crate) fn alu_imm(&mut self, alu: Alu, size: Size, dst: impl Into<Rm<Gpr>>, value: i32) {
        let dst = dst.into().into();
        if let Ok(value) = i8::try_from(value) {
            let op = Op { prefix: 0, map: 0, opcode: 0x83 };
            self.emit(op, size.wide(), false, alu as u8, dst);
            self.code.put(u64::from(value.cast_unsigned()), 1);
        } else {
            let op = Op { prefix: 0, map: 0, opcode: 0x81 };
            self.emit(op, size.wide(), false, alu as u8, dst);
            self.code.put(u64::from(value.cast_unsigned()), 4);
        }
    }

    /// Arithmetic whose 32-bit constant is filled in later; returns the constant's place.
    pub(crate) fn alu_imm32_at(&mut self, alu: Alu, size: Size, dst: impl Into<Rm<Gpr>>) -> u32 {
        let op = Op { prefix: 0, map: 0, opcode: 0x81 };
        self.emit(op, size.wide(), false, alu as u8, dst.into().into());
        self.code.put(0, 4);
        self.here() - 4
    }

    /// Memory with a register.
    pub(crate) fn cmp_mem(&mut self, size: Size, mem: Mem, reg: Gpr) {
        let op = Op { prefix: 0, map: 0, opcode: 0x39 };
        self.emit(op, size.wide(), false, reg.0, Rm::Mem(mem));
    }

    pub(crate) fn imul_imm(&mut self, size: Size, dst: Gpr, src: impl Into<Rm<Gpr>>, value: i32) {
        let src = src.into().into();
        if let Ok(value) = i8::try_from(value) {
            let op = Op { prefix: 0, map: 0, opcode: 0x6b };
            self.emit(op, size.wide(), false, dst.0, src);
            self.code.put(u64::from(value.cast_unsigned()), 1);
        } else {
            let op = Op { prefix: 0, map: 0, opcode: 0x69 };
            self.emit(op, size.wide(), false, dst.0, src);
            self.code.put(u64::from(value.cast_unsigned()), 4);
        }
    }

    /// `div` (6), `idiv` (7).
    fn group3(&mut self, number: u8, size: Size, rm: Operand) {
        let op = Op { prefix: 0, map: 0, opcode: 0xf7 };
        self.emit(op, size.wide(), false, number, rm);
    }

    /// Divides rdx:rax.
    pub(crate) fn div(&mut self, size: Size, reg: Gpr) {
        self.group3(6, size, Rm::Reg(reg.0));
    }

    /// Divides rdx:rax, signed.
    pub(crate) fn idiv(&mut self, size: Size, reg: Gpr) {
        self.group3(7, size, Rm::Reg(reg.0));
    }

    /// Fills rdx with the sign of rax.
    pub(crate) fn sign_to_rdx(&mut self, size: Size) {
        match size {
            Size::S32 => self.code.put(0x99, 1),
            Size::S64 => self.code.put(0x9948, 2),
        }
    }

    pub(crate) fn shift_imm(&mut self, shift: Shift, size: Size, reg: Gpr, count: u8) {
        let op = Op { prefix: 0, map: 0, opcode: 0xc1 };
        self.emit(op, size.wide(), false, shift as u8, Rm::Reg(reg.0));
        self.code.put(u64::from(count), 1);
    }

    /// Shifts by cl.
    pub(crate) fn shift_cl(&mut self, shift: Shift, size: Size, reg: Gpr) {
        let op = Op { prefix: 0, map: 0, opcode: 0xd3 };
        self.emit(op, size.wide(), false, shift as u8, Rm::Reg(reg.0));
    }

    /// `shlx`, `shrx`, `sarx` of a register or memory (BMI2). Rotations have no such form.
    pub(crate) fn shift_x(&mut self, shift: Shift, size: Size, dst: Gpr, src: Rm<Gpr>, count: Gpr) {
        let pp = match shift {
            Shift::Shl => 1,
            Shift::Sar => 2,
            _ => 3,
        };
        let src: Operand = src.into();
        let (base, index) = match src {
            Rm::Reg(rm) => (rm, 0),
            Rm::Mem(mem) => (mem.base & 0xf, mem.index),
        };
        let inverted = |bit: u8, at: u8| (!bit & 1) << at;
        let second = inverted(dst.0 >> 3, 7) | inverted(index >> 3, 6) | inverted(base >> 3, 5) | 2;
        let third = u8::from(size.wide()) << 7 | (!count.0 & 0xf) << 3 | pp;
        let head = 0xc4 | u64::from(second) << 8 | u64::from(third) << 16 | 0xf7 << 24;
        self.operand(head, 4, dst.0, src);
    }

    pub(crate) fn test(&mut self, size: Size, a: Gpr, b: Gpr) {
        self.gg(insts::TEST_MR, size, b, a);
    }

    /// Inverts one bit.
    pub(crate) fn btc_imm(&mut self, size: Size, reg: Gpr, bit: u8) {
        let op = Op { prefix: 0, map: 1, opcode: 0xba };
        self.emit(op, size.wide(), false, 7, Rm::Reg(reg.0));
        self.code.put(u64::from(bit), 1);
    }

    pub(crate) fn setcc(&mut self, cc: Cc, dst: Gpr) {
        let op = Op { prefix: 0, map: 1, opcode: 0x90 | cc.0 };
        self.emit(op, false, dst.0 >= 4, 0, Rm::Reg(dst.0));
    }

    pub(crate) fn cmov(&mut self, cc: Cc, size: Size, dst: Gpr, src: impl Into<Rm<Gpr>>) {
        let op = Op { prefix: 0, map: 1, opcode: 0x40 | cc.0 };
        self.gg(op, size, dst, src);
    }

    // Vectors.

    /// Copies a whole vector register.
    pub(crate) fn movaps(&mut self, dst: Xmm, src: Xmm) {
        self.xx(insts::MOVAPS, dst, src);
    }

    pub(crate) fn zero_xmm(&mut self, dst: Xmm) {
        self.xx(insts::XORPS, dst, dst);
    }

    /// Sets all bits.
    pub(crate) fn ones_xmm(&mut self, dst: Xmm) {
        self.xx(insts::PCMPEQD, dst, dst);
    }

    pub(crate) fn vector_shift(&mut self, shift: VectorShift, reg: Xmm, count: u8) {
        let op = Op { prefix: 0x66, map: 1, opcode: shift.0 };
        self.emit(op, false, false, shift.1, Rm::Reg(reg.0));
        self.code.put(u64::from(count), 1);
    }

    /// An instruction that reads a 16-byte constant from memory, which is aligned.
    pub(crate) fn xx_wide(&mut self, op: Op, reg: Xmm, value: [u8; 16]) {
        // Masks are often used again at once.
        let at = match self.wide.len().checked_sub(1) {
            Some(last) if self.wide[last] == value => last,
            _ => {
                self.wide.push(value);
                self.wide.len() - 1
            }
        };
        self.xx(op, reg, Mem::rip());
        self.fixups.push(Fixup { at: self.here() - 4, target: Target::Wide(at as u32) });
    }

    /// An instruction that reads a constant of four or eight bytes from memory.
    pub(crate) fn xx_narrow(&mut self, op: Op, reg: Xmm, value: u64) {
        let at = match self.narrow.len().checked_sub(1) {
            Some(last) if self.narrow[last] == value => last,
            _ => {
                self.narrow.push(value);
                self.narrow.len() - 1
            }
        };
        self.xx(op, reg, Mem::rip());
        self.fixups.push(Fixup { at: self.here() - 4, target: Target::Narrow(at as u32) });
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
