//! Hardware faults: from a signal to a decision of the runtime.
//!
//! One [`FaultHandler`] per process sees every fault of an instruction (bad address, illegal
//! instruction, division) before anybody else. What it does not claim goes on to whoever handled
//! the signal before [`install`], as if Wasmoor were not there.
//!
//! ```text
//! fault -> kernel -> our signal handler, on the alternate stack
//!            the handler answers true:  the kernel resumes with the changed registers
//!                               false:  the former handler is called, or the former default is
//!                                       restored and the instruction faults again
//! ```
//!
//! Signals that were sent (`kill`, `raise`) rather than caused by an instruction go to the former
//! handler directly.
//!
//! A handler must be async-signal-safe: it may interrupt an allocation or a held lock.

use crate::port;
use std::io;

pub use port::fault::FaultContext;

/// A signal that faults arrive as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A bad address or a forbidden access.
    Segv,
    /// An address without memory behind it, such as a mapping beyond the end of its file.
    Bus,
    /// An illegal instruction.
    Ill,
    /// Integer division by zero or its overflow, and floating-point exceptions if unmasked.
    Fpe,
}

impl Signal {
    /// Every signal that is handled.
    pub const ALL: [Signal; 4] = [Signal::Segv, Signal::Bus, Signal::Ill, Signal::Fpe];
}

/// Answers whether it has handled the fault; if so, the thread resumes with the context as the
/// handler left it. Must be async-signal-safe and must not panic (a panic aborts the process).
pub type FaultHandler = fn(&mut FaultContext<'_>) -> bool;

/// Makes `handler` the first to see faults, on all threads and for the rest of the process's life.
/// Calling it again with the same handler does nothing.
///
/// # Errors
/// There is another handler already, or the system refuses.
pub fn install(handler: FaultHandler) -> io::Result<()> {
    port::fault::install(handler)
}

/// Makes sure that this thread has an alternate signal stack of at least 64 KiB, so that faults of
/// an exhausted stack can be handled; cheap from the second call on. A stack made here is freed
/// when the thread ends.
///
/// # Errors
/// When the system refuses memory, or a signal handler is running on a smaller alternate stack.
pub fn prepare_thread() -> io::Result<()> {
    port::fault::prepare_thread()
}
