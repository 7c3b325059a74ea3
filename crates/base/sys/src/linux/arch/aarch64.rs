//! Registers in a signal frame, and instruction caches: aarch64.
//!
//! # Safety
//! Cache maintenance by address changes no contents; pushing an address pair writes below the
//! interrupted stack pointer.

#![allow(unsafe_code)]

use core::arch::asm;
use libc::ucontext_t;
use rustix::thread::MembarrierCommand;
use std::sync::Once;

pub(super) fn pc(context: &ucontext_t) -> usize {
    context.uc_mcontext.pc as usize
}

pub(super) fn sp(context: &ucontext_t) -> usize {
    context.uc_mcontext.sp as usize
}

pub(super) fn fp(context: &ucontext_t) -> usize {
    context.uc_mcontext.regs[29] as usize
}

pub(super) fn redirect(
    context: &mut ucontext_t,
    pc: usize,
    sp: usize,
    fp: usize,
    args: [usize; 4],
) {
    context.uc_mcontext.pc = pc as u64;
    context.uc_mcontext.sp = sp as u64;
    context.uc_mcontext.regs[29] = fp as u64;
    for (register, arg) in context.uc_mcontext.regs.iter_mut().zip(args) {
        *register = arg as u64;
    }
}

/// Pushes the interrupted address and the interrupted x30, which the target must restore, and
/// leaves the address in x30, as a call instruction does.
pub(super) fn inject_call(context: &mut ucontext_t, pc: usize) {
    let mcontext = &mut context.uc_mcontext;
    let sp = mcontext.sp - 16;
    // SAFETY: the interrupted code has a stack with room for a call (the caller's promise).
    unsafe { (sp as *mut [u64; 2]).write_unaligned([mcontext.pc, mcontext.regs[30]]) };
    mcontext.sp = sp;
    mcontext.regs[30] = mcontext.pc;
    mcontext.pc = pc as u64;
}

/// Cleans the data cache where the code was written, invalidates the instruction cache where it
/// will run, and makes the other cores drop what they have fetched ahead.
pub(super) fn publish(written_at: usize, executed_at: usize, len: usize) {
    let type_register: u64;
    // SAFETY: reads the register of cache line sizes, which user code may read.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) type_register, options(nomem, nostack)) };
    let data_line = 4usize << ((type_register >> 16) & 15);
    let code_line = 4usize << (type_register & 15);
    for line in (written_at & !(data_line - 1)..written_at + len).step_by(data_line) {
        // SAFETY: the caller has this range mapped; cleaning changes no contents.
        unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", options(nostack)) };
    for line in (executed_at & !(code_line - 1)..executed_at + len).step_by(code_line) {
        // SAFETY: as above.
        unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack)) };
    }
    // SAFETY: barriers.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
    synchronize_cores();
}

/// Kernels without this command (before 4.16) run an `isb` on every core at the context switches
/// and page faults through which new code gets known, which has to do there.
fn synchronize_cores() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        let command = MembarrierCommand::RegisterPrivateExpeditedSyncCore;
        let _ = rustix::thread::membarrier(command);
    });
    let _ = rustix::thread::membarrier(MembarrierCommand::PrivateExpeditedSyncCore);
}
