//! Paths: each starts at a descriptor and never leaves it.

use super::fd_attributes::status_flags;
use super::{Result, descriptor};
use crate::abi::{Out, Version, timestamps};
use crate::context::WasiCtx;
use crate::errno::Errno;
use rustix::fs::OFlags;
use wasmoor_host::charge;
use wasmoor_host::files::{self, At};
use wasmoor_host::path::text_from_guest;
use wasmoor_host::{Core, Descriptor, GuestMemory, GuestPath, Rights};

/// `lookupflags`: whether a link in the last place is followed.
fn follows(lookup_flags: u32) -> Result<bool> {
    match lookup_flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::Inval),
    }
}

fn guest_path(memory: &GuestMemory<'_>, path: u32, len: u32) -> Result<GuestPath> {
    Ok(GuestPath::from_guest(memory.slice(path, len)?)?)
}

/// A call's descriptor, path and length of the path, with the right that the descriptor needs.
type Named = ([u32; 3], Rights);

/// Does `work` on a path.
fn on_path(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    ([fd, path, path_len], rights): Named,
    work: impl FnOnce(&Core, At<'_>) -> wasmoor_host::Result<()>,
) -> Result {
    let start = descriptor(ctx, fd, rights)?;
    let node = start.node()?;
    let path = &guest_path(memory, path, path_len)?;
    Ok(work(&ctx.core, At { node, path })?)
}

/// Runs what makes a new name, charged to the guest's meter.
fn creation(
    core: &Core,
    text_bytes: usize,
    create: impl FnOnce() -> wasmoor_host::Result<()>,
) -> wasmoor_host::Result<()> {
    charge::creation(&*core.guard.meter, text_bytes, create)
}

/// Does `work` on two paths.
fn on_paths(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    ([old_fd, old_path, old_path_len], old_rights): Named,
    ([new_fd, new_path, new_path_len], new_rights): Named,
    work: impl FnOnce(&Core, At<'_>, At<'_>) -> wasmoor_host::Result<()>,
) -> Result {
    let (old, new) = (descriptor(ctx, old_fd, old_rights)?, descriptor(ctx, new_fd, new_rights)?);
    let (old, new) = (old.node()?, new.node()?);
    let old_path = &guest_path(memory, old_path, old_path_len)?;
    let new_path = &guest_path(memory, new_path, new_path_len)?;
    let (from, to) = (At { node: old, path: old_path }, At { node: new, path: new_path });
    Ok(work(&ctx.core, from, to)?)
}

/// Creates a directory.
///
/// # Errors
/// `rofs` through a read-only mount, `perm` for a path that leaves, else those of `mkdirat`.
pub fn path_create_directory(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    on_path(ctx, memory, ([fd, path, path_len], Rights::PATH_CREATE_DIRECTORY), |core, at| {
        creation(core, 0, || files::create_directory(&core.resolver, at))
    })
}

/// The attributes of a file.
///
/// # Errors
/// `perm` for a path that leaves, else those of `fstatat`.
pub fn path_filestat_get(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    out: u32,
) -> Result {
    filestat_of_path(Version::Preview1, ctx, memory, [fd, flags, path, path_len, out])
}

/// `path_filestat_get` of either version.
pub(crate) fn filestat_of_path(
    version: Version,
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    [fd, flags, path, path_len, out]: [u32; 5],
) -> Result {
    let start = descriptor(ctx, fd, Rights::PATH_FILESTAT_GET)?;
    let node = start.node()?;
    let follow = follows(flags)?;
    let out = Out::new(memory, out, version.filestat_bytes())?;
    let path = &guest_path(memory, path, path_len)?;
    version.put_filestat(out, &files::stat(&ctx.core.resolver, At { node, path }, follow)?);
    Ok(())
}

/// Sets the times of a file.
///
/// # Errors
/// `inval` for contradicting flags, `rofs` through a read-only mount, `perm` for a path that
/// leaves, else those of `utimensat`.
pub fn path_filestat_set_times(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    accessed: u64,
    modified: u64,
    time_flags: u32,
) -> Result {
    let start = descriptor(ctx, fd, Rights::PATH_FILESTAT_SET_TIMES)?;
    let node = start.node()?;
    let (follow, times) = (follows(flags)?, timestamps(accessed, modified, time_flags)?);
    let path = &guest_path(memory, path, path_len)?;
    Ok(files::set_times(&ctx.core.resolver, At { node, path }, &times, follow)?)
}

/// Makes a second name for a file.
///
/// # Errors
/// `inval` when asked to follow a link, `rofs` when either mount is read-only, `perm` for a path
/// that leaves and for a directory, else those of `linkat`.
pub fn path_link(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    old_fd: u32,
    old_flags: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result {
    if follows(old_flags)? {
        return Err(Errno::Inval);
    }
    let old = ([old_fd, old_path, old_path_len], Rights::PATH_LINK_SOURCE);
    let new = ([new_fd, new_path, new_path_len], Rights::PATH_LINK_TARGET);
    on_paths(ctx, memory, old, new, |core, from, to| {
        creation(core, 0, || files::link(&core.resolver, from, to))
    })
}

/// Bits of `oflags` with the flag of `open` and the right that a directory may have given up.
const OPEN_FLAGS: &[(u32, OFlags, Rights)] = &[
    (1 << 0, OFlags::CREATE, Rights::PATH_CREATE_FILE),
    (1 << 1, OFlags::DIRECTORY, Rights::empty()),
    (1 << 2, OFlags::EXCL, Rights::empty()),
    (1 << 3, OFlags::TRUNC, Rights::PATH_FILESTAT_SET_SIZE),
];

/// Opens a file or directory.
///
/// The kernel's access mode follows the rights that are asked for: reading unless only writing
/// (`fd_write`) is. Whatever else is asked for is reported back but not needed.
///
/// # Errors
/// `rofs` for anything that could change a read-only mount, `perm` for a path that leaves, `mfile`
/// when the guest has too many open files, else those of `openat`.
pub fn path_open(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    open_flags: u32,
    rights: u64,
    inheriting: u64,
    status: u32,
    out: u32,
) -> Result {
    let wanted = Rights::from_bits_truncate(rights);
    let (mut how, needed) = kernel_flags(open_flags, wanted)?;
    how |= status_flags(status)?.to_kernel();
    let follow = follows(flags)?;
    let parent = descriptor(ctx, fd, needed)?;
    let node = parent.node()?;
    let out = Out::for_u32(memory, out)?;
    let path = &guest_path(memory, path, path_len)?;
    let core = &ctx.core;
    let place = core.table.reserve()?;
    let at = At { node, path };
    let meter = &*core.guard.meter;
    let open = || charge::open(meter, &core.resolver, at, how, follow);
    let opened = core.guard.interrupt.retry(open)?;
    let inheriting = Rights::from_bits_truncate(inheriting);
    let descriptor = Descriptor::opened(&parent, opened, wanted, inheriting);
    out.put(&ctx.core.table.insert(place, descriptor)?.to_le_bytes());
    Ok(())
}

/// The flags for `open`, and the rights that the directory must not have given up.
fn kernel_flags(open_flags: u32, wanted: Rights) -> Result<(OFlags, Rights)> {
    let known = OPEN_FLAGS.iter().fold(0, |bits, (bit, ..)| bits | bit);
    if open_flags & !known != 0 {
        return Err(Errno::Inval);
    }
    let (mut flags, mut needed) = (OFlags::empty(), Rights::PATH_OPEN);
    for (_, flag, right) in OPEN_FLAGS.iter().filter(|(bit, ..)| open_flags & bit != 0) {
        flags |= *flag;
        needed |= *right;
    }
    let reads = wanted.intersects(Rights::FD_READ | Rights::FD_READDIR);
    let writes = wanted.contains(Rights::FD_WRITE);
    flags |= match (reads, writes) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    Ok((flags, needed))
}

/// The text of a symbolic link, cut short if the buffer is.
///
/// # Errors
/// `inval` for anything else, `perm` for a path that leaves, else those of `readlinkat`.
pub fn path_readlink(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
    buf: u32,
    buf_len: u32,
    used: u32,
) -> Result {
    let start = descriptor(ctx, fd, Rights::PATH_READLINK)?;
    let node = start.node()?;
    let out = Out::for_u32(memory, used)?;
    let room = memory.slice(buf, buf_len)?;
    let path = &guest_path(memory, path, path_len)?;
    let target = files::read_link(&ctx.core.resolver, At { node, path })?;
    out.put_count(room.copy_from(target.to_bytes()))
}

/// Removes an empty directory.
///
/// # Errors
/// `rofs` through a read-only mount, `perm` for a path that leaves, else those of `rmdir`.
pub fn path_remove_directory(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    on_path(ctx, memory, ([fd, path, path_len], Rights::PATH_REMOVE_DIRECTORY), |core, at| {
        files::remove_directory(&core.resolver, at)
    })
}

/// Renames a file or directory.
///
/// # Errors
/// `rofs` when either mount is read-only, `perm` for a path that leaves, else those of `renameat`.
pub fn path_rename(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    old_path: u32,
    old_path_len: u32,
    new_fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result {
    let old = ([fd, old_path, old_path_len], Rights::PATH_RENAME_SOURCE);
    let new = ([new_fd, new_path, new_path_len], Rights::PATH_RENAME_TARGET);
    on_paths(ctx, memory, old, new, |core, from, to| files::rename(&core.resolver, from, to))
}

/// Creates a symbolic link with the text `old_path`.
///
/// # Errors
/// `perm` for an absolute text and for a path that leaves, `rofs` through a read-only mount, else
/// those of `symlinkat`.
pub fn path_symlink(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    old_path: u32,
    old_path_len: u32,
    fd: u32,
    new_path: u32,
    new_path_len: u32,
) -> Result {
    let start = descriptor(ctx, fd, Rights::PATH_SYMLINK)?;
    let node = start.node()?;
    let target = text_from_guest(memory.slice(old_path, old_path_len)?)?;
    let path = &guest_path(memory, new_path, new_path_len)?;
    let create = || files::symlink(&ctx.core.resolver, &target, At { node, path });
    Ok(creation(&ctx.core, target.len(), create)?)
}

/// Removes a file.
///
/// # Errors
/// `isdir` for a directory, `rofs` through a read-only mount, `perm` for a path that leaves, else
/// those of `unlink`.
pub fn path_unlink_file(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    path: u32,
    path_len: u32,
) -> Result {
    on_path(ctx, memory, ([fd, path, path_len], Rights::PATH_UNLINK_FILE), |core, at| {
        files::unlink(&core.resolver, at)
    })
}
