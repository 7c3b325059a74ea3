//! Signals of the system as bytes in a pipe, for a process that runs one guest.
//!
//! A handler may do next to nothing, so it writes the signal's number to a pipe that a thread
//! reads. The pipe is the process's own: a forked child makes a new one with [`forward`].

use crate::port;
use std::io;
use std::os::fd::OwnedFd;

/// Has these signals written to a pipe, one byte each, and gives its reading end, which does not
/// block. What the signals did before, and an earlier pipe, is replaced. When the pipe is full, more
/// signals are lost, as repeated ones are.
///
/// # Errors
/// When the system refuses a pipe or a handler.
pub fn forward(signals: &[i32]) -> io::Result<OwnedFd> {
    port::signals::forward(signals)
}

/// Gives these signals their default actions back.
///
/// # Errors
/// When one of them is no signal.
pub fn restore(signals: &[i32]) -> io::Result<()> {
    port::signals::restore(signals)
}

/// Has these signals wait on the calling thread until the guard is dropped: around a fork, so that
/// the child does not write to its parent's pipe.
pub fn hold(signals: &[i32]) -> Held {
    Held { _inner: port::signals::hold(signals) }
}

/// See [`hold`].
#[derive(Debug)]
pub struct Held {
    _inner: port::signals::Held,
}

/// Ends the process by a signal, as whoever waits for it is told; with the status 128 plus the
/// number if the signal does not end processes.
pub fn end_by(signal: i32) -> ! {
    port::signals::end_by(signal)
}
