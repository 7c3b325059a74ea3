//! Operations on paths: the file system half of every world.
//!
//! Each takes a [`Node`] to start from and a [`GuestPath`]. A path of a single name, by far the most
//! common, is one system call; longer ones first open the parent, then act on the last name in it.
//! The last name is never given to a call that would follow a link there, and never with a trailing
//! slash: what the slash demands is checked here. `..` in the last place is only ever resolved.
//!
//! Nothing here is charged to a guest: worlds go through [`crate::charge`] where a name may be made.

use crate::limits::PATH_BYTES_MAX;
use crate::mount::{Node, Place};
use crate::path::GuestPath;
use crate::resolve::{Parent, Resolver};
use crate::stat::{FileKind, FileStat};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{
    AtFlags, Mode, OFlags, Timestamps, fstat, linkat, mkdirat, readlinkat, renameat, statat,
    symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, Result};
use std::borrow::Cow;
use std::ffi::CString;

/// A path with the node it starts from.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Where the path starts.
    pub node: &'a Node,
    /// The path.
    pub path: &'a GuestPath,
}

/// A path with the directory it starts from; a mounted file is a name in its directory.
struct Located<'a> {
    start: BorrowedFd<'a>,
    path: Cow<'a, GuestPath>,
    /// Links in the last component may be followed: not for a mounted file, which would leave.
    may_follow: bool,
}

impl<'a> At<'a> {
    /// For calls that only look.
    fn locate(self) -> Result<Located<'a>> {
        match self.node.place() {
            Place::Open(fd) => {
                Ok(Located { start: fd.as_fd(), path: Cow::Borrowed(self.path), may_follow: true })
            }
            Place::MountedFile { parent, name } => {
                if !self.path.is_dot() || self.path.must_be_directory() {
                    return Err(Errno::NOTDIR);
                }
                let path = GuestPath::new(name.to_bytes())?;
                Ok(Located { start: parent.as_fd(), path: Cow::Owned(path), may_follow: false })
            }
        }
    }

    /// For calls that change a directory: the parent, opened.
    fn parent_to_change(self, resolver: &Resolver) -> Result<Parent<'a>> {
        self.node.check_writable()?;
        match self.node.place() {
            Place::Open(fd) => resolver.parent(fd.as_fd(), self.path),
            Place::MountedFile { .. } => Err(Errno::NOTDIR),
        }
    }
}

/// Flags that change something, or allow to.
const WRITING: OFlags = OFlags::WRONLY.union(OFlags::RDWR).union(OFlags::TRUNC);

/// Opens a file or directory; what it opens is as read-only as where it starts.
///
/// # Errors
/// `EROFS` for anything that could write through a read-only mount, `EPERM` for a path that leaves
/// its start, `EINVAL` for creating a directory so, else those of `openat`.
pub fn open(resolver: &Resolver, at: At<'_>, flags: OFlags, follow: bool) -> Result<Node> {
    // Kernels before 6.4 create a file and then say that it is no directory.
    if flags.contains(OFlags::CREATE | OFlags::DIRECTORY) {
        return Err(Errno::INVAL);
    }
    let located = at.locate()?;
    let follow = follow && located.may_follow;
    let open = |flags| resolver.open(located.start, &located.path, flags, follow);
    let fd = if !at.node.is_read_only() {
        open(flags)?
    } else if flags.intersects(WRITING) {
        return Err(Errno::ROFS);
    } else if flags.contains(OFlags::CREATE) {
        // As on a read-only file system: what exists can be opened.
        match open(flags - OFlags::CREATE - OFlags::EXCL) {
            Ok(_) if flags.contains(OFlags::EXCL) => return Err(Errno::EXIST),
            Err(Errno::NOENT) => return Err(Errno::ROFS),
            result => result?,
        }
    } else {
        open(flags)?
    };
    Ok(Node::new(Place::Open(fd), at.node.is_read_only()))
}

/// The attributes of what a path names.
///
/// # Errors
/// `EPERM` for a path that leaves its start, else those of `fstatat`.
pub fn stat(resolver: &Resolver, at: At<'_>, follow: bool) -> Result<FileStat> {
    let located = at.locate()?;
    let Located { start, path, may_follow } = &located;
    let follow = follow && *may_follow;
    if path.is_name() && !path.must_be_directory() {
        let stat: FileStat = statat(start, path.last(), AtFlags::SYMLINK_NOFOLLOW)?.into();
        if !follow || stat.kind != FileKind::Symlink {
            return Ok(stat);
        }
    }
    if path.is_dot() {
        return Ok(fstat(start)?.into());
    }
    let fd = resolver.open(*start, path, OFlags::PATH, follow)?;
    Ok(fstat(fd)?.into())
}

/// Sets the times of what a path names.
///
/// # Errors
/// `EROFS` through a read-only mount, `EPERM` for a path that leaves its start, else those of
/// `utimensat`.
pub fn set_times(resolver: &Resolver, at: At<'_>, times: &Timestamps, follow: bool) -> Result<()> {
    at.node.check_writable()?;
    let Located { start, path, may_follow } = at.locate()?;
    let follow = follow && may_follow;
    if path.is_name() && !path.must_be_directory() && !follow {
        return utimensat(start, path.last(), times, AtFlags::SYMLINK_NOFOLLOW);
    }
    let fd = resolver.open(start, &path, OFlags::PATH, follow)?;
    utimensat(fd, c"", times, AtFlags::EMPTY_PATH)
}

/// Creates a directory.
///
/// # Errors
/// `EROFS` through a read-only mount, `EPERM` for a path that leaves its start, else those of
/// `mkdirat`.
pub fn create_directory(resolver: &Resolver, at: At<'_>) -> Result<()> {
    let parent = at.parent_to_change(resolver)?;
    mkdirat(parent, at.path.last(), Mode::from_raw_mode(0o777))
}

/// Removes an empty directory.
///
/// # Errors
/// As [`create_directory`], else those of `unlinkat`.
pub fn remove_directory(resolver: &Resolver, at: At<'_>) -> Result<()> {
    let parent = at.parent_to_change(resolver)?;
    unlinkat(parent, at.path.last(), AtFlags::REMOVEDIR)
}

/// Removes anything but a directory.
///
/// # Errors
/// As [`create_directory`], else those of `unlinkat`: `EISDIR` for a directory, `ENOTDIR` for
/// anything else with a trailing slash.
pub fn unlink(resolver: &Resolver, at: At<'_>) -> Result<()> {
    let parent = at.parent_to_change(resolver)?;
    if at.path.must_be_directory() {
        check_directory(&parent, at.path)?;
        return Err(Errno::ISDIR);
    }
    unlinkat(parent, at.path.last(), AtFlags::empty())
}

/// Renames, also between mounts if both may be changed.
///
/// # Errors
/// As [`create_directory`] for either side, else those of `renameat`.
pub fn rename(resolver: &Resolver, from: At<'_>, to: At<'_>) -> Result<()> {
    let old = from.parent_to_change(resolver)?;
    let new = to.parent_to_change(resolver)?;
    if (from.path.must_be_directory() || to.path.must_be_directory()) && from.path.ends_in_name() {
        check_directory(&old, from.path)?;
    }
    if to.path.must_be_directory() && to.path.ends_in_name() {
        match check_directory(&new, to.path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    renameat(old, from.path.last(), new, to.path.last())
}

/// Makes a second name for a file. A link is never followed: the new name is for the link itself.
///
/// # Errors
/// As [`create_directory`] for either side (the old file becomes writable under its new name, so
/// its mount must allow changes too), else those of `linkat`.
pub fn link(resolver: &Resolver, from: At<'_>, to: At<'_>) -> Result<()> {
    let old = from.parent_to_change(resolver)?;
    let new = to.parent_to_change(resolver)?;
    if !from.path.ends_in_name() {
        return Err(Errno::PERM);
    }
    if from.path.must_be_directory() {
        check_directory(&old, from.path)?;
    }
    check_new_name(&new, to.path)?;
    linkat(old, from.path.last(), new, to.path.last(), AtFlags::empty())
}

/// Creates a symbolic link with the text `target`, which nothing checks but that it is relative:
/// resolution through it is confined like any other.
///
/// # Errors
/// `EPERM` for an absolute target, `ENOENT` for an empty one; as [`create_directory`], else those
/// of `symlinkat`.
pub fn symlink(resolver: &Resolver, target: &[u8], at: At<'_>) -> Result<()> {
    let parent = at.parent_to_change(resolver)?;
    if target.first() == Some(&b'/') {
        return Err(Errno::PERM);
    }
    let target = CString::new(target).map_err(|_| Errno::ILSEQ)?;
    check_new_name(&parent, at.path)?;
    symlinkat(target, parent, at.path.last())
}

/// The text of a symbolic link.
///
/// # Errors
/// `EINVAL` for anything else, `EPERM` for a path that leaves its start, else those of
/// `readlinkat`.
pub fn read_link(resolver: &Resolver, at: At<'_>) -> Result<CString> {
    let Located { start, path, .. } = at.locate()?;
    if path.must_be_directory() || !path.ends_in_name() {
        // Names a directory, if anything.
        resolver.open(start, &path, OFlags::PATH | OFlags::DIRECTORY, true)?;
        return Err(Errno::INVAL);
    }
    let parent = resolver.parent(start, &path)?;
    readlinkat(parent, path.last(), Vec::with_capacity(PATH_BYTES_MAX))
}

/// The name by which the kernel finds an open file again.
pub(crate) fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// # Errors
/// `ENOTDIR` unless the last name of `path` is a directory itself, not a link to one.
fn check_directory(parent: &Parent<'_>, path: &GuestPath) -> Result<()> {
    if !path.ends_in_name() {
        return Ok(());
    }
    let stat: FileStat = statat(parent, path.last(), AtFlags::SYMLINK_NOFOLLOW)?.into();
    if stat.kind == FileKind::Directory { Ok(()) } else { Err(Errno::NOTDIR) }
}

/// A name for something that is no directory: with a slash it is `EEXIST` or `ENOENT`.
fn check_new_name(parent: &Parent<'_>, path: &GuestPath) -> Result<()> {
    if !path.must_be_directory() {
        return Ok(());
    }
    statat(parent, path.last(), AtFlags::SYMLINK_NOFOLLOW)?;
    Err(Errno::EXIST)
}
