//! Paths: each starts at a descriptor and never leaves it.

use super::{Result, descriptor};
use crate::abi::{Out, Version, timestamps};
use crate::context::WasiCtx;
use crate::errno::Errno;
use std::sync::Arc;
use wasmoor_host::charge;
use wasmoor_host::files::{self, At};
use wasmoor_host::path::text_from_guest;
use wasmoor_host::{Core, Descriptor, GuestMemory, GuestPath, Rights};

/// `lookupflags`: whether a link in the last place is followed.
pub(super) fn follows(lookup_flags: u32) -> Result<bool> {
    match lookup_flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::Inval),
    }
}

/// A call's descriptor, path and length of the path, with the right that the descriptor needs.
type Named = ([u32; 3], Rights);

/// A descriptor that paths may start from.
pub(super) struct Directory {
    descriptor: Arc<Descriptor>,
    rights: Rights,
}

pub(super) fn directory(ctx: &WasiCtx, fd: u32, rights: Rights) -> Result<Directory> {
    let descriptor = descriptor(ctx, fd, rights)?;
    descriptor.node()?;
    Ok(Directory { descriptor, rights })
}

impl Directory {
    /// A path from here; in a world with a current directory it may start elsewhere.
    pub(super) fn path(
        self,
        ctx: &WasiCtx,
        memory: &GuestMemory<'_>,
        [path, path_len]: [u32; 2],
    ) -> Result<Start> {
        let text = memory.slice(path, path_len)?;
        if ctx.core.working_dir.is_some() {
            let text = text_from_guest(text)?;
            let is_mount = self.descriptor.is_mount();
            if text.starts_with(b"/") || (is_mount && text.starts_with(b"./")) {
                return Start::here(ctx, &text, self.rights);
            }
        }
        Ok(Start { directory: self.descriptor, path: GuestPath::from_guest(text)? })
    }
}

/// A path and the directory that it starts from.
pub(super) struct Start {
    pub(super) directory: Arc<Descriptor>,
    path: GuestPath,
}

impl Start {
    /// Where a path leads, absolute or relative to where the guest is.
    pub(super) fn here(ctx: &WasiCtx, path: &[u8], rights: Rights) -> Result<Self> {
        let (directory, path) = ctx.locate(path, rights)?;
        Ok(Start { directory, path })
    }

    pub(super) fn at(&self) -> Result<At<'_>> {
        Ok(At { node: self.directory.node()?, path: &self.path })
    }
}

/// Does `work` on a path.
fn on_path(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    ([fd, path, path_len], rights): Named,
    work: impl FnOnce(&Core, At<'_>) -> wasmoor_host::Result<()>,
) -> Result {
    let start = directory(ctx, fd, rights)?.path(ctx, memory, [path, path_len])?;
    Ok(work(&ctx.core, start.at()?)?)
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
    let (old, new) = (directory(ctx, old_fd, old_rights)?, directory(ctx, new_fd, new_rights)?);
    let old = old.path(ctx, memory, [old_path, old_path_len])?;
    let new = new.path(ctx, memory, [new_path, new_path_len])?;
    let (from, to) = (old.at()?, new.at()?);
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
        creation(core, 0, || core.on_paths(|resolver| files::create_directory(resolver, at)))
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
    let start = directory(ctx, fd, Rights::PATH_FILESTAT_GET)?;
    let follow = follows(flags)?;
    let out = Out::new(memory, out, version.filestat_bytes())?;
    let start = start.path(ctx, memory, [path, path_len])?;
    let at = start.at()?;
    version.put_filestat(out, &ctx.core.on_paths(|resolver| files::stat(resolver, at, follow))?);
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
    let start = directory(ctx, fd, Rights::PATH_FILESTAT_SET_TIMES)?;
    let (follow, times) = (follows(flags)?, timestamps(accessed, modified, time_flags)?);
    let start = start.path(ctx, memory, [path, path_len])?;
    let at = start.at()?;
    Ok(ctx.core.on_paths(|resolver| files::set_times(resolver, at, &times, follow))?)
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
        creation(core, 0, || core.on_paths(|resolver| files::link(resolver, from, to)))
    })
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
    let start = directory(ctx, fd, Rights::PATH_READLINK)?;
    let out = Out::for_u32(memory, used)?;
    let room = memory.slice(buf, buf_len)?;
    let start = start.path(ctx, memory, [path, path_len])?;
    let at = start.at()?;
    let target = ctx.core.on_paths(|resolver| files::read_link(resolver, at))?;
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
        core.on_paths(|resolver| files::remove_directory(resolver, at))
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
    on_paths(ctx, memory, old, new, |core, from, to| {
        core.on_paths(|resolver| files::rename(resolver, from, to))
    })
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
    let start = directory(ctx, fd, Rights::PATH_SYMLINK)?;
    let target = text_from_guest(memory.slice(old_path, old_path_len)?)?;
    let start = start.path(ctx, memory, [new_path, new_path_len])?;
    let at = start.at()?;
    let create = || ctx.core.on_paths(|resolver| files::symlink(resolver, &target, at));
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
        core.on_paths(|resolver| files::unlink(resolver, at))
    })
}
