//! What embedders implement to provide the storage of memories and tables themselves.
//!
//! # Safety
//! Machine code and the host use storage by its address, under the promises that the unsafe traits
//! of this file state. The engine looks at what can be seen (`created.rs`); the rest is the
//! implementation's word.

#![allow(unsafe_code)]

use crate::table::TableError;
use std::error::Error;
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmoor_abi::{MemoryType, TableType};

/// Why a creator does not do what it is asked for.
pub type CreatorFailure = Box<dyn Error + Send + Sync>;

/// What a memory that is to be created needs.
///
/// ```text
/// base            bytes                              reserved_bytes       + guard_bytes
/// [ zeros, read-write | every access faults ............... | every access faults ]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryRequest {
    /// The memory's type, never a shared one.
    pub ty: MemoryType,
    /// Bytes at first.
    pub bytes: usize,
    /// Bytes that the memory may grow to.
    pub bytes_max: usize,
    /// Bytes of address space, from the base on, that must belong to the memory and to nobody else
    /// as long as it lives. What is not accessible must fault. 0: code compares addresses with the
    /// memory's length, and nothing need be reserved.
    pub reserved_bytes: usize,
    /// Bytes of address space behind these that must belong to the memory and fault, always. 0
    /// where nothing need be reserved.
    pub guard_bytes: usize,
}

/// Makes linear memories; see [`MemoryRequest`].
///
/// # Safety
/// What [`MemoryCreator::create`] gives fulfils the request and the promises of [`CreatedMemory`].
/// Memories do not overlap, neither with each other nor with anything else that is in use.
pub unsafe trait MemoryCreator: Send + Sync {
    /// Makes a memory. The store has been charged for it. The engine takes it apart by dropping it,
    /// once.
    ///
    /// # Errors
    /// As the creator pleases: what needs the memory fails with this error. A panic goes on in the
    /// caller of whatever needed the memory.
    fn create(&self, request: &MemoryRequest) -> Result<Box<dyn CreatedMemory>, CreatorFailure>;
}

/// The storage of one linear memory.
///
/// # Safety
/// * `accessible` bytes from `base` on can be read and written, as long as the value lives. The
///   base is aligned to 16 bytes; to the host's pages, and constant, where address space was asked
///   for. Otherwise it changes in `grow` at most.
/// * Where address space was asked for, exactly the bytes of the last request that was fulfilled
///   are accessible; the rest stays reserved and faults.
/// * Bytes are zero when they become part of the memory, and keep what the guest wrote.
/// * Others (another mapping of a file, another process after a fork) may read at any time, but
///   write only while no guest uses the memory and no slice of it is lent. Nobody makes pages
///   vanish, as cutting a mapped file does.
/// * A `grow` that fails or panics has changed nothing.
pub unsafe trait CreatedMemory: Send + Sync {
    /// The first byte; also of a memory without bytes.
    fn base(&self) -> NonNull<u8>;

    /// Bytes that can be read and written now, from the base on: at least those asked for.
    fn accessible(&self) -> usize;

    /// Makes the memory `bytes` long, which is more than it was and at most the request's maximum.
    /// The store has been charged for it.
    ///
    /// # Errors
    /// As the memory pleases: the guest's `memory.grow` answers -1. A panic leaves the guest and goes
    /// on in its caller.
    fn grow(&mut self, bytes: usize) -> Result<(), CreatorFailure>;
}

/// What a table that is to be created needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableRequest {
    /// The table's type.
    pub ty: TableType,
    /// Cells at first, of 8 bytes each.
    pub cells: usize,
    /// Cells that the table may grow to.
    pub cells_max: usize,
}

/// Makes the cells of tables.
///
/// # Safety
/// What [`TableCreator::create`] gives fulfils the request and the promises of [`CreatedTable`].
/// Tables do not overlap, neither with each other nor with anything else that is in use.
pub unsafe trait TableCreator: Send + Sync {
    /// Makes the cells of a table. The store has been charged for them. The engine takes them apart
    /// by dropping them, once.
    ///
    /// # Errors
    /// As for [`MemoryCreator::create`].
    fn create(&self, request: &TableRequest) -> Result<Box<dyn CreatedTable>, CreatorFailure>;
}

/// The cells of one table.
///
/// # Safety
/// * `cells` cells from `base` on can be read and written, as long as the value lives. The base is
///   aligned to 8 bytes and changes in `grow` at most.
/// * Cells are zero when they become part of the table, and keep what was written to them.
/// * Cells hold addresses of the host: **nobody else ever writes to them**, and whoever reads them
///   learns where things are.
/// * A `grow` that fails or panics has changed nothing.
pub unsafe trait CreatedTable: Send + Sync {
    /// The first cell; also of a table without cells.
    fn base(&self) -> NonNull<u64>;

    /// Cells that can be read and written now: at least those asked for.
    fn cells(&self) -> usize;

    /// Makes the table `cells` long, which is more than it was and at most the request's maximum.
    ///
    /// # Errors
    /// As for [`CreatedMemory::grow`].
    fn grow(&mut self, cells: usize) -> Result<(), CreatorFailure>;
}

/// Why something is not used that a creator made, or did not make.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreatorError {
    /// The creator says no.
    #[error("{0}")]
    Refused(CreatorFailure),
    /// The address is not aligned as it must be.
    #[error("it begins at {address:#x}, which is no multiple of {align}")]
    Misaligned {
        /// The first address.
        address: usize,
        /// What it must be a multiple of.
        align: usize,
    },
    /// It is too short; or too long, where nothing may be accessible behind it.
    #[error("its accessible length is {given} where {wanted} is wanted")]
    Length {
        /// Bytes or cells that there are.
        given: usize,
        /// Bytes or cells that were asked for.
        wanted: usize,
    },
    /// What is behind it can be read, or is nobody's.
    #[error("the {bytes} bytes behind it are not all reserved and inaccessible")]
    Guard {
        /// Bytes that must fault.
        bytes: usize,
    },
    /// Its beginning is not zero; builds with debug assertions look.
    #[error("byte {at} is not zero at first")]
    NotZero {
        /// Offset of the byte.
        at: usize,
    },
    /// It is larger than tables may be.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Who makes memories and tables, if not the engine.
#[derive(Clone, Default)]
pub struct Creators {
    /// ... all memories that threads do not share.
    pub memory: Option<Arc<dyn MemoryCreator>>,
    /// ... all tables.
    pub table: Option<Arc<dyn TableCreator>>,
}

impl Creators {
    /// Whether the engine makes everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_none() && self.table.is_none()
    }
}

impl fmt::Debug for Creators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Creators")
            .field("memory", &self.memory.is_some())
            .field("table", &self.table.is_some())
            .finish()
    }
}
