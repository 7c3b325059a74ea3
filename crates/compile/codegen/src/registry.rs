//! Finds the module whose code range holds an address. Readers may be signal handlers.
//!
//! The ranges stand in an immutable sorted array behind an atomic pointer. A writer replaces the
//! array and frees the old one once no reader is inside: readers count themselves in and out, are
//! short, and never wait.
//!
//! # Safety
//! Raw pointers to [`ModuleCode`] are published here. Each is removed by `ModuleCode::drop`
//! before the module's memory goes, and a reader uses one only while a thread executes (or has
//! frames of) that module's code, which keeps the module alive.

#![allow(unsafe_code)]

use crate::blobs::Blob;
use crate::module_code::ModuleCode;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    end: usize,
    code: *const ModuleCode,
}

static ENTRIES: AtomicPtr<Vec<Entry>> = AtomicPtr::new(ptr::null_mut());
static READERS: AtomicUsize = AtomicUsize::new(0);
static WRITER: Mutex<()> = Mutex::new(());

/// Calls `f` with the module and the blob that hold `pc`, if it lies in published code.
///
/// Async-signal-safe as far as `f` is.
pub fn with_code_at<R>(pc: usize, f: impl FnOnce(&ModuleCode, &Blob, u32) -> R) -> Option<R> {
    let code = module_at(pc)?;
    // SAFETY: `pc` is being executed or returned to, so its module is alive (see the module's
    // safety section).
    let code = unsafe { &*code };
    let offset = u32::try_from(pc - code.code_start()).ok()?;
    let blob = code.blob_at(offset)?;
    Some(f(code, blob, offset - blob.start))
}

fn module_at(pc: usize) -> Option<*const ModuleCode> {
    READERS.fetch_add(1, Ordering::SeqCst);
    let entries = ENTRIES.load(Ordering::SeqCst);
    let found = if entries.is_null() {
        None
    } else {
        // SAFETY: not freed while READERS is non-zero, and `entries` was loaded after counting in.
        let entries = unsafe { &*entries };
        let after = entries.partition_point(|entry| entry.start <= pc);
        after.checked_sub(1).and_then(|at| entries.get(at)).filter(|entry| pc < entry.end).copied()
    };
    READERS.fetch_sub(1, Ordering::SeqCst);
    found.map(|entry| entry.code)
}

pub(crate) fn insert(code: &ModuleCode) {
    let range = code.code_range();
    update(|entries| {
        let at = entries.partition_point(|entry| entry.start < range.start);
        entries.insert(at, Entry { start: range.start, end: range.end, code });
    });
}

pub(crate) fn remove(code: &ModuleCode) {
    update(|entries| entries.retain(|entry| !ptr::eq(entry.code, code)));
}

fn update(change: impl FnOnce(&mut Vec<Entry>)) {
    let _writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let old = ENTRIES.load(Ordering::SeqCst);
    // SAFETY: only writers free the array, and this is the only writer.
    let mut entries = if old.is_null() { Vec::new() } else { unsafe { (*old).clone() } };
    change(&mut entries);
    ENTRIES.store(Box::into_raw(Box::new(entries)), Ordering::SeqCst);
    // A reader that counted itself in after this point sees the new array.
    while READERS.load(Ordering::SeqCst) != 0 {
        std::thread::yield_now();
    }
    if !old.is_null() {
        // SAFETY: made by `Box::into_raw` above, unreachable now, and no reader is inside.
        drop(unsafe { Box::from_raw(old) });
    }
}

/// Takes and releases the writer's lock around `fork`, so that a child never inherits it locked.
pub(crate) mod fork {
    use super::{READERS, WRITER};
    use std::cell::Cell;
    use std::sync::atomic::Ordering;
    use std::sync::{MutexGuard, PoisonError};

    thread_local! {
        static HELD: Cell<Option<MutexGuard<'static, ()>>> = const { Cell::new(None) };
    }

    pub(crate) fn prepare() {
        HELD.set(Some(WRITER.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    pub(crate) fn parent() {
        HELD.take();
    }

    pub(crate) fn child() {
        // Readers on other threads do not exist here.
        READERS.store(0, Ordering::SeqCst);
        HELD.take();
    }
}
