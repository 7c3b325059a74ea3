//! Breaking off a blocking system call of another thread.
//!
//! A kick is a signal without effect but that a blocking call of the thread ends with `EINTR`. A
//! kick that arrives just before the call is lost, so whoever needs the thread's attention repeats
//! it until the thread has acknowledged in some other way.

use crate::port;
use std::io;

pub use port::kick::Thread;

/// The calling thread, for others to kick. Also makes sure that kicks are harmless: call it
/// before the thread's identity is given away.
///
/// # Errors
/// When the system refuses the signal handler.
pub fn current_thread() -> io::Result<Thread> {
    port::kick::current_thread()
}
