//! Resolving relocations: from a compiler's output to bytes for one address.

use crate::compiler::{Relocation, RelocationKind, RelocationTarget};
use wasmoor_abi::DefinedFuncIndex;

/// Why code could not be linked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The code range is used up, or the system refuses memory.
    #[error("no room for machine code: {0}")]
    Memory(#[from] wasmoor_sys::code::CodeError),
    /// A compiler emitted a relocation that cannot be resolved: a bug.
    #[error("internal error: relocation at byte {offset} of {func} cannot be resolved: {reason}")]
    Relocation {
        /// The function whose code it is in.
        func: DefinedFuncIndex,
        /// Byte offset in its code.
        offset: u32,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Writes all relocations of a function, which will lie at `address`, into its `code`.
///
/// `resolve` gives the address of a target, or `None` if the target is not allowed here.
pub(crate) fn relocate(
    func: DefinedFuncIndex,
    relocations: &[Relocation],
    code: &mut [u8],
    address: usize,
    resolve: &dyn Fn(RelocationTarget) -> Option<usize>,
) -> Result<(), LinkError> {
    for relocation in relocations {
        let error = |reason| LinkError::Relocation { func, offset: relocation.offset, reason };
        let target = resolve(relocation.target).ok_or_else(|| error("unknown target"))?;
        apply(relocation, code, address, target).map_err(error)?;
    }
    Ok(())
}

fn apply(
    relocation: &Relocation,
    code: &mut [u8],
    address: usize,
    target: usize,
) -> Result<(), &'static str> {
    let at = relocation.offset as usize;
    let field: &mut [u8; 4] = code
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut())
        .ok_or("the field lies outside of the code")?;
    let place = (address + at) as i64;
    let target = (target as i64).wrapping_add(relocation.addend);
    let old = u32::from_le_bytes(*field);
    let new = match relocation.kind {
        RelocationKind::PcRelative32 => {
            i32::try_from(target - place).map_err(|_| "the target is out of reach")?.cast_unsigned()
        }
        RelocationKind::Aarch64PageHigh21 => {
            let pages = (target >> 12) - (place >> 12);
            if !(-(1 << 20)..1 << 20).contains(&pages) {
                return Err("the target is out of reach");
            }
            let pages = pages as u32;
            old & 0x9f00_001f | (pages & 3) << 29 | (pages >> 2 & 0x7_ffff) << 5
        }
        RelocationKind::Aarch64PageLow12Load64 => {
            if target & 7 != 0 {
                return Err("the target is not aligned");
            }
            old & !(0xfff << 10) | ((target as u32 & 0xfff) >> 3) << 10
        }
        RelocationKind::Aarch64Call26 => {
            let words = (target - place) >> 2;
            if !(-(1 << 25)..1 << 25).contains(&words) {
                return Err("the target is out of reach");
            }
            old & 0xfc00_0000 | words as u32 & 0x03ff_ffff
        }
    };
    *field = new.to_le_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relocated(
        kind: RelocationKind,
        old: u32,
        address: usize,
        target: usize,
        addend: i64,
    ) -> u32 {
        let target_kind = RelocationTarget::Slot(DefinedFuncIndex::from_u32(0));
        let relocation = Relocation { offset: 0, kind, target: target_kind, addend };
        let mut code = old.to_le_bytes();
        apply(&relocation, &mut code, address, target).expect("in reach");
        u32::from_le_bytes(code)
    }

    #[test]
    fn fields_are_encoded_as_the_architectures_say() {
        use RelocationKind::*;
        assert_eq!(relocated(PcRelative32, 0, 0x1000, 0x2000, -4), 0xffc);
        assert_eq!(relocated(PcRelative32, 0, 0x2000, 0x1000, -4), (-0x1004i32).cast_unsigned());
        // adrp x0, +1 page; ldr x0, [x0, #0x10]; bl +8
        assert_eq!(relocated(Aarch64PageHigh21, 0x9000_0000, 0x1000, 0x2010, 0), 0xb000_0000);
        assert_eq!(relocated(Aarch64PageLow12Load64, 0xf940_0000, 0, 0x2010, 0), 0xf940_0800);
        assert_eq!(relocated(Aarch64Call26, 0x9400_0000, 0x1000, 0x1008, 0), 0x9400_0002);
    }

    #[test]
    fn far_targets_and_fields_outside_are_errors() {
        let mut relocation = Relocation {
            offset: 0,
            kind: RelocationKind::PcRelative32,
            target: RelocationTarget::Slot(DefinedFuncIndex::from_u32(0)),
            addend: 0,
        };
        assert!(apply(&relocation, &mut [0; 4], 0, 1 << 40).is_err());
        relocation.offset = 1;
        assert!(apply(&relocation, &mut [0; 4], 0, 0).is_err());
    }
}
