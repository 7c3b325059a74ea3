//! The two ways of writing code, and the state of a region between fork and first use.
//!
//! # Safety
//! A `WritableView` owns its mapping and shows the same bytes as `start..start + len` of the code
//! range. Nobody but its region's `write` touches it.

#![allow(unsafe_code)]

use super::{CodeError, WriteMode};
use crate::port;
use crate::vm::{self, Access, Reservation};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How the free part of a region is written.
#[derive(Debug)]
pub(super) enum Writer {
    /// Through a second mapping.
    DualMapped(WritableView),
    /// In place, before it is made executable; offsets below `start` belong to a writer before.
    ProtectOnce {
        /// Offset in the code range.
        start: usize,
    },
    /// Not at all yet: the free part still shows the memory file of the parent process.
    Inherited,
}

/// The writable mapping of a memory file that a code range shows from `start` on.
#[derive(Debug)]
pub(super) struct WritableView {
    base: NonNull<u8>,
    len: usize,
    start: usize,
    /// Offset up to which the view has pages.
    populated: AtomicUsize,
}

/// So many bytes behind what is written are asked for too, at most: page by page, faults take as
/// long as writing the code.
const POPULATED_BYTES_MAX: usize = 64 << 10;

impl WritableView {
    /// Sees to it that there are pages up to an offset of the view, and some more.
    fn populate(&self, end: usize) {
        let populated = self.populated.load(Ordering::Relaxed);
        if end <= populated {
            return;
        }
        // Modules with little code take little memory.
        let more = (end / 4).min(POPULATED_BYTES_MAX);
        let wanted = (end + more).next_multiple_of(vm::page_bytes()).min(self.len);
        self.populated.store(wanted, Ordering::Relaxed);
        // SAFETY: within the view, which is ours. Without it, pages come when they are written.
        let _ = unsafe { port::vm::populate(self.base.add(populated), wanted - populated) };
    }
}

// SAFETY: an owned mapping has no tie to a thread.
unsafe impl Send for WritableView {}
// SAFETY: writes happen under the lock of the region's state.
unsafe impl Sync for WritableView {}

impl Drop for WritableView {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and this is its last use.
        let unmapped = unsafe { port::vm::unmap(self.base, self.len) };
        debug_assert!(unmapped.is_ok(), "unmapping an own view cannot fail: {unmapped:?}");
    }
}

impl Writer {
    /// A writer for the whole code range, which starts `code_at` bytes into the reservation.
    pub(super) fn new(
        mode: WriteMode,
        reservation: &Reservation,
        code_at: usize,
    ) -> io::Result<Self> {
        match mode {
            WriteMode::DualMapped => map_twice(reservation, code_at, 0).map(Writer::DualMapped),
            WriteMode::ProtectOnce => Ok(Writer::ProtectOnce { start: 0 }),
        }
    }

    /// A writer for what is behind `start`, in the place of an inherited memory file.
    pub(super) fn renew(
        reservation: &Reservation,
        code_at: usize,
        start: usize,
    ) -> io::Result<Self> {
        if code_at + start == reservation.len() {
            return Ok(Writer::ProtectOnce { start });
        }
        map_twice(reservation, code_at, start).map(Writer::DualMapped).or_else(|_| {
            let (at, len) = tail(reservation, code_at, start);
            // SAFETY: the pages from `start` on are the region's and hold no code of this process.
            unsafe { port::code::replace_by_inaccessible(at, len) }?;
            Ok(Writer::ProtectOnce { start })
        })
    }

    pub(super) fn mode(&self) -> WriteMode {
        match self {
            Writer::DualMapped(_) | Writer::Inherited => WriteMode::DualMapped,
            Writer::ProtectOnce { .. } => WriteMode::ProtectOnce,
        }
    }

    /// Writes code at an offset of the code range and makes it executable.
    ///
    /// # Safety
    /// `offset..offset + bytes.len()` is in the code range, and nothing was written there before.
    pub(super) unsafe fn write(
        &self,
        reservation: &Reservation,
        code_at: usize,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), CodeError> {
        // SAFETY: the offset is in the reservation (the caller's promise).
        let target = unsafe { reservation.base().add(code_at + offset) };
        match self {
            Writer::DualMapped(view) if offset >= view.start => {
                debug_assert!(offset - view.start + bytes.len() <= view.len);
                view.populate(offset - view.start + bytes.len());
                // SAFETY: the view shows the code range from `start` to its end, so the bytes fit.
                let at = unsafe {
                    let at = view.base.add(offset - view.start);
                    at.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
                    at
                };
                port::code::publish(at.addr().get(), target.addr().get(), bytes.len());
                Ok(())
            }
            Writer::ProtectOnce { start } if offset >= *start => {
                let page = vm::page_bytes();
                debug_assert_eq!(offset % page, 0);
                let len = bytes.len().next_multiple_of(page);
                let at = code_at + offset;
                reservation.protect(at..at + len, Access::ReadWrite)?;
                // SAFETY: the pages are this span's alone, were just made writable, and are
                // executable only after the bytes are there.
                unsafe {
                    target.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
                    port::code::make_executable(target, len)?;
                }
                let target = target.addr().get();
                port::code::publish(target, target, bytes.len());
                Ok(())
            }
            _ => Err(CodeError::StaleSpan),
        }
    }
}

fn tail(reservation: &Reservation, code_at: usize, start: usize) -> (NonNull<u8>, usize) {
    let at = code_at + start;
    // SAFETY: `at` is within the reservation, as offsets of the code range are.
    (unsafe { reservation.base().add(at) }, reservation.len() - at)
}

/// Shows a new memory file in the code range from `start` (page-aligned) to the end.
fn map_twice(reservation: &Reservation, code_at: usize, start: usize) -> io::Result<WritableView> {
    let (target, len) = tail(reservation, code_at, start);
    let memory = port::code::SharedMemory::new(len)?;
    let base = memory.map_writable()?;
    let view = WritableView { base, len, start, populated: AtomicUsize::new(0) };
    // SAFETY: the pages from `start` on are the region's and hold no code of this process.
    unsafe { memory.map_executable_at(target) }?;
    Ok(view)
}
