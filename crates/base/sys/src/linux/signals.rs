//! Signals by handlers that write to a pipe.
//!
//! # Safety
//! The handler runs at any time on any thread: it writes one byte to a descriptor that is never
//! closed, and keeps `errno`.

#![allow(unsafe_code)]

use libc::{c_int, sigaction};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// The writing end; -1: none.
static PIPE: AtomicI32 = AtomicI32::new(-1);

pub(crate) fn forward(signals: &[i32]) -> io::Result<OwnedFd> {
    let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
    let (reading, writing) = rustix::pipe::pipe_with(flags)?;
    match PIPE.load(Ordering::SeqCst) {
        -1 => PIPE.store(writing.into_raw_fd(), Ordering::SeqCst),
        // A handler may be about to write to the number, so it stays and means the new pipe.
        number => {
            // SAFETY: both numbers are open and ours.
            let status = unsafe { libc::dup3(writing.as_raw_fd(), number, libc::O_CLOEXEC) };
            if status < 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    signals.iter().try_for_each(|&signal| set(signal, on_signal as *const () as usize))?;
    Ok(reading)
}

pub(crate) fn restore(signals: &[i32]) -> io::Result<()> {
    signals.iter().try_for_each(|&signal| set(signal, libc::SIG_DFL))
}

/// Without SA_RESTART: blocking calls end, and whoever made them looks what is asked.
fn set(signal: i32, handler: usize) -> io::Result<()> {
    // SAFETY: zeroes are valid for `sigaction`; the handler takes the number of the signal alone.
    let status = unsafe {
        let mut action: sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_ONSTACK;
        sigaction(signal, &raw const action, ptr::null_mut())
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn on_signal(signal: c_int) {
    // SAFETY: the descriptor is open (see `PIPE`), one byte is read from the stack.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        let byte = signal as u8;
        libc::write(PIPE.load(Ordering::SeqCst), (&raw const byte).cast(), 1);
        *errno = before;
    }
}

/// The mask of a thread as it was.
pub(crate) struct Held(libc::sigset_t);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

pub(crate) fn hold(signals: &[i32]) -> Held {
    // SAFETY: both sets are the caller's; numbers that are no signals are not added.
    unsafe {
        let mut set: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        let mut before: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before);
        Held(before)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: a set that the system filled.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}

pub(crate) fn end_by(signal: i32) -> ! {
    // It may be no signal, or one that cannot be handled.
    let _ = restore(&[signal]);
    // SAFETY: signals this process, with the default action; ends it without running anything.
    unsafe {
        let mut signals: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, ptr::null_mut());
        libc::kill(libc::getpid(), signal);
        libc::_exit(128 + (signal & 127))
    }
}
