//! Limits on memory: those of control groups, of the process, of the machine.
//!
//! A group may take what its `memory.max` (version 2) or `memory.limit_in_bytes` (version 1) says,
//! and what those above it may. `/proc/self/cgroup` names the groups, relative to where they are
//! mounted unless a container hides that: what does not exist on the way up is passed over.

use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Component, Path};

/// See [`crate::memory_limit::bytes`].
pub(crate) fn bytes() -> Option<u64> {
    let root = Path::new("/");
    let limits = [getrlimit(Resource::As).current, of_machine(root), of_groups(root)];
    limits.into_iter().flatten().min()
}

/// The memory that the machine has, by `proc/meminfo` under `root`.
fn of_machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of the groups that this process is in; everything is looked up under `root`.
fn of_groups(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let mounted = root.join("sys/fs/cgroup");
        match controllers {
            "" => least(&mounted, group, "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                least(&mounted.join("memory"), group, "memory.limit_in_bytes")
            }
            _ => None,
        }
    });
    limits.min()
}

/// The least number in the files of this name from a group up to where groups are mounted.
fn least(mounted: &Path, group: &str, file: &str) -> Option<u64> {
    let mut folder = mounted.to_path_buf();
    let read = |folder: &Path| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    let mut least: Option<u64> = read(&folder);
    for part in Path::new(group).components() {
        if let Component::Normal(part) = part {
            folder.push(part);
            least = least.into_iter().chain(read(&folder)).min();
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files under a root of their own, and the limit found there.
    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(of_groups(root.path()), expected, "{files:?}");
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let own = "proc/self/cgroup";
        let (top, middle, low) = (
            "sys/fs/cgroup/memory.max",
            "sys/fs/cgroup/a/memory.max",
            "sys/fs/cgroup/a/b/memory.max",
        );
        check(&[], None);
        check(&[(own, "0::/a/b\n")], None);
        check(&[(own, "0::/a/b\n"), (low, "max\n")], None);
        check(&[(own, "0::/a/b\n"), (low, "4096\n")], Some(4096));
        check(
            &[(own, "0::/a/b\n"), (low, "max\n"), (middle, "8192\n"), (top, "9000\n")],
            Some(8192),
        );
        check(&[(own, "0::/a/b\n"), (low, "4096\n"), (middle, "2048\n")], Some(2048));
        // In a container whose groups are mounted as if they were all there are.
        check(&[(own, "0::/\n"), (top, "4096\n")], Some(4096));
        check(&[(own, "0::/elsewhere/x\n"), (top, "4096\n")], Some(4096));
        check(&[(own, "0::/../../a\n"), (middle, "4096\n"), ("memory.max", "1\n")], Some(4096));
        check(&[(own, "nonsense\n:::\n0::/a\n"), (middle, "-5\n"), (top, "\n")], None);
    }

    #[test]
    fn groups_of_the_first_version_count_too() {
        let own = ("proc/self/cgroup", "9:name=systemd:/a\n4:cpu,memory:/a:b\n0::/\n");
        let low = "sys/fs/cgroup/memory/a:b/memory.limit_in_bytes";
        let top = "sys/fs/cgroup/memory/memory.limit_in_bytes";
        check(&[own, (low, "4096\n"), (top, "9223372036854771712\n")], Some(4096));
        check(&[own, (top, "5000\n")], Some(5000));
        check(&[own, ("sys/fs/cgroup/memory.max", "3000\n"), (top, "5000\n")], Some(3000));
    }

    #[test]
    fn the_machine_has_what_it_says() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(of_machine(root.path()), None);
        fs::create_dir(root.path().join("proc")).unwrap();
        for (text, expected) in [
            ("MemTotal:        2048 kB\nMemFree:  1 kB\n", Some(2 << 20)),
            ("MemFree:  1 kB\n", None),
            ("MemTotal: x kB\n", None),
            ("MemTotal: 18446744073709551615 kB\n", None),
        ] {
            fs::write(root.path().join("proc/meminfo"), text).unwrap();
            assert_eq!(of_machine(root.path()), expected, "{text}");
        }
    }

    #[test]
    fn this_machine_has_a_limit() {
        assert!(bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
