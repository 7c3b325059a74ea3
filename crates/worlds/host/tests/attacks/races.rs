//! Somebody changes the tree while paths are resolved in it; and what many failures leave behind.

use crate::STRATEGIES;
use crate::tree::Tree;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wasmoor_host::files::{self, At};
use wasmoor_host::{GuestPath, Resolver};

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
