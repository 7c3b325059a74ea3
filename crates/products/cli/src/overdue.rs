//! Whether a guest is stuck in the host behind its deadline.
//!
//! The engine ends a guest at its deadline by itself, with a backtrace, wherever it is: a signal that
//! is repeated breaks off calls that wait. Only a call that no signal breaks off, such as reading
//! from a disk that does not answer, keeps the guest's thread. On a busy machine ending may just
//! take its time, so the clock alone tells nothing: a guest is stuck when it has been asked to stop, and
//! a whole [`GRACE`] later still has not.

use std::fmt;
use std::time::{Duration, Instant};

/// Time between two looks.
const GRACE: Duration = Duration::from_secs(1);

/// Looks after one guest's deadline.
pub(crate) struct Overdue {
    is_pending: Box<dyn Fn() -> bool + Send>,
    look_at: Option<Instant>,
    was_pending: bool,
}

impl fmt::Debug for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overdue").field("look_at", &self.look_at).finish_non_exhaustive()
    }
}

impl Overdue {
    /// For a guest whose time is up `timeout` from now; `is_pending` tells whether it has been asked to
    /// stop and has not yet.
    pub(crate) fn new(timeout: Duration, is_pending: impl Fn() -> bool + Send + 'static) -> Self {
        let look_at = timeout.checked_add(GRACE).and_then(|wait| Instant::now().checked_add(wait));
        Overdue { is_pending: Box::new(is_pending), look_at, was_pending: false }
    }

    /// When to look next; never for a deadline that no clock reaches.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// Looks, if it is time to: true when the guest is stuck.
    pub(crate) fn is_stuck(&mut self, now: Instant) -> bool {
        if self.look_at.is_none_or(|at| now < at) {
            return false;
        }
        let is_pending = (self.is_pending)();
        let is_stuck = is_pending && self.was_pending;
        self.was_pending = is_pending;
        self.look_at = now.checked_add(GRACE);
        is_stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn only_a_guest_that_was_asked_twice_is_stuck() {
        let pending = Arc::new(AtomicBool::new(false));
        let asked = pending.clone();
        let timeout = Duration::from_secs(5);
        let mut overdue = Overdue::new(timeout, move || asked.load(Ordering::SeqCst));
        let start = overdue.look_at().expect("a time");
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(start > Instant::now() + timeout);
        // What the guest has been asked before its time counts for nothing.
        pending.store(true, Ordering::SeqCst);
        assert!(!overdue.is_stuck(start - GRACE));
        // Late to be asked, then late to answer, then at work on its backtrace.
        for (seconds, is_pending) in [(0, false), (10, true), (20, false), (30, true)] {
            pending.store(is_pending, Ordering::SeqCst);
            assert!(!overdue.is_stuck(after(seconds)), "{seconds}");
        }
        assert!(!overdue.is_stuck(after(30)), "not before a grace has passed");
        assert_eq!(overdue.look_at(), Some(after(30) + GRACE));
        assert!(overdue.is_stuck(after(31)));
    }

    #[test]
    fn a_deadline_that_never_comes() {
        let mut overdue = Overdue::new(Duration::MAX, || true);
        assert_eq!(overdue.look_at(), None);
        assert!(!overdue.is_stuck(Instant::now()));
    }
}
