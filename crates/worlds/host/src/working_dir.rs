//! The directory of a guest: what absolute paths, and paths relative to where it is, stand for.
//!
//! Preview 1 knows paths beneath a descriptor only. Worlds with a current directory name it by a path
//! of the guest; the mount that covers a path is the one with the longest name, by components. `..` is
//! taken off before that, as text: no path of a guest leads out of the mount in which it ends.

use crate::descriptor::Descriptor;
use crate::files::{self, At};
use crate::limits::PATH_BYTES_MAX;
use crate::mount::Node;
use crate::path::GuestPath;
use crate::resolve::Resolver;
use crate::stat::FileKind;
use rustix::fs::{OFlags, fstat};
use rustix::io::{Errno, Result};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, PoisonError, RwLock};

/// Where a guest is, among its mounts.
#[derive(Debug)]
pub struct WorkingDir {
    /// Absolute, in normal form.
    path: RwLock<Vec<u8>>,
    mounts: Vec<Mounted>,
}

#[derive(Clone, Debug)]
struct Mounted {
    /// The mount's name in normal form.
    name: Vec<u8>,
    descriptor: Arc<Descriptor>,
}

impl WorkingDir {
    /// The directory `path` among these mounts; names of mounts that are relative start there.
    #[must_use]
    pub fn new(path: &[u8], mounts: impl IntoIterator<Item = Arc<Descriptor>>) -> Self {
        let path = normal(b"/", path);
        let mounted = |descriptor: Arc<Descriptor>| {
            let name = normal(&path, descriptor.mount_name()?.as_bytes());
            Some(Mounted { name, descriptor })
        };
        let mut mounts: Vec<Mounted> = mounts.into_iter().filter_map(mounted).collect();
        // Of two with one name the first counts, as for libraries.
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.name.len()));
        WorkingDir { path: RwLock::new(path), mounts }
    }

    /// The same place, to be left without leaving it here.
    #[must_use]
    pub fn copy(&self) -> Self {
        WorkingDir { path: RwLock::new(self.path()), mounts: self.mounts.clone() }
    }

    /// The path, without a NUL.
    #[must_use]
    pub fn path(&self) -> Vec<u8> {
        self.path.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps other threads from going elsewhere until the guard is dropped.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.path.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes to a directory.
    ///
    /// # Errors
    /// `ENOENT` where there is none, `ENOTDIR` for anything else, `EPERM` for a link that leaves its
    /// mount, `ENAMETOOLONG`.
    pub fn change(&self, resolver: &Resolver, path: &[u8]) -> Result<()> {
        let (mount, rest, full) = self.find(path)?;
        let at = At { node: mount.descriptor.node()?, path: &rest };
        let directory = files::open(resolver, at, OFlags::PATH | OFlags::DIRECTORY, true)?;
        // Where links were on the way, the guest is where they lead, if it can be there.
        let path = self.path_of(resolver, mount, &directory)?.unwrap_or(full);
        *self.path.write().unwrap_or_else(PoisonError::into_inner) = path;
        Ok(())
    }

    /// Goes to a directory that is open.
    ///
    /// # Errors
    /// `ENOTDIR` for anything else, `ENOENT` where no path of the guest leads to it any more.
    pub fn change_to(&self, resolver: &Resolver, descriptor: &Descriptor) -> Result<()> {
        let directory = descriptor.node()?;
        if directory.kind()? != FileKind::Directory {
            return Err(Errno::NOTDIR);
        }
        let paths = self.mounts.iter().map(|mount| self.path_of(resolver, mount, directory));
        let path = paths.filter_map(Result::transpose).next().ok_or(Errno::NOENT)??;
        *self.path.write().unwrap_or_else(PoisonError::into_inner) = path;
        Ok(())
    }

    /// The guest's path of an open directory by way of a mount, if one leads to it.
    ///
    /// # Errors
    /// When that cannot be found out now.
    fn path_of(
        &self,
        resolver: &Resolver,
        mount: &Mounted,
        directory: &Node,
    ) -> Result<Option<Vec<u8>>> {
        let Some(rest) = beneath_mount(mount.descriptor.node()?, directory) else {
            return Ok(None);
        };
        let path = normal(&mount.name, &rest);
        let Ok((covering, rest, _)) = self.find(&path) else { return Ok(None) };
        let at = At { node: covering.descriptor.node()?, path: &rest };
        match files::open(resolver, at, OFlags::PATH | OFlags::DIRECTORY, false) {
            Err(error @ (Errno::INTR | Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Err(error),
            // Another mount may cover the path, or another directory have got its name.
            found => Ok(found.is_ok_and(|found| is_same(&found, directory)).then_some(path)),
        }
    }

    /// The mount in which a path lies, absolute or relative to here, and the path from there on.
    ///
    /// # Errors
    /// `ENOENT` for the empty path and where nothing is mounted, `ENAMETOOLONG`, `EILSEQ` for a NUL.
    pub fn locate(&self, path: &[u8]) -> Result<(Arc<Descriptor>, GuestPath)> {
        let (mount, rest, _) = self.find(path)?;
        Ok((Arc::clone(&mount.descriptor), rest))
    }

    /// The same, and the whole path in normal form.
    fn find(&self, path: &[u8]) -> Result<(&Mounted, GuestPath, Vec<u8>)> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let full = normal(&self.path.read().unwrap_or_else(PoisonError::into_inner), path);
        if full.len() >= PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let covers = |mount: &&Mounted| beneath(&full, &mount.name).is_some();
        let mount = self.mounts.iter().find(covers).ok_or(Errno::NOENT)?;
        let mut rest = beneath(&full, &mount.name).unwrap_or_default().to_vec();
        if rest.is_empty() {
            rest.push(b'.');
        }
        // What must be a directory still must.
        if path.ends_with(b"/") || path.ends_with(b"/.") {
            rest.push(b'/');
        }
        Ok((mount, GuestPath::new(&rest)?, full))
    }
}

fn is_same(one: &Node, other: &Node) -> bool {
    let identity = |node: &Node| {
        let about = fstat(node.fd().ok()?).ok()?;
        Some((about.st_dev, about.st_ino))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// The path of an open directory from its mount on, as the system knows both; `None` where it does not
/// say, or somebody has moved one.
fn beneath_mount(mount: &Node, directory: &Node) -> Option<Vec<u8>> {
    let path = |node: &Node| {
        let link = std::fs::read_link(files::proc_path(node.fd().ok()?)).ok()?;
        Some(link.into_os_string().into_vec())
    };
    let (mount, directory) = (path(mount)?, path(directory)?);
    beneath(&directory, &mount).map(<[u8]>::to_vec)
}

/// The path from a directory on, if it lies in it; both are in normal form.
fn beneath<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    if directory == b"/" {
        return path.strip_prefix(b"/");
    }
    match path.strip_prefix(directory)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// A path without `.`, `..` and needless slashes, from `start` on if it is relative.
fn normal(start: &[u8], path: &[u8]) -> Vec<u8> {
    let start = if path.starts_with(b"/") { &[][..] } else { start };
    let mut names: Vec<&[u8]> = Vec::new();
    for name in start.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let mut full = Vec::with_capacity(start.len() + path.len() + 1);
    for name in &names {
        full.push(b'/');
        full.extend_from_slice(name);
    }
    if names.is_empty() {
        full.push(b'/');
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::Mount;

    #[test]
    fn normal_forms() {
        for (start, path, expect) in [
            ("/", "a", "/a"),
            ("/a/b", "../c", "/a/c"),
            ("/a", "../../..", "/"),
            ("/a", "/x//y/./z/", "/x/y/z"),
            ("/a", ".", "/a"),
            ("/", "", "/"),
        ] {
            let got = normal(start.as_bytes(), path.as_bytes());
            assert_eq!(String::from_utf8(got).unwrap(), expect, "{start} {path}");
        }
    }

    fn mounted(names: &[(&std::path::Path, &str)]) -> WorkingDir {
        let mounts = names.iter().map(|(host, guest)| {
            let (name, node) = Mount::open(host, *guest, false).unwrap().into_parts();
            Arc::new(Descriptor::mount(name, node))
        });
        WorkingDir::new(b"/", mounts)
    }

    #[test]
    fn relative_mounts_start_where_the_guest_is() {
        let root = tempfile::tempdir().unwrap();
        let (name, node) = Mount::open(root.path(), ".", false).unwrap().into_parts();
        let dir = WorkingDir::new(b"job", [Arc::new(Descriptor::mount(name, node))]);
        assert_eq!(dir.path(), b"/job");
        assert!(dir.locate(b"x").is_ok() && dir.locate(b"/job/x").is_ok());
        assert_eq!(dir.locate(b"/x").map(|_| ()), Err(Errno::NOENT));
    }

    #[test]
    fn going_to_a_directory_that_is_open() {
        let root = tempfile::tempdir().unwrap();
        for path in ["inner/deep", "other", "moved"] {
            std::fs::create_dir_all(root.path().join(path)).unwrap();
        }
        std::fs::write(root.path().join("file"), "").unwrap();
        let inner = root.path().join("inner");
        // `other` of the first mount cannot be reached: the third covers its path.
        let dir = mounted(&[(root.path(), "/data"), (&inner, "/in"), (&inner, "/data/other")]);
        let resolver = Resolver::new();
        let open = |host: &std::path::Path, path: &[u8]| {
            let node = Mount::open(host, "x", false).unwrap().into_parts().1;
            let path = GuestPath::new(path).unwrap();
            let at = At { node: &node, path: &path };
            let opened = files::open(&resolver, at, OFlags::RDONLY, true).unwrap();
            Descriptor::mount("x".to_owned(), opened)
        };
        let moved = open(root.path(), b"moved");
        std::fs::rename(root.path().join("moved"), root.path().join("elsewhere")).unwrap();
        let removed = open(root.path(), b"inner/deep");
        for (descriptor, expect) in [
            (open(root.path(), b"."), Ok("/data")),
            (open(root.path(), b"inner"), Ok("/data/other")),
            (open(&inner, b"deep"), Ok("/data/other/deep")),
            (moved, Ok("/data/elsewhere")),
            (open(root.path(), b"other"), Err(Errno::NOENT)),
            (open(root.path(), b"file"), Err(Errno::NOTDIR)),
            (Descriptor::new(crate::Object::Null), Err(Errno::NOTDIR)),
        ] {
            let gone = dir.change_to(&resolver, &descriptor).map(|()| dir.path());
            assert_eq!(gone, expect.map(|path: &str| path.as_bytes().to_vec()));
        }
        std::fs::remove_dir(root.path().join("inner/deep")).unwrap();
        assert_eq!(dir.change_to(&resolver, &removed), Err(Errno::NOENT));
        assert_eq!(dir.path(), b"/data/elsewhere");
    }

    #[test]
    fn the_longest_mount_covers_a_path() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("inner/deep")).unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("/", root.path().join("out")).unwrap();
        std::os::unix::fs::symlink("inner/deep", root.path().join("way")).unwrap();
        // The second mount covers its path, and has no such directory.
        std::fs::create_dir_all(root.path().join("in/hidden")).unwrap();
        std::os::unix::fs::symlink("in/hidden", root.path().join("only_way")).unwrap();
        let inner = root.path().join("inner");
        let dir = mounted(&[(root.path(), "/data"), (&inner, "/data/in")]);
        let locate = |path: &str| {
            dir.locate(path.as_bytes()).map(|(descriptor, rest)| {
                let name = descriptor.mount_name().unwrap().to_owned();
                (name, rest.text().to_str().unwrap().to_owned(), rest.must_be_directory())
            })
        };
        let found = |name: &str, rest: &str, slash| Ok((name.to_owned(), rest.to_owned(), slash));
        assert_eq!(locate("/data/file"), found("/data", "file", false));
        assert_eq!(locate("data/file/"), found("/data", "file", true));
        assert_eq!(locate("/data/in/deep/."), found("/data/in", "deep", true));
        assert_eq!(locate("/data/in"), found("/data/in", ".", false));
        assert_eq!(locate("/data/inn"), found("/data", "inn", false));
        assert_eq!(locate("/data/in/../x"), found("/data", "x", false));
        for (path, error) in [("/", Errno::NOENT), ("", Errno::NOENT), ("/dat", Errno::NOENT)] {
            assert_eq!(locate(path), Err(error), "{path}");
        }
        assert_eq!(locate(&format!("/data/{}", "x/".repeat(2048))), Err(Errno::NAMETOOLONG));
        assert_eq!(locate("/data/a\0b"), Err(Errno::ILSEQ));
        let resolver = Resolver::new();
        let go = |path: &str| dir.change(&resolver, path.as_bytes());
        assert_eq!(go("/data/in/deep"), Ok(()));
        assert_eq!(dir.path(), b"/data/in/deep");
        assert_eq!(go("/data/way/.."), Ok(()));
        assert_eq!(dir.path(), b"/data", "`..` is taken off as text");
        assert_eq!(go("/data/way"), Ok(()));
        assert_eq!(dir.path(), b"/data/inner/deep", "where the link leads");
        assert_eq!(go("../.."), Ok(()));
        assert_eq!(dir.path(), b"/data");
        assert_eq!(go("/data/only_way"), Ok(()));
        assert_eq!(dir.path(), b"/data/only_way", "no other path leads there");
        assert_eq!(locate("file"), found("/data", "only_way/file", false));
        assert_eq!(go(".."), Ok(()));
        for (path, error) in
            [("file", Errno::NOTDIR), ("missing", Errno::NOENT), ("out", Errno::PERM)]
        {
            assert_eq!(go(path), Err(error), "{path}");
        }
        assert_eq!(locate("file"), found("/data", "file", false));
    }
}
