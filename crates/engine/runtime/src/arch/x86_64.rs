//! Stubs for x86-64.
//!
//! # Safety
//! This file is machine code by hand: it relies on the conventions of `wasmoor_abi::call` (the
//! callee pops stack arguments; rbx, rbp, r12-r15 survive calls) and on the layouts in
//! [`crate::context`].
//!
//! The frame of [`enter`], the *entry record*, found by `StoreContext::entry_fp`:
//!
//! ```text
//! rbp +8   return address into the host
//!      0   host's rbp
//!     -8   rbx, r12, r13, r14, r15                      (to -40)
//!    -48   CallFrame
//!    -56   store context
//!    -64   entry_fp of the entry before
//!    -72   exit_fp of the entry before
//!    -80   unused                                        rsp while in wasm, less stack arguments
//! ```

#![allow(unsafe_code)]

use crate::context::*;
use crate::libcalls;
use crate::unwind::{STATUS_LAND, STATUS_RESUME};
use std::arch::naked_asm;
use std::mem::offset_of;
use wasmoor_abi::call::Convention;
use wasmoor_abi::vmctx::*;

/// The convention of this architecture.
pub const CONVENTION: Convention = wasmoor_abi::call::X86_64;

/// Distance from an entry record to the former `entry_fp`.
const RECORD_FORMER_ENTRY: isize = -64;
/// Distance from an entry record to the former `exit_fp`.
const RECORD_FORMER_EXIT: isize = -72;

/// Distance from an entry record to the stack pointer when it calls wasm, less stack arguments.
const RECORD_SP: usize = 80;

/// How many registers calls keep: rbx, r12, r13, r14, r15.
pub const KEPT_REGISTERS: usize = 5;

/// The end of the frames, and arguments, of the wasm that was entered with this record.
pub(crate) fn entry_sp(entry_fp: Address) -> Address {
    entry_fp.saturating_sub(RECORD_SP)
}

/// `(entry_fp, exit_fp)` as they were before the entry with this record.
///
/// # Safety
/// `entry_fp` is the record of an entry that is still active on this thread.
pub unsafe fn former_entry(entry_fp: Address) -> (Address, Address) {
    let record = entry_fp as *const u8;
    // SAFETY: the entry is active, so its frame is intact.
    unsafe {
        (
            record.offset(RECORD_FORMER_ENTRY).cast::<Address>().read(),
            record.offset(RECORD_FORMER_EXIT).cast::<Address>().read(),
        )
    }
}

/// The entry stub; `$load` and `$store` move vector registers, `$results` further results.
macro_rules! entry_stub {
    ([$($load:literal)*] [$($results:literal)*]) => {
        naked_asm!(
            "push rbp",
            "mov rbp, rsp",
            "push rbx",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "push rdi",
            "push rcx",
            "push qword ptr [rcx + {entry}]",
            "push qword ptr [rcx + {exit}]",
            "push rax",
            "mov [rcx + {entry}], rbp",
            "mov rax, rdi",
            "mov r11, rdx",
            "mov rdi, rsi",
            // Stack arguments, last word first.
            "mov r10, [rax + 200]",
            "test r10, r10",
            "jz 3f",
            "mov r9, [rax + 192]",
            "2:",
            "push qword ptr [r9 + r10*8 - 8]",
            "dec r10",
            "jnz 2b",
            "3:",
            $($load,)*
            "mov rsi, [rax + 8]",
            "mov rdx, [rax + 16]",
            "mov rcx, [rax + 24]",
            "mov r8, [rax + 32]",
            "mov r9, [rax + 40]",
            "call r11",
            "mov r11, [rbp - 48]",
            "mov [r11], rax",
            $($results,)*
            "xor eax, eax",
            "jmp {leave}",
            entry = const STORE_ENTRY,
            exit = const STORE_EXIT_FP,
            leave = sym leave,
        )
    };
}

/// Calls `code` with the registers and stack arguments of `frame` and stores its results there.
/// Returns 0, or 1 when wasm was left by [`unwind_to_entry`].
///
/// # Safety
/// `code` is wasm code (or a stub) for `vmctx` whose type agrees with `frame`; `store` is the
/// context of its store, whose stack limit and compile stack are set for this thread.
#[unsafe(naked)]
pub unsafe extern "C" fn enter(
    frame: *mut CallFrame,
    vmctx: Address,
    code: Address,
    store: *mut StoreContext,
) -> u32 {
    entry_stub!(
        [
            "movups xmm0, [rax + 64]"
            "movups xmm1, [rax + 80]"
            "movups xmm2, [rax + 96]"
            "movups xmm3, [rax + 112]"
            "movups xmm4, [rax + 128]"
            "movups xmm5, [rax + 144]"
            "movups xmm6, [rax + 160]"
            "movups xmm7, [rax + 176]"
        ]
        [
            "mov [r11 + 8], rcx"
            "mov [r11 + 16], rdx"
            "mov [r11 + 24], rsi"
            "mov [r11 + 32], rdi"
            "mov [r11 + 40], r8"
            "mov [r11 + 48], r9"
            "mov [r11 + 56], r10"
            "movups [r11 + 64], xmm0"
            "movups [r11 + 80], xmm1"
            "movups [r11 + 96], xmm2"
            "movups [r11 + 112], xmm3"
            "movups [r11 + 128], xmm4"
            "movups [r11 + 144], xmm5"
            "movups [r11 + 160], xmm6"
            "movups [r11 + 176], xmm7"
        ]
    )
}

/// As [`enter`], for types without floats and vectors and with at most one result.
///
/// # Safety
/// As [`enter`].
#[unsafe(naked)]
pub unsafe extern "C" fn enter_integers(
    frame: *mut CallFrame,
    vmctx: Address,
    code: Address,
    store: *mut StoreContext,
) -> u32 {
    entry_stub!([] [])
}

/// The end of [`enter`], with its frame pointer in rbp and the status in eax.
///
/// # Safety
/// Jumped to by this file alone.
#[unsafe(naked)]
unsafe extern "C" fn leave() {
    naked_asm!(
        "mov rcx, [rbp - 56]",
        "mov rdx, [rbp - 64]",
        "mov [rcx + {entry}], rdx",
        "mov rdx, [rbp - 72]",
        "mov [rcx + {exit}], rdx",
        "mov r15, [rbp - 40]",
        "mov r14, [rbp - 32]",
        "mov r13, [rbp - 24]",
        "mov r12, [rbp - 16]",
        "mov rbx, [rbp - 8]",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
        entry = const STORE_ENTRY,
        exit = const STORE_EXIT_FP,
    )
}

/// Drops all wasm frames of the innermost entry, whose [`enter`] then returns 1.
///
/// # Safety
/// An entry is active on this thread, and no Rust frame above it has anything left to drop.
#[unsafe(naked)]
pub unsafe extern "C" fn unwind_to_entry(store: *mut StoreContext) -> ! {
    naked_asm!(
        "mov rbp, [rdi + {entry}]",
        "lea rsp, [rbp - {record_sp}]",
        "mov eax, 1",
        "jmp {leave}",
        entry = const STORE_ENTRY,
        record_sp = const RECORD_SP,
        leave = sym leave,
    )
}

/// Goes on after the host was called and does not return to where it was called from: with rdi,
/// the store context, and eax, the status, at its landing, at a checkpoint, or out of wasm.
///
/// # Safety
/// Jumped to by this file alone, in a frame below those that are left, where no Rust frame has
/// anything left to drop.
#[unsafe(naked)]
unsafe extern "C" fn depart() {
    naked_asm!(
        "cmp eax, {resume_status}",
        "je {resume}",
        "cmp eax, {land}",
        "jne {unwind}",
        "mov rbp, [rdi + {landing} + {fp}]",
        "mov rsp, [rdi + {landing} + {sp}]",
        "mov rax, [rdi + {landing} + {handle}]",
        "mov rdx, [rdi + {landing} + {exception}]",
        "jmp [rdi + {landing} + {pc}]",
        resume_status = const STATUS_RESUME,
        resume = sym resume,
        land = const STATUS_LAND,
        landing = const STORE_LANDING,
        fp = const offset_of!(Landing, fp),
        sp = const offset_of!(Landing, sp),
        handle = const offset_of!(Landing, handle),
        exception = const offset_of!(Landing, exception),
        pc = const offset_of!(Landing, pc),
        unwind = sym unwind_to_entry,
    )
}

/// Goes on at the checkpoint that the store context (in rdi) has a [`Resumption`] of: writes back
/// its frames, from where the stack pointer then is, so that nothing in use is written over.
///
/// # Safety
/// Jumped to by this file alone, after [`StoreInner::resume`](crate::StoreInner) has filled the
/// [`Resumption`] for the innermost activation, where no Rust frame of it has anything left to drop.
#[unsafe(naked)]
unsafe extern "C" fn resume() {
    naked_asm!(
        "lea r11, [rdi + {resumption}]",
        "mov rsp, [r11 + {sp}]",
        "mov rdi, rsp",
        "mov rsi, [r11 + {source}]",
        "mov rcx, [r11 + {words}]",
        "cld",
        "rep movsq",
        "mov rbp, [r11 + {fp}]",
        "mov rbx, [r11 + {registers}]",
        "mov r12, [r11 + {registers} + 8]",
        "mov r13, [r11 + {registers} + 16]",
        "mov r14, [r11 + {registers} + 24]",
        "mov r15, [r11 + {registers} + 32]",
        "xor eax, eax",
        "jmp [r11 + {pc}]",
        resumption = const STORE_RESUMPTION,
        sp = const offset_of!(Resumption, sp),
        source = const offset_of!(Resumption, source),
        words = const offset_of!(Resumption, words),
        fp = const offset_of!(Resumption, fp),
        registers = const offset_of!(Resumption, registers),
        pc = const offset_of!(Resumption, pc),
    )
}

/// Calls `f` with an address below the caller's frame, above which on this stack are all
/// registers that the caller's callers expect to keep.
pub(crate) fn with_saved_registers(mut f: &mut dyn FnMut(Address)) {
    extern "C" fn call(f: &mut &mut dyn FnMut(Address), sp: Address) {
        f(sp);
    }
    /// # Safety
    /// Safe to call like any function of its type.
    #[unsafe(naked)]
    unsafe extern "C" fn save(
        f: &mut &mut dyn FnMut(Address),
        call: extern "C" fn(&mut &mut dyn FnMut(Address), Address),
    ) {
        naked_asm!(
            "push rbp",
            "mov rbp, rsp",
            "push rbx",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "sub rsp, 8",
            "mov rax, rsi",
            "mov rsi, rsp",
            "call rax",
            "leave",
            "ret",
        )
    }
    // SAFETY: `save` calls `call` with its own arguments and changes nothing but registers that
    // calls destroy.
    unsafe { save(&mut f, call) };
}

/// The stub of host functions; `$spill` and `$load` move vector registers, `$results` further
/// results. `$before` and `$after` stand around the call, the one with the store context in rax.
macro_rules! host_stub {
    (
        [$($spill:literal)*] [$($results:literal)*] [$($before:literal)*] [$($after:literal)*]
        $(, $name:ident = $operand:expr)*
    ) => {
        naked_asm!(
            "push rbp",
            "mov rbp, rsp",
            "push rbx",
            "sub rsp, 200",
            "mov [rsp + 8], rsi",
            "mov [rsp + 16], rdx",
            "mov [rsp + 24], rcx",
            "mov [rsp + 32], r8",
            "mov [rsp + 40], r9",
            $($spill,)*
            "mov rax, [rdi + {store}]",
            "mov [rax + {exit}], rbp",
            $($before,)*
            // rbx keeps the context over the call.
            "mov rbx, rdi",
            "mov rsi, rsp",
            "lea rdx, [rbp + 16]",
            "call [rdi + {host_entry}]",
            $($after,)*
            "mov r11, rbx",
            "test eax, eax",
            "jnz 3f",
            "mov rbx, [rbp - 8]",
            "mov rax, [rsp]",
            $($results,)*
            "mov r11d, [r11 + {stack_bytes}]",
            "leave",
            "test r11, r11",
            "jnz 2f",
            "ret",
            // Pop the stack arguments: move the return address over them.
            "2:",
            "add r11, rsp",
            "pop qword ptr [r11]",
            "mov rsp, r11",
            "ret",
            "3:",
            "mov rdi, [r11 + {store}]",
            "jmp {depart}",
            store = const HOST_STORE,
            host_entry = const HOST_ENTRY,
            stack_bytes = const HOST_STACK_BYTES,
            exit = const STORE_EXIT_FP,
            depart = sym depart,
            $($name = const $operand,)*
        )
    };
}

/// What the slot of a host function points to: wasm calls it with a [`HostContext`] as vmctx.
///
/// # Safety
/// Only wasm code may call it, with a living [`HostContext`].
#[unsafe(naked)]
pub unsafe extern "C" fn host_call() {
    host_stub!(
        [
            "movups [rsp + 64], xmm0"
            "movups [rsp + 80], xmm1"
            "movups [rsp + 96], xmm2"
            "movups [rsp + 112], xmm3"
            "movups [rsp + 128], xmm4"
            "movups [rsp + 144], xmm5"
            "movups [rsp + 160], xmm6"
            "movups [rsp + 176], xmm7"
        ]
        [
            "mov rcx, [rsp + 8]"
            "mov rdx, [rsp + 16]"
            "mov rsi, [rsp + 24]"
            "mov rdi, [rsp + 32]"
            "mov r8, [rsp + 40]"
            "mov r9, [rsp + 48]"
            "mov r10, [rsp + 56]"
            "movups xmm0, [rsp + 64]"
            "movups xmm1, [rsp + 80]"
            "movups xmm2, [rsp + 96]"
            "movups xmm3, [rsp + 112]"
            "movups xmm4, [rsp + 128]"
            "movups xmm5, [rsp + 144]"
            "movups xmm6, [rsp + 160]"
            "movups xmm7, [rsp + 176]"
        ]
        []
        []
    )
}

/// As [`host_call`], for types without floats and vectors and with at most one result.
///
/// # Safety
/// As [`host_call`].
#[unsafe(naked)]
pub unsafe extern "C" fn host_call_integers() {
    host_stub!([] [] [] [])
}

/// As [`host_call_integers`], and notes in the store context what a checkpoint needs, as long as the
/// function runs.
///
/// # Safety
/// As [`host_call`].
#[unsafe(naked)]
pub unsafe extern "C" fn host_call_capturing() {
    host_stub!(
        []
        []
        [
            "mov [rax + {captured} + {registers}], rbx"
            "mov [rax + {captured} + {registers} + 8], r12"
            "mov [rax + {captured} + {registers} + 16], r13"
            "mov [rax + {captured} + {registers} + 24], r14"
            "mov [rax + {captured} + {registers} + 32], r15"
            "mov [rax + {captured} + {stub_fp}], rbp"
        ]
        [
            "mov rdi, [rbx + {store}]"
            "mov qword ptr [rdi + {captured} + {stub_fp}], 0"
        ],
        captured = STORE_CAPTURED,
        registers = offset_of!(Captured, registers),
        stub_fp = offset_of!(Captured, stub_fp)
    )
}

/// A stub that has a function compiled, on a stack of the host's, and goes on in its code, with
/// every argument as the caller left it. `$choose` comes first and leaves the function's index in
/// eax; `$compile` gets that, and r11.
macro_rules! first_call_stub {
    ([$($choose:literal)*] $compile:path $(, $name:ident = $operand:expr)*) => {
        naked_asm!(
            $($choose,)*
            "push rbp",
            "mov rbp, rsp",
            "sub rsp, 176",
            "mov [rsp], rdi",
            "mov [rsp + 8], rsi",
            "mov [rsp + 16], rdx",
            "mov [rsp + 24], rcx",
            "mov [rsp + 32], r8",
            "mov [rsp + 40], r9",
            "movups [rsp + 48], xmm0",
            "movups [rsp + 64], xmm1",
            "movups [rsp + 80], xmm2",
            "movups [rsp + 96], xmm3",
            "movups [rsp + 112], xmm4",
            "movups [rsp + 128], xmm5",
            "movups [rsp + 144], xmm6",
            "movups [rsp + 160], xmm7",
            "mov r10, [rdi + {vmctx_store}]",
            "mov [r10 + {exit}], rbp",
            "mov esi, eax",
            "mov rdx, r11",
            "mov rsp, [r10 + {compile_stack}]",
            "call {compile}",
            "lea rsp, [rbp - 176]",
            "mov rdi, [rsp]",
            "test rax, rax",
            "jz 2f",
            "mov rsi, [rsp + 8]",
            "mov rdx, [rsp + 16]",
            "mov rcx, [rsp + 24]",
            "mov r8, [rsp + 32]",
            "mov r9, [rsp + 40]",
            "movups xmm0, [rsp + 48]",
            "movups xmm1, [rsp + 64]",
            "movups xmm2, [rsp + 80]",
            "movups xmm3, [rsp + 96]",
            "movups xmm4, [rsp + 112]",
            "movups xmm5, [rsp + 128]",
            "movups xmm6, [rsp + 144]",
            "movups xmm7, [rsp + 160]",
            "leave",
            "jmp rax",
            "2:",
            "mov rdi, [rdi + {vmctx_store}]",
            "jmp {unwind}",
            vmctx_store = const VMCTX_STORE,
            exit = const STORE_EXIT_FP,
            compile_stack = const STORE_COMPILE_STACK_TOP,
            compile = sym $compile,
            unwind = sym unwind_to_entry,
            $($name = const $operand,)*
        )
    };
}

/// Where a thunk jumps with the function's index in eax and everything else as the caller left
/// it: has the function compiled and goes on in its code.
///
/// # Safety
/// Only thunks may jump to it, for wasm code that calls with the vmctx of a living instance.
#[unsafe(naked)]
pub unsafe extern "C" fn lazy_stub() {
    first_call_stub!([] crate::lazy::compile_from_stub)
}

/// Where a thunk of a mixed module jumps with the address of the function's
/// [`Choice`](crate::mixed::Choice) in r11: draws a bit and goes on in that version of the
/// function, which is compiled if it is not there yet.
///
/// # Safety
/// As [`lazy_stub`].
#[unsafe(naked)]
pub unsafe extern "C" fn mixed_stub() {
    first_call_stub!(
        [
            "mov r10, [r11 + {state}]"
            "movabs rax, 6364136223846793005"
            "imul rax, [r10]"
            "add rax, 1013904223"
            "mov [r10], rax"
            "shr rax, 63"
            "mov r10, [r11 + rax*8]"
            "test r10, r10"
            "jz 3f"
            "jmp r10"
            "3:"
            "mov r10, rax"
            "mov eax, [r11 + {func}]"
            "mov r11, r10"
        ]
        crate::lazy::compile_chosen,
        state = crate::mixed::CHOICE_STATE,
        func = crate::mixed::CHOICE_FUNC
    )
}

/// Where the fault handler sends a guest that polled, as if the polling instruction had called
/// it: keeps every register and the flags, and serves the request.
///
/// # Safety
/// Only for a thread that the fault handler found at a poll.
#[unsafe(naked)]
pub unsafe extern "C" fn poll_stub() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "pushfq",
        "push rax",
        "push rcx",
        "push rdx",
        "push rbx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rbx, rsp",
        "sub rsp, 256",
        "and rsp, -16",
        "cld",
        "movups [rsp], xmm0",
        "movups [rsp + 16], xmm1",
        "movups [rsp + 32], xmm2",
        "movups [rsp + 48], xmm3",
        "movups [rsp + 64], xmm4",
        "movups [rsp + 80], xmm5",
        "movups [rsp + 96], xmm6",
        "movups [rsp + 112], xmm7",
        "movups [rsp + 128], xmm8",
        "movups [rsp + 144], xmm9",
        "movups [rsp + 160], xmm10",
        "movups [rsp + 176], xmm11",
        "movups [rsp + 192], xmm12",
        "movups [rsp + 208], xmm13",
        "movups [rsp + 224], xmm14",
        "movups [rsp + 240], xmm15",
        // Answers the store context and a status.
        "mov rdi, rbp",
        "call {serve}",
        "test rdx, rdx",
        "jnz 2f",
        "movups xmm0, [rsp]",
        "movups xmm1, [rsp + 16]",
        "movups xmm2, [rsp + 32]",
        "movups xmm3, [rsp + 48]",
        "movups xmm4, [rsp + 64]",
        "movups xmm5, [rsp + 80]",
        "movups xmm6, [rsp + 96]",
        "movups xmm7, [rsp + 112]",
        "movups xmm8, [rsp + 128]",
        "movups xmm9, [rsp + 144]",
        "movups xmm10, [rsp + 160]",
        "movups xmm11, [rsp + 176]",
        "movups xmm12, [rsp + 192]",
        "movups xmm13, [rsp + 208]",
        "movups xmm14, [rsp + 224]",
        "movups xmm15, [rsp + 240]",
        "mov rsp, rbx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rbx",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "popfq",
        "pop rbp",
        "ret",
        "2:",
        "mov rdi, rax",
        "mov eax, edx",
        "jmp {depart}",
        serve = sym crate::poll::serve_from_stub,
        depart = sym depart,
    )
}

/// Bytes from one thunk to the next.
pub const THUNK_BYTES: usize = 16;

/// Code of the thunk for function `index`: `mov eax, index; jmp [rip + distance]`, where the
/// 8-byte word `distance` bytes behind the thunk's end holds the address of [`lazy_stub`].
pub fn write_thunk(thunk: &mut [u8; THUNK_BYTES], index: u32, distance: i32) {
    thunk.fill(0xcc);
    thunk[0] = 0xb8;
    thunk[1..5].copy_from_slice(&index.to_le_bytes());
    thunk[5..7].copy_from_slice(&[0xff, 0x25]);
    // The displacement counts from the end of the instruction, byte 11 of the thunk.
    thunk[7..11].copy_from_slice(&(distance + (THUNK_BYTES as i32 - 11)).to_le_bytes());
}

/// Code of a mixed module's thunk: `lea r11, choice; jmp [stub]`, both so many bytes behind the
/// thunk's end.
pub(crate) fn write_mixed_thunk(thunk: &mut [u8; THUNK_BYTES], choice: i32, stub: i32) {
    thunk.fill(0xcc);
    thunk[..3].copy_from_slice(&[0x4c, 0x8d, 0x1d]);
    // Displacements count from the end of their instructions, bytes 7 and 13 of the thunk.
    thunk[3..7].copy_from_slice(&(choice + (THUNK_BYTES as i32 - 7)).to_le_bytes());
    thunk[7..9].copy_from_slice(&[0xff, 0x25]);
    thunk[9..13].copy_from_slice(&(stub + (THUNK_BYTES as i32 - 13)).to_le_bytes());
}

/// Defines the shim of each libcall: keeps the frame chain, notes where wasm was left, and leaves
/// wasm for good when the libcall answers with a status.
macro_rules! libcall_shims {
    ($( $(#[$doc:meta])* $name:ident($($arg:ident: $ty:ident),*) $(-> $ret:ident)?; )*) => {
        mod shims {
            use super::*;
            $(
                /// # Safety
                /// Only wasm code may call it, as the libcall's signature says.
                #[unsafe(naked)]
                pub(super) unsafe extern "C" fn $name() {
                    naked_asm!(
                        "push rbp",
                        "mov rbp, rsp",
                        "push rbx",
                        "sub rsp, 8",
                        "mov rbx, [rdi + {vmctx_store}]",
                        "mov [rbx + {exit}], rbp",
                        "call {libcall}",
                        "test rdx, rdx",
                        "jnz 2f",
                        "mov rbx, [rbp - 8]",
                        "leave",
                        "ret",
                        "2:",
                        "mov rdi, rbx",
                        "mov eax, edx",
                        "jmp {depart}",
                        vmctx_store = const VMCTX_STORE,
                        exit = const STORE_EXIT_FP,
                        libcall = sym libcalls::$name,
                        depart = sym depart,
                    )
                }
            )*
        }

        /// The libcall table that vmctxs point to.
        pub static LIBCALLS: LibcallTable = LibcallTable([$( shims::$name ),*]);
    };
}

/// Addresses of the libcalls' shims, in the order of `Libcall`.
#[derive(Debug)]
#[repr(transparent)]
pub struct LibcallTable([unsafe extern "C" fn(); wasmoor_abi::Libcall::ALL.len()]);

wasmoor_abi::for_each_libcall!(libcall_shims);
