//! Executable mappings.
//!
//! # Safety
//! As in `vm`: the caller owns the ranges.

#![allow(unsafe_code)]

use super::arch;
use super::vm::non_null;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::process::Resource;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};

/// Memory that can be mapped several times with different rights; here a memory file.
///
/// Its pages come at their first touch, so the length is only a bound.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    fd: OwnedFd,
    len: usize,
}

impl SharedMemory {
    /// Memory of `len` bytes, a multiple of the page size; zeros.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        // Beyond this limit the kernel would kill the process rather than answer an error.
        let limit = rustix::process::getrlimit(Resource::Fsize).current;
        if limit.is_some_and(|limit| limit < len as u64) {
            return Err(io::Error::from(Errno::FBIG));
        }
        let fd = create()?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        Ok(SharedMemory { fd, len })
    }

    /// Maps it read-write, at an address of the system's choice.
    pub(crate) fn map_writable(&self) -> io::Result<NonNull<u8>> {
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let address = unsafe {
            rustix::mm::mmap(ptr::null_mut(), self.len, rights, MapFlags::SHARED, &self.fd, 0)?
        };
        non_null(address)
    }

    /// Maps it for reading and execution in the place of what is there.
    ///
    /// # Safety
    /// The range is the caller's and nothing relies on its contents.
    pub(crate) unsafe fn map_executable_at(&self, start: NonNull<u8>) -> io::Result<()> {
        let rights = ProtFlags::READ | ProtFlags::EXEC;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the caller's promise.
        unsafe {
            rustix::mm::mmap(start.as_ptr().cast(), self.len, rights, flags, &self.fd, 0)?;
        }
        Ok(())
    }
}

/// A file that no `execve` accepts, where the kernel knows such (Linux >= 6.3); mapping its pages
/// executable is another right.
fn create() -> io::Result<OwnedFd> {
    let name = c"wasmoor-code";
    match rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?),
        other => Ok(other?),
    }
}

/// Puts private, inaccessible pages in the place of whatever is mapped there.
///
/// # Safety
/// The range is the caller's and nothing relies on its contents.
pub(crate) unsafe fn replace_by_inaccessible(start: NonNull<u8>, len: usize) -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
    let start = start.as_ptr().cast();
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap_anonymous(start, len, ProtFlags::empty(), flags)? };
    Ok(())
}

/// Makes pages executable and no longer writable.
///
/// # Safety
/// The pages are the caller's.
pub(crate) unsafe fn make_executable(start: NonNull<u8>, len: usize) -> io::Result<()> {
    let rights = MprotectFlags::READ | MprotectFlags::EXEC;
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::mprotect(start.as_ptr().cast(), len, rights) }?)
}

/// Makes code that was written at one address ready to run at another, on every core. Both ranges
/// are mapped.
pub(crate) fn publish(written_at: usize, executed_at: usize, len: usize) {
    arch::publish(written_at, executed_at, len);
}
