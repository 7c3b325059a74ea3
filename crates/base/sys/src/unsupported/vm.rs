//! Mappings.
//!
//! # Safety
//! The functions are unsafe because those of real ports are; these do nothing.

#![allow(unsafe_code)]

use super::unsupported;
use crate::vm::Access;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

pub(crate) fn page_bytes() -> usize {
    4096
}

pub(crate) fn reserve(_len: usize) -> io::Result<NonNull<u8>> {
    unsupported()
}

pub(crate) fn shared_word() -> io::Result<&'static AtomicU32> {
    unsupported()
}

pub(crate) fn is_mapped(_range: Range<usize>) -> bool {
    false
}

pub(crate) fn is_readable(_address: usize) -> bool {
    false
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn protect(_start: NonNull<u8>, _len: usize, _access: Access) -> io::Result<()> {
    unsupported()
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn clear(_start: NonNull<u8>, _len: usize, _access: Access) -> io::Result<()> {
    unsupported()
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn decommit(_start: NonNull<u8>, _len: usize) -> io::Result<()> {
    unsupported()
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn populate(_start: NonNull<u8>, _len: usize) -> io::Result<()> {
    unsupported()
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn unmap(_start: NonNull<u8>, _len: usize) -> io::Result<()> {
    unsupported()
}

/// # Safety
/// None is needed.
pub(crate) unsafe fn move_pages(
    _start: NonNull<u8>,
    _len: usize,
    _new_len: usize,
) -> io::Result<NonNull<u8>> {
    unsupported()
}
