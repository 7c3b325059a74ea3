//! Where the paths of sockets lead: into the guest's mounts, and to nothing else.

use super::Result;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::{Errno as Host, fcntl_dupfd_cloexec};
use std::sync::Arc;
use wasmoor_host::files::{self, At};
use wasmoor_host::{Core, Descriptor, FileKind, GuestPath};

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

/// Opens a path in the mount with the longest name that it begins with.
fn open(core: &Core, path: &[u8], flags: OFlags) -> Result<wasmoor_host::Node> {
    let (mount, rest) = mount(core, path).ok_or(Host::NOENT)?;
    let rest = if rest.is_empty() { b".".to_vec() } else { rest };
    let path = GuestPath::new(&rest)?;
    let at = At { node: mount.node()?, path: &path };
    Ok(files::open(&core.resolver, at, flags | OFlags::CLOEXEC, true)?)
}

/// Numbers that are looked at for mounts: they come first, and what the guest opened comes behind.
const MOUNTS_MAX: u32 = 1024;

/// The mount that a path is in, and the rest of the path. A relative one begins at the mount called
/// `.`, or at the root.
fn mount(core: &Core, path: &[u8]) -> Option<(Arc<Descriptor>, Vec<u8>)> {
    let mounts = (3..MOUNTS_MAX).map_while(|fd| core.table.get(fd).ok());
    let mut best: Option<(usize, Arc<Descriptor>, Vec<u8>)> = None;
    for descriptor in mounts {
        let Some(rest) = descriptor.mount_name().and_then(|name| rest_of(name.as_bytes(), path))
        else {
            continue;
        };
        // The shorter the rest, the longer the name.
        if best.as_ref().is_none_or(|(len, ..)| rest.len() < *len) {
            best = Some((rest.len(), descriptor, rest.to_vec()));
        }
    }
    best.map(|(_, descriptor, rest)| (descriptor, rest))
}

/// What is left of a path behind the name of a mount that it is in.
fn rest_of<'a>(name: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    let bare = |mut path: &'a [u8]| {
        while let Some(rest) = path.strip_prefix(b"/") {
            path = rest;
        }
        path
    };
    let is_absolute = path.starts_with(b"/");
    if name == b"." || name == b"./" {
        return (!is_absolute).then_some(path);
    }
    let mut name = name.strip_prefix(b"/").unwrap_or(name);
    name = name.strip_suffix(b"/").unwrap_or(name);
    let path = bare(path);
    if name.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with(b"/")).then(|| bare(rest))
}

#[cfg(test)]
mod tests {
    use super::rest_of;

    #[test]
    fn paths_in_mounts() {
        for (name, path, rest) in [
            ("/", "/run/x", Some("run/x")),
            ("/run", "/run/x", Some("x")),
            ("/run/", "/run//x", Some("x")),
            ("/run", "/running", None),
            ("/run", "/run", Some("")),
            ("/run", "run/x", Some("x")),
            (".", "x", Some("x")),
            (".", "/x", None),
            ("data", "/data/x", Some("x")),
        ] {
            let got = rest_of(name.as_bytes(), path.as_bytes());
            assert_eq!(got, rest.map(str::as_bytes), "{path} in {name}");
        }
    }
}
