//! What a store holds besides instances and functions: memories, tables, globals.
//!
//! # Safety
//! An entity's definition (or cell) lies in the vmctx of the instance that defines it, or in a box
//! of its own when the host made it. Both live at a fixed address as long as the store; machine
//! code reads and writes them, so they are only touched through raw pointers.

#![allow(unsafe_code)]

use crate::context::{Definition, GlobalCell};
use crate::error::{Error, ErrorKind};
use crate::limits::Meter;
use crate::types::RegisteredType;
use crate::value::Val;
use wasmoor_abi::entity::entity_impl;
use wasmoor_abi::vmctx::{FUNCREF_CELL_LAZY, FUNCREF_CELL_NULL};
use wasmoor_abi::{GlobalType, MemoryType, RefType, TableType};
use wasmoor_memory::{LinearMemory, MemoryPlan, TableStorage};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);
        entity_impl!($name, $prefix);
    )* };
}

ids! {
    /// An instance of a store.
    InstanceId = "instance";
    /// A memory of a store.
    MemoryId = "memory";
    /// A table of a store.
    TableId = "table";
    /// A global of a store.
    GlobalId = "global";
}

/// A memory of a store.
#[derive(Debug)]
pub struct MemoryEntity {
    /// Its type; the minimum is that at creation.
    pub ty: MemoryType,
    memory: LinearMemory,
    definition: *mut Definition,
    owned: Option<Box<Definition>>,
}

impl MemoryEntity {
    /// A memory without a place for its definition yet.
    pub(crate) fn new(ty: MemoryType, plan: &MemoryPlan, meter: &mut Meter) -> Result<Self, Error> {
        let bytes =
            u64::try_from(u128::from(ty.minimum) * u128::from(ty.page_bytes())).unwrap_or(u64::MAX);
        if !meter.charge_memory(bytes) {
            return Err(ErrorKind::Limit(format!(
                "a memory of {bytes} bytes exceeds the limit of {} bytes (all memories together)",
                meter.limits.memory_bytes_max
            ))
            .into());
        }
        let memory = LinearMemory::new(&ty, plan).map_err(|error| {
            meter.refund_memory(bytes);
            Error::from(ErrorKind::Limit(error.to_string()))
        })?;
        Ok(MemoryEntity { ty, memory, definition: std::ptr::null_mut(), owned: None })
    }

    /// Puts the definition into a vmctx.
    ///
    /// # Safety
    /// `definition` stays valid as long as the entity lives.
    pub(crate) unsafe fn place(&mut self, definition: *mut Definition) {
        self.definition = definition;
        self.update();
    }

    /// Puts the definition into a box of its own.
    pub(crate) fn place_owned(&mut self) {
        let owned =
            self.owned.insert(Box::new(Definition { base: std::ptr::null_mut(), length: 0 }));
        self.definition = &raw mut **owned;
        self.update();
    }

    fn update(&mut self) {
        let definition =
            Definition { base: self.memory.base(), length: self.memory.bytes() as u64 };
        // SAFETY: `place` or `place_owned` gave a valid place; no Rust reference to it exists.
        unsafe { self.definition.write(definition) };
    }

    /// Address of the definition.
    #[must_use]
    pub fn definition(&self) -> *mut Definition {
        self.definition
    }

    /// First byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.memory.base()
    }

    /// Length in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Length in pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.memory.bytes() as u64 >> self.ty.page_size_log2
    }

    /// Grows by `delta` pages; the pages before, or `None` if a limit or the system says no.
    pub fn grow(&mut self, delta: u64, meter: &mut Meter) -> Option<u64> {
        let bytes = delta.checked_mul(self.ty.page_bytes())?;
        if !meter.charge_memory(bytes) {
            return None;
        }
        match self.memory.grow(delta) {
            Ok(before) => {
                self.update();
                Some(before)
            }
            Err(_) => {
                meter.refund_memory(bytes);
                None
            }
        }
    }
}

/// A table of a store.
#[derive(Debug)]
pub struct TableEntity {
    /// Its type in the engine's terms; the minimum is that at creation.
    pub ty: TableType,
    /// Keeps the type of a host-made table's elements.
    pub(crate) kept_type: Option<RegisteredType>,
    storage: TableStorage,
    definition: *mut Definition,
    owned: Option<Box<Definition>>,
}

impl TableEntity {
    /// A table filled with a reference (as bits), without a place for its definition yet.
    pub(crate) fn new(ty: TableType, init: u64, meter: &mut Meter) -> Result<Self, Error> {
        if !meter.charge_table(ty.minimum) {
            return Err(ErrorKind::Limit(format!(
                "a table of {} elements exceeds the limit of {} (all tables together)",
                ty.minimum, meter.limits.table_elements_max
            ))
            .into());
        }
        let storage = TableStorage::new(ty.minimum, encode(ty.element, init)).map_err(|error| {
            meter.refund_table(ty.minimum);
            Error::from(ErrorKind::Limit(error.to_string()))
        })?;
        let definition = std::ptr::null_mut();
        Ok(TableEntity { ty, kept_type: None, storage, definition, owned: None })
    }

    /// As [`MemoryEntity::place`].
    ///
    /// # Safety
    /// `definition` stays valid as long as the entity lives.
    pub(crate) unsafe fn place(&mut self, definition: *mut Definition) {
        self.definition = definition;
        self.update();
    }

    pub(crate) fn place_owned(&mut self) {
        let owned =
            self.owned.insert(Box::new(Definition { base: std::ptr::null_mut(), length: 0 }));
        self.definition = &raw mut **owned;
        self.update();
    }

    fn update(&mut self) {
        let definition =
            Definition { base: self.storage.base().cast(), length: self.storage.len() };
        // SAFETY: as in `MemoryEntity::update`.
        unsafe { self.definition.write(definition) };
    }

    /// Address of the definition.
    #[must_use]
    pub fn definition(&self) -> *mut Definition {
        self.definition
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.storage.len()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element, as a reference's bits; `None`: out of bounds.
    #[must_use]
    pub fn get(&self, index: u64) -> Option<u64> {
        self.storage.get(index).map(|cell| decode(self.ty.element, cell))
    }

    /// Sets an element from a reference's bits; false: out of bounds.
    #[must_use]
    pub fn set(&mut self, index: u64, bits: u64) -> bool {
        self.storage.set(index, encode(self.ty.element, bits)).is_ok()
    }

    /// Fills a range; false: out of bounds, nothing written.
    #[must_use]
    pub fn fill(&mut self, start: u64, bits: u64, len: u64) -> bool {
        self.storage.fill(start, encode(self.ty.element, bits), len).is_ok()
    }

    /// Copies within the table; false: out of bounds, nothing written.
    #[must_use]
    pub fn copy_within(&mut self, dst: u64, src: u64, len: u64) -> bool {
        self.storage.copy_within(dst, src, len).is_ok()
    }

    /// Copies from another table; false: out of bounds, nothing written.
    #[must_use]
    pub fn copy_from(&mut self, dst: u64, source: &TableEntity, src: u64, len: u64) -> bool {
        self.storage.copy_from(dst, &source.storage, src, len).is_ok()
    }

    /// Grows; the elements before, or `None` if a limit or the system says no.
    pub fn grow(&mut self, delta: u64, bits: u64, meter: &mut Meter) -> Option<u64> {
        let before = self.storage.len();
        let after = before.checked_add(delta)?;
        let index_max = if self.ty.index64 { u64::MAX } else { u64::from(u32::MAX) };
        if after > self.ty.maximum.unwrap_or(index_max).min(index_max) || !meter.charge_table(delta)
        {
            return None;
        }
        if self.storage.grow(delta, encode(self.ty.element, bits)).is_err() {
            meter.refund_table(delta);
            return None;
        }
        self.update();
        Some(before)
    }
}

/// A reference's bits as a cell of a table of this element type.
fn encode(element: RefType, bits: u64) -> u64 {
    if element.is_func() && bits == 0 { FUNCREF_CELL_NULL } else { bits }
}

/// The inverse. No cell is lazy so far: tables are filled at instantiation.
fn decode(element: RefType, cell: u64) -> u64 {
    debug_assert!(!element.is_func() || cell != FUNCREF_CELL_LAZY);
    if element.is_func() && cell == FUNCREF_CELL_NULL { 0 } else { cell }
}

/// A global of a store.
#[derive(Debug)]
pub struct GlobalEntity {
    /// Its type in the engine's terms.
    pub ty: GlobalType,
    /// Keeps the type of a host-made global's value.
    _kept_type: Option<RegisteredType>,
    cell: *mut GlobalCell,
    /// Keeps a host-made global's cell, which is only used through `cell`.
    _owned: Option<Box<GlobalCell>>,
}

impl GlobalEntity {
    /// A global whose cell lies in a vmctx.
    ///
    /// # Safety
    /// `cell` stays valid as long as the entity lives.
    pub(crate) unsafe fn in_vmctx(ty: GlobalType, cell: *mut GlobalCell) -> Self {
        GlobalEntity { ty, _kept_type: None, cell, _owned: None }
    }

    /// A global with a cell of its own.
    pub(crate) fn owned(ty: GlobalType, value: Val, kept_type: Option<RegisteredType>) -> Self {
        let mut owned = Box::new(GlobalCell(value.to_bits()));
        GlobalEntity { ty, _kept_type: kept_type, cell: &raw mut *owned, _owned: Some(owned) }
    }

    /// Address of the cell.
    #[must_use]
    pub fn cell(&self) -> *mut GlobalCell {
        self.cell
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> Val {
        // SAFETY: the cell is valid, and no wasm runs while the host holds the store.
        Val::from_bits(unsafe { self.cell.read() }.0, self.ty.content)
    }

    /// Sets the value, whose type the caller has checked.
    pub fn set(&mut self, value: Val) {
        // SAFETY: as in `get`.
        unsafe { self.cell.write(GlobalCell(value.to_bits())) };
    }
}

/// Something that instances import and export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum External {
    /// A function.
    Func(crate::value::FuncPtr),
    /// A table.
    Table(TableId),
    /// A memory.
    Memory(MemoryId),
    /// A global.
    Global(GlobalId),
}
