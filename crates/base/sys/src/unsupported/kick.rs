//! Kicks.

use super::unsupported;
use std::io;
use std::num::NonZeroU32;

/// Identity of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread(NonZeroU32);

impl Thread {
    /// The number of the thread.
    #[must_use]
    pub fn number(self) -> NonZeroU32 {
        self.0
    }

    /// The thread with a number.
    #[must_use]
    pub fn from_number(number: NonZeroU32) -> Self {
        Thread(number)
    }

    /// Does nothing.
    pub fn kick(self) {}
}

pub(crate) fn current_thread() -> io::Result<Thread> {
    unsupported()
}
