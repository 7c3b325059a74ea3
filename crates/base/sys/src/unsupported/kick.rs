//! Kicks.

use super::unsupported;
use crate::kick::KickHandler;
use std::io;
use std::marker::PhantomData;
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

/// Registers of a kicked thread.
#[derive(Debug)]
pub struct KickContext<'a>(PhantomData<&'a mut ()>);

impl KickContext<'_> {
    /// Address of the next instruction.
    #[must_use]
    pub fn pc(&self) -> usize {
        0
    }

    /// Does nothing.
    pub fn inject_call(&mut self, _pc: usize) {}
}

pub(crate) fn install(_handler: KickHandler) -> io::Result<()> {
    unsupported()
}

pub(crate) fn current_thread() -> io::Result<Thread> {
    unsupported()
}
