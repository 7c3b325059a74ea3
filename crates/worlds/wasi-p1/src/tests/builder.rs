//! What an embedder can say, and what it is told when that is wrong.

use super::guest::{FOLLOW, Guest, OUT, PATH, ROOT};
use crate::calls;
use crate::{Errno, Output, WasiCtx};
use std::fs;
use std::sync::Arc;
use wasmoor_host::{GuestMemory, Limits, MemoryOutput, Resource, Rights};

#[test]
fn errors_name_what_is_wrong() {
    let arg = WasiCtx::builder().arg("ok").arg("b\0d").build().unwrap_err().to_string();
    assert!(arg.contains("argument 1"), "{arg}");
    for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
        let error = WasiCtx::builder().env(name, value).build().unwrap_err().to_string();
        assert!(error.contains("environment variable"), "{name:?} {value:?}: {error}");
    }
    let mount = WasiCtx::builder().preopen_dir("/no/such/folder", "/", false).map(|_| ());
    let error = mount.unwrap_err().to_string();
    assert!(error.contains("/no/such/folder"), "{error}");
    let limits = Arc::new(Limits::new().with(Resource::OpenFiles, 2));
    let error = WasiCtx::builder().meter(limits).build().unwrap_err().to_string();
    assert!(error.contains("open files"), "{error}");
}

#[test]
fn a_read_only_mount_in_a_writable_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let build = |outer_read_only| {
        let mut builder = WasiCtx::builder();
        builder.preopen_dir(folder.path(), "/a", outer_read_only).unwrap();
        builder.preopen_dir(folder.path().join("in"), "/a/in", true).unwrap();
        builder.build().map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(build(true), Ok(()));
    let error = build(false).unwrap_err();
    assert!(error.contains("`/a/in` is read-only") && error.contains("`/a`"), "{error}");
}

#[test]
fn nothing_is_granted_by_default() {
    let ctx = WasiCtx::builder().build().unwrap();
    let mut bytes = vec![0; 1 << 16];
    bytes[PATH as usize..][..1].copy_from_slice(b".");
    let memory = GuestMemory::from_slice(&mut bytes);
    for fd in 0..20 {
        assert_eq!(calls::fd_prestat_get(&ctx, &memory, fd, OUT), Err(Errno::Badf));
        let expect = Err(if fd < 3 { Errno::NotDir } else { Errno::Badf });
        for (what, result) in [
            ("open", calls::path_open(&ctx, &memory, fd, 0, PATH, 1, 0, 2, 0, 0, OUT)),
            ("stat", calls::path_filestat_get(&ctx, &memory, fd, 0, PATH, 1, OUT)),
            ("mkdir", calls::path_create_directory(&ctx, &memory, fd, PATH, 1)),
            ("unlink", calls::path_unlink_file(&ctx, &memory, fd, PATH, 1)),
            ("rmdir", calls::path_remove_directory(&ctx, &memory, fd, PATH, 1)),
            ("readlink", calls::path_readlink(&ctx, &memory, fd, PATH, 1, OUT, 1, OUT)),
            ("symlink", calls::path_symlink(&ctx, &memory, PATH, 1, fd, PATH, 1)),
            ("rename", calls::path_rename(&ctx, &memory, fd, PATH, 1, fd, PATH, 1)),
            ("link", calls::path_link(&ctx, &memory, fd, 0, PATH, 1, fd, PATH, 1)),
            ("times", { calls::path_filestat_set_times(&ctx, &memory, fd, 0, PATH, 1, 0, 0, 0) }),
        ] {
            assert_eq!(result, expect, "{what} at {fd}");
        }
    }
    assert_eq!(calls::environ_sizes_get(&ctx, &memory, OUT, OUT + 4), Ok(()));
    assert_eq!(memory.read_u64(OUT), Ok(0));
}

#[test]
fn an_inherited_folder_is_no_mount() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    let handle = fs::File::open(folder.path()).unwrap();
    let mut guest = Guest::with(|builder| {
        builder.stdout(Output::File(handle.into()));
    });
    for (path, flags) in [(".", 0), ("file", 0), ("..", FOLLOW)] {
        let opened = guest.open_with(1, path, [flags, 0, 0], Rights::FD_READ);
        assert_eq!(opened, Err(Errno::NotDir), "{path}");
    }
    let listed = guest.call(|c, m| calls::fd_readdir(c, m, 1, 0x4000, 1000, 0, OUT));
    assert_eq!(listed, Err(Errno::NotDir));
}

#[test]
fn several_mounts_nested_and_single_files() {
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("sub")).unwrap();
    fs::write(other.path().join("sub/inner"), "inner").unwrap();
    let read_only = tempfile::tempdir().unwrap();
    fs::write(read_only.path().join("config"), "config").unwrap();
    let mut guest = Guest::with(|builder| {
        builder.preopen_dir(other.path(), "/other", false).unwrap();
        builder.preopen_dir(other.path().join("sub/"), "/other/sub", false).unwrap();
        builder.preopen_dir(read_only.path().join("config"), "/other/config", true).unwrap();
        builder.preopen_dir(other.path(), ".", false).unwrap();
    });
    for (fd, name) in (ROOT..).zip(["/", "/other", "/other/sub", "/other/config", "."]) {
        guest.call(|c, m| calls::fd_prestat_get(c, m, fd, OUT)).unwrap();
        assert_eq!(guest.u64_at(OUT), (name.len() as u64) << 32, "{name}");
        let len = name.len() as u32;
        let short = guest.call(|c, m| calls::fd_prestat_dir_name(c, m, fd, OUT, len - 1));
        assert_eq!(short, Err(Errno::NameTooLong), "{name}");
        guest.call(|c, m| calls::fd_prestat_dir_name(c, m, fd, OUT, len)).unwrap();
        assert_eq!(guest.bytes(OUT, len), name.as_bytes());
        assert_eq!(guest.fdstat(fd).unwrap().0, 3, "{name}");
    }
    let none = guest.call(|c, m| calls::fd_prestat_get(c, m, ROOT + 5, OUT));
    assert_eq!(none, Err(Errno::Badf));
    let inner = guest.open_with(ROOT + 2, "inner", [0; 3], Rights::FD_READ).unwrap();
    assert_eq!(guest.read(inner, 10).unwrap(), b"inner");
    let config = guest.open_with(ROOT + 3, ".", [0; 3], Rights::FD_READ).unwrap();
    assert_eq!(guest.read(config, 10).unwrap(), b"config");
    for path in ["..", "config", "./", "../sub/inner"] {
        assert!(guest.open_with(ROOT + 3, path, [0; 3], Rights::FD_READ).is_err(), "{path}");
    }
    let locked = guest.open_with(ROOT + 3, ".", [0; 3], Rights::FILE);
    assert_eq!(locked, Err(Errno::Rofs));
    // A mounted file is nothing to read or list by itself.
    assert_eq!(guest.read(ROOT + 3, 1), Err(Errno::Badf));
    let listed = guest.call(|c, m| calls::fd_readdir(c, m, ROOT + 3, 0x4000, 1000, 0, OUT));
    assert_eq!(listed, Err(Errno::NotDir));
}

#[test]
fn the_host_may_rename_a_mount() {
    let outer = tempfile::tempdir().unwrap();
    fs::create_dir(outer.path().join("old")).unwrap();
    fs::write(outer.path().join("old/file"), "x").unwrap();
    let mut guest = Guest::with(|builder| {
        builder.preopen_dir(outer.path().join("old"), "/data", false).unwrap();
    });
    fs::rename(outer.path().join("old"), outer.path().join("new")).unwrap();
    let fd = guest.open_with(ROOT + 1, "file", [0; 3], Rights::FD_READ).unwrap();
    assert_eq!(guest.read(fd, 1).unwrap(), b"x");
}

#[test]
fn a_builder_is_used_up() {
    let buffer = MemoryOutput::new(10);
    let mut builder = WasiCtx::builder();
    builder.arg("one").stdout(Output::memory(&buffer));
    assert_eq!(builder.build().unwrap().args.len(), 1);
    assert_eq!(builder.build().unwrap().args.len(), 0);
}
