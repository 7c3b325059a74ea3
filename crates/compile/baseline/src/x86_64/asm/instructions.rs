//! Instructions by name: moves, integer arithmetic, vectors.

use super::{Alu, Asm, Fixup, Fused, Shift, Target, VectorShift};
use crate::x86_64::insts::{self, Op};
use crate::x86_64::regs::{Cc, Gpr, Mem, Operand, Rm, Size, Xmm};

impl Asm {
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

    /// `neg` (3), `mul` (4), `imul` (5), `div` (6), `idiv` (7).
    fn group3(&mut self, number: u8, size: Size, rm: Operand) {
        let op = Op { prefix: 0, map: 0, opcode: 0xf7 };
        self.emit(op, size.wide(), false, number, rm);
    }

    /// Changes the sign.
    pub(crate) fn neg(&mut self, size: Size, reg: Gpr) {
        self.group3(3, size, Rm::Reg(reg.0));
    }

    /// Multiplies rax: the product is in rdx:rax.
    pub(crate) fn mul(&mut self, size: Size, reg: Gpr) {
        self.group3(4, size, Rm::Reg(reg.0));
    }

    /// Multiplies rax, signed: the product is in rdx:rax.
    pub(crate) fn imul(&mut self, size: Size, reg: Gpr) {
        self.group3(5, size, Rm::Reg(reg.0));
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

    /// `vfmadd231ps` and its relatives: `sum += left * right` with one rounding, or `-=`.
    pub(crate) fn fused(&mut self, op: Fused, sum: Xmm, left: Xmm, right: Xmm) {
        let inverted = |bit: u8, at: u8| (!bit & 1) << at;
        let second = inverted(sum.0 >> 3, 7) | 0x40 | inverted(right.0 >> 3, 5) | 2;
        let third = u8::from(op.double) << 7 | (!left.0 & 0xf) << 3 | 1;
        let opcode = if op.negated { 0xbc } else { 0xb8 };
        let head = 0xc4 | u64::from(second) << 8 | u64::from(third) << 16 | opcode << 24;
        self.operand(head, 4, sum.0, Rm::Reg(right.0));
    }
}
