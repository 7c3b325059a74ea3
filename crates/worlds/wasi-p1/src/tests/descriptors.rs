//! Reading, writing, seeking, attributes, rights and numbers.

use super::guest::{
    CREATE, DATA, FOLLOW, Guest, NOT_CAPABLE, OUT, ROOT, TRUNCATE, VECS, host_descriptors,
};
use crate::calls::{self, Result};
use crate::{Errno, Input, Output, WasiCtx};
use std::fs;
use wasmoor_host::{GuestMemory, MemoryOutput, Rights};

fn seek(guest: &mut Guest, fd: u32, offset: i64, whence: u32) -> Result<u64> {
    guest.call(|c, m| calls::fd_seek(c, m, fd, offset.cast_unsigned(), whence, OUT))?;
    Ok(guest.u64_at(OUT))
}

#[test]
fn a_file_is_written_and_read() {
    let mut guest = Guest::new();
    let fd = guest.open("file", CREATE).unwrap();
    assert_eq!(guest.write(fd, b"hello world"), Ok(11));
    for (offset, whence, expect) in [
        (0, 0, Ok(0)),
        (6, 0, Ok(6)),
        (-2, 1, Ok(4)),
        (-5, 2, Ok(6)),
        (5, 2, Ok(16)),
        (-17, 1, Err(Errno::Inval)),
        (-1, 0, Err(Errno::Inval)),
        (0, 3, Err(Errno::Inval)),
        (0, 1, Ok(16)),
        (6, 0, Ok(6)),
    ] {
        assert_eq!(seek(&mut guest, fd, offset, whence), expect, "{offset} {whence}");
    }
    assert_eq!(guest.read(fd, 100).unwrap(), b"world");
    assert_eq!(guest.read(fd, 100).unwrap(), b"");
    guest.call(|c, m| calls::fd_tell(c, m, fd, OUT)).unwrap();
    assert_eq!(guest.u64_at(OUT), 11);
    assert_eq!(fs::read(guest.host_path("file")).unwrap(), b"hello world");
}

#[test]
fn reading_and_writing_at_an_offset_leaves_the_position() {
    let mut guest = Guest::new();
    let fd = guest.open("file", CREATE).unwrap();
    guest.write(fd, b"0123456789").unwrap();
    guest.put(DATA, b"xyz");
    guest.put_vec(3);
    guest.call(|c, m| calls::fd_pwrite(c, m, fd, VECS, 1, 2, OUT)).unwrap();
    assert_eq!(guest.u32_at(OUT), 3);
    guest.put_vec(6);
    guest.call(|c, m| calls::fd_pread(c, m, fd, VECS, 1, 1, OUT)).unwrap();
    assert_eq!(guest.bytes(DATA, guest.u32_at(OUT)), b"1xyz56");
    assert_eq!(seek(&mut guest, fd, 0, 1), Ok(10));
    for offset in [1 << 63, u64::MAX] {
        let read = guest.call(|c, m| calls::fd_pread(c, m, fd, VECS, 1, offset, OUT));
        assert_eq!(read, Err(Errno::Inval));
        let write = guest.call(|c, m| calls::fd_pwrite(c, m, fd, VECS, 1, offset, OUT));
        assert_eq!(write, Err(Errno::Inval));
    }
}

#[test]
fn the_access_mode_follows_the_rights() {
    let mut guest = Guest::new();
    fs::write(guest.host_path("file"), "content").unwrap();
    let open = |guest: &mut Guest, rights| guest.open_with(ROOT, "file", [FOLLOW, 0, 0], rights);
    let reads = open(&mut guest, Rights::FD_READ).unwrap();
    assert_eq!(guest.write(reads, b"x"), Err(Errno::Badf));
    assert_eq!(guest.read(reads, 7).unwrap(), b"content");
    let writes = open(&mut guest, Rights::FD_WRITE).unwrap();
    assert_eq!(guest.read(writes, 7), Err(Errno::Badf));
    assert_eq!(guest.write(writes, b"C"), Ok(1));
    let none = open(&mut guest, Rights::empty()).unwrap();
    assert_eq!(guest.write(none, b"x"), Err(Errno::Badf));
    assert_eq!(fs::read(guest.host_path("file")).unwrap(), b"Content");
}

#[test]
fn rights_given_up_are_gone() {
    type Use = fn(&WasiCtx, &GuestMemory<'_>, u32) -> Result;
    let uses: &[(Rights, Use)] = &[
        (Rights::FD_DATASYNC, |c, m, fd| calls::fd_datasync(c, m, fd)),
        (Rights::FD_READ, |c, m, fd| calls::fd_read(c, m, fd, VECS, 1, OUT)),
        (Rights::FD_SEEK, |c, m, fd| calls::fd_seek(c, m, fd, 1, 0, OUT)),
        (Rights::FD_SEEK, |c, m, fd| calls::fd_pread(c, m, fd, VECS, 1, 0, OUT)),
        (Rights::FD_FDSTAT_SET_FLAGS, |c, m, fd| calls::fd_fdstat_set_flags(c, m, fd, 0)),
        (Rights::FD_SYNC, |c, m, fd| calls::fd_sync(c, m, fd)),
        (Rights::FD_TELL | Rights::FD_SEEK, |c, m, fd| calls::fd_tell(c, m, fd, OUT)),
        (Rights::FD_WRITE, |c, m, fd| calls::fd_write(c, m, fd, VECS, 1, OUT)),
        (Rights::FD_WRITE, |c, m, fd| calls::fd_pwrite(c, m, fd, VECS, 1, 0, OUT)),
        (Rights::FD_ADVISE, |c, m, fd| calls::fd_advise(c, m, fd, 0, 0, 0)),
        (Rights::FD_ALLOCATE, |c, m, fd| calls::fd_allocate(c, m, fd, 0, 10)),
        (Rights::FD_FILESTAT_GET, |c, m, fd| calls::fd_filestat_get(c, m, fd, OUT)),
        (Rights::FD_FILESTAT_SET_SIZE, |c, m, fd| calls::fd_filestat_set_size(c, m, fd, 1)),
        (Rights::FD_FILESTAT_SET_TIMES, |c, m, fd| calls::fd_filestat_set_times(c, m, fd, 1, 1, 5)),
    ];
    for (right, call) in uses {
        let mut guest = Guest::new();
        let fd = guest.open("file", CREATE).unwrap();
        guest.put_vec(1);
        assert_eq!(guest.call(|c, m| call(c, m, fd)), Ok(()), "{right:?} before");
        let (_, _, rights, inheriting) = guest.fdstat(fd).unwrap();
        let set = |guest: &mut Guest, rights: Rights| {
            let (rights, inheriting) = (rights.bits(), inheriting.bits());
            guest.call(|c, m| calls::fd_fdstat_set_rights(c, m, fd, rights, inheriting))
        };
        assert_eq!(set(&mut guest, rights - *right), Ok(()));
        assert_eq!(guest.call(|c, m| call(c, m, fd)), NOT_CAPABLE, "{right:?} after");
        assert_eq!(set(&mut guest, rights), NOT_CAPABLE, "{right:?} again");
        assert_eq!(guest.fdstat(fd).unwrap().2, rights - *right);
    }
}

#[test]
fn what_is_opened_inherits_the_loss() {
    let mut guest = Guest::new();
    let (_, _, rights, inheriting) = guest.fdstat(ROOT).unwrap();
    let fewer = (inheriting - Rights::FD_WRITE).bits();
    guest.call(|c, m| calls::fd_fdstat_set_rights(c, m, ROOT, rights.bits(), fewer)).unwrap();
    let fd = guest.open("file", CREATE).unwrap();
    assert_eq!(guest.write(fd, b"x"), Err(Errno::NotCapable));
    assert!(!guest.fdstat(fd).unwrap().2.contains(Rights::FD_WRITE));
}

#[test]
fn flags() {
    const APPEND: u32 = 1;
    const NONBLOCK: u32 = 4;
    const SYNC: u32 = 16;
    let mut guest = Guest::new();
    let set = |guest: &mut Guest, fd, flags| {
        guest.call(|c, m| calls::fd_fdstat_set_flags(c, m, fd, flags))
    };
    let fd = guest.open_with(ROOT, "file", [0, CREATE, APPEND], Rights::FILE).unwrap();
    guest.write(fd, b"one").unwrap();
    seek(&mut guest, fd, 0, 0).unwrap();
    guest.write(fd, b"two").unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().1, 1);
    assert_eq!(set(&mut guest, fd, NONBLOCK), Ok(()));
    assert_eq!(guest.fdstat(fd).unwrap().1, 4);
    seek(&mut guest, fd, 0, 0).unwrap();
    guest.write(fd, b"ONE").unwrap();
    assert_eq!(fs::read(guest.host_path("file")).unwrap(), b"ONEtwo");
    assert_eq!(set(&mut guest, fd, SYNC), Err(Errno::NotSup));
    for unknown in [32, 1 << 16, u32::MAX] {
        assert_eq!(set(&mut guest, fd, unknown), Err(Errno::Inval), "{unknown}");
    }
    let synced = guest.open_with(ROOT, "file", [0, 0, SYNC], Rights::FILE).unwrap();
    assert_eq!(guest.fdstat(synced).unwrap().1 & 16, 16);
}

#[test]
fn sizes() {
    let mut guest = Guest::new();
    let fd = guest.open("file", CREATE).unwrap();
    let set = |guest: &mut Guest, fd, size| {
        guest.call(|c, m| calls::fd_filestat_set_size(c, m, fd, size))
    };
    let allocate = |guest: &mut Guest, fd, offset, len| {
        guest.call(|c, m| calls::fd_allocate(c, m, fd, offset, len))
    };
    assert_eq!(set(&mut guest, fd, 100), Ok(()));
    assert_eq!(guest.size("file"), Ok(100));
    assert_eq!(allocate(&mut guest, fd, 50, 100), Ok(()));
    assert_eq!(guest.size("file"), Ok(150));
    assert_eq!(allocate(&mut guest, fd, 0, 10), Ok(()));
    assert_eq!(guest.size("file"), Ok(150));
    for (offset, len, errno) in [
        (0, 0, Errno::Inval),
        (u64::MAX, 1, Errno::Fbig),
        (1, u64::MAX, Errno::Fbig),
        (1 << 63, 1, Errno::Fbig),
    ] {
        assert_eq!(allocate(&mut guest, fd, offset, len), Err(errno), "{offset} {len}");
    }
    assert_eq!(set(&mut guest, fd, u64::MAX), Err(Errno::Fbig));
    for stream in [0, 1, 2] {
        assert!(set(&mut guest, stream, 10_000_000_000).is_err());
        assert!(allocate(&mut guest, stream, 0, 10_000_000_000).is_err());
    }
    guest.open("file", TRUNCATE).unwrap();
    assert_eq!(guest.size("file"), Ok(0));
}

#[test]
fn times_of_any_kind() {
    let mut guest = Guest::new();
    let fd = guest.open("file", CREATE).unwrap();
    let second = 1_000_000_000;
    for time in [0, 1, second - 1, second, 1 << 62, u64::MAX - 1, u64::MAX] {
        for flags in 0..32 {
            let by_fd =
                guest.call(|c, m| calls::fd_filestat_set_times(c, m, fd, time, time, flags));
            let by_path = guest.on_path("file", |c, m, path, len| {
                calls::path_filestat_set_times(c, m, ROOT, 0, path, len, time, time, flags)
            });
            let contradicts = flags & 3 == 3 || flags & 12 == 12 || flags > 15;
            assert_eq!(by_fd == Err(Errno::Inval), contradicts, "{time} {flags:b}: {by_fd:?}");
            assert_eq!(by_path, by_fd, "{time} {flags:b}");
        }
    }
    guest.call(|c, m| calls::fd_filestat_set_times(c, m, fd, 5 * second, 7, 5)).unwrap();
    guest.call(|c, m| calls::fd_filestat_get(c, m, fd, OUT)).unwrap();
    assert_eq!((guest.u64_at(OUT + 40), guest.u64_at(OUT + 48)), (5 * second, 7));
}

#[test]
fn files_of_any_age() {
    let mut guest = Guest::new();
    for (name, seconds, expect) in [
        ("1901", -2_147_483_648, 0),
        ("1969", -1, 0),
        ("2446", 15_032_385_535, 15_032_385_535_000_000_000),
    ] {
        let file = fs::File::create(guest.host_path(name)).unwrap();
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::futimens(&file, &times).unwrap();
        let kept = rustix::fs::fstat(&file).unwrap().st_mtime;
        guest.size(name).unwrap();
        // The file system may keep another time than it was told.
        if kept == seconds {
            assert_eq!(guest.u64_at(OUT + 48), expect, "{name}");
        }
        let fd = guest.open(name, 0).unwrap();
        assert_eq!(guest.call(|c, m| calls::fd_filestat_get(c, m, fd, OUT)), Ok(()));
    }
}

#[test]
fn renumber_moves_and_closes() {
    let mut guest = Guest::new();
    let first = guest.open("first", CREATE).unwrap();
    let second = guest.open("second", CREATE).unwrap();
    let renumber =
        |guest: &mut Guest, from, to| guest.call(|c, m| calls::fd_renumber(c, m, from, to));
    assert_eq!(renumber(&mut guest, first, second), Ok(()));
    assert_eq!(guest.write(first, b"x"), Err(Errno::Badf));
    guest.write(second, b"first").unwrap();
    assert_eq!(fs::read(guest.host_path("first")).unwrap(), b"first");
    for (from, to) in [(first, second), (second, first), (second, 1000), (u32::MAX, 0)] {
        assert_eq!(renumber(&mut guest, from, to), Err(Errno::Badf), "{from} {to}");
    }
    assert_eq!(renumber(&mut guest, second, second), Ok(()));
    assert_eq!(renumber(&mut guest, second, 1), Ok(()));
    guest.write(1, b"!").unwrap();
    assert_eq!(fs::read(guest.host_path("first")).unwrap(), b"first!");
}

/// Rounds of four opens each, two of which fail: `WASMOOR_LEAK_ROUNDS`, else a million opens.
fn rounds() -> u64 {
    std::env::var("WASMOOR_LEAK_ROUNDS").map_or(250_000, |rounds| rounds.parse().unwrap())
}

/// Memory of this process, in which other tests may run; at most a few MiB are theirs.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}

#[test]
fn a_million_opens_leave_nothing() {
    let mut guest = Guest::new();
    fs::write(guest.host_path("file"), "x").unwrap();
    let keep = guest.open("file", 0).unwrap();
    let round = |guest: &mut Guest| {
        let fd = guest.open("file", 0).unwrap();
        guest.call(|c, m| calls::fd_renumber(c, m, fd, keep)).unwrap();
        let fd = guest.open("file", 0).unwrap();
        guest.close(fd).unwrap();
        guest.open("missing", 0).unwrap_err();
        guest.open("../file", CREATE).unwrap_err();
    };
    round(&mut guest);
    let (before, left) = (host_descriptors(), guest.ctx.core().table.len());
    let memory_before = resident_bytes();
    for _ in 0..rounds() {
        round(&mut guest);
    }
    assert_eq!(guest.ctx.core().table.len(), left);
    let memory = resident_bytes();
    assert!(memory < memory_before + (16 << 20), "{memory_before} bytes became {memory}");
    // Other tests of the same process may run at the same time.
    assert!(host_descriptors() < before + 1000);
}

#[test]
fn standard_streams() {
    let printed = MemoryOutput::new(1000);
    let mut guest = Guest::with(|builder| {
        builder.stdin(Input::bytes("question")).stdout(Output::memory(&printed));
        builder.stderr(Output::Closed);
    });
    assert_eq!(guest.read(0, 5).unwrap(), b"quest");
    assert_eq!(guest.read(0, 50).unwrap(), b"ion");
    assert_eq!(guest.read(0, 50).unwrap(), b"");
    assert_eq!(guest.write(1, b"answer"), Ok(6));
    assert_eq!(printed.contents(), b"answer");
    assert_eq!(guest.write(2, b"x"), Err(Errno::Badf));
    assert_eq!(guest.write(0, b"x"), Err(Errno::Badf));
    assert_eq!(guest.read(1, 1), Err(Errno::Badf));
    assert_eq!(seek(&mut guest, 1, 0, 0), Err(Errno::Spipe));
    // As in POSIX the next file takes the closed stream's number.
    assert_eq!(guest.open("file", CREATE), Ok(2));
}

#[test]
fn streams_of_files_and_pipes() {
    let (reader, writer) = std::io::pipe().unwrap();
    let file = tempfile::tempfile().unwrap();
    let mut guest = Guest::with(|builder| {
        builder.stdin(Input::File(reader.into())).stdout(Output::File(writer.into()));
        builder.stderr(Output::File(file.try_clone().unwrap().into()));
    });
    guest.write(1, b"through a pipe").unwrap();
    assert_eq!(guest.read(0, 100).unwrap(), b"through a pipe");
    assert_eq!(seek(&mut guest, 0, 0, 1), Err(Errno::Spipe));
    assert!(!guest.fdstat(0).unwrap().2.contains(Rights::FD_SEEK));
    // Non-blocking: an empty pipe is no reason to wait.
    guest.call(|c, m| calls::fd_fdstat_set_flags(c, m, 0, 4)).unwrap();
    assert_eq!(guest.read(0, 1), Err(Errno::Again));
    guest.write(2, b"log").unwrap();
    assert_eq!(file.metadata().unwrap().len(), 3);
    guest.close(0).unwrap();
    assert_eq!(guest.write(1, b"x"), Err(Errno::Pipe));
}

#[test]
fn functions_as_streams() {
    let mut guest = Guest::with(|builder| {
        builder.stdin(Input::function(|bytes| {
            bytes.fill(b'z');
            Ok(bytes.len().min(3))
        }));
        builder.stdout(Output::function(|bytes| Ok(bytes.len().min(2))));
        builder.stderr(Output::function(|_| Err(std::io::ErrorKind::BrokenPipe.into())));
    });
    assert_eq!(guest.read(0, 10).unwrap(), b"zzz");
    assert_eq!(guest.write(1, b"abcdef"), Ok(2));
    assert_eq!(guest.write(2, b"abcdef"), Err(Errno::Pipe));
}

#[test]
fn advice() {
    let mut guest = Guest::new();
    let fd = guest.open("file", CREATE).unwrap();
    for how in 0..6 {
        assert_eq!(guest.call(|c, m| calls::fd_advise(c, m, fd, 0, 10, how)), Ok(()), "{how}");
    }
    assert_eq!(guest.call(|c, m| calls::fd_advise(c, m, fd, 0, 10, 6)), Err(Errno::Inval));
    let far = guest.call(|c, m| calls::fd_advise(c, m, fd, u64::MAX, u64::MAX, 0));
    assert_eq!(far, Err(Errno::Inval));
    assert_eq!(guest.call(|c, m| calls::fd_advise(c, m, ROOT, 0, 0, 0)), Err(Errno::Badf));
}
