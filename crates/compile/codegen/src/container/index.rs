//! The index: one entry per stored function, in the order of their records.

use super::ContainerError;
use crate::bytes::Bytes;
use crate::link_stored;
use crate::stored::{CodeTier, StoredFunction};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use wasmoor_abi::DefinedFuncIndex;

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 48;

/// Where one function's record is and what it must be.
///
/// ```text
/// record: code | relocations | trap table | address map | handler table
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) func: DefinedFuncIndex,
    /// First byte of the record in the section of records.
    pub(crate) offset: u32,
    /// Bytes of the record's five parts.
    pub(crate) parts: [u32; 5],
    pub(crate) align: u8,
    pub(crate) tier: CodeTier,
    /// The first half of the record's SHA-256: nobody can make another record that fits.
    pub(crate) digest: [u8; 16],
}

impl Entry {
    /// The entry of a function whose record begins at `offset`.
    pub(crate) fn of(
        function: &StoredFunction,
        record: &[u8],
        offset: u32,
    ) -> Result<Entry, ContainerError> {
        let too_large = |_| ContainerError::TooLarge;
        let mut parts = [0; 5];
        for (part, bytes) in parts.iter_mut().zip(function.parts()) {
            *part = u32::try_from(bytes.len()).map_err(too_large)?;
        }
        Ok(Entry {
            func: function.func,
            offset,
            parts,
            align: u8::try_from(function.align).map_err(too_large)?,
            tier: function.tier,
            digest: digest(record),
        })
    }

    pub(crate) fn record_bytes(&self) -> u64 {
        self.parts.iter().map(|&part| u64::from(part)).sum()
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        let numbers = [self.func.as_u32(), self.offset].into_iter().chain(self.parts);
        for (number, field) in numbers.zip(out.as_chunks_mut::<4>().0) {
            *field = number.to_le_bytes();
        }
        out[28] = self.align;
        out[29] = self.tier as u8;
        out[32..].copy_from_slice(&self.digest);
        out
    }

    /// `None`: damaged.
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES], functions: u32, records: u64) -> Option<Entry> {
        let (words, _) = bytes.as_chunks::<4>();
        let number = |at: usize| words.get(at).map_or(0, |word| u32::from_le_bytes(*word));
        let mut digest = [0; 16];
        digest.copy_from_slice(&bytes[32..]);
        let entry = Entry {
            func: DefinedFuncIndex::from_u32(number(0)),
            offset: number(1),
            parts: [number(2), number(3), number(4), number(5), number(6)],
            align: bytes[28],
            tier: match bytes[29] {
                0 => CodeTier::First,
                1 => CodeTier::Second,
                _ => return None,
            },
            digest,
        };
        let inside = u64::from(entry.offset) + entry.record_bytes() <= records;
        let aligned =
            entry.align.is_power_of_two() && usize::from(entry.align) <= link_stored::ALIGN;
        (inside && number(0) < functions && aligned).then_some(entry)
    }

    /// Takes a record apart whose bytes nobody else can change; `None`: not the right bytes. The
    /// code, which is soon elsewhere, does not keep the tables' memory, nor they its.
    pub(crate) fn open(&self, record: &[u8]) -> Option<StoredFunction> {
        if digest(record) != self.digest {
            return None;
        }
        let (code, tables) = record.split_at_checked(self.parts[0] as usize)?;
        let without_code = Entry {
            parts: [0, self.parts[1], self.parts[2], self.parts[3], self.parts[4]],
            ..*self
        };
        let function = without_code.take_apart(&tables.into(), 0)?;
        Some(StoredFunction { code: code.to_vec().into(), ..function })
    }

    /// The same for bytes that are known to be right, and begin in the middle of others: all of
    /// them are kept as long as any of the parts.
    pub(crate) fn take_apart(&self, records: &Arc<[u8]>, start: usize) -> Option<StoredFunction> {
        let mut end = start;
        let mut parts = [const { None }; 5];
        for (part, &len) in parts.iter_mut().zip(&self.parts) {
            let start = end;
            end = start.checked_add(len as usize)?;
            *part = Some(Bytes::part(records, start..end)?);
        }
        let [code, relocations, traps, addresses, handlers] = parts;
        Some(StoredFunction {
            func: self.func,
            tier: self.tier,
            align: u32::from(self.align),
            code: code?,
            relocations: relocations?,
            traps: traps?,
            addresses: addresses?,
            handlers: handlers?,
        })
    }
}

impl StoredFunction {
    fn parts(&self) -> [&[u8]; 5] {
        // All fields are named, so that a new table cannot be left out.
        let StoredFunction {
            func: _,
            tier: _,
            align: _,
            code,
            relocations,
            traps,
            addresses,
            handlers,
        } = self;
        [code, relocations, traps, addresses, handlers]
    }

    /// The function's record.
    pub(crate) fn record(&self) -> Vec<u8> {
        self.parts().concat()
    }
}

fn digest(record: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(record)[..16]);
    half
}
