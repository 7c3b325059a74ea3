//! Saving and restoring where a guest is (`setjmp` and `longjmp` without exceptions): not there.
//!
//! Guests that were built with exceptions do not need it. Others learn from the first call that it
//! is not supported; what cannot fail ends the guest and says so.

use super::Result;
use crate::abi::Out;
use crate::errno::Errno;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor::Error;
use wasmoor_host::GuestMemory;

/// Bytes of a `stack_snapshot`.
const SNAPSHOT_BYTES: u32 = 24;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers, stack_checkpoint(snapshot: u32, out: u32););
    offers.define(
        "stack_restore",
        |_snapshot: u32, _value: u64| -> std::result::Result<(), Error> {
            Err(Error::usage("`stack_restore` of WASIX is not supported"))
        },
    )
}

fn stack_checkpoint(_: &Thread, memory: &GuestMemory<'_>, snapshot: u32, out: u32) -> Result {
    Out::new(memory, snapshot, SNAPSHOT_BYTES)?;
    Out::new(memory, out, 8)?;
    Err(Errno::from(rustix::io::Errno::NOTSUP))
}
