//! Many small memories in few mappings.
//!
//! A process may have a limited number of mappings (65,530 on Linux, unless raised), and a memory
//! whose end is guarded needs two or three. A *dense* memory is a piece of a large mapping that is
//! read-write as a whole: the code that uses it compares every address with its length. So there
//! can be a hundred thousand. One that outgrows its piece moves to address space of its own.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use wasmoor_sys::vm::{Access, Reservation, round_up_to_pages};

/// Pieces in one mapping.
const CHUNK_PIECES: usize = 256;

/// Where dense memories are.
#[derive(Debug)]
pub struct DenseArena {
    piece_bytes: usize,
    /// Whose it is.
    process: u32,
    /// Pieces that nobody has; their bytes are zero.
    free: Mutex<Vec<FreePiece>>,
}

/// A chunk and the offset in it. A chunk stays mapped as long as one of its pieces is somewhere.
type FreePiece = (Arc<Reservation>, usize);

/// A piece of an arena, read-write, zeros at first.
#[derive(Debug)]
pub(crate) struct DensePiece {
    arena: Arc<DenseArena>,
    chunk: Arc<Reservation>,
    /// Offset in the chunk.
    start: usize,
}

impl DenseArena {
    /// An arena whose memories have room for `piece_bytes`, rounded up to pages, before they move.
    ///
    /// # Errors
    /// The length is zero or overflows.
    pub fn new(piece_bytes: usize) -> io::Result<Arc<Self>> {
        let piece_bytes = round_up_to_pages(piece_bytes)
            .filter(|&len| len > 0 && len.checked_mul(CHUNK_PIECES).is_some())
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Arc::new(DenseArena {
            piece_bytes,
            process: std::process::id(),
            free: Mutex::default(),
        }))
    }

    /// Bytes of a piece.
    #[must_use]
    pub fn piece_bytes(&self) -> usize {
        self.piece_bytes
    }

    pub(crate) fn piece(self: &Arc<Self>) -> io::Result<DensePiece> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            self.add_chunk(&mut free)?;
        }
        let (chunk, start) = free.pop().ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(DensePiece { arena: self.clone(), chunk, start })
    }

    /// A chunk of the usual size, or of one piece where address space is short.
    fn add_chunk(&self, free: &mut Vec<FreePiece>) -> io::Result<()> {
        let chunk = Reservation::new(self.piece_bytes * CHUNK_PIECES)
            .or_else(|_| Reservation::new(self.piece_bytes))?;
        chunk.protect(0..chunk.len(), Access::ReadWrite)?;
        let chunk = Arc::new(chunk);
        let pieces = (0..chunk.len()).step_by(self.piece_bytes).rev();
        free.extend(pieces.map(|start| (chunk.clone(), start)));
        Ok(())
    }
}

impl DensePiece {
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.chunk.at(self.start)
    }

    pub(crate) fn len(&self) -> usize {
        self.arena.piece_bytes
    }

    pub(crate) fn decommit(&self, range: Range<usize>) -> io::Result<()> {
        if range.end > self.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.chunk.decommit(self.start + range.start..self.start + range.end)
    }
}

impl Drop for DensePiece {
    fn drop(&mut self) {
        // A piece whose bytes cannot be cleared is not given to anybody else. Nor is one in a forked
        // child, where the lock may be held for ever; a child takes no pieces either.
        if self.arena.process == std::process::id() && self.decommit(0..self.len()).is_ok() {
            let mut free = self.arena.free.lock().unwrap_or_else(PoisonError::into_inner);
            free.push((self.chunk.clone(), self.start));
        }
    }
}
