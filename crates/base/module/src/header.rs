//! The first eight bytes: a module, or something that is mistaken for one.

use crate::error::{Fault, LoadError, NotModule};
use wasmoor_abi::limits::MODULE_BYTES_MAX;

const MAGIC: [u8; 4] = *b"\0asm";
const VERSION: [u8; 2] = [1, 0];
const LAYER_MODULE: [u8; 2] = [0, 0];
const LAYER_COMPONENT: [u8; 2] = [1, 0];

/// Checks size and header, so that what follows is a module's sections.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let malformed = |offset: usize, reason: &str| {
        Err(LoadError::Malformed(Fault {
            offset: offset as u64,
            reason: reason.to_string(),
            func: None,
        }))
    };
    if bytes.is_empty() {
        return Err(LoadError::NotModule(NotModule::Empty));
    }
    if !bytes.starts_with(&MAGIC) {
        if MAGIC.starts_with(bytes) {
            return malformed(bytes.len(), "unexpected end of file in the module header");
        }
        let what = if is_text(bytes) { NotModule::Text } else { NotModule::Unknown };
        return Err(LoadError::NotModule(what));
    }
    let Some((version, layer)) = bytes.get(4..8).map(|rest| rest.split_at(2)) else {
        return malformed(bytes.len(), "unexpected end of file in the module header");
    };
    if layer == LAYER_COMPONENT {
        return Err(LoadError::NotModule(NotModule::Component));
    }
    if version != VERSION || layer != LAYER_MODULE {
        return malformed(4, "unknown binary version");
    }
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(LoadError::TooLarge(Fault {
            offset: MODULE_BYTES_MAX as u64,
            reason: format!(
                "the module has {} bytes, the limit is {MODULE_BYTES_MAX}",
                bytes.len()
            ),
            func: None,
        }));
    }
    Ok(())
}

/// Whether the bytes start like the text format: a parenthesis or a comment after white space.
fn is_text(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let start = bytes.trim_ascii_start();
    start.starts_with(b"(") || start.starts_with(b";;")
}
