//! Reading, writing and seeking: one system call on guest memory per call.

use super::{Result, descriptor};
use crate::abi::{Out, Version, seek_from};
use crate::context::WasiCtx;
use crate::errno::Errno;
use rustix::fs::SeekFrom;
use wasmoor_host::{GuestMemory, IoVecs, Rights};

/// Reads at the position.
///
/// # Errors
/// `badf` for something that cannot be read, else those of `readv`.
pub fn fd_read(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nread: u32,
) -> Result {
    let descriptor = descriptor(ctx, fd, Rights::FD_READ)?;
    let out = Out::for_u32(memory, nread)?;
    let vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    out.put_count(descriptor.read(&ctx.core.guard, &vecs)?)
}

/// Writes at the position.
///
/// # Errors
/// `badf` for something that cannot be written, else those of `writev`.
pub fn fd_write(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    nwritten: u32,
) -> Result {
    let descriptor = descriptor(ctx, fd, Rights::FD_WRITE)?;
    let out = Out::for_u32(memory, nwritten)?;
    let mut vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    out.put_count(descriptor.write(&ctx.core.guard, &mut vecs)?)
}

/// Reads at `offset`.
///
/// # Errors
/// `spipe` for a stream, else as [`fd_read`].
pub fn fd_pread(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nread: u32,
) -> Result {
    let descriptor = descriptor(ctx, fd, Rights::FD_READ | Rights::FD_SEEK)?;
    let out = Out::for_u32(memory, nread)?;
    let vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    out.put_count(descriptor.read_at(&ctx.core.guard, &vecs, offset)?)
}

/// Writes at `offset`.
///
/// # Errors
/// `spipe` for a stream, else as [`fd_write`].
pub fn fd_pwrite(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    offset: u64,
    nwritten: u32,
) -> Result {
    let descriptor = descriptor(ctx, fd, Rights::FD_WRITE | Rights::FD_SEEK)?;
    let out = Out::for_u32(memory, nwritten)?;
    let mut vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    out.put_count(descriptor.write_at(&ctx.core.guard, &mut vecs, offset)?)
}

/// Moves the position.
///
/// # Errors
/// `spipe` for a stream, `inval` for a position before the start.
pub fn fd_seek(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    out: u32,
) -> Result {
    seek_in_version(Version::Preview1, ctx, memory, [fd, whence, out], offset)
}

/// `fd_seek` of either version.
pub(crate) fn seek_in_version(
    version: Version,
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    [fd, whence, out]: [u32; 3],
    offset: u64,
) -> Result {
    let to = seek_from(version, offset, whence)?;
    // To learn the position is not to move it.
    let right = if to == SeekFrom::Current(0) { Rights::FD_TELL } else { Rights::FD_SEEK };
    let descriptor = ctx.core.table.get(fd)?;
    if !descriptor.allows(right) && !descriptor.allows(Rights::FD_SEEK) {
        return Err(Errno::NotCapable);
    }
    let out = Out::for_u64(memory, out)?;
    out.put(&descriptor.seek(to)?.to_le_bytes());
    Ok(())
}

/// The position.
///
/// # Errors
/// `spipe` for a stream.
pub fn fd_tell(ctx: &WasiCtx, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    seek_in_version(Version::Preview1, ctx, memory, [fd, 1, out], 0)
}

/// Waits until data and attributes are on the disk.
///
/// # Errors
/// Those of `fsync`.
pub fn fd_sync(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32) -> Result {
    Ok(descriptor(ctx, fd, Rights::FD_SYNC)?.sync(&ctx.core.guard, true)?)
}

/// Waits until data are on the disk.
///
/// # Errors
/// Those of `fdatasync`.
pub fn fd_datasync(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32) -> Result {
    Ok(descriptor(ctx, fd, Rights::FD_DATASYNC)?.sync(&ctx.core.guard, false)?)
}
