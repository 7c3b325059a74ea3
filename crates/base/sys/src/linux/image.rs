//! Sealed memory files.
//!
//! # Safety
//! As in `vm`: the caller owns the ranges.

#![allow(unsafe_code)]

use super::vm::non_null;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::process::Resource;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};

/// A memory file that is written once.
#[derive(Debug)]
pub(crate) struct ImageFile {
    fd: OwnedFd,
}

impl ImageFile {
    /// A file of `len` zeros.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        // Beyond this limit the kernel would kill the process rather than answer an error.
        let limit = rustix::process::getrlimit(Resource::Fsize).current;
        if limit.is_some_and(|limit| limit < len as u64) {
            return Err(io::Error::from(Errno::FBIG));
        }
        let fd = create()?;
        rustix::fs::ftruncate(&fd, len as u64)?;
        Ok(ImageFile { fd })
    }

    /// Writes bytes inside the file's length.
    pub(crate) fn write(&self, mut offset: usize, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match rustix::io::pwrite(&self.fd, bytes, offset as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(Errno::INTR) => continue,
                other => other?,
            };
            offset += written;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Nobody can write to the file or change its length any more.
    pub(crate) fn seal(&self) -> io::Result<()> {
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        Ok(rustix::fs::fcntl_add_seals(&self.fd, seals)?)
    }

    /// Maps the first `len` bytes for reading, at an address of the system's choice.
    pub(crate) fn map_readable(&self, len: usize) -> io::Result<NonNull<u8>> {
        let (rights, flags) = (ProtFlags::READ, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        non_null(unsafe { rustix::mm::mmap(ptr::null_mut(), len, rights, flags, &self.fd, 0)? })
    }

    /// Maps the first `len` bytes privately for reading and writing in the place of what is there.
    ///
    /// # Safety
    /// The range is the caller's and nothing relies on its contents.
    pub(crate) unsafe fn map_private_at(&self, start: NonNull<u8>, len: usize) -> io::Result<()> {
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: the caller's promise.
        unsafe { rustix::mm::mmap(start.as_ptr().cast(), len, rights, flags, &self.fd, 0)? };
        Ok(())
    }
}

/// Maps a part of a file privately for reading and writing in the place of what is there.
///
/// # Safety
/// The range is the caller's and nothing relies on its contents.
pub(crate) unsafe fn map_file_at(
    start: NonNull<u8>,
    len: usize,
    file: &std::fs::File,
    offset: u64,
) -> io::Result<()> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap(start.as_ptr().cast(), len, rights, flags, file, offset)? };
    Ok(())
}

/// A file that can be sealed, and that no `execve` accepts where the kernel knows such.
fn create() -> io::Result<OwnedFd> {
    let name = c"wasmoor-image";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(name, flags)?),
        other => Ok(other?),
    }
}
