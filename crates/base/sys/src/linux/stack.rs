//! The running thread's stack.
//!
//! # Safety
//! The C library's description of the running thread is read through a local attribute object.

#![allow(unsafe_code)]

use crate::linux::vm::page_bytes;
use rustix::process::Resource;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;

/// The most that is believed of a main thread's stack without limit.
const MAIN_STACK_BYTES_MAX: usize = 1 << 30;

/// Usable addresses, without the guard.
pub(crate) fn current_thread() -> Range<usize> {
    match from_thread_attributes() {
        Ok(range) if is_main_thread() => {
            range.start.max(range.end.saturating_sub(MAIN_STACK_BYTES_MAX))..range.end
        }
        Ok(range) => range,
        // The C library looks into /proc for the main thread, which may not be mounted.
        Err(_) => from_limits(),
    }
}

fn is_main_thread() -> bool {
    rustix::thread::gettid() == rustix::process::getpid()
}

fn from_thread_attributes() -> io::Result<Range<usize>> {
    let mut attributes = MaybeUninit::uninit();
    let mut start = std::ptr::null_mut();
    let (mut len, mut guard) = (0, 0);
    // SAFETY: `attributes` is initialised by the first call if it succeeds, used only then, and
    // destroyed after its last use; the other places are valid locals.
    let status = unsafe {
        let status = libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr());
        if status == 0 {
            libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut len);
            libc::pthread_attr_getguardsize(attributes.as_ptr(), &raw mut guard);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
        status
    };
    if status != 0 {
        return Err(io::Error::from_raw_os_error(status));
    }
    // Older C libraries count the guard as part of the stack; leaving out a page too many is safe.
    let guard = guard.max(page_bytes());
    Ok(start.addr().saturating_add(guard)..start.addr().saturating_add(len))
}

/// The main thread's stack ends just above the program's file name, which the kernel put there,
/// and may grow to the limit.
fn from_limits() -> Range<usize> {
    let page = page_bytes();
    let top = rustix::param::linux_execfn().as_ptr().addr().next_multiple_of(page);
    let limit = rustix::process::getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
    let bytes = usize::try_from(limit).unwrap_or(usize::MAX).clamp(page, MAIN_STACK_BYTES_MAX);
    (top.saturating_sub(bytes) & !(page - 1)).saturating_add(page)..top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_attributes_agree_on_the_top_of_the_main_stack() {
        // This runs on a thread of the test harness; the main thread's line in /proc is the judge.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
        let (_, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let end = usize::from_str_radix(end, 16).unwrap();
        assert_eq!(from_limits().end, end);
    }
}
