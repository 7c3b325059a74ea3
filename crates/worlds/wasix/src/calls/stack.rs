//! Saving and restoring where a guest is: `setjmp` and `longjmp` of C without exceptions.
//!
//! The engine keeps what is saved; the guest's `stack_snapshot` names it, and may be copied. Its
//! memory stays as it is when it is restored, but for the value that the call gives.

use super::Result;
use crate::abi::Out;
use crate::errno::Errno;
use crate::link::{Offers, number};
use crate::program::Guest;
use wasmoor::raw::{self, Capturing, CheckpointKey, NoCheckpoint};
use wasmoor::{Caller, Error, TrapCode};
use wasmoor_host::GuestMemory;
use wasmoor_wasi_p1::with_memory;

/// Bytes of a `stack_snapshot`: `user`, a number of the host's (here the address of the value), and
/// a `hash` of two words (here the key).
const SNAPSHOT_BYTES: u32 = 24;
/// Bytes of the value.
const VALUE_BYTES: u32 = 8;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offers.define("stack_checkpoint", Capturing(stack_checkpoint::<T>))?;
    offers.define("stack_restore", stack_restore::<T>)
}

/// Saves where the guest is; the value is 0 now, and another when this returns again.
fn stack_checkpoint<T: Guest>(mut caller: Caller<'_, T>, snapshot: u32, value: u32) -> i32 {
    number(save(&mut caller, snapshot, value))
}

fn save<T: Guest>(caller: &mut Caller<'_, T>, snapshot: u32, value: u32) -> Result {
    with_memory(caller, |_, memory| prepare(memory, snapshot, value))?;
    let CheckpointKey([low, high]) =
        raw::checkpoint(caller, value.into()).map_err(|error| match error {
            NoCheckpoint::Limit => rustix::io::Errno::NOMEM,
            NoCheckpoint::NotCapturing => rustix::io::Errno::NOTSUP,
        })?;
    let words = [u64::from(value), low, high].map(u64::to_le_bytes).concat();
    let out = with_memory(caller, |_, memory| memory.write_bytes(snapshot, &words));
    Ok(out?)
}

/// Checks the places of the results; the value is 0 for now.
fn prepare(memory: &GuestMemory<'_>, snapshot: u32, value: u32) -> Result {
    Out::new(memory, snapshot, SNAPSHOT_BYTES)?;
    Out::new(memory, value, VALUE_BYTES)?.put(&[0; VALUE_BYTES as usize]);
    Ok(())
}

/// Goes on where a snapshot was saved. There the value is this one; 0 becomes 1.
fn stack_restore<T: Guest>(
    mut caller: Caller<'_, T>,
    snapshot: u32,
    value: u64,
) -> Result<(), Error> {
    let outside = |_: Errno| Error::trap(TrapCode::MemoryOutOfBounds);
    let key = with_memory(&mut caller, |_, memory| key(memory, snapshot)).map_err(outside)?;
    let (place, goes_on) = raw::restore(&mut caller, key).ok_or_else(|| Error::host(Gone))?;
    // It was in bounds, and memories do not shrink.
    with_memory(&mut caller, |_, memory| memory.write_u64(place, value.max(1)))
        .map_err(|fault| outside(fault.into()))?;
    Err(goes_on)
}

fn key(memory: &GuestMemory<'_>, snapshot: u32) -> Result<CheckpointKey> {
    let slice = memory.slice(snapshot, SNAPSHOT_BYTES)?;
    let mut bytes = [0; SNAPSHOT_BYTES as usize];
    slice.copy_to(&mut bytes);
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
    Ok(CheckpointKey([word(8), word(16)]))
}

/// The guest restores what is no snapshot of this thread, or one whose function has returned.
#[derive(Debug, thiserror::Error)]
#[error(
    "`stack_restore` (`longjmp`) got a snapshot that this thread did not make, or whose function has returned"
)]
struct Gone;
