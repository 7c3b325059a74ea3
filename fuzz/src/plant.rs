//! Planted miscompiles: one operator does what another should, in one engine only.
//!
//! They prove that the fuzzer would find a real one. A plant replaces every occurrence of an
//! operator in the module that one engine is given; the engine then behaves as if it compiled that
//! operator wrongly.

use crate::interface::is_valid;
use crate::rewrite::{Error, Parts};
use wasm_encoder::{Instruction, MemArg};

/// A miscompile.
#[derive(Clone, Copy)]
pub struct Plant {
    /// What it does, for reports.
    pub name: &'static str,
    replace: Replace,
}

/// Appends the wrong code and answers true, if the operator is the one.
type Replace = for<'a> fn(&Instruction<'a>, &mut Vec<Instruction<'a>>) -> bool;

macro_rules! plants {
    ($( $name:literal: $instruction:pat => [$($wrong:expr),+]; )*) => {
        /// All plants.
        pub const PLANTS: &[Plant] = &[$( Plant { name: $name, replace: |instruction, code| {
            use Instruction as I;
            match instruction {
                $instruction => { code.extend([$($wrong),+]); true }
                _ => false,
            }
        } } ),*];
    };
}

/// The memory argument with another offset, for an access of any width.
fn offset(memarg: &MemArg, change: impl Fn(u64) -> u64) -> MemArg {
    MemArg { offset: change(memarg.offset), align: 0, ..*memarg }
}

plants! {
    "i32.sub adds": I::I32Sub => [I::I32Add];
    "i32.rem_s is unsigned": I::I32RemS => [I::I32RemU];
    "i32.rotl turns right": I::I32Rotl => [I::I32Rotr];
    "i32.lt_s is unsigned": I::I32LtS => [I::I32LtU];
    "i32.extend8_s takes 16 bits": I::I32Extend8S => [I::I32Extend16S];
    "i64.shr_s is unsigned": I::I64ShrS => [I::I64ShrU];
    "i64.div_s is unsigned": I::I64DivS => [I::I64DivU];
    "i64.extend_i32_s is unsigned": I::I64ExtendI32S => [I::I64ExtendI32U];
    "i64.clz counts at the other end": I::I64Clz => [I::I64Ctz];
    "f32.nearest truncates": I::F32Nearest => [I::F32Trunc];
    "f64.min is max": I::F64Min => [I::F64Max];
    "f64.copysign forgets the sign": I::F64Copysign => [I::Drop];
    "i32.trunc_f64_u is signed": I::I32TruncF64U => [I::I32TruncF64S];
    "i64.trunc_sat_f32_s is unsigned": I::I64TruncSatF32S => [I::I64TruncSatF32U];
    "f32.convert_i64_u is signed": I::F32ConvertI64U => [I::F32ConvertI64S];
    "select is the wrong way round": I::Select => [I::I32Eqz, I::Select];
    "br_if is the wrong way round":
        I::BrIf(relative_depth) => [I::I32Eqz, I::BrIf(*relative_depth)];
    "local.tee forgets the local": I::LocalTee(_) => [I::Nop];
    "global.set does nothing": I::GlobalSet(_) => [I::Drop];
    "return_call grows the stack": I::ReturnCall(callee) => [I::Call(*callee), I::Return];
    "i32.load8_s is unsigned": I::I32Load8S(memarg) => [I::I32Load8U(offset(memarg, |it| it))];
    "i64.load forgets its offset": I::I64Load(memarg) => [I::I64Load(offset(memarg, |_| 0))];
    "i32.store16 stores a byte": I::I32Store16(memarg) => [I::I32Store8(offset(memarg, |it| it))];
    "memory.fill does nothing": I::MemoryFill(_) => [I::Drop, I::Drop, I::Drop];
    "memory.copy does nothing": I::MemoryCopy { .. } => [I::Drop, I::Drop, I::Drop];
    "data.drop does nothing": I::DataDrop(_) => [I::Nop];
    "memory.grow fails": I::MemoryGrow(_) => [I::Drop, I::I32Const(-1)];
    "table.set does nothing": I::TableSet(_) => [I::Drop, I::Drop];
    "table.copy does nothing": I::TableCopy { .. } => [I::Drop, I::Drop, I::Drop];
    "ref.is_null is always true": I::RefIsNull => [I::Drop, I::I32Const(1)];
    "i8x16.add_sat_s wraps": I::I8x16AddSatS => [I::I8x16Add];
    "i16x8.q15mulr_sat_s multiplies": I::I16x8Q15MulrSatS => [I::I16x8Mul];
    "i32x4.trunc_sat_f32x4_s is unsigned": I::I32x4TruncSatF32x4S => [I::I32x4TruncSatF32x4U];
    "i64x2.extmul takes the other half":
        I::I64x2ExtMulLowI32x4S => [I::I64x2ExtMulHighI32x4S];
    "f64x2.pmin is min": I::F64x2PMin => [I::F64x2Min];
    "v128.andnot forgets the not": I::V128AndNot => [I::V128And];
    "i8x16.shuffle of another lane":
        I::I8x16Shuffle(lanes) => [I::I8x16Shuffle(lanes.map(|lane| lane ^ 1))];
    "v128.load32_zero keeps 64 bits":
        I::V128Load32Zero(memarg) => [I::V128Load64Zero(offset(memarg, |it| it))];
    "v128.bitselect chooses the other": I::V128Bitselect => [I::V128Not, I::V128Bitselect];
    "call_indirect takes the next element":
        I::CallIndirect { type_index, table_index } => [
            I::I32Const(1), I::I32Add,
            I::CallIndirect { type_index: *type_index, table_index: *table_index }
        ];
}

impl Plant {
    /// The module with the miscompile; `None`: it does not have the operator, or would be invalid
    /// (some plants fit 32-bit memories and tables only).
    ///
    /// # Errors
    /// When the module is malformed.
    pub fn apply(&self, wasm: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut parts = Parts::read(wasm)?;
        let mut found = false;
        for body in &mut parts.bodies {
            body.rewrite(|_, instruction, code| {
                if (self.replace)(&instruction, code) {
                    found = true;
                } else {
                    code.push(instruction);
                }
            })?;
        }
        if !found {
            return Ok(None);
        }
        let planted = parts.finish()?;
        Ok(is_valid(&planted).then_some(planted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plants_replace_their_operator_only() {
        let plant = |name: &str| PLANTS.iter().find(|plant| plant.name == name).unwrap();
        let wasm = wat::parse_str(
            "(module (func (result i32) (i32.sub (i32.mul (i32.const 3) (i32.const 4)) (i32.const 1))))",
        )
        .unwrap();
        let planted = plant("i32.sub adds").apply(&wasm).unwrap().unwrap();
        let text = wasmprinter::print_bytes(&planted).unwrap();
        assert!(text.contains("i32.add") && text.contains("i32.mul") && !text.contains("i32.sub"));
        assert!(plant("f64.min is max").apply(&wasm).unwrap().is_none());
    }
}
