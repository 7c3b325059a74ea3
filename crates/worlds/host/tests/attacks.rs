//! The attack list: no operation on any path reaches what lies beside the mount.
//!
//! Each operation meets each path in a fresh tree, by both ways of resolving. Afterwards the secret
//! beside the mount must be byte for byte and time for time what it was, and nothing that an
//! operation opened or described may be it.

use rustix::fs::{OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasmoor_host::files::{self, At};
use wasmoor_host::{GuestPath, IoVecs, Mount, Node, Resolver, Strategy, vectored};

const STRATEGIES: [Strategy; 2] = [Strategy::Kernel, Strategy::Walk];

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

fn paths() -> impl Iterator<Item = String> {
    let links = LINKS.iter().flat_map(|(link, _)| TAILS.iter().map(move |t| format!("{link}{t}")));
    links.chain(PLAIN.iter().map(|path| (*path).to_owned()))
}

struct Tree {
    root: TempDir,
}

impl Tree {
    fn new() -> Self {
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
    fn add_chain(&self) {
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

    fn out(&self) -> &Path {
        self.root.path()
    }

    fn mount(&self, read_only: bool) -> Node {
        Mount::open(self.out().join("mount"), "/", read_only).unwrap().into_parts().1
    }

    fn path(&self, path: &str) -> Result<GuestPath, Errno> {
        GuestPath::new(path.replace("{out}", self.out().to_str().unwrap()).as_bytes())
    }

    /// Everything about the secret and the folder around the mount, but for times of access.
    fn outside(&self) -> BTreeMap<PathBuf, (u64, u64, i64, i64, Vec<u8>)> {
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
    fn inside(&self) -> BTreeMap<PathBuf, (u64, i64, i64, u64)> {
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

/// The inode that an operation got at, if it did.
type Reached = Result<Option<u64>, Errno>;

type Operation = fn(&Resolver, At<'_>, &Node) -> Reached;

fn opened(resolver: &Resolver, at: At<'_>, flags: OFlags, follow: bool) -> Reached {
    files::open(resolver, at, flags, follow)?.stat().map(|stat| Some(stat.inode))
}

fn times() -> Timestamps {
    let time = Timespec { tv_sec: 1, tv_nsec: 1 };
    Timestamps { last_access: time, last_modification: time }
}

/// The path of an ordinary file, as the other side of calls that take two.
fn source() -> GuestPath {
    GuestPath::new(b"source").unwrap()
}

const OPERATIONS: &[(&str, Operation)] = &[
    ("open", |r, at, _| opened(r, at, OFlags::RDONLY, true)),
    ("open nofollow", |r, at, _| opened(r, at, OFlags::RDONLY, false)),
    ("open path", |r, at, _| opened(r, at, OFlags::PATH, true)),
    ("open path nofollow", |r, at, _| opened(r, at, OFlags::PATH, false)),
    ("open directory", |r, at, _| opened(r, at, OFlags::DIRECTORY, true)),
    ("open directory nofollow", |r, at, _| opened(r, at, OFlags::DIRECTORY, false)),
    ("open write", |r, at, _| opened(r, at, OFlags::RDWR, true)),
    ("open truncate", |r, at, _| opened(r, at, OFlags::RDWR | OFlags::TRUNC, true)),
    ("open truncate only", |r, at, _| opened(r, at, OFlags::TRUNC, true)),
    ("create", |r, at, _| opened(r, at, OFlags::RDWR | OFlags::CREATE, true)),
    ("create nofollow", |r, at, _| opened(r, at, OFlags::RDWR | OFlags::CREATE, false)),
    ("create truncate", |r, at, _| {
        opened(r, at, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC, true)
    }),
    ("create exclusive", |r, at, _| {
        opened(r, at, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, true)
    }),
    ("stat", |r, at, _| files::stat(r, at, true).map(|stat| Some(stat.inode))),
    ("stat nofollow", |r, at, _| files::stat(r, at, false).map(|stat| Some(stat.inode))),
    ("set times", |r, at, _| files::set_times(r, at, &times(), true).map(|()| None)),
    ("set times nofollow", |r, at, _| files::set_times(r, at, &times(), false).map(|()| None)),
    ("mkdir", |r, at, _| files::create_directory(r, at).map(|()| None)),
    ("rmdir", |r, at, _| files::remove_directory(r, at).map(|()| None)),
    ("unlink", |r, at, _| files::unlink(r, at).map(|()| None)),
    ("readlink", |r, at, _| files::read_link(r, at).map(|_| None)),
    ("symlink", |r, at, _| files::symlink(r, b"dir", at).map(|()| None)),
    ("rename from", |r, at, node| {
        let path = GuestPath::new(b"moved").unwrap();
        files::rename(r, at, At { node, path: &path })?;
        files::stat(r, At { node, path: &path }, false).map(|stat| Some(stat.inode))
    }),
    ("rename to", |r, at, node| files::rename(r, At { node, path: &source() }, at).map(|()| None)),
    ("link from", |r, at, node| {
        let path = GuestPath::new(b"linked").unwrap();
        files::link(r, at, At { node, path: &path })?;
        files::stat(r, At { node, path: &path }, false).map(|stat| Some(stat.inode))
    }),
    ("link to", |r, at, node| files::link(r, At { node, path: &source() }, at).map(|()| None)),
];

#[test]
fn nothing_reaches_the_secret() {
    for (name, operation) in OPERATIONS {
        let [kernel, walk] = STRATEGIES.map(|strategy| attack(name, *operation, strategy));
        for (path, outcome) in &kernel {
            assert_eq!(*outcome, walk[path], "{name} {path}: kernel and walk differ");
        }
        let done = kernel.values().filter(|outcome| outcome.is_ok()).count();
        let refused = kernel.len() - done;
        // Neither all nor nothing is refused, or the list would prove little.
        assert!(done > 0 && refused > 0, "{name}: {done} done, {refused} refused");
    }
}

/// Runs an operation on every path, in a new tree after each success.
fn attack(
    name: &str,
    operation: Operation,
    strategy: Strategy,
) -> BTreeMap<String, Result<(), Errno>> {
    let resolver = Resolver::with_strategy(strategy);
    let mut outcomes = BTreeMap::new();
    let mut tree = Tree::new();
    for path in paths() {
        if path.starts_with("chain") {
            tree.add_chain();
        }
        let before = tree.outside();
        let mount = tree.mount(false);
        let run = |path: GuestPath| operation(&resolver, At { node: &mount, path: &path }, &mount);
        let outcome = tree.path(&path).and_then(run);
        assert_eq!(before, tree.outside(), "{name} {path} {strategy:?}: {outcome:?}");
        if let Ok(Some(inode)) = outcome {
            let mut secrets = before.values().map(|(inode, ..)| *inode);
            assert!(!secrets.any(|secret| secret == inode), "{name} {path} {strategy:?}");
        }
        let changed = outcome.is_ok() && !is_looking(name);
        outcomes.insert(path, outcome.map(|_| ()));
        if changed {
            tree = Tree::new();
        }
    }
    outcomes
}

fn is_looking(name: &str) -> bool {
    matches!(
        name,
        "open"
            | "open nofollow"
            | "open path"
            | "open path nofollow"
            | "open directory"
            | "open directory nofollow"
            | "stat"
            | "stat nofollow"
            | "readlink"
    )
}

#[test]
fn read_only_is_read_only() {
    let changing = OPERATIONS.iter().filter(|(name, _)| !is_looking(name));
    for (name, operation) in changing {
        let tree = Tree::new();
        let before = tree.inside();
        for path in ["file", "dir", "dir/file", "dir/nested", "new", "dir/new", "inside", "loop"] {
            for strategy in STRATEGIES {
                let (locked, open) = (tree.mount(true), tree.mount(false));
                let resolver = Resolver::with_strategy(strategy);
                let path = GuestPath::new(path.as_bytes()).unwrap();
                // The other side of renames and links is the same tree, mounted for writing.
                let at = At { node: &locked, path: &path };
                let outcome = operation(&resolver, at, &open);
                let refused = [Errno::ROFS, Errno::EXIST, Errno::LOOP];
                let refused = outcome.is_err_and(|errno| refused.contains(&errno));
                assert!(refused, "{name} {path:?} {strategy:?}: {outcome:?}");
                assert_eq!(before, tree.inside(), "{name} {path:?} {strategy:?}");
            }
        }
    }
}

#[test]
fn what_is_opened_read_only_stays_so() {
    let tree = Tree::new();
    let mount = tree.mount(true);
    let resolver = Resolver::new();
    let path = GuestPath::new(b"dir").unwrap();
    let at = At { node: &mount, path: &path };
    let dir = files::open(&resolver, at, OFlags::DIRECTORY, true).unwrap();
    let new = GuestPath::new(b"new").unwrap();
    let at = At { node: &dir, path: &new };
    assert_eq!(files::create_directory(&resolver, at), Err(Errno::ROFS));
    assert_eq!(dir.fd_to_change().err(), Some(Errno::ROFS));
}

#[test]
fn a_mounted_file_is_only_itself() {
    let tree = Tree::new();
    let mount = |read_only| {
        let host = tree.out().join("mount/file");
        Mount::open(host, "/etc/file", read_only).unwrap().into_parts().1
    };
    for strategy in STRATEGIES {
        let resolver = Resolver::with_strategy(strategy);
        let (open, locked) = (mount(false), mount(true));
        for path in ["..", "file", "./", "../file", "./.", "dir/file"] {
            let path = GuestPath::new(path.as_bytes()).unwrap();
            let at = At { node: &open, path: &path };
            assert!(files::open(&resolver, at, OFlags::RDONLY, true).is_err(), "{path:?}");
            assert!(files::stat(&resolver, at, true).is_err(), "{path:?}");
        }
        let dot = GuestPath::new(b".").unwrap();
        let at = At { node: &open, path: &dot };
        assert_eq!(files::stat(&resolver, at, true).unwrap().size, 6);
        assert!(files::open(&resolver, at, OFlags::RDWR, true).is_ok());
        assert_eq!(files::unlink(&resolver, at), Err(Errno::NOTDIR));
        assert_eq!(files::create_directory(&resolver, at), Err(Errno::NOTDIR));
        let at = At { node: &locked, path: &dot };
        assert!(files::open(&resolver, at, OFlags::RDONLY, true).is_ok());
        let denied = files::open(&resolver, at, OFlags::RDWR, true);
        assert_eq!(denied.err(), Some(Errno::ROFS));
    }
    // Somebody outside replaces the file by a link: nothing is followed.
    let open = mount(false);
    fs::remove_file(tree.out().join("mount/file")).unwrap();
    symlink("../secret/file", tree.out().join("mount/file")).unwrap();
    let dot = GuestPath::new(b".").unwrap();
    let at = At { node: &open, path: &dot };
    let denied = files::open(&Resolver::new(), at, OFlags::RDONLY, true);
    assert_eq!(denied.err(), Some(Errno::LOOP));
}

#[test]
fn magic_links_lead_nowhere() {
    let mount = Mount::open("/proc/self", "/", true).unwrap().into_parts().1;
    for strategy in STRATEGIES {
        let resolver = Resolver::with_strategy(strategy);
        for path in ["root", "root/", "root/etc", "cwd", "cwd/", "exe", "fd/0", "fd/1/"] {
            let path = GuestPath::new(path.as_bytes()).unwrap();
            let at = At { node: &mount, path: &path };
            let result = files::open(&resolver, at, OFlags::RDONLY, true);
            assert!(result.is_err(), "{path:?} {strategy:?}");
            assert!(files::stat(&resolver, at, true).is_err(), "{path:?} {strategy:?}");
        }
    }
}

/// How long each race lasts; `RACE_SECONDS` makes it longer.
fn race_time() -> Duration {
    let seconds = std::env::var("RACE_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or(Duration::from_millis(700), Duration::from_secs_f64)
}

#[test]
fn swapping_a_directory_for_a_link_wins_no_race() {
    for strategy in STRATEGIES {
        let tree = Tree::new();
        let mount_path = tree.out().join("mount");
        fs::create_dir_all(mount_path.join("swap/a/b")).unwrap();
        fs::write(mount_path.join("swap/file"), "public").unwrap();
        symlink("../secret", mount_path.join("other")).unwrap();
        let before = tree.outside();
        let stop = AtomicBool::new(false);
        let mut seen = BTreeMap::new();
        std::thread::scope(|scope| {
            scope.spawn(|| swap_until(&mount_path, &stop));
            let mount = tree.mount(false);
            let resolver = Resolver::with_strategy(strategy);
            let end = Instant::now() + race_time();
            let mut round = 0u64;
            while Instant::now() < end {
                round += 1;
                for path in ["swap/file", "swap/a/../file", "swap//file", "swap/a/b/../../file"] {
                    let path = GuestPath::new(path.as_bytes()).unwrap();
                    let outcome = content(&resolver, At { node: &mount, path: &path });
                    *seen.entry(format!("{outcome:?}")).or_insert(0u64) += 1;
                }
                let new = GuestPath::new(b"swap/new").unwrap();
                let at = At { node: &mount, path: &new };
                let _ = files::symlink(&resolver, b"x", at);
                let _ = files::rename(&resolver, At { node: &mount, path: &new }, at);
                let _ = files::unlink(&resolver, at);
                let _ = files::create_directory(&resolver, at);
                let _ = files::remove_directory(&resolver, at);
            }
            stop.store(true, Ordering::Relaxed);
            assert!(round > 10, "the race was not run");
        });
        assert_eq!(before, tree.outside(), "{strategy:?}");
        assert!(seen.contains_key("Ok(\"public\")"), "{strategy:?}: {seen:?}");
        assert!(
            seen.keys().any(|key| key.contains("Os code 1 ")
                || key.contains("PERM")
                || key.contains("not permitted")),
            "{strategy:?}: {seen:?}"
        );
        assert!(!seen.keys().any(|key| key.contains("SECRET")), "{strategy:?}: {seen:?}");
    }
}

fn swap_until(mount: &Path, stop: &AtomicBool) {
    let folder = fs::File::open(mount).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(&folder, "swap", &folder, "other", exchange).unwrap();
    }
}

fn content(resolver: &Resolver, at: At<'_>) -> Result<String, Errno> {
    let node = files::open(resolver, at, OFlags::RDONLY, true)?;
    let mut file = fs::File::from(node.fd()?.try_clone_to_owned().map_err(|_| Errno::IO)?);
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|_| Errno::IO)?;
    Ok(text)
}

#[test]
fn ten_thousand_failures_leak_nothing() {
    let tree = Tree::new();
    tree.add_chain();
    let mount = tree.mount(false);
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    for strategy in STRATEGIES {
        let resolver = Resolver::with_strategy(strategy);
        // Other tests of this process open files at the same time only under another runner.
        let before = count();
        for path in ["dir/nested", "inside/file", "chain/file", "rel/file", "missing/x", "loop"] {
            let path = GuestPath::new(path.as_bytes()).unwrap();
            for _ in 0..10_000 / 6 {
                let at = At { node: &mount, path: &path };
                let _ = files::open(&resolver, at, OFlags::RDONLY, true);
                let _ = files::stat(&resolver, at, true);
            }
        }
        assert!(count() <= before + 16, "{strategy:?}: {before} became {}", count());
    }
}

#[test]
fn empty_vectors_reach_the_kernel() {
    let tree = Tree::new();
    let mount = tree.mount(false);
    let path = GuestPath::new(b"file").unwrap();
    let at = At { node: &mount, path: &path };
    let file = files::open(&Resolver::new(), at, OFlags::RDONLY, true).unwrap();
    assert_eq!(vectored::readv(file.fd().unwrap(), &IoVecs::new()), Ok(0));
}
