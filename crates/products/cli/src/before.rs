//! What happens before `main`: the standard library is kept from handling faults.
//!
//! For its handler each thread that it starts or ends takes a lock of the process. A guest may fork while
//! another thread is there: in the child that lock would never be free, and no thread could begin, nor
//! the process end. The library leaves faults alone that somebody handles already when it begins; its
//! handler would only say that a stack of the host has overflowed.
//!
//! # Safety
//! The function runs once, before `main` and any other thread, and only changes what two signals do.

#![allow(unsafe_code)]

const FAULTS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

#[used]
// SAFETY: the section holds pointers to functions of this type, which the system calls one after the
// other before `main`.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = ignore_faults;

extern "C" fn ignore_faults() {
    set(libc::SIG_IGN);
}

/// Faults do again what they do by default. Called first in `main`.
pub(crate) fn restore_faults() {
    set(libc::SIG_DFL);
}

fn set(action: libc::sighandler_t) {
    for signal in FAULTS {
        // SAFETY: neither action runs any code of ours, and no thread but the calling one is there.
        unsafe { libc::signal(signal, action) };
    }
}
