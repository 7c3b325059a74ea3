//! A number that a process shares with those that it forks.

use crate::port;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts in all processes that stem from the one that made it. Its page is never given back.
#[derive(Clone, Copy, Debug)]
pub struct SharedCounter {
    count: &'static AtomicU32,
}

impl SharedCounter {
    /// A counter at zero.
    ///
    /// # Errors
    /// When the system refuses a page.
    pub fn new() -> io::Result<Self> {
        Ok(SharedCounter { count: port::vm::shared_word()? })
    }

    /// Counts one more unless there are `max`; whether it did.
    #[must_use]
    pub fn add(&self, max: u32) -> bool {
        let add = |count: u32| (count < max).then_some(count + 1);
        self.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add).is_ok()
    }

    /// Counts one less.
    pub fn remove(&self) {
        let remove = |count: u32| count.checked_sub(1);
        // Nothing is removed that was not added.
        let _ = self.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, remove);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_maximum() {
        let counter = SharedCounter::new().expect("a page");
        assert!(counter.add(2) && counter.add(2) && !counter.add(2));
        let copy = counter;
        copy.remove();
        assert!(counter.add(2) && !copy.add(2));
    }
}
