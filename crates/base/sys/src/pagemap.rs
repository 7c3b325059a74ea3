//! Which pages of a private mapping have been written to.
//!
//! A page of a private mapping is *own* once it was written to: it no longer shows the file (or
//! the zeros) that it was mapped from. Finding the own pages of a range costs one system call, so
//! that whoever wants a mapping's first contents back need not touch the others.
//!
//! Not every system can answer, and the answer may be refused; there is no promise that it stays
//! possible because it was once.
//!
//! # Safety
//! Only the tests, which touch pages of their own.

#![cfg_attr(test, allow(unsafe_code))]

use crate::port;
use std::io;
use std::ops::Range;

/// Consecutive own pages, as addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPages {
    /// The first byte.
    pub start: u64,
    /// The byte behind the last.
    pub end: u64,
    /// What the system says about them.
    kind: u64,
}

/// Finds own pages in page-aligned `addresses`, in order, as many ranges as fit into `found`.
/// Answers their number and the address before which all own pages have been found.
///
/// # Errors
/// When the system cannot tell.
pub fn own_pages(addresses: Range<usize>, found: &mut [OwnPages]) -> io::Result<(usize, usize)> {
    port::pagemap::own_pages(addresses, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::vm::{Access, Reservation, page_bytes};

    fn own(place: &Reservation, room: usize) -> Vec<usize> {
        let mut found = vec![OwnPages::default(); room];
        let (mut pages, mut at) = (Vec::new(), place.addresses().start);
        while at < place.addresses().end {
            let (count, end) = own_pages(at..place.addresses().end, &mut found).unwrap();
            for own in &found[..count] {
                let first = (own.start as usize - place.addresses().start) / page_bytes();
                pages.extend(first..first + (own.end - own.start) as usize / page_bytes());
            }
            assert!(end > at, "the search goes on");
            at = end;
        }
        pages
    }

    fn touch(place: &Reservation, page: usize, write: bool) {
        assert!(page * page_bytes() < place.len());
        // SAFETY: in bounds; the tests touch only what is accessible.
        unsafe {
            let byte = place.base().add(page * page_bytes());
            if write { byte.write_volatile(1) } else { _ = byte.read_volatile() }
        }
    }

    #[test]
    fn written_pages_are_found_and_no_others() {
        let page = page_bytes();
        let image = Image::new(8 * page, [(0, &[1; 5000][..])]).unwrap();
        let place = Reservation::new(32 * page).unwrap();
        place.protect(0..24 * page, Access::ReadWrite).unwrap();
        place.map_image(0, &image).unwrap();
        if own_pages(place.addresses(), &mut [OwnPages::default()]).is_err() {
            eprintln!("this system cannot tell which pages have been written to");
            return;
        }
        assert_eq!(own(&place, 4), []);
        for at in 0..24 {
            touch(&place, at, false);
        }
        assert_eq!(own(&place, 4), []);
        let written = [0, 2, 3, 7, 8, 9, 20, 23];
        for &at in &written {
            touch(&place, at, true);
        }
        for room in [1, 2, 64] {
            assert_eq!(own(&place, room), written, "room {room}");
        }
        place.decommit(0..9 * page).unwrap();
        assert_eq!(own(&place, 4), [9, 20, 23]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_child_looks_at_its_own_pages() {
        use crate::fork::{Fork, fork};
        let place = Reservation::new(4 * page_bytes()).unwrap();
        place.protect(0..place.len(), Access::ReadWrite).unwrap();
        touch(&place, 1, true);
        if own_pages(place.addresses(), &mut [OwnPages::default()]).is_err() {
            return;
        }
        match fork().unwrap() {
            Fork::Child => {
                touch(&place, 3, true);
                let code = if own(&place, 4) == [1, 3] { 0 } else { 1 };
                // SAFETY: ends the child without running anything of the test's process.
                unsafe { libc::_exit(code) }
            }
            Fork::Parent(child) => {
                let pid = rustix::process::Pid::from_raw(child);
                let options = rustix::process::WaitOptions::empty();
                let (_, status) = rustix::process::waitpid(pid, options).unwrap().unwrap();
                assert_eq!(status.exit_status(), Some(0));
                assert_eq!(own(&place, 4), [1]);
            }
        }
    }
}
