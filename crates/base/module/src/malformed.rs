//! Tells malformed modules from invalid ones.
//!
//! The validator reports both kinds alike. So when it has refused a module, this pass decodes the
//! whole module once more without validating it: if that fails, the module is malformed and this
//! is the error; if not, it is invalid for the validator's reason. Only refused modules pay.

use crate::features::{Feature, Features};
use wasmoor_abi::FuncIndex;
use wasmparser::{
    Error, FromReader, FunctionBody, Operator, OperatorsReader, Parser, Payload, SectionLimited,
    TypeRef, WasmFeatures,
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

#[derive(Default)]
struct Seen {
    /// The next body's index among all functions.
    func: u32,
    data_count: bool,
}

fn decode(bytes: &[u8], features: WasmFeatures) -> Result<(), Malformed> {
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut seen = Seen::default();
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
            decode_body(&body, seen.data_count)
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

fn decode_body(body: &FunctionBody<'_>, data_count: bool) -> Result<(), Malformed> {
    let mut locals = body.get_locals_reader()?;
    for _ in 0..locals.get_count() {
        locals.read()?;
    }
    let mut operators = OperatorsReader::new(locals.get_binary_reader());
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        if !data_count && names_data(&operator) {
            return Err(Malformed::new(offset, "data count section required"));
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
