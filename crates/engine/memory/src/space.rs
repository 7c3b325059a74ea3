//! Address space of one memory: its own, a piece of an arena, or an embedder's.

use crate::claim::Claim;
use crate::created::CreatedSpace;
use crate::dense::DensePiece;
use crate::plan::Wanted;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use wasmoor_sys::file_image::FileMapping;
use wasmoor_sys::image::Image;
use wasmoor_sys::vm::{Access, Reservation};

#[derive(Debug)]
pub(crate) enum Space {
    Own(Own),
    Dense(DensePiece),
    /// Nothing can be done with it here but to let it grow.
    Created(CreatedSpace),
}

/// Address space with the memory's base behind `front` inaccessible bytes. Ranges are counted from
/// the base on.
#[derive(Debug)]
pub(crate) struct Own {
    reservation: Reservation,
    front: usize,
    _claim: Option<Claim>,
}

impl Own {
    /// Address space of which the first `accessible` bytes from the base on are read-write.
    pub(crate) fn new(wanted: Wanted, accessible: usize) -> io::Result<Self> {
        let own = Self::reserve(wanted.best, wanted.front).or_else(|error| {
            match wanted.least == wanted.best {
                true => Err(error),
                false => Self::reserve(wanted.least, wanted.front),
            }
        })?;
        own.protect(0..accessible, Access::ReadWrite)?;
        Ok(own)
    }

    fn reserve(len: usize, front: usize) -> io::Result<Self> {
        let len = len.checked_add(front).ok_or(io::ErrorKind::OutOfMemory)?;
        let claim = match front {
            0 => None,
            _ => Some(Claim::new(len)?),
        };
        Ok(Own { reservation: Reservation::new(len)?, front, _claim: claim })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.reservation.at(self.front)
    }

    /// Bytes from the base on.
    fn len(&self) -> usize {
        self.reservation.len() - self.front
    }

    fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        self.reservation.protect(self.behind_front(range)?, access)
    }

    fn behind_front(&self, range: Range<usize>) -> io::Result<Range<usize>> {
        let behind = |at: usize| at.checked_add(self.front).ok_or(io::ErrorKind::InvalidInput);
        Ok(behind(range.start)?..behind(range.end)?)
    }
}

impl Space {
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self, Space::Dense(_))
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        match self {
            Space::Own(own) => own.base(),
            Space::Dense(piece) => piece.base(),
            Space::Created(created) => created.base(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Space::Own(own) => own.len(),
            Space::Dense(piece) => piece.len(),
            Space::Created(created) => created.len(),
        }
    }

    /// All addresses, also those before the base.
    pub(crate) fn addresses(&self) -> Range<usize> {
        match self {
            Space::Own(own) => own.reservation.addresses(),
            Space::Dense(_) | Space::Created(_) => {
                let base = self.base().addr().get();
                base..base + self.len()
            }
        }
    }

    /// A piece of an arena is read-write, always.
    pub(crate) fn protect(&self, range: Range<usize>, access: Access) -> io::Result<()> {
        match self {
            Space::Own(own) => own.protect(range, access),
            Space::Dense(_) => Ok(()),
            Space::Created(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(crate) fn decommit(&self, range: Range<usize>) -> io::Result<()> {
        match self {
            Space::Own(own) => own.reservation.decommit(own.behind_front(range)?),
            Space::Dense(piece) => piece.decommit(range),
            Space::Created(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Not in an arena, which keeps to its few mappings.
    pub(crate) fn map_image(&self, at: usize, image: &Image) -> io::Result<()> {
        match self {
            Space::Own(own) => own.reservation.map_image(own.behind_front(at..at)?.start, image),
            Space::Dense(_) | Space::Created(_) => Err(io::ErrorKind::Unsupported.into()),
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
            Space::Own(own) => {
                own.reservation.map_file(own.behind_front(at..at)?.start, file, offset, len)
            }
            Space::Dense(_) | Space::Created(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Zeros instead of what was there; inaccessible ones outside of an arena.
    pub(crate) fn clear(&self, range: Range<usize>) -> io::Result<()> {
        match self {
            Space::Own(own) => own.reservation.clear(own.behind_front(range)?, Access::None),
            Space::Dense(piece) => piece.decommit(range),
            Space::Created(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(crate) fn enlarge(&mut self, kept: usize, accessible: usize, len: usize) -> io::Result<()> {
        match self {
            // What is before the base would have to move along.
            Space::Own(own) if own.front > 0 => Err(io::ErrorKind::Unsupported.into()),
            Space::Own(own) => own.reservation.enlarge(kept, accessible, len),
            Space::Dense(_) | Space::Created(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
