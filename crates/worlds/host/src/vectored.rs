//! The kernel reads and writes guest memory itself: vectors of checked ranges and the calls on them.
//!
//! A list of vectors is gathered from guest memory once, each range checked, into the kernel's own
//! form; the call that follows copies nothing on the host's side. Empty vectors are dropped and at
//! most [`IOVECS_MAX`] are taken: every call here may be short, as in POSIX.
//!
//! # Safety
//! Every pointer handed to the kernel comes from a [`GuestSlice`] that borrows the memory for `'a`,
//! so it is mapped and writable for the whole call. The kernel's writes to it are not seen by Rust
//! as accesses, which is sound because no Rust reference to guest memory exists.
#![allow(unsafe_code)]

use crate::limits::IOVECS_MAX;
use crate::memory::{Fault, GuestMemory, GuestSlice};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, Result};
#[cfg(feature = "net")]
use rustix::net::{SocketAddrAny, addr::SocketAddrStorage};
use std::marker::PhantomData;
#[cfg(feature = "net")]
use std::mem::MaybeUninit;

/// Vectors kept without an allocation; most calls of real programs have one or two, and a longer list
/// would be moved by a call of the C library.
const FEW: usize = 4;

const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// A list of ranges of guest memory in the kernel's form.
#[derive(Debug)]
pub struct IoVecs<'a> {
    few: [libc::iovec; FEW],
    few_len: usize,
    /// Used instead of `few` once that is full.
    many: Vec<libc::iovec>,
    bytes: usize,
    lives: PhantomData<GuestSlice<'a>>,
}

impl<'a> IoVecs<'a> {
    /// No vector at all.
    #[must_use]
    pub fn new() -> Self {
        IoVecs { few: [EMPTY; FEW], few_len: 0, many: Vec::new(), bytes: 0, lives: PhantomData }
    }

    /// Gathers the `count` vectors of a 32-bit guest at `addr`: pairs of address and length.
    ///
    /// # Errors
    /// [`Fault`] when the list, or one of the vectors that are taken, lies outside.
    pub fn gather32(
        memory: &GuestMemory<'a>,
        addr: u32,
        count: u32,
    ) -> std::result::Result<Self, Fault> {
        let start = u64::from(addr);
        memory.slice(start, u64::from(count) * 8)?;
        let mut vecs = IoVecs::new();
        for at in (0..u64::from(count)).map(|index| start + index * 8) {
            let (base, len) = (memory.read_u32(at)?, memory.read_u32(at + 4)?);
            if !vecs.push(memory.slice(base, len)?) {
                break;
            }
        }
        Ok(vecs)
    }

    /// One range.
    #[must_use]
    pub fn one(slice: GuestSlice<'a>) -> Self {
        let mut vecs = IoVecs::new();
        vecs.push(slice);
        vecs
    }

    /// Adds a range; false when the list is full and stays as it was.
    pub fn push(&mut self, slice: GuestSlice<'a>) -> bool {
        if slice.is_empty() {
            return true;
        }
        let vec = libc::iovec { iov_base: slice.as_mut_ptr().cast(), iov_len: slice.len() };
        if self.as_slice().len() == IOVECS_MAX {
            return false;
        }
        if self.many.is_empty() && self.few_len < FEW {
            self.few[self.few_len] = vec;
            self.few_len += 1;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(vec);
        }
        // No overflow: at most 1024 ranges, each within one address space of 2^47 bytes.
        self.bytes += slice.len();
        true
    }

    /// Bytes of all ranges together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Cuts the list down to its first `bytes` bytes.
    pub fn truncate(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            return;
        }
        let mut left = bytes;
        for vec in self.as_mut_slice() {
            vec.iov_len = vec.iov_len.min(left);
            left -= vec.iov_len;
        }
        self.bytes = bytes;
    }

    /// The ranges, in order.
    pub fn slices(&self) -> impl Iterator<Item = GuestSlice<'a>> + '_ {
        self.as_slice().iter().map(|vec| {
            // SAFETY: base and length were taken from a `GuestSlice<'a>` and only made shorter.
            unsafe { GuestSlice::from_raw(vec.iov_base.cast(), vec.iov_len) }
        })
    }

    fn as_slice(&self) -> &[libc::iovec] {
        if self.many.is_empty() { &self.few[..self.few_len] } else { &self.many }
    }

    fn as_mut_slice(&mut self) -> &mut [libc::iovec] {
        if self.many.is_empty() { &mut self.few[..self.few_len] } else { &mut self.many }
    }

    fn raw(&self) -> (*const libc::iovec, libc::c_int) {
        let slice = self.as_slice();
        // No truncation: at most `IOVECS_MAX`.
        (slice.as_ptr(), slice.len() as libc::c_int)
    }
}

impl Default for IoVecs<'_> {
    fn default() -> Self {
        IoVecs::new()
    }
}

/// The result of a call that returns a count or -1.
fn counted(result: libc::ssize_t) -> Result<usize> {
    usize::try_from(result).map_err(|_| last_error())
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

fn offset(offset: u64) -> Result<libc::off_t> {
    libc::off_t::try_from(offset).map_err(|_| Errno::INVAL)
}

/// A list of one vector, by far the most common: the kernel's plain calls are quicker with it.
fn single(vecs: &IoVecs<'_>) -> Option<(*mut libc::c_void, usize)> {
    match vecs.as_slice() {
        [vec] => Some((vec.iov_base, vec.iov_len)),
        _ => None,
    }
}

/// Reads at the file's position.
///
/// # Errors
/// Those of `readv`.
pub fn readv(fd: BorrowedFd<'_>, vecs: &IoVecs<'_>) -> Result<usize> {
    let ((start, len), fd) = (vecs.raw(), fd.as_raw_fd());
    // SAFETY: the list and its ranges are live and writable (module invariant).
    counted(unsafe {
        match single(vecs) {
            Some((base, bytes)) => libc::read(fd, base, bytes),
            None => libc::readv(fd, start, len),
        }
    })
}

/// Writes at the file's position.
///
/// # Errors
/// Those of `writev`.
pub fn writev(fd: BorrowedFd<'_>, vecs: &IoVecs<'_>) -> Result<usize> {
    let ((start, len), fd) = (vecs.raw(), fd.as_raw_fd());
    // SAFETY: the list and its ranges are live (module invariant).
    counted(unsafe {
        match single(vecs) {
            Some((base, bytes)) => libc::write(fd, base, bytes),
            None => libc::writev(fd, start, len),
        }
    })
}

/// Reads at `at` and leaves the position alone.
///
/// # Errors
/// Those of `preadv`; `EINVAL` for an offset that the kernel has no number for.
pub fn preadv(fd: BorrowedFd<'_>, vecs: &IoVecs<'_>, at: u64) -> Result<usize> {
    let ((start, len), fd, at) = (vecs.raw(), fd.as_raw_fd(), offset(at)?);
    // SAFETY: the list and its ranges are live and writable (module invariant).
    counted(unsafe {
        match single(vecs) {
            Some((base, bytes)) => libc::pread(fd, base, bytes, at),
            None => libc::preadv(fd, start, len, at),
        }
    })
}

/// Writes at `at` and leaves the position alone.
///
/// # Errors
/// Those of `pwritev`; `EINVAL` for an offset that the kernel has no number for.
pub fn pwritev(fd: BorrowedFd<'_>, vecs: &IoVecs<'_>, at: u64) -> Result<usize> {
    let ((start, len), fd, at) = (vecs.raw(), fd.as_raw_fd(), offset(at)?);
    // SAFETY: the list and its ranges are live (module invariant).
    counted(unsafe {
        match single(vecs) {
            Some((base, bytes)) => libc::pwrite(fd, base, bytes, at),
            None => libc::pwritev(fd, start, len, at),
        }
    })
}

/// A message header over the ranges of `vecs` and nothing else.
fn message(vecs: &IoVecs<'_>) -> libc::msghdr {
    // SAFETY: all zeros is a valid `msghdr`: no name, no vectors, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    let (start, len) = vecs.raw();
    // The kernel only reads the list.
    message.msg_iov = start.cast_mut();
    message.msg_iovlen = len as _;
    message
}

/// How [`receive`] reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveFlags {
    /// Leave the data in the socket.
    pub peek: bool,
    /// Wait until all ranges are full.
    pub wait_all: bool,
    /// Fail rather than wait.
    pub dont_wait: bool,
    /// Return the length of a message that was cut short.
    pub real_length: bool,
}

impl ReceiveFlags {
    fn to_kernel(self) -> libc::c_int {
        let all = [
            (self.peek, libc::MSG_PEEK),
            (self.wait_all, libc::MSG_WAITALL),
            (self.dont_wait, libc::MSG_DONTWAIT),
            (self.real_length, libc::MSG_TRUNC),
        ];
        all.iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag)
    }
}

/// Receives from a socket; also says whether a message was cut short to fit.
///
/// # Errors
/// Those of `recvmsg`, so `ENOTSOCK` for anything else.
pub fn receive(
    fd: BorrowedFd<'_>,
    vecs: &IoVecs<'_>,
    flags: ReceiveFlags,
) -> Result<(usize, bool)> {
    let mut message = message(vecs);
    let flags = flags.to_kernel();
    // SAFETY: the header points to the live list and its live, writable ranges (module invariant).
    let got = counted(unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, flags) })?;
    Ok((got, message.msg_flags & libc::MSG_TRUNC != 0))
}

/// As [`receive`]; also says who sent it, if the kernel does.
///
/// # Errors
/// As there.
#[cfg(feature = "net")]
pub(crate) fn receive_from(
    fd: BorrowedFd<'_>,
    vecs: &IoVecs<'_>,
    flags: ReceiveFlags,
) -> Result<(usize, bool, Option<SocketAddrAny>)> {
    let mut storage = MaybeUninit::<SocketAddrStorage>::zeroed();
    let mut message = message(vecs);
    message.msg_name = storage.as_mut_ptr().cast();
    // No truncation: 128.
    message.msg_namelen = size_of::<SocketAddrStorage>() as libc::socklen_t;
    let flags = flags.to_kernel();
    // SAFETY: the header points to the live list and its live, writable ranges (module invariant),
    // and to a place of that many bytes for the address.
    let got = counted(unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, flags) })?;
    let has_family = message.msg_namelen as usize >= size_of::<libc::sa_family_t>();
    let is_whole = message.msg_namelen as usize <= size_of::<SocketAddrStorage>();
    // SAFETY: the kernel wrote an address of that many bytes, family included, and zeros follow it.
    let from = (has_family && is_whole)
        .then(|| unsafe { SocketAddrAny::new(storage, message.msg_namelen) });
    Ok((got, message.msg_flags & libc::MSG_TRUNC != 0, from))
}

/// As [`send`], to an address if there is one, and without waiting if wished.
///
/// # Errors
/// Those of `sendmsg`, so `ENOTSOCK` for anything but a socket.
#[cfg(feature = "net")]
pub(crate) fn send_to(
    fd: BorrowedFd<'_>,
    vecs: &IoVecs<'_>,
    to: Option<&SocketAddrAny>,
    dont_wait: bool,
) -> Result<usize> {
    let mut message = message(vecs);
    if let Some(to) = to {
        // The kernel only reads the address.
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.addr_len();
    }
    let flags = libc::MSG_NOSIGNAL | if dont_wait { libc::MSG_DONTWAIT } else { 0 };
    // SAFETY: the header points to the live list and its live ranges (module invariant), and to an
    // address of the length that it has.
    counted(unsafe { libc::sendmsg(fd.as_raw_fd(), &message, flags) })
}

/// Sends to a connected socket; a closed one is `EPIPE`, never a signal.
///
/// # Errors
/// Those of `sendmsg`, so `ENOTSOCK` for anything else.
pub fn send(fd: BorrowedFd<'_>, vecs: &IoVecs<'_>) -> Result<usize> {
    let message = message(vecs);
    // SAFETY: the header points to the live list and its live ranges (module invariant).
    counted(unsafe { libc::sendmsg(fd.as_raw_fd(), &message, libc::MSG_NOSIGNAL) })
}

/// Fills the start of `slice` with bytes of the kernel's generator; returns how many.
///
/// # Errors
/// Those of `getrandom`.
pub fn random(slice: GuestSlice<'_>) -> Result<usize> {
    // SAFETY: the range is live and writable (type invariant of `GuestSlice`).
    counted(unsafe { libc::getrandom(slice.as_mut_ptr().cast(), slice.len(), 0) })
}

/// Fills the start of `buffer` with the next entries of a directory, in the kernel's form; returns
/// how many bytes, none at the end.
///
/// # Errors
/// Those of `getdents64`.
pub(crate) fn entries(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let (start, len) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the kernel writes at most `len` bytes to a slice that is borrowed for the call.
    let got = unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), start, len) };
    // No truncation: `ssize_t` and `long` are one.
    counted(got as libc::ssize_t)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;
    use std::io::{Read, Write};

    /// A memory with `count` vectors of `len` bytes at 0, all of them at `target`.
    fn memory_with(count: u32, target: u32, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        let memory = GuestMemory::from_slice(&mut bytes);
        for index in 0..count {
            memory.write_u32(index * 8, target).unwrap();
            memory.write_u32(index * 8 + 4, len).unwrap();
        }
        bytes
    }

    #[test]
    fn gathers_checked() {
        let mut bytes = memory_with(4, 65530, 6);
        let memory = GuestMemory::from_slice(&mut bytes);
        assert_eq!(IoVecs::gather32(&memory, 0, 4).unwrap().bytes(), 24);
        assert_eq!(IoVecs::gather32(&memory, 65528, 1).unwrap().bytes(), 0);
        for (addr, count) in [(65529, 1), (0, 8193), (u32::MAX, 1), (0, u32::MAX), (0, 1 << 31)] {
            assert_eq!(IoVecs::gather32(&memory, addr, count).err(), Some(Fault), "{addr} {count}");
        }
        let mut bytes = memory_with(2, 65530, 7);
        let memory = GuestMemory::from_slice(&mut bytes);
        assert_eq!(IoVecs::gather32(&memory, 0, 2).err(), Some(Fault));
    }

    #[test]
    fn takes_no_more_than_the_kernel() {
        let mut bytes = memory_with(8000, 1, 1);
        let memory = GuestMemory::from_slice(&mut bytes);
        assert_eq!(IoVecs::gather32(&memory, 0, 8000).unwrap().bytes(), IOVECS_MAX);
    }

    #[test]
    fn writes_and_reads_many_vectors() {
        for count in [1, FEW as u32, FEW as u32 + 1, 40] {
            let mut bytes = memory_with(count, 60000, 3);
            bytes[60000..60003].copy_from_slice(b"abc");
            let memory = GuestMemory::from_slice(&mut bytes);
            let vecs = IoVecs::gather32(&memory, 0, count).unwrap();
            let mut file = tempfile::tempfile().unwrap();
            assert_eq!(pwritev(file.as_fd(), &vecs, 0), Ok(3 * count as usize));
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "abc".repeat(count as usize));
            file.write_all(b"xyz").unwrap();
            assert_eq!(preadv(file.as_fd(), &vecs, 3 * u64::from(count)), Ok(3));
            assert_eq!(&bytes[60000..60003], b"xyz");
        }
    }

    #[test]
    fn truncates_from_the_end() {
        let mut bytes = memory_with(3, 100, 10);
        let memory = GuestMemory::from_slice(&mut bytes);
        for (keep, lens) in [(30, [10, 10, 10]), (15, [10, 5, 0]), (0, [0, 0, 0])] {
            let mut vecs = IoVecs::gather32(&memory, 0, 3).unwrap();
            vecs.truncate(keep);
            assert_eq!(vecs.bytes(), keep);
            assert_eq!(vecs.slices().map(|slice| slice.len()).collect::<Vec<_>>(), lens);
        }
    }

    #[test]
    fn offsets_beyond_the_kernel() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(preadv(file.as_fd(), &IoVecs::new(), u64::MAX), Err(Errno::INVAL));
    }
}
