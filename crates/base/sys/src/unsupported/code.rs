//! Executable mappings.
//!
//! # Safety
//! The functions are unsafe because those of real ports are; these do nothing.

#![allow(unsafe_code)]

use super::unsupported;
use std::convert::Infallible;
use std::io;
use std::ptr::NonNull;

#[derive(Debug)]
pub(crate) struct SharedMemory(Infallible);

impl SharedMemory {
    pub(crate) fn new(_len: usize) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn map_writable(&self) -> io::Result<NonNull<u8>> {
        match self.0 {}
    }

    /// # Safety
    /// None is needed.
    pub(crate) unsafe fn map_executable_at(&self, _start: NonNull<u8>) -> io::Result<()> {
        match self.0 {}
    }
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn replace_by_inaccessible(_start: NonNull<u8>, _len: usize) -> io::Result<()> {
    unsupported()
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn make_executable(_start: NonNull<u8>, _len: usize) -> io::Result<()> {
    unsupported()
}

pub(crate) fn publish(_written_at: usize, _executed_at: usize, _len: usize) {}
