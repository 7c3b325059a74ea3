//! System calls of the host that go wrong: nothing is lost, nothing hangs, and no error shows that the
//! system did not give.
//!
//! The command runs under trace, and calls that `wasix/injected.txt` names fail, or move fewer bytes, as the
//! kernel itself may have it. Guests print what they print when nothing goes wrong. Bounded by default;
//! for as long as you like, with ever other calls that go wrong:
//!
//! ```sh
//! WASMOOR_INJECT_SECONDS=600 cargo test -p wasmoor-tests --test injected
//! ```

#![cfg(target_os = "linux")]

#[cfg(not(target_arch = "x86_64"))]
#[test]
fn calls_that_go_wrong() {
    wasmoor_tests::guest::left_out("system calls that go wrong", &"needs an x86-64");
}

#[cfg(target_arch = "x86_64")]
mod injected {
    mod guests;
    mod starts;
}
