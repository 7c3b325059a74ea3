//! Deadlines: one thread per process that interrupts stores when their time is up.

use crate::poll::InterruptHandle;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When a deadline ends, and a number that makes it unique.
type Key = (Instant, u64);

static DEADLINES: Mutex<BTreeMap<Key, InterruptHandle>> = Mutex::new(BTreeMap::new());
static CHANGED: Condvar = Condvar::new();
/// Process that has a watcher thread (a forked child has none), or 0.
static WATCHED_PROCESS: AtomicU64 = AtomicU64::new(0);

/// A deadline that is in force until dropped.
#[derive(Debug)]
pub struct Deadline {
    key: Key,
    handle: InterruptHandle,
}

impl Deadline {
    /// The store of `handle` traps with `TrapCode::DeadlineExceeded` at its first poll after
    /// `timeout` from now.
    ///
    /// # Errors
    /// When no watcher thread can be started.
    pub fn after(timeout: Duration, handle: InterruptHandle) -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // A deadline beyond what the clock can express is a century away: never.
        let now = Instant::now();
        let end = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(3_000_000_000));
        let key = (end, NEXT.fetch_add(1, Ordering::Relaxed));
        lock().insert(key, handle.clone());
        start_watcher()?;
        CHANGED.notify_one();
        Ok(Deadline { key, handle })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if lock().remove(&self.key).is_none() {
            // It has fired; a request that no guest has served must not hit a later one.
            self.handle.withdraw_deadline();
        }
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<Key, InterruptHandle>> {
    DEADLINES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_watcher() -> std::io::Result<()> {
    let process = u64::from(std::process::id());
    if WATCHED_PROCESS.swap(process, Ordering::SeqCst) == process {
        return Ok(());
    }
    let started = std::thread::Builder::new().name("wasmoor-deadlines".into()).spawn(watch);
    if started.is_err() {
        WATCHED_PROCESS.store(0, Ordering::SeqCst);
    }
    started.map(drop)
}

fn watch() {
    let mut deadlines = lock();
    loop {
        let now = Instant::now();
        while let Some(first) = deadlines.first_entry() {
            if first.key().0 > now {
                break;
            }
            first.remove().deadline();
        }
        deadlines = match deadlines.first_key_value() {
            Some((&(end, _), _)) => {
                let wait = end.saturating_duration_since(now);
                CHANGED.wait_timeout(deadlines, wait).unwrap_or_else(PoisonError::into_inner).0
            }
            None => CHANGED.wait(deadlines).unwrap_or_else(PoisonError::into_inner),
        };
    }
}
