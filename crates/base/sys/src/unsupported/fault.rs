//! Faults.

use super::unsupported;
use crate::fault::Signal;
use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;

/// Registers of a thread at a fault.
#[derive(Debug)]
pub struct FaultContext<'a>(Infallible, PhantomData<&'a mut ()>);

#[allow(
    missing_docs,
    reason = "no value of this type exists; see the documentation of a real port"
)]
impl FaultContext<'_> {
    #[must_use]
    pub fn signal(&self) -> Signal {
        match self.0 {}
    }

    #[must_use]
    pub fn pc(&self) -> usize {
        match self.0 {}
    }

    #[must_use]
    pub fn sp(&self) -> usize {
        match self.0 {}
    }

    #[must_use]
    pub fn fp(&self) -> usize {
        match self.0 {}
    }

    #[must_use]
    pub fn address(&self) -> usize {
        match self.0 {}
    }

    pub fn redirect(&mut self, _pc: usize, _sp: usize, _fp: usize, _args: [usize; 4]) {
        match self.0 {}
    }

    pub fn inject_call(&mut self, _pc: usize) {
        match self.0 {}
    }
}

/// The crate's `FaultHandler`, which names the context of the port in use.
type Handler = fn(&mut FaultContext<'_>) -> bool;

pub(crate) fn install(_handler: Handler) -> io::Result<()> {
    unsupported()
}

pub(crate) fn prepare_thread() -> io::Result<()> {
    unsupported()
}
