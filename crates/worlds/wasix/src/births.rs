//! Threads are not forked while they begin or end.
//!
//! A thread's store and instance take locks of the engine while they are made and dropped. The child of a
//! fork would find such a lock taken for ever, so a fork waits until nobody is there. What threads do in
//! between is waited for by those who own the locks (see `wasmoor_sys::fork`).

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a fork waits between two looks, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(2));
/// So long a fork goes on waiting when the guest is asked for: for a signal it can wait, and others are
/// mostly there for less than a millisecond. A deadline must not wait for them for ever.
const GRACE: Duration = Duration::from_millis(500);
/// So often a thread lets a fork that waits go first. No oftener: the fork may wait for one that waits
/// for this thread.
const YIELDS_MAX: u32 = 20;

thread_local! {
    /// Whether the thread is inside already: the function with which an instance starts is the guest's,
    /// and may start threads, or fork.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Of one process.
#[derive(Debug, Default)]
pub(crate) struct Births {
    inside: RwLock<()>,
    fork_waits: AtomicBool,
}

/// A thread that begins or ends until this is dropped.
pub(crate) struct Birth<'a> {
    held: Option<RwLockReadGuard<'a, ()>>,
}

impl Births {
    /// Waits for forks.
    pub(crate) fn enter(&self) -> Birth<'_> {
        if INSIDE.replace(true) {
            return Birth { held: None };
        }
        for _ in 0..YIELDS_MAX {
            if !self.fork_waits.load(Ordering::Relaxed) {
                break;
            }
            sleep(PAUSES.0);
        }
        Birth { held: Some(self.inside.read().unwrap_or_else(PoisonError::into_inner)) }
    }

    /// Keeps threads from beginning and ending until the guard is dropped. `None`: the caller is one,
    /// or `is_asked_for` for a while in which it waited: what is waited for may be the guest's, and
    /// never end.
    pub(crate) fn hold(&self, is_asked_for: impl Fn() -> bool) -> Option<RwLockWriteGuard<'_, ()>> {
        if INSIDE.get() {
            return None;
        }
        let mut pause = PAUSES.0;
        let mut asked_for: Option<Instant> = None;
        let held = loop {
            match self.inside.try_write() {
                Ok(held) => break Some(held),
                Err(TryLockError::Poisoned(held)) => break Some(held.into_inner()),
                Err(TryLockError::WouldBlock) if is_asked_for() => {
                    if asked_for.get_or_insert_with(Instant::now).elapsed() > GRACE {
                        break None;
                    }
                }
                Err(TryLockError::WouldBlock) => {}
            }
            self.fork_waits.store(true, Ordering::Relaxed);
            sleep(pause);
            pause = (pause * 2).min(PAUSES.1);
        };
        self.fork_waits.store(false, Ordering::Relaxed);
        held
    }
}

impl Drop for Birth<'_> {
    fn drop(&mut self) {
        if self.held.take().is_some() {
            INSIDE.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_waits_for_others_only() {
        let births = Births::default();
        let outer = births.enter();
        drop(births.enter());
        assert!(births.hold(|| false).is_none(), "the thread itself is inside");
        std::thread::scope(|scope| {
            let stopped = scope.spawn(|| births.hold(|| true).is_none());
            assert!(stopped.join().expect("no panic"), "it waits no longer than it may");
            let fork = scope.spawn(|| births.hold(|| false).is_some());
            sleep(Duration::from_millis(20));
            assert!(!fork.is_finished(), "another thread is inside");
            drop(outer);
            assert!(fork.join().expect("no panic"));
        });
        assert!(births.hold(|| true).is_some(), "nobody is waited for");
    }
}
