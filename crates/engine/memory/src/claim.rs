//! How much of the process's address space clamped memories may take together.
//!
//! Each takes 70 GiB or more, so two thousand would leave nothing for anybody else, and a host
//! that finds no address space for its own heap is aborted. What is refused here is an error of
//! the one instance.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Three quarters of what a process has on x86-64.
const CLAIMED_BYTES_MAX: usize = 96 << 40;

static CLAIMED: AtomicUsize = AtomicUsize::new(0);

/// A part of the address space, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim(usize);

impl Claim {
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        CLAIMED
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |claimed| {
                claimed.checked_add(bytes).filter(|&claimed| claimed <= CLAIMED_BYTES_MAX)
            })
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Claim(bytes))
    }

    /// Whether so much could be claimed if nothing were.
    pub(crate) fn is_possible(bytes: usize) -> bool {
        bytes <= CLAIMED_BYTES_MAX
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_is_refused_and_what_is_dropped_is_free_again() {
        let most = Claim::new(CLAIMED_BYTES_MAX - (1 << 40)).unwrap();
        assert!(Claim::new(2 << 40).is_err());
        assert!(Claim::new(usize::MAX).is_err());
        drop(most);
        assert!(Claim::new(2 << 40).is_ok());
    }
}
