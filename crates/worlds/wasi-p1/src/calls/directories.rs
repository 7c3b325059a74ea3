//! Mounts and directory listings.

use super::{Result, descriptor};
use crate::abi::{Bytes, DIRENT_BYTES, Out, PRESTAT_BYTES, file_type};
use crate::context::WasiCtx;
use crate::errno::Errno;
use std::ops::ControlFlow;
use wasmoor_host::directory::Entry;
use wasmoor_host::{GuestMemory, GuestSlice, Rights};

/// Says that a descriptor is a mount, and how long its name is.
///
/// # Errors
/// `badf` for anything but a mount; programs look until they meet it.
pub fn fd_prestat_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    let descriptor = ctx.core.table.get(fd)?;
    let name = descriptor.mount_name().ok_or(Errno::Badf)?;
    let len = u32::try_from(name.len()).map_err(|_| Errno::Overflow)?;
    // Kind 0: a directory; there is no other.
    let stat = Bytes::<{ PRESTAT_BYTES as usize }>::new().u32(4, len);
    Out::new(memory, out, PRESTAT_BYTES)?.put(stat.bytes());
    Ok(())
}

/// The name of a mount, without a NUL.
///
/// # Errors
/// `badf` for anything but a mount, `nametoolong` when the name does not fit.
pub fn fd_prestat_dir_name(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    let descriptor = ctx.core.table.get(fd)?;
    let name = descriptor.mount_name().ok_or(Errno::Badf)?;
    let room = memory.slice(path, path_len)?;
    if room.len() < name.len() {
        return Err(Errno::NameTooLong);
    }
    room.copy_from(name.as_bytes());
    Ok(())
}

/// Lists a directory from `cookie` on. The buffer is filled to its end unless the listing ends
/// before: the last entry may be cut short, and is had again by its cookie.
///
/// # Errors
/// `notdir` for anything but a directory, else those of `getdents`.
pub fn fd_readdir(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    buf: u32,
    buf_len: u32,
    cookie: u64,
    used: u32,
) -> Result {
    let directory = descriptor(ctx, fd, Rights::FD_READDIR)?;
    let out = Out::for_u32(memory, used)?;
    let mut room = memory.slice(buf, buf_len)?;
    let visit = |entry: &Entry<'_>| put_entry(&mut room, entry);
    directory.visit_entries(&ctx.core.guard, cookie, visit)?;
    out.put_count(buf_len as usize - room.len())
}

/// Puts an entry at the start of `room` and takes its place off; breaks when it was cut short.
fn put_entry(room: &mut GuestSlice<'_>, entry: &Entry<'_>) -> ControlFlow<()> {
    let name = entry.name.to_bytes();
    let head = Bytes::<DIRENT_BYTES>::new()
        .u64(0, entry.next_cookie)
        .u64(8, entry.inode)
        // A name of the kernel has at most 255 bytes.
        .u32(16, name.len() as u32)
        .u8(20, file_type(entry.kind));
    for part in [&head.bytes()[..], name] {
        let copied = room.copy_from(part);
        *room = room.split_at(copied).1;
        if copied < part.len() {
            return ControlFlow::Break(());
        }
    }
    ControlFlow::Continue(())
}
