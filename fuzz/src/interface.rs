//! What a module exports, read without any of the engines under test.

use crate::value::Type;
use wasmparser::types::EntityType;
use wasmparser::{Validator, WasmFeatures};

/// An exported function.
#[derive(Clone, Debug)]
pub struct Function {
    /// Name of the export.
    pub name: String,
    /// Types of the parameters.
    pub params: Vec<Type>,
}

/// The exports of a module that a host can look at.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// Functions, in order.
    pub functions: Vec<Function>,
}

/// The proposals that generated modules may use.
#[must_use]
pub fn features() -> WasmFeatures {
    features_of_wasmi()
        | WasmFeatures::THREADS
        | WasmFeatures::EXCEPTIONS
        | WasmFeatures::LEGACY_EXCEPTIONS
        | WasmFeatures::RELAXED_SIMD
        | WasmFeatures::WIDE_ARITHMETIC
}

/// What wasmi knows, or has put into words that it knows (references to functions, see
/// `oracle::wasmi`).
fn features_of_wasmi() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::MEMORY64
        | WasmFeatures::FUNCTION_REFERENCES
}

/// Whether a module is valid.
#[must_use]
pub fn is_valid(wasm: &[u8]) -> bool {
    Validator::new_with_features(features()).validate_all(wasm).is_ok()
}

/// Whether wasmi can run a module.
#[must_use]
pub fn known_to_wasmi(wasm: &[u8]) -> bool {
    Validator::new_with_features(features_of_wasmi()).validate_all(wasm).is_ok()
}

impl Interface {
    /// Reads a module; functions of types that no engine could be given values of are left out.
    ///
    /// # Errors
    /// When the module is invalid.
    pub fn read(wasm: &[u8]) -> wasmparser::Result<Interface> {
        let types = Validator::new_with_features(features()).validate_all(wasm)?;
        let types = types.as_ref();
        let mut functions = Vec::new();
        for (name, entity) in types.core_exports().into_iter().flatten() {
            let EntityType::Func(id) = entity else { continue };
            let ty = types[id].unwrap_func();
            let params: Option<Vec<Type>> = ty.params().iter().map(|&ty| Type::of(ty)).collect();
            if let Some(params) = params {
                functions.push(Function { name: name.to_owned(), params });
            }
        }
        Ok(Interface { functions })
    }
}
