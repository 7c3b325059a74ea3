//! Where the paths of sockets lead: into the guest's mounts, and to nothing else.

use super::Result;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::{Errno as Host, fcntl_dupfd_cloexec};
use wasmoor_host::files::{self, At};
use wasmoor_host::{FileKind, Node, Rights};
use wasmoor_wasi_p1::WasiCtx;

/// Where a new socket goes.
pub(super) struct Parent {
    pub(super) directory: OwnedFd,
    pub(super) name: Vec<u8>,
}

/// The directory of a path, opened, and the last name.
///
/// # Errors
/// `rofs` in a mount that is only read, `notcapable` in one where the guest may make no files, else
/// those of opening.
pub(super) fn parent(ctx: &WasiCtx, path: &[u8]) -> Result<Parent> {
    let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => (&b"/"[..], &path[1..]),
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&b"."[..], path),
    };
    let node = open(ctx, directory, Rights::PATH_CREATE_FILE, OFlags::DIRECTORY | OFlags::RDONLY)?;
    node.check_writable()?;
    let directory = fcntl_dupfd_cloexec(node.fd()?, 0)?;
    Ok(Parent { directory, name: name.to_vec() })
}

/// The socket at a path, opened as a place. In a mount that is only read it is no file to look at
/// but somebody to talk to, which was not granted.
///
/// # Errors
/// `connrefused` for what is no socket, `acces` in a mount that is only read, `notcapable` in one where
/// the guest may open nothing, else those of opening.
pub(super) fn socket(ctx: &WasiCtx, path: &[u8]) -> Result<OwnedFd> {
    let node = open(ctx, path, Rights::PATH_OPEN, OFlags::PATH)?;
    node.check_writable().map_err(|_| Host::ACCESS)?;
    let is_socket = matches!(node.kind()?, FileKind::SocketStream | FileKind::SocketDatagram);
    if !is_socket {
        return Err(Host::CONNREFUSED.into());
    }
    Ok(fcntl_dupfd_cloexec(node.fd()?, 0)?)
}

/// Opens a path of the guest, absolute or relative to where it is.
fn open(ctx: &WasiCtx, path: &[u8], rights: Rights, flags: OFlags) -> Result<Node> {
    let (mount, path) = ctx.locate(path, rights)?;
    let at = At { node: mount.node()?, path: &path };
    let open = |resolver: &_| files::open(resolver, at, flags | OFlags::CLOEXEC, true);
    Ok(ctx.core().on_paths(open)?)
}
