//! A program under trace: it stops at each of its system calls, and those of its threads and children.
//!
//! # Safety
//! `ptrace` gets numbers, or the address of a local structure that is as large as what the kernel writes
//! there. What it does is done to other processes, which are children of this one.

#![allow(unsafe_code)]

use anyhow::{Context, Result, bail};
use libc::{c_int, c_long, c_uint, pid_t};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::ptr;

/// Threads and children are traced too, and all ends when the tracing thread does.
const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_EXITKILL;
/// What a stop for a system call looks like.
const AT_CALL: c_int = libc::SIGTRAP | 0x80;
/// The event of stops that are neither a signal's nor a call's.
const STOPPED: c_int = 128;
const ENTRY: u8 = 1;

/// Why a thread does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is about to make a system call.
    Entry(Call),
    /// It has made one.
    Exit,
    /// It gets a signal.
    Signal(c_int),
    /// It was stopped by one, and goes on when it is continued.
    Group,
    /// A thread or a process has begun, or another program.
    Event,
    /// It is no more; the status as of `wait`.
    Ended(c_int),
}

/// A system call: its number and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// By which the kernel knows it.
    pub number: i64,
    /// The arguments; those that the call has not are anything.
    pub args: [u64; 6],
}

fn ptrace(request: c_uint, thread: pid_t, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: callers pass numbers, or addresses of their locals of the right size (module invariant).
    let result = unsafe { libc::ptrace(request, thread, address, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Traces a child that has stopped itself, from the thread that made it, and has it go on.
///
/// # Errors
/// The system refuses.
pub fn seize(child: pid_t) -> Result<()> {
    let stopped = wait_for(child, libc::WUNTRACED)?;
    if !stopped.is_some_and(|(_, status)| libc::WIFSTOPPED(status)) {
        bail!("the child did not wait for its tracer");
    }
    let seized = ptrace(libc::PTRACE_SEIZE, child, 0, OPTIONS as usize);
    // SAFETY: takes numbers only; the child has not been waited for, so the number is its.
    unsafe { libc::kill(child, libc::SIGCONT) };
    seized.context("ptrace")?;
    Ok(())
}

fn wait_for(which: pid_t, options: c_int) -> Result<Option<(pid_t, c_int)>> {
    let mut status = 0;
    loop {
        // SAFETY: the status is a local.
        let thread = unsafe { libc::waitpid(which, &raw mut status, options | libc::__WNOTHREAD) };
        if thread > 0 {
            return Ok(Some((thread, status)));
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error if error.raw_os_error() == Some(libc::EINTR) => {}
            error => return Err(error.into()),
        }
    }
}

/// Waits until any thread that this one traces stops; `None` when there is no more.
///
/// # Errors
/// The system's.
pub fn next_stop() -> Result<Option<(pid_t, Stop)>> {
    let Some((thread, status)) = wait_for(-1, libc::__WALL)? else { return Ok(None) };
    Ok(Some((thread, stop(thread, status))))
}

fn stop(thread: pid_t, status: c_int) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Ended(status);
    }
    match (libc::WSTOPSIG(status), status >> 16) {
        (AT_CALL, _) => at_call(thread).unwrap_or(Stop::Event),
        // A stop as of `SIGSTOP`, or that it is over.
        (libc::SIGTRAP, _) => Stop::Event,
        (_, STOPPED) => Stop::Group,
        (signal, 0) => Stop::Signal(signal),
        _ => Stop::Event,
    }
}

/// `None`: the thread has been killed meanwhile.
fn at_call(thread: pid_t) -> Option<Stop> {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let room = size_of::<libc::ptrace_syscall_info>();
    ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, room, info.as_mut_ptr() as usize).ok()?;
    // SAFETY: all zeros are valid, and the kernel wrote at most as much as there is.
    let info = unsafe { info.assume_init() };
    if info.op != ENTRY {
        return Some(Stop::Exit);
    }
    // SAFETY: of an entry this is the variant; any bytes are valid numbers.
    let entry = unsafe { info.u.entry };
    Some(Stop::Entry(Call { number: entry.nr.cast_signed(), args: entry.args }))
}

/// Has a thread go on to its next call. One that was killed meanwhile does not.
pub fn resume(thread: pid_t, stop: Stop) {
    let (request, signal) = match stop {
        Stop::Ended(_) => return,
        // It stays stopped, and tells when it is continued.
        Stop::Group => (libc::PTRACE_LISTEN, 0),
        Stop::Signal(signal) => (libc::PTRACE_SYSCALL, signal),
        _ => (libc::PTRACE_SYSCALL, 0),
    };
    let _ = ptrace(request, thread, 0, signal as usize);
}

/// The registers of a thread that has stopped; `None` when it has been killed.
#[must_use]
pub fn registers(thread: pid_t) -> Option<libc::user_regs_struct> {
    let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
    ptrace(libc::PTRACE_GETREGS, thread, 0, registers.as_mut_ptr() as usize).ok()?;
    // SAFETY: all zeros are valid, and the kernel wrote all of it.
    Some(unsafe { registers.assume_init() })
}

/// Changes the registers of a thread that has stopped.
pub fn set_registers(thread: pid_t, registers: &libc::user_regs_struct) {
    let _ = ptrace(libc::PTRACE_SETREGS, thread, 0, ptr::from_ref(registers) as usize);
}
