//! The code blobs of one module: an append-only list that signal handlers may search.
//!
//! Blobs are appended in the order of their addresses (the arena is a bump allocator and linking
//! holds a lock), so that a binary search finds the blob of an address. Elements never move:
//! bucket `k` holds `2^(k + 6)` of them and is allocated when the first is needed. Readers take
//! no lock and allocate nothing.

use crate::bytes::Bytes;
use crate::stored::CodeTier;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_abi::handlers::Handlers;
use wasmoor_abi::tables;
use wasmoor_abi::trap::FaultKind;

/// Published code of one function: immutable.
#[derive(Debug)]
pub struct Blob {
    /// First byte, counted from the start of the module's code range.
    pub start: u32,
    /// Bytes of code.
    pub len: u32,
    /// Whose code it is.
    pub func: DefinedFuncIndex,
    pub(crate) traps: Bytes,
    pub(crate) addresses: Bytes,
    pub(crate) handlers: Bytes,
    /// Who made it.
    pub tier: CodeTier,
    /// Encoded relocations, so that the code can be stored; `None`: it cannot.
    pub(crate) relocations: Option<Bytes>,
    /// Alignment of the code.
    pub(crate) align: u32,
}

impl Blob {
    /// What a fault of the instruction at this offset of the blob means.
    #[must_use]
    pub fn fault_at(&self, code_offset: u32) -> Option<FaultKind> {
        tables::find_trap(&self.traps, code_offset)
    }

    /// Offset in the module of the operator that this byte of the blob belongs to.
    #[must_use]
    pub fn wasm_offset_at(&self, code_offset: u32) -> Option<u32> {
        tables::find_address(&self.addresses, code_offset)
    }

    /// All instructions that can fault.
    #[must_use]
    pub fn traps(&self) -> tables::Traps<'_> {
        tables::traps(&self.traps)
    }

    /// The whole address map.
    #[must_use]
    pub fn addresses(&self) -> tables::Addresses<'_> {
        tables::addresses(&self.addresses)
    }

    /// Where exceptions are caught.
    #[must_use]
    pub fn handlers(&self) -> Handlers<'_> {
        Handlers::new(&self.handlers)
    }

    /// Bytes of the tables that accompany the code.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        let relocations = self.relocations.as_ref().map_or(0, |relocations| relocations.len());
        self.traps.len() + self.addresses.len() + self.handlers.len() + relocations
    }
}

const FIRST_BUCKET_LOG2: u32 = 6;
const BUCKETS: usize = 32 - FIRST_BUCKET_LOG2 as usize;

type Bucket = OnceLock<Box<[OnceLock<Blob>]>>;

/// The list; see the head of this module.
#[derive(Debug)]
pub(crate) struct Blobs {
    len: AtomicUsize,
    buckets: [Bucket; BUCKETS],
}

impl Blobs {
    pub(crate) fn new() -> Self {
        Blobs { len: AtomicUsize::new(0), buckets: [const { OnceLock::new() }; BUCKETS] }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Appends; the caller holds the link lock, and `blob` lies above all before it.
    pub(crate) fn push(&self, blob: Blob) {
        let at = self.len();
        let (bucket, slot) = place(at);
        let cells = self.buckets[bucket].get_or_init(|| {
            (0..1usize << (bucket as u32 + FIRST_BUCKET_LOG2)).map(|_| OnceLock::new()).collect()
        });
        let pushed = cells[slot].set(blob);
        debug_assert!(pushed.is_ok(), "the link lock serialises appends");
        self.len.store(at + 1, Ordering::Release);
    }

    pub(crate) fn get(&self, at: usize) -> Option<&Blob> {
        let (bucket, slot) = place(at);
        self.buckets.get(bucket)?.get()?.get(slot)?.get()
    }

    /// The blob that holds this offset of the code range.
    pub(crate) fn find(&self, offset: u32) -> Option<&Blob> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle)?.start <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let blob = self.get(low.checked_sub(1)?)?;
        (offset - blob.start < blob.len).then_some(blob)
    }
}

/// Bucket and position in it of element `at`.
fn place(at: usize) -> (usize, usize) {
    let shifted = at + (1 << FIRST_BUCKET_LOG2);
    let log2 = shifted.ilog2();
    ((log2 - FIRST_BUCKET_LOG2) as usize, shifted - (1 << log2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(start: u32, len: u32) -> Blob {
        let func = DefinedFuncIndex::from_u32(start);
        Blob {
            start,
            len,
            func,
            traps: Bytes::default(),
            addresses: Bytes::default(),
            handlers: Bytes::default(),
            tier: CodeTier::First,
            relocations: None,
            align: 16,
        }
    }

    #[test]
    fn finds_what_was_pushed_and_nothing_between() {
        let blobs = Blobs::new();
        for i in 0..1000 {
            blobs.push(blob(i * 16, 10));
        }
        assert_eq!(blobs.len(), 1000);
        for i in 0..1000 {
            assert_eq!(blobs.find(i * 16).map(|b| b.start), Some(i * 16));
            assert_eq!(blobs.find(i * 16 + 9).map(|b| b.start), Some(i * 16));
            assert!(blobs.find(i * 16 + 10).is_none());
        }
    }

    #[test]
    fn places_are_dense() {
        assert_eq!(place(0), (0, 0));
        assert_eq!(place(63), (0, 63));
        assert_eq!(place(64), (1, 0));
        assert_eq!(place(191), (1, 127));
        assert_eq!(place(192), (2, 0));
    }
}
