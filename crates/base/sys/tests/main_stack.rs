//! The main thread's stack under two limits, each in a process of its own.
//!
//! # Safety
//! The far end of the stack is touched, which nothing uses.

#![allow(unsafe_code, reason = "touches the far end of the stack")]

#[cfg(target_os = "linux")]
mod common;

const NAME: &str = "the_main_thread_knows_its_stack";

fn main() {
    let args: Vec<_> = std::env::args().collect();
    let has = |wanted: &str| args.iter().any(|arg| arg == wanted);
    if has("--list") {
        // The protocol of test runners; there are no ignored tests.
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    #[cfg(target_os = "linux")]
    linux::run();
}

#[cfg(target_os = "linux")]
mod linux {
    use super::common::limit;
    use rustix::process::Resource;
    use wasmoor_sys::stack::current_thread_stack;
    use wasmoor_sys::vm::page_bytes;

    const CASE: &str = "WASMOOR_SYS_TEST_CASE";

    pub(super) fn run() {
        match std::env::var(CASE).as_deref() {
            Ok("limited") => limited(),
            Ok(_) => unlimited(),
            Err(_) => ["limited", "unlimited"].into_iter().for_each(|case| {
                let program = std::env::current_exe().unwrap();
                let status = std::process::Command::new(program).env(CASE, case).status().unwrap();
                assert!(status.success(), "{case}: {status}");
            }),
        }
    }

    /// The whole range is usable: the stack grows down to its first byte.
    fn limited() {
        assert_eq!(rustix::thread::gettid(), rustix::process::getpid());
        let bytes = 4 << 20;
        limit(Resource::Stack, bytes as u64);
        let range = current_thread_stack();
        let here = (&raw const range).addr();
        assert!(range.contains(&here), "{here:#x} in {range:x?}");
        assert!(range.len() < bytes && range.len() >= bytes - 64 * page_bytes(), "{range:x?}");
        // SAFETY: usable stack that nothing uses yet.
        unsafe { (range.start as *mut u8).write_volatile(1) };
    }

    fn unlimited() {
        let maximum = rustix::process::getrlimit(Resource::Stack).maximum;
        limit(Resource::Stack, maximum.unwrap_or(u64::MAX));
        let range = current_thread_stack();
        assert!(range.contains(&(&raw const range).addr()), "{range:x?}");
        assert!(range.len() >= 4 << 20 && range.len() <= 1 << 30, "{range:x?}");
    }
}
