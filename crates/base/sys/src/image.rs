//! Images: bytes that many places map copy-on-write.
//!
//! An image is written once, then sealed: nobody can change it any more, so all mappings of it
//! begin with the same bytes for ever. [`crate::vm::Reservation::map_image`] maps it privately:
//! pages that are written to become the mapping's own, and [`crate::pagemap`] finds them.
//!
//! # Safety
//! `view..view + len` is a readable mapping of the sealed file while the value lives.

#![allow(unsafe_code)]

use crate::port;
use crate::vm::{invalid, round_up_to_pages};
use std::io;
use std::ptr::NonNull;

/// Sealed bytes; a whole number of pages, never none.
#[derive(Debug)]
pub struct Image {
    file: port::image::ImageFile,
    view: NonNull<u8>,
    len: usize,
}

// SAFETY: an owned mapping that nobody writes to; nothing ties it to a thread.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// An image of `len` bytes, rounded up to pages, that holds `pieces` (offset and bytes; later
    /// ones overwrite earlier ones) and zeros.
    ///
    /// # Errors
    /// `len` is zero or overflows, a piece leaves the image, or the system refuses memory files.
    pub fn new<'a>(
        len: usize,
        pieces: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> io::Result<Self> {
        let len = round_up_to_pages(len)
            .filter(|&len| len > 0)
            .ok_or_else(|| invalid("the length of an image is out of range"))?;
        let file = port::image::ImageFile::new(len)?;
        for (offset, bytes) in pieces {
            if offset.checked_add(bytes.len()).is_none_or(|end| end > len) {
                return Err(invalid("a piece leaves its image"));
            }
            file.write(offset, bytes)?;
        }
        file.seal()?;
        let view = file.map_readable(len)?;
        Ok(Image { file, view, len })
    }

    /// Bytes, a multiple of the page size.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "an image is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the type's invariant; the file is sealed, so nobody writes to the bytes.
        unsafe { std::slice::from_raw_parts(self.view.as_ptr(), self.len) }
    }

    pub(crate) fn file(&self) -> &port::image::ImageFile {
        &self.file
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and this is its last use.
        let unmapped = unsafe { port::vm::unmap(self.view, self.len) };
        debug_assert!(unmapped.is_ok(), "unmapping an own range cannot fail: {unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::{Access, Reservation, page_bytes};

    #[test]
    fn later_pieces_overwrite_earlier_ones_and_the_rest_is_zero() {
        let pieces: [(usize, &[u8]); 3] = [(1, b"abcd"), (3, b"XY"), (5000, b"z")];
        let image = Image::new(5001, pieces).unwrap();
        assert_eq!(image.len() % page_bytes(), 0);
        assert_eq!(&image.bytes()[..6], b"\0abXY\0");
        assert_eq!(image.bytes()[5000], b'z');
        assert_eq!(image.bytes().iter().filter(|&&byte| byte != 0).count(), 5);
        for (len, offset) in [(0, 0), (usize::MAX, 0), (4096, 4096), (4096, usize::MAX)] {
            assert!(Image::new(len, [(offset, &b"a"[..])]).is_err(), "{len} {offset}");
        }
    }

    #[test]
    fn mappings_are_private_and_discarding_shows_the_image_again() {
        let page = page_bytes();
        let image = Image::new(2 * page, [(page, &b"image"[..])]).unwrap();
        let places: Vec<_> = (0..2).map(|_| Reservation::new(4 * page).unwrap()).collect();
        let read = |place: &Reservation, at: usize| {
            assert!(at < place.len());
            // SAFETY: in bounds, and the tests only read what is readable.
            unsafe { place.base().add(at).read_volatile() }
        };
        for place in &places {
            place.map_image(page, &image).unwrap();
            assert_eq!((read(place, page), read(place, 2 * page)), (0, b'i'));
        }
        // SAFETY: in bounds of what was mapped for writing.
        unsafe { places[0].base().add(2 * page).write_volatile(7) };
        assert_eq!((read(&places[0], 2 * page), read(&places[1], 2 * page)), (7, b'i'));
        assert_eq!(image.bytes()[page], b'i');
        places[0].decommit(page..3 * page).unwrap();
        assert_eq!(read(&places[0], 2 * page), b'i');
        places[0].clear(page..3 * page, Access::Read).unwrap();
        assert_eq!(read(&places[0], 2 * page), 0);
        assert!(places[0].map_image(3 * page, &image).is_err());
    }
}
