//! Threads are not forked while they begin or end.
//!
//! A thread's store and instance take locks of the engine while they are made and dropped. The child of a
//! fork would find such a lock taken for ever, so a fork waits until nobody is there. What threads do in
//! between is waited for by those who own the locks (see `wasmoor_sys::fork`).

use std::cell::Cell;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

thread_local! {
    /// Whether the thread is inside already: the function with which an instance starts is the guest's,
    /// and may start threads, or fork.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Of one process.
#[derive(Debug, Default)]
pub(crate) struct Births(RwLock<()>);

/// A thread that begins or ends until this is dropped.
pub(crate) struct Birth<'a> {
    held: Option<RwLockReadGuard<'a, ()>>,
}

impl Births {
    /// Waits for forks.
    pub(crate) fn enter(&self) -> Birth<'_> {
        let held =
            (!INSIDE.replace(true)).then(|| self.0.read().unwrap_or_else(PoisonError::into_inner));
        Birth { held }
    }

    /// Keeps threads from beginning and ending until the guard is dropped. `None`: the caller is one.
    pub(crate) fn hold(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        (!INSIDE.get()).then(|| self.0.write().unwrap_or_else(PoisonError::into_inner))
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
        assert!(births.hold().is_none(), "the thread itself is inside");
        std::thread::scope(|scope| {
            let fork = scope.spawn(|| births.hold().is_some());
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!fork.is_finished(), "another thread is inside");
            drop(outer);
            assert!(fork.join().expect("no panic"));
        });
        assert!(births.hold().is_some());
    }
}
