//! Compiled functions on their way into the arena.

use crate::blobs::Blob;
use crate::compiler::{CompiledFunction, Relocation};
use crate::stored::encode_relocations;
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_abi::tables::{encode_addresses, encode_traps};

/// A compiled function whose tables are already in the form in which they are kept: a fraction of
/// what the compiler handed over. It is made by the thread that compiled, before the lock that
/// linking takes, and while many functions wait to be linked together this is what they occupy.
#[derive(Debug)]
pub struct Unlinked {
    pub(crate) code: Vec<u8>,
    pub(crate) relocations: Vec<Relocation>,
    /// Without its place.
    pub(crate) blob: Blob,
}

impl Unlinked {
    /// Encodes the tables of `func`.
    #[must_use]
    pub fn new(func: DefinedFuncIndex, compiled: CompiledFunction) -> Self {
        let blob = Blob {
            start: 0,
            // The arena has less than 2 GiB, so longer code finds no room in it.
            len: u32::try_from(compiled.code.len()).unwrap_or(u32::MAX),
            func,
            traps: encode_traps(&compiled.traps).into(),
            addresses: encode_addresses(&compiled.addresses).into(),
            handlers: compiled.handlers.encode().into(),
            tier: compiled.tier,
            relocations: encode_relocations(func, &compiled.relocations).map(Into::into),
            align: compiled.align,
        };
        Unlinked { code: compiled.code, relocations: compiled.relocations, blob }
    }

    /// Whose code it is.
    #[must_use]
    pub fn func(&self) -> DefinedFuncIndex {
        self.blob.func
    }
}
