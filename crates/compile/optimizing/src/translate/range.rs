//! How large integers can be, as far as the instructions that make them tell.
//!
//! Addresses of C programs with 64-bit pointers are often a constant plus a scaled 32-bit number.
//! Looking a few instructions back costs little and shows that such an address needs no check.

use super::Translator;
use cranelift_codegen::ir::{InstructionData, Opcode, Type, Value, ValueDef};

/// Instructions that are looked at behind each other.
const DEPTH_MAX: u32 = 5;

impl Translator<'_> {
    /// A number that the value, taken as unsigned, does not exceed.
    pub(super) fn upper_bound(&self, value: Value) -> u64 {
        self.bound(value, DEPTH_MAX)
    }

    /// The value as `x + c`, if that is how it is made.
    pub(super) fn as_sum(&self, value: Value) -> Option<(Value, i64)> {
        let InstructionData::Binary { opcode: Opcode::Iadd, args: [a, b] } = *self.maker(value)?
        else {
            return None;
        };
        match self.as_constant(b) {
            Some(c) => Some((a, c)),
            None => self.as_constant(a).map(|c| (b, c)),
        }
    }

    fn bound(&self, value: Value, depth: u32) -> u64 {
        let all = largest(self.type_of(value));
        let (Some(data), true) = (self.maker(value), depth > 0) else { return all };
        let of = |value| self.bound(value, depth - 1);
        let bound = match *data {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
                imm.bits().cast_unsigned() & all
            }
            InstructionData::Unary { opcode: Opcode::Uextend, arg } => of(arg),
            InstructionData::IntCompare { .. } | InstructionData::FloatCompare { .. } => 1,
            InstructionData::Load { opcode, .. } => match opcode {
                Opcode::Uload8 => u8::MAX.into(),
                Opcode::Uload16 => u16::MAX.into(),
                Opcode::Uload32 => u32::MAX.into(),
                _ => all,
            },
            InstructionData::Ternary { opcode: Opcode::Select, args: [_, a, b] } => {
                of(a).max(of(b))
            }
            InstructionData::Binary { opcode, args: [a, b] } => {
                let amount = || self.as_constant(b).map(|c| c as u32 & (all.count_ones() - 1));
                match opcode {
                    Opcode::Band => of(a).min(of(b)),
                    Opcode::Bor | Opcode::Bxor => all_ones(of(a) | of(b)),
                    Opcode::Ushr => amount().map_or(all, |amount| of(a) >> amount),
                    Opcode::Ishl => {
                        amount().and_then(|amount| of(a).checked_mul(1 << amount)).unwrap_or(all)
                    }
                    Opcode::Iadd => of(a).checked_add(of(b)).unwrap_or(all),
                    Opcode::Imul => of(a).checked_mul(of(b)).unwrap_or(all),
                    _ => all,
                }
            }
            _ => all,
        };
        // What exceeds the type has wrapped around.
        if bound > all { all } else { bound }
    }

    fn as_constant(&self, value: Value) -> Option<i64> {
        match *self.maker(value)? {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
            _ => None,
        }
    }

    /// The instruction that the value is the only result of.
    fn maker(&self, value: Value) -> Option<&InstructionData> {
        let dfg = &self.builder.func.dfg;
        match dfg.value_def(value) {
            ValueDef::Result(inst, 0) => Some(&dfg.insts[inst]),
            _ => None,
        }
    }
}

/// The largest integer of a type.
fn largest(ty: Type) -> u64 {
    match ty.bits() {
        0 | 64.. => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

/// The number with all bits set below its highest.
fn all_ones(number: u64) -> u64 {
    u64::MAX.checked_shr(number.leading_zeros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cranelift_codegen::ir::types;

    #[test]
    fn ends_of_types_and_of_masks() {
        assert_eq!(
            [types::I8, types::I32, types::I64].map(largest),
            [255, u32::MAX.into(), u64::MAX]
        );
        assert_eq!([0, 1, 5, 1 << 63].map(all_ones), [0, 1, 7, u64::MAX]);
    }
}
