//! Tags, and the exceptions of a store.
//!
//! Wasm holds an exception by an opaque handle: a position in the store's list with the
//! position's *generation*, which changes whenever the position is used again. No address of the
//! host ever serves as a reference, and a handle that outlived its exception finds nothing.
//!
//! **Which exceptions are kept.** Without a collector nobody knows which values of a guest's
//! frames are references, but handles are easy to tell from other words. So when many exceptions
//! have piled up, the throwing guest's stack is searched for words that are handles, and what
//! tables, globals, the host and other exceptions refer to is kept too; the rest is freed. A word
//! that looks like a handle by accident keeps an exception for longer than needed, never less.
//! The time between searches grows with their cost, and every exception is charged to the
//! store's meter: a guest that keeps too many traps.
//!
//! The host's own references are not searched for: an exception that the host was given as a
//! value is kept until it says otherwise ([`StoreInner::release_exception`]), one that left wasm
//! as an error as long as the error.
//!
//! # Safety
//! Machine code reads an exception's cells, which never move or change while the exception is in
//! the list. The search reads words of the thread's own stack between its stack pointer and the
//! outermost entry of the store.

#![allow(unsafe_code)]

use crate::arch;
use crate::context::{Address, GlobalCell};
use crate::entities::{InstanceId, TagId};
use crate::error::Error;
use crate::store::StoreInner;
use crate::types::RegisteredType;
use crate::value::{ExnRefId, Val};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use wasmoor_abi::limits::EXCEPTIONS_UNSWEPT_MIN;
use wasmoor_abi::vmctx::{
    EXCEPTION_HANDLE, EXCEPTION_TAG, EXCEPTION_VALUE_BYTES, EXCEPTION_VALUES,
};
use wasmoor_abi::{CanonicalTypeId, FuncType, HeapType, TagIndex, TrapCode, ValType};

/// Cells before the values: tag and handle.
const HEADER_CELLS: usize = 1;
/// The first generation of every position: unlike what numbers of a guest mostly look like.
const GENERATION_FIRST: u32 = 0x9e37_79b9;
/// Words searched that cost about as much as throwing once.
const WORDS_PER_EXCEPTION: usize = 16;

const _: () = {
    assert!(EXCEPTION_TAG == 0 && EXCEPTION_HANDLE == 8);
    assert!(EXCEPTION_VALUES as usize == HEADER_CELLS * size_of::<GlobalCell>());
    assert!(EXCEPTION_VALUE_BYTES as usize == size_of::<GlobalCell>());
};

/// The reference to what is at a position in a generation.
fn reference(index: u32, generation: u32) -> ExnRefId {
    let bits = u64::from(generation) << 32 | (u64::from(index) + 1);
    // The low half is not zero: positions are counted up to `u32::MAX - 1`.
    ExnRefId::new(bits).unwrap_or(ExnRefId::MAX)
}

/// Position and generation.
fn parts(reference: ExnRefId) -> (u32, u32) {
    ((reference.get() as u32).wrapping_sub(1), (reference.get() >> 32) as u32)
}

/// A tag of a store. What tells tags apart is the address of their identity.
#[derive(Debug)]
pub struct TagEntity {
    ty: RegisteredType,
    /// The instance that defines it, and its index there; `None`: made by the host.
    pub origin: Option<(InstanceId, TagIndex)>,
    identity: Box<TagIdentity>,
}

/// What the pointers to a tag point to.
#[derive(Debug)]
pub struct TagIdentity {
    id: TagId,
}

impl TagEntity {
    /// What exceptions of the tag carry, as parameters; defined types are the engine's.
    #[must_use]
    pub fn params(&self) -> &[ValType] {
        self.ty.ty().as_func().map_or(&[], |ty| &ty.params)
    }

    /// The instance that defines it.
    pub(crate) fn instance(&self) -> Option<InstanceId> {
        self.origin.map(|(instance, _)| instance)
    }

    /// Canonical id of the type.
    #[must_use]
    pub fn type_id(&self) -> CanonicalTypeId {
        self.ty.id()
    }

    /// What vmctxs and exceptions hold.
    #[must_use]
    pub fn identity(&self) -> *const TagIdentity {
        &raw const *self.identity
    }
}

/// An exception in the list.
#[derive(Debug)]
struct Exception {
    tag: TagId,
    /// Header and values; machine code reads them.
    cells: Box<[GlobalCell]>,
    /// The host was given a reference.
    is_kept: AtomicBool,
    /// Alive while an error of the host's stands for this exception.
    error: Weak<()>,
    /// Found by the present search.
    is_marked: bool,
}

impl Exception {
    /// What goes back when it goes. Its position stays, for another.
    fn charge(&self) -> u64 {
        size_of_val::<[GlobalCell]>(&self.cells) as u64
    }

    fn values(&self) -> &[GlobalCell] {
        &self.cells[HEADER_CELLS..]
    }
}

#[derive(Debug)]
struct Position {
    generation: u32,
    exception: Option<Exception>,
}

/// The exceptions of a store.
#[derive(Debug)]
pub(crate) struct Exceptions {
    positions: Vec<Position>,
    free: Vec<u32>,
    live: usize,
    /// How many may be alive before the next search.
    sweep_at: usize,
}

impl Default for Exceptions {
    fn default() -> Self {
        Exceptions {
            positions: Vec::new(),
            free: Vec::new(),
            live: 0,
            sweep_at: EXCEPTIONS_UNSWEPT_MIN,
        }
    }
}

impl Exceptions {
    fn get(&self, handle: ExnRefId) -> Option<&Exception> {
        let (index, generation) = parts(handle);
        let position = self.positions.get(index as usize)?;
        position.exception.as_ref().filter(|_| position.generation == generation)
    }

    fn get_mut(&mut self, handle: ExnRefId) -> Option<&mut Exception> {
        let (index, generation) = parts(handle);
        let position = self.positions.get_mut(index as usize)?;
        position.exception.as_mut().filter(|_| position.generation == generation)
    }

    /// Bytes that the next position takes for good: none if one is free.
    fn position_bytes(&self) -> usize {
        if self.free.is_empty() { size_of::<Position>() + size_of::<u32>() } else { 0 }
    }

    /// Takes a position; `None`: there are none left.
    fn insert(&mut self, exception: impl FnOnce(ExnRefId) -> Exception) -> Option<ExnRefId> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.positions.len()).ok().filter(|i| *i < u32::MAX)?;
                self.positions.push(Position { generation: GENERATION_FIRST, exception: None });
                index
            }
        };
        let position = &mut self.positions[index as usize];
        let handle = reference(index, position.generation);
        position.exception = Some(exception(handle));
        self.live += 1;
        Some(handle)
    }

    /// What the host refers to, by a value or by an error.
    pub(crate) fn held(&self) -> impl Iterator<Item = ExnRefId> {
        self.positions.iter().zip(0..).filter_map(|(position, index)| {
            let exception = position.exception.as_ref()?;
            let is_held =
                exception.is_kept.load(Ordering::Relaxed) || exception.error.strong_count() > 0;
            is_held.then(|| reference(index, position.generation))
        })
    }

    /// Frees all others; the bytes that were charged for them.
    pub(crate) fn retain(&mut self, kept: &HashSet<ExnRefId>) -> u64 {
        for &handle in kept {
            if let Some(exception) = self.get_mut(handle) {
                exception.is_marked = true;
            }
        }
        self.sweep()
    }

    /// Frees what is not marked, and takes marks away; the bytes that were charged for it.
    fn sweep(&mut self) -> u64 {
        let mut freed = 0;
        for (index, position) in self.positions.iter_mut().enumerate() {
            match &mut position.exception {
                Some(exception) if exception.is_marked => exception.is_marked = false,
                Some(exception) => {
                    freed += exception.charge();
                    position.exception = None;
                    self.live -= 1;
                    // A generation that has been used may still be in some word: after the last
                    // one the position stays unused.
                    if let Some(next) = position.generation.checked_add(1) {
                        position.generation = next;
                        self.free.push(index as u32);
                    }
                }
                None => {}
            }
        }
        freed
    }
}

impl StoreInner {
    /// A tag made by the host, whose type has no results.
    ///
    /// # Errors
    /// When the type mentions types that the engine does not know.
    pub fn create_tag(&mut self, ty: &FuncType) -> Result<TagId, Error> {
        let ty = self.engine().types().register_func(ty)?;
        Ok(self.add_tag(ty, None))
    }

    pub(crate) fn add_tag(
        &mut self,
        ty: RegisteredType,
        origin: Option<(InstanceId, TagIndex)>,
    ) -> TagId {
        let identity = Box::new(TagIdentity { id: self.tags.next_key() });
        self.tags.insert(TagEntity { ty, origin, identity })
    }

    /// A tag.
    #[must_use]
    pub fn tag(&self, id: TagId) -> &TagEntity {
        &self.tags[id]
    }

    /// The tag with this identity.
    ///
    /// # Safety
    /// It is that of a tag of this store, which is not gone.
    pub(crate) unsafe fn tag_of(&self, identity: *const TagIdentity) -> TagId {
        // SAFETY: the caller's promise.
        unsafe { (*identity).id }
    }

    /// What people call a tag.
    #[must_use]
    pub fn tag_name(&self, id: TagId) -> String {
        match self.tags[id].origin {
            Some((instance, index)) => self.instance(instance).module().tag_display_name(index),
            None => "a host's tag".to_owned(),
        }
    }

    /// Makes an exception; the values are those of the tag's parameters.
    ///
    /// # Errors
    /// `TrapCode::LimitExceeded` when the meter refuses it.
    pub(crate) fn throw_new(
        &mut self,
        tag: TagId,
        values: impl ExactSizeIterator<Item = u128>,
    ) -> Result<ExnRefId, TrapCode> {
        let identity = self.tags[tag].identity();
        let cells = (HEADER_CELLS + values.len()) * size_of::<GlobalCell>();
        let bytes = (self.exceptions.position_bytes() + cells) as u64;
        if !self.meter.charge_host(bytes) {
            return Err(TrapCode::LimitExceeded);
        }
        let inserted = self.exceptions.insert(|handle| {
            let header = u128::from(handle.get()) << 64 | identity as usize as u128;
            let cells = std::iter::once(header).chain(values).map(GlobalCell).collect();
            let (is_kept, error) = (AtomicBool::new(false), Weak::new());
            Exception { tag, cells, is_kept, error, is_marked: false }
        });
        inserted.ok_or_else(|| {
            self.meter.refund_host(bytes);
            TrapCode::LimitExceeded
        })
    }

    /// Makes an exception for the host; kept until it is released.
    ///
    /// # Errors
    /// `TrapCode::LimitExceeded` when the meter refuses it.
    pub fn create_exception(&mut self, tag: TagId, values: &[Val]) -> Result<ExnRefId, TrapCode> {
        let handle = self.throw_new(tag, values.iter().map(|value| value.to_bits()))?;
        self.keep_exception(handle);
        Ok(handle)
    }

    /// Keeps an exception because the host has a reference.
    pub fn keep_exception(&self, handle: ExnRefId) {
        if let Some(exception) = self.exceptions.get(handle) {
            exception.is_kept.store(true, Ordering::Relaxed);
        }
    }

    /// The host has no reference to the exception any more, or does not mind if it is gone.
    pub fn release_exception(&self, handle: ExnRefId) {
        if let Some(exception) = self.exceptions.get(handle) {
            exception.is_kept.store(false, Ordering::Relaxed);
        }
    }

    /// Keeps an exception as long as the result lives, for an error.
    pub(crate) fn root_exception(&mut self, handle: ExnRefId) -> Arc<()> {
        let Some(exception) = self.exceptions.get_mut(handle) else { return Arc::new(()) };
        exception.error.upgrade().unwrap_or_else(|| {
            let root = Arc::new(());
            exception.error = Arc::downgrade(&root);
            root
        })
    }

    /// An exception's tag; `None`: it is gone.
    #[must_use]
    pub fn exception_tag(&self, handle: ExnRefId) -> Option<TagId> {
        self.exceptions.get(handle).map(|exception| exception.tag)
    }

    /// An exception's values; `None`: it is gone.
    #[must_use]
    pub fn exception_values(&self, handle: ExnRefId) -> Option<Vec<Val>> {
        let exception = self.exceptions.get(handle)?;
        let values = exception.values().iter().zip(self.tags[exception.tag].params());
        Some(values.map(|(cell, &ty)| Val::from_bits(cell.0, ty)).collect())
    }

    /// Address of an exception, for the code that catches it.
    pub(crate) fn exception_address(&self, handle: ExnRefId) -> Option<Address> {
        self.exceptions.get(handle).map(|exception| exception.cells.as_ptr() as Address)
    }

    // The search.

    /// Frees exceptions that nothing refers to, if that is due or `now`.
    ///
    /// # Safety
    /// Called by wasm of this store on this thread, through a libcall.
    pub(crate) unsafe fn sweep_exceptions(&mut self, now: bool) {
        if now || self.exceptions.live >= self.exceptions.sweep_at {
            // SAFETY: the caller's promise.
            unsafe { self.search_and_sweep() };
        }
    }

    /// # Safety
    /// As [`StoreInner::sweep_exceptions`].
    #[cold]
    unsafe fn search_and_sweep(&mut self) {
        let mut search = Search { store: self, found: Vec::new(), words: 0 };
        // SAFETY: the caller's promise.
        if !unsafe { search.stack() } {
            return;
        }
        search.checkpoints();
        search.tables_and_globals();
        search.host();
        search.values();
        let words = search.words;
        let freed = self.exceptions.sweep();
        self.meter.refund_host(freed);
        let live = self.exceptions.live;
        let pause = EXCEPTIONS_UNSWEPT_MIN.max(live).max(words / WORDS_PER_EXCEPTION);
        self.exceptions.sweep_at = live.saturating_add(pause);
    }
}

/// A search for references to exceptions.
struct Search<'s> {
    store: &'s mut StoreInner,
    /// Marked ones whose values are still to be looked at.
    found: Vec<ExnRefId>,
    /// Words looked at.
    words: usize,
}

impl Search<'_> {
    /// Takes note of a word that may be a handle.
    fn word(&mut self, bits: u64) {
        self.words += 1;
        let Some(handle) = ExnRefId::new(bits) else { return };
        if let Some(exception) = self.store.exceptions.get_mut(handle)
            && !exception.is_marked
        {
            exception.is_marked = true;
            self.found.push(handle);
        }
    }

    /// Everything from here up to the store's outermost entry, registers included. False: that
    /// entry was made on another stack, so nothing is known.
    ///
    /// # Safety
    /// As [`StoreInner::sweep_exceptions`].
    unsafe fn stack(&mut self) -> bool {
        let mut entry_fp = self.store.context.entry_fp;
        let mut outermost = 0;
        while entry_fp != 0 {
            outermost = entry_fp;
            // SAFETY: a link of the chain of active entries.
            (entry_fp, _) = unsafe { arch::former_entry(entry_fp) };
        }
        if !wasmoor_sys::stack::current_thread_stack().contains(&outermost) {
            return false;
        }
        arch::with_saved_registers(&mut |sp| {
            for at in (sp..outermost).step_by(size_of::<u64>()) {
                // SAFETY: an aligned word of this thread's stack, above its stack pointer.
                self.word(unsafe { (at as *const u64).read_volatile() });
            }
        });
        true
    }

    /// Stacks that may be put back.
    fn checkpoints(&mut self) {
        let checkpoints = std::mem::take(&mut self.store.checkpoints);
        checkpoints.words().for_each(|bits| self.word(bits));
        self.store.checkpoints = checkpoints;
    }

    fn tables_and_globals(&mut self) {
        let globals: Vec<u64> = self
            .store
            .globals
            .values()
            .filter(|global| is_exnref(global.ty.content))
            .map(|global| global.get().to_bits() as u64)
            .collect();
        globals.into_iter().for_each(|bits| self.word(bits));
        let tables = self.store.tables.iter();
        let tables = tables.filter(|(_, table)| is_exnref(ValType::Ref(table.ty.element)));
        for id in tables.map(|(id, _)| id).collect::<Vec<_>>() {
            for index in 0..self.store.tables[id].len() {
                let bits = self.store.tables[id].get(index).unwrap_or(0);
                self.word(bits);
            }
        }
    }

    /// What the host refers to.
    fn host(&mut self) {
        let held: Vec<_> = self.store.exceptions.held().collect();
        held.into_iter().for_each(|handle| self.word(handle.get()));
    }

    /// What exceptions that were found refer to.
    fn values(&mut self) {
        while let Some(handle) = self.found.pop() {
            let Some(exception) = self.store.exceptions.get(handle) else { continue };
            let references: Vec<u64> = exception
                .values()
                .iter()
                .zip(self.store.tags[exception.tag].params())
                .filter(|(_, ty)| is_exnref(**ty))
                .map(|(cell, _)| cell.0 as u64)
                .collect();
            references.into_iter().for_each(|bits| self.word(bits));
        }
    }
}

fn is_exnref(ty: ValType) -> bool {
    matches!(ty, ValType::Ref(ty) if matches!(ty.heap, HeapType::Exn | HeapType::NoExn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Key;
    use std::num::NonZeroU32;

    fn exception(_: ExnRefId) -> Exception {
        Exception {
            tag: TagId::new(0, NonZeroU32::MIN),
            cells: Box::new([GlobalCell(0)]),
            is_kept: AtomicBool::new(false),
            error: Weak::new(),
            is_marked: false,
        }
    }

    #[test]
    fn a_handle_finds_nothing_after_its_exception_is_gone() {
        let mut list = Exceptions::default();
        let first = list.insert(exception).expect("a position");
        let second = list.insert(exception).expect("a position");
        list.get_mut(second).expect("it is there").is_marked = true;
        assert!(list.position_bytes() > 0, "the next needs a new position");
        let values = list.get(first).expect("it is there").cells.len() * size_of::<GlobalCell>();
        assert_eq!(list.sweep(), values as u64, "the position stays, and stays charged");
        assert_eq!(list.position_bytes(), 0, "the next takes the free one");
        assert!(list.get(first).is_none());
        assert!(list.get(second).is_some_and(|exception| !exception.is_marked));
        let third = list.insert(exception).expect("a position");
        assert_eq!(parts(third).0, parts(first).0, "positions are used again");
        assert_ne!(third, first);
        assert!(list.get(first).is_none() && list.get(third).is_some());
        assert_eq!((list.live, list.positions.len()), (2, 2));
    }

    #[test]
    fn a_position_is_given_up_with_its_last_generation() {
        let mut list = Exceptions::default();
        list.insert(exception).expect("a position");
        list.positions[0].generation = u32::MAX;
        list.sweep();
        let next = list.insert(exception).expect("a position");
        assert_eq!(parts(next), (1, GENERATION_FIRST));
    }

    #[test]
    fn foreign_bits_find_nothing() {
        let mut list = Exceptions::default();
        let handle = list.insert(exception).expect("a position");
        for bits in [1, 2, u64::MAX, handle.get() + 1, handle.get() ^ 1 << 40] {
            let foreign = ExnRefId::new(bits).expect("not null");
            assert!(list.get(foreign).is_none(), "{bits:#x}");
        }
        assert!(ExnRefId::new(0).is_none());
    }
}
