//! Own pages of private mappings, by `PAGEMAP_SCAN` (Linux 6.7).
//!
//! The descriptor of the page map belongs to the process that opened it: a child that inherits it
//! would be told of its parent's pages. So its number is kept in a page that the kernel clears in
//! every child, also in one that was forked behind our back; the child opens its own.
//!
//! # Safety
//! The scan only reads the page tables of this process and writes to the given list.

#![allow(unsafe_code)]

use crate::pagemap::OwnPages;
use crate::vm::{Access, Reservation, page_bytes};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::Advice;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock};

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl =
    (3 << 30 | (size_of::<ScanArgument>() << 16) | 0x66 << 8 | 16) as libc::Ioctl;

pub(crate) fn own_pages(
    addresses: Range<usize>,
    found: &mut [OwnPages],
) -> io::Result<(usize, usize)> {
    let fd = descriptor()?;
    let mut argument = ScanArgument {
        size: size_of::<ScanArgument>() as u64,
        flags: 0,
        start: addresses.start as u64,
        end: addresses.end as u64,
        walk_end: 0,
        vec: found.as_mut_ptr() as u64,
        vec_len: found.len() as u64,
        max_pages: 0,
        // In memory or swapped out, and neither the file's page nor the page of zeros.
        category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        return_mask: PAGE_IS_PRESENT,
    };
    // SAFETY: the argument has the kernel's layout, and its list the length that it says.
    let count = unsafe { libc::ioctl(fd, PAGEMAP_SCAN, &raw mut argument) };
    match usize::try_from(count) {
        Ok(count) => Ok((count.min(found.len()), argument.walk_end as usize)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The descriptor of this process's page map.
fn descriptor() -> io::Result<i32> {
    let number = process_cell().ok_or(io::ErrorKind::Unsupported)?;
    match number.load(Ordering::Acquire) {
        0 => open(number),
        REFUSED => Err(io::ErrorKind::Unsupported.into()),
        fd => Ok(fd - 1),
    }
}

/// The system does not let us have a page map.
const REFUSED: i32 = -1;

/// A number that is 0 in every process until that process sets it.
fn process_cell() -> Option<&'static AtomicI32> {
    static CELL: OnceLock<Option<Reservation>> = OnceLock::new();
    let page = CELL.get_or_init(|| {
        let page = Reservation::new(page_bytes()).ok()?;
        page.protect(0..page.len(), Access::ReadWrite).ok()?;
        let start = page.base().as_ptr().cast();
        // SAFETY: the page is ours, private and anonymous, and empty so far.
        unsafe { rustix::mm::madvise(start, page.len(), Advice::LinuxWipeOnFork) }.ok()?;
        Some(page)
    });
    // SAFETY: the page is readable and writable, aligned, and never unmapped.
    page.as_ref().map(|page| unsafe { page.base().cast::<AtomicI32>().as_ref() })
}

#[cold]
fn open(number: &AtomicI32) -> io::Result<i32> {
    /// Keeps the descriptor open; in a child, that of its parent until it is replaced.
    static OPENED: Mutex<Option<OwnedFd>> = Mutex::new(None);
    // Another thread may have been opening it when this process was forked: never wait.
    let Ok(mut opened) = OPENED.try_lock() else {
        return Err(io::ErrorKind::WouldBlock.into());
    };
    if let fd @ 1.. = number.load(Ordering::Acquire) {
        return Ok(fd - 1);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let fd = match rustix::fs::open(c"/proc/self/pagemap", flags, Mode::empty()) {
        // For the moment there are too many files.
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::INTR)) => {
            return Err(error.into());
        }
        Err(error) => {
            number.store(REFUSED, Ordering::Release);
            return Err(error.into());
        }
        Ok(fd) => fd,
    };
    let raw = fd.as_raw_fd();
    *opened = Some(fd);
    number.store(raw + 1, Ordering::Release);
    Ok(raw)
}
