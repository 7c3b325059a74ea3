//! The component walk: resolution that needs nothing of the kernel but `openat` with `O_NOFOLLOW`.
//!
//! ```text
//! pending = components of the path      opened = []        current = last of opened, else start
//! take the next component:
//!   "."   stay        ".."  drop the last of opened; none left: EPERM
//!   name  open it in current without following
//!         a directory: push      the last one: done
//!         a link: its target's components replace it; absolute: EPERM; the 41st: ELOOP
//! ```
//! Every step opens one name in a directory that is held open, so a rename or a swap at any moment
//! only decides whether the old or the new thing is seen; it can never lead outside, for `..` goes
//! back along the descriptors and not along the disk.

use crate::limits::{PATH_BYTES_MAX, SYMLINKS_MAX, WALK_DEPTH_MAX};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::{Errno, Result};
use std::ffi::{CStr, CString};

/// What one step led to.
enum Step {
    Opened(OwnedFd),
    Link(CString),
}

struct Walk<'d> {
    start: BorrowedFd<'d>,
    opened: Vec<OwnedFd>,
    /// Components still to take, the next one last.
    pending: Vec<CString>,
    links: u32,
    /// A link's target ended in a slash in the last place: the path must name a directory.
    must_be_directory: bool,
}

/// Opens `path` beneath `start`; `O_NOFOLLOW` in `flags` is about the last component only.
pub(super) fn open(
    start: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let mut walk =
        Walk { start, opened: Vec::new(), pending: Vec::new(), links: 0, must_be_directory: false };
    walk.push_components(path.to_bytes())?;
    walk.run(flags, mode)
}

impl Walk<'_> {
    fn current(&self) -> BorrowedFd<'_> {
        self.opened.last().map_or(self.start, |fd| fd.as_fd())
    }

    fn run(&mut self, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        while let Some(component) = self.pending.pop() {
            match component.to_bytes() {
                b"." => {}
                b".." => drop(self.opened.pop().ok_or(Errno::PERM)?),
                _ if self.pending.is_empty() => match self.last(&component, flags, mode)? {
                    Step::Opened(fd) => return Ok(fd),
                    Step::Link(target) => self.follow(&target)?,
                },
                _ => match self.intermediate(&component)? {
                    Step::Opened(fd) => self.enter(fd)?,
                    Step::Link(target) => self.follow(&target)?,
                },
            }
        }
        self.reopen_current(flags)
    }

    /// The path ended in `.` or `..`: it names the directory that the walk stands in.
    fn reopen_current(&self, flags: OFlags) -> Result<OwnedFd> {
        if flags.contains(OFlags::CREATE) {
            let exclusive = flags.contains(OFlags::EXCL);
            return Err(if exclusive { Errno::EXIST } else { Errno::ISDIR });
        }
        openat(self.current(), c".", flags, Mode::empty())
    }

    fn enter(&mut self, fd: OwnedFd) -> Result<()> {
        if self.opened.len() == WALK_DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        self.opened.push(fd);
        Ok(())
    }

    fn follow(&mut self, target: &CStr) -> Result<()> {
        self.links += 1;
        if self.links > SYMLINKS_MAX {
            return Err(Errno::LOOP);
        }
        let bytes = target.to_bytes();
        if bytes.first() == Some(&b'/') {
            return Err(Errno::PERM);
        }
        if self.pending.is_empty() && bytes.last() == Some(&b'/') {
            self.must_be_directory = true;
        }
        self.push_components(bytes)
    }

    fn push_components(&mut self, path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        for component in path.rsplit(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            check_name(component)?;
            self.pending.push(CString::new(component).map_err(|_| Errno::ILSEQ)?);
        }
        Ok(())
    }

    fn intermediate(&self, name: &CStr) -> Result<Step> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(self.current(), name, flags, Mode::empty()) {
            Ok(fd) => Ok(Step::Opened(fd)),
            Err(error @ (Errno::NOTDIR | Errno::LOOP)) => self.link_or(name, error),
            Err(error) => Err(error),
        }
    }

    fn last(&self, name: &CStr, flags: OFlags, mode: Mode) -> Result<Step> {
        let mut flags = flags;
        if self.must_be_directory {
            if flags.contains(OFlags::CREATE) {
                return Err(Errno::ISDIR);
            }
            flags |= OFlags::DIRECTORY;
        }
        let follow = !flags.contains(OFlags::NOFOLLOW);
        match openat(self.current(), name, flags | OFlags::NOFOLLOW, mode) {
            Ok(fd) if follow && flags.contains(OFlags::PATH) => self.opened_or_link(fd),
            Ok(fd) => Ok(Step::Opened(fd)),
            Err(error @ (Errno::NOTDIR | Errno::LOOP)) if follow => self.link_or(name, error),
            Err(error) => Err(error),
        }
    }

    /// `O_PATH` opens the link itself; its text is read through the descriptor.
    fn opened_or_link(&self, fd: OwnedFd) -> Result<Step> {
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::Symlink {
            return Ok(Step::Opened(fd));
        }
        readlinkat(&fd, c"", buffer()).map(Step::Link)
    }

    /// `name` could not be opened: because it is a link, or really.
    fn link_or(&self, name: &CStr, error: Errno) -> Result<Step> {
        match readlinkat(self.current(), name, buffer()) {
            Ok(target) => Ok(Step::Link(target)),
            Err(_) => Err(error),
        }
    }
}

fn buffer() -> Vec<u8> {
    Vec::with_capacity(PATH_BYTES_MAX)
}

/// On Windows some names are devices; elsewhere every name is a name.
fn check_name(name: &[u8]) -> Result<()> {
    if cfg!(windows) {
        let text = std::str::from_utf8(name).map_err(|_| Errno::ILSEQ)?;
        if crate::names::is_special_on_windows(text) {
            return Err(Errno::NOENT);
        }
    }
    Ok(())
}
