//! The attack list: no operation on any path reaches what lies beside the mount.
//!
//! Each operation meets each path in a fresh tree, by both ways of resolving. Afterwards the secret
//! beside the mount must be byte for byte and time for time what it was, and nothing that an
//! operation opened or described may be it.

mod races;
mod tree;

use rustix::fs::{OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use tree::{Tree, paths};
use wasmoor_host::files::{self, At};
use wasmoor_host::{GuestPath, IoVecs, Mount, Node, Resolver, Strategy, vectored};

const STRATEGIES: [Strategy; 2] = [Strategy::Kernel, Strategy::Walk];

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

/// A chain with slashes, as long as the kernel follows and longer, whose last link leads out.
#[test]
fn chains_of_links_of_any_length_lead_nowhere() {
    for links in [1, 15, 39, 40, 41, 80] {
        let tree = Tree::new();
        let mount = tree.out().join("mount");
        symlink("../secret/", mount.join("long1")).unwrap();
        symlink("dir/", mount.join("good1")).unwrap();
        for (link, name) in (2..=links).flat_map(|link| [(link, "long"), (link, "good")]) {
            symlink(format!("{name}{}/", link - 1), mount.join(format!("{name}{link}"))).unwrap();
        }
        let (before, node) = (tree.outside(), tree.mount(false));
        for strategy in STRATEGIES {
            let resolver = Resolver::with_strategy(strategy);
            for (name, tail) in [("long", ""), ("long", "/"), ("long", "/file"), ("good", "/file")]
            {
                let path = GuestPath::new(format!("{name}{links}{tail}").as_bytes()).unwrap();
                let at = At { node: &node, path: &path };
                let opened = opened(&resolver, at, OFlags::RDONLY, true).err();
                let stat = files::stat(&resolver, at, true).err();
                let expected: &[_] = match (name, links) {
                    ("good", ..=40) => &[None],
                    ("good", _) => &[Some(Errno::LOOP)],
                    _ => &[Some(Errno::PERM), Some(Errno::LOOP)],
                };
                let what = format!("{path:?} {strategy:?}: {opened:?} {stat:?}");
                assert!(expected.contains(&opened) && expected.contains(&stat), "{what}");
            }
        }
        assert_eq!(before, tree.outside(), "{links}");
    }
}

type TwoSided = fn(&Resolver, At<'_>, At<'_>) -> Result<(), Errno>;

/// Renames and links between two paths of which both try to lead out.
#[test]
fn nothing_reaches_the_secret_from_two_sides() {
    let links = ["abs", "rel", "rel_slash", "up", "root", "via_link", "dir/out", "loop", "inside"];
    let tails = ["", "/", "/.", "/new", "/file"];
    let paths: Vec<_> = links.iter().flat_map(|l| tails.map(|tail| format!("{l}{tail}"))).collect();
    const TWO_SIDED: [(&str, TwoSided); 2] = [("rename", files::rename), ("link", files::link)];
    let mut done = 0;
    for (name, operation) in TWO_SIDED {
        let mut outcomes = Vec::new();
        for strategy in STRATEGIES {
            let resolver = Resolver::with_strategy(strategy);
            let mut tree = Tree::new();
            for (from, to) in paths.iter().flat_map(|from| paths.iter().map(move |to| (from, to))) {
                let (before, node) = (tree.outside(), &tree.mount(false));
                let (old, new) = (tree.path(from).unwrap(), tree.path(to).unwrap());
                let (old, new) = (At { node, path: &old }, At { node, path: &new });
                let outcome = operation(&resolver, old, new);
                let what = format!("{name} {from} {to}");
                assert_eq!(before, tree.outside(), "{what} {strategy:?}: {outcome:?}");
                if outcome.is_ok() {
                    done += 1;
                    tree = Tree::new();
                }
                outcomes.push((strategy, what, outcome));
            }
        }
        let (kernel, walk) = outcomes.split_at(outcomes.len() / 2);
        for ((_, what, one), (_, _, other)) in kernel.iter().zip(walk) {
            assert_eq!(one, other, "{what}: kernel and walk differ");
        }
    }
    assert!(done > 0);
}

/// Links that a guest makes itself, opened in every way.
#[test]
fn links_of_the_guest_lead_nowhere() {
    let targets = ["../secret/file", "../secret/new", "../secret", "..", "../secret/", "dir/../.."];
    let ways = [
        OFlags::RDONLY,
        OFlags::CREATE,
        OFlags::CREATE | OFlags::EXCL,
        OFlags::TRUNC,
        OFlags::CREATE | OFlags::TRUNC,
        OFlags::DIRECTORY,
    ];
    for strategy in STRATEGIES {
        let resolver = Resolver::with_strategy(strategy);
        let tree = Tree::new();
        let (before, node) = (tree.outside(), &tree.mount(false));
        for (index, target) in targets.iter().enumerate() {
            let path = GuestPath::new(format!("own{index}").as_bytes()).unwrap();
            let at = At { node, path: &path };
            files::symlink(&resolver, target.as_bytes(), at).unwrap();
            for way in ways {
                for access in [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR] {
                    for follow in [true, false] {
                        let opened = files::open(&resolver, at, way | access, follow);
                        let what = format!("{target} {way:?} {access:?} {follow} {strategy:?}");
                        assert!(opened.is_err(), "{what}");
                        assert_eq!(before, tree.outside(), "{what}: {opened:?}");
                    }
                }
            }
        }
        let absolute = files::symlink(&resolver, b"/etc", At { node, path: &source() });
        assert_eq!(absolute, Err(Errno::PERM));
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
