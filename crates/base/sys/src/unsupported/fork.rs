//! Processes.

use super::unsupported;
use crate::fork::Fork;
use std::io;

pub(crate) fn fork() -> io::Result<Fork> {
    unsupported()
}
