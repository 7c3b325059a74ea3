//! Tests that change the whole process (signals, limits, forks) run in a process of their own.
//!
//! # Safety
//! Only code that `returning` made is called; a forked child ends without running what is the
//! parent's.

#![allow(dead_code, unreachable_pub, reason = "each test program uses what it needs")]
#![allow(unsafe_code, reason = "tests of unsafe foundations run made-up machine code")]

use std::env;
use std::process::{Command, ExitStatus};

const CHILD: &str = "WASMOOR_SYS_TEST_CHILD";

/// Runs `body` in a new process and answers how that ended. `test` is the
/// name of the calling test, which the new process runs again.
pub fn in_process(test: &str, body: impl FnOnce()) -> ExitStatus {
    if env::var_os(CHILD).is_some_and(|name| name == test) {
        body();
        std::process::exit(0);
    }
    Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, test)
        .status()
        .unwrap()
}

/// The same, where the process must end well.
pub fn in_own_process(test: &str, body: impl FnOnce()) {
    let status = in_process(test, body);
    assert!(status.success(), "{test}: {status}");
}

/// Forks with the hooks, runs `child` in the child, and answers its exit status after `parent` ran
/// in the parent. A panic in the child is status 99.
pub fn fork(child: impl FnOnce() -> i32, parent: impl FnOnce()) -> i32 {
    match wasmoor_sys::fork::fork().unwrap() {
        wasmoor_sys::fork::Fork::Child => {
            let status =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(99);
            // SAFETY: ends the process without running anything of the parent's.
            unsafe { libc::_exit(status) }
        }
        wasmoor_sys::fork::Fork::Parent(pid) => {
            parent();
            let mut status = 0;
            // SAFETY: waits for the own child; `status` is a valid place.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status), "the child died of signal {}", libc::WTERMSIG(status));
            libc::WEXITSTATUS(status)
        }
    }
}

/// Limits a resource of this process.
pub fn limit(resource: rustix::process::Resource, bytes: u64) {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let limit = rustix::process::Rlimit { current: Some(bytes), maximum };
    rustix::process::setrlimit(resource, limit).unwrap();
}

/// Bytes of address space in use.
pub fn address_space_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    pages * wasmoor_sys::vm::page_bytes() as u64
}

/// A function of no arguments that returns this value.
#[cfg(target_arch = "x86_64")]
pub fn returning(value: u16) -> Vec<u8> {
    // mov eax, value; ret
    let mut code = vec![0xb8];
    code.extend(u32::from(value).to_le_bytes());
    code.push(0xc3);
    code
}

/// A function of no arguments that returns this value.
#[cfg(target_arch = "aarch64")]
pub fn returning(value: u16) -> Vec<u8> {
    // movz w0, #value; ret
    [0x5280_0000 | u32::from(value) << 5, 0xd65f_03c0].map(u32::to_le_bytes).concat()
}

/// Calls code made by [`returning`].
pub fn call(address: usize) -> u16 {
    // SAFETY: the tests call only what they have written with `returning`.
    unsafe {
        let function: extern "C" fn() -> u32 = std::mem::transmute(address);
        function() as u16
    }
}

/// Mappings of this process that overlap a range: rights as in `rwxp`, and the range.
pub fn mappings(range: std::ops::Range<usize>) -> Vec<(String, std::ops::Range<usize>)> {
    let hex = |text| usize::from_str_radix(text, 16).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (start, end) = fields.next().unwrap().split_once('-').unwrap();
            (fields.next().unwrap().to_owned(), hex(start)..hex(end))
        })
        .filter(|(_, mapped)| mapped.start < range.end && range.start < mapped.end)
        .collect()
}
