//! A growing byte buffer that takes up to eight bytes at a time.
//!
//! `bytes` is always longer than what was written, so that a short instruction is one store of
//! eight bytes, of which only the first few count.

/// Bytes that a fresh buffer holds.
const BYTES_MIN: usize = 4096;
/// Bytes of one store.
const CHUNK_BYTES: usize = 8;

/// See the head of this module.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// Forgets the content, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> u32 {
        // Bodies are below 8 MB, and an operator makes at most a few hundred bytes.
        self.len as u32
    }

    /// Appends the lowest `count` bytes, at most eight.
    #[inline(always)]
    pub(crate) fn put(&mut self, value: u64, count: usize) {
        if self.bytes.len() < self.len + CHUNK_BYTES {
            self.grow();
        }
        self.bytes[self.len..self.len + CHUNK_BYTES].copy_from_slice(&value.to_le_bytes());
        self.len += count;
    }

    #[cold]
    fn grow(&mut self) {
        let len = (self.bytes.len() * 2).max(BYTES_MIN);
        self.bytes.resize(len, 0);
    }

    /// Overwrites four bytes.
    pub(crate) fn patch32(&mut self, at: u32, value: u32) {
        let at = at as usize;
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Overwrites one byte.
    pub(crate) fn patch8(&mut self, at: u32, value: u8) {
        self.bytes[at as usize] = value;
    }

    /// What was written.
    pub(crate) fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
