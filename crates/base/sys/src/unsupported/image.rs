//! Sealed memory files.
//!
//! # Safety
//! The functions are unsafe because those of real ports are; these do nothing.

#![allow(unsafe_code)]

use super::unsupported;
use std::io;
use std::ptr::NonNull;

#[derive(Debug)]
pub(crate) struct ImageFile {}

impl ImageFile {
    pub(crate) fn new(_len: usize) -> io::Result<Self> {
        unsupported()
    }

    pub(crate) fn write(&self, _offset: usize, _bytes: &[u8]) -> io::Result<()> {
        unsupported()
    }

    pub(crate) fn seal(&self) -> io::Result<()> {
        unsupported()
    }

    pub(crate) fn map_readable(&self, _len: usize) -> io::Result<NonNull<u8>> {
        unsupported()
    }

    /// # Safety
    /// None is needed.
    pub(crate) unsafe fn map_private_at(&self, _start: NonNull<u8>, _len: usize) -> io::Result<()> {
        unsupported()
    }
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn map_file_at(
    _start: NonNull<u8>,
    _len: usize,
    _file: &std::fs::File,
    _offset: u64,
) -> io::Result<()> {
    unsupported()
}
