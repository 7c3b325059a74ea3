//! What a memory holds when its instance begins: an image that is mapped copy-on-write.

use crate::plan::Size;
use std::ops::Range;
use wasmoor_abi::MemoryType;
use wasmoor_sys::image::Image;
use wasmoor_sys::vm;

/// Up to this many bytes an image covers all of a memory, so that the memory is one mapping.
const WHOLE_MEMORY_BYTES_MAX: usize = 2 << 20;
/// An image may be this many times as large as the data in it: what lies between the pieces takes
/// memory when it is read.
const SPARSE_FACTOR_MAX: usize = 8;
/// The same where it is stored in a file.
const FOLDED_SPARSE_FACTOR_MAX: u64 = 4;

/// Where the pieces of a memory's data are, all together: whole pages, or up to the memory's end.
/// `None`: a piece leaves the memory, or they are too far apart to be kept as one.
#[must_use]
pub fn folded_range(
    ty: &MemoryType,
    pieces: impl Iterator<Item = (u64, u64)>,
    page_bytes: u64,
) -> Option<Range<u64>> {
    let bytes = Size::of(ty).bytes(ty.minimum)? as u64;
    let (mut start, mut end, mut data) = (u64::MAX, 0, 0_u64);
    for (at, len) in pieces.filter(|&(_, len)| len > 0) {
        start = start.min(at);
        end = end.max(at.checked_add(len).filter(|&end| end <= bytes)?);
        data = data.saturating_add(len);
    }
    if data == 0 {
        return Some(0..0);
    }
    let range = start & !(page_bytes - 1)..end.next_multiple_of(page_bytes).min(bytes);
    let most = data.saturating_mul(FOLDED_SPARSE_FACTOR_MAX).max(page_bytes);
    (range.end - range.start <= most).then_some(range)
}

/// The first contents of memories of one type: zeros with an image in between.
#[derive(Debug)]
pub struct MemoryImage {
    image: Image,
    /// Offset of the image in the memory, page-aligned.
    start: usize,
}

impl MemoryImage {
    /// The image of a memory of the type's minimum with these pieces of data (offset and bytes,
    /// later ones overwrite earlier ones). `None`: there is no data, a piece leaves the memory,
    /// the pieces are too far apart, or the system has no images; copy the pieces then.
    #[must_use]
    pub fn new(ty: &MemoryType, pieces: &[(u64, &[u8])]) -> Option<Self> {
        let bytes = Size::of(ty).bytes(ty.minimum)?;
        let pieces = || pieces.iter().filter(|(_, piece)| !piece.is_empty());
        let offset = |offset: u64| usize::try_from(offset).ok();
        let (mut start, mut end, mut data) = (bytes, 0, 0_usize);
        for &(at, piece) in pieces() {
            let at = offset(at)?;
            start = start.min(at);
            end = end.max(at.checked_add(piece.len()).filter(|&end| end <= bytes)?);
            data = data.saturating_add(piece.len());
        }
        let committed = vm::round_up_to_pages(bytes)?;
        if data == 0 {
            return None;
        }
        if committed <= WHOLE_MEMORY_BYTES_MAX {
            (start, end) = (0, committed);
        } else {
            start &= !(vm::page_bytes() - 1);
            let most = data.saturating_mul(SPARSE_FACTOR_MAX).max(WHOLE_MEMORY_BYTES_MAX);
            if end - start > most {
                return None;
            }
        }
        let pieces = pieces().filter_map(|&(at, piece)| Some((offset(at)? - start, piece)));
        let image = Image::new(end - start, pieces).ok()?;
        Some(MemoryImage { image, start })
    }

    /// Offset of the image in the memory, page-aligned.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// The bytes from [`MemoryImage::start`] on, whole pages.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.image.bytes()
    }

    /// The offset behind the image, page-aligned.
    pub(crate) fn end(&self) -> usize {
        self.start + self.image.len()
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(minimum: u64) -> MemoryType {
        MemoryType { minimum, maximum: None, index64: false, shared: false, page_size_log2: 16 }
    }

    #[test]
    fn small_memories_are_covered_and_large_ones_from_their_data_on() {
        let small = MemoryImage::new(&ty(1), &[(70, b"data"), (72, b"X")]).unwrap();
        assert_eq!((small.start(), small.bytes().len()), (0, 1 << 16));
        assert_eq!(&small.bytes()[70..75], b"daXa\0");
        let large = MemoryImage::new(&ty(1000), &[(20_000_001, b"data")]).unwrap();
        let page = vm::page_bytes();
        assert_eq!((large.start(), large.bytes().len()), (20_000_001 & !(page - 1), page));
        assert_eq!(&large.bytes()[20_000_001 % page..][..4], b"data");
        assert_eq!(large.end(), large.start() + page);
    }

    #[test]
    fn folded_ranges_are_whole_pages_inside_the_memory() {
        let range = |minimum, pieces: &[(u64, u64)]| {
            folded_range(&ty(minimum), pieces.iter().copied(), 4096)
        };
        assert_eq!(range(1, &[]), Some(0..0));
        assert_eq!(range(1, &[(5000, 0)]), Some(0..0));
        assert_eq!(range(1, &[(5000, 1)]), Some(4096..8192));
        assert_eq!(range(1, &[(100, 3000), (9000, 3000)]), Some(0..12288));
        assert_eq!(range(1, &[(65_000, 536)]), Some(61_440..65_536));
        assert_eq!(range(1, &[(65_000, 537)]), None, "leaves the memory");
        assert_eq!(range(1, &[(u64::MAX, 2)]), None, "overflow");
        assert_eq!(range(1, &[(0, 10), (60_000, 10)]), None, "too far apart");
        let custom = MemoryType { page_size_log2: 0, ..ty(5000) };
        assert_eq!(folded_range(&custom, [(4500, 500)].into_iter(), 4096), Some(4096..5000));
    }

    #[test]
    fn what_cannot_be_folded_has_no_image() {
        /// A name, pages, and pieces.
        type Case = (&'static str, u64, &'static [(u64, &'static [u8])]);
        let cases: [Case; 6] = [
            ("no data", 1, &[]),
            ("empty data", 1, &[(5, b"")]),
            ("no memory", 0, &[(0, b"a")]),
            ("behind the end", 1, &[(65_535, b"ab")]),
            ("overflow", 1, &[(u64::MAX, b"a")]),
            ("far apart", 60_000, &[(0, b"a"), (3_000_000_000, b"b")]),
        ];
        for (name, minimum, pieces) in cases {
            assert!(MemoryImage::new(&ty(minimum), pieces).is_none(), "{name}");
        }
    }
}
