//! Mounts: the host directories and files that an embedder grants, and what is opened through them.
//!
//! A mount is opened and canonicalised once, before the guest starts; later changes of the host's
//! path (a renamed parent, a link that points elsewhere) do not move it. A mounted single file is
//! kept as its directory and its name, because that can be opened in any mode and survives editors
//! that replace a file by renaming; the guest sees it as a grant whose only path is `.`.
//!
//! A [`Node`] carries the mount's read-only mark to everything opened through it, so no chain of
//! opens, links or renames loses it.

use crate::stat::{FileKind, FileStat};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, statat};
use rustix::io::{Errno, Result, retry_on_intr};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Why a mount could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The host path is missing or cannot be opened.
    #[error("cannot mount the host path `{}`: {source}", path.display())]
    Host {
        /// The path as it was given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The host path is neither a directory nor a regular file.
    #[error("cannot mount the host path `{}`: it is neither a directory nor a file", path.display())]
    Kind {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The guest's name for the mount cannot be used.
    #[error("cannot mount at the guest path `{guest}`: {reason}")]
    Guest {
        /// The name as it was given.
        guest: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What is granted read-only could be changed through another mount.
    #[error(
        "the grant of `{read_only}` is read-only, but its host path lies in the one of \
         `{writable}`, which is writable: the guest could change it there; grant `{writable}` \
         read-only too, or directories of the host that lie apart"
    )]
    Overlap {
        /// The guest's name of the read-only mount.
        read_only: String,
        /// The guest's name of the writable one.
        writable: String,
    },
}

/// A granted directory or file and the name under which the guest knows it.
#[derive(Debug)]
pub struct Mount {
    guest: String,
    host: PathBuf,
    node: Node,
}

impl Mount {
    /// Opens the host path `host`, to be shown to the guest as `guest`.
    ///
    /// # Errors
    /// See [`MountError`]; its message names the path that is wrong.
    pub fn open(
        host: impl AsRef<Path>,
        guest: impl Into<String>,
        read_only: bool,
    ) -> std::result::Result<Self, MountError> {
        let guest = checked_guest_name(guest.into())?;
        let given = host.as_ref();
        let failed = |source| MountError::Host { path: given.to_owned(), source };
        let host = given.canonicalize().map_err(failed)?;
        let kind = host.metadata().map_err(failed)?.file_type();
        let place = if kind.is_dir() {
            Place::Open(open_directory(&host).map_err(|error| failed(error.into()))?)
        } else if kind.is_file() {
            open_file(&host).map_err(|error| failed(error.into()))?
        } else {
            return Err(MountError::Kind { path: given.to_owned() });
        };
        Ok(Mount { guest, host, node: Node::new(place, read_only) })
    }

    /// The guest's name.
    #[must_use]
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// The canonical host path.
    #[must_use]
    pub fn host(&self) -> &Path {
        &self.host
    }

    /// Whether nothing may be changed through it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.node.read_only
    }

    /// The opened place.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// The name and the opened place.
    #[must_use]
    pub fn into_parts(self) -> (String, Node) {
        (self.guest, self.node)
    }
}

/// The guest's name without trailing slashes: programs compare it with prefixes of their paths.
fn checked_guest_name(guest: String) -> std::result::Result<String, MountError> {
    let wrong = |reason| Err(MountError::Guest { guest: guest.clone(), reason });
    if guest.is_empty() {
        return wrong("it is empty");
    }
    if guest.contains('\0') {
        return wrong("it contains a NUL");
    }
    let stripped = guest.trim_end_matches('/');
    Ok(if stripped.is_empty() { "/".to_owned() } else { stripped.to_owned() })
}

/// For reading where allowed, else just as a place to start from.
fn open_directory(host: &Path) -> Result<OwnedFd> {
    // Canonical: a link in the last place was put there just now.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |how| retry_on_intr(|| openat(CWD, host, flags | how, Mode::empty()));
    match open(OFlags::RDONLY) {
        Err(Errno::ACCESS) => open(OFlags::PATH),
        result => result,
    }
}

fn open_file(host: &Path) -> Result<Place> {
    // A canonical path of a file has both.
    let (parent, name) = host.parent().zip(host.file_name()).ok_or(Errno::INVAL)?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
    let parent = retry_on_intr(|| openat(CWD, parent, flags, Mode::empty()))?;
    let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?;
    // Now rather than at the guest's first open.
    statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Place::MountedFile { parent, name })
}

/// Where a node lies.
#[derive(Debug)]
pub(crate) enum Place {
    /// An open file or directory.
    Open(OwnedFd),
    /// A mounted single file: a name in a directory that the guest cannot reach.
    MountedFile { parent: OwnedFd, name: CString },
}

/// Something in a file system, opened through a mount.
#[derive(Debug)]
pub struct Node {
    place: Place,
    read_only: bool,
    /// Asked of the kernel when first needed; a descriptor's kind never changes.
    kind: OnceLock<FileKind>,
}

impl Node {
    pub(crate) fn new(place: Place, read_only: bool) -> Self {
        Node { place, read_only, kind: OnceLock::new() }
    }

    /// What was opened; a mounted file is not, but a name.
    #[must_use]
    pub fn opened(&self) -> Option<BorrowedFd<'_>> {
        match &self.place {
            Place::Open(fd) => Some(fd.as_fd()),
            Place::MountedFile { .. } => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether nothing may be changed through it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The open file.
    ///
    /// # Errors
    /// `EBADF` for a mounted file, which is only a place to open it from.
    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        match &self.place {
            Place::Open(fd) => Ok(fd.as_fd()),
            Place::MountedFile { .. } => Err(Errno::BADF),
        }
    }

    /// The open file, to change it.
    ///
    /// # Errors
    /// `EROFS` if it was opened through a read-only mount; else as [`Node::fd`].
    pub fn fd_to_change(&self) -> Result<BorrowedFd<'_>> {
        self.check_writable()?;
        self.fd()
    }

    /// # Errors
    /// `EROFS` if it was opened through a read-only mount.
    pub fn check_writable(&self) -> Result<()> {
        if self.read_only { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Its attributes.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn stat(&self) -> Result<FileStat> {
        let stat = match &self.place {
            Place::Open(fd) => fstat(fd)?,
            Place::MountedFile { parent, name } => statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?,
        };
        Ok(stat.into())
    }

    /// What it is.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn kind(&self) -> Result<FileKind> {
        if let Some(kind) = self.kind.get() {
            return Ok(*kind);
        }
        let kind = self.stat()?.kind;
        Ok(*self.kind.get_or_init(|| kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_wrong() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("missing");
        let text = Mount::open(&missing, "/x", false).unwrap_err().to_string();
        assert!(text.contains("missing") && text.contains("No such file"), "{text}");
        let text = Mount::open("/dev/null", "/x", false).unwrap_err().to_string();
        assert!(text.contains("/dev/null") && text.contains("neither"), "{text}");
        for guest in ["", "a\0b"] {
            assert!(Mount::open(root.path(), guest, false).is_err(), "{guest:?}");
        }
    }

    #[test]
    fn canonical_once() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.path().join("link")).unwrap();
        let mount = Mount::open(root.path().join("link/./"), "app//", true).unwrap();
        assert_eq!(mount.host(), root.path().canonicalize().unwrap().join("real"));
        assert_eq!((mount.guest(), mount.is_read_only()), ("app", true));
        assert_eq!(Mount::open(root.path(), "//", false).unwrap().guest(), "/");
    }
}
