//! Mappings.
//!
//! # Safety
//! The functions that change mappings are unsafe: the caller owns the range.

#![allow(unsafe_code)]

use crate::vm::Access;
use rustix::mm::{Advice, MapFlags, MprotectFlags, MremapFlags, MsyncFlags, ProtFlags};
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

pub(crate) fn page_bytes() -> usize {
    rustix::param::page_size()
}

/// Private, inaccessible pages that do not count against the overcommit limit.
pub(crate) fn reserve(len: usize) -> io::Result<NonNull<u8>> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let address =
        unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags)? };
    non_null(address)
}

/// A word that forked processes share, for the rest of the process's life.
pub(crate) fn shared_word() -> io::Result<&'static AtomicU32> {
    let (rights, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let address =
        unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), page_bytes(), rights, flags)? };
    let word = non_null(address)?.cast::<AtomicU32>();
    // SAFETY: the page is zero, aligned and never unmapped, and only this reference leads to it.
    Ok(unsafe { word.as_ref() })
}

/// The mapping that the kernel chose; never null unless a process may map page zero.
pub(super) fn non_null(address: *mut core::ffi::c_void) -> io::Result<NonNull<u8>> {
    NonNull::new(address.cast()).ok_or_else(|| io::Error::other("the system mapped address zero"))
}

/// Whether there is a mapping at every address of a page-aligned range.
pub(crate) fn is_mapped(range: Range<usize>) -> bool {
    let start = ptr::without_provenance_mut(range.start);
    // SAFETY: asks for changes of files to be written some time, which changes nothing here; the
    // kernel has done nothing else since 2.6.19 but look whether there are mappings.
    unsafe { rustix::mm::msync(start, range.len(), MsyncFlags::ASYNC) }.is_ok()
}

/// Whether the eight bytes at an address that is a multiple of eight can be read.
pub(crate) fn is_readable(address: usize) -> bool {
    const NEITHER_BLOCK_NOR_UNBLOCK_NOR_SET: i32 = -1;
    let (how, old_set) = (NEITHER_BLOCK_NOR_UNBLOCK_NOR_SET, ptr::null_mut::<u64>());
    // SAFETY: the kernel reads the set, or says that it cannot, and then refuses what is to be done
    // with it.
    let answer =
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, address, old_set, size_of::<u64>()) };
    debug_assert!(answer == -1);
    io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
}

/// A direct system call that leaves `errno` alone, so signal handlers may make it.
///
/// # Safety
/// The pages are the caller's.
pub(crate) unsafe fn protect(start: NonNull<u8>, len: usize, access: Access) -> io::Result<()> {
    let flags = match access {
        Access::None => MprotectFlags::empty(),
        Access::Read => MprotectFlags::READ,
        Access::ReadWrite => MprotectFlags::READ | MprotectFlags::WRITE,
    };
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::mprotect(start.as_ptr().cast(), len, flags) }?)
}

/// # Safety
/// The pages are the caller's; nothing relies on their contents.
pub(crate) unsafe fn clear(start: NonNull<u8>, len: usize, access: Access) -> io::Result<()> {
    let rights = match access {
        Access::None => ProtFlags::empty(),
        Access::Read => ProtFlags::READ,
        Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
    };
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
    // SAFETY: the caller's promise.
    unsafe { rustix::mm::mmap_anonymous(start.as_ptr().cast(), len, rights, flags)? };
    Ok(())
}

/// # Safety
/// The pages are the caller's and private; nothing relies on their contents.
pub(crate) unsafe fn decommit(start: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::madvise(start.as_ptr().cast(), len, Advice::LinuxDontNeed) }?)
}

/// Asks for the memory of writable pages at once.
///
/// # Safety
/// The pages are the caller's.
pub(crate) unsafe fn populate(start: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::madvise(start.as_ptr().cast(), len, Advice::LinuxPopulateWrite) }?)
}

/// Moves pages with their rights into a new range of `new_len` bytes, the rest of which gets the
/// same rights. The old place is unmapped; on errors nothing has changed. Fails where the pages
/// are not one mapping for the kernel.
///
/// # Safety
/// The range is the caller's, private, and nobody uses the old place afterwards. `len` is not 0.
pub(crate) unsafe fn move_pages(
    start: NonNull<u8>,
    len: usize,
    new_len: usize,
) -> io::Result<NonNull<u8>> {
    let start = start.as_ptr().cast();
    // SAFETY: the caller's promise.
    non_null(unsafe { rustix::mm::mremap(start, len, new_len, MremapFlags::MAYMOVE)? })
}

/// # Safety
/// The range is the caller's, who never uses it again.
pub(crate) unsafe fn unmap(start: NonNull<u8>, len: usize) -> io::Result<()> {
    // SAFETY: the caller's promise.
    Ok(unsafe { rustix::mm::munmap(start.as_ptr().cast(), len) }?)
}
