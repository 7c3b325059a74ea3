//! Damaged modules go through `validate` and `run` without a crash.
//!
//! Each mutant is made from a sound module by one or two random changes of bytes. A mutant may be refused,
//! trap, end with any status or run into its limits; it must not kill the command by a signal, make
//! it panic, or let `run` accept what `validate` refuses. `WASMOOR_MUTANTS` sets how many are tried;
//! the seed of a bad one is in the message.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use wasmoor_tests::binary::{Finished, finish, wasmoor};
use wasmoor_tests::guest;

/// Tried by default; 10,000 take about a minute.
const MUTANTS: usize = 1000;
const PARENTS: &[&str] =
    &["add.wat", "echo.wat", "memory.wat", "mutant.wat", "trap.wat", "wait.wat"];

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Changes a module in one or two places; the header stays, or nothing would get far.
fn mutate(module: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = module.to_vec();
    for _ in 0..=random.below(2) {
        if bytes.len() <= 9 {
            break;
        }
        let at = 8 + random.below(bytes.len() - 8);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, random.next() as u8),
            4 => bytes.truncate(at),
            _ => {
                let from = 8 + random.below(bytes.len() - 8);
                bytes.swap(at, from);
            }
        }
    }
    bytes
}

fn run(folder: &TempDir, args: &[&str]) -> Finished {
    let mut command = Command::new(wasmoor());
    command.args(args).current_dir(folder.path());
    finish(command, b"xyz\n", Duration::from_secs(30)).expect("limits end the guest")
}

#[track_caller]
fn no_crash(seed: usize, what: &str, finished: &Finished) -> i32 {
    let panicked =
        finished.stderr.contains("panicked") || finished.stderr.contains("internal error");
    match finished.status.code() {
        Some(status) if !panicked && status != 101 => status,
        _ => panic!("{what} of mutant {seed}: {finished:?}"),
    }
}

fn try_one(seed: usize, folder: &TempDir) -> bool {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1));
    random.next();
    let parent = guest::binary(PARENTS[random.below(PARENTS.len())]);
    let mutant = mutate(&parent, &mut random);
    std::fs::write(folder.path().join("mutant.wasm"), mutant).expect("a file");
    let valid = no_crash(seed, "validate", &run(folder, &["validate", "mutant.wasm"]));
    assert!(valid == 0 || valid == 1, "validate of mutant {seed} ended with {valid}");
    let limits = ["run", "--timeout", "500ms", "--max-memory", "64MiB", "--max-table", "100000"];
    let ran = run(folder, &[&limits[..], &["mutant.wasm"]].concat());
    let status = no_crash(seed, "run", &ran);
    if valid == 1 {
        assert_eq!(status, 1, "run of mutant {seed}, which is invalid: {ran:?}");
    }
    valid == 0
}

#[test]
fn mutants_crash_nothing() {
    let count = std::env::var("WASMOOR_MUTANTS").ok().and_then(|text| text.parse().ok());
    let count = count.unwrap_or(MUTANTS);
    let (next, valid) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let folder = TempDir::new().expect("a folder");
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= count {
                        break;
                    }
                    if try_one(seed, &folder) {
                        valid.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let valid = valid.into_inner();
    println!("{count} mutants, {valid} of them valid");
    // Both kinds must occur, or the test exercises one path only.
    assert!(valid > count / 100 && valid < count, "{valid} of {count} are valid");
}
