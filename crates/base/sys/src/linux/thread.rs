//! Priorities, which Linux keeps per thread.
//!
//! # Safety
//! One call without pointers.

#![allow(unsafe_code)]

/// Steps of niceness for threads in the background.
const BACKGROUND_NICE: i32 = 10;

pub(crate) fn lower_priority() {
    // SAFETY: takes numbers only; 0 is the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, BACKGROUND_NICE);
    }
}
