//! Makes a module's behaviour the same on all correct engines.
//!
//! WebAssembly leaves open which NaN arithmetic makes. After every operator that may make one, all
//! NaNs are replaced by one pattern, so that a program that looks at bits of floats (by a
//! reinterpretation, a store, a shuffle) sees the same everywhere. Imports get unique names, since
//! wasmi's linker finds them by name.
//!
//! Generators whose modules keep the bits of NaNs from view do without.

use crate::rewrite::{Body, Error, Parts};
use wasm_encoder::{ImportSection, Instruction, ValType};
use wasmparser::{Operator, Payload};

/// Bits of the NaN that replaces all others.
pub const NAN32: u32 = 0x7fc0_0000;
/// Bits of the NaN that replaces all others.
pub const NAN64: u64 = 0x7ff8_0000_0000_0000;

/// Where an operator may leave a NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// In a 32-bit float.
    F32,
    /// In a 64-bit float.
    F64,
    /// In a vector of 32-bit floats.
    F32x4,
    /// In a vector of 64-bit floats.
    F64x2,
}

impl Shape {
    /// The type of a local that holds such a value.
    #[must_use]
    pub const fn local(self) -> ValType {
        match self {
            Shape::F32 => ValType::F32,
            Shape::F64 => ValType::F64,
            Shape::F32x4 | Shape::F64x2 => ValType::V128,
        }
    }

    /// Appends code that replaces the NaNs of the value on top of the stack, with a local of type
    /// [`Shape::local`] for scratch.
    pub fn canonicalize(self, scratch: u32, to: &mut Vec<Instruction<'_>>) {
        let lanes32 = u128::from(NAN32) * 0x0000_0001_0000_0001_0000_0001_0000_0001;
        let lanes64 = u128::from(NAN64) * 0x0000_0000_0000_0001_0000_0000_0000_0001;
        let (nan, is_number, choose) = match self {
            Shape::F32 => (
                Instruction::F32Const(f32::from_bits(NAN32).into()),
                Instruction::F32Eq,
                Instruction::Select,
            ),
            Shape::F64 => (
                Instruction::F64Const(f64::from_bits(NAN64).into()),
                Instruction::F64Eq,
                Instruction::Select,
            ),
            Shape::F32x4 => (
                Instruction::V128Const(lanes32 as i128),
                Instruction::F32x4Eq,
                Instruction::V128Bitselect,
            ),
            Shape::F64x2 => (
                Instruction::V128Const(lanes64 as i128),
                Instruction::F64x2Eq,
                Instruction::V128Bitselect,
            ),
        };
        let get = Instruction::LocalGet(scratch);
        to.extend([Instruction::LocalTee(scratch), nan, get.clone(), get, is_number, choose]);
    }
}

/// Where the operator may leave a NaN whose bits the specification does not fix.
#[must_use]
pub fn makes_nan(operator: &Operator<'_>) -> Option<Shape> {
    use Operator as O;
    Some(match operator {
        O::F32Ceil | O::F32Floor | O::F32Trunc | O::F32Nearest | O::F32Sqrt => Shape::F32,
        O::F32Add | O::F32Sub | O::F32Mul | O::F32Div | O::F32Min | O::F32Max => Shape::F32,
        O::F32DemoteF64 => Shape::F32,
        O::F64Ceil | O::F64Floor | O::F64Trunc | O::F64Nearest | O::F64Sqrt => Shape::F64,
        O::F64Add | O::F64Sub | O::F64Mul | O::F64Div | O::F64Min | O::F64Max => Shape::F64,
        O::F64PromoteF32 => Shape::F64,
        O::F32x4Ceil | O::F32x4Floor | O::F32x4Trunc | O::F32x4Nearest => Shape::F32x4,
        O::F32x4Sqrt | O::F32x4Add | O::F32x4Sub | O::F32x4Mul | O::F32x4Div => Shape::F32x4,
        O::F32x4Min | O::F32x4Max | O::F32x4DemoteF64x2Zero => Shape::F32x4,
        O::F64x2Ceil | O::F64x2Floor | O::F64x2Trunc | O::F64x2Nearest => Shape::F64x2,
        O::F64x2Sqrt | O::F64x2Add | O::F64x2Sub | O::F64x2Mul | O::F64x2Div => Shape::F64x2,
        O::F64x2Min | O::F64x2Max | O::F64x2PromoteLowF32x4 => Shape::F64x2,
        _ => return None,
    })
}

/// The module with one NaN and unique import names.
///
/// # Errors
/// When it is malformed.
pub fn normalize(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut parts = Parts::read(wasm)?;
    parts.imports = rename_imports(wasm)?;
    for body in &mut parts.bodies {
        canonicalize_nans(body)?;
    }
    parts.finish()
}

fn rename_imports(wasm: &[u8]) -> Result<ImportSection, Error> {
    use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
    let mut imports = ImportSection::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let Payload::ImportSection(section) = payload? else { continue };
        for (number, import) in section.into_imports().enumerate() {
            let ty = RoundtripReencoder.entity_type(import?.ty)?;
            imports.import("host", &number.to_string(), ty);
        }
    }
    Ok(imports)
}

fn canonicalize_nans(body: &mut Body<'_>) -> Result<(), Error> {
    let shapes: Vec<Shape> = body.operators.iter().filter_map(makes_nan).collect();
    if shapes.is_empty() {
        return Ok(());
    }
    let scratch = [ValType::F32, ValType::F64, ValType::V128]
        .map(|ty| shapes.iter().any(|shape| shape.local() == ty).then(|| (ty, body.add_local(ty))));
    body.rewrite(|operator, instruction, code| {
        code.push(instruction);
        if let Some(shape) = makes_nan(operator)
            && let Some((_, local)) = scratch.iter().flatten().find(|(ty, _)| *ty == shape.local())
        {
            shape.canonicalize(*local, code);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nans_of_all_shapes_become_one() {
        for (ty, code) in [
            ("f32", "f32.add (local.get 0) (local.get 0)"),
            ("f64", "f64.sqrt (local.get 0)"),
            ("v128", "f32x4.min (local.get 0) (local.get 0)"),
            ("v128", "f64x2.promote_low_f32x4 (local.get 0)"),
        ] {
            let text = format!("(module (func (param {ty}) (result {ty}) ({code})))");
            let normal = normalize(&wat::parse_str(text).unwrap()).unwrap();
            assert!(crate::interface::is_valid(&normal), "{code}");
            let text = wasmprinter::print_bytes(&normal).unwrap();
            assert!(text.contains("select") && text.contains(".eq"), "{text}");
        }
    }

    #[test]
    fn imports_get_names_of_their_own() {
        let text = r#"(module (import "a" "b" (func)) (import "a" "b" (global i32)))"#;
        let normal = normalize(&wat::parse_str(text).unwrap()).unwrap();
        let text = wasmprinter::print_bytes(&normal).unwrap();
        assert!(text.contains(r#""host" "0""#) && text.contains(r#""host" "1""#), "{text}");
    }
}
