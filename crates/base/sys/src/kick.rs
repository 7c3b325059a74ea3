//! Getting the attention of another thread.
//!
//! A kick is a signal. It ends a blocking system call of the thread with `EINTR`, and it shows the
//! thread's registers to a [`KickHandler`], which may have it call a function where it is. A kick
//! that arrives just before a blocking call, or while the handler cannot use it, is lost; so
//! whoever needs the thread's attention repeats it until the thread has acknowledged.

use crate::port;
use std::io;

pub use port::kick::{KickContext, Thread};

/// Called on the kicked thread, in a signal handler: it must be async-signal-safe.
pub type KickHandler = fn(&mut KickContext<'_>);

/// Sets what kicks call, once per process.
///
/// # Errors
/// There is another handler already, or the system refuses the signal.
pub fn install(handler: KickHandler) -> io::Result<()> {
    port::kick::install(handler)
}

/// The calling thread, for others to kick.
///
/// # Errors
/// When the system gives it no identity.
pub fn current_thread() -> io::Result<Thread> {
    port::kick::current_thread()
}
