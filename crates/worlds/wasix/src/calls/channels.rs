//! Pipes and counters of events.

use super::Result;
use crate::abi::Out;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use rustix::io::Errno as Host;
use wasmoor_host::channel::{CounterFlags, counter, pipe};
use wasmoor_host::{Descriptor, GuestMemory};

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        fd_event(initial: u64, flags: u32, out: u32);
        fd_pipe(read: u32, write: u32);
    );
    Ok(())
}

/// Bits of `eventfdflags`; the second one is the libraries', though no document has it.
const SEMAPHORE: u32 = 1 << 0;
const NONBLOCK: u32 = 1 << 2;

/// Makes a counter of events.
fn fd_event(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    initial: u64,
    flags: u32,
    out: u32,
) -> Result {
    if flags & !(SEMAPHORE | NONBLOCK) != 0 {
        return Err(Host::INVAL.into());
    }
    let out = Out::for_u32(memory, out)?;
    let core = thread.core();
    let place = core.table.reserve()?;
    let flags = CounterFlags { semaphore: flags & SEMAPHORE != 0, nonblock: flags & NONBLOCK != 0 };
    let counter = counter(&core.guard, initial, flags)?;
    out.put_u32(core.table.insert(place, counter)?);
    Ok(())
}

/// Makes a pipe.
fn fd_pipe(thread: &Thread, memory: &GuestMemory<'_>, read: u32, write: u32) -> Result {
    let outs = [Out::for_u32(memory, read)?, Out::for_u32(memory, write)?];
    insert_two(thread, pipe(&thread.core().guard)?, outs)
}

/// Gives two descriptors numbers; both or none.
pub(super) fn insert_two(thread: &Thread, pair: [Descriptor; 2], outs: [Out<'_>; 2]) -> Result {
    let table = &thread.core().table;
    let places = [table.reserve()?, table.reserve()?];
    let [one, other] = pair;
    let [place, other_place] = places;
    let first = table.insert(place, one)?;
    let second = match table.insert(other_place, other) {
        Ok(second) => second,
        Err(error) => {
            drop(table.remove(first));
            return Err(error.into());
        }
    };
    outs[0].put_u32(first);
    outs[1].put_u32(second);
    Ok(())
}
