//! The tree that is attacked: a mount beside a secret, with links that lead, or try to lead, there.

use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wasmoor_host::{GuestPath, Mount, Node};

/// Links inside the mount that lead, or try to lead, out of it. `{out}` is the folder around it.
const LINKS: &[(&str, &str)] = &[
    ("abs", "{out}/secret"),
    ("abs_slash", "{out}/secret/"),
    ("abs_file", "{out}/secret/file"),
    ("root", "/"),
    ("up", ".."),
    ("up_slash", "../"),
    ("up_dot", "../."),
    ("rel", "../secret"),
    ("rel_slash", "../secret/"),
    ("rel_slashes", "../secret//"),
    ("rel_file", "../secret/file"),
    ("back_in", "../mount/dir"),
    ("via_dir", "dir/../../secret"),
    ("via_link", "inside/../../secret"),
    ("dir/out", "../../secret"),
    ("dir/out_slash", "../../secret/"),
    ("new_abs", "{out}/secret/new"),
    ("new_rel", "../secret/new"),
    ("twice", "rel"),
    ("twice_slash", "rel/"),
    ("inside", "dir"),
    ("inside_slash", "dir/"),
    ("loop", "loop"),
];

/// What is put behind each link.
const TAILS: &[&str] = &[
    "",
    "/",
    "//",
    "/.",
    "/./",
    "/..",
    "/../",
    "/file",
    "/file/",
    "/new",
    "/new/",
    "/./file",
    "/../secret",
    "/../secret/file",
    "/secret/file",
    "/../../secret/file",
];

/// Paths that need no link.
const PLAIN: &[&str] = &[
    "chain/",
    "chain/file",
    "chain",
    "file",
    "dir/file",
    "dir/nested",
    "dir/nested/",
    "missing",
    "missing/",
    "..",
    "../",
    "../.",
    "../secret",
    "../secret/",
    "../secret/file",
    "../secret/new",
    "dir/../..",
    "dir/../../",
    "dir/../../secret/file",
    "./../secret/file",
    ".//..//secret//file",
    "dir/./../../secret/new",
    "missing/../../secret/file",
    "file/../../secret/file",
    "../mount/../secret/file",
    "/",
    "//",
    "{out}/secret",
    "{out}/secret/file",
    "/proc/self/root",
    "dir/nested/../../../secret/file",
];

pub(crate) fn paths() -> impl Iterator<Item = String> {
    let links = LINKS.iter().flat_map(|(link, _)| TAILS.iter().map(move |t| format!("{link}{t}")));
    links.chain(PLAIN.iter().map(|path| (*path).to_owned()))
}

pub(crate) struct Tree {
    root: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        // Thousands of trees are made: in memory where there is such a place.
        let root = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let out = root.path();
        fs::create_dir_all(out.join("secret/sub")).unwrap();
        fs::write(out.join("secret/file"), "SECRET").unwrap();
        fs::write(out.join("secret/sub/deep"), "SECRET").unwrap();
        fs::create_dir_all(out.join("mount/dir/nested")).unwrap();
        fs::write(out.join("mount/file"), "public").unwrap();
        fs::write(out.join("mount/dir/file"), "public").unwrap();
        fs::write(out.join("mount/source"), "public").unwrap();
        for (link, target) in LINKS {
            let target = target.replace("{out}", out.to_str().unwrap());
            symlink(target, out.join("mount").join(link)).unwrap();
        }
        Tree { root }
    }

    /// 15 links in a row, the last of which leads out. (The kernel counts the links of an attempt
    /// that it repeats twice, so that it gives up on longer chains before the walk does.)
    pub(crate) fn add_chain(&self) {
        let mount = self.out().join("mount");
        if mount.join("chain").is_symlink() {
            return;
        }
        symlink("../secret", mount.join("chain14")).unwrap();
        for index in (1..14).rev() {
            let (link, target) = (format!("chain{index}"), format!("chain{}/", index + 1));
            symlink(target, mount.join(link)).unwrap();
        }
        symlink("chain1", mount.join("chain")).unwrap();
    }

    pub(crate) fn out(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn mount(&self, read_only: bool) -> Node {
        Mount::open(self.out().join("mount"), "/", read_only).unwrap().into_parts().1
    }

    pub(crate) fn path(&self, path: &str) -> Result<GuestPath, Errno> {
        GuestPath::new(path.replace("{out}", self.out().to_str().unwrap()).as_bytes())
    }

    /// Everything about the secret and the folder around the mount, but for times of access.
    pub(crate) fn outside(&self) -> BTreeMap<PathBuf, (u64, u64, i64, i64, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for name in ["", "secret", "secret/file", "secret/sub", "secret/sub/deep"] {
            let path = self.out().join(name);
            let stat = fs::metadata(&path).unwrap();
            let content = if stat.is_dir() {
                let mut names: Vec<_> =
                    fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                names.sort();
                format!("{names:?}").into_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            let facts = (stat.ino(), stat.nlink(), stat.mtime(), stat.mtime_nsec(), content);
            found.insert(path, facts);
        }
        found
    }

    /// The same of everything in the mount.
    pub(crate) fn inside(&self) -> BTreeMap<PathBuf, (u64, i64, i64, u64)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.out().join("mount")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let stat = entry.metadata().unwrap();
                if stat.is_dir() {
                    folders.push(entry.path());
                }
                let facts = (stat.ino(), stat.mtime(), stat.mtime_nsec(), stat.size());
                found.insert(entry.path(), facts);
            }
        }
        found
    }
}
