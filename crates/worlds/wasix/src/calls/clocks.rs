//! Clocks: setting them, which no guest may.

use super::Result;
use crate::errno::Errno;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor_host::GuestMemory;

/// How many clocks there are: real time, monotonic, and the processor time of process and thread.
const CLOCKS: u32 = 4;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers, clock_time_set(clock: u32, time_ns: u64););
    Ok(())
}

/// As for a program of the host that has no right to set its clocks.
fn clock_time_set(_: &Thread, _: &GuestMemory<'_>, clock: u32, _time_ns: u64) -> Result {
    use rustix::io::Errno as Host;
    Err(Errno::from(if clock < CLOCKS { Host::PERM } else { Host::INVAL }))
}
