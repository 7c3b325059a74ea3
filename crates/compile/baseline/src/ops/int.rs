//! Integer arithmetic and comparisons.

use crate::function::Gen;
use crate::state::{Cond, Loc, Ty, Value};
use crate::x86_64::{Alu, Cc, Gpr, Mem, Rm, Shift, Size, insts};
use wasmoor_abi::TrapCode;
use wasmoor_abi::trap::FaultKind;

/// A division and what of it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Division {
    Signed,
    Unsigned,
    SignedRemainder,
    UnsignedRemainder,
}

/// Opcodes that consume a condition from the flags.
const IF: u8 = 0x04;
const BR_IF: u8 = 0x0d;
const SELECT: u8 = 0x1b;
const TYPED_SELECT: u8 = 0x1c;
const I32_EQZ: u8 = 0x45;

/// Bits that a sum or the like has at most, as far as those of the operands tell.
fn bits_of_binary(alu: Alu, left: Value, right: Value) -> u8 {
    match alu {
        Alu::And => left.bits().min(right.bits()),
        Alu::Or | Alu::Xor => left.bits().max(right.bits()),
        Alu::Add => left.bits().max(right.bits()) + 1,
        _ => u8::MAX,
    }
}

impl Gen<'_> {
    /// Pops two values; constants of commutative operators come second, and so does what is no
    /// temporary.
    fn pop2_commuted(&mut self) -> (Value, Value) {
        let right = self.pop();
        let left = self.pop();
        let swap = left.constant().is_some()
            || matches!(right.loc, Loc::Gpr(_)) && !matches!(left.loc, Loc::Gpr(_));
        if swap && right.constant().is_none() { (right, left) } else { (left, right) }
    }

    fn pop2(&mut self) -> (Value, Value) {
        let right = self.pop();
        (self.pop(), right)
    }

    /// Where a result with this left operand goes: to the local that is set next, else to the
    /// left operand's temporary, else to a new one. `right` must stay readable.
    fn destination(&mut self, left: Value, right: Value) -> Gpr {
        if let Some(pin) = self.foreseen_gpr(self.at + 1)
            && !self.reads_pin(right, pin.0)
        {
            return pin;
        }
        match left.loc {
            Loc::Gpr(reg) if self.is_temp_gpr(reg) => reg,
            _ => self.alloc_gpr(),
        }
    }

    /// Gives back the left operand's register unless it became the result's.
    fn release_left(&mut self, left: Value, dst: Gpr) {
        if left.loc != Loc::Gpr(dst) {
            self.release(left);
        }
    }

    /// `add`, `sub`, `and`, `or`, `xor`.
    pub(crate) fn int_binary(&mut self, alu: Alu, ty: Ty) {
        let (left, right) = if alu == Alu::Sub { self.pop2() } else { self.pop2_commuted() };
        let size = ty.size();
        let bits = bits_of_binary(alu, left, right);
        let dst = self.destination(left, right);
        if matches!(alu, Alu::Add | Alu::Sub) && self.add_by_lea(alu, size, dst, left, right) {
            self.release(right);
            self.release_left(left, dst);
            return self.push(Value::new(ty, Loc::Gpr(dst)).below(bits));
        }
        self.load_gpr(dst, left);
        self.release_left(left, dst);
        match right.imm32() {
            Some(imm) => self.asm.alu_imm(alu, size, dst, imm),
            None => {
                let operand = self.use_rm_gpr(right);
                self.asm.alu(alu, size, dst, operand);
                self.release_rm_gpr(operand);
            }
        }
        self.push(Value::new(ty, Loc::Gpr(dst)).below(bits));
    }

    /// An addition of something in a register whose result goes elsewhere: one instruction.
    fn add_by_lea(&mut self, alu: Alu, size: Size, dst: Gpr, left: Value, right: Value) -> bool {
        let Some(base) = self.gpr_of(left) else { return false };
        if base == dst {
            return false;
        }
        match (right.imm32(), self.gpr_of(right)) {
            (Some(imm), _) => {
                let disp = if alu == Alu::Sub { imm.checked_neg() } else { Some(imm) };
                let Some(disp) = disp else { return false };
                self.asm.lea(size, dst, Mem::new(base, disp));
            }
            (None, Some(index)) if alu == Alu::Add => self.asm.lea_sum(size, dst, base, index),
            _ => return false,
        }
        true
    }

    /// `mul`.
    pub(crate) fn multiply(&mut self, ty: Ty) {
        let (left, right) = self.pop2_commuted();
        let size = ty.size();
        let dst = self.destination(left, right);
        if let Some(imm) = right.imm32() {
            self.multiply_imm(size, dst, left, imm);
            self.release_left(left, dst);
            return self.push_gpr(ty, dst);
        }
        self.load_gpr(dst, left);
        self.release_left(left, dst);
        let operand = self.use_rm_gpr(right);
        self.asm.gg(insts::IMUL, size, dst, operand);
        self.release_rm_gpr(operand);
        self.push_gpr(ty, dst);
    }

    fn multiply_imm(&mut self, size: Size, dst: Gpr, left: Value, imm: i32) {
        if imm > 0 && imm.count_ones() == 1 {
            self.load_gpr(dst, left);
            let count = imm.trailing_zeros() as u8;
            if count > 0 {
                self.asm.shift_imm(Shift::Shl, size, dst, count);
            }
            return;
        }
        if left.constant().is_some() {
            self.load_gpr(dst, left);
            return self.asm.imul_imm(size, dst, dst, imm);
        }
        let operand = self.use_rm_gpr(left);
        self.asm.imul_imm(size, dst, operand, imm);
    }

    /// `shl`, `shr_s`, `shr_u`, `rotl`, `rotr`.
    pub(crate) fn shift(&mut self, shift: Shift, ty: Ty) {
        let (left, right) = self.pop2();
        let size = ty.size();
        if let Some(count) = right.constant() {
            let dst = self.destination(left, right);
            self.load_gpr(dst, left);
            self.release_left(left, dst);
            let count = count as u8 & (size.bits() - 1);
            if count > 0 {
                self.asm.shift_imm(shift, size, dst, count);
            }
            let bits = match shift {
                Shift::Shl => left.bits().saturating_add(count),
                Shift::Shr => left.bits().saturating_sub(count),
                _ => u8::MAX,
            };
            return self.push(Value::new(ty, Loc::Gpr(dst)).below(bits));
        }
        if self.cpu.bmi2 && !matches!(shift, Shift::Rotl | Shift::Rotr) {
            let count = self.use_gpr(right);
            let right = Value::new(right.ty, Loc::Gpr(count));
            let operand = match left.constant() {
                Some(_) => Rm::Reg(self.own_gpr(left)),
                None => self.use_rm_gpr(left),
            };
            let dst = match self.foreseen_gpr(self.at + 1) {
                Some(pin) => pin,
                None => match operand {
                    Rm::Reg(reg) if self.is_temp_gpr(reg) => reg,
                    _ => self.alloc_gpr(),
                },
            };
            self.asm.shift_x(shift, size, dst, operand, count);
            self.release(right);
            if operand != Rm::Reg(dst) {
                self.release_rm_gpr(operand);
            }
            return self.push_gpr(ty, dst);
        }
        let dst = self.shift_by_cl(shift, size, left, right);
        self.push_gpr(ty, dst);
    }

    /// A shift whose count goes through cl.
    fn shift_by_cl(&mut self, shift: Shift, size: Size, left: Value, right: Value) -> Gpr {
        // The count first: r11 keeps it while registers move about.
        self.load_gpr(Gpr::R11, right);
        self.release(right);
        let mut dst = self.own_gpr(left);
        if dst == Gpr::RCX {
            dst = self.alloc_gpr();
            self.asm.mov(size, dst, Gpr::RCX);
            self.release_gpr(Gpr::RCX);
        }
        self.take_gpr(Gpr::RCX);
        self.asm.mov(Size::S32, Gpr::RCX, Gpr::R11);
        self.asm.shift_cl(shift, size, dst);
        self.release_gpr(Gpr::RCX);
        dst
    }

    // Division.

    pub(crate) fn divide(&mut self, division: Division, ty: Ty) {
        self.mark();
        let (left, right) = self.pop2();
        if let Some(divisor) = right.constant()
            && self.divide_by_power(division, ty, left, divisor)
        {
            return;
        }
        let divisor = self.divisor(right, ty);
        self.dividend_to_rax(left);
        self.take_rdx();
        self.check_divisor(division, ty, divisor, right.constant());
        self.release_gpr(divisor);
        let (result, other) = match division {
            Division::Signed | Division::Unsigned => (Gpr::RAX, Gpr::RDX),
            Division::SignedRemainder | Division::UnsignedRemainder => (Gpr::RDX, Gpr::RAX),
        };
        self.release_gpr(other);
        self.push_gpr(ty, result);
    }

    /// Unsigned divisions by powers of two.
    fn divide_by_power(&mut self, division: Division, ty: Ty, left: Value, divisor: u64) -> bool {
        if !divisor.is_power_of_two() {
            return false;
        }
        let size = ty.size();
        match division {
            Division::Unsigned => {
                let dst = self.own_gpr(left);
                let count = divisor.trailing_zeros() as u8;
                if count > 0 {
                    self.asm.shift_imm(Shift::Shr, size, dst, count);
                }
                self.push_gpr(ty, dst);
            }
            Division::UnsignedRemainder => {
                let Ok(mask) = i32::try_from(divisor - 1) else { return false };
                let dst = self.own_gpr(left);
                self.asm.alu_imm(Alu::And, size, dst, mask);
                self.push_gpr(ty, dst);
            }
            Division::Signed | Division::SignedRemainder => return false,
        }
        true
    }

    /// The divisor in a register that the division leaves alone.
    pub(super) fn divisor(&mut self, right: Value, ty: Ty) -> Gpr {
        let reg = self.use_gpr(right);
        if reg != Gpr::RAX && reg != Gpr::RDX {
            return reg;
        }
        self.asm.mov(ty.size(), Gpr::R11, reg);
        self.release_gpr(reg);
        Gpr::R11
    }

    /// Moves the dividend to rax, which then belongs to the operator.
    pub(super) fn dividend_to_rax(&mut self, left: Value) {
        if left.loc == Loc::Gpr(Gpr::RAX) {
            return;
        }
        self.take_gpr(Gpr::RAX);
        self.load_gpr(Gpr::RAX, left);
        self.release(left);
    }

    pub(super) fn take_rdx(&mut self) {
        self.take_gpr(Gpr::RDX);
    }

    /// Divides, after checks that the constant divisor does not make superfluous.
    fn check_divisor(&mut self, division: Division, ty: Ty, divisor: Gpr, constant: Option<u64>) {
        let size = ty.size();
        let minus_one = if ty == Ty::I32 { u64::from(u32::MAX) } else { u64::MAX };
        match division {
            Division::Unsigned | Division::UnsignedRemainder => {
                self.asm.zero(Gpr::RDX);
                self.may_fault(TrapCode::IntegerDivideByZero);
                self.asm.div(size, divisor);
            }
            Division::Signed => {
                if constant.is_none_or(|constant| constant == 0) {
                    self.asm.test(size, divisor, divisor);
                    self.trap_if(Cc::E, TrapCode::IntegerDivideByZero);
                }
                self.asm.sign_to_rdx(size);
                self.may_fault(TrapCode::IntegerOverflow);
                self.asm.idiv(size, divisor);
            }
            Division::SignedRemainder => {
                let done = if constant.is_none_or(|constant| constant == minus_one) {
                    // The remainder is 0, but the division itself may overflow.
                    self.asm.zero(Gpr::RDX);
                    self.asm.alu_imm(Alu::Cmp, size, divisor, -1);
                    Some(self.asm.jcc_short(Cc::E))
                } else {
                    None
                };
                self.asm.sign_to_rdx(size);
                self.may_fault(TrapCode::IntegerDivideByZero);
                self.asm.idiv(size, divisor);
                if let Some(done) = done {
                    self.asm.bind_short(done);
                }
            }
        }
    }

    fn may_fault(&mut self, code: TrapCode) {
        self.asm.may_fault(FaultKind::Trap(code));
    }

    // Comparisons.

    pub(crate) fn compare(&mut self, cc: Cc, ty: Ty) {
        let right = self.pop();
        let left = self.pop();
        let size = ty.size();
        let (left, right, cc) = if left.constant().is_some() && right.constant().is_none() {
            (right, left, cc.swap())
        } else {
            (left, right, cc)
        };
        match right.imm32() {
            Some(0) if matches!(cc, Cc::E | Cc::NE) && self.gpr_of(left).is_some() => {
                let reg = self.use_gpr(left);
                self.asm.test(size, reg, reg);
                self.release_gpr(reg);
            }
            Some(imm) => {
                let operand = self.use_rm_gpr(left);
                self.asm.alu_imm(Alu::Cmp, size, operand, imm);
                self.release_rm_gpr(operand);
            }
            None => {
                let reg = self.use_gpr(left);
                let operand = self.use_rm_gpr(right);
                self.asm.alu(Alu::Cmp, size, reg, operand);
                self.release_gpr(reg);
                self.release_rm_gpr(operand);
            }
        }
        self.push_condition(Cond::Is(cc));
    }

    /// `eqz` and `ref.is_null`.
    pub(crate) fn is_zero(&mut self, ty: Ty) {
        let value = self.pop();
        if let Loc::Cond(cond) = value.loc {
            return self.push_condition(cond.negate());
        }
        match value.loc {
            Loc::Slot(disp) => {
                self.asm.alu_imm(Alu::Cmp, ty.size(), Mem::new(Gpr::RBP, disp), 0);
            }
            _ => {
                let reg = self.use_gpr(value);
                self.asm.test(ty.size(), reg, reg);
                self.release_gpr(reg);
            }
        }
        self.push_condition(Cond::Is(Cc::E));
    }

    /// Pushes a condition: as it is if the next operator uses it at once, else as 0 or 1.
    pub(crate) fn push_condition(&mut self, cond: Cond) {
        if let Some(IF | BR_IF | SELECT | TYPED_SELECT | I32_EQZ) = self.next_opcode() {
            return self.push(Value::new(Ty::I32, Loc::Cond(cond)));
        }
        let dst = match self.foreseen_gpr(self.after_opcode()) {
            Some(pin) => pin,
            None => self.alloc_gpr(),
        };
        self.materialize(cond, dst);
        self.push_gpr(Ty::I32, dst);
    }

    // Operators of one integer.

    /// A result computed from one operand by one instruction that reads it once.
    fn int_unary(&mut self, ty: Ty, emit: impl FnOnce(&mut crate::x86_64::Asm, Gpr, Rm<Gpr>)) {
        let value = self.pop();
        let operand = self.use_rm_gpr(value);
        let dst = match (self.foreseen_gpr(self.at + 1), operand) {
            (Some(pin), _) => pin,
            (None, Rm::Reg(reg)) if self.is_temp_gpr(reg) => reg,
            _ => self.alloc_gpr(),
        };
        emit(&mut self.asm, dst, operand);
        if operand != Rm::Reg(dst) {
            self.release_rm_gpr(operand);
        }
        self.push_gpr(ty, dst);
    }

    pub(crate) fn count_leading_zeros(&mut self, ty: Ty) {
        let size = ty.size();
        if self.cpu.lzcnt {
            return self.int_unary(ty, |asm, dst, src| asm.gg(insts::LZCNT, size, dst, src));
        }
        let bits = i32::from(size.bits());
        let value = self.pop();
        let reg = self.own_gpr(value);
        self.asm.mov_imm(Gpr::R11, (2 * bits - 1) as u64);
        self.asm.gg(insts::BSR, size, reg, reg);
        self.asm.cmov(Cc::E, size, reg, Gpr::R11);
        self.asm.alu_imm(Alu::Xor, size, reg, bits - 1);
        self.push_gpr(ty, reg);
    }

    pub(crate) fn count_trailing_zeros(&mut self, ty: Ty) {
        let size = ty.size();
        if self.cpu.bmi1 {
            return self.int_unary(ty, |asm, dst, src| asm.gg(insts::TZCNT, size, dst, src));
        }
        let value = self.pop();
        let reg = self.own_gpr(value);
        self.asm.mov_imm(Gpr::R11, u64::from(size.bits()));
        self.asm.gg(insts::BSF, size, reg, reg);
        self.asm.cmov(Cc::E, size, reg, Gpr::R11);
        self.push_gpr(ty, reg);
    }

    pub(crate) fn count_ones(&mut self, ty: Ty) {
        let size = ty.size();
        if self.cpu.popcnt {
            return self.int_unary(ty, |asm, dst, src| asm.gg(insts::POPCNT, size, dst, src));
        }
        let value = self.pop();
        let reg = self.own_gpr(value);
        let mask = |pattern: u64| if ty == Ty::I32 { pattern & 0xffff_ffff } else { pattern };
        let other = self.alloc_gpr();
        let asm = &mut self.asm;
        // Sums of neighbours: of bits, of pairs, of nibbles, then of bytes by a multiplication.
        asm.mov(size, other, reg);
        asm.shift_imm(Shift::Shr, size, other, 1);
        asm.mov_imm(Gpr::R11, mask(0x5555_5555_5555_5555));
        asm.alu(Alu::And, size, other, Gpr::R11);
        asm.alu(Alu::Sub, size, reg, other);
        asm.mov_imm(Gpr::R11, mask(0x3333_3333_3333_3333));
        asm.mov(size, other, reg);
        asm.shift_imm(Shift::Shr, size, other, 2);
        asm.alu(Alu::And, size, other, Gpr::R11);
        asm.alu(Alu::And, size, reg, Gpr::R11);
        asm.alu(Alu::Add, size, reg, other);
        asm.mov(size, other, reg);
        asm.shift_imm(Shift::Shr, size, other, 4);
        asm.alu(Alu::Add, size, reg, other);
        asm.mov_imm(Gpr::R11, mask(0x0f0f_0f0f_0f0f_0f0f));
        asm.alu(Alu::And, size, reg, Gpr::R11);
        asm.mov_imm(Gpr::R11, mask(0x0101_0101_0101_0101));
        asm.gg(insts::IMUL, size, reg, Gpr::R11);
        asm.shift_imm(Shift::Shr, size, reg, size.bits() - 8);
        self.release_gpr(other);
        self.push_gpr(ty, reg);
    }

    /// Sign-extends the low byte.
    pub(crate) fn extend8(&mut self, ty: Ty) {
        self.int_unary(ty, |asm, dst, src| asm.movsx_b(ty.size(), dst, src));
    }

    /// Sign-extends the low 16 bits.
    pub(crate) fn extend16(&mut self, ty: Ty) {
        self.int_unary(ty, |asm, dst, src| {
            asm.gg(insts::MOVSX_W, ty.size(), dst, src);
        });
    }

    /// Sign-extends 32 bits.
    pub(crate) fn extend32(&mut self) {
        self.int_unary(Ty::I64, |asm, dst, src| asm.movsxd(dst, src));
    }

    /// The low 32 bits.
    pub(crate) fn wrap(&mut self) {
        self.int_unary(Ty::I32, |asm, dst, src| asm.mov(Size::S32, dst, src));
    }

    /// Zero-extends 32 bits: registers hold them so already.
    pub(crate) fn extend_unsigned(&mut self) {
        let value = self.pop();
        match value.loc {
            Loc::Gpr(_) | Loc::Const(_) => {
                self.push(Value::new(Ty::I64, value.loc).below(value.bits()));
            }
            _ => {
                let reg = self.own_gpr(value);
                self.push(Value::new(Ty::I64, Loc::Gpr(reg)).below(value.bits()));
            }
        }
    }
}
