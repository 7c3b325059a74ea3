//! Processes: numbers and ends.

use super::Result;
use crate::abi::Out;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor::Error;
use wasmoor_host::GuestMemory;
use wasmoor_wasi_p1::Exit;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers, proc_id(out: u32););
    offers
        .define("proc_exit2", |code: u32| -> Result<(), Error> { Err(Error::host(Exit { code })) })
}

/// The number of the process.
fn proc_id(thread: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    Out::for_u32(memory, out)?.put_u32(thread.process().pid());
    Ok(())
}
