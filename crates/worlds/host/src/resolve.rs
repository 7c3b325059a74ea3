//! Opens paths that cannot leave the directory they start from.
//!
//! Two ways with one meaning, checked by one attack list:
//! - [`Strategy::Kernel`]: `openat2` with `RESOLVE_BENEATH`, one system call; a single name, which can
//!   only leave by being a link, by `openat` with `O_NOFOLLOW` first, which is cheaper;
//! - [`Strategy::Walk`]: component by component with `O_NOFOLLOW`, where the kernel lacks `openat2`
//!   or a sandbox forbids it, and wherever `openat2` could not decide.
//!
//! In both, `..` may undo components but never pass the start, an absolute link target leaves, and
//! leaving is `EPERM`. Links of `/proc` that are not text ("magic") are never followed.

mod walk;

use crate::limits::OPENAT2_RETRIES_MAX;
use crate::path::GuestPath;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};
use std::ffi::CStr;
use std::sync::OnceLock;

/// How paths are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// By `openat2`, with the walk for what it cannot decide.
    Kernel,
    /// By the walk alone.
    Walk,
}

/// Opens paths beneath directories.
#[derive(Clone, Copy, Debug)]
pub struct Resolver {
    strategy: Strategy,
}

impl Default for Resolver {
    fn default() -> Self {
        Resolver::new()
    }
}

/// The directory that holds the last component of a path.
#[derive(Debug)]
pub enum Parent<'d> {
    /// The directory where the path starts.
    Start(BorrowedFd<'d>),
    /// Another one, opened for this call.
    Opened(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Parent::Start(fd) => *fd,
            Parent::Opened(fd) => fd.as_fd(),
        }
    }
}

/// Mode of new files before the umask.
const MODE: Mode = Mode::from_raw_mode(0o666);

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

impl Resolver {
    /// The best strategy that this host offers.
    #[must_use]
    pub fn new() -> Self {
        let strategy = if kernel_resolves() { Strategy::Kernel } else { Strategy::Walk };
        Resolver { strategy }
    }

    /// A given strategy; [`Strategy::Kernel`] still walks where `openat2` is missing.
    #[must_use]
    pub fn with_strategy(strategy: Strategy) -> Self {
        Resolver { strategy }
    }

    /// The strategy in use.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Opens `path` beneath `start`. A link in the last component is followed if `follow` is set or
    /// the path ends in a slash; otherwise it is `ELOOP`, or the link itself with `O_PATH`.
    ///
    /// # Errors
    /// `EPERM` when the path leaves `start`; else those of `openat`.
    pub fn open(
        &self,
        start: BorrowedFd<'_>,
        path: &GuestPath,
        flags: OFlags,
        follow: bool,
    ) -> Result<OwnedFd> {
        let mut flags = flags | OFlags::CLOEXEC;
        // `openat2` refuses combinations that `openat` ignores.
        if !flags.contains(OFlags::PATH) {
            flags |= OFlags::NOCTTY;
        }
        if path.must_be_directory() {
            if flags.contains(OFlags::CREATE) {
                return Err(Errno::ISDIR);
            }
            flags |= OFlags::DIRECTORY;
        }
        if !follow && !path.must_be_directory() {
            flags |= OFlags::NOFOLLOW;
        }
        match self.strategy {
            Strategy::Kernel if path.is_name() => by_name(start, path.text(), flags),
            Strategy::Kernel => by_kernel(start, path.text(), flags),
            Strategy::Walk => walk::open(start, path.text(), flags, MODE),
        }
    }

    /// Opens the directory in which the last component of `path` lies.
    ///
    /// # Errors
    /// As [`Resolver::open`].
    pub fn parent<'d>(&self, start: BorrowedFd<'d>, path: &GuestPath) -> Result<Parent<'d>> {
        match path.prefix() {
            None => Ok(Parent::Start(start)),
            Some(prefix) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                self.open(start, &prefix, flags, true).map(Parent::Opened)
            }
        }
    }
}

/// Whether `openat2` exists and is allowed; a container's filter may answer `EPERM`.
fn kernel_resolves() -> bool {
    static RESOLVES: OnceLock<bool> = OnceLock::new();
    *RESOLVES.get_or_init(|| {
        let probe = openat2(CWD, c".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE);
        !matches!(probe, Err(Errno::NOSYS | Errno::PERM))
    })
}

/// Opens a single name, neither `.` nor `..`. That leads out only if it is a link: so it is opened
/// without following, and resolved like any path if that shows that there is something to follow.
fn by_name(start: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let follow = !flags.contains(OFlags::NOFOLLOW);
    if follow && flags.contains(OFlags::PATH) {
        // Would open the link itself.
        return by_kernel(start, name, flags);
    }
    match openat(start, name, flags | OFlags::NOFOLLOW, mode(flags)) {
        // `ENOTDIR` is what a link is where a directory is asked for.
        Err(Errno::LOOP | Errno::NOTDIR) if follow => by_kernel(start, name, flags),
        result => result,
    }
}

/// The mode for `openat2`, which refuses one that is not needed.
fn mode(flags: OFlags) -> Mode {
    if flags.contains(OFlags::CREATE) { MODE } else { Mode::empty() }
}

fn by_kernel(start: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let mode = mode(flags);
    for _ in 0..OPENAT2_RETRIES_MAX {
        match openat2(start, path, flags, mode, RESOLVE) {
            // A rename went on meanwhile, or a non-blocking open would have to wait for a lease.
            Err(Errno::AGAIN) => {}
            Err(Errno::XDEV) => return Err(Errno::PERM),
            // Missing, forbidden, or an `EPERM` of the file's own: the walk tells.
            Err(Errno::NOSYS | Errno::PERM) => break,
            result => return result,
        }
    }
    walk::open(start, path, flags, MODE)
}
