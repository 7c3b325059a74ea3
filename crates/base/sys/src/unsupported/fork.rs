//! Processes.

use super::unsupported;
use crate::fork::Fork;
use std::io;

pub(crate) fn end(status: i32) -> ! {
    std::process::exit(status)
}

pub(crate) fn fork() -> io::Result<Fork> {
    unsupported()
}
