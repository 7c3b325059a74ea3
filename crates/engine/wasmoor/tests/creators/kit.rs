//! Creators that keep a log, and some that refuse, panic or do not keep their word.
//!
//! # Safety
//! Storage is a mapping of its own, kept until it is dropped. The creators that lie do so only about
//! what the engine is supposed to notice: nothing is used that is not mapped. Forks the test process
//! through the one fork there is; the child only computes and exits.

#![allow(unsafe_code)]

use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};
use wasmoor::*;

/// What a creator does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    RefusesToCreate,
    RefusesToGrow,
    PanicsAtCreation,
    PanicsAtGrowth,
    TooShort,
    TooLong,
    Misaligned,
    /// Everything that should fault can be read.
    GuardReadable,
    /// ... or just the last page.
    LastPageReadable,
    /// Nothing is mapped where the guard should be.
    GuardMissing,
    NotZero,
    /// Says that it has grown, and has not.
    GrowsNot,
    /// The first page behind what it has grown to can be read.
    GrowsTooFar,
}

pub(crate) const PAGE: usize = 4096;

/// Makes memories and tables, and keeps a log of everything that is asked and of what is dropped.
pub(crate) struct Maker {
    log: Arc<Log>,
    manner: Mutex<Manner>,
}

type Log = Mutex<Vec<String>>;

fn write(log: &Log, line: String) {
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

impl Maker {
    pub(crate) fn new(manner: Manner) -> Arc<Maker> {
        Arc::new(Maker { log: Arc::default(), manner: Mutex::new(manner) })
    }

    pub(crate) fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been logged since the last time.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self, what: String) -> Result<Manner, CreatorFailure> {
        write(&self.log, what);
        match self.manner() {
            Manner::RefusesToCreate => Err(Box::new(No)),
            Manner::PanicsAtCreation => panic!("the creator panics"),
            manner => Ok(manner),
        }
    }
}

/// The error of creators that refuse.
#[derive(Debug)]
pub(crate) struct No;

impl std::fmt::Display for No {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not today")
    }
}

impl std::error::Error for No {}

/// A private mapping.
struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

impl Mapping {
    fn new(len: usize, rights: libc::c_int) -> Mapping {
        let len = len.max(1).next_multiple_of(PAGE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping touches nothing that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, rights, flags, -1, 0) };
        assert_ne!(base, libc::MAP_FAILED, "{len} bytes");
        Mapping { base: NonNull::new(base.cast()).expect("not null"), len }
    }

    /// Whatever others map there meanwhile will not fill the hole.
    fn unmap_behind(&mut self, len: usize) {
        let end = std::mem::replace(&mut self.len, len.next_multiple_of(PAGE));
        // SAFETY: the pages are ours, and used by nobody.
        unsafe { libc::munmap(self.base.add(self.len).as_ptr().cast(), end - self.len) };
    }

    fn protect(&self, start: usize, end: usize, rights: libc::c_int) {
        assert!(start <= end && end <= self.len);
        // SAFETY: the pages are ours.
        let done =
            unsafe { libc::mprotect(self.base.add(start).as_ptr().cast(), end - start, rights) };
        assert_eq!(done, 0);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and used by nobody any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

// SAFETY: a mapping is of no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; who uses the bytes sees to the order.
unsafe impl Sync for Mapping {}

const READ_WRITE: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;

struct LoggedMemory {
    mapping: Mapping,
    accessible: usize,
    is_guarded: bool,
    maker: Arc<Maker>,
    is_misaligned: bool,
}

/// The creator as the engine has it.
pub(crate) struct Creator(pub(crate) Arc<Maker>);

// SAFETY: see the head of this file.
unsafe impl MemoryCreator for Creator {
    fn create(&self, request: &MemoryRequest) -> Result<Box<dyn CreatedMemory>, CreatorFailure> {
        let MemoryRequest { bytes, bytes_max, reserved_bytes, guard_bytes, .. } = *request;
        let manner = self.0.begin(format!("memory {bytes}..{bytes_max}"))?;
        assert!(!request.ty.shared);
        let reserved = reserved_bytes + guard_bytes;
        let is_guarded = reserved > 0;
        let rights = if is_guarded { libc::PROT_NONE } else { READ_WRITE };
        let mut mapping = Mapping::new(reserved.max(bytes), rights);
        let mut accessible = bytes;
        match manner {
            Manner::TooShort => accessible -= PAGE,
            Manner::TooLong => accessible += PAGE,
            _ => {}
        }
        if is_guarded {
            let end = mapping.len;
            mapping.protect(0, accessible, READ_WRITE);
            match manner {
                Manner::GuardReadable => mapping.protect(accessible, end, libc::PROT_READ),
                Manner::LastPageReadable => mapping.protect(end - PAGE, end, libc::PROT_READ),
                Manner::GuardMissing => mapping.unmap_behind(end / 2),
                _ => {}
            }
        }
        if manner == Manner::NotZero {
            // SAFETY: a page of the mapping, read-write.
            unsafe { mapping.base.add(100).write(1) };
        }
        let is_misaligned = manner == Manner::Misaligned;
        let maker = self.0.clone();
        Ok(Box::new(LoggedMemory { mapping, accessible, is_guarded, maker, is_misaligned }))
    }
}

// SAFETY: see the head of this file.
unsafe impl CreatedMemory for LoggedMemory {
    fn base(&self) -> NonNull<u8> {
        // SAFETY: within the mapping.
        unsafe { self.mapping.base.add(if self.is_misaligned { 8 } else { 0 }) }
    }

    fn accessible(&self) -> usize {
        self.accessible
    }

    fn grow(&mut self, bytes: usize) -> Result<(), CreatorFailure> {
        write(&self.maker.log, format!("grow memory to {bytes}"));
        match self.maker.manner() {
            Manner::RefusesToGrow => return Err(Box::new(No)),
            Manner::PanicsAtGrowth => panic!("the memory panics"),
            Manner::GrowsNot => return Ok(()),
            Manner::GrowsTooFar if self.is_guarded => {
                self.mapping.protect(bytes, bytes + PAGE, libc::PROT_READ);
            }
            _ => {}
        }
        if self.is_guarded {
            self.mapping.protect(self.accessible, bytes, READ_WRITE);
        } else {
            // It moves each time.
            let larger = Mapping::new(bytes, READ_WRITE);
            let (from, to) = (self.mapping.base, larger.base);
            // SAFETY: the old bytes are readable, the new ones writable and more.
            unsafe { to.copy_from_nonoverlapping(from, self.accessible) };
            self.mapping = larger;
        }
        self.accessible = bytes;
        Ok(())
    }
}

impl Drop for LoggedMemory {
    fn drop(&mut self) {
        write(&self.maker.log, "drop memory".into());
    }
}

struct LoggedTable {
    cells: Vec<u64>,
    is_misaligned: bool,
    is_short: bool,
    maker: Arc<Maker>,
}

// SAFETY: cells are the vector's, which is not touched while the table does not grow.
unsafe impl TableCreator for Creator {
    fn create(&self, request: &TableRequest) -> Result<Box<dyn CreatedTable>, CreatorFailure> {
        let TableRequest { cells, cells_max, .. } = *request;
        let manner = self.0.begin(format!("table {cells}..{cells_max}"))?;
        let mut cells = vec![0; cells + 1];
        if manner == Manner::NotZero {
            cells[0] = 1;
        }
        Ok(Box::new(LoggedTable {
            cells,
            is_misaligned: manner == Manner::Misaligned,
            is_short: manner == Manner::TooShort,
            maker: self.0.clone(),
        }))
    }
}

// SAFETY: as above.
unsafe impl CreatedTable for LoggedTable {
    fn base(&self) -> NonNull<u64> {
        let base = NonNull::from(&self.cells[..]).cast::<u64>();
        // SAFETY: within the first cell.
        if self.is_misaligned { unsafe { base.byte_add(4) } } else { base }
    }

    fn cells(&self) -> usize {
        self.cells.len() - 1 - usize::from(self.is_short)
    }

    fn grow(&mut self, cells: usize) -> Result<(), CreatorFailure> {
        write(&self.maker.log, format!("grow table to {cells}"));
        match self.maker.manner() {
            Manner::RefusesToGrow => return Err(Box::new(No)),
            Manner::PanicsAtGrowth => panic!("the table panics"),
            Manner::GrowsNot => return Ok(()),
            _ => {}
        }
        // It moves each time.
        let mut larger = vec![0; cells + 1];
        larger[..self.cells.len()].copy_from_slice(&self.cells);
        self.cells = larger;
        Ok(())
    }
}

impl Drop for LoggedTable {
    fn drop(&mut self) {
        write(&self.maker.log, "drop table".into());
    }
}

/// Forks, and answers the child's status: what `f` answers there.
pub(crate) fn in_child(f: impl FnOnce() -> i32) -> i32 {
    let pid = match wasmoor_sys::fork::fork().expect("fork") {
        // SAFETY: leaves without running the parent's destructors and test harness.
        wasmoor_sys::fork::Fork::Child => unsafe { libc::_exit(f()) },
        wasmoor_sys::fork::Fork::Parent(pid) => pid,
    };
    let mut status = 0;
    // SAFETY: waits for the child that was made above.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    status
}
