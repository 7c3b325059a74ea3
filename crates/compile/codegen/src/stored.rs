//! Machine code of one function in the form that is kept in files, and who hands it out.
//!
//! It is what a compiler made, with its tables encoded: position-independent bytes, and the places
//! that depend on where slots lie. Linking it is the same as linking a compiler's output.

use crate::bytes::Bytes;
use crate::compiler::{Relocation, RelocationKind, RelocationTarget};
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_abi::wire::{Reader, Writer};

/// Which of an engine's compilers made some code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CodeTier {
    /// The one that makes a function's first code.
    #[default]
    First,
    /// The one that makes better code of hot functions.
    Second,
}

/// One function's code; see the head of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFunction {
    /// Whose code it is.
    pub func: DefinedFuncIndex,
    /// Who made it.
    pub tier: CodeTier,
    /// Alignment that the code needs.
    pub align: u32,
    /// The code; what relocations fill in is arbitrary.
    pub code: Bytes,
    /// Encoded relocations.
    pub relocations: Bytes,
    /// Encoded trap table.
    pub traps: Bytes,
    /// Encoded address map.
    pub addresses: Bytes,
    /// Encoded handler table.
    pub handlers: Bytes,
}

/// Hands out stored code of one module.
pub trait StoredCode: Send + Sync + std::fmt::Debug {
    /// The function's code, checked; `None` where there is none.
    ///
    /// # Errors
    /// The code is there but cannot be read, or is damaged: never the wrong bytes.
    fn load(&self, func: DefinedFuncIndex) -> Result<Option<StoredFunction>, String>;
}

const DEFAULT_ADDEND: i64 = -4;

/// Encodes relocations; `None` if one refers to another function's code directly, which stored
/// code cannot.
pub(crate) fn encode_relocations(
    func: DefinedFuncIndex,
    relocations: &[Relocation],
) -> Option<Box<[u8]>> {
    let mut out = Writer::new();
    let mut last = 0;
    for relocation in relocations {
        let (target, direct) = match relocation.target {
            RelocationTarget::Slot(target) => (target, 0),
            RelocationTarget::Func(target) if target == func => (target, 1),
            RelocationTarget::Func(_) => return None,
        };
        let other_addend = relocation.addend != DEFAULT_ADDEND;
        out.number(u64::from(relocation.offset.checked_sub(last)?));
        out.number(kind_number(relocation.kind) << 2 | u64::from(other_addend) << 1 | direct);
        out.number(u64::from(target.as_u32()));
        if other_addend {
            out.signed(relocation.addend);
        }
        last = relocation.offset;
    }
    Some(out.finish().into())
}

/// The inverse of [`encode_relocations`]; `None`: damaged, or of a function outside the module.
pub(crate) fn decode_relocations(bytes: &[u8], functions: usize) -> Option<Vec<Relocation>> {
    let mut reader = Reader::new(bytes);
    let mut relocations = Vec::new();
    let mut offset = 0u32;
    while !reader.is_empty() {
        offset = offset.checked_add(reader.number32()?)?;
        let tag = reader.number()?;
        let target = reader.number32()?;
        if target as usize >= functions {
            return None;
        }
        let target = DefinedFuncIndex::from_u32(target);
        relocations.push(Relocation {
            offset,
            kind: kind_of(tag >> 2)?,
            target: if tag & 1 == 0 {
                RelocationTarget::Slot(target)
            } else {
                RelocationTarget::Func(target)
            },
            addend: if tag & 2 == 0 { DEFAULT_ADDEND } else { reader.signed()? },
        });
    }
    Some(relocations)
}

fn kind_number(kind: RelocationKind) -> u64 {
    match kind {
        RelocationKind::PcRelative32 => 0,
        RelocationKind::Aarch64PageHigh21 => 1,
        RelocationKind::Aarch64PageLow12Load64 => 2,
        RelocationKind::Aarch64Call26 => 3,
    }
}

fn kind_of(number: u64) -> Option<RelocationKind> {
    Some(match number {
        0 => RelocationKind::PcRelative32,
        1 => RelocationKind::Aarch64PageHigh21,
        2 => RelocationKind::Aarch64PageLow12Load64,
        3 => RelocationKind::Aarch64Call26,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocations_round_trip_and_damage_is_refused() {
        let func = DefinedFuncIndex::from_u32;
        let relocation = |offset, kind, target, addend| Relocation { offset, kind, target, addend };
        let slot = |index| RelocationTarget::Slot(func(index));
        let relocations = vec![
            relocation(2, RelocationKind::PcRelative32, slot(7), -4),
            relocation(300, RelocationKind::PcRelative32, RelocationTarget::Func(func(3)), 1 << 33),
            relocation(300, RelocationKind::Aarch64Call26, slot(0), 0),
        ];
        let bytes = encode_relocations(func(3), &relocations).expect("storable");
        assert_eq!(decode_relocations(&bytes, 8).as_ref(), Some(&relocations));
        assert_eq!(decode_relocations(&bytes, 7), None, "function 7 is outside of the module");
        assert_eq!(decode_relocations(&bytes[..bytes.len() - 1], 8), None);
        assert_eq!(decode_relocations(&[0, 16, 0], 8), None, "an unknown kind");
        assert!(encode_relocations(func(4), &relocations).is_none(), "calls function 3 directly");
    }
}
