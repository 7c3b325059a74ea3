//! Layouts in guest memory that several families of calls use. Everything is little-endian.

use crate::errno::Errno;
use std::time::Duration;
use wasmoor_host::{GuestMemory, GuestSlice};

/// A place for a result, checked before the work is done.
#[derive(Clone, Copy)]
pub(crate) struct Out<'a>(GuestSlice<'a>);

impl<'a> Out<'a> {
    /// `len` bytes at `addr`.
    pub(crate) fn new(memory: &GuestMemory<'a>, addr: u32, len: u32) -> Result<Self, Errno> {
        Ok(Out(memory.slice(addr, len)?))
    }

    /// A place for a `u32`.
    pub(crate) fn for_u32(memory: &GuestMemory<'a>, addr: u32) -> Result<Self, Errno> {
        Out::new(memory, addr, 4)
    }

    pub(crate) fn put(self, bytes: &[u8]) {
        self.0.copy_from(bytes);
    }

    pub(crate) fn put_u32(self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// A `bool`, for which the place is one byte.
    pub(crate) fn put_bool(self, value: bool) {
        self.put(&[u8::from(value)]);
    }
}

/// Bytes of an `option_timestamp`: a tag, and at 8 the value.
const OPTION_TIMESTAMP_BYTES: u32 = 16;
/// The tag of an option that has a value.
const SOME: u8 = 1;

/// An `option_timestamp` as a time to wait; a null pointer is none.
pub(crate) fn optional_time(
    memory: &GuestMemory<'_>,
    addr: u32,
) -> Result<Option<Duration>, Errno> {
    if addr == 0 {
        return Ok(None);
    }
    memory.slice(addr, OPTION_TIMESTAMP_BYTES)?;
    let ns = memory.read_u64(u64::from(addr) + 8)?;
    Ok((memory.read_u8(addr)? == SOME).then(|| Duration::from_nanos(ns)))
}

/// A string of at most `bytes_max` bytes.
pub(crate) fn text(
    memory: &GuestMemory<'_>,
    addr: u32,
    len: u32,
    bytes_max: u32,
) -> Result<Vec<u8>, Errno> {
    let slice = memory.slice(addr, len)?;
    if len > bytes_max {
        return Err(rustix::io::Errno::NAMETOOLONG.into());
    }
    let mut bytes = vec![0; slice.len()];
    slice.copy_to(&mut bytes);
    Ok(bytes)
}
