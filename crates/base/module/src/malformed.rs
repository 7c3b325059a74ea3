//! Tells malformed modules from invalid ones.
//!
//! The validator reports both kinds alike. So when it has refused a module, this pass decodes the
//! whole module once more without validating it: if that fails, the module is malformed and this
//! is the error; if not, it is invalid for the validator's reason. Only refused modules pay.

use crate::features::{Feature, Features};
use wasmoor_abi::FuncIndex;
use wasmparser::{
    Error, FromReader, FunctionBody, MemArg, Operator, OperatorsReader, Parser, Payload,
    SectionLimited, TypeRef, WasmFeatures,
};

/// A decoding error, and the function whose body it is in.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) offset: u64,
    pub(crate) reason: String,
    pub(crate) func: Option<FuncIndex>,
    /// The proposal that the bytes belong to, if they have a meaning in one that is off.
    pub(crate) feature: Option<Feature>,
}

impl Malformed {
    fn new(offset: u64, reason: impl Into<String>) -> Self {
        Malformed { offset, reason: reason.into(), func: None, feature: None }
    }
}

impl From<Error> for Malformed {
    fn from(error: Error) -> Self {
        let feature = error.missing_wasm_feature().and_then(Features::owner_of);
        Malformed { feature, ..Malformed::new(error.offset(), error.message()) }
    }
}

/// The first decoding error of a module.
pub(crate) fn find(bytes: &[u8], features: WasmFeatures) -> Option<Malformed> {
    decode(bytes, features).err()
}

struct Seen {
    /// The next body's index among all functions.
    func: u32,
    data_count: bool,
    /// Whether bit 6 of a memory argument's flags announces the index of a memory.
    multi_memory: bool,
}

fn decode(bytes: &[u8], features: WasmFeatures) -> Result<(), Malformed> {
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let multi_memory = features.multi_memory();
    let mut seen = Seen { func: 0, data_count: false, multi_memory };
    for payload in parser.parse_all(bytes) {
        section(payload?, &mut seen)?;
    }
    Ok(())
}

fn section(payload: Payload<'_>, seen: &mut Seen) -> Result<(), Malformed> {
    match payload {
        Payload::TypeSection(section) => items(section),
        Payload::ImportSection(section) => {
            for import in section.into_imports() {
                let imported = matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
                seen.func = seen.func.saturating_add(u32::from(imported));
            }
            Ok(())
        }
        Payload::FunctionSection(section) => items(section),
        Payload::TableSection(section) => items(section),
        Payload::MemorySection(section) => items(section),
        Payload::TagSection(section) => items(section),
        Payload::GlobalSection(section) => items(section),
        Payload::ExportSection(section) => items(section),
        Payload::ElementSection(section) => items(section),
        Payload::DataSection(section) => items(section),
        Payload::DataCountSection { .. } => {
            seen.data_count = true;
            Ok(())
        }
        Payload::CodeSectionEntry(body) => {
            let func = FuncIndex::from_u32(seen.func);
            seen.func = seen.func.saturating_add(1);
            decode_body(&body, seen)
                .map_err(|malformed| Malformed { func: Some(func), ..malformed })
        }
        Payload::UnknownSection { id, range, .. } => {
            Err(Malformed::new(range.start, format!("malformed section id: {id}")))
        }
        _ => Ok(()),
    }
}

fn items<'a, T: FromReader<'a>>(section: SectionLimited<'a, T>) -> Result<(), Malformed> {
    for item in section {
        item?;
    }
    Ok(())
}

fn decode_body(body: &FunctionBody<'_>, seen: &Seen) -> Result<(), Malformed> {
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        locals.read()?;
    }
    let mut operators = OperatorsReader::new(locals.get_binary_reader());
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        if !seen.data_count && names_data(&operator) {
            return Err(Malformed::new(offset, "data count section required"));
        }
        // Before several memories there were no flags but the alignment, below 32
        // (binary-memarg of version 2.0).
        if !seen.multi_memory && memarg(&operator).is_some_and(|memarg| memarg.align >= 32) {
            return Err(Malformed::new(offset, "malformed memop flags"));
        }
    }
    operators.finish().map_err(Malformed::from)
}

/// Whether an operator has the index of a data segment, which makes the data count section
/// mandatory (binary-module).
fn names_data(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::MemoryInit { .. }
            | Operator::DataDrop { .. }
            | Operator::ArrayNewData { .. }
            | Operator::ArrayInitData { .. }
    )
}

/// The memory argument of a load, store or atomic operator.
#[allow(unused_variables, reason = "one pattern for all operators binds all their immediates")]
fn memarg(operator: &Operator<'_>) -> Option<MemArg> {
    macro_rules! pick {
        ([memarg $($_name:ident)*] $memarg:ident $($rest:ident)*) => {
            Some(*$memarg)
        };
        ([$($_name:ident)*] $($arg:ident)*) => {
            None
        };
    }
    macro_rules! arms {
        ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })?
            => $visit:ident ($($ann:tt)*) )*) => {
            match operator {
                $( Operator::$op $({ $($arg),* })? => pick!([$($($arg)*)?] $($($arg)*)?), )*
                _ => None,
            }
        };
    }
    wasmparser::for_each_operator!(arms)
}
