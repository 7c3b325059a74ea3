//! `getsockopt` and `setsockopt` for plain values.
//!
//! # Safety
//! The kernel is given the address and the size of one initialized value of a type without padding
//! ([`Plain`]); it reads, or writes, no more than that.
#![allow(unsafe_code)]

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};

/// A type of which all bit patterns are values and no byte is padding.
///
/// # Safety
/// As said.
pub(super) unsafe trait Plain: Copy {
    /// All bits zero.
    const ZERO: Self;
}

// SAFETY: an integer.
unsafe impl Plain for libc::c_int {
    const ZERO: Self = 0;
}

// SAFETY: two integers of one size.
unsafe impl Plain for libc::timeval {
    const ZERO: Self = libc::timeval { tv_sec: 0, tv_usec: 0 };
}

// SAFETY: two integers of one size.
unsafe impl Plain for libc::linger {
    const ZERO: Self = libc::linger { l_onoff: 0, l_linger: 0 };
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// The value of an option.
pub(super) fn get<T: Plain>(fd: BorrowedFd<'_>, level: i32, name: i32) -> Result<T> {
    let mut value = T::ZERO;
    // No truncation: a few bytes.
    let mut len = size_of::<T>() as libc::socklen_t;
    let place = std::ptr::from_mut(&mut value).cast();
    // SAFETY: see the module's head.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, place, &mut len) };
    if result == 0 { Ok(value) } else { Err(last_error()) }
}

/// Sets an option.
pub(super) fn set<T: Plain>(fd: BorrowedFd<'_>, level: i32, name: i32, value: T) -> Result<()> {
    let place = std::ptr::from_ref(&value).cast();
    // SAFETY: see the module's head.
    let result = unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, place, size_of::<T>() as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}
