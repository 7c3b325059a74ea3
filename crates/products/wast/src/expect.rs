//! How outcomes are compared with what assertions demand.

use wasmoor::{Error, ErrorKind, LoadError, TrapCode};

/// Whether a trap is the one that a script names.
///
/// As in the reference interpreter, the script's words are a prefix of the message. Two additions:
/// the script may go on with the number of an element ("uninitialized element 2"), and it may say
/// what kind of reference is null ("null function reference").
pub(crate) fn trap_matches(code: TrapCode, words: &str) -> bool {
    let message = code.message();
    if message.starts_with(words) {
        return !words.is_empty();
    }
    let number = words.strip_prefix(message).map(str::trim_start);
    number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        || (code == TrapCode::NullReference && is_null_reference(words))
}

fn is_null_reference(words: &str) -> bool {
    words
        .strip_prefix("null ")
        .and_then(|rest| rest.strip_suffix(" reference"))
        .is_some_and(|kind| ["function", "structure", "array", "i31", "exception"].contains(&kind))
}

/// Whether an error is a refusal to link in the script's words.
pub(crate) fn link_error_matches(error: &Error, words: &str) -> bool {
    let ErrorKind::Imports(errors) = error.kind() else { return false };
    !words.is_empty() && errors.iter().any(|error| error.to_string().starts_with(words))
}

/// Whether loading failed as `assert_invalid` demands: the module can be decoded.
pub(crate) fn is_invalid(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Load(
            LoadError::Invalid(_) | LoadError::TooLarge(_) | LoadError::Unsupported { .. }
        )
    )
}

/// Whether loading failed as `assert_malformed` demands: the bytes cannot be decoded. A proposal
/// that is off makes its encodings unknown.
pub(crate) fn is_malformed(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Load(
            LoadError::NotModule(_)
                | LoadError::Malformed(_)
                | LoadError::TooLarge(_)
                | LoadError::Unsupported { .. }
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmoor::ImportError;

    #[test]
    fn trap_messages() {
        let cases = [
            (TrapCode::Unreachable, "unreachable", true),
            (TrapCode::Unreachable, "unreach", true),
            (TrapCode::Unreachable, "", false),
            (TrapCode::Unreachable, "unreachable code", false),
            (TrapCode::UninitializedElement, "uninitialized element", true),
            (TrapCode::UninitializedElement, "uninitialized element 2", true),
            (TrapCode::UninitializedElement, "uninitialized element x", false),
            (TrapCode::UndefinedElement, "uninitialized element", false),
            (TrapCode::IndirectCallTypeMismatch, "indirect call", true),
            (TrapCode::NullReference, "null function reference", true),
            (TrapCode::NullReference, "null pointer", false),
            (TrapCode::CastFailure, "null array reference", false),
            (TrapCode::IntegerOverflow, "integer divide by zero", false),
        ];
        for (code, words, expected) in cases {
            assert_eq!(trap_matches(code, words), expected, "{code:?} {words:?}");
        }
    }

    #[test]
    fn link_messages() {
        let import = |found: Option<&str>| {
            Error::from(ErrorKind::Imports(vec![ImportError {
                module: "m".to_string(),
                name: "n".to_string(),
                expected: "global i32".to_string(),
                found: found.map(str::to_string),
            }]))
        };
        assert!(link_error_matches(&import(None), "unknown import"));
        assert!(!link_error_matches(&import(None), "incompatible import type"));
        assert!(link_error_matches(&import(Some("global i64")), "incompatible import type"));
        assert!(!link_error_matches(&import(Some("global i64")), "unknown import"));
        assert!(!link_error_matches(&import(None), ""));
        assert!(!link_error_matches(&Error::trap(TrapCode::Unreachable), "unknown import"));
    }
}
