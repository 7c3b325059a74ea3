//! Descriptors themselves: attributes, flags, rights, sizes, times, numbers.

use super::{Result, descriptor};
use crate::abi::{Bytes, FDSTAT_BYTES, Out, Version, advice, file_type, timestamps};
use crate::context::WasiCtx;
use crate::errno::Errno;
use wasmoor_host::{GuestMemory, Rights, StatusFlags};

/// Closes a descriptor; mounts too can be closed.
///
/// # Errors
/// `badf` when it is not open.
pub fn fd_close(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32) -> Result {
    drop(ctx.core.table.remove(fd)?);
    Ok(())
}

/// Moves a descriptor to another number, which is closed before.
///
/// # Errors
/// `badf` when either is not open.
pub fn fd_renumber(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32, to: u32) -> Result {
    Ok(ctx.core.table.renumber(fd, to)?)
}

/// Tells how a file will be used.
///
/// # Errors
/// `inval` for unknown advice, `spipe` for a stream, `badf` for a directory.
pub fn fd_advise(
    ctx: &WasiCtx,
    _: &GuestMemory<'_>,
    fd: u32,
    offset: u64,
    len: u64,
    how: u32,
) -> Result {
    let descriptor = descriptor(ctx, fd, Rights::FD_ADVISE)?;
    Ok(descriptor.advise(offset, len, advice(how)?)?)
}

/// Reserves space in a file.
///
/// # Errors
/// `rofs` through a read-only mount, `notsup` when the file system cannot, else those of
/// `posix_fallocate`.
pub fn fd_allocate(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32, offset: u64, len: u64) -> Result {
    Ok(descriptor(ctx, fd, Rights::FD_ALLOCATE)?.allocate(&ctx.core.guard, offset, len)?)
}

/// Kind, flags and rights.
///
/// # Errors
/// `badf` when it is not open.
pub fn fd_fdstat_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    let descriptor = ctx.core.table.get(fd)?;
    let out = Out::new(memory, out, FDSTAT_BYTES)?;
    let (rights, inheriting) = descriptor.rights()?;
    let stat = Bytes::<{ FDSTAT_BYTES as usize }>::new()
        .u8(0, file_type(descriptor.kind()?))
        .u16(2, descriptor.status_flags()?.bits())
        .u64(8, rights.bits())
        .u64(16, inheriting.bits());
    out.put(stat.bytes());
    Ok(())
}

/// Sets the flags.
///
/// # Errors
/// `inval` for unknown flags, `notsup` for those that cannot change after opening.
pub fn fd_fdstat_set_flags(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32, flags: u32) -> Result {
    let descriptor = descriptor(ctx, fd, Rights::FD_FDSTAT_SET_FLAGS)?;
    Ok(descriptor.set_status_flags(status_flags(flags)?)?)
}

/// `fdflags`.
pub(super) fn status_flags(raw: u32) -> Result<StatusFlags> {
    u16::try_from(raw).ok().and_then(StatusFlags::from_bits).ok_or(Errno::Inval)
}

/// Gives rights up.
///
/// # Errors
/// `notcapable` for rights that it does not have.
pub fn fd_fdstat_set_rights(
    ctx: &WasiCtx,
    _: &GuestMemory<'_>,
    fd: u32,
    rights: u64,
    inheriting: u64,
) -> Result {
    ctx.core.table.get(fd)?;
    let known = |bits| Rights::from_bits(bits).ok_or(Errno::NotCapable);
    let limited = ctx.core.table.limit_rights(fd, known(rights)?, known(inheriting)?);
    limited.map_err(|error| match error {
        wasmoor_host::Errno::ACCESS => Errno::NotCapable,
        other => other.into(),
    })
}

/// The attributes of the file.
///
/// # Errors
/// Those of `fstat`.
pub fn fd_filestat_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    filestat_of_fd(Version::Preview1, ctx, memory, fd, out)
}

/// `fd_filestat_get` of either version.
pub(crate) fn filestat_of_fd(
    version: Version,
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    out: u32,
) -> Result {
    let descriptor = descriptor(ctx, fd, Rights::FD_FILESTAT_GET)?;
    let out = Out::new(memory, out, version.filestat_bytes())?;
    version.put_filestat(out, &descriptor.stat()?);
    Ok(())
}

/// Sets the size of the file.
///
/// # Errors
/// `rofs` through a read-only mount, `nospc` when the meter refuses the growth, else those of
/// `ftruncate`.
pub fn fd_filestat_set_size(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32, size: u64) -> Result {
    Ok(descriptor(ctx, fd, Rights::FD_FILESTAT_SET_SIZE)?.set_size(&ctx.core.guard, size)?)
}

/// Sets the times of the file.
///
/// # Errors
/// `inval` for contradicting flags, `rofs` through a read-only mount, else those of `futimens`.
pub fn fd_filestat_set_times(
    ctx: &WasiCtx,
    _: &GuestMemory<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Result {
    let times = timestamps(accessed, modified, flags)?;
    Ok(descriptor(ctx, fd, Rights::FD_FILESTAT_SET_TIMES)?.set_times(&times)?)
}
