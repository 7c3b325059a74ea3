//! Calls on paths: what they do and how they fail.

use super::guest::{
    CREATE, DATA, DIRECTORY, EXCLUSIVE, FOLLOW, Guest, NOT_CAPABLE, OUT, ROOT, TRUNCATE,
};
use crate::calls::{self, Result};
use crate::{Errno, WasiCtx};
use std::fs;
use std::os::unix::fs::symlink;
use wasmoor_host::{GuestMemory, Rights};

fn tree() -> Guest {
    let guest = Guest::new();
    fs::create_dir_all(guest.host_path("dir/sub")).unwrap();
    fs::write(guest.host_path("file"), "content").unwrap();
    fs::write(guest.host_path("dir/file"), "inner").unwrap();
    symlink("file", guest.host_path("link")).unwrap();
    symlink("dir", guest.host_path("dirlink")).unwrap();
    symlink("missing", guest.host_path("dangling")).unwrap();
    symlink("loop", guest.host_path("loop")).unwrap();
    guest
}

#[test]
fn opening() {
    for (path, flags, expect) in [
        ("file", 0, None),
        ("./dir/../file", 0, None),
        ("link", 0, None),
        ("dirlink/file", 0, None),
        ("dangling", CREATE, None),
        ("new", CREATE | EXCLUSIVE, None),
        ("file", TRUNCATE, None),
        ("missing", 0, Some(Errno::NoEnt)),
        ("file", CREATE | EXCLUSIVE, Some(Errno::Exist)),
        ("dangling", CREATE | EXCLUSIVE, Some(Errno::Exist)),
        ("file/", 0, Some(Errno::NotDir)),
        ("file/x", 0, Some(Errno::NotDir)),
        ("file", DIRECTORY, Some(Errno::NotDir)),
        ("dir", 0, Some(Errno::IsDir)),
        ("new/", CREATE, Some(Errno::IsDir)),
        ("loop", 0, Some(Errno::Loop)),
        ("..", 0, Some(Errno::Perm)),
        ("/file", 0, Some(Errno::Perm)),
        ("dir/../../x", CREATE, Some(Errno::Perm)),
        ("", 0, Some(Errno::NoEnt)),
        ("fi\0le", 0, Some(Errno::Ilseq)),
        ("file", 16, Some(Errno::Inval)),
        ("file", u32::MAX, Some(Errno::Inval)),
    ] {
        let opened = tree().open(path, flags);
        assert_eq!(opened.err(), expect, "{path} {flags:b}");
    }
    let long = "x".repeat(256);
    assert_eq!(tree().open(&long, CREATE), Err(Errno::NameTooLong));
}

#[test]
fn not_following() {
    let mut guest = tree();
    for path in ["link", "dirlink", "dangling", "loop"] {
        let opened = guest.open_with(ROOT, path, [0; 3], Rights::FD_READ);
        assert_eq!(opened, Err(Errno::Loop), "{path}");
    }
    let opened = guest.open_with(ROOT, "file", [2, 0, 0], Rights::FD_READ);
    assert_eq!(opened, Err(Errno::Inval));
    // With a slash a link is followed all the same.
    let opened = guest.open_with(ROOT, "dirlink/", [0, DIRECTORY, 0], Rights::FD_READ);
    assert!(opened.is_ok());
}

#[test]
fn starting_elsewhere() {
    let mut guest = tree();
    let dir = guest.open_dir("dir").unwrap();
    let file = guest.open("file", 0).unwrap();
    let open = |guest: &mut Guest, fd, path: &str| {
        guest.open_with(fd, path, [FOLLOW, 0, 0], Rights::FD_READ)
    };
    assert!(open(&mut guest, dir, "file").is_ok());
    assert_eq!(open(&mut guest, dir, "../file"), Err(Errno::Perm));
    assert_eq!(open(&mut guest, file, "file"), Err(Errno::NotDir));
    assert_eq!(open(&mut guest, 1, "file"), Err(Errno::NotDir));
    assert_eq!(open(&mut guest, 99, "file"), Err(Errno::Badf));
    let data = guest.read(dir, 1);
    assert!(matches!(data, Err(Errno::IsDir | Errno::Badf)), "{data:?}");
}

type OnPath = fn(&WasiCtx, &GuestMemory<'_>, u32, u32) -> Result;

const MKDIR: OnPath = |c, m, path, len| calls::path_create_directory(c, m, ROOT, path, len);
const RMDIR: OnPath = |c, m, path, len| calls::path_remove_directory(c, m, ROOT, path, len);
const UNLINK: OnPath = |c, m, path, len| calls::path_unlink_file(c, m, ROOT, path, len);
const STAT: OnPath = |c, m, path, len| calls::path_filestat_get(c, m, ROOT, FOLLOW, path, len, OUT);
const LSTAT: OnPath = |c, m, path, len| calls::path_filestat_get(c, m, ROOT, 0, path, len, OUT);
const READLINK: OnPath =
    |c, m, path, len| calls::path_readlink(c, m, ROOT, path, len, DATA, 100, OUT);
const TOUCH: OnPath =
    |c, m, path, len| calls::path_filestat_set_times(c, m, ROOT, FOLLOW, path, len, 1, 1, 5);

#[test]
fn calls_on_one_path() {
    let table: &[(&str, OnPath, &str, Option<Errno>)] = &[
        ("mkdir", MKDIR, "new", None),
        ("mkdir", MKDIR, "new/", None),
        ("mkdir", MKDIR, "dirlink/new", None),
        ("mkdir", MKDIR, "dir", Some(Errno::Exist)),
        ("mkdir", MKDIR, "dangling", Some(Errno::Exist)),
        ("mkdir", MKDIR, "missing/new", Some(Errno::NoEnt)),
        ("mkdir", MKDIR, "file/new", Some(Errno::NotDir)),
        ("mkdir", MKDIR, "../new", Some(Errno::Perm)),
        ("mkdir", MKDIR, ".", Some(Errno::Exist)),
        ("rmdir", RMDIR, "dir/sub", None),
        ("rmdir", RMDIR, "dir/sub/", None),
        ("rmdir", RMDIR, "dir", Some(Errno::NotEmpty)),
        ("rmdir", RMDIR, "file", Some(Errno::NotDir)),
        ("rmdir", RMDIR, "dirlink", Some(Errno::NotDir)),
        ("rmdir", RMDIR, "dirlink/", Some(Errno::NotDir)),
        ("rmdir", RMDIR, "missing", Some(Errno::NoEnt)),
        ("rmdir", RMDIR, ".", Some(Errno::Inval)),
        ("rmdir", RMDIR, "..", Some(Errno::NotEmpty)),
        ("rmdir", RMDIR, "dir/sub/..", Some(Errno::NotEmpty)),
        ("unlink", UNLINK, "file", None),
        ("unlink", UNLINK, "link", None),
        ("unlink", UNLINK, "dangling", None),
        ("unlink", UNLINK, "dir", Some(Errno::IsDir)),
        ("unlink", UNLINK, "dir/", Some(Errno::IsDir)),
        ("unlink", UNLINK, "file/", Some(Errno::NotDir)),
        ("unlink", UNLINK, "dirlink/", Some(Errno::NotDir)),
        ("unlink", UNLINK, "missing/", Some(Errno::NoEnt)),
        ("unlink", UNLINK, "..", Some(Errno::IsDir)),
        ("stat", STAT, "link", None),
        ("stat", STAT, "dirlink/", None),
        ("stat", STAT, "dir/..", None),
        ("stat", STAT, ".", None),
        ("stat", STAT, "dangling", Some(Errno::NoEnt)),
        ("stat", STAT, "loop", Some(Errno::Loop)),
        ("stat", STAT, "file/", Some(Errno::NotDir)),
        ("stat", STAT, "..", Some(Errno::Perm)),
        ("lstat", LSTAT, "dangling", None),
        ("lstat", LSTAT, "loop", None),
        ("lstat", LSTAT, "dirlink/", None),
        ("lstat", LSTAT, "link/", Some(Errno::NotDir)),
        ("readlink", READLINK, "link", None),
        ("readlink", READLINK, "dangling", None),
        ("readlink", READLINK, "file", Some(Errno::Inval)),
        ("readlink", READLINK, "dirlink/", Some(Errno::Inval)),
        ("readlink", READLINK, "missing", Some(Errno::NoEnt)),
        ("readlink", READLINK, "..", Some(Errno::Perm)),
        ("touch", TOUCH, "file", None),
        ("touch", TOUCH, "link", None),
        ("touch", TOUCH, "dirlink/", None),
        ("touch", TOUCH, "dangling", Some(Errno::NoEnt)),
        ("touch", TOUCH, "..", Some(Errno::Perm)),
    ];
    for (name, call, path, expect) in table {
        assert_eq!(tree().on_path(path, call).err(), *expect, "{name} {path}");
    }
}

#[test]
fn links_are_read_and_cut() {
    let mut guest = tree();
    let read = |guest: &mut Guest, room: u32| {
        guest.on_path("dangling", |c, m, path, len| {
            calls::path_readlink(c, m, ROOT, path, len, DATA, room, OUT)
        })?;
        Result::Ok(guest.bytes(DATA, guest.u32_at(OUT)).to_vec())
    };
    assert_eq!(read(&mut guest, 100).unwrap(), b"missing");
    assert_eq!(read(&mut guest, 4).unwrap(), b"miss");
    assert_eq!(read(&mut guest, 0).unwrap(), b"");
    assert_eq!(read(&mut guest, 1 << 16), Err(Errno::Fault));
}

#[test]
fn touching_through_a_link_or_not() {
    let mut guest = tree();
    guest.on_path("link", TOUCH).unwrap();
    let modified = |guest: &Guest, path: &str| {
        use std::os::unix::fs::MetadataExt;
        fs::symlink_metadata(guest.host_path(path)).unwrap().mtime()
    };
    assert_eq!(modified(&guest, "file"), 0);
    assert_ne!(modified(&guest, "link"), 0);
    guest
        .on_path("link", |c, m, path, len| {
            calls::path_filestat_set_times(c, m, ROOT, 0, path, len, 1, 1, 5)
        })
        .unwrap();
    assert_eq!(modified(&guest, "link"), 0);
}

#[test]
fn calls_on_two_paths() {
    let rename = |guest: &mut Guest, paths: [&str; 2]| {
        guest.on_paths(paths, |c, m, [old, old_len, new, new_len]| {
            calls::path_rename(c, m, ROOT, old, old_len, ROOT, new, new_len)
        })
    };
    for (from, to, expect) in [
        ("file", "moved", None),
        ("file", "link", None),
        ("link", "moved", None),
        ("dir", "moved/", None),
        ("dir/", "moved", None),
        ("file", "file", None),
        ("missing", "moved", Some(Errno::NoEnt)),
        ("file", "dir", Some(Errno::IsDir)),
        ("dir", "file", Some(Errno::NotDir)),
        ("dir", "dir/sub/inner", Some(Errno::Inval)),
        ("file/", "moved", Some(Errno::NotDir)),
        ("file", "moved/", Some(Errno::NotDir)),
        ("dirlink/", "moved", Some(Errno::NotDir)),
        ("dir", "dirlink/", Some(Errno::NotDir)),
        ("file", "../moved", Some(Errno::Perm)),
        ("../x", "moved", Some(Errno::Perm)),
        (".", "moved", Some(Errno::Busy)),
        ("dir", "..", Some(Errno::Busy)),
    ] {
        assert_eq!(rename(&mut tree(), [from, to]).err(), expect, "rename {from} {to}");
    }
    let link = |guest: &mut Guest, flags, paths: [&str; 2]| {
        guest.on_paths(paths, |c, m, [old, old_len, new, new_len]| {
            calls::path_link(c, m, ROOT, flags, old, old_len, ROOT, new, new_len)
        })
    };
    for (from, to, expect) in [
        ("file", "linked", None),
        ("dangling", "linked", None),
        ("file", "link", Some(Errno::Exist)),
        ("dir", "linked", Some(Errno::Perm)),
        ("dir/", "linked", Some(Errno::Perm)),
        ("file/", "linked", Some(Errno::NotDir)),
        ("dirlink/", "linked", Some(Errno::NotDir)),
        ("file", "linked/", Some(Errno::NoEnt)),
        ("file", "dir/", Some(Errno::Exist)),
        ("missing", "linked", Some(Errno::NoEnt)),
        ("..", "linked", Some(Errno::Perm)),
        ("file", "../linked", Some(Errno::Perm)),
    ] {
        assert_eq!(link(&mut tree(), 0, [from, to]).err(), expect, "link {from} {to}");
    }
    assert_eq!(link(&mut tree(), FOLLOW, ["file", "linked"]), Err(Errno::Inval));
    let symlink = |guest: &mut Guest, paths: [&str; 2]| {
        guest.on_paths(paths, |c, m, [old, old_len, new, new_len]| {
            calls::path_symlink(c, m, old, old_len, ROOT, new, new_len)
        })
    };
    for (target, path, expect) in [
        ("file", "new", None),
        ("../outside", "new", None),
        ("missing/", "new", None),
        ("/etc/passwd", "new", Some(Errno::Perm)),
        ("", "new", Some(Errno::NoEnt)),
        ("a\0b", "new", Some(Errno::Ilseq)),
        ("file", "link", Some(Errno::Exist)),
        ("file", "dir/", Some(Errno::Exist)),
        ("file", "new/", Some(Errno::NoEnt)),
        ("file", "../new", Some(Errno::Perm)),
    ] {
        assert_eq!(symlink(&mut tree(), [target, path]).err(), expect, "symlink {target} {path}");
    }
}

#[test]
fn rights_of_a_directory_given_up() {
    let uses: &[(Rights, OnPath, &str)] = &[
        (Rights::PATH_CREATE_DIRECTORY, MKDIR, "new"),
        (Rights::PATH_REMOVE_DIRECTORY, RMDIR, "dir/sub"),
        (Rights::PATH_UNLINK_FILE, UNLINK, "file"),
        (Rights::PATH_FILESTAT_GET, STAT, "file"),
        (Rights::PATH_FILESTAT_SET_TIMES, TOUCH, "file"),
        (Rights::PATH_READLINK, READLINK, "link"),
    ];
    for (right, call, path) in uses {
        let mut guest = tree();
        let (_, _, rights, inheriting) = guest.fdstat(ROOT).unwrap();
        let fewer = (rights - *right).bits();
        let limit =
            guest.call(|c, m| calls::fd_fdstat_set_rights(c, m, ROOT, fewer, inheriting.bits()));
        assert_eq!(limit, Ok(()));
        assert_eq!(guest.on_path(path, call), NOT_CAPABLE, "{right:?}");
        let left = guest.open("file", 0);
        assert!(left.is_ok(), "{right:?} took more than itself: {left:?}");
    }
    for (right, flags) in [
        (Rights::PATH_OPEN, 0),
        (Rights::PATH_CREATE_FILE, CREATE),
        (Rights::PATH_FILESTAT_SET_SIZE, TRUNCATE),
    ] {
        let mut guest = tree();
        let (_, _, rights, inheriting) = guest.fdstat(ROOT).unwrap();
        let fewer = (rights - right).bits();
        guest
            .call(|c, m| calls::fd_fdstat_set_rights(c, m, ROOT, fewer, inheriting.bits()))
            .unwrap();
        assert_eq!(guest.open("file", flags), Err(Errno::NotCapable), "{right:?}");
    }
}
