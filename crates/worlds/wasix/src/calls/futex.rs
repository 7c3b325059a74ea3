//! Futexes: waiting for words of memory. The queues are those of `memory.atomic.wait32` and
//! `memory.atomic.notify`, so guests may mix both.

use super::Result;
use super::threads::sleep;
use crate::abi::{Out, optional_time};
use crate::errno::Errno;
use crate::link::{Offers, number};
use crate::program::Guest;
use std::time::Duration;
use wasmoor::{Caller, Error, SharedMemory, TrapCode, Waited};
use wasmoor_wasi_p1::with_memory;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offers.define("futex_wait", futex_wait::<T>)?;
    offers.define("futex_wake", |caller: Caller<'_, T>, futex: u32, out: u32| {
        number(futex_wake(caller, futex, out, 1))
    })?;
    offers.define("futex_wake_all", |caller: Caller<'_, T>, futex: u32, out: u32| {
        number(futex_wake(caller, futex, out, u32::MAX))
    })
}

/// Waits until the word at `futex` is woken, if it is `expected`, at most for the time at `timeout`.
/// Puts 1 if it was woken or is another word, 0 if the time was up: libraries take anything but
/// success for a bug.
fn futex_wait<T: Guest>(
    mut caller: Caller<'_, T>,
    futex: u32,
    expected: u32,
    timeout: u32,
    out: u32,
) -> Result<i32, Error> {
    let read = with_memory(&mut caller, |_, memory| -> Result<_> {
        Out::new(memory, out, 1)?;
        let word = memory.read_u32(futex)?;
        Ok((word, optional_time(memory, timeout)?))
    });
    let (word, timeout) = match read {
        Ok(read) => read,
        Err(errno) => return Ok(number(Err(errno))),
    };
    let woken = match caller.shared_memory() {
        Some(shared) => match wait(&mut caller, &shared, futex, expected, timeout) {
            Err(error) if error.trap_code() == Some(TrapCode::UnalignedAtomic) => {
                return Ok(number(Err(invalid())));
            }
            waited => waited? != Waited::TimedOut,
        },
        None if word == expected => {
            // Nobody can wake it; it waits for its time, or its end.
            let ns = timeout.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            // When the guest must stop, that is seen where this returns to it.
            sleep(caller.data_mut().thread().core(), ns).is_err()
        }
        None => true,
    };
    Ok(number(put(&mut caller, out, woken)))
}

fn wait<T: Guest>(
    caller: &mut Caller<'_, T>,
    shared: &SharedMemory,
    futex: u32,
    expected: u32,
    timeout: Option<Duration>,
) -> Result<Waited, Error> {
    caller.wait32(shared, futex.into(), expected, timeout)
}

fn invalid() -> Errno {
    rustix::io::Errno::INVAL.into()
}

/// Wakes threads that wait for the word at `futex`; puts whether there was one.
fn futex_wake<T: Guest>(mut caller: Caller<'_, T>, futex: u32, out: u32, count: u32) -> Result {
    with_memory(&mut caller, |_, memory| -> Result<_> {
        Out::new(memory, out, 1)?;
        memory.slice(futex, 4u32)?;
        Ok(())
    })?;
    let woken = match caller.shared_memory() {
        // In bounds, so it is not aligned.
        Some(shared) => shared.notify(futex.into(), count).map_err(|_| invalid())?,
        None => 0,
    };
    put(&mut caller, out, woken > 0)
}

fn put<T: Guest>(caller: &mut Caller<'_, T>, out: u32, woken: bool) -> Result {
    with_memory(caller, |_, memory| {
        Out::new(memory, out, 1)?.put_bool(woken);
        Ok(())
    })
}
