//! What signals do to the command.
//!
//! SIGINT keeps its default action, so Ctrl-C ends guest and host at once and shells report 130.
//! SIGPIPE is ignored, as Rust's start-up leaves it: a write to a pipe that nobody reads is an error of
//! the one who writes. Only on standard output and standard error it ends the process, by hand.
//!
//! # Safety
//!
//! `signal(2)` is called with a default action, so no handler of ours or of a library can run or be
//! replaced, and right before the process ends by it.

#![allow(unsafe_code)]

/// Ends the process as SIGPIPE does by default: a guest whose output is closed early
/// (`wasmoor run x.wasm | head`) ends quietly, as a native program does, rather than going on with a
/// stream of EPIPE that many programs do not look at.
pub(crate) fn end_by_sigpipe() {
    // SAFETY: valid signal numbers, a default action and a set of this frame; see the module's section.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::raise(libc::SIGPIPE);
    }
}
