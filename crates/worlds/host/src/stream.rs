//! Streams that are no kernel objects: memory buffers and callbacks of the embedder.
//!
//! Anything that is `std::io::Read` or `std::io::Write` can stand behind a guest's descriptor. The
//! bytes pass through a host buffer of bounded size, since a reader must not see guest memory. The
//! two buffers here serve tests and plug-ins.

use crate::limits::COPY_BYTES_MAX;
use crate::vectored::IoVecs;
use rustix::io::{Errno, Result};
use std::io::{Cursor, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes to be read by a guest.
pub type MemoryInput = Cursor<Vec<u8>>;

/// Collects what a guest writes, up to a maximum; clones share the bytes.
#[derive(Clone, Debug)]
pub struct MemoryOutput {
    bytes: Arc<Mutex<Vec<u8>>>,
    bytes_max: usize,
}

impl MemoryOutput {
    /// An empty buffer that takes `bytes_max` bytes; a guest that writes more gets `ENOSPC`.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        MemoryOutput { bytes: Arc::default(), bytes_max }
    }

    /// A copy of what was written so far.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.lock().clone()
    }

    /// Takes out what was written so far and makes room again.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Bytes are whole whatever panicked elsewhere.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for MemoryOutput {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut buffer = self.lock();
        let room = self.bytes_max.saturating_sub(buffer.len());
        if room == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(room);
        buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Calls a function with what a guest writes; it returns how many bytes it took.
pub struct WriteFn<F>(pub F);

impl<F> std::fmt::Debug for WriteFn<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WriteFn")
    }
}

impl<F> std::fmt::Debug for ReadFn<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadFn")
    }
}

impl<F: FnMut(&[u8]) -> std::io::Result<usize>> Write for WriteFn<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.0)(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Calls a function for what a guest reads; it returns how many bytes it put, 0 at the end.
pub struct ReadFn<F>(pub F);

impl<F: FnMut(&mut [u8]) -> std::io::Result<usize>> Read for ReadFn<F> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        (self.0)(bytes)
    }
}

/// The system call error that comes closest.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    if let Some(errno) = Errno::from_io_error(error) {
        return errno;
    }
    match error.kind() {
        ErrorKind::BrokenPipe => Errno::PIPE,
        ErrorKind::WouldBlock => Errno::AGAIN,
        ErrorKind::Interrupted => Errno::INTR,
        ErrorKind::StorageFull => Errno::NOSPC,
        ErrorKind::PermissionDenied => Errno::ACCESS,
        ErrorKind::Unsupported => Errno::NOTSUP,
        ErrorKind::InvalidInput => Errno::INVAL,
        _ => Errno::IO,
    }
}

/// Reads once from `input` into guest memory.
///
/// # Errors
/// Those of `input`.
pub(crate) fn read(input: &mut dyn Read, vecs: &IoVecs<'_>) -> Result<usize> {
    let mut buffer = vec![0; vecs.bytes().min(COPY_BYTES_MAX)];
    if buffer.is_empty() {
        return Ok(0);
    }
    let got = input.read(&mut buffer).map_err(|error| errno(&error))?;
    // A reader that claims more than it was asked for must not make us panic.
    let mut rest = buffer.get(..got).ok_or(Errno::IO)?;
    for slice in vecs.slices() {
        let copied = slice.copy_from(rest);
        rest = &rest[copied..];
    }
    Ok(got)
}

/// Writes once from guest memory to `output`.
///
/// # Errors
/// Those of `output`.
pub(crate) fn write(output: &mut dyn Write, vecs: &IoVecs<'_>) -> Result<usize> {
    let mut buffer = vec![0; vecs.bytes().min(COPY_BYTES_MAX)];
    let mut filled = 0;
    for slice in vecs.slices() {
        filled += slice.copy_to(&mut buffer[filled..]);
    }
    if filled == 0 {
        return Ok(0);
    }
    let taken = output.write(&buffer[..filled]).map_err(|error| errno(&error))?;
    if taken > filled { Err(Errno::IO) } else { Ok(taken) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestMemory;

    #[test]
    fn a_full_buffer_refuses() {
        let mut output = MemoryOutput::new(5);
        assert_eq!(output.write(b"abc").unwrap(), 3);
        assert_eq!(output.write(b"def").unwrap(), 2);
        assert_eq!(errno(&output.write(b"x").unwrap_err()), Errno::NOSPC);
        assert_eq!(output.take(), b"abcde");
        assert_eq!(output.write(b"x").unwrap(), 1);
    }

    #[test]
    fn copies_between_vectors_and_streams() {
        let mut bytes = *b"....hello world.";
        let memory = GuestMemory::from_slice(&mut bytes);
        let mut vecs = IoVecs::one(memory.slice(4u32, 5u32).unwrap());
        vecs.push(memory.slice(10u32, 5u32).unwrap());
        let mut output = MemoryOutput::new(100);
        assert_eq!(write(&mut output, &vecs), Ok(10));
        assert_eq!(output.contents(), b"helloworld");
        assert_eq!(read(&mut Cursor::new(b"1234567"), &vecs), Ok(7));
        assert_eq!(&bytes, b"....12345 67rld.");
    }

    #[test]
    fn lying_streams_are_errors() {
        let mut bytes = [0; 4];
        let memory = GuestMemory::from_slice(&mut bytes);
        let vecs = IoVecs::one(memory.slice(0u32, 4u32).unwrap());
        assert_eq!(read(&mut ReadFn(|_: &mut [u8]| Ok(9)), &vecs), Err(Errno::IO));
        assert_eq!(write(&mut WriteFn(|_: &[u8]| Ok(9)), &vecs), Err(Errno::IO));
    }
}
