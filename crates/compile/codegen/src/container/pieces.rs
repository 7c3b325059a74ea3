//! The hash of a module, by which parts of it can be read and checked alone.
//!
//! ```text
//! pieces    SHA-256 of each 64 KiB of the module in binary form
//! root      SHA-256 of the pieces' hashes, one after the other: the module's hash
//! ```
//!
//! A run that needs the body of one function, because no earlier run has called it, reads and hashes
//! the pieces that it lies in, not tens of megabytes.

use sha2::{Digest, Sha256};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use wasmoor_sys::vm::zeroed_bytes;

/// Bytes of a piece; the last one may have fewer.
const PIECE_BYTES: u64 = 64 << 10;
const HASH_BYTES: usize = 32;

/// See the head of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleHash {
    root: [u8; HASH_BYTES],
    pieces: Arc<[[u8; HASH_BYTES]]>,
    /// Bytes of the module.
    len: u64,
}

impl ModuleHash {
    /// The hash of a module in binary form.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let pieces = bytes.chunks(PIECE_BYTES as usize).map(|piece| Sha256::digest(piece).into());
        Self::from_pieces(pieces.collect(), bytes.len() as u64)
    }

    fn from_pieces(pieces: Arc<[[u8; HASH_BYTES]]>, len: u64) -> Self {
        ModuleHash { root: Sha256::digest(pieces.as_flattened()).into(), pieces, len }
    }

    /// The hash that is stored as the hashes of pieces; `None`: it is another, or of another length.
    pub(crate) fn decode(bytes: &[u8], len: u64, root: &[u8; HASH_BYTES]) -> Option<Self> {
        let (pieces, rest) = bytes.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || pieces.len() as u64 != len.div_ceil(PIECE_BYTES) {
            return None;
        }
        Some(Self::from_pieces(pieces.into(), len)).filter(|hash| hash.root == *root)
    }

    pub(crate) fn encode(&self) -> &[u8] {
        self.pieces.as_flattened()
    }

    /// The one hash that stands for all.
    #[must_use]
    pub fn root(&self) -> &[u8; HASH_BYTES] {
        &self.root
    }

    /// Bytes of the module.
    #[allow(clippy::len_without_is_empty, reason = "no module is empty")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    fn fits(&self, piece: usize, bytes: &[u8]) -> bool {
        self.pieces.get(piece).is_some_and(|hash| Sha256::digest(bytes)[..] == hash[..])
    }
}

/// Fills a buffer with the module's bytes from an offset on.
pub type ReadModule = Box<dyn Fn(&mut [u8], u64) -> io::Result<()> + Send + Sync>;

/// A module somewhere else, of which only what is what it was is handed out.
pub struct HashedModule {
    hash: ModuleHash,
    read: ReadModule,
    /// The piece read last: functions that are called one after the other are often neighbours.
    last: Mutex<Option<(usize, Arc<[u8]>)>>,
}

impl std::fmt::Debug for HashedModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashedModule").field("len", &self.hash.len).finish_non_exhaustive()
    }
}

impl HashedModule {
    /// A module with this hash that `read` reads.
    #[must_use]
    pub fn new(hash: ModuleHash, read: ReadModule) -> Self {
        HashedModule { hash, read, last: Mutex::new(None) }
    }

    /// All of it.
    ///
    /// # Errors
    /// It cannot be read, or is another.
    pub fn whole(&self) -> Result<Arc<[u8]>, String> {
        let len = usize::try_from(self.hash.len).map_err(|error| error.to_string())?;
        let mut bytes = zeroed_bytes(len);
        let buffer = Arc::get_mut(&mut bytes).ok_or("its memory is shared")?;
        (self.read)(buffer, 0).map_err(|error| error.to_string())?;
        let mut pieces = bytes.chunks(PIECE_BYTES as usize).enumerate();
        match pieces.all(|(piece, bytes)| self.hash.fits(piece, bytes)) {
            true => Ok(bytes),
            false => Err(CHANGED.to_owned()),
        }
    }

    /// A part of it.
    ///
    /// # Errors
    /// It cannot be read, or is another.
    pub fn part(&self, range: Range<u32>) -> Result<Box<[u8]>, String> {
        let range = u64::from(range.start)..u64::from(range.end);
        if range.start > range.end || range.end > self.hash.len {
            return Err(CHANGED.to_owned());
        }
        let mut part = Vec::with_capacity((range.end - range.start) as usize);
        let mut at = range.start;
        while at < range.end {
            let piece = self.piece((at / PIECE_BYTES) as usize)?;
            let within = (at % PIECE_BYTES) as usize;
            let taken = piece.len().min(within + (range.end - at) as usize);
            let bytes = piece.get(within..taken).filter(|bytes| !bytes.is_empty());
            let bytes = bytes.ok_or_else(|| CHANGED.to_owned())?;
            part.extend_from_slice(bytes);
            at += bytes.len() as u64;
        }
        Ok(part.into())
    }

    fn piece(&self, index: usize) -> Result<Arc<[u8]>, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, piece)) = &*last
            && *of == index
        {
            return Ok(Arc::clone(piece));
        }
        let start = index as u64 * PIECE_BYTES;
        let mut bytes = zeroed_bytes(self.hash.len.saturating_sub(start).min(PIECE_BYTES) as usize);
        let buffer = Arc::get_mut(&mut bytes).ok_or("its memory is shared")?;
        (self.read)(buffer, start).map_err(|error| error.to_string())?;
        if !self.hash.fits(index, &bytes) {
            return Err(CHANGED.to_owned());
        }
        *last = Some((index, Arc::clone(&bytes)));
        Ok(bytes)
    }
}

const CHANGED: &str = "its file has changed since it was loaded";

#[cfg(test)]
mod tests {
    use super::*;

    fn module(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * at / 7) as u8).collect()
    }

    fn hashed(module: &[u8], there: Vec<u8>) -> HashedModule {
        let read = move |buffer: &mut [u8], at: u64| {
            let bytes = there.get(at as usize..).and_then(|bytes| bytes.get(..buffer.len()));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        };
        HashedModule::new(ModuleHash::of(module), Box::new(read))
    }

    #[test]
    fn parts_are_those_of_the_module() {
        for len in [1, 65_535, 65_536, 65_537, 200_000] {
            let bytes = module(len);
            let hashed = hashed(&bytes, bytes.clone());
            assert_eq!(*hashed.whole().expect("unchanged"), *bytes);
            for (start, end) in [(0, 1), (0, len), (len / 2, len), (len - 1, len), (len, len)] {
                let part = hashed.part(start as u32..end as u32).expect("unchanged");
                assert_eq!(*part, bytes[start..end], "{start}..{end} of {len}");
            }
            assert!(hashed.part(0..len as u32 + 1).is_err());
        }
    }

    #[test]
    fn what_has_changed_is_not_handed_out() {
        let bytes = module(200_000);
        let mut other = bytes.clone();
        other[70_000] ^= 1;
        let hashed_other = hashed(&bytes, other);
        assert!(hashed_other.whole().is_err());
        assert!(hashed_other.part(0..65_536).is_ok(), "the first piece is unchanged");
        assert!(hashed_other.part(65_535..65_537).is_err());
        let cut = hashed(&bytes, bytes[..150_000].to_vec());
        assert!(cut.whole().is_err());
        assert!(cut.part(140_000..140_001).is_err(), "its piece is not complete");
    }

    #[test]
    fn stored_hashes_are_checked() {
        let hash = ModuleHash::of(&module(200_000));
        let (bytes, root) = (hash.encode(), hash.root());
        assert_eq!(ModuleHash::decode(bytes, 200_000, root).as_ref(), Some(&hash));
        assert_eq!(ModuleHash::decode(bytes, 300_000, root), None);
        assert_eq!(ModuleHash::decode(&bytes[..bytes.len() - 1], 200_000, root), None);
        let mut other = bytes.to_vec();
        other[5] ^= 1;
        assert_eq!(ModuleHash::decode(&other, 200_000, root), None);
    }
}
