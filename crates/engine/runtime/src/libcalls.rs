//! The libcalls: what compiled code asks of the runtime. Their list is in `wasmoor_abi::libcall`.
//!
//! Each is called by a shim of `arch` with the caller's vmctx, and answers with a value and a
//! status; a non-zero status says that a pending reason to leave wasm has been recorded. Panics
//! cannot leave a libcall: they become pending reasons too.
//!
//! # Safety
//! A libcall runs on the thread that executes the store's wasm, with the vmctx of a living
//! instance; nothing else refers to the store meanwhile. Guest memory is written through raw
//! pointers after a bounds check against its present length.

#![allow(unsafe_code)]

use crate::const_eval::eval;
use crate::context::{Address, VmctxHeader};
use crate::entities::*;
use crate::error::Error;
use crate::host_func::Panic;
use crate::instance::Instance;
use crate::poll::serve_at_return;
use crate::store::{Pending, StoreInner};
pub(crate) use crate::threads::{memory_notify, memory_wait32, memory_wait64};
use crate::unwind::{STATUS_LEAVE, leave_with};
pub(crate) use crate::unwind::{throw, throw_ref};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use wasmoor_abi::entity::EntityRef;
use wasmoor_abi::*;
use wasmoor_module::ElementItems;

/// A libcall's answer, in the two result registers of the C convention.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) value: u64,
    /// 0, or what the shim does instead of returning (`crate::unwind`).
    pub(crate) status: u64,
}

/// Runs the body of a libcall for the store and instance of `vmctx`.
///
/// # Safety
/// See the head of this file.
unsafe fn libcall(
    vmctx: Address,
    body: impl FnOnce(&mut StoreInner, InstanceId) -> Result<u64, TrapCode>,
) -> Answer {
    // SAFETY: the caller's promise.
    let (store, id) = unsafe {
        let header = vmctx as *const VmctxHeader;
        ((*(*header).store).store, Instance::from_vmctx(vmctx).id())
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: nothing else refers to the store while the libcall runs.
        let value = body(unsafe { &mut *store }, id).map_err(Error::trap)?;
        // SAFETY: as above.
        unsafe { serve_at_return(store) }.map(|()| value)
    }));
    // SAFETY: as above.
    unsafe { answer(store, outcome) }
}

/// A libcall's answer, after recording why wasm is left if it is.
///
/// # Safety
/// The store's wasm frames are on this thread's stack, and nothing else refers to the store.
pub(crate) unsafe fn answer(
    store: *mut StoreInner,
    outcome: std::thread::Result<Result<u64, Error>>,
) -> Answer {
    let pending = match outcome {
        Ok(Ok(value)) => return Answer { value, status: 0 },
        Ok(Err(error)) => {
            // SAFETY: the caller's promise.
            return Answer { value: 0, status: unsafe { leave_with(store, error) }.into() };
        }
        Err(panic) => Pending::Panic(Panic(panic)),
    };
    // SAFETY: the caller's promise.
    unsafe { (*store).set_pending(pending) };
    Answer { value: 0, status: STATUS_LEAVE.into() }
}

/// The answer of a libcall that cannot fail itself.
///
/// # Safety
/// See the head of this file.
unsafe fn done(vmctx: Address) -> Answer {
    // SAFETY: the caller's promise.
    unsafe {
        let store = (*(*(vmctx as *const VmctxHeader)).store).store;
        let outcome = catch_unwind(AssertUnwindSafe(|| serve_at_return(store).map(|()| 0)));
        answer(store, outcome)
    }
}

/// Defines the entry points that the shims call.
macro_rules! entry_points {
    ($( fn $name:ident($store:ident, $id:ident $(, $arg:ident: $ty:ty)*) $body:block )*) => { $(
        /// # Safety
        /// See the head of this file.
        pub(crate) unsafe extern "C" fn $name(vmctx: Address $(, $arg: $ty)*) -> Answer {
            let body = |$store: &mut StoreInner, $id: InstanceId| $body;
            // SAFETY: only shims call this, for compiled code.
            unsafe { libcall(vmctx, body) }
        }
    )* };
}

entry_points! {
    fn raise(_store, _id, code: u32) {
        Err(TrapCode::from_number(code as u8).unwrap_or(TrapCode::Unreachable))
    }

    fn memory_grow(store, id, memory: u32, delta: u64) {
        let memory = store.instances[id].parts.memories[MemoryIndex::from_u32(memory)];
        Ok(store.grow_memory(memory, delta).unwrap_or(u64::MAX))
    }

    fn memory_fill(store, id, memory: u32, dst: u64, value: u32, len: u64) {
        let memory = memory_of(store, id, memory);
        let dst = range(memory, dst, len)?;
        // SAFETY: the range lies in the memory.
        unsafe {
            match memory.shared() {
                None => ptr::write_bytes(dst, value as u8, len as usize),
                Some(_) => wasmoor_memory::fill_bytes(dst, value as u8, len as usize),
            }
        }
        Ok(0)
    }

    fn memory_copy(store, id, dst_memory: u32, src_memory: u32, dst: u64, src: u64, len: u64) {
        let (from, to) = (memory_of(store, id, src_memory), memory_of(store, id, dst_memory));
        let (src, dst) = (range(from, src, len)?, range(to, dst, len)?);
        if from.shared().is_some() || to.shared().is_some() {
            // SAFETY: both ranges lie in their memories; they may overlap.
            unsafe { wasmoor_memory::copy_bytes(dst, src, len as usize) };
            return Ok(0);
        }
        // SAFETY: both ranges lie in their memories; they may overlap.
        unsafe { ptr::copy(src, dst, len as usize) };
        Ok(0)
    }

    fn memory_init(store, id, memory: u32, data: u32, dst: u64, src: u32, len: u32) {
        let memory = MemoryIndex::from_u32(memory);
        memory_init_in(store, id, memory, DataIndex::from_u32(data), dst, src, len)?;
        Ok(0)
    }

    fn data_drop(store, id, data: u32) {
        // What is not there is an active segment of a restored module: dropped already.
        let parts = &mut store.instances[id].parts;
        if let Some(dropped) = parts.dropped_data.get_mut(data as usize) {
            *dropped = true;
            parts.has_dropped_data = true;
        }
        Ok(0)
    }

    fn table_grow(store, id, table: u32, init: u64, delta: u64) {
        let table = store.instances[id].parts.tables[TableIndex::from_u32(table)];
        let grown = store.grow_table_bits(table, delta, init);
        Ok(grown.unwrap_or(u64::MAX))
    }

    fn table_fill(store, id, table: u32, dst: u64, value: u64, len: u64) {
        let table = store.instances[id].parts.tables[TableIndex::from_u32(table)];
        in_table(store.tables[table].fill(dst, value, len))
    }

    fn table_copy(store, id, dst_table: u32, src_table: u32, dst: u64, src: u64, len: u64) {
        let tables = &store.instances[id].parts.tables;
        let dst_id = tables[TableIndex::from_u32(dst_table)];
        let src_id = tables[TableIndex::from_u32(src_table)];
        in_table(copy_between(store, dst_id, src_id, dst, src, len))
    }

    fn table_init(store, id, table: u32, elem: u32, dst: u64, src: u32, len: u32) {
        let table = TableIndex::from_u32(table);
        table_init_in(store, id, table, ElemIndex::from_u32(elem), dst, src, len)?;
        Ok(0)
    }

    fn elem_drop(store, id, elem: u32) {
        store.instances[id].parts.dropped_elems[elem as usize] = true;
        Ok(0)
    }

    fn ref_func(store, id, func: u32) {
        Ok(store.instances[id].func(FuncIndex::from_u32(func)).as_ptr() as usize as u64)
    }

    fn table_get_lazy(store, id, table: u32, index: u64) {
        let table = store.instances[id].parts.tables[TableIndex::from_u32(table)];
        store.tables[table].get_and_fill(index).ok_or(TrapCode::TableOutOfBounds)
    }
}

/// Code checks the bounds itself and asks for no more than the bytes' motion, which is quick.
///
/// # Safety
/// The ranges lie in linear memories of the store.
pub(crate) unsafe extern "C" fn copy_bytes(vmctx: Address, dst: u64, src: u64, len: u64) -> Answer {
    // SAFETY: the caller's promise.
    unsafe {
        ptr::copy(src as usize as *const u8, dst as usize as *mut u8, len as usize);
        done(vmctx)
    }
}

/// As [`copy_bytes`].
///
/// # Safety
/// The range lies in a linear memory of the store.
pub(crate) unsafe extern "C" fn fill_bytes(
    vmctx: Address,
    dst: u64,
    value: u32,
    len: u64,
) -> Answer {
    // SAFETY: the caller's promise.
    unsafe {
        ptr::write_bytes(dst as usize as *mut u8, value as u8, len as usize);
        done(vmctx)
    }
}

fn memory_of(store: &StoreInner, id: InstanceId, index: u32) -> &MemoryEntity {
    store.memory(store.instances[id].parts.memories[MemoryIndex::from_u32(index)])
}

/// Address of a range of a memory.
fn range(memory: &MemoryEntity, start: u64, len: u64) -> Result<*mut u8, TrapCode> {
    let end = start.checked_add(len).ok_or(TrapCode::MemoryOutOfBounds)?;
    if end > memory.bytes() as u64 {
        return Err(TrapCode::MemoryOutOfBounds);
    }
    // SAFETY: `start` is at most the memory's length.
    Ok(unsafe { memory.base().add(start as usize) })
}

fn in_table(done: bool) -> Result<u64, TrapCode> {
    if done { Ok(0) } else { Err(TrapCode::TableOutOfBounds) }
}

fn copy_between(
    store: &mut StoreInner,
    dst_id: TableId,
    src_id: TableId,
    dst: u64,
    src: u64,
    len: u64,
) -> bool {
    if dst_id == src_id {
        return store.tables[dst_id].copy_within(dst, src, len);
    }
    let Some((dst_table, src_table)) = store.tables.get_two_mut(dst_id, src_id) else {
        return false;
    };
    dst_table.copy_from(dst, src_table, src, len)
}

/// `memory.init`, also for active segments.
pub(crate) fn memory_init_in(
    store: &mut StoreInner,
    id: InstanceId,
    memory: MemoryIndex,
    data: DataIndex,
    dst: u64,
    src: u32,
    len: u32,
) -> Result<(), TrapCode> {
    let instance = &store.instances[id];
    let dropped = instance.parts.dropped_data.get(data.index()).is_none_or(|&dropped| dropped);
    let bytes = if dropped { &[] } else { instance.module().data_bytes(data) };
    let bytes = segment(bytes.len(), src, len)
        .map(|range| &bytes[range])
        .ok_or(TrapCode::MemoryOutOfBounds)?;
    write_data(store, id, memory, bytes, dst)
}

/// Writes data to a memory of an instance.
pub(crate) fn write_data(
    store: &StoreInner,
    id: InstanceId,
    memory: MemoryIndex,
    bytes: &[u8],
    dst: u64,
) -> Result<(), TrapCode> {
    let memory = store.memory(store.instances[id].parts.memories[memory]);
    let dst = range(memory, dst, bytes.len() as u64)?;
    if memory.shared().is_some() {
        // SAFETY: the range lies in the memory.
        unsafe { wasmoor_memory::store_bytes(dst, bytes) };
        return Ok(());
    }
    // SAFETY: the range lies in the memory; the module's bytes are elsewhere.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), dst, bytes.len()) };
    Ok(())
}

/// `table.init`, also for active segments.
pub(crate) fn table_init_in(
    store: &mut StoreInner,
    id: InstanceId,
    table: TableIndex,
    elem: ElemIndex,
    dst: u64,
    src: u32,
    len: u32,
) -> Result<(), TrapCode> {
    let instance = &store.instances[id];
    let module = instance.module().clone();
    let items = &module.elements[elem].items;
    let available = if instance.parts.dropped_elems[elem.index()] { 0 } else { items.len() };
    let table = instance.parts.tables[table];
    let source = segment(available, src, len).ok_or(TrapCode::TableOutOfBounds)?;
    let end = dst.checked_add(u64::from(len)).ok_or(TrapCode::TableOutOfBounds)?;
    if end > store.tables[table].len() {
        return Err(TrapCode::TableOutOfBounds);
    }
    for (at, item) in (dst..).zip(source) {
        let instance = &store.instances[id];
        let bits = match items {
            ElementItems::Funcs(funcs) => instance.func(funcs[item]).as_ptr() as usize as u64,
            ElementItems::Exprs(exprs) => eval(store, instance, &exprs[item]) as u64,
        };
        let set = store.tables[table].set(at, bits);
        debug_assert!(set, "checked above");
    }
    Ok(())
}

fn segment(available: usize, start: u32, len: u32) -> Option<std::ops::Range<usize>> {
    let end = (start as usize).checked_add(len as usize)?;
    (end <= available).then_some(start as usize..end)
}
