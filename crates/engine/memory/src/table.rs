//! Cells of tables.
//!
//! A cell is a `u64`; what it means is said in `wasmoor_abi::vmctx`. Storage comes zeroed from the
//! allocator, which for large tables means pages that take memory when they are first touched; so
//! a table filled with 0 costs nothing until it is used, also after growing.
//!
//! # Safety
//! `cells` points to `capacity` initialised cells, allocated with the layout of that many (to
//! nothing when it is 0), or to those of an embedder's (`created`). `len <= capacity`; cells from `len` on are 0. Machine code reads and
//! writes the first `len` cells through [`TableStorage::base`], never while a method runs.

#![allow(unsafe_code)]

use crate::created::CreatedCells;
use crate::creator::{CreatorError, TableCreator};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::Range;
use std::ptr::NonNull;
use wasmoor_abi::TableType;
use wasmoor_abi::limits::TABLE_ELEMENTS_MAX;

/// Why a table could not be made or grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// More elements than any table may have.
    #[error("a table of {elements} elements is too large, the limit is {TABLE_ELEMENTS_MAX}")]
    TooLarge {
        /// Elements that the table would have (saturating).
        elements: u64,
    },
    /// The embedder who provides the table's cells refuses.
    #[error("a table is not made to grow to {elements} elements by who provides it")]
    Refused {
        /// Elements that the table would have.
        elements: u64,
    },
    /// The system refuses memory.
    #[error("no memory for a table of {elements} elements")]
    OutOfMemory {
        /// Elements that the table would have.
        elements: u64,
    },
}

/// An index or a range leaves the table. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of bounds table access")]
pub struct TableOutOfBounds;

/// The cells of one table; see the head of this module.
#[derive(Debug)]
pub struct TableStorage {
    cells: NonNull<u64>,
    len: usize,
    capacity: usize,
    created: Option<CreatedCells>,
}

// SAFETY: an owned allocation of plain words; nothing ties it to a thread.
unsafe impl Send for TableStorage {}
// SAFETY: `&self` methods only read, and who writes through `base` answers for the ordering.
unsafe impl Sync for TableStorage {}

impl TableStorage {
    /// A table of `minimum` cells that hold `fill`.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn new(minimum: u64, fill: u64) -> Result<Self, TableError> {
        let len = checked_len(minimum)?;
        let cells = allocate(len).ok_or(TableError::OutOfMemory { elements: minimum })?;
        let mut table = TableStorage { cells, len, capacity: len, created: None };
        table.set_new_cells(0, fill);
        Ok(table)
    }

    /// A table of the type's minimum that holds `fill`, whose cells an embedder provides.
    ///
    /// # Errors
    /// See [`CreatorError`].
    pub fn created(
        creator: &dyn TableCreator,
        ty: &TableType,
        fill: u64,
    ) -> Result<Self, CreatorError> {
        let len = checked_len(ty.minimum)?;
        let created = CreatedCells::new(creator, ty, len)?;
        let (cells, capacity) = created.place();
        let mut table = TableStorage { cells, len, capacity, created: Some(created) };
        table.set_new_cells(0, fill);
        Ok(table)
    }

    /// A table without cells, which takes no memory.
    #[must_use]
    pub const fn empty() -> Self {
        TableStorage { cells: NonNull::dangling(), len: 0, capacity: 0, created: None }
    }

    /// Makes the table have `len` cells again, all 0, as when it was made; false: it has become so
    /// large that a new one is better.
    #[must_use]
    pub fn reset(&mut self, len: u64) -> bool {
        self.cells_mut().fill(0);
        let Ok(len) = usize::try_from(len) else { return false };
        if len > self.capacity || self.capacity > len.saturating_mul(2).max(1024) {
            return false;
        }
        // Cells from `len` on are 0, before and after: all are.
        self.len = len;
        true
    }

    /// The first cell; aligned and not null, also when there are none. Moves when growing.
    #[must_use]
    pub fn base(&self) -> *mut u64 {
        self.cells.as_ptr()
    }

    /// All cells, in order.
    pub fn values(&self) -> impl Iterator<Item = u64> {
        self.cells().iter().copied()
    }

    /// Number of cells.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Whether there are no cells.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds `delta` cells that hold `fill` and answers the number before. The type's maximum and
    /// the limits of the store are the caller's business.
    ///
    /// # Errors
    /// See [`TableError`]; the table is unchanged, but one that an embedder provides may lie
    /// elsewhere.
    pub fn grow(&mut self, delta: u64, fill: u64) -> Result<u64, TableError> {
        let before = self.len;
        let len = checked_len(self.len().saturating_add(delta))?;
        match &mut self.created {
            Some(created) if delta > 0 => {
                let grown = created.grow(before, len);
                (self.cells, self.capacity) = created.place();
                grown.map_err(|_| TableError::Refused { elements: len as u64 })?;
            }
            None if len > self.capacity => self.move_to_larger(len)?,
            _ => {}
        }
        self.len = len;
        self.set_new_cells(before, fill);
        Ok(before as u64)
    }

    /// Whether the cells would (or may) lie elsewhere after growing by `delta`.
    #[must_use]
    pub fn moves_when_grown(&self, delta: u64) -> bool {
        match self.created {
            Some(_) => delta > 0,
            None => self.len().saturating_add(delta) > self.capacity as u64,
        }
    }

    /// The cell at an index; `None`: out of bounds.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<u64> {
        self.cells().get(usize::try_from(index).ok()?).copied()
    }

    /// Writes the cell at an index.
    ///
    /// # Errors
    /// The index is out of bounds.
    pub fn set(&mut self, index: u64, value: u64) -> Result<(), TableOutOfBounds> {
        let index = usize::try_from(index).map_err(|_| TableOutOfBounds)?;
        *self.cells_mut().get_mut(index).ok_or(TableOutOfBounds)? = value;
        Ok(())
    }

    /// Writes `value` to `len` cells from `start` on.
    ///
    /// # Errors
    /// The range is out of bounds.
    pub fn fill(&mut self, start: u64, value: u64, len: u64) -> Result<(), TableOutOfBounds> {
        let range = self.range(start, len)?;
        self.cells_mut()[range].fill(value);
        Ok(())
    }

    /// Copies `len` cells within the table; the ranges may overlap.
    ///
    /// # Errors
    /// A range is out of bounds.
    pub fn copy_within(&mut self, dst: u64, src: u64, len: u64) -> Result<(), TableOutOfBounds> {
        let (dst, src) = (self.range(dst, len)?, self.range(src, len)?);
        self.cells_mut().copy_within(src, dst.start);
        Ok(())
    }

    /// Copies `len` cells from another table.
    ///
    /// # Errors
    /// A range is out of bounds.
    pub fn copy_from(
        &mut self,
        dst: u64,
        source: &TableStorage,
        src: u64,
        len: u64,
    ) -> Result<(), TableOutOfBounds> {
        let (dst, src) = (self.range(dst, len)?, source.range(src, len)?);
        self.cells_mut()[dst].copy_from_slice(&source.cells()[src]);
        Ok(())
    }

    fn range(&self, start: u64, len: u64) -> Result<Range<usize>, TableOutOfBounds> {
        let end =
            start.checked_add(len).filter(|&end| end <= self.len()).ok_or(TableOutOfBounds)?;
        // Both fit: neither is above `self.len`.
        Ok(start as usize..end as usize)
    }

    fn cells(&self) -> &[u64] {
        // SAFETY: the type's invariant.
        unsafe { std::slice::from_raw_parts(self.cells.as_ptr(), self.len) }
    }

    fn cells_mut(&mut self) -> &mut [u64] {
        // SAFETY: the type's invariant.
        unsafe { std::slice::from_raw_parts_mut(self.cells.as_ptr(), self.len) }
    }

    /// Fills cells that are still 0, which need no touch if they are to stay so.
    fn set_new_cells(&mut self, start: usize, fill: u64) {
        if fill != 0 {
            self.cells_mut()[start..].fill(fill);
        }
    }

    /// Doubles the capacity if there is memory for it, so that growing by one is cheap on average.
    fn move_to_larger(&mut self, len: usize) -> Result<(), TableError> {
        let doubled = self.capacity.saturating_mul(2).clamp(len, TABLE_ELEMENTS_MAX as usize);
        let (cells, capacity) = allocate(doubled)
            .map(|cells| (cells, doubled))
            .or_else(|| Some((allocate(len)?, len)))
            .ok_or(TableError::OutOfMemory { elements: len as u64 })?;
        // SAFETY: the new allocation has more cells than `self.len` and is apart from the old.
        unsafe { cells.copy_from_nonoverlapping(self.cells, self.len) };
        self.release();
        (self.cells, self.capacity) = (cells, capacity);
        Ok(())
    }

    fn release(&mut self) {
        if self.created.is_some() {
            return;
        }
        if let Some(layout) = layout(self.capacity) {
            // SAFETY: allocated with this layout (the type's invariant); the caller replaces it.
            unsafe { dealloc(self.cells.as_ptr().cast(), layout) };
        }
    }
}

impl Drop for TableStorage {
    fn drop(&mut self) {
        self.release();
    }
}

fn checked_len(elements: u64) -> Result<usize, TableError> {
    if elements > TABLE_ELEMENTS_MAX {
        return Err(TableError::TooLarge { elements });
    }
    usize::try_from(elements).map_err(|_| TableError::TooLarge { elements })
}

/// `None` for no cells.
fn layout(capacity: usize) -> Option<Layout> {
    Layout::array::<u64>(capacity).ok().filter(|layout| layout.size() > 0)
}

/// Zeroed cells; `None`: there is no memory.
fn allocate(capacity: usize) -> Option<NonNull<u64>> {
    match layout(capacity) {
        // SAFETY: the layout is not empty.
        Some(layout) => NonNull::new(unsafe { alloc_zeroed(layout) }.cast()),
        None => Some(NonNull::dangling()),
    }
}
