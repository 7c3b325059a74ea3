//! What every instance of a module begins with, worked out once.
//!
//! Active segments are *folded* where copying them one by one could be told from having them there
//! from the start by nobody: element segments become a list of functions per table, from which
//! cells are filled when they are first read; data segments become an image per memory, mapped
//! copy-on-write. A module that could tell keeps to the order of the specification:
//!
//! * offsets and elements that are not constants, and segments that leave what they write to: one
//!   of them may trap, and what was written before must be seen by whoever shares it;
//! * segments of imported tables and memories, which others see; functions of an instance that
//!   ends at a trap may live on in an imported table, and see what it had.

use crate::stored_images::stored_image;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use wasmoor_abi::entity::PrimaryMap;
use wasmoor_abi::*;
use wasmoor_codegen::container::Container;
use wasmoor_memory::MemoryImage;
use wasmoor_module::{
    ConstExpr, ConstOp, DataMode, DataSegment, ElementItems, ElementMode, Module,
};

/// A table's list of functions may be this many times as long as there are elements.
const SPARSE_FACTOR_MAX: usize = 8;
/// ... or this long.
const SPARSE_ELEMENTS: usize = 4096;
/// Marks a null element.
const NULL: u32 = u32::MAX;

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct InitialState {
    tables: Option<PrimaryMap<DefinedTableIndex, Box<[u32]>>>,
    memories: Option<Box<[Vec<DataIndex>]>>,
    /// Which data segments are dropped before anything of an instance runs: the folded ones.
    dropped_data: Box<[bool]>,
    images: OnceLock<Images>,
    /// Of a restored module without active data segments: where the contents of memories are.
    pub(crate) stored: OnceLock<Arc<Container>>,
    /// The module has been instantiated before.
    used: AtomicBool,
}

/// By defined memory.
type Images = Box<[Option<Arc<MemoryImage>>]>;

impl InitialState {
    pub(crate) fn new(module: &Module) -> Self {
        let memories = fold_memories(module);
        let is_dropped = |segment: &DataSegment| {
            memories.is_some() && matches!(segment.mode, DataMode::Active { .. })
        };
        InitialState {
            tables: fold_tables(module),
            dropped_data: module.data.values().map(is_dropped).collect(),
            memories,
            images: OnceLock::new(),
            stored: OnceLock::new(),
            used: AtomicBool::new(false),
        }
    }

    /// Whether element segments are in the tables' lists, and need not be copied.
    pub(crate) fn has_tables(&self) -> bool {
        self.tables.is_some()
    }

    /// The active data segments of each memory that the module defines, where instances may have
    /// them from the start.
    pub(crate) fn folded_data(&self) -> Option<&[Vec<DataIndex>]> {
        self.memories.as_deref()
    }

    /// Which data segments are dropped before anything of an instance runs, by index.
    pub(crate) fn dropped_data(&self) -> &[bool] {
        &self.dropped_data
    }

    /// The function that an element of a table begins as; `None`: null.
    pub(crate) fn element(&self, table: DefinedTableIndex, index: u64) -> Option<FuncIndex> {
        let list = self.tables.as_ref()?.get(table)?;
        let func = *list.get(usize::try_from(index).ok()?)?;
        (func != NULL).then(|| FuncIndex::from_u32(func))
    }

    /// The images of the module's memories, for an instance that is being made.
    ///
    /// Making them takes as long as copying the data does, so a module's first instance, which is
    /// the last one as often as not, does without (unless `at_once`).
    pub(crate) fn images(&self, module: &Module, at_once: bool) -> &[Option<Arc<MemoryImage>>] {
        let Some(memories) = &self.memories else { return &[] };
        // Without a pool, they are mapped from their file.
        if self.stored.get().is_some() && !at_once {
            return &[];
        }
        if !at_once && !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
            return &[];
        }
        self.images.get_or_init(|| {
            let first = module.counts.imported_memories;
            if let Some(container) = self.stored.get() {
                let types = module.memories.values().skip(first as usize);
                return types.zip(0..).map(|(ty, at)| stored_image(container, ty, at)).collect();
            }
            (first..).zip(memories).map(|(index, data)| image(module, index, data)).collect()
        })
    }
}

fn image(module: &Module, memory: u32, data: &[DataIndex]) -> Option<Arc<MemoryImage>> {
    let ty = &module.memories[MemoryIndex::from_u32(memory)];
    let pieces: Option<Vec<_>> = data
        .iter()
        .map(|&index| {
            let DataMode::Active { offset, .. } = &module.data[index].mode else { return None };
            Some((constant_index(offset, ty.index64)?, module.data_bytes(index)))
        })
        .collect();
    // Threads share one memory, not copies of it.
    if ty.shared { None } else { MemoryImage::new(ty, &pieces?).map(Arc::new) }
}

/// The lists of functions that tables begin with, where all elements are constant and in bounds.
fn fold_tables(module: &Module) -> Option<PrimaryMap<DefinedTableIndex, Box<[u32]>>> {
    let inits_are_null = module
        .table_inits
        .values()
        .all(|init| init.ops.is_empty() || matches!(init.ops[..], [ConstOp::RefNull(_)]));
    if !inits_are_null {
        return None;
    }
    let imported = module.counts.imported_tables;
    let mut lists: PrimaryMap<DefinedTableIndex, Vec<u32>> =
        module.table_inits.keys().map(|_| Vec::new()).collect();
    let mut elements = 0;
    for segment in module.elements.values() {
        let ElementMode::Active { table, offset } = &segment.mode else { continue };
        let ty = &module.tables[*table];
        let defined = DefinedTableIndex::from_u32(table.as_u32().checked_sub(imported)?);
        let start = constant_index(offset, ty.index64)?;
        let end = start.checked_add(segment.items.len() as u64)?;
        if end > ty.minimum || !(ty.element.is_func() || segment.items.is_empty()) {
            return None;
        }
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        elements += segment.items.len();
        let list = &mut lists[defined];
        if end > list.len() && !segment.items.is_empty() {
            if end > SPARSE_ELEMENTS.max(elements.saturating_mul(SPARSE_FACTOR_MAX)) {
                return None;
            }
            list.resize(end, NULL);
        }
        for (at, item) in (start..).zip(0..segment.items.len()) {
            list[at] = constant_element(&segment.items, item)?;
        }
    }
    Some(lists.into_iter().map(|(_, list)| list.into_boxed_slice()).collect())
}

fn constant_element(items: &ElementItems, at: usize) -> Option<u32> {
    match items {
        ElementItems::Funcs(funcs) => Some(funcs[at].as_u32()),
        ElementItems::Exprs(exprs) => match exprs[at].ops[..] {
            [ConstOp::RefFunc(func)] => Some(func.as_u32()),
            [ConstOp::RefNull(_)] => Some(NULL),
            _ => None,
        },
    }
}

/// The active data segments of each defined memory, where all have constant offsets and are in
/// bounds of a memory of the module's own, and no element segment lets others see the instance.
pub(crate) fn fold_memories(module: &Module) -> Option<Box<[Vec<DataIndex>]>> {
    let own_table = |table: TableIndex| table.as_u32() >= module.counts.imported_tables;
    let is_seen = module.elements.values().any(
        |segment| matches!(segment.mode, ElementMode::Active { table, .. } if !own_table(table)),
    );
    if is_seen {
        return None;
    }
    let imported = module.counts.imported_memories;
    let mut memories = vec![Vec::new(); module.memories.len() - imported as usize];
    for (index, segment) in &module.data {
        let DataMode::Active { memory, offset } = &segment.mode else { continue };
        let ty = &module.memories[*memory];
        let defined = memory.as_u32().checked_sub(imported)?;
        let start = constant_index(offset, ty.index64)?;
        let end = start.checked_add(module.data_bytes(index).len() as u64)?;
        if u128::from(end) > u128::from(ty.minimum) * u128::from(ty.page_bytes()) {
            return None;
        }
        memories[defined as usize].push(index);
    }
    Some(memories.into())
}

/// The value of an offset that is a constant.
pub(crate) fn constant_index(expr: &ConstExpr, index64: bool) -> Option<u64> {
    match expr.ops[..] {
        [ConstOp::I32Const(value)] if !index64 => Some(u64::from(value.cast_unsigned())),
        [ConstOp::I64Const(value)] if index64 => Some(value.cast_unsigned()),
        _ => None,
    }
}
