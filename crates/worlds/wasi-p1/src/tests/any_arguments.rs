//! Whatever a guest passes, a call answers: no panic, no boundless work, no harm outside the mount.

use super::guest::{DATA, Guest, ROOT};
use crate::functions::{Outcome, for_each_function};
use crate::{Input, Output, WasiCtx, calls, unstable};
use wasmoor_host::{
    FixedClocks, GuestMemory, Limits, MemoryOutput, Resource, SeededRandom, Unlimited,
};

/// A small generator of arguments; the same in every run.
struct Arguments {
    state: u64,
}

impl Arguments {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Values that mean something in some place: numbers, flags, pointers at the memory's ends.
const SPECIAL: &[u64] = &[
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    15,
    16,
    31,
    32,
    48,
    56,
    64,
    100,
    255,
    1024,
    4095,
    4096,
    0x4000,
    0xfff0,
    0xffff,
    0x1_0000,
    0x1_0001,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff8,
    0xffff_ffff,
    0x1_0000_0000,
    1_000_000_000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

trait Any {
    fn any(from: &mut Arguments) -> Self;
}

impl Any for u32 {
    fn any(from: &mut Arguments) -> u32 {
        u64::any(from) as u32
    }
}

impl Any for u64 {
    fn any(from: &mut Arguments) -> u64 {
        let choice = from.next();
        match choice % 8 {
            0 => from.next(),
            1 => from.next() % 0x1_0010,
            2 => from.next() % 16,
            _ => SPECIAL[(choice >> 8) as usize % SPECIAL.len()],
        }
    }
}

type Call = fn(&WasiCtx, &GuestMemory<'_>, &mut Arguments) -> bool;

/// Every function with a way to call it with anything; true when it succeeded.
macro_rules! list {
    ($calls:ident, $( $name:ident($($param:ident: $ty:ty),*); )*) => {
        &[ $( (stringify!($name), |ctx, memory, from| {
            $( let $param = <$ty>::any(from); )*
            let _ = &from;
            matches!($calls::$name(ctx, memory, $($param),*).into_guest(), Ok(0))
        }), )* ]
    };
}

const PREVIEW1: &[(&str, Call)] = for_each_function!(list!(calls,));
const UNSTABLE: &[(&str, Call)] = for_each_function!(list!(unstable,));
const SOCK_ACCEPT: &[(&str, Call)] = list!(calls, sock_accept(fd: u32, flags: u32, out: u32););

fn guest(seed: u64) -> Guest {
    let mut guest = Guest::with(|builder| {
        let limits = Limits::new()
            .with(Resource::OutputBytes, 4 << 20)
            .with(Resource::OpenFiles, 64)
            .with(Resource::HostBytes, 1 << 20);
        builder.meter(std::sync::Arc::new(limits));
        builder.clocks(FixedClocks::new(1)).random(SeededRandom::new(seed));
        builder.stdin(Input::bytes("some input")).stdout(Output::memory(&MemoryOutput::new(1000)));
        builder.arg("program").env("NAME", "value");
    });
    // A memory that holds small numbers is full of vectors, paths and subscriptions.
    let mut from = Arguments { state: !seed };
    for at in (0..guest.memory.len()).step_by(8) {
        guest.memory[at..at + 8].copy_from_slice(&u64::any(&mut from).to_le_bytes());
    }
    guest.put(DATA, b"folder/file");
    std::fs::create_dir(guest.host_path("folder")).unwrap();
    std::fs::write(guest.host_path("folder/file"), "content").unwrap();
    guest
}

#[test]
fn every_function_survives_anything() {
    for (name, call) in PREVIEW1.iter().chain(UNSTABLE).chain(SOCK_ACCEPT) {
        for seed in 0..12 {
            let mut guest = guest(seed);
            guest.open_dir("folder").unwrap();
            let file = guest.open("folder/file", 0).unwrap();
            assert_eq!(file, ROOT + 2);
            let mut from = Arguments { state: seed };
            for _ in 0..60 {
                guest.call(|ctx, memory| call(ctx, memory, &mut from));
            }
            assert!(guest.host.path().is_dir(), "{name}");
        }
    }
}

#[test]
fn a_guest_without_memory() {
    for (_, call) in PREVIEW1.iter().chain(UNSTABLE).chain(SOCK_ACCEPT) {
        let mut guest = guest(1);
        guest.memory.clear();
        let mut from = Arguments { state: 7 };
        for _ in 0..200 {
            guest.call(|ctx, memory| call(ctx, memory, &mut from));
        }
    }
}

/// The functions get something done with the arguments above, or the test shows nothing.
#[test]
fn anything_includes_the_right_thing() {
    // But for these, which need fitting paths or a socket.
    let hard = |name: &str| name.starts_with("path_") || name.starts_with("sock_");
    for (name, call) in PREVIEW1.iter().filter(|(name, _)| !hard(name)) {
        let succeeds = (0..400).any(|seed| {
            let mut guest = guest(seed);
            guest.open_dir("folder").unwrap();
            guest.open("folder/file", 0).unwrap();
            let mut from = Arguments { state: seed };
            (0..100).any(|_| guest.call(|ctx, memory| call(ctx, memory, &mut from)))
        });
        assert!(succeeds, "{name} never succeeded");
    }
}

#[test]
fn unlimited_grants_still_bound_each_call() {
    let mut guest = Guest::with(|builder| {
        builder.meter(std::sync::Arc::new(Unlimited));
    });
    for count in [1 << 20, 1 << 31, u32::MAX] {
        for (what, result) in [
            ("read", guest.call(|c, m| calls::fd_read(c, m, 0, 0, count, 0))),
            ("write", guest.call(|c, m| calls::fd_write(c, m, 1, 0, count, 0))),
            ("poll", guest.call(|c, m| calls::poll_oneoff(c, m, 0, 0, count, 0))),
            ("random", guest.call(|c, m| calls::random_get(c, m, 0, count))),
            ("path", guest.call(|c, m| calls::path_unlink_file(c, m, ROOT, 0, count))),
            ("readdir", guest.call(|c, m| calls::fd_readdir(c, m, ROOT, 0, count, 0, 0))),
        ] {
            assert_eq!(result, Err(crate::Errno::Fault), "{what} of {count}");
        }
    }
    // Inside the memory but longer than any path.
    let long = guest.call(|c, m| calls::path_unlink_file(c, m, ROOT, 0, 60_000));
    assert_eq!(long, Err(crate::Errno::NameTooLong));
    let long = guest.call(|c, m| calls::path_symlink(c, m, 0, 60_000, ROOT, 0, 1));
    assert_eq!(long, Err(crate::Errno::NameTooLong));
}
