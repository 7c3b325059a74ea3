//! The meter: what a guest may not have, it does not get, and what it gives back it may have again.

use super::guest::{CREATE, DATA, DIRECTORY, EXCLUSIVE, Guest, OUT, ROOT, TRUNCATE, VECS};
use crate::{Errno, Input, Output};
use crate::{calls, unstable};
use std::fs;
use std::sync::Arc;
use wasmoor_host::{Limits, MemoryOutput, Meter, Resource, Rights};

fn guest(resource: Resource, max: u64) -> (Guest, Arc<Limits>) {
    let limits = Arc::new(Limits::new().with(resource, max));
    let guest = Guest::with(|builder| {
        builder.meter(limits.clone() as Arc<dyn Meter>);
        builder.stdout(Output::memory(&MemoryOutput::new(1000)));
    });
    (guest, limits)
}

#[test]
fn open_files() {
    // The standard streams and the mount take four.
    let (mut guest, limits) = guest(Resource::OpenFiles, 7);
    let opened: Vec<u32> =
        (0..3).map(|index| guest.open(&format!("file{index}"), CREATE).unwrap()).collect();
    assert_eq!(guest.open("more", CREATE), Err(Errno::Mfile));
    assert!(!guest.host_path("more").exists());
    for _ in 0..100 {
        guest.close(opened[1]).unwrap();
        assert_eq!(guest.open("file1", 0), Ok(opened[1]));
        assert_eq!(guest.open("missing", 0), Err(Errno::Mfile));
    }
    guest.close(opened[0]).unwrap();
    assert_eq!(guest.open("missing", 0), Err(Errno::NoEnt));
    assert_eq!(limits.left(Resource::OpenFiles), 1);
    drop(guest);
    assert_eq!(limits.left(Resource::OpenFiles), 7);
}

#[test]
fn output() {
    let (mut guest, limits) = guest(Resource::OutputBytes, 10);
    fs::write(guest.host_path("file"), "").unwrap();
    let fd = guest.open("file", CREATE).unwrap();
    assert_eq!(guest.write(fd, b"12345"), Ok(5));
    assert_eq!(guest.write(1, b"abc"), Ok(3));
    assert_eq!(guest.write(fd, b"67890"), Ok(2));
    assert_eq!(guest.write(fd, b"x"), Err(Errno::NoSpc));
    assert_eq!(guest.write(1, b"x"), Err(Errno::NoSpc));
    assert_eq!(guest.write(fd, b""), Ok(0));
    assert_eq!(guest.call(|c, m| calls::fd_allocate(c, m, fd, 0, 1)), Err(Errno::NoSpc));
    assert_eq!(fs::read(guest.host_path("file")).unwrap(), b"1234567");
    assert_eq!(limits.left(Resource::OutputBytes), 0);
}

const NAME: u64 = wasmoor_host::limits::NAME_BYTES;

/// What each way to put something on the disk costs, and that it fails, with nothing done, when one
/// byte less is left.
#[test]
fn names_links_and_sizes_are_output() {
    type Do = fn(&mut Guest) -> calls::Result<()>;
    let cases: [(&str, u64, Do); 15] = [
        ("create", NAME, |g| g.open("new", CREATE).map(drop)),
        ("create, exclusively", NAME, |g| g.open("new", CREATE | EXCLUSIVE).map(drop)),
        ("create through a link", NAME, |g| g.open("dangling", CREATE).map(drop)),
        ("open what is there", 0, |g| g.open("file", CREATE).map(drop)),
        ("open through a link", 0, |g| g.open("link", CREATE | TRUNCATE).map(drop)),
        ("directory", NAME, |g| {
            g.on_path("new", |c, m, path, len| calls::path_create_directory(c, m, ROOT, path, len))
        }),
        ("symbolic link", NAME + 11, |g| {
            g.on_paths(["01234567890", "new"], |c, m, [text, text_len, path, len]| {
                calls::path_symlink(c, m, text, text_len, ROOT, path, len)
            })
        }),
        ("hard link", NAME, |g| {
            g.on_paths(["file", "new"], |c, m, [old, old_len, path, len]| {
                calls::path_link(c, m, ROOT, 0, old, old_len, ROOT, path, len)
            })
        }),
        ("rename", 0, |g| {
            g.on_paths(["file", "new"], |c, m, [old, old_len, path, len]| {
                calls::path_rename(c, m, ROOT, old, old_len, ROOT, path, len)
            })
        }),
        ("longer", 90, |g| on_file(g, |c, m, fd| calls::fd_filestat_set_size(c, m, fd, 100))),
        ("shorter", 0, |g| on_file(g, |c, m, fd| calls::fd_filestat_set_size(c, m, fd, 5))),
        ("reserved", 30, |g| on_file(g, |c, m, fd| calls::fd_allocate(c, m, fd, 0, 30))),
        ("reserved far away", 1020, |g| {
            on_file(g, |c, m, fd| calls::fd_allocate(c, m, fd, 1000, 30))
        }),
        ("written far away", 990 + 3, |g| {
            let fd = g.open("file", 0)?;
            g.put(DATA, b"abc");
            g.put_vec(3);
            g.call(|c, m| calls::fd_pwrite(c, m, fd, VECS, 1, 1000, OUT))
        }),
        ("written behind a seek", 990 + 3, |g| {
            let fd = g.open("file", 0)?;
            g.call(|c, m| calls::fd_seek(c, m, fd, 1000, 0, OUT))?;
            g.write(fd, b"abc").map(drop)
        }),
    ];
    for (name, cost, work) in cases {
        for left in [cost, cost.saturating_sub(1)] {
            let (mut guest, limits) = guest(Resource::OutputBytes, left);
            fs::write(guest.host_path("file"), "0123456789").unwrap();
            std::os::unix::fs::symlink("new", guest.host_path("dangling")).unwrap();
            std::os::unix::fs::symlink("file", guest.host_path("link")).unwrap();
            let result = work(&mut guest);
            if left == cost {
                assert_eq!((result, limits.left(Resource::OutputBytes)), (Ok(()), 0), "{name}");
                continue;
            }
            // A write may be short by the byte that is missing.
            if result.is_err() {
                assert_eq!(result, Err(Errno::NoSpc), "{name}");
                assert!(!guest.host_path("new").exists(), "{name}");
                assert_eq!(fs::metadata(guest.host_path("file")).unwrap().len(), 10, "{name}");
                assert_eq!(limits.left(Resource::OutputBytes), left, "{name}");
            } else {
                assert!(name.starts_with("written"), "{name}");
                assert_eq!(guest.size("file"), Ok(1002), "{name}");
            }
        }
    }
}

fn on_file(
    guest: &mut Guest,
    work: impl FnOnce(&crate::WasiCtx, &wasmoor_host::GuestMemory<'_>, u32) -> calls::Result,
) -> calls::Result {
    let fd = guest.open("file", 0)?;
    guest.call(|c, m| work(c, m, fd))
}

/// What fails for another reason costs nothing.
#[test]
fn failed_creations_are_free() {
    let (mut guest, limits) = guest(Resource::OutputBytes, 3 * NAME);
    fs::write(guest.host_path("file"), "").unwrap();
    fs::create_dir(guest.host_path("dir")).unwrap();
    assert_eq!(guest.open("file", CREATE | EXCLUSIVE), Err(Errno::Exist));
    assert_eq!(guest.open("dir", CREATE), Err(Errno::IsDir));
    assert_eq!(guest.open("new", CREATE | DIRECTORY), Err(Errno::Inval));
    assert_eq!(guest.open("absent/new", CREATE), Err(Errno::NoEnt));
    let made =
        guest.on_path("dir", |c, m, path, len| calls::path_create_directory(c, m, ROOT, path, len));
    assert_eq!(made, Err(Errno::Exist));
    assert_eq!(limits.left(Resource::OutputBytes), 3 * NAME);
}

#[test]
fn failed_writes_are_free() {
    let (mut guest, limits) = guest(Resource::OutputBytes, 10);
    fs::write(guest.host_path("file"), "").unwrap();
    let reads = guest.open_with(ROOT, "file", [0; 3], Rights::FD_READ).unwrap();
    for _ in 0..10 {
        assert_eq!(guest.write(reads, b"12345"), Err(Errno::Badf));
        assert_eq!(guest.write(0, b"12345"), Ok(5), "the null stream takes anything");
        limits.release(Resource::OutputBytes, 5);
    }
    assert_eq!(limits.left(Resource::OutputBytes), 10);
}

#[test]
fn host_memory() {
    let (mut guest, limits) = guest(Resource::HostBytes, 1000);
    assert_eq!(
        guest.call(|c, m| calls::poll_oneoff(c, m, 0, 0x8000, 1000, OUT)),
        Err(Errno::NoMem)
    );
    // The older interface has no way around.
    assert_eq!(
        guest.call(|c, m| unstable::poll_oneoff(c, m, 0, 0x8000, 1000, OUT)),
        Err(Errno::NoMem)
    );
    let dir = guest.open_with(ROOT, ".", [0, DIRECTORY, 0], Rights::DIRECTORY).unwrap();
    let listed = guest.call(|c, m| calls::fd_readdir(c, m, dir, 0x4000, 1000, 0, OUT));
    assert_eq!(listed, Err(Errno::NoMem));
    assert_eq!(limits.left(Resource::HostBytes), 1000);
}

#[test]
fn listings_that_are_dropped_cost_nothing() {
    let (mut guest, limits) = guest(Resource::HostBytes, 200_000);
    for index in 0..100 {
        fs::write(guest.host_path(format!("file{index}")), "").unwrap();
    }
    for _ in 0..50 {
        let dir = guest.open_with(ROOT, ".", [0, DIRECTORY, 0], Rights::DIRECTORY).unwrap();
        guest.call(|c, m| calls::fd_readdir(c, m, dir, 0x4000, 200, 0, OUT)).unwrap();
        assert!(limits.left(Resource::HostBytes) < 200_000);
        guest.close(dir).unwrap();
        assert_eq!(limits.left(Resource::HostBytes), 200_000);
    }
}

/// The largest write of a guest: its list is as long as the kernel takes, each vector nearly all of
/// its memory. No stream allocates for it.
#[test]
fn huge_writes_allocate_nothing() {
    const VECTORS: u32 = 1024;
    const EACH: u32 = 0xc000;
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    };
    let printed = MemoryOutput::new(1000);
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| {
        builder.stdin(Input::Closed).stdout(Output::memory(&printed));
        builder.stderr(Output::File(writer.into()));
    });
    const NONBLOCK: u32 = 4;
    guest.call(|c, m| calls::fd_fdstat_set_flags(c, m, 2, NONBLOCK)).unwrap();
    let list = 0xd000u32;
    let before = peak();
    let write = |guest: &mut Guest, fd| {
        for vector in 0..VECTORS {
            guest.put(list + vector * 8, &0u32.to_le_bytes());
            guest.put(list + vector * 8 + 4, &EACH.to_le_bytes());
        }
        let done = guest.call(|c, m| calls::fd_write(c, m, fd, list, VECTORS, 0xfff0));
        done.map(|()| guest.u32_at(0xfff0))
    };
    assert_eq!(write(&mut guest, 0), Err(Errno::Badf), "closed");
    assert_eq!(write(&mut Guest::new(), 1), Ok(VECTORS * EACH), "the null stream");
    let file = guest.open("file", CREATE).unwrap();
    assert_eq!(write(&mut guest, 1), Ok(1000), "a stream of the embedder, until it is full");
    assert_eq!(write(&mut guest, 1), Err(Errno::NoSpc));
    assert!(write(&mut guest, 2).is_ok_and(|bytes| bytes < 1 << 20), "a pipe takes a part");
    assert_eq!(write(&mut guest, file), Ok(VECTORS * EACH));
    // Other tests of this process may run at the same time under another runner.
    assert!(peak() < before + (16 << 20), "{before} became {}", peak());
}
