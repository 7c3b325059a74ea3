//! Parts of files that are mapped copy-on-write, and what happens when such a file is cut.
//!
//! Mapping a part of a file takes no time and no memory until its pages are touched, but an access
//! to a page that the file no longer has is a `SIGBUS`. So every such range is listed in a table
//! that signal handlers may read: [`replace_lost_page`] puts zeros in the place of a lost page, and
//! the runtime tells the guest's owner.
//!
//! # Safety
//! A range is in the table exactly while its [`FileMapping`] lives; whoever holds that owns the
//! range and keeps it mapped.

#![allow(unsafe_code)]

use crate::port;
use crate::vm::{Access, Reservation, invalid, page_bytes};
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ranges that can be in the table at once; what finds no place is copied instead of mapped.
const RANGES_MAX: usize = 64;

/// First address and length of each range; a free entry has length 0 and start 0.
static RANGES: [[AtomicUsize; 2]; RANGES_MAX] =
    [const { [AtomicUsize::new(0), AtomicUsize::new(0)] }; RANGES_MAX];

/// The right to a place in the table, as long as a part of a file is mapped.
#[derive(Debug)]
pub struct FileMapping {
    entry: usize,
}

impl FileMapping {
    fn register(start: usize, len: usize) -> Option<Self> {
        let entry = RANGES.iter().position(|[at, _]| {
            at.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })?;
        RANGES[entry][1].store(len, Ordering::Release);
        Some(FileMapping { entry })
    }
}

impl Drop for FileMapping {
    fn drop(&mut self) {
        let [start, len] = &RANGES[self.entry];
        len.store(0, Ordering::Release);
        start.store(0, Ordering::Release);
    }
}

impl Reservation {
    /// Maps `len` bytes of a file, from `offset` on, privately from byte `at` on, read-write, in the
    /// place of what was there. Bytes behind the end of the file, up to a whole page, are zero.
    ///
    /// # Errors
    /// `at` is not page-aligned, the range leaves the reservation, the table is full, or the
    /// system refuses: for example an `offset` that is not page-aligned.
    pub fn map_file(
        &self,
        at: usize,
        file: &File,
        offset: u64,
        len: usize,
    ) -> io::Result<FileMapping> {
        let end = at.checked_add(len).ok_or_else(|| invalid("a part of a file is too long"))?;
        let end = crate::vm::round_up_to_pages(end)
            .ok_or_else(|| invalid("a part of a file is too long"))?;
        let Some((start, len)) = self.pages(at..end)? else {
            return Err(invalid("a part of a file is empty"));
        };
        let mapping = FileMapping::register(start.addr().get(), len)
            .ok_or_else(|| io::Error::other("too many parts of files are mapped"))?;
        // SAFETY: the pages are ours (`pages` checks the range).
        unsafe { port::image::map_file_at(start, len, file, offset)? };
        Ok(mapping)
    }
}

/// Puts zeros in the place of the page at `address`, if it is of a mapped part of a file; whether
/// it is. For `SIGBUS`. Async-signal-safe.
#[must_use]
pub fn replace_lost_page(address: usize) -> bool {
    let holds = |[start, len]: &[AtomicUsize; 2]| {
        let (start, len) = (start.load(Ordering::Acquire), len.load(Ordering::Acquire));
        start != 0 && address.wrapping_sub(start) < len
    };
    let page = NonNull::new((address & !(page_bytes() - 1)) as *mut u8);
    match page {
        Some(page) if RANGES.iter().any(holds) => {
            // SAFETY: the range is mapped by its owner (the table's invariant); the page has lost
            // its contents, so nothing can rely on them.
            unsafe { port::vm::clear(page, page_bytes(), Access::ReadWrite) }.is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(pages: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for page in 0..pages {
            file.write_all(&vec![page as u8 + 1; page_bytes()]).unwrap();
        }
        file
    }

    #[test]
    fn writes_stay_in_the_mapping() {
        let (page, file) = (page_bytes(), file(3));
        let place = Reservation::new(4 * page).unwrap();
        let _mapping = place.map_file(page, &file, page as u64, page + 1).unwrap();
        // SAFETY: mapped for reading and writing.
        unsafe {
            assert_eq!(place.at(page).read_volatile(), 2);
            assert_eq!(place.at(2 * page).read_volatile(), 3);
            place.at(page).write_volatile(9);
        }
        let again = Reservation::new(page).unwrap();
        let _second = again.map_file(0, &file, page as u64, page).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { again.at(0).read_volatile() }, 2);
        assert!(place.map_file(page, &file, 1, page).is_err(), "an odd offset");
        assert!(place.map_file(3 * page, &file, 0, 2 * page).is_err(), "too long");
        assert!(place.map_file(0, &file, 0, 0).is_err(), "empty");
        assert!(place.map_file(0, &file, 0, usize::MAX).is_err(), "overflow");
    }

    #[test]
    fn lost_pages_become_zeros_as_long_as_the_mapping_lives() {
        let (page, file) = (page_bytes(), file(2));
        let place = Reservation::new(2 * page).unwrap();
        let mapping = place.map_file(0, &file, 0, 2 * page).unwrap();
        file.set_len(0).unwrap();
        let address = place.addresses().start;
        assert!(!replace_lost_page(address - 1));
        assert!(!replace_lost_page(address + 2 * page));
        assert!(replace_lost_page(address + page + 5));
        // SAFETY: the page is there again.
        assert_eq!(unsafe { place.at(page + 5).read_volatile() }, 0);
        drop(mapping);
        assert!(!replace_lost_page(address));
    }
}
