//! Registers in a signal frame, and instruction caches: x86-64.
//!
//! # Safety
//! Pushing a return address writes below the interrupted stack pointer.

#![allow(unsafe_code)]

use libc::{REG_EFL, REG_RBP, REG_RCX, REG_RDI, REG_RDX, REG_RIP, REG_RSI, REG_RSP, ucontext_t};

/// The direction flag, clear at every function's entry.
const FLAG_DIRECTION: i64 = 1 << 10;

fn get(context: &ucontext_t, register: i32) -> usize {
    context.uc_mcontext.gregs[register as usize] as usize
}

fn set(context: &mut ucontext_t, register: i32, value: usize) {
    context.uc_mcontext.gregs[register as usize] = value as i64;
}

pub(super) fn pc(context: &ucontext_t) -> usize {
    get(context, REG_RIP)
}

pub(super) fn sp(context: &ucontext_t) -> usize {
    get(context, REG_RSP)
}

pub(super) fn fp(context: &ucontext_t) -> usize {
    get(context, REG_RBP)
}

pub(super) fn redirect(
    context: &mut ucontext_t,
    pc: usize,
    sp: usize,
    fp: usize,
    args: [usize; 4],
) {
    set(context, REG_RIP, pc);
    set(context, REG_RSP, sp);
    set(context, REG_RBP, fp);
    for (register, arg) in [REG_RDI, REG_RSI, REG_RDX, REG_RCX].into_iter().zip(args) {
        set(context, register, arg);
    }
    context.uc_mcontext.gregs[REG_EFL as usize] &= !FLAG_DIRECTION;
}

/// Pushes the interrupted address, as a call instruction does.
pub(super) fn inject_call(context: &mut ucontext_t, pc: usize) {
    let sp = sp(context) - size_of::<usize>();
    // SAFETY: the interrupted code has a stack with room for a call (the caller's promise).
    unsafe { (sp as *mut usize).write_unaligned(get(context, REG_RIP)) };
    set(context, REG_RSP, sp);
    set(context, REG_RIP, pc);
}

/// Instruction fetches see earlier stores, also through other mappings; see the Intel manual on
/// cross-modifying code: only bytes that a core may have fetched before need more, and code is
/// written once, before its address is known to anybody.
pub(super) fn publish(_written_at: usize, _executed_at: usize, _len: usize) {}
