//! A read-only mount stays as it is, whatever flags and rights are asked for.

use super::guest::{CREATE, DIRECTORY, FOLLOW, Guest, OUT, ROOT, TRUNCATE};
use crate::calls;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use wasmoor_host::Rights;

/// All that must not change.
fn facts(root: &Path) -> Vec<(u64, u64, i64, i64, i64, Vec<u8>)> {
    ["", "dir", "file", "dir/file"]
        .iter()
        .map(|name| {
            let path = root.join(name);
            let stat = fs::metadata(&path).unwrap();
            let content = fs::read(&path).unwrap_or_default();
            (stat.ino(), stat.nlink(), stat.mtime(), stat.mtime_nsec(), stat.ctime_nsec(), content)
        })
        .collect()
}

#[test]
fn every_way_to_open_and_change() {
    let mut guest = Guest::on_mount(true, |_| {});
    fs::create_dir(guest.host_path("dir")).unwrap();
    fs::write(guest.host_path("file"), "content").unwrap();
    fs::write(guest.host_path("dir/file"), "content").unwrap();
    let before = facts(guest.host.path());
    let mut opened = 0;
    for path in ["file", "dir", "dir/file", "new", "."] {
        for open_flags in 0..16 {
            for status in [0, 1, 4, 16, 31] {
                for rights in [
                    Rights::empty(),
                    Rights::FD_READ,
                    Rights::FD_WRITE,
                    Rights::FD_READ | Rights::FD_WRITE,
                    Rights::FD_ALLOCATE,
                    Rights::FD_FILESTAT_SET_SIZE,
                    Rights::all(),
                ] {
                    let flags = [FOLLOW, open_flags, status];
                    let Ok(fd) = guest.open_with(ROOT, path, flags, rights) else { continue };
                    opened += 1;
                    change(&mut guest, fd);
                    guest.close(fd).unwrap();
                }
            }
        }
    }
    assert!(opened > 50, "only {opened} opens succeeded");
    assert_eq!(facts(guest.host.path()), before);
    let (_, _, rights, inheriting) = guest.fdstat(ROOT).unwrap();
    assert!(!rights.intersects(Rights::CHANGES) && inheriting.contains(Rights::FD_WRITE));
}

/// Libraries ask for what the directory passes on and no more: a wish to write must arrive, or it
/// is granted as a wish to read, and the program loses what it writes later.
#[test]
fn opening_for_writing_is_refused_at_once() {
    let mut guest = Guest::on_mount(true, |_| {});
    fs::create_dir(guest.host_path("dir")).unwrap();
    for name in ["file", "dir/file"] {
        fs::write(guest.host_path(name), "content").unwrap();
    }
    let dir = guest.open_dir("dir").unwrap();
    let writing = Rights::FD_WRITE | Rights::FD_ALLOCATE | Rights::FD_FILESTAT_SET_SIZE;
    for fd in [ROOT, dir] {
        let (_, _, _, passed_on) = guest.fdstat(fd).unwrap();
        for wanted in [writing, writing | Rights::FD_READ] {
            for open_flags in [0, CREATE, TRUNCATE, CREATE | TRUNCATE] {
                let rights = wanted & passed_on;
                let opened = guest.open_with(fd, "file", [FOLLOW, open_flags, 0], rights);
                assert_eq!(opened, Err(crate::Errno::Rofs), "{fd} {wanted:?} {open_flags}");
            }
        }
        let reads = guest.open_with(fd, "file", [FOLLOW, 0, 0], Rights::FILE - writing).unwrap();
        let (_, _, rights, _) = guest.fdstat(reads).unwrap();
        assert!(!rights.intersects(Rights::CHANGES), "{rights:?}");
    }
}

/// All changes through a descriptor; none may succeed.
fn change(guest: &mut Guest, fd: u32) {
    guest.write(fd, b"changed").unwrap_err();
    for (what, result) in [
        ("size", guest.call(|c, m| calls::fd_filestat_set_size(c, m, fd, 1))),
        ("allocate", guest.call(|c, m| calls::fd_allocate(c, m, fd, 0, 100))),
        ("times", guest.call(|c, m| calls::fd_filestat_set_times(c, m, fd, 1, 1, 5))),
        ("now", guest.call(|c, m| calls::fd_filestat_set_times(c, m, fd, 0, 0, 10))),
        ("write at", guest.call(|c, m| calls::fd_pwrite(c, m, fd, 0, 0, 0, OUT))),
    ] {
        assert!(result.is_err(), "{what}");
    }
    let _ = guest.call(|c, m| calls::fd_advise(c, m, fd, 0, 0, 4));
    let _ = guest.call(|c, m| calls::fd_fdstat_set_flags(c, m, fd, 1));
    let _ = guest.call(|c, m| calls::fd_sync(c, m, fd));
}

#[test]
fn nothing_is_smuggled_into_a_writable_mount() {
    let other = tempfile::tempdir().unwrap();
    let mut guest = Guest::on_mount(true, |builder| {
        builder.preopen_dir(other.path(), "/other", false).unwrap();
    });
    fs::write(guest.host_path("file"), "content").unwrap();
    fs::create_dir(guest.host_path("dir")).unwrap();
    let before = fs::metadata(guest.host_path("file")).unwrap().nlink();
    for (from, to) in [(ROOT, ROOT + 1), (ROOT + 1, ROOT), (ROOT, ROOT)] {
        fs::write(other.path().join("file"), "other").unwrap();
        let link = guest.on_paths(["file", "linked"], |c, m, [old, old_len, new, new_len]| {
            calls::path_link(c, m, from, 0, old, old_len, to, new, new_len)
        });
        assert_eq!(link, Err(crate::Errno::Rofs), "link {from} {to}");
        let rename = guest.on_paths(["file", "moved"], |c, m, [old, old_len, new, new_len]| {
            calls::path_rename(c, m, from, old, old_len, to, new, new_len)
        });
        assert_eq!(rename, Err(crate::Errno::Rofs), "rename {from} {to}");
    }
    assert_eq!(fs::metadata(guest.host_path("file")).unwrap().nlink(), before);
    assert!(!other.path().join("linked").exists() && !other.path().join("moved").exists());
    // A directory below is as read-only as its mount.
    let dir = guest.open_with(ROOT, "dir", [0, DIRECTORY, 0], Rights::all() - Rights::FD_WRITE);
    let created = guest.open_with(dir.unwrap(), "new", [0, CREATE, 0], Rights::FD_WRITE);
    assert_eq!(created, Err(crate::Errno::Rofs));
}

#[test]
fn reading_works() {
    let mut guest = Guest::on_mount(true, |_| {});
    fs::write(guest.host_path("file"), "content").unwrap();
    // Programs create what is there already without meaning to write.
    let fd = guest.open_with(ROOT, "file", [0, CREATE, 0], Rights::FD_READ).unwrap();
    assert_eq!(guest.read(fd, 10).unwrap(), b"content");
    let missing = guest.open_with(ROOT, "new", [0, CREATE, 0], Rights::FD_READ);
    assert_eq!(missing, Err(crate::Errno::Rofs));
}
