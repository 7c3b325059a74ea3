//! Where the paths of sockets lead: into the guest's mounts, and to nothing else.

use super::Result;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::{Errno as Host, fcntl_dupfd_cloexec};
use wasmoor_host::files::{self, At};
use wasmoor_host::{Core, FileKind, Node};

/// Where a new socket goes.
pub(super) struct Parent {
    pub(super) directory: OwnedFd,
    pub(super) name: Vec<u8>,
}

/// The directory of a path, opened, and the last name.
///
/// # Errors
/// `EROFS` in a mount that is only read, else those of opening.
pub(super) fn parent(core: &Core, path: &[u8]) -> Result<Parent> {
    let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (&b"/"[..], &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&b"."[..], path),
    };
    let node = open(core, directory, OFlags::DIRECTORY | OFlags::RDONLY)?;
    node.check_writable()?;
    let directory = fcntl_dupfd_cloexec(node.fd()?, 0)?;
    Ok(Parent { directory, name: name.to_vec() })
}

/// The socket at a path, opened as a place. In a mount that is only read it is no file to look at
/// but somebody to talk to, which was not granted.
///
/// # Errors
/// `ECONNREFUSED` for what is no socket, `EACCES` in a mount that is only read, else those of opening.
pub(super) fn socket(core: &Core, path: &[u8]) -> Result<OwnedFd> {
    let node = open(core, path, OFlags::PATH)?;
    node.check_writable().map_err(|_| Host::ACCESS)?;
    let is_socket = matches!(node.kind()?, FileKind::SocketStream | FileKind::SocketDatagram);
    if !is_socket {
        return Err(Host::CONNREFUSED.into());
    }
    Ok(fcntl_dupfd_cloexec(node.fd()?, 0)?)
}

/// Opens a path of the guest, absolute or relative to where it is.
fn open(core: &Core, path: &[u8], flags: OFlags) -> Result<Node> {
    let working_dir = core.working_dir.as_deref().ok_or(Host::NOENT)?;
    let (mount, path) = working_dir.locate(path)?;
    let at = At { node: mount.node()?, path: &path };
    Ok(files::open(&core.resolver, at, flags | OFlags::CLOEXEC, true)?)
}
