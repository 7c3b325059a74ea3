//! Errors, and the one door to what validation guarantees.

use crate::NAME;
use cranelift_codegen::CodegenError;
use wasmoor_codegen::CompileError;

/// Result of translating something.
pub(crate) type Result<T = ()> = std::result::Result<T, CompileError>;

/// Unwraps what a validated operator stream always has.
///
/// Every reliance on validation goes through here; a stream that contradicts it is reported as
/// an internal error.
pub(crate) fn validated<T>(value: Option<T>, what: &str) -> Result<T> {
    value.ok_or_else(|| internal(format!("the operators contradict validation: {what}")))
}

/// A bug of ours or of the backend.
pub(crate) fn internal(reason: String) -> CompileError {
    CompileError::Internal { compiler: NAME, reason }
}

/// An operator or type that this compiler does not handle.
pub(crate) fn unsupported(what: impl Into<String>) -> CompileError {
    CompileError::Unsupported { compiler: NAME, what: what.into() }
}

/// A function beyond the compiler's or the backend's limits.
pub(crate) fn too_large(reason: impl Into<String>) -> CompileError {
    CompileError::TooLarge { compiler: NAME, reason: reason.into() }
}

/// What the backend's refusal means.
pub(crate) fn from_backend(error: &CodegenError) -> CompileError {
    match error {
        CodegenError::ImplLimitExceeded => too_large("a limit of the backend is exceeded"),
        CodegenError::CodeTooLarge => too_large("the machine code exceeds the backend's limit"),
        CodegenError::Unsupported(what) => internal(format!("the backend refused: {what}")),
        CodegenError::Verifier(errors) => internal(format!("invalid CLIF: {errors}")),
        other => internal(other.to_string()),
    }
}
