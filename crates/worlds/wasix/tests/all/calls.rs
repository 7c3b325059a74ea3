//! Each call with what it answers: success, every error that it documents, and pointers at the end of
//! memory. A case is a row; its guest is made from the row.

use crate::common::{Guest, TIERS};

/// Where the guests' memory ends.
const END: u64 = 65536;
/// Where results go.
const OUT: u64 = 1024;
/// A path that the guest has in its memory: `sub/`, then others behind it.
const SUB: u64 = 100;
const FILE: u64 = 110;
const MISSING: u64 = 120;
const ABSOLUTE_SUB: u64 = 130;
const DOT_FILE: u64 = 140;
const LINK_OUT: u64 = 150;
const UP: u64 = 160;
/// An `option_timestamp` of 1 ms, one of nothing.
const MILLISECOND: u64 = 200;
const NONE: u64 = 216;
/// The address of a socket in the mount.
const SOCKET: u64 = 300;
/// The mount.
const ROOT: u64 = 3;

const DATA: &[(u64, &[u8])] = &[
    (SUB, b"sub"),
    (FILE, b"file"),
    (MISSING, b"missing"),
    (ABSOLUTE_SUB, b"/sub"),
    (DOT_FILE, b"./file"),
    (LINK_OUT, b"out"),
    (UP, b".."),
    (SOCKET, b"\x03\0/file"),
    (MILLISECOND, &[1, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x42, 0x0f, 0, 0, 0, 0, 0]),
];

const BADF: i32 = 8;
const DEADLK: i32 = 16;
const INVAL: i32 = 28;
const NAMETOOLONG: i32 = 37;
const NOENT: i32 = 44;
const NOSYS: i32 = 52;
const NOTDIR: i32 = 54;
const NOTSOCK: i32 = 57;
const NOTSUP: i32 = 58;
const PERM: i32 = 63;
const RANGE: i32 = 68;
const SRCH: i32 = 71;
const NOTCAPABLE: i32 = 76;
/// A pointer leads out of the memory.
pub(crate) const MEMORY: i32 = 78;

/// Calls one after the other in one guest: name, parameters (`i` and `I` for both widths), arguments,
/// answer; then bytes that lie in its memory.
type Row<'a> = (&'a [(&'a str, &'a str, &'a [u64], i32)], &'a [(u64, &'a [u8])]);

const THREADS: &[Row<'_>] = &[
    (&[("thread_id", "i", &[OUT], 0)], &[(OUT, &[1, 0, 0, 0])]),
    (&[("thread_id", "i", &[END - 3], MEMORY), ("thread_id", "i", &[END - 4], 0)], &[]),
    (&[("proc_id", "i", &[OUT], 0), ("proc_id", "i", &[END - 3], MEMORY)], &[(OUT, &[1, 0, 0, 0])]),
    (
        &[("thread_parallelism", "i", &[END - 4], 0), ("thread_parallelism", "i", &[END], MEMORY)],
        &[],
    ),
    (&[("thread_sleep", "I", &[0], 0), ("thread_sleep", "I", &[1_000_000], 0)], &[]),
    (
        &[
            ("thread_join", "i", &[1], DEADLK),
            ("thread_join", "i", &[2], SRCH),
            ("thread_join", "i", &[0], SRCH),
            ("thread_join", "i", &[u32::MAX as u64], SRCH),
        ],
        &[],
    ),
    // The guests of this file export nothing in which a thread could start.
    (
        &[
            ("thread_spawn_v2", "ii", &[0, OUT], NOTCAPABLE),
            ("thread_spawn_v2", "ii", &[0, END - 3], MEMORY),
            ("thread_spawn", "ii", &[0, OUT], NOTCAPABLE),
        ],
        &[(OUT, &[0, 0, 0, 0])],
    ),
    (
        &[
            ("thread_spawn", "IIIii", &[1, 2, 3, 0, OUT], NOTCAPABLE),
            ("thread_spawn", "IIIii", &[1, 1 << 32, 3, 0, OUT], INVAL),
            ("thread_spawn", "IIIii", &[1, 2, 3, 0, END], MEMORY),
        ],
        &[],
    ),
    (&[("thread_signal", "ii", &[1, 0], 0), ("thread_signal", "ii", &[9, 0], SRCH)], &[]),
    (
        &[
            ("thread_local_create", "Ii", &[7, OUT], 0),
            ("thread_local_get", "ii", &[1, OUT + 8], 0),
            ("thread_local_set", "iI", &[1, 0x1122_3344_5566_7788], 0),
            ("thread_local_get", "ii", &[1, OUT + 16], 0),
            ("thread_local_get", "ii", &[1, END - 7], MEMORY),
            ("thread_local_get", "ii", &[2, OUT], INVAL),
            ("thread_local_get", "ii", &[0, OUT], INVAL),
            ("thread_local_set", "iI", &[2, 1], INVAL),
            ("thread_local_destroy", "i", &[1], 0),
            ("thread_local_destroy", "i", &[5], INVAL),
            ("thread_local_create", "Ii", &[7, END - 3], MEMORY),
        ],
        &[
            (OUT, &[1, 0, 0, 0]),
            (OUT + 8, &[0; 8]),
            (OUT + 16, &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]),
        ],
    ),
];

/// The byte at [`OUT`] is set to 9 first by a call that puts a number there.
const FUTEXES: &[Row<'_>] = &[
    // Another word: woken at once. The time is up: not woken.
    (&[("futex_wait", "iiii", &[0, 1, 0, OUT], 0)], &[(OUT, &[1])]),
    (&[("futex_wait", "iiii", &[0, 0, MILLISECOND, OUT], 0)], &[(OUT, &[0])]),
    (&[("futex_wait", "iiii", &[0, 1, NONE, OUT], 0)], &[(OUT, &[1])]),
    (
        &[
            ("futex_wait", "iiii", &[END - 4, 0, MILLISECOND, END - 1], 0),
            ("futex_wait", "iiii", &[END - 3, 0, MILLISECOND, OUT], MEMORY),
            ("futex_wait", "iiii", &[0, 0, END - 15, OUT], MEMORY),
            ("futex_wait", "iiii", &[0, 0, MILLISECOND, END], MEMORY),
            ("futex_wake", "ii", &[0, END - 1], 0),
            ("futex_wake", "ii", &[0, END], MEMORY),
            ("futex_wake", "ii", &[END - 3, OUT], MEMORY),
            ("futex_wake_all", "ii", &[END - 4, OUT], 0),
            ("futex_wake_all", "ii", &[END, OUT], MEMORY),
        ],
        &[(OUT, &[0])],
    ),
];

/// These need a memory that threads share.
const SHARED_FUTEXES: &[Row<'_>] = &[(
    &[
        ("futex_wait", "iiii", &[2, 0, MILLISECOND, OUT], INVAL),
        ("futex_wake", "ii", &[2, OUT], INVAL),
        ("futex_wake_all", "ii", &[3, OUT], INVAL),
    ],
    &[],
)];

const DESCRIPTORS: &[Row<'_>] = &[
    (
        &[
            ("fd_dup", "ii", &[ROOT, OUT], 0),
            ("fd_dup2", "iiii", &[1, 10, 1, OUT + 4], 0),
            ("fd_fdflags_get", "ii", &[10, OUT + 8], 0),
            ("fd_fdflags_get", "ii", &[4, OUT + 10], 0),
            ("fd_fdflags_set", "ii", &[4, 1], 0),
            ("fd_fdflags_get", "ii", &[4, OUT + 12], 0),
        ],
        &[(OUT, &[4, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 1, 0])],
    ),
    (
        &[
            ("fd_dup", "ii", &[9, OUT], BADF),
            ("fd_dup", "ii", &[1, END - 3], MEMORY),
            ("fd_dup2", "iiii", &[9, 0, 0, OUT], BADF),
            ("fd_dup2", "iiii", &[1, 1 << 20, 0, OUT], INVAL),
            ("fd_dup2", "iiii", &[1, 0, 0, END], MEMORY),
            ("fd_fdflags_get", "ii", &[9, OUT], BADF),
            ("fd_fdflags_get", "ii", &[1, END - 1], MEMORY),
            ("fd_fdflags_get", "ii", &[1, END - 2], 0),
            ("fd_fdflags_set", "ii", &[9, 0], BADF),
            ("fd_fdflags_set", "ii", &[1, 2], INVAL),
        ],
        &[(OUT, &[0, 0])],
    ),
    // As dup2: the old number stays, also one that was not open before is taken.
    (
        &[
            ("fd_renumber", "ii", &[1, 20], 0),
            ("fd_renumber", "ii", &[1, 1], 0),
            ("fd_renumber", "ii", &[ROOT, 20], 0),
            ("fd_renumber", "ii", &[19, 20], BADF),
            ("fd_renumber", "ii", &[1, 1 << 20], BADF),
            ("fd_close", "i", &[20], 0),
            ("fd_close", "i", &[1], 0),
        ],
        &[],
    ),
];

const PROC_SPAWN: &str = "iiiiiiiiiiiiii";
const PATH_OPEN2: &str = "iiiiiIIiii";
/// The rights to read, to make files, and to list directories.
const READ: u64 = 2;
const CREATE: u64 = 1 << 10;
const LIST: u64 = 1 << 14;

const FILES: &[Row<'_>] = &[
    (
        &[
            // Room for 16 bytes.
            ("thread_sleep", "I", &[0], 0),
            ("getcwd", "ii", &[OUT + 4, 220], 0),
            ("chdir", "ii", &[SUB, 3], 0),
            ("getcwd", "ii", &[OUT + 16, 220], RANGE),
            ("getcwd", "ii", &[OUT + 16, 220], 0),
            ("chdir", "ii", &[UP, 2], 0),
            ("chdir", "ii", &[ABSOLUTE_SUB, 4], 0),
        ],
        // The number at 220 was 1: enough for `/`, then what `/sub` needs.
        &[(OUT + 4, b"/\0"), (OUT + 16, b"/sub\0"), (220, &[4, 0, 0, 0])],
    ),
    (
        &[
            ("chdir", "ii", &[FILE, 4], NOTDIR),
            ("chdir", "ii", &[MISSING, 7], NOENT),
            ("chdir", "ii", &[MISSING, 0], NOENT),
            ("chdir", "ii", &[LINK_OUT, 3], PERM),
            ("chdir", "ii", &[0, 5000], NAMETOOLONG),
            ("chdir", "ii", &[END - 1, 2], MEMORY),
            ("getcwd", "ii", &[OUT, END - 3], MEMORY),
            ("getcwd", "ii", &[END, 220], MEMORY),
        ],
        &[],
    ),
    (
        &[
            ("path_open2", PATH_OPEN2, &[ROOT, 0, FILE, 4, 0, READ, 0, 0, 1, OUT], 0),
            ("fd_fdflags_get", "ii", &[4, OUT + 4], 0),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, FILE, 4, 0, READ, 0, 0, 0, OUT + 8], 0),
            ("fd_fdflags_get", "ii", &[5, OUT + 12], 0),
            // `./` and absolute paths from where the guest is; beneath a directory as ever.
            ("path_open2", PATH_OPEN2, &[ROOT, 0, SUB, 3, 0, READ, 0, 0, 0, OUT + 16], 0),
            ("path_open2", PATH_OPEN2, &[6, 0, DOT_FILE, 6, 0, READ, 0, 0, 0, OUT], NOENT),
            ("path_open2", PATH_OPEN2, &[6, 0, ABSOLUTE_SUB, 4, 0, READ, 0, 0, 0, OUT], 0),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, DOT_FILE, 6, 0, READ, 0, 0, 0, OUT], 0),
            ("chdir", "ii", &[SUB, 3], 0),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, DOT_FILE, 6, 0, READ, 0, 0, 0, OUT], NOENT),
        ],
        &[(OUT + 4, &[1, 0]), (OUT + 12, &[0, 0]), (OUT + 16, &[6, 0, 0, 0])],
    ),
    (
        &[
            ("path_open2", PATH_OPEN2, &[9, 0, FILE, 4, 0, READ, 0, 0, 0, OUT], BADF),
            ("path_open2", PATH_OPEN2, &[1, 0, FILE, 4, 0, READ, 0, 0, 0, OUT], NOTDIR),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, FILE, 4, 0, READ, 0, 0, 2, OUT], INVAL),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, FILE, 4, 0, READ, 0, 32, 0, OUT], INVAL),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, UP, 2, 0, READ, 0, 0, 0, OUT], PERM),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, END - 1, 2, 0, READ, 0, 0, 0, OUT], MEMORY),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, FILE, 4, 0, READ, 0, 0, 0, END - 3], MEMORY),
        ],
        &[],
    ),
    // What was given up is gone for every call that takes a path: before anything else is said.
    (
        &[
            ("fd_fdstat_set_rights", "iII", &[ROOT, CREATE | LIST, 0], 0),
            ("path_open2", PATH_OPEN2, &[ROOT, 0, FILE, 4, 0, READ, 0, 0, 0, OUT], NOTCAPABLE),
            ("sock_connect", "ii", &[0, SOCKET], NOTCAPABLE),
            ("sock_bind", "ii", &[0, SOCKET], NOTSOCK),
            ("fd_fdstat_set_rights", "iII", &[ROOT, LIST, 0], 0),
            ("sock_bind", "ii", &[0, SOCKET], NOTCAPABLE),
        ],
        &[],
    ),
];

/// A process of others has no programs beside it, and nothing is read to find that out.
const PROGRAMS: &[Row<'_>] = &[(
    &[
        ("proc_exec3", "iiiiiiiii", &[END, 1, END, 1, END, 1, 0, END, 1], NOTSUP),
        ("proc_exec4", "iiiiiiiii", &[END, 1, END, 1, END, 1, 0, END, 1], NOTSUP),
        (
            "proc_spawn2",
            PROC_SPAWN,
            &[END, 1, END, 1, END, 1, END, 1, END, 1, 0, 0, 0, OUT],
            NOTSUP,
        ),
        (
            "proc_spawn3",
            PROC_SPAWN,
            &[END, 1, END, 1, END, 1, END, 1, END, 1, 0, 0, 0, OUT],
            NOTSUP,
        ),
        ("proc_spawn", "iiiiiiiiiiiii", &[END, 1, 0, END, 1, END, 1, 0, 0, 0, END, 1, OUT], NOTSUP),
        ("proc_fork_env", "i", &[OUT], NOTSUP),
        ("proc_spawn3", PROC_SPAWN, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, END - 3], MEMORY),
    ],
    &[],
)];

const OTHERS: &[Row<'_>] = &[
    // The host's clocks are not the guest's to set.
    (
        &[
            ("clock_time_set", "iI", &[0, 1], PERM),
            ("clock_time_set", "iI", &[1, 1], PERM),
            ("clock_time_set", "iI", &[9, 1], INVAL),
        ],
        &[],
    ),
    (
        &[("tty_get", "i", &[OUT], 0), ("tty_set", "i", &[OUT], 0)],
        // No terminal: 80 columns and 25 rows.
        &[(OUT, &[80, 0, 0, 0, 25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    ),
    (&[("tty_get", "i", &[END - 23], MEMORY), ("tty_set", "i", &[END - 23], MEMORY)], &[]),
    (
        &[
            ("dlsym", "iiiiii", &[0; 6], NOSYS),
            ("context_switch", "I", &[0], NOSYS),
            ("port_unbridge", "", &[], NOSYS),
        ],
        &[],
    ),
];

/// The error numbers of the rows by their names.
pub(crate) fn number(name: &str) -> Option<i32> {
    let known = [
        ("BADF", BADF),
        ("DEADLK", DEADLK),
        ("INVAL", INVAL),
        ("NAMETOOLONG", NAMETOOLONG),
        ("NOENT", NOENT),
        ("NOSYS", NOSYS),
        ("NOTCAPABLE", NOTCAPABLE),
        ("NOTDIR", NOTDIR),
        ("PERM", PERM),
        ("RANGE", RANGE),
        ("SRCH", SRCH),
    ];
    known.iter().find(|(other, _)| *other == name).map(|(_, number)| *number)
}

/// What a call answers in the rows.
pub(crate) fn answers(name: &str) -> Vec<i32> {
    let tables = [THREADS, FUTEXES, SHARED_FUTEXES, DESCRIPTORS, FILES, OTHERS];
    let calls = tables.iter().flat_map(|rows| rows.iter()).flat_map(|(calls, _)| calls.iter());
    calls.filter(|(other, ..)| *other == name).map(|(.., answer)| *answer).collect()
}

fn check(rows: &[Row<'_>], shared: bool) {
    for tier in TIERS {
        for (calls, after) in rows {
            let mut data = DATA.to_vec();
            data.push((220, &[1, 0, 0, 0]));
            let mut guest = Guest::new(tier, calls, &data, shared);
            for (index, (name, _, arguments, expect)) in calls.iter().enumerate() {
                let got = guest.call(index);
                assert_eq!(got, *expect, "{name} {arguments:?}, {tier:?}, shared: {shared}");
            }
            for (at, bytes) in *after {
                let got = guest.bytes(*at, bytes.len());
                assert_eq!(got, *bytes, "at {at} after {calls:?}, {tier:?}, shared: {shared}");
            }
        }
    }
}

#[test]
fn threads() {
    check(THREADS, false);
    check(THREADS, true);
}

#[test]
fn futexes() {
    check(FUTEXES, false);
    check(FUTEXES, true);
    check(SHARED_FUTEXES, true);
}

#[test]
fn descriptors() {
    check(DESCRIPTORS, false);
}

#[test]
fn files() {
    check(FILES, false);
    check(FILES, true);
}

#[test]
fn programs() {
    check(PROGRAMS, false);
}

#[test]
fn terminals_and_what_is_not_supported() {
    check(OTHERS, false);
}
