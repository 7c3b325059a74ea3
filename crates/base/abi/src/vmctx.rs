//! Layout of the structures that machine code reads and writes.
//!
//! Every compiled function receives a *vmctx* as its first argument: the address of its instance's
//! context block. All offsets are bytes; pointers are 8 bytes on every supported host. Fields
//! marked *const* never change once the instance exists, so that compilers may load them with
//! `readonly can_move`.
//!
//! ```text
//! vmctx            0  magic        u32   const  VMCTX_MAGIC
//!                  8  store        ptr   const  -> store context
//!                 16  libcalls     ptr   const  -> [code; Libcall::ALL.len()]
//!                 24  poll_page    ptr   const  -> POLL_SITES_MAX readable bytes (see below)
//!                 32  type_ids     ptr   const  -> [CanonicalTypeId u32; module types]
//!                 40  instance     ptr   const  -> the runtime's own record (compilers ignore it)
//!                 48  slots        ptr   const  -> [code slot; defined functions] of the module
//!                 64  imported functions   [slot ptr const, vmctx ptr const]       16 bytes each
//!                     imported tables      [ptr const -> table definition]          8 bytes each
//!                     imported memories    [ptr const -> memory definition]         8 bytes each
//!                     imported globals     [ptr const -> 16-byte global cell]       8 bytes each
//!                     imported tags        [ptr const -> tag]                       8 bytes each
//!                     defined tables       table definition                        16 bytes each
//!                     defined memories     memory definition                       24 bytes each
//!                     pointers to shared   [ptr const -> memory definition]         8 bytes each,
//!                                          one per defined memory (used when it is shared)
//!                     defined tags         [ptr const -> tag]                       8 bytes each
//!                     defined globals      16-byte cell, 16-byte aligned           16 bytes each
//!
//! table definition    0  base    ptr   -> elements, 8 bytes each; moves on growth
//!                     8  length  u64   elements; only grows
//! memory definition   0  base    ptr   const under MemoryMode::Guard and Clamped
//!                     8  length  u64   bytes, a multiple of the page size; only grows
//!                    16  reach   u64   const under MemoryMode::Clamped, unused otherwise
//! global cell         0  value   up to 16 bytes, little-endian; i32 and f32 in the low 4 bytes
//!
//! function reference  0  slot    ptr const -> the code slot to call through
//!                     8  vmctx   ptr const  the callee's first argument
//!                    16  type    u32 const  CanonicalTypeId
//!                    24  display ptr const  -> display of the type
//!
//! type display        0  count   u32        number of types that follow, at least 1
//!                     4  types   [CanonicalTypeId u32; count], from the most general supertype
//!                                           down to the type itself: a type is a subtype of
//!                                           another that has n supertypes if it has that one in
//!                                           place n of its display
//!
//! code slot           0  code    ptr   entry of the best code there is; written by one atomic store
//!
//! exception           0  tag     ptr   const -> its tag, the same as in the vmctx
//!                     8  handle  u64   const  the exnref
//!                    16  values  16 bytes each: its tag's parameters, as in global cells
//! ```
//!
//! **References.** A null reference is 0 everywhere outside of tables. A `funcref` is the address
//! of a function reference structure. In *function* tables (and only there) the value 0 marks a
//! cell not yet filled from its element segment and null is [`FUNCREF_CELL_NULL`]: reading a cell
//! that holds 0 goes through `Libcall::table_get_lazy`; writing null stores `FUNCREF_CELL_NULL`.
//! An `externref` is an opaque non-zero 64-bit handle, or 0 for null, in tables too. So is an
//! `exnref`, which code never looks into and keeps in whole, aligned words only: the runtime
//! finds the references that a stack holds by their looks.
//!
//! **Exceptions.** Code throws by `Libcall::throw` and `throw_ref`, whose calls follow the
//! convention of wasm functions. Where the code of a [handler](crate::handlers) goes on, no
//! register but the frame pointer and the stack pointer holds what it did; the first two payload
//! registers of the convention (rax, rdx) hold the exnref and the address of the exception, which
//! is valid until the next call.
//!
//! **Poll.** Where `Tunables::poll` asks for it: at function entry (where the function can run on
//! without reaching a caller's poll)
//! and at loop heads code makes a dead 1-byte load from `poll_page + site`, with
//! `FaultKind::Poll` as its fault. `site` is different for every poll of one compiled body, so
//! that no optimizer may merge two. The host makes the page unreadable to get attention.
//!
//! **Calls out of the instance.** Code that calls through an imported function or a function
//! reference first stores its own vmctx to the store context's `caller_vmctx`: that is how a host
//! function knows which instance called it.

use crate::index::*;
use crate::types::*;

/// First word of every instance's context.
pub const VMCTX_MAGIC_VALUE: u32 = u32::from_le_bytes(*b"wmrI");
/// First word of every host function's context, in place of a vmctx.
pub const HOST_FUNC_MAGIC_VALUE: u32 = u32::from_le_bytes(*b"wmrH");

/// Offset of the magic word.
pub const VMCTX_MAGIC: u32 = 0;
/// Offset of the pointer to the store context.
pub const VMCTX_STORE: u32 = 8;
/// Offset of the pointer to the libcall table.
pub const VMCTX_LIBCALLS: u32 = 16;
/// Offset of the pointer to the poll page.
pub const VMCTX_POLL_PAGE: u32 = 24;
/// Offset of the pointer to the module's canonical type ids.
pub const VMCTX_TYPE_IDS: u32 = 32;
/// Offset of the pointer to the runtime's instance record.
pub const VMCTX_INSTANCE: u32 = 40;
/// Offset of the pointer to the module's code slots.
pub const VMCTX_SLOTS: u32 = 48;
/// Bytes before the first section that depends on the module.
pub const VMCTX_HEADER_BYTES: u32 = 64;

/// Store context: lowest stack pointer that guest code may use, written by the host on entry.
pub const STORE_STACK_LIMIT: u32 = 0;
/// Store context: fuel left, `i64`. Negative after a charge means that it has run out.
pub const STORE_FUEL: u32 = 8;
/// Store context: vmctx of the code that last called out of its instance.
pub const STORE_CALLER_VMCTX: u32 = 16;
/// Store context: frame pointer of the stub through which wasm last called the host. The word at
/// this address is the wasm frame's own frame pointer, the next one the return address into it.
pub const STORE_EXIT_FP: u32 = 24;
/// Store context: the innermost entry from the host into wasm (the runtime's record).
pub const STORE_ENTRY: u32 = 32;
/// Store context: address of the request word, `u32`, written by other threads.
pub const STORE_REQUEST: u32 = 40;
/// Bytes of the store context that code may know.
pub const STORE_CONTEXT_BYTES: u32 = 64;

/// Function reference: pointer to the code slot.
pub const FUNCREF_SLOT: u32 = 0;
/// Function reference: first argument for the callee.
pub const FUNCREF_VMCTX: u32 = 8;
/// Function reference: canonical id of its type.
pub const FUNCREF_TYPE: u32 = 16;
/// Function reference: pointer to the display of its type.
pub const FUNCREF_DISPLAY: u32 = 24;
/// Bytes of a function reference structure.
pub const FUNCREF_BYTES: u32 = 32;

/// Type display: number of types.
pub const DISPLAY_COUNT: u32 = 0;
/// Type display: the first type.
pub const DISPLAY_TYPES: u32 = 4;
/// Bytes of a canonical type id, in displays and in the vmctx's list.
pub const TYPE_ID_BYTES: u32 = 4;

/// What a function table's cell holds before it was filled from its segment.
pub const FUNCREF_CELL_LAZY: u64 = 0;
/// What a function table's cell holds for null.
pub const FUNCREF_CELL_NULL: u64 = 1;

/// Table definition: pointer to the elements.
pub const TABLE_BASE: u32 = 0;
/// Table definition: number of elements.
pub const TABLE_LENGTH: u32 = 8;
/// Bytes of one element.
pub const TABLE_ELEMENT_BYTES: u32 = 8;
/// Memory definition: pointer to the first byte.
pub const MEMORY_BASE: u32 = 0;
/// Memory definition: length in bytes.
pub const MEMORY_LENGTH: u32 = 8;
/// Memory definition: what larger indices are replaced by under `MemoryMode::Clamped`.
pub const MEMORY_REACH: u32 = 16;
/// Bytes of a memory definition.
pub const MEMORY_DEFINITION_BYTES: u32 = 24;
/// Imported function: pointer to the code slot.
pub const IMPORT_FUNC_SLOT: u32 = 0;
/// Imported function: first argument for the callee.
pub const IMPORT_FUNC_VMCTX: u32 = 8;
/// Exception: pointer to its tag.
pub const EXCEPTION_TAG: u32 = 0;
/// Exception: the exnref that stands for it.
pub const EXCEPTION_HANDLE: u32 = 8;
/// Exception: the first of its values.
pub const EXCEPTION_VALUES: u32 = 16;
/// Bytes of a value of an exception, and of a value that [`crate::Libcall::throw`] is given.
pub const EXCEPTION_VALUE_BYTES: u32 = 16;

/// Bytes of a global's cell.
pub const GLOBAL_CELL_BYTES: u32 = 16;

/// How many entities of each kind a module has; everything that the layout depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ModuleCounts {
    pub imported_funcs: u32,
    pub imported_tables: u32,
    pub imported_memories: u32,
    pub imported_globals: u32,
    pub imported_tags: u32,
    pub defined_tables: u32,
    pub defined_memories: u32,
    pub defined_tags: u32,
    pub defined_globals: u32,
}

/// Offsets of the vmctx sections that depend on the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmctxLayout {
    counts: ModuleCounts,
    imported_funcs: u32,
    imported_tables: u32,
    imported_memories: u32,
    imported_globals: u32,
    imported_tags: u32,
    defined_tables: u32,
    defined_memories: u32,
    shared_memories: u32,
    defined_tags: u32,
    defined_globals: u32,
    size: u32,
}

/// Where the definition of a table or memory, or the cell of a global, is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the vmctx itself, at this offset.
    Inline(u32),
    /// Behind the pointer at this offset of the vmctx.
    Behind(u32),
}

impl VmctxLayout {
    /// The layout for a module with these counts.
    ///
    /// # Panics
    /// When the block exceeds 4 GiB, which the limits of modules (1,000,000 of each) rule out.
    #[must_use]
    #[allow(clippy::expect_used, reason = "the limits of modules rule it out")]
    pub fn new(counts: ModuleCounts) -> Self {
        let mut at = VMCTX_HEADER_BYTES;
        let mut section = |count: u32, bytes: u32, align: u32| {
            at = at.next_multiple_of(align);
            let start = at;
            at = count
                .checked_mul(bytes)
                .and_then(|len| at.checked_add(len))
                .expect("module limits keep the vmctx small");
            start
        };
        let imported_funcs = section(counts.imported_funcs, 16, 8);
        let imported_tables = section(counts.imported_tables, 8, 8);
        let imported_memories = section(counts.imported_memories, 8, 8);
        let imported_globals = section(counts.imported_globals, 8, 8);
        let imported_tags = section(counts.imported_tags, 8, 8);
        let defined_tables = section(counts.defined_tables, 16, 8);
        let defined_memories = section(counts.defined_memories, MEMORY_DEFINITION_BYTES, 8);
        let shared_memories = section(counts.defined_memories, 8, 8);
        let defined_tags = section(counts.defined_tags, 8, 8);
        let defined_globals = section(counts.defined_globals, GLOBAL_CELL_BYTES, 16);
        let size = at.next_multiple_of(16);
        VmctxLayout {
            counts,
            imported_funcs,
            imported_tables,
            imported_memories,
            imported_globals,
            imported_tags,
            defined_tables,
            defined_memories,
            shared_memories,
            defined_tags,
            defined_globals,
            size,
        }
    }

    /// The counts that the layout was made from.
    #[must_use]
    pub const fn counts(&self) -> &ModuleCounts {
        &self.counts
    }

    /// Bytes of the whole block; it is aligned to 16.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Offset of an imported function's `[slot, vmctx]` pair.
    #[must_use]
    pub fn imported_func(&self, index: FuncIndex) -> u32 {
        debug_assert!(index.as_u32() < self.counts.imported_funcs);
        self.imported_funcs + index.as_u32() * 16
    }

    /// Where a table's definition is.
    #[must_use]
    pub fn table(&self, index: TableIndex) -> Place {
        match index.as_u32().checked_sub(self.counts.imported_tables) {
            None => Place::Behind(self.imported_tables + index.as_u32() * 8),
            Some(defined) => Place::Inline(self.defined_tables + defined * 16),
        }
    }

    /// Where a memory's definition is. A shared memory's definition belongs to no instance.
    #[must_use]
    pub fn memory(&self, index: MemoryIndex, ty: &MemoryType) -> Place {
        match index.as_u32().checked_sub(self.counts.imported_memories) {
            None => Place::Behind(self.imported_memories + index.as_u32() * 8),
            Some(defined) if ty.shared => Place::Behind(self.shared_memories + defined * 8),
            Some(defined) => {
                Place::Inline(self.defined_memories + defined * MEMORY_DEFINITION_BYTES)
            }
        }
    }

    /// Where a global's cell is.
    #[must_use]
    pub fn global(&self, index: GlobalIndex) -> Place {
        match index.as_u32().checked_sub(self.counts.imported_globals) {
            None => Place::Behind(self.imported_globals + index.as_u32() * 8),
            Some(defined) => Place::Inline(self.defined_globals + defined * GLOBAL_CELL_BYTES),
        }
    }

    /// Offset of the pointer to a tag.
    #[must_use]
    pub fn tag(&self, index: TagIndex) -> u32 {
        match index.as_u32().checked_sub(self.counts.imported_tags) {
            None => self.imported_tags + index.as_u32() * 8,
            Some(defined) => self.defined_tags + defined * 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_each_other_without_overlap() {
        let layout = VmctxLayout::new(ModuleCounts {
            imported_funcs: 1,
            imported_tables: 1,
            imported_memories: 1,
            imported_globals: 1,
            imported_tags: 1,
            defined_tables: 1,
            defined_memories: 1,
            defined_tags: 1,
            defined_globals: 2,
        });
        assert_eq!(layout.imported_func(FuncIndex::from_u32(0)), 64);
        assert_eq!(layout.table(TableIndex::from_u32(0)), Place::Behind(80));
        assert_eq!(layout.table(TableIndex::from_u32(1)), Place::Inline(112));
        let ty = MemoryType {
            minimum: 0,
            maximum: None,
            index64: false,
            shared: false,
            page_size_log2: 16,
        };
        assert_eq!(layout.memory(MemoryIndex::from_u32(1), &ty), Place::Inline(128));
        let shared = MemoryType { shared: true, ..ty };
        assert_eq!(layout.memory(MemoryIndex::from_u32(1), &shared), Place::Behind(152));
        assert_eq!(layout.tag(TagIndex::from_u32(1)), 160);
        assert_eq!(layout.global(GlobalIndex::from_u32(1)), Place::Inline(176));
        assert_eq!(layout.size(), 208);
    }
}
