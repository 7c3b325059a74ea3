//! Between a module's code in memory and its stored form.

use crate::blobs::Blob;
use crate::compiler::{RelocationKind, RelocationTarget};
use crate::link::{LinkError, relocate};
use crate::module_code::ModuleCode;
use crate::stored::{StoredFunction, decode_relocations};
use std::sync::atomic::Ordering;
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_sys::code::CodeRegion;

/// Every piece of stored code starts at a multiple of this.
pub(crate) const ALIGN: usize = 64;
/// Code is relocated in pieces of about this length, which stay in the caches until they are
/// written to their place.
const GROUP_BYTES: usize = 64 << 10;

/// What linking has come to.
struct Linked {
    addresses: Vec<usize>,
    /// The group in work.
    code: Vec<u8>,
}

/// Number of functions that are written together, at least one.
fn group_len(functions: &[StoredFunction]) -> usize {
    let mut bytes = 0;
    let fits = |function: &&StoredFunction| {
        bytes += function.code.len().next_multiple_of(ALIGN);
        bytes <= GROUP_BYTES
    };
    functions.iter().take_while(fits).count().max(1)
}

impl ModuleCode {
    /// Links stored functions and publishes them. Returns the address of the first.
    ///
    /// # Errors
    /// See [`LinkError`]; no slot has changed then.
    pub fn publish_stored(&self, functions: &[StoredFunction]) -> Result<usize, LinkError> {
        self.linking(|region, blobs| {
            let mut linked =
                Linked { addresses: Vec::with_capacity(functions.len()), code: Vec::new() };
            let mut rest = functions;
            while !rest.is_empty() {
                let (group, later) = rest.split_at(group_len(rest));
                self.write_group(region, group, &mut linked)?;
                rest = later;
            }
            for (function, &address) in functions.iter().zip(&linked.addresses) {
                blobs.push(Blob {
                    start: (address - self.code_start()) as u32,
                    len: function.code.len() as u32,
                    func: function.func,
                    traps: function.traps.clone(),
                    addresses: function.addresses.clone(),
                    handlers: function.handlers.clone(),
                    tier: function.tier,
                    relocations: Some(function.relocations.clone()),
                    align: function.align,
                });
            }
            for (function, &address) in functions.iter().zip(&linked.addresses) {
                self.slot(function.func).store(address, Ordering::Release);
            }
            Ok(linked.addresses.first().copied().unwrap_or_default())
        })
    }

    /// Places functions next to each other.
    fn write_group(
        &self,
        region: &CodeRegion,
        group: &[StoredFunction],
        linked: &mut Linked,
    ) -> Result<(), LinkError> {
        let bytes = group.iter().map(|f| f.code.len().next_multiple_of(ALIGN)).sum::<usize>();
        let span = region.allocate(bytes, ALIGN)?;
        let first = region.address(&span);
        linked.code.clear();
        linked.code.reserve(bytes);
        for function in group {
            let at = linked.code.len();
            linked.code.extend_from_slice(&function.code);
            self.relocate_stored(function, &mut linked.code[at..], first + at)?;
            linked.code.resize(linked.code.len().next_multiple_of(ALIGN), 0);
            linked.addresses.push(first + at);
        }
        region.write(span, &linked.code)?;
        Ok(())
    }

    fn relocate_stored(
        &self,
        function: &StoredFunction,
        code: &mut [u8],
        address: usize,
    ) -> Result<(), LinkError> {
        let func = function.func;
        let relocations = decode_relocations(&function.relocations, self.module().bodies.len())
            .ok_or(LinkError::Relocation { func, offset: 0, reason: "they are damaged" })?;
        relocate(func, &relocations, code, address, &|target| match target {
            RelocationTarget::Slot(callee) => Some(self.slot_address(callee)),
            RelocationTarget::Func(callee) => (callee == func).then_some(address),
        })
    }

    /// The code that a function's slot leads to, to be stored. `None`: it has none yet, or code
    /// that is bound to other code.
    #[must_use]
    pub fn stored(&self, func: DefinedFuncIndex) -> Option<StoredFunction> {
        let entry = self.slot(func).load(Ordering::Acquire);
        let offset = entry.checked_sub(self.code_start())?;
        let blob = self.blob_at(u32::try_from(offset).ok()?)?;
        if blob.func != func || blob.start as usize != offset {
            return None;
        }
        let relocations = blob.relocations.clone()?;
        let mut code = self.blob_bytes(blob).to_vec();
        for relocation in decode_relocations(&relocations, self.module().bodies.len())? {
            // Others hold parts of the instruction, which linking keeps.
            if relocation.kind == RelocationKind::PcRelative32 {
                let at = relocation.offset as usize;
                code.get_mut(at..at + 4)?.fill(0);
            }
        }
        Some(StoredFunction {
            func,
            tier: blob.tier,
            align: blob.align.clamp(16, ALIGN as u32),
            code: code.into(),
            relocations,
            traps: blob.traps.clone(),
            addresses: blob.addresses.clone(),
            handlers: blob.handlers.clone(),
        })
    }

    /// Pieces of code published so far: a number that grows with every change.
    #[must_use]
    pub fn published(&self) -> usize {
        self.linking(|_, blobs| blobs.len())
    }
}
