//! Progress of eager compilation, on a terminal and only when it takes a while.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nothing is shown before this: most programs are ready by then.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time between two updates.
const INTERVAL: Duration = Duration::from_millis(100);

/// One line of a terminal that counts functions.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    terminal: bool,
    /// Milliseconds after `start` of the next update.
    next_ms: AtomicU64,
    /// Milliseconds after `start` of the first function, plus one; 0: none yet.
    first_ms: AtomicU64,
}

impl Progress {
    /// Starts the clock.
    pub(crate) fn new() -> Progress {
        Progress {
            start: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
            next_ms: AtomicU64::new(PATIENCE.as_millis() as u64),
            first_ms: AtomicU64::new(0),
        }
    }

    /// `done` of `all` functions are compiled. Any thread may say so.
    pub(crate) fn report(&self, done: usize, all: usize) {
        let now_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        let first = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.first_ms.compare_exchange(0, now_ms + 1, first.0, first.1);
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        if !self.terminal || now_ms < next_ms {
            return;
        }
        let later = now_ms.saturating_add(INTERVAL.as_millis() as u64);
        // The thread that moves the time of the next update prints this one.
        let moved =
            self.next_ms.compare_exchange(next_ms, later, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() {
            let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
            let _ = write!(
                std::io::stderr(),
                "\rcompiling: {done} of {all} functions ({percent} %)\x1b[K"
            );
        }
    }

    /// Removes the line; returns the time until the first function was compiled, if one was.
    pub(crate) fn finish(self) -> Option<Duration> {
        if self.terminal && self.start.elapsed() >= PATIENCE {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.first_ms.into_inner().checked_sub(1).map(Duration::from_millis)
    }
}
