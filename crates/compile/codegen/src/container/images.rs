//! What memories begin with, as a container holds it.
//!
//! ```text
//! table    8 bytes: number of images; 32 bytes each: memory (counted from the first that the module
//!          defines), first byte in the memory, bytes, first byte in the contents; zeros up to a page
//! contents of the images, each beginning at a multiple of `IMAGE_ALIGN` of the file, zeros between
//! ```
//!
//! Contents are not read when a container is opened, since they may be mapped: they are summed up
//! beside the rest of loading (`late`).

use super::{Container, ContainerError, ReadAt, Section, SectionKind};
use std::fs::File;
use std::io;
use wasmoor_abi::wire::checksum;

/// Contents begin at a multiple of this in the file, so that they can be mapped.
pub(crate) const IMAGE_ALIGN: u64 = 4096;
/// Contents are summed in pieces of this length.
const PIECE_BYTES: usize = 256 << 10;
const ENTRY_BYTES: usize = 32;
/// A module's memories are few; a table that says otherwise is damaged.
const IMAGES_MAX: u64 = 1 << 16;

/// What a memory begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// The memory, counted from the first that the module defines.
    pub memory: u32,
    /// First byte in the memory.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Where an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImagePlace {
    /// The memory, counted from the first that the module defines.
    pub memory: u32,
    /// First byte in the memory.
    pub start: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// First byte in the container.
    pub offset: u64,
}

/// Table and contents of a container whose next section begins at `offset`.
pub(crate) fn encode(images: &[StoredImage], offset: u64) -> (Vec<u8>, Vec<u8>) {
    let (mut table, mut contents) = (Vec::new(), Vec::new());
    if images.is_empty() {
        return (table, contents);
    }
    table.extend((images.len() as u64).to_le_bytes());
    for image in images {
        let at = contents.len() as u64;
        let numbers = [u64::from(image.memory), image.start, image.bytes.len() as u64, at];
        numbers.iter().for_each(|number| table.extend(number.to_le_bytes()));
        contents.extend_from_slice(&image.bytes);
        contents.resize(contents.len().next_multiple_of(IMAGE_ALIGN as usize), 0);
    }
    let end = (offset + table.len() as u64).next_multiple_of(IMAGE_ALIGN);
    table.resize((end - offset) as usize, 0);
    (table, contents)
}

/// The images of a table; `None`: it is damaged.
pub(crate) fn decode(table: &[u8], contents: Section) -> Option<Vec<ImagePlace>> {
    if table.is_empty() {
        return Some(Vec::new());
    }
    let (count, rest) = table.split_first_chunk::<8>()?;
    let count = u64::from_le_bytes(*count);
    let (entries, _) = rest.as_chunks::<ENTRY_BYTES>();
    let entries = entries.get(..usize::try_from(count).ok().filter(|_| count <= IMAGES_MAX)?)?;
    let place = |entry: &[u8; ENTRY_BYTES]| {
        let (words, _) = entry.as_chunks::<8>();
        let number = |at: usize| words.get(at).map_or(0, |word| u64::from_le_bytes(*word));
        let (bytes, at) = (number(2), number(3));
        number(1).checked_add(bytes)?;
        at.checked_add(bytes).filter(|&end| end <= contents.bytes)?;
        let memory = u32::try_from(number(0)).ok()?;
        Some(ImagePlace { memory, start: number(1), bytes, offset: contents.offset + at })
    };
    entries.iter().map(place).collect()
}

/// A checksum of contents: that of the checksums of their pieces.
pub(crate) fn contents_sum(contents: &[u8]) -> u64 {
    let sums = contents.chunks(PIECE_BYTES).flat_map(|piece| checksum(piece).to_le_bytes());
    checksum(&sums.collect::<Vec<u8>>())
}

/// The checksum of contents that are read piece by piece.
pub(crate) fn sum_of(source: &dyn ReadAt, section: Section) -> io::Result<u64> {
    let mut sums = Vec::new();
    let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(section.bytes).unwrap_or(PIECE_BYTES))];
    let mut at = 0;
    while at < section.bytes {
        let len = (section.bytes - at).min(PIECE_BYTES as u64) as usize;
        source.read_at(&mut piece[..len], section.offset + at)?;
        sums.extend(checksum(&piece[..len]).to_le_bytes());
        at += len as u64;
    }
    Ok(checksum(&sums))
}

impl Container {
    /// Where the images of memories are, if the skeleton lacks active data segments.
    #[must_use]
    pub fn images(&self) -> &[ImagePlace] {
        &self.images
    }

    /// The file that the container is, if it is one: images can be mapped from it.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        self.source.file()
    }

    /// Fills a buffer of the image's length with its bytes.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read_image(&self, place: &ImagePlace, buffer: &mut [u8]) -> io::Result<()> {
        self.source.read_at(buffer, place.offset)
    }

    /// All images, for another container.
    ///
    /// # Errors
    /// They cannot be read, or have changed since they were stored.
    pub fn copy_images(&self) -> Result<Vec<StoredImage>, ContainerError> {
        let section = self.header.section(SectionKind::Image);
        let contents = super::read_bytes(&*self.source, section)?;
        if contents_sum(&contents) != section.sum {
            return Err(ContainerError::Damaged("the contents of memories"));
        }
        let copy = |place: &ImagePlace| {
            let start = (place.offset - section.offset) as usize;
            let bytes = contents.get(start..start + place.bytes as usize)?.to_vec();
            Some(StoredImage { memory: place.memory, start: place.start, bytes })
        };
        let copies: Option<_> = self.images.iter().map(copy).collect();
        copies.ok_or(ContainerError::Damaged("the contents of memories"))
    }
}
