//! Address space: reservations of which parts are made accessible when they are needed.
//!
//! A reservation costs address space (`RLIMIT_AS` counts it) but no memory; memory comes with the
//! first touch of an accessible page, filled with zeros, and goes with [`Reservation::decommit`]
//! or the reservation.
//!
//! # Safety
//! A `Reservation` owns its range: it was mapped by `new`, nobody else maps or unmaps in it, and
//! it is unmapped once, on drop. Changing protections and contents of owned pages cannot break
//! memory safety by itself: an access that a protection forbids faults, and whoever makes
//! references into the range from the raw `base` must see to it that the contents stay.

#![allow(unsafe_code)]

use crate::image::Image;
use crate::port;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

/// Zeros, to be filled by the one owner, and then shared without a copy.
///
/// The memory comes zeroed from the system and is not touched here. (Large pages would fill in a
/// third of the time, but on a machine whose memory is in use the kernel has to move pages first,
/// which was measured to take longer than all of it.)
#[must_use]
pub fn zeroed_bytes(len: usize) -> Arc<[u8]> {
    let bytes = Arc::<[u8]>::new_zeroed_slice(len);
    // SAFETY: every byte is zero, which is a `u8`.
    unsafe { bytes.assume_init() }
}

/// Bytes in a page of the host, a power of two.
#[must_use]
pub fn page_bytes() -> usize {
    port::vm::page_bytes()
}

/// The least multiple of the page size that is not below `bytes`; `None`: it would overflow.
#[must_use]
pub fn round_up_to_pages(bytes: usize) -> Option<usize> {
    bytes.checked_next_multiple_of(page_bytes())
}

/// Whether all pages of a page-aligned range are mapped and those that are looked at cannot be read:
/// the first, the last, and those at distances from the first that are powers of two. Says nothing
/// about who has mapped them.
#[must_use]
pub fn looks_inaccessible(range: Range<usize>) -> bool {
    let page = page_bytes();
    let pages = range.len() / page;
    let is_out_of_reach = |at: usize| !port::vm::is_readable(range.start + at * page);
    pages > 0
        && port::vm::is_mapped(range.clone())
        && std::iter::successors(Some(1), |at: &usize| at.checked_mul(2))
            .take_while(|&at| at < pages)
            .chain([0, pages - 1])
            .all(is_out_of_reach)
}

/// What may be done with pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every access faults.
    None,
    /// Loads.
    Read,
    /// Loads and stores.
    ReadWrite,
}

/// An owned range of address space; see the head of this module.
#[derive(Debug)]
pub struct Reservation {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a reservation is an address range and the right to unmap it; it has no tie to a thread,
// and its methods that take `&self` are system calls that the kernel orders.
unsafe impl Send for Reservation {}
// SAFETY: as above.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes, rounded up to pages, all inaccessible.
    ///
    /// # Errors
    /// `len` is zero or overflows, or the system has no such range of address space left.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = round_up_to_pages(len)
            .filter(|&len| len > 0)
            .ok_or_else(|| invalid("the length of a reservation is out of range"))?;
        Ok(Reservation { base: port::vm::reserve(len)?, len })
    }

    /// The first address.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The address of a byte.
    ///
    /// # Panics
    /// When the offset is not in the reservation.
    #[must_use]
    pub fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "an offset leaves its reservation");
        // SAFETY: within the reservation (checked above).
        unsafe { self.base.add(offset) }
    }

    /// Bytes, a multiple of the page size; never zero.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a reservation is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// All addresses.
    #[must_use]
    pub fn addresses(&self) -> Range<usize> {
        let base = self.base.addr().get();
        base..base + self.len
    }

    /// Sets what may be done with a page-aligned range of bytes. Async-signal-safe.
    ///
    /// # Errors
    /// The range is not page-aligned or not in the reservation, or the system refuses: it may
    /// account for writable memory, and it limits the number of differently protected ranges.
    pub fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        let Some((start, len)) = self.pages(range)? else { return Ok(()) };
        // SAFETY: the pages are ours (invariant of the type, range checked).
        unsafe { port::vm::protect(start, len, access) }
    }

    /// Gives the memory of a page-aligned range of bytes back. The contents become zero, or those
    /// of the image that is mapped there; what may be done with the pages stays as it is.
    ///
    /// # Errors
    /// The range is not page-aligned or not in the reservation, or the system refuses.
    pub fn decommit(&self, range: Range<usize>) -> io::Result<()> {
        let Some((start, len)) = self.pages(range)? else { return Ok(()) };
        // SAFETY: as in `protect`.
        unsafe { port::vm::decommit(start, len) }
    }

    /// Maps an image privately from byte `at` on, read-write, in the place of what was there.
    ///
    /// # Errors
    /// `at` is not page-aligned, the image leaves the reservation, or the system refuses.
    pub fn map_image(&self, at: usize, image: &Image) -> io::Result<()> {
        let end = at.checked_add(image.len()).ok_or_else(|| invalid("an image is too long"))?;
        let Some((start, len)) = self.pages(at..end)? else { return Ok(()) };
        // SAFETY: as in `protect`.
        unsafe { image.file().map_private_at(start, len) }
    }

    /// Puts pages of zeros in the place of what is there, also of an image.
    ///
    /// # Errors
    /// The range is not page-aligned or not in the reservation, or the system refuses.
    pub fn clear(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        let Some((start, len)) = self.pages(range)? else { return Ok(()) };
        // SAFETY: as in `protect`.
        unsafe { port::vm::clear(start, len, access) }
    }

    /// Becomes `len` bytes long, at another place if need be, without copying: the first `kept`
    /// bytes, read-write before, keep their contents; those up to `accessible` are read-write
    /// and zero; the rest is inaccessible. All three are page-aligned and in this order; where
    /// the system cannot make the rest inaccessible, the reservation is only `accessible` long.
    ///
    /// # Errors
    /// The numbers are wrong, or the system cannot move such pages: it may have come to treat
    /// them as several pieces, or have no such range of address space left. Nothing has changed.
    pub fn enlarge(&mut self, kept: usize, accessible: usize, len: usize) -> io::Result<()> {
        if (accessible | len) & (page_bytes() - 1) != 0 || accessible > len || kept > accessible {
            return Err(invalid("the new lengths of a reservation are out of order"));
        }
        let Some((start, kept)) = self.pages(0..kept)? else {
            let new = Reservation::new(len)?;
            new.protect(0..accessible, Access::ReadWrite)?;
            *self = new;
            return Ok(());
        };
        // SAFETY: the pages are ours, and `&mut self` keeps users of the old place out.
        let base = unsafe { port::vm::move_pages(start, kept, len) }?;
        let new = Reservation { base, len };
        let old = ManuallyDrop::new(std::mem::replace(self, new));
        if kept < old.len {
            // SAFETY: what did not move is still ours; what did is not mapped here any more, so
            // the whole old range must not be unmapped (`old` is not dropped).
            let unmapped = unsafe { port::vm::unmap(old.base.add(kept), old.len - kept) };
            debug_assert!(unmapped.is_ok(), "unmapping an own range cannot fail: {unmapped:?}");
        }
        if self.protect(accessible..len, Access::None).is_err() {
            // SAFETY: the range is ours, and no longer part of this reservation afterwards.
            let cut = unsafe { port::vm::unmap(base.add(accessible), len - accessible) };
            debug_assert!(cut.is_ok(), "unmapping the end of a mapping cannot fail: {cut:?}");
            self.len = accessible;
        }
        Ok(())
    }

    /// Start and length of a range of whole pages; `None` when it is empty.
    pub(crate) fn pages(&self, range: Range<usize>) -> io::Result<Option<(NonNull<u8>, usize)>> {
        let mask = page_bytes() - 1;
        if (range.start | range.end) & mask != 0 {
            return Err(invalid("a range is not aligned to pages"));
        }
        if range.start > range.end || range.end > self.len {
            return Err(invalid("a range leaves its reservation"));
        }
        if range.is_empty() {
            return Ok(None);
        }
        // SAFETY: `start` is within the reservation (checked above).
        Ok(Some((unsafe { self.base.add(range.start) }, range.len())))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // It fails where the process has as many mappings as it may, and this is the middle of a larger
        // one: then addresses are lost, and nothing else.
        // SAFETY: the range is ours and this is its last use.
        let _ = unsafe { port::vm::unmap(self.base, self.len) };
    }
}

pub(crate) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reservation: &Reservation, at: usize) -> u8 {
        assert!(at < reservation.len());
        // SAFETY: in bounds; the tests only read what they made readable.
        unsafe { reservation.base().add(at).read_volatile() }
    }

    fn write(reservation: &Reservation, at: usize, value: u8) {
        assert!(at < reservation.len());
        // SAFETY: in bounds; the tests only write what they made writable.
        unsafe { reservation.base().add(at).write_volatile(value) }
    }

    #[test]
    fn committed_memory_is_zero_and_decommitting_zeroes_it_again() {
        let page = page_bytes();
        let reservation = Reservation::new(3 * page + 1).unwrap();
        assert_eq!(reservation.len(), 4 * page);
        reservation.protect(page..3 * page, Access::ReadWrite).unwrap();
        assert_eq!(read(&reservation, page), 0);
        write(&reservation, page, 1);
        write(&reservation, 3 * page - 1, 2);
        reservation.protect(page..2 * page, Access::Read).unwrap();
        assert_eq!(read(&reservation, page), 1);
        reservation.decommit(page..2 * page).unwrap();
        assert_eq!((read(&reservation, page), read(&reservation, 3 * page - 1)), (0, 2));
    }

    #[test]
    fn zeroed_bytes_are_zero_and_can_be_filled() {
        for len in [0, 1, 4095, 4 << 20] {
            let mut bytes = zeroed_bytes(len);
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|byte| *byte == 0), "{len}");
            Arc::get_mut(&mut bytes).unwrap().fill(7);
            assert!(bytes.iter().all(|byte| *byte == 7), "{len}");
        }
    }

    #[test]
    fn what_can_be_read_or_is_not_mapped_does_not_look_inaccessible() {
        let page = page_bytes();
        let reservation = Reservation::new(1000 * page).unwrap();
        let Range { start, end } = reservation.addresses();
        assert!(looks_inaccessible(start..end));
        assert!(!looks_inaccessible(start..start));
        for (at, access) in [
            (0, Access::Read),
            (1, Access::ReadWrite),
            (2, Access::Read),
            (512, Access::Read),
            (999, Access::ReadWrite),
        ] {
            let pages = at * page..(at + 1) * page;
            reservation.protect(pages.clone(), access).unwrap();
            assert!(!looks_inaccessible(start..end), "{at}");
            reservation.protect(pages, Access::None).unwrap();
            assert!(looks_inaccessible(start..end), "{at}");
        }
        // Nothing is mapped at the end of all addresses.
        assert!(!looks_inaccessible(usize::MAX - page + 1 - page..usize::MAX - page + 1));
    }

    #[test]
    fn wrong_lengths_and_ranges_are_refused() {
        let page = page_bytes();
        let reservation = Reservation::new(2 * page).unwrap();
        #[allow(clippy::reversed_empty_ranges, reason = "this is what must be refused")]
        for range in [1..page, 0..page + 1, page..3 * page, 2 * page..page, 4 * page..4 * page] {
            let error = reservation.protect(range.clone(), Access::Read).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{range:?}");
            assert!(reservation.decommit(range).is_err());
        }
        reservation.protect(page..page, Access::Read).unwrap();
        for len in [0, usize::MAX, usize::MAX - page, 1 << 62] {
            assert!(Reservation::new(len).is_err(), "{len}");
        }
    }

    #[test]
    fn enlarging_keeps_contents_and_leaves_the_rest_inaccessible() {
        let page = page_bytes();
        for (kept, accessible, len) in [(0, 2, 9), (1, 1, 5), (3, 4, 4), (4, 6, 600), (4, 4, 4)] {
            let mut reservation = Reservation::new(4 * page).unwrap();
            // In two steps, as memories grow.
            for at in 0..kept {
                reservation.protect(at * page..(at + 1) * page, Access::ReadWrite).unwrap();
                write(&reservation, at * page + at, 7);
            }
            reservation.enlarge(kept * page, accessible * page, len * page).unwrap();
            assert_eq!(reservation.len(), len * page);
            for at in 0..accessible {
                assert_eq!(read(&reservation, at * page + at), if at < kept { 7 } else { 0 });
                write(&reservation, (at + 1) * page - 1, 1);
            }
            reservation.protect(accessible * page..len * page, Access::Read).unwrap();
            if len > accessible {
                assert_eq!(read(&reservation, len * page - 1), 0);
            }
        }
    }

    #[test]
    fn enlarging_by_wrong_numbers_changes_nothing() {
        let page = page_bytes();
        let mut reservation = Reservation::new(2 * page).unwrap();
        reservation.protect(0..2 * page, Access::ReadWrite).unwrap();
        write(&reservation, page, 7);
        let base = reservation.base();
        for (kept, accessible, len) in [
            (3 * page, 3 * page, 4 * page),
            (2 * page, page, 4 * page),
            (page, 3 * page, 2 * page),
            (1, page, page),
            (page, page + 1, 3 * page),
            (0, 0, 0),
            (page, page, 1 << 62),
        ] {
            assert!(reservation.enlarge(kept, accessible, len).is_err(), "{kept} {accessible}");
            assert_eq!((reservation.base(), reservation.len()), (base, 2 * page));
            assert_eq!(read(&reservation, page), 7);
        }
    }
}
