//! Address space of one memory: its own, or a piece of an arena.

use crate::dense::DensePiece;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use wasmoor_sys::file_image::FileMapping;
use wasmoor_sys::image::Image;
use wasmoor_sys::vm::{Access, Reservation};

#[derive(Debug)]
pub(crate) enum Space {
    Own(Reservation),
    Dense(DensePiece),
}

impl Space {
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self, Space::Dense(_))
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        match self {
            Space::Own(own) => own.base(),
            Space::Dense(piece) => piece.base(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Space::Own(own) => own.len(),
            Space::Dense(piece) => piece.len(),
        }
    }

    pub(crate) fn addresses(&self) -> Range<usize> {
        let base = self.base().addr().get();
        base..base + self.len()
    }

    /// A piece of an arena is read-write, always.
    pub(crate) fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        match self {
            Space::Own(own) => own.protect(range, access),
            Space::Dense(_) => Ok(()),
        }
    }

    pub(crate) fn decommit(&self, range: Range<usize>) -> io::Result<()> {
        match self {
            Space::Own(own) => own.decommit(range),
            Space::Dense(piece) => piece.decommit(range),
        }
    }

    /// Not in an arena, which keeps to its few mappings.
    pub(crate) fn map_image(&self, at: usize, image: &Image) -> io::Result<()> {
        match self {
            Space::Own(own) => own.map_image(at, image),
            Space::Dense(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// As for images.
    pub(crate) fn map_file(
        &self,
        at: usize,
        file: &File,
        offset: u64,
        len: usize,
    ) -> io::Result<FileMapping> {
        match self {
            Space::Own(own) => own.map_file(at, file, offset, len),
            Space::Dense(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Zeros instead of what was there; inaccessible ones outside of an arena.
    pub(crate) fn clear(&self, range: Range<usize>) -> io::Result<()> {
        match self {
            Space::Own(own) => own.clear(range, Access::None),
            Space::Dense(piece) => piece.decommit(range),
        }
    }

    pub(crate) fn enlarge(&mut self, kept: usize, accessible: usize, len: usize) -> io::Result<()> {
        match self {
            Space::Own(own) => own.enlarge(kept, accessible, len),
            Space::Dense(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
