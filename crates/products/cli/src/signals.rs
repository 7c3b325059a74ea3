//! What signals do to the command.
//!
//! SIGINT keeps its default action, so Ctrl-C ends guest and host at once and shells report 130.
//!
//! # Safety
//!
//! `signal(2)` is called once, before any other thread exists and with a default action, so no
//! handler of ours or of a library can run or be replaced.

#![allow(unsafe_code)]

/// Gives SIGPIPE its default action back, which Rust's start-up replaced by "ignore".
///
/// A guest whose output is closed early (`wasmoor run x.wasm | head`) ends quietly, as a native
/// program does, rather than going on with a stream of EPIPE that many programs do not look at.
/// Sockets of guests are written with MSG_NOSIGNAL and do not come here.
pub(crate) fn restore_sigpipe() {
    // SAFETY: a valid signal number and a default action; see the module's section.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
