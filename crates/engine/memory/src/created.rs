//! What an embedder's creator made, after a look at it.
//!
//! What can be seen is checked before it is used: lengths, alignment, whether a guard faults.
//! That bytes are zero is looked at in builds with debug assertions, and there at no more than the
//! first `ZEROS_LOOKED_AT` bytes of each piece: reading all of a sparse file would fill it.
//!
//! # Safety
//! Rests on the promises of `creator.rs`. The address is kept, so that it is the same for all uses
//! until the storage grows.

#![allow(unsafe_code)]

use crate::creator::*;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use wasmoor_abi::TableType;
use wasmoor_abi::limits::TABLE_ELEMENTS_MAX;
use wasmoor_sys::vm;

/// What the base of a memory without guards must be a multiple of.
const MEMORY_ALIGN: usize = 16;
/// Bytes that are compared with zero.
const ZEROS_LOOKED_AT: usize = 1 << 20;

/// A memory's storage.
pub(crate) struct CreatedSpace {
    memory: Box<dyn CreatedMemory>,
    base: NonNull<u8>,
    /// Bytes of address space with the guard; 0: code checks accesses.
    reserved: usize,
}

// SAFETY: an address and a value that are both of no thread.
unsafe impl Send for CreatedSpace {}
// SAFETY: as above; `&self` methods only tell addresses and lengths.
unsafe impl Sync for CreatedSpace {}

impl CreatedSpace {
    pub(crate) fn new(
        creator: &dyn MemoryCreator,
        request: &MemoryRequest,
    ) -> Result<Self, CreatorError> {
        let memory = creator.create(request).map_err(CreatorError::Refused)?;
        let reserved = request.reserved_bytes + request.guard_bytes;
        let created = CreatedSpace { base: memory.base(), memory, reserved };
        created.check(0..request.bytes)?;
        if created.is_guarded() {
            created.check_inaccessible(request.bytes..reserved)?;
        }
        Ok(created)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes of address space.
    pub(crate) fn len(&self) -> usize {
        if self.is_guarded() { self.reserved } else { self.memory.accessible() }
    }

    /// Whether inaccessible addresses keep code in bounds; the base never changes then.
    pub(crate) fn is_guarded(&self) -> bool {
        self.reserved > 0
    }

    /// Makes a memory of `before` bytes longer. On errors it is as long as before, but may lie
    /// elsewhere.
    ///
    /// # Panics
    /// When the memory is no more what it was, which no code can be told of.
    pub(crate) fn grow(&mut self, before: usize, bytes: usize) -> Result<(), CreatorError> {
        self.memory.grow(bytes).map_err(CreatorError::Refused)?;
        let base = self.memory.base();
        let is_kept = self.memory.accessible() >= before
            && base.addr().get().is_multiple_of(self.align())
            && (base == self.base || !self.is_guarded());
        assert!(is_kept, "a memory that an embedder made was lost when it grew");
        self.base = base;
        self.check(before..bytes)?;
        if self.is_guarded() {
            self.check_inaccessible(bytes..bytes + vm::page_bytes())?;
        }
        Ok(())
    }

    fn align(&self) -> usize {
        if self.is_guarded() { vm::page_bytes() } else { MEMORY_ALIGN }
    }

    /// Looks at a memory that ends where `new` does, and has had the bytes before.
    fn check(&self, new: Range<usize>) -> Result<(), CreatorError> {
        check_aligned(self.base, self.align())?;
        let (given, wanted) = (self.memory.accessible(), new.end);
        // Behind a guarded memory nothing may be accessible.
        if given < wanted || (given > wanted && self.is_guarded()) {
            return Err(CreatorError::Length { given, wanted });
        }
        // SAFETY: the bytes are accessible (the creator's promise), and nobody has them yet.
        unsafe { check_zero(self.base, new) }
    }

    fn check_inaccessible(&self, range: Range<usize>) -> Result<(), CreatorError> {
        let base = self.base.addr().get();
        let is_good = base
            .checked_add(range.end)
            .is_some_and(|end| range.is_empty() || vm::looks_inaccessible(base + range.start..end));
        if is_good { Ok(()) } else { Err(CreatorError::Guard { bytes: range.len() }) }
    }
}

impl fmt::Debug for CreatedSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedSpace")
            .field("base", &self.base)
            .field("reserved", &self.reserved)
            .finish_non_exhaustive()
    }
}

/// A table's cells.
pub(crate) struct CreatedCells {
    table: Box<dyn CreatedTable>,
}

impl CreatedCells {
    /// Cells of a table of the type that begins with so many.
    pub(crate) fn new(
        creator: &dyn TableCreator,
        ty: &TableType,
        cells: usize,
    ) -> Result<Self, CreatorError> {
        let maximum = ty.maximum.map_or(TABLE_ELEMENTS_MAX, |max| max.min(TABLE_ELEMENTS_MAX));
        let cells_max = usize::try_from(maximum).unwrap_or(usize::MAX);
        let request = TableRequest { ty: *ty, cells, cells_max };
        let created =
            CreatedCells { table: creator.create(&request).map_err(CreatorError::Refused)? };
        created.check(0..cells)?;
        Ok(created)
    }

    /// The first cell, and how many there are.
    pub(crate) fn place(&self) -> (NonNull<u64>, usize) {
        (self.table.base(), self.table.cells())
    }

    /// As [`CreatedSpace::grow`].
    pub(crate) fn grow(&mut self, before: usize, cells: usize) -> Result<(), CreatorError> {
        self.table.grow(cells).map_err(CreatorError::Refused)?;
        let is_kept = self.table.cells() >= before
            && check_aligned(self.table.base(), align_of::<u64>()).is_ok();
        assert!(is_kept, "a table that an embedder made was lost when it grew");
        self.check(before..cells)
    }

    fn check(&self, new: Range<usize>) -> Result<(), CreatorError> {
        let (base, given) = self.place();
        check_aligned(base, align_of::<u64>())?;
        if given < new.end {
            return Err(CreatorError::Length { given, wanted: new.end });
        }
        let bytes = new.start * size_of::<u64>()..new.end * size_of::<u64>();
        // SAFETY: the cells are accessible (the creator's promise), and nobody has them yet.
        unsafe { check_zero(base.cast(), bytes) }
    }
}

impl fmt::Debug for CreatedCells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedCells").field("place", &self.place()).finish_non_exhaustive()
    }
}

fn check_aligned<T>(base: NonNull<T>, align: usize) -> Result<(), CreatorError> {
    let address = base.addr().get();
    if address.is_multiple_of(align) {
        return Ok(());
    }
    Err(CreatorError::Misaligned { address, align })
}

/// # Safety
/// The range from `base` on can be read, and nobody writes to it.
unsafe fn check_zero(base: NonNull<u8>, range: Range<usize>) -> Result<(), CreatorError> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    let len = range.len().min(ZEROS_LOOKED_AT);
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(base.add(range.start).as_ptr(), len) };
    match bytes.iter().position(|&byte| byte != 0) {
        Some(at) => Err(CreatorError::NotZero { at: range.start + at }),
        None => Ok(()),
    }
}
