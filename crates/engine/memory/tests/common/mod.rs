//! Random numbers, and processes of their own for tests that set limits.

#![allow(dead_code, unreachable_pub, reason = "each test program uses what it needs")]

/// A linear congruential generator: the same numbers in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 16) % bound
    }

    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }
}

/// Rights, as in `rw-p`, of the page at an address.
pub fn rights(address: usize) -> String {
    let hex = |text| usize::from_str_radix(text, 16).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        (hex(start)..hex(end)).contains(&address)
    });
    line.map_or("none".into(), |line| line.split(' ').nth(1).unwrap().into())
}

/// Runs `body` in a new process with `bytes` more address space than it has in use. `test` is the
/// name of the calling test, which the new process runs again.
#[cfg(target_os = "linux")]
pub fn with_address_space(test: &str, bytes: u64, body: impl FnOnce()) {
    const CHILD: &str = "WASMOOR_MEMORY_TEST_CHILD";
    if std::env::var_os(CHILD).is_some_and(|name| name == test) {
        limit_address_space(bytes);
        body();
        std::process::exit(0);
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, test)
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
}

#[cfg(target_os = "linux")]
fn limit_address_space(bytes: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let current = Some(statm(0) + bytes);
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
}

/// Bytes of memory in use by this process.
#[cfg(target_os = "linux")]
pub fn resident_bytes() -> u64 {
    statm(1)
}

#[cfg(target_os = "linux")]
fn statm(field: usize) -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(field).unwrap().parse().unwrap();
    pages * wasmoor_sys::vm::page_bytes() as u64
}

/// Forks and answers the child's exit status, which is the closure's answer.
#[cfg(target_os = "linux")]
pub fn fork(child: impl FnOnce() -> i32) -> i32 {
    use rustix::process::{Pid, WaitOptions, waitpid};
    use wasmoor_sys::fork::Fork;
    match wasmoor_sys::fork::fork().unwrap() {
        Fork::Child => {
            let child = std::panic::AssertUnwindSafe(child);
            std::process::exit(std::panic::catch_unwind(child).unwrap_or(99))
        }
        Fork::Parent(pid) => {
            let status = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap();
            status.1.exit_status().unwrap()
        }
    }
}
