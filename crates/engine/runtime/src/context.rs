//! The structures that machine code and the runtime share, as Rust types.
//!
//! Their layouts are those of `wasmoor_abi::vmctx`; constant assertions below hold the two
//! together.

use crate::arch::KEPT_REGISTERS;
use crate::store::StoreInner;
use std::mem::{MaybeUninit, offset_of};
use std::sync::atomic::{AtomicU32, AtomicUsize};
use wasmoor_abi::vmctx;

/// An address of machine code or of a vmctx, as stored in structures that code reads.
pub type Address = usize;

/// What compiled code may know of a store. One per store, at a fixed address.
#[repr(C)]
#[derive(Debug)]
pub struct StoreContext {
    /// Lowest stack pointer for guest code.
    pub stack_limit: AtomicUsize,
    /// Fuel left.
    pub fuel: i64,
    /// Vmctx of the code that last called out of its instance.
    pub caller_vmctx: Address,
    /// Frame pointer of the stub through which wasm last called the host.
    pub exit_fp: Address,
    /// Frame pointer of the innermost entry stub; 0: no wasm is running.
    pub entry_fp: Address,
    /// Address of the request word.
    pub request: *const AtomicU32,
    /// Top of the stack on which the lazy stub compiles.
    pub compile_stack_top: Address,
    /// The store that this belongs to.
    pub store: *mut StoreInner,
    /// Where a caught exception goes on.
    pub landing: Landing,
    /// What the capturing stub has captured.
    pub captured: Captured,
    /// How a checkpoint goes on.
    pub resumption: Resumption,
}

/// Where code goes on that caught an exception, for the stubs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Landing {
    /// Code address.
    pub pc: Address,
    /// Stack pointer.
    pub sp: Address,
    /// Frame pointer.
    pub fp: Address,
    /// The exnref.
    pub handle: u64,
    /// Address of the exception.
    pub exception: Address,
}

/// Registers that calls keep, as wasm had them when it called a host function through
/// [`crate::arch::host_call_capturing`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Captured {
    /// That stub's frame pointer; 0: no such function runs, or it has called one that has returned.
    pub stub_fp: Address,
    /// In the order of [`crate::arch::KEPT_REGISTERS`].
    pub registers: [u64; KEPT_REGISTERS],
}

/// How wasm goes on at a checkpoint, for the stub.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Resumption {
    /// Code address.
    pub pc: Address,
    /// Stack pointer, and where the words are written to.
    pub sp: Address,
    /// Frame pointer.
    pub fp: Address,
    /// The registers that calls keep.
    pub registers: [u64; KEPT_REGISTERS],
    /// Address of the words.
    pub source: Address,
    /// Their number.
    pub words: usize,
}

const _: () = {
    assert!(offset_of!(StoreContext, stack_limit) == vmctx::STORE_STACK_LIMIT as usize);
    assert!(offset_of!(StoreContext, fuel) == vmctx::STORE_FUEL as usize);
    assert!(offset_of!(StoreContext, caller_vmctx) == vmctx::STORE_CALLER_VMCTX as usize);
    assert!(offset_of!(StoreContext, exit_fp) == vmctx::STORE_EXIT_FP as usize);
    assert!(offset_of!(StoreContext, entry_fp) == vmctx::STORE_ENTRY as usize);
    assert!(offset_of!(StoreContext, request) == vmctx::STORE_REQUEST as usize);
    assert!(offset_of!(StoreContext, landing) == vmctx::STORE_CONTEXT_BYTES as usize);
};

/// Offset of [`StoreContext::compile_stack_top`], for the lazy stub.
pub const STORE_COMPILE_STACK_TOP: usize = offset_of!(StoreContext, compile_stack_top);

/// Offset of [`StoreContext::landing`], for the stub.
pub const STORE_LANDING: usize = offset_of!(StoreContext, landing);

/// Offset of [`StoreContext::captured`], for the stub.
pub const STORE_CAPTURED: usize = offset_of!(StoreContext, captured);

/// Offset of [`StoreContext::resumption`], for the stub.
pub const STORE_RESUMPTION: usize = offset_of!(StoreContext, resumption);

/// The fixed part of an instance's context block.
#[repr(C)]
#[derive(Debug)]
pub struct VmctxHeader {
    /// `VMCTX_MAGIC_VALUE`.
    pub magic: u32,
    /// Unused.
    pub padding: u32,
    /// The store's context.
    pub store: *mut StoreContext,
    /// The libcall table.
    pub libcalls: *const Address,
    /// The poll page.
    pub poll_page: *const u8,
    /// Canonical ids of the module's types.
    pub type_ids: *const u32,
    /// The instance's record.
    pub instance: *mut crate::instance::Instance,
    /// The module's code slots.
    pub slots: Address,
    /// Unused.
    pub reserved: Address,
}

const _: () = {
    assert!(offset_of!(VmctxHeader, magic) == vmctx::VMCTX_MAGIC as usize);
    assert!(offset_of!(VmctxHeader, store) == vmctx::VMCTX_STORE as usize);
    assert!(offset_of!(VmctxHeader, libcalls) == vmctx::VMCTX_LIBCALLS as usize);
    assert!(offset_of!(VmctxHeader, poll_page) == vmctx::VMCTX_POLL_PAGE as usize);
    assert!(offset_of!(VmctxHeader, type_ids) == vmctx::VMCTX_TYPE_IDS as usize);
    assert!(offset_of!(VmctxHeader, instance) == vmctx::VMCTX_INSTANCE as usize);
    assert!(offset_of!(VmctxHeader, slots) == vmctx::VMCTX_SLOTS as usize);
    assert!(size_of::<VmctxHeader>() == vmctx::VMCTX_HEADER_BYTES as usize);
};

/// A function reference's target.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FuncRef {
    /// The code slot to call through.
    pub slot: *const AtomicUsize,
    /// First argument for the callee: a vmctx, or the context of a host function.
    pub vmctx: Address,
    /// Canonical id of its type.
    pub type_id: u32,
    /// Index in its module (or 0 for a host function), for the runtime alone.
    pub func_index: u32,
    /// Display of its type, which the store keeps.
    pub display: *const u32,
}

const _: () = {
    assert!(offset_of!(FuncRef, slot) == vmctx::FUNCREF_SLOT as usize);
    assert!(offset_of!(FuncRef, vmctx) == vmctx::FUNCREF_VMCTX as usize);
    assert!(offset_of!(FuncRef, type_id) == vmctx::FUNCREF_TYPE as usize);
    assert!(offset_of!(FuncRef, display) == vmctx::FUNCREF_DISPLAY as usize);
    assert!(size_of::<FuncRef>() == vmctx::FUNCREF_BYTES as usize);
};

/// An imported function in a vmctx.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ImportedFunc {
    /// The code slot to call through.
    pub slot: *const AtomicUsize,
    /// First argument for the callee.
    pub vmctx: Address,
}

const _: () = {
    assert!(offset_of!(ImportedFunc, slot) == vmctx::IMPORT_FUNC_SLOT as usize);
    assert!(offset_of!(ImportedFunc, vmctx) == vmctx::IMPORT_FUNC_VMCTX as usize);
};

/// A table's definition.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TableDefinition {
    /// First element.
    pub base: *mut u8,
    /// Elements.
    pub length: u64,
}

const _: () = {
    assert!(offset_of!(TableDefinition, base) == vmctx::TABLE_BASE as usize);
    assert!(offset_of!(TableDefinition, length) == vmctx::TABLE_LENGTH as usize);
};

/// A memory's definition.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MemoryDefinition {
    /// First byte.
    pub base: *mut u8,
    /// Bytes.
    pub length: u64,
    /// What larger indices are replaced by, where code clamps them.
    pub reach: u64,
}

const _: () = {
    assert!(offset_of!(MemoryDefinition, base) == vmctx::MEMORY_BASE as usize);
    assert!(offset_of!(MemoryDefinition, length) == vmctx::MEMORY_LENGTH as usize);
    assert!(offset_of!(MemoryDefinition, reach) == vmctx::MEMORY_REACH as usize);
    assert!(size_of::<MemoryDefinition>() == vmctx::MEMORY_DEFINITION_BYTES as usize);
};

/// A global's cell.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalCell(pub u128);

/// Registers and stack arguments of one call between host and wasm, in the order of
/// `wasmoor_abi::call`: what the entry stub loads before and stores after.
///
/// Registers that a call does not use stay uninitialised: clearing them took longer than the call.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct CallFrame {
    /// General registers: parameters (number 0, the vmctx, is passed apart), then results.
    pub gpr: [MaybeUninit<u64>; 8],
    /// Vector registers: parameters, then results.
    pub fpr: [MaybeUninit<u128>; 8],
    /// Stack arguments, in 8-byte words.
    pub stack: *const u64,
    /// Their number, a multiple of two.
    pub stack_words: usize,
}

/// The registers part of [`CallFrame`], as a host function sees it.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Registers {
    /// General registers: parameters, then results.
    pub gpr: [u64; 8],
    /// Vector registers: parameters, then results.
    pub fpr: [u128; 8],
}

const _: () = {
    assert!(offset_of!(CallFrame, gpr) == 0);
    assert!(offset_of!(CallFrame, fpr) == 64);
    assert!(offset_of!(CallFrame, stack) == 192);
    assert!(offset_of!(CallFrame, stack_words) == 200);
    assert!(offset_of!(Registers, fpr) == 64);
    assert!(size_of::<Registers>() == 192);
};

impl CallFrame {
    /// A frame without stack arguments.
    #[must_use]
    #[inline(always)]
    pub const fn new() -> Self {
        CallFrame {
            gpr: [MaybeUninit::uninit(); 8],
            fpr: [MaybeUninit::uninit(); 8],
            stack: std::ptr::null(),
            stack_words: 0,
        }
    }
}

impl Default for CallFrame {
    fn default() -> Self {
        Self::new()
    }
}

/// What a host function's code gets in place of a vmctx.
#[repr(C)]
#[derive(Debug)]
pub struct HostContext {
    /// `HOST_FUNC_MAGIC_VALUE`.
    pub magic: u32,
    /// Bytes of stack arguments, which the callee pops.
    pub stack_bytes: u32,
    /// The store's context.
    pub store: *mut StoreContext,
    /// Called by the stub.
    pub entry: HostEntry,
    /// For `entry`.
    pub data: *const (),
    /// The slot that references to this function call through: it holds the stub.
    pub slot: AtomicUsize,
}

/// Offset of [`HostContext::stack_bytes`], for the stub.
pub const HOST_STACK_BYTES: usize = offset_of!(HostContext, stack_bytes);
/// Offset of [`HostContext::store`], for the stub.
pub const HOST_STORE: usize = offset_of!(HostContext, store);
/// Offset of [`HostContext::entry`], for the stub.
pub const HOST_ENTRY: usize = offset_of!(HostContext, entry);

/// The Rust side of a host function: reads its arguments from `registers` and `stack`, writes its
/// results to `registers` (and the return area). Returns 0, or another status (`crate::unwind`)
/// after it has recorded in the store why wasm must be left or where it goes on.
///
/// # Safety
/// Only the stub may call it, with the context that names it.
pub type HostEntry = unsafe extern "C" fn(
    context: *mut HostContext,
    registers: *mut Registers,
    stack: *const u64,
) -> u32;
