//! Structures in guest memory: every byte of them is written, and none beside them.

use super::guest::{CREATE, FOLLOW, Guest, OUT, PATH, ROOT};
use crate::calls::{self, Result};
use crate::{WasiCtx, unstable};
use std::fs;
use wasmoor_host::{FixedClocks, GuestMemory};

type Fill = fn(&WasiCtx, &GuestMemory<'_>) -> Result;

const FILE: u32 = ROOT + 1;

/// Calls with the size of what they write to `OUT`.
const CALLS: &[(&str, u32, Fill)] = &[
    ("fdstat", 24, |c, m| calls::fd_fdstat_get(c, m, FILE, OUT)),
    ("fdstat of a stream", 24, |c, m| calls::fd_fdstat_get(c, m, 0, OUT)),
    ("filestat", 64, |c, m| calls::fd_filestat_get(c, m, FILE, OUT)),
    ("filestat of a stream", 64, |c, m| calls::fd_filestat_get(c, m, 1, OUT)),
    ("filestat by path", 64, |c, m| calls::path_filestat_get(c, m, ROOT, FOLLOW, PATH, 4, OUT)),
    ("old filestat", 56, |c, m| unstable::fd_filestat_get(c, m, FILE, OUT)),
    ("old filestat by path", 56, |c, m| {
        unstable::path_filestat_get(c, m, ROOT, FOLLOW, PATH, 4, OUT)
    }),
    ("prestat", 8, |c, m| calls::fd_prestat_get(c, m, ROOT, OUT)),
    ("name", 1, |c, m| calls::fd_prestat_dir_name(c, m, ROOT, OUT, 10)),
    ("time", 8, |c, m| calls::clock_time_get(c, m, 0, 0, OUT)),
    ("resolution", 8, |c, m| calls::clock_res_get(c, m, 1, OUT)),
    ("position", 8, |c, m| calls::fd_tell(c, m, FILE, OUT)),
];

fn guest(fill: u8) -> Guest {
    let mut guest = Guest::with(|builder| {
        builder.clocks(FixedClocks::new(77));
    });
    fs::write(guest.host_path("file"), "content").unwrap();
    guest.memory.fill(fill);
    assert_eq!(guest.open("file", 0), Ok(FILE));
    guest.memory.fill(fill);
    guest.put(PATH, b"file");
    guest
}

#[test]
fn every_byte_and_no_other() {
    for (name, size, call) in CALLS {
        let mut shown = Vec::new();
        let mut guest = guest(0);
        for fill in [0, 0xaa] {
            guest.memory.fill(fill);
            guest.put(PATH, b"file");
            assert_eq!(guest.call(call), Ok(()), "{name}");
            shown.push(guest.bytes(OUT, *size).to_vec());
            for (what, beside) in
                [("before", guest.bytes(OUT - 64, 64)), ("behind", guest.bytes(OUT + size, 64))]
            {
                assert!(beside.iter().all(|byte| *byte == fill), "{name}: {what}");
            }
        }
        assert_eq!(shown[0], shown[1], "{name} shows what was there before");
    }
}

#[test]
fn places_at_the_end_of_memory() {
    for (name, size, call) in CALLS {
        let mut guest = guest(0);
        let end = OUT + size;
        guest.memory.truncate(end as usize);
        // The name's buffer is longer than the name.
        if *name != "name" {
            assert_eq!(guest.call(call), Ok(()), "{name} fits exactly");
        }
        guest.memory.truncate(end as usize - 1);
        assert_eq!(guest.call(call), Err(crate::Errno::Fault), "{name} lacks a byte");
    }
}

#[test]
fn fields() {
    let mut guest = guest(0);
    let host = fs::metadata(guest.host_path("file")).unwrap();
    use std::os::unix::fs::MetadataExt;
    guest.call(|c, m| calls::fd_filestat_get(c, m, FILE, OUT)).unwrap();
    assert_eq!(guest.u64_at(OUT), host.dev());
    assert_eq!(guest.u64_at(OUT + 8), host.ino());
    assert_eq!(guest.memory[OUT as usize + 16], 4);
    assert_eq!((guest.u64_at(OUT + 24), guest.u64_at(OUT + 32)), (1, 7));
    let modified = host.mtime() as u64 * 1_000_000_000 + host.mtime_nsec() as u64;
    assert_eq!(guest.u64_at(OUT + 48), modified);
    guest.call(|c, m| unstable::fd_filestat_get(c, m, FILE, OUT)).unwrap();
    assert_eq!((guest.u32_at(OUT + 20), guest.u64_at(OUT + 24)), (1, 7));
    assert_eq!(guest.u64_at(OUT + 40), modified);
}

#[test]
fn seeks_of_both_interfaces() {
    let mut guest = guest(0);
    guest.call(|c, m| calls::fd_seek(c, m, FILE, 0, 2, OUT)).unwrap();
    assert_eq!(guest.u64_at(OUT), 7);
    guest.call(|c, m| unstable::fd_seek(c, m, FILE, 3, 2, OUT)).unwrap();
    assert_eq!(guest.u64_at(OUT), 3);
    guest.call(|c, m| unstable::fd_seek(c, m, FILE, 0, 1, OUT)).unwrap();
    assert_eq!(guest.u64_at(OUT), 7);
}

#[test]
fn arguments_and_environment() {
    let mut guest = Guest::with(|builder| {
        builder.args(["program", "", "two words"]);
        builder.env("A", "1").env("EMPTY", "").env("A", "2");
    });
    let _ = guest.open("unused", CREATE);
    guest.call(|c, m| calls::args_sizes_get(c, m, OUT, OUT + 4)).unwrap();
    assert_eq!((guest.u32_at(OUT), guest.u32_at(OUT + 4)), (3, 19));
    guest.call(|c, m| calls::args_get(c, m, OUT, PATH)).unwrap();
    assert_eq!(guest.bytes(PATH, 19), b"program\0\0two words\0");
    let pointers = [0, 4, 8].map(|at| guest.u32_at(OUT + at));
    assert_eq!(pointers, [PATH, PATH + 8, PATH + 9]);
    guest.call(|c, m| calls::environ_sizes_get(c, m, OUT, OUT + 4)).unwrap();
    assert_eq!((guest.u32_at(OUT), guest.u32_at(OUT + 4)), (2, 11));
    guest.call(|c, m| calls::environ_get(c, m, OUT, PATH)).unwrap();
    assert_eq!(guest.bytes(PATH, 11), b"A=2\0EMPTY=\0");
    for (pointers, buf) in [(0xffff, 0), (0, 0xffff), (u32::MAX, 0), (0, u32::MAX)] {
        let result = guest.call(|c, m| calls::args_get(c, m, pointers, buf));
        assert_eq!(result, Err(crate::Errno::Fault), "{pointers} {buf}");
    }
}

#[test]
fn ends() {
    let mut guest = Guest::new();
    let exit =
        |guest: &mut Guest, code| guest.call(|c, m| calls::proc_exit(c, m, code)).unwrap_err().code;
    assert_eq!((exit(&mut guest, 0), exit(&mut guest, u32::MAX)), (0, u32::MAX));
    let raise = |guest: &mut Guest, signal| guest.call(|c, m| calls::proc_raise(c, m, signal));
    assert_eq!(raise(&mut guest, 0), Ok(Ok(())));
    assert_eq!(raise(&mut guest, 6), Err(crate::Exit { code: 134 }));
    assert_eq!(raise(&mut guest, 18), Ok(Err(crate::Errno::NotSup)));
    assert_eq!(raise(&mut guest, 31), Ok(Err(crate::Errno::Inval)));
}
