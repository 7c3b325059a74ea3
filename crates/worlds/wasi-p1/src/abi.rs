//! Layouts and flags of preview 1 as they lie in guest memory: sizes, offsets, bits.
//!
//! Everything is little-endian. The older `wasi_unstable` differs in four places, marked here by
//! [`Version`]: `filestat` (a 32-bit link count), `whence` (another order), `subscription` (a clock
//! has a name of its own) and the absence of `sock_accept`.

use crate::errno::Errno;
use rustix::fs::{Advice, SeekFrom, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use wasmoor_host::{ClockId, FileKind, FileStat, GuestMemory, GuestSlice};

/// Which of the two interfaces a guest speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// `wasi_unstable`.
    Unstable,
    /// `wasi_snapshot_preview1`.
    Preview1,
}

/// `filetype`.
pub(crate) fn file_type(kind: FileKind) -> u8 {
    match kind {
        // There is no number for pipes.
        FileKind::Unknown | FileKind::Pipe => 0,
        FileKind::BlockDevice => 1,
        FileKind::CharacterDevice => 2,
        FileKind::Directory => 3,
        FileKind::Regular => 4,
        FileKind::SocketDatagram => 5,
        FileKind::SocketStream => 6,
        FileKind::Symlink => 7,
    }
}

/// `clockid`.
pub(crate) fn clock_id(raw: u32) -> Result<ClockId, Errno> {
    match raw {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        2 => Ok(ClockId::ProcessCpu),
        3 => Ok(ClockId::ThreadCpu),
        _ => Err(Errno::Inval),
    }
}

/// `advice`.
pub(crate) fn advice(raw: u32) -> Result<Advice, Errno> {
    match raw {
        0 => Ok(Advice::Normal),
        1 => Ok(Advice::Sequential),
        2 => Ok(Advice::Random),
        3 => Ok(Advice::WillNeed),
        4 => Ok(Advice::DontNeed),
        5 => Ok(Advice::NoReuse),
        _ => Err(Errno::Inval),
    }
}

/// `filedelta` and `whence`.
pub(crate) fn seek_from(version: Version, delta: u64, whence: u32) -> Result<SeekFrom, Errno> {
    // The delta is signed; a position from the start must not be negative.
    let signed = delta.cast_signed();
    let order = match version {
        Version::Preview1 => [0, 1, 2],
        Version::Unstable => [2, 0, 1],
    };
    match order.iter().position(|raw| *raw == whence) {
        Some(0) if signed < 0 => Err(Errno::Inval),
        Some(0) => Ok(SeekFrom::Start(delta)),
        Some(1) => Ok(SeekFrom::Current(signed)),
        Some(2) => Ok(SeekFrom::End(signed)),
        _ => Err(Errno::Inval),
    }
}

/// Bits of `fstflags`.
const ACCESSED: u32 = 1 << 0;
const ACCESSED_NOW: u32 = 1 << 1;
const MODIFIED: u32 = 1 << 2;
const MODIFIED_NOW: u32 = 1 << 3;

/// Two times and the flags that say which of them count.
pub(crate) fn timestamps(accessed: u64, modified: u64, flags: u32) -> Result<Timestamps, Errno> {
    let set_twice = |one: u32, other: u32| flags & one != 0 && flags & other != 0;
    if flags > 0xf || set_twice(ACCESSED, ACCESSED_NOW) || set_twice(MODIFIED, MODIFIED_NOW) {
        return Err(Errno::Inval);
    }
    let time = |ns: u64, given: u32, now: u32| {
        let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        if flags & given != 0 {
            // No truncation: `u64::MAX / 10^9` is below 2^35.
            Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as _ }
        } else if flags & now != 0 {
            special(UTIME_NOW)
        } else {
            special(UTIME_OMIT)
        }
    };
    Ok(Timestamps {
        last_access: time(accessed, ACCESSED, ACCESSED_NOW),
        last_modification: time(modified, MODIFIED, MODIFIED_NOW),
    })
}

/// A value under construction: bytes that are zero wherever nothing is put.
pub(crate) struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Bytes<N> {
    pub(crate) fn new() -> Self {
        Bytes([0; N])
    }

    pub(crate) fn put<const M: usize>(mut self, at: usize, bytes: [u8; M]) -> Self {
        self.0[at..at + M].copy_from_slice(&bytes);
        self
    }

    pub(crate) fn u8(self, at: usize, value: u8) -> Self {
        self.put(at, [value])
    }

    pub(crate) fn u16(self, at: usize, value: u16) -> Self {
        self.put(at, value.to_le_bytes())
    }

    pub(crate) fn u32(self, at: usize, value: u32) -> Self {
        self.put(at, value.to_le_bytes())
    }

    pub(crate) fn u64(self, at: usize, value: u64) -> Self {
        self.put(at, value.to_le_bytes())
    }

    pub(crate) fn bytes(&self) -> &[u8; N] {
        &self.0
    }
}

/// A place for a result, checked before the work is done: a call that did its work never fails for
/// want of a place to say so.
#[derive(Clone, Copy)]
pub(crate) struct Out<'a>(GuestSlice<'a>);

impl<'a> Out<'a> {
    /// `len` bytes at `addr`.
    pub(crate) fn new(memory: &GuestMemory<'a>, addr: u32, len: u32) -> Result<Self, Errno> {
        Ok(Out(memory.slice(addr, len)?))
    }

    /// A place for a `u16`.
    pub(crate) fn for_u16(memory: &GuestMemory<'a>, addr: u32) -> Result<Self, Errno> {
        Out::new(memory, addr, 2)
    }

    /// A place for a `u32`.
    pub(crate) fn for_u32(memory: &GuestMemory<'a>, addr: u32) -> Result<Self, Errno> {
        Out::new(memory, addr, 4)
    }

    /// A place for a `u64`.
    pub(crate) fn for_u64(memory: &GuestMemory<'a>, addr: u32) -> Result<Self, Errno> {
        Out::new(memory, addr, 8)
    }

    pub(crate) fn put(self, bytes: &[u8]) {
        self.0.copy_from(bytes);
    }

    /// Puts a count that fits whatever the guest asked for.
    pub(crate) fn put_count(self, count: usize) -> Result<(), Errno> {
        self.put(&u32::try_from(count).map_err(|_| Errno::Overflow)?.to_le_bytes());
        Ok(())
    }
}

/// Size of `fdstat`.
pub(crate) const FDSTAT_BYTES: u32 = 24;
/// Size of `prestat`.
pub(crate) const PRESTAT_BYTES: u32 = 8;
/// Size of a `dirent` without the name that follows it.
pub(crate) const DIRENT_BYTES: usize = 24;
/// Size of `event`.
pub(crate) const EVENT_BYTES: u32 = 32;

impl Version {
    /// Size of `filestat`.
    pub(crate) fn filestat_bytes(self) -> u32 {
        match self {
            Version::Unstable => 56,
            Version::Preview1 => 64,
        }
    }

    /// Size of `subscription`.
    pub(crate) fn subscription_bytes(self) -> u32 {
        match self {
            Version::Unstable => 56,
            Version::Preview1 => 48,
        }
    }

    /// Where the clock of a subscription starts.
    pub(crate) fn subscription_clock_at(self) -> u32 {
        match self {
            Version::Unstable => 24,
            Version::Preview1 => 16,
        }
    }

    /// Writes a `filestat`.
    pub(crate) fn put_filestat(self, out: Out<'_>, stat: &FileStat) {
        let head = Bytes::<64>::new().u64(0, stat.device).u64(8, stat.inode);
        let head = head.u8(16, file_type(stat.kind));
        let (full, rest) = match self {
            // More links than fit show as the most that do.
            Version::Unstable => (head.u32(20, u32::try_from(stat.links).unwrap_or(u32::MAX)), 24),
            Version::Preview1 => (head.u64(24, stat.links), 32),
        };
        let full = full.u64(rest, stat.size).u64(rest + 8, stat.accessed_ns);
        let full = full.u64(rest + 16, stat.modified_ns).u64(rest + 24, stat.changed_ns);
        out.put(full.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whence_of_both_versions() {
        for (version, order) in [(Version::Preview1, [0, 1, 2]), (Version::Unstable, [2, 0, 1])] {
            let at = |whence| seek_from(version, 7, whence);
            assert_eq!(at(order[0]), Ok(SeekFrom::Start(7)));
            assert_eq!(at(order[1]), Ok(SeekFrom::Current(7)));
            assert_eq!(at(order[2]), Ok(SeekFrom::End(7)));
            assert_eq!(at(3), Err(Errno::Inval));
            assert_eq!(seek_from(version, u64::MAX, order[0]), Err(Errno::Inval));
            assert_eq!(seek_from(version, u64::MAX, order[1]), Ok(SeekFrom::Current(-1)));
        }
    }

    #[test]
    fn times_that_count() {
        for flags in [0b0011, 0b1100, 0b1111, 0b1_0000, u32::MAX] {
            assert!(timestamps(0, 0, flags).is_err(), "{flags:b}");
        }
        let times = timestamps(u64::MAX, 5, ACCESSED | MODIFIED_NOW).unwrap();
        assert_eq!(times.last_access.tv_sec, 18_446_744_073);
        assert_eq!(times.last_access.tv_nsec, 709_551_615);
        assert_eq!(times.last_modification.tv_nsec, UTIME_NOW);
        assert_eq!(timestamps(1, 1, 0).unwrap().last_access.tv_nsec, UTIME_OMIT);
    }
}
