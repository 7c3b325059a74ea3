//! A checked view of a guest's linear memory.
//!
//! Every access is `check the range once, then copy`: typed values are little-endian and may lie at
//! any address. Nothing here hands out a Rust reference into guest memory, because the guest's
//! other threads may write it (a shared memory) and because two pointers of one call may overlap.
//!
//! # Safety
//! A [`GuestMemory`] promises that `base..base + len` stays mapped, readable and writable for `'a`.
//! It is made by [`GuestMemory::from_raw`], whose caller proves this, or from a mutable slice. A
//! linear memory may grow while the value lives but neither moves nor shrinks. Bytes are read and
//! written as atomics, since other threads of the guest may use them meanwhile; a guest that races
//! with its own system call gets torn bytes, never more.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// An access outside the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pointer of the guest lies outside its memory")
    }
}

impl std::error::Error for Fault {}

/// The linear memory of the calling instance.
///
/// Addresses are anything that widens to `u64` without loss, so one view serves 32-bit and 64-bit
/// guests.
#[derive(Clone, Copy, Debug)]
pub struct GuestMemory<'a> {
    base: *mut u8,
    len: usize,
    lives: PhantomData<&'a mut [u8]>,
}

/// A range that was checked to lie in a [`GuestMemory`].
#[derive(Clone, Copy, Debug)]
pub struct GuestSlice<'a> {
    start: *mut u8,
    len: usize,
    lives: PhantomData<&'a mut [u8]>,
}

macro_rules! typed_access {
    ($($int:ident $read:ident $write:ident;)*) => { $(
        #[doc = concat!("Reads a little-endian `", stringify!($int), "`, aligned or not.")]
        ///
        /// # Errors
        /// [`Fault`] when a byte of it lies outside.
        pub fn $read(&self, addr: impl Into<u64>) -> Result<$int, Fault> {
            self.read_array(addr).map($int::from_le_bytes)
        }

        #[doc = concat!("Writes a little-endian `", stringify!($int), "`, aligned or not.")]
        ///
        /// # Errors
        /// [`Fault`] when a byte of it lies outside; then nothing is written.
        pub fn $write(&self, addr: impl Into<u64>, value: $int) -> Result<(), Fault> {
            self.write_bytes(addr, &value.to_le_bytes())
        }
    )* };
}

impl<'a> GuestMemory<'a> {
    /// The view of a memory that lies at `base`.
    ///
    /// # Safety
    /// `base..base + len` stays mapped, readable and writable for `'a`, and no Rust reference to
    /// any of it is used during `'a`, but for atomics.
    #[must_use]
    pub unsafe fn from_raw(base: *mut u8, len: usize) -> Self {
        GuestMemory { base, len, lives: PhantomData }
    }

    /// The view of a slice that serves as a memory.
    #[must_use]
    pub fn from_slice(bytes: &'a mut [u8]) -> Self {
        GuestMemory { base: bytes.as_mut_ptr(), len: bytes.len(), lives: PhantomData }
    }

    /// Size in bytes when the view was made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The range `addr..addr + len`; an empty one may lie at the very end but not beyond.
    ///
    /// # Errors
    /// [`Fault`] when any of it lies outside.
    pub fn slice(
        &self,
        addr: impl Into<u64>,
        len: impl Into<u64>,
    ) -> Result<GuestSlice<'a>, Fault> {
        let addr: u64 = addr.into();
        let end = addr.checked_add(len.into()).ok_or(Fault)?;
        let end = usize::try_from(end).map_err(|_| Fault)?;
        if end > self.len {
            return Err(Fault);
        }
        // No truncation: `addr <= end`, which fits.
        let start = addr as usize;
        // SAFETY: `start <= end <= self.len`, so the pointer stays inside the memory or one past it.
        let pointer = unsafe { self.base.add(start) };
        Ok(GuestSlice { start: pointer, len: end - start, lives: PhantomData })
    }

    typed_access! {
        u8 read_u8 write_u8;
        u16 read_u16 write_u16;
        u32 read_u32 write_u32;
        u64 read_u64 write_u64;
    }

    /// Reads `N` bytes.
    ///
    /// # Errors
    /// [`Fault`] when one of them lies outside.
    pub fn read_array<const N: usize>(&self, addr: impl Into<u64>) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.slice(addr, N as u64)?.copy_to(&mut bytes);
        Ok(bytes)
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`Fault`] when one of them would lie outside; then nothing is written.
    pub fn write_bytes(&self, addr: impl Into<u64>, bytes: &[u8]) -> Result<(), Fault> {
        self.slice(addr, bytes.len() as u64)?.copy_from(bytes);
        Ok(())
    }
}

impl<'a> GuestSlice<'a> {
    /// The range of `len` bytes at `start`.
    ///
    /// # Safety
    /// It is a part of a range that another `GuestSlice<'a>` stands for.
    pub(crate) unsafe fn from_raw(start: *mut u8, len: usize) -> Self {
        GuestSlice { start, len, lives: PhantomData }
    }

    /// Bytes in the range.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the range is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte, for the kernel.
    #[must_use]
    pub(crate) fn as_mut_ptr(&self) -> *mut u8 {
        self.start
    }

    /// The first `at` bytes and the rest; all and nothing when there are fewer.
    #[must_use]
    pub fn split_at(&self, at: usize) -> (GuestSlice<'a>, GuestSlice<'a>) {
        let at = at.min(self.len);
        // SAFETY: `at <= self.len`, so the pointer stays inside the range or one past it.
        let middle = unsafe { self.start.add(at) };
        (
            GuestSlice { len: at, ..*self },
            GuestSlice { start: middle, len: self.len - at, lives: PhantomData },
        )
    }

    /// Copies as many bytes as both sides have to `bytes`; returns how many.
    pub fn copy_to(&self, bytes: &mut [u8]) -> usize {
        let len = self.len.min(bytes.len());
        let mut at = 0;
        while let Some(rest) = bytes[at..len].first_chunk_mut::<WORD>() {
            // SAFETY: `at + WORD <= len`, so the pointer stays in a live range (type invariant).
            let here = unsafe { self.start.add(at) };
            if !here.addr().is_multiple_of(WORD) {
                // SAFETY: as above.
                bytes[at] = unsafe { AtomicU8::from_ptr(here) }.load(Ordering::Relaxed);
                at += 1;
                continue;
            }
            // SAFETY: as above, and the word is aligned.
            let word = unsafe { AtomicU64::from_ptr(here.cast()) }.load(Ordering::Relaxed);
            *rest = word.to_ne_bytes();
            at += WORD;
        }
        for (at, byte) in bytes.iter_mut().enumerate().take(len).skip(at) {
            // SAFETY: `at < len`, so the byte lies in a live range (type invariant).
            *byte = unsafe { AtomicU8::from_ptr(self.start.add(at)) }.load(Ordering::Relaxed);
        }
        len
    }

    /// Copies as many bytes as both sides have from `bytes`; returns how many.
    pub fn copy_from(&self, bytes: &[u8]) -> usize {
        let len = self.len.min(bytes.len());
        let mut at = 0;
        while let Some(rest) = bytes[at..len].first_chunk::<WORD>() {
            // SAFETY: `at + WORD <= len`, so the pointer stays in a live range (type invariant).
            let here = unsafe { self.start.add(at) };
            if !here.addr().is_multiple_of(WORD) {
                // SAFETY: as above; the range is writable.
                unsafe { AtomicU8::from_ptr(here) }.store(bytes[at], Ordering::Relaxed);
                at += 1;
                continue;
            }
            // SAFETY: as above, and the word is aligned.
            let word = unsafe { AtomicU64::from_ptr(here.cast()) };
            word.store(u64::from_ne_bytes(*rest), Ordering::Relaxed);
            at += WORD;
        }
        for (at, byte) in bytes.iter().enumerate().take(len).skip(at) {
            // SAFETY: `at < len`, so the byte lies in a live, writable range (type invariant).
            unsafe { AtomicU8::from_ptr(self.start.add(at)) }.store(*byte, Ordering::Relaxed);
        }
        len
    }
}

/// Bytes that are copied at once where addresses allow it.
const WORD: usize = size_of::<u64>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_values_at_every_edge() {
        let mut bytes = [0u8; 16];
        let memory = GuestMemory::from_slice(&mut bytes);
        memory.write_u64(3u32, 0x0102_0304_0506_0708).unwrap();
        assert_eq!(memory.read_u8(3u32), Ok(8));
        assert_eq!(memory.read_u16(9u32), Ok(0x0102));
        assert_eq!(memory.read_u64(8u32).map(|v| v & 0xffff), Ok(0x0203));
        for (addr, fits) in [(8u32, true), (9, false), (16, false), (u32::MAX, false)] {
            assert_eq!(memory.read_u64(addr).is_ok(), fits, "u64 at {addr}");
            assert_eq!(memory.write_u64(addr, 0).is_ok(), fits, "u64 at {addr}");
        }
    }

    #[test]
    fn ranges_at_every_edge() {
        let mut bytes = [0u8; 16];
        let memory = GuestMemory::from_slice(&mut bytes);
        for (addr, len, fits) in [
            (0u64, 16u64, true),
            (0, 17, false),
            (16, 0, true),
            (17, 0, false),
            (15, 1, true),
            (15, 2, false),
            (u64::MAX, 1, false),
            (1, u64::MAX, false),
            (u64::from(u32::MAX), u64::from(u32::MAX), false),
        ] {
            assert_eq!(memory.slice(addr, len).is_ok(), fits, "{addr}+{len}");
        }
    }

    #[test]
    fn a_refused_write_changes_nothing() {
        let mut bytes = [7u8; 4];
        let memory = GuestMemory::from_slice(&mut bytes);
        assert_eq!(memory.write_bytes(2u32, &[1, 2, 3]), Err(Fault));
        assert_eq!(bytes, [7; 4]);
    }

    #[test]
    fn split_never_leaves_the_range() {
        let mut bytes = [1u8, 2, 3, 4];
        let memory = GuestMemory::from_slice(&mut bytes);
        let (head, tail) = memory.slice(1u32, 2u32).unwrap().split_at(9);
        assert_eq!((head.len(), tail.len()), (2, 0));
        let mut copy = [0; 4];
        assert_eq!(head.copy_to(&mut copy), 2);
        assert_eq!(copy, [2, 3, 0, 0]);
    }
}
