//! `fork(2)` through the C library, which takes its allocator's locks around it.
//!
//! # Safety
//! The child of a process with threads may run what it holds no orphaned lock of; that is the
//! business of the hooks (see `crate::fork`).

#![allow(unsafe_code)]

use crate::fork::Fork;
use std::io;

pub(crate) fn end(status: i32) -> ! {
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(status) }
}

pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: duplicates the process; no memory is shared that was not shared before.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        child => Ok(Fork::Parent(child)),
    }
}
