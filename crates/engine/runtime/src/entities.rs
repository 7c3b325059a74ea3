//! What a store holds besides instances and functions: memories, tables, globals.
//!
//! # Safety
//! An entity's definition (or cell) lies in the vmctx of the instance that defines it, or in a box
//! of its own when the host made it. Both live at a fixed address as long as the entity, which goes
//! with its instance (`reach.rs`); machine code reads and writes them, so they are only touched
//! through raw pointers.

#![allow(unsafe_code)]

use crate::context::{GlobalCell, MemoryDefinition, TableDefinition};
use crate::error::{Error, ErrorKind};
pub use crate::ids::*;
use crate::instance::Instance;
use crate::limits::{Charge, Meter};
use crate::types::RegisteredType;
use crate::value::Val;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmoor_abi::vmctx::{FUNCREF_CELL_LAZY, FUNCREF_CELL_NULL};
use wasmoor_abi::{DefinedTableIndex, GlobalType, MemoryType, RefType, TableType, ValType};
use wasmoor_memory::{Creators, LinearMemory, MemoryPlan, SharedMemory, TableStorage};

/// A memory of a store.
#[derive(Debug)]
pub struct MemoryEntity {
    /// Its type; the minimum is that at creation.
    pub ty: MemoryType,
    /// The instance that defines it.
    pub(crate) instance: Option<InstanceId>,
    /// `None` once its instance is no more, or if threads share it.
    memory: Option<LinearMemory>,
    /// What threads share, and the bytes for which the store has been charged: another store may
    /// have made it grow.
    shared: Option<(Arc<SharedMemory>, u64)>,
    touched: AtomicBool,
    definition: *mut MemoryDefinition,
    owned: Option<Box<MemoryDefinition>>,
}

impl MemoryEntity {
    /// A memory, charged already, without a place for its definition yet.
    pub(crate) fn new(ty: MemoryType, memory: LinearMemory) -> Self {
        let definition = std::ptr::null_mut();
        let touched = AtomicBool::new(false);
        MemoryEntity {
            ty,
            instance: None,
            memory: Some(memory),
            shared: None,
            touched,
            definition,
            owned: None,
        }
    }

    /// Charges a memory of this type.
    pub(crate) fn charge(ty: &MemoryType, meter: &mut Meter) -> Result<u64, Error> {
        let bytes =
            u64::try_from(u128::from(ty.minimum) * u128::from(ty.page_bytes())).unwrap_or(u64::MAX);
        if meter.charge_memory(bytes) {
            return Ok(bytes);
        }
        Err(ErrorKind::Limit(format!(
            "a memory of {bytes} bytes exceeds the limit of {} bytes (all memories together)",
            meter.limits.memory_bytes_max
        ))
        .into())
    }

    /// A memory outside of all instances, charged here.
    pub(crate) fn on_demand(
        ty: MemoryType,
        plan: &MemoryPlan,
        creators: &Creators,
        meter: &mut Meter,
    ) -> Result<Self, Error> {
        let bytes = Self::charge(&ty, meter)?;
        let charge = Charge::of_memory(meter, bytes);
        let memory = match &creators.memory {
            _ if ty.shared => MemoryEntity::new_shared(ty, plan)?,
            Some(creator) => MemoryEntity::new(ty, LinearMemory::created(&**creator, &ty, plan)?),
            None => MemoryEntity::new(ty, LinearMemory::new(&ty, plan)?),
        };
        charge.keep();
        Ok(memory)
    }

    /// Takes the memory out; what is left has no bytes.
    pub(crate) fn take_memory(&mut self) -> Option<LinearMemory> {
        self.memory.take()
    }

    /// Whether the host may have written to the memory.
    pub(crate) fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// A shared memory, charged already.
    pub(crate) fn new_shared(ty: MemoryType, plan: &MemoryPlan) -> Result<Self, Error> {
        let memory = SharedMemory::new(&ty, plan)?;
        let bytes = memory.bytes();
        Ok(MemoryEntity::of_shared(Arc::new(memory), bytes))
    }

    /// A memory that is shared with others, which the store has been charged for.
    fn of_shared(memory: Arc<SharedMemory>, charged: u64) -> Self {
        let definition = memory.definition().cast::<MemoryDefinition>().cast_mut();
        let ty = *memory.ty();
        MemoryEntity {
            ty,
            instance: None,
            memory: None,
            shared: Some((memory, charged)),
            touched: AtomicBool::new(false),
            definition,
            owned: None,
        }
    }

    /// A memory made elsewhere, for which the store is charged too.
    pub(crate) fn adopt(
        memory: Arc<SharedMemory>,
        plan: &MemoryPlan,
        meter: &mut Meter,
    ) -> Result<Self, Error> {
        if memory.mode() != plan.mode {
            return Err(Error::usage(
                "the shared memory was made for an engine that keeps memories in bounds otherwise",
            ));
        }
        let bytes = memory.bytes();
        if !meter.charge_memory(bytes) {
            return Err(ErrorKind::Limit(format!(
                "a shared memory of {bytes} bytes exceeds the limit of {} bytes (all memories \
                 together)",
                meter.limits.memory_bytes_max
            ))
            .into());
        }
        Ok(MemoryEntity::of_shared(memory, bytes))
    }

    /// Bytes that the store has been charged for.
    pub(crate) fn charged(&self) -> u64 {
        self.shared.as_ref().map_or(self.bytes() as u64, |(_, charged)| *charged)
    }

    /// The memory, if threads share it.
    #[must_use]
    pub fn shared(&self) -> Option<&Arc<SharedMemory>> {
        self.shared.as_ref().map(|(memory, _)| memory)
    }

    /// Puts the definition into a vmctx.
    ///
    /// # Safety
    /// `definition` stays valid as long as the entity lives.
    pub(crate) unsafe fn place(&mut self, definition: *mut MemoryDefinition) {
        debug_assert!(self.shared().is_none(), "machine code reads a shared definition");
        self.definition = definition;
        self.update();
    }

    /// Puts the definition into a box of its own; that of a shared memory is beside it.
    pub(crate) fn place_owned(&mut self) {
        if self.shared().is_some() {
            return;
        }
        let empty = MemoryDefinition { base: std::ptr::null_mut(), length: 0, reach: 0 };
        self.definition = &raw mut **self.owned.insert(Box::new(empty));
        self.update();
    }

    fn update(&mut self) {
        if self.shared.is_some() {
            return;
        }
        let reach = self.memory.as_ref().map_or(0, LinearMemory::reach);
        let definition =
            MemoryDefinition { base: self.address(), length: self.bytes() as u64, reach };
        // SAFETY: `place` or `place_owned` gave a valid place; no Rust reference to it exists.
        unsafe { self.definition.write(definition) };
    }

    /// Address of the definition.
    #[must_use]
    pub fn definition(&self) -> *mut MemoryDefinition {
        self.definition
    }

    /// Whether it began with an image of its instance's data.
    pub(crate) fn has_image(&self) -> bool {
        self.memory.as_ref().is_some_and(LinearMemory::has_image)
    }

    /// First byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        // Whoever asks may write.
        self.touched.store(true, Ordering::Relaxed);
        self.address()
    }

    fn address(&self) -> *mut u8 {
        if let Some((memory, _)) = &self.shared {
            return memory.base();
        }
        self.memory.as_ref().map_or(NonNull::dangling().as_ptr(), LinearMemory::base)
    }

    /// Length in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        if let Some((memory, _)) = &self.shared {
            // Its bytes are mapped, so their number fits.
            return memory.bytes() as usize;
        }
        self.memory.as_ref().map_or(0, LinearMemory::bytes)
    }

    /// Length in pages.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.bytes() as u64 >> self.ty.page_size_log2
    }

    /// Grows by `delta` pages; the pages before, or `None` if a limit or the system says no.
    pub fn grow(&mut self, delta: u64, meter: &mut Meter) -> Option<u64> {
        if let Some((memory, charged)) = &mut self.shared {
            return grow_shared(memory, charged, delta, meter);
        }
        let bytes = delta.checked_mul(self.ty.page_bytes())?;
        if !meter.charge_memory(bytes) {
            return None;
        }
        let charge = Charge::of_memory(meter, bytes);
        let grown = self.memory.as_mut().and_then(|memory| memory.grow(delta).ok());
        // An embedder's memory may lie elsewhere even if it did not grow.
        self.update();
        if grown.is_some() {
            charge.keep();
        }
        grown
    }

    /// Whether the first byte would lie elsewhere after growing by pages. Shared memories never move.
    pub(crate) fn moves_when_grown(&self, delta: u64) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.moves_when_grown(delta))
    }
}

/// Grows a shared memory and charges the store for all of it that it was not charged for yet.
fn grow_shared(
    memory: &SharedMemory,
    charged: &mut u64,
    delta: u64,
    meter: &mut Meter,
) -> Option<u64> {
    let mut more = 0;
    let admit = |bytes: u64| {
        more = bytes.saturating_sub(*charged);
        if meter.charge_memory(more) {
            return true;
        }
        more = 0;
        false
    };
    let grown = memory.grow(delta, admit);
    match grown {
        Ok(before) => {
            *charged += more;
            Some(before)
        }
        Err(_) => {
            meter.refund_memory(more);
            None
        }
    }
}

/// A table of a store.
#[derive(Debug)]
pub struct TableEntity {
    /// Its type in the engine's terms; the minimum is that at creation.
    pub ty: TableType,
    /// The instance that defines it.
    pub(crate) instance: Option<InstanceId>,
    /// Keeps the type of a host-made table's elements.
    pub(crate) kept_type: Option<RegisteredType>,
    storage: TableStorage,
    lazy: Option<LazyCells>,
    definition: *mut TableDefinition,
    owned: Option<Box<TableDefinition>>,
}

/// Where the elements are found that have not been read yet.
#[derive(Clone, Copy, Debug)]
struct LazyCells {
    /// The instance that defines the table; it lives as long as the table.
    instance: NonNull<Instance>,
    table: DefinedTableIndex,
}

impl LazyCells {
    fn element(&self, index: u64) -> u64 {
        // SAFETY: see the field; only its lists of functions are looked at.
        let instance = unsafe { self.instance.as_ref() };
        let func = instance.compiled().initial().element(self.table, index);
        func.map_or(0, |func| instance.func(func).as_ptr() as usize as u64)
    }
}

impl TableEntity {
    /// A table, charged already, without a place for its definition yet.
    pub(crate) fn new(ty: TableType, storage: TableStorage) -> Self {
        let definition = std::ptr::null_mut();
        TableEntity {
            ty,
            instance: None,
            kept_type: None,
            storage,
            lazy: None,
            definition,
            owned: None,
        }
    }

    /// Charges a table of this type.
    pub(crate) fn charge(ty: &TableType, meter: &mut Meter) -> Result<(), Error> {
        if meter.charge_table(ty.minimum) {
            return Ok(());
        }
        Err(ErrorKind::Limit(format!(
            "a table of {} elements exceeds the limit of {} (all tables together)",
            ty.minimum, meter.limits.table_elements_max
        ))
        .into())
    }

    /// A table outside of all instances, charged here, filled with a reference (as bits).
    pub(crate) fn on_demand(
        ty: TableType,
        init: u64,
        creators: &Creators,
        meter: &mut Meter,
    ) -> Result<Self, Error> {
        Self::charge(&ty, meter)?;
        let charge = Charge::of_table(meter, ty.minimum);
        let storage = new_storage(&ty, init, creators)?;
        charge.keep();
        Ok(TableEntity::new(ty, storage))
    }

    /// Takes the cells out; what is left has none.
    pub(crate) fn take_storage(&mut self) -> TableStorage {
        std::mem::replace(&mut self.storage, TableStorage::empty())
    }

    /// Cells that are not filled yet are the elements of a table that an instance defines.
    ///
    /// # Safety
    /// The instance lives, at this address, as long as the entity.
    pub(crate) unsafe fn fill_from(
        &mut self,
        instance: NonNull<Instance>,
        table: DefinedTableIndex,
    ) {
        self.lazy = Some(LazyCells { instance, table });
    }

    /// As [`MemoryEntity::place`].
    ///
    /// # Safety
    /// `definition` stays valid as long as the entity lives.
    pub(crate) unsafe fn place(&mut self, definition: *mut TableDefinition) {
        self.definition = definition;
        self.update();
    }

    pub(crate) fn place_owned(&mut self) {
        let owned =
            self.owned.insert(Box::new(TableDefinition { base: std::ptr::null_mut(), length: 0 }));
        self.definition = &raw mut **owned;
        self.update();
    }

    fn update(&mut self) {
        let definition =
            TableDefinition { base: self.storage.base().cast(), length: self.storage.len() };
        // SAFETY: as in `MemoryEntity::update`.
        unsafe { self.definition.write(definition) };
    }

    /// Address of the definition.
    #[must_use]
    pub fn definition(&self) -> *mut TableDefinition {
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
        self.storage.get(index).map(|cell| self.decode(index, cell))
    }

    /// The elements that are not null and were read or written: what is filled from an instance
    /// when it is first asked for is that instance's, or its imports'.
    pub(crate) fn filled(&self) -> impl Iterator<Item = Val> {
        let ty = ValType::Ref(self.ty.element);
        let is_filled = |&cell: &u64| match self.ty.element.is_func() {
            true => cell != FUNCREF_CELL_LAZY && cell != FUNCREF_CELL_NULL,
            false => cell != 0,
        };
        self.storage.values().filter(is_filled).map(move |cell| Val::from_bits(cell.into(), ty))
    }

    /// As [`TableEntity::get`]; the cell is filled, so that code need not ask again.
    pub fn get_and_fill(&mut self, index: u64) -> Option<u64> {
        let bits = self.get(index)?;
        let filled = self.set(index, bits);
        debug_assert!(filled, "the index is in bounds");
        Some(bits)
    }

    /// A cell as a reference's bits.
    fn decode(&self, index: u64, cell: u64) -> u64 {
        if !self.ty.element.is_func() {
            return cell;
        }
        match cell {
            FUNCREF_CELL_LAZY => self.lazy.map_or(0, |lazy| lazy.element(index)),
            FUNCREF_CELL_NULL => 0,
            reference => reference,
        }
    }

    /// Fills the cells of a range whose place is about to matter no more. False: out of bounds.
    fn fill_range(&mut self, start: u64, len: u64) -> bool {
        let Some(end) = start.checked_add(len).filter(|&end| end <= self.len()) else {
            return false;
        };
        if self.ty.element.is_func() {
            for index in start..end {
                if self.storage.get(index) == Some(FUNCREF_CELL_LAZY) {
                    _ = self.get_and_fill(index);
                }
            }
        }
        true
    }

    fn has_range(&self, start: u64, len: u64) -> bool {
        start.checked_add(len).is_some_and(|end| end <= self.len())
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
        self.has_range(dst, len)
            && self.fill_range(src, len)
            && self.storage.copy_within(dst, src, len).is_ok()
    }

    /// Copies from another table; false: out of bounds, nothing written.
    #[must_use]
    pub fn copy_from(&mut self, dst: u64, source: &mut TableEntity, src: u64, len: u64) -> bool {
        self.has_range(dst, len)
            && source.fill_range(src, len)
            && self.storage.copy_from(dst, &source.storage, src, len).is_ok()
    }

    /// Grows; the elements before, or `None` if a limit or the system says no.
    pub fn grow(&mut self, delta: u64, bits: u64, meter: &mut Meter) -> Option<u64> {
        // Cells behind those of the beginning have no element to be filled with: 0 is null.
        let before = self.storage.len();
        let after = before.checked_add(delta)?;
        let index_max = if self.ty.index64 { u64::MAX } else { u64::from(u32::MAX) };
        if after > self.ty.maximum.unwrap_or(index_max).min(index_max) || !meter.charge_table(delta)
        {
            return None;
        }
        let charge = Charge::of_table(meter, delta);
        let grown = self.storage.grow(delta, bits);
        // As for memories.
        self.update();
        grown.ok()?;
        charge.keep();
        Some(before)
    }

    /// Whether the cells would lie elsewhere after growing.
    pub(crate) fn moves_when_grown(&self, delta: u64) -> bool {
        self.storage.moves_when_grown(delta)
    }
}

/// The cells of a new table: the embedder's, if there is a creator.
pub(crate) fn new_storage(
    ty: &TableType,
    fill: u64,
    creators: &Creators,
) -> Result<TableStorage, Error> {
    Ok(match &creators.table {
        Some(creator) => TableStorage::created(&**creator, ty, fill)?,
        None => TableStorage::new(ty.minimum, fill)?,
    })
}

/// A reference's bits as a cell of a table of this element type.
fn encode(element: RefType, bits: u64) -> u64 {
    if element.is_func() && bits == 0 { FUNCREF_CELL_NULL } else { bits }
}

/// A global of a store.
#[derive(Debug)]
pub struct GlobalEntity {
    /// Its type in the engine's terms.
    pub ty: GlobalType,
    /// The instance that defines it.
    pub(crate) instance: Option<InstanceId>,
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
    pub(crate) unsafe fn in_vmctx(
        ty: GlobalType,
        cell: *mut GlobalCell,
        instance: InstanceId,
    ) -> Self {
        GlobalEntity { ty, instance: Some(instance), _kept_type: None, cell, _owned: None }
    }

    /// A global with a cell of its own.
    pub(crate) fn owned(ty: GlobalType, value: Val, kept_type: Option<RegisteredType>) -> Self {
        let mut owned = Box::new(GlobalCell(value.to_bits()));
        GlobalEntity {
            ty,
            instance: None,
            _kept_type: kept_type,
            cell: &raw mut *owned,
            _owned: Some(owned),
        }
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
    /// A tag.
    Tag(TagId),
}
