//! Threads: starting, ending, waiting.

use super::{Result, thread_locals};
use crate::abi::Out;
use crate::errno::Errno;
use crate::link::{Offers, number, offer};
use crate::program::{self, Guest, Start};
use crate::thread::Thread;
use crate::threads::ThreadExit;
use wasmoor::{Caller, Error};
use wasmoor_host::{ClockId, Core, GuestMemory};
use wasmoor_wasi_p1::with_memory;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        thread_sleep(duration_ns: u64);
        thread_id(out: u32);
        thread_join(tid: u32);
        thread_parallelism(out: u32);
    );
    offers.define("thread_spawn_v2", thread_spawn::<T>)?;
    match offers.params("thread_spawn") {
        Some(5) => offers.define("thread_spawn", legacy_thread_spawn::<T>)?,
        _ => offers.define("thread_spawn", thread_spawn::<T>)?,
    }
    thread_locals::offer(offers)?;
    offers.define("thread_exit", |code: u32| -> Result<(), Error> {
        Err(Error::host(ThreadExit { code }))
    })?;
    offers.define_in(crate::WASI, "thread-spawn", wasi_thread_spawn::<T>)
}

/// Starts a thread in `wasi_thread_start` with the address `start`; its number, or a negative
/// error number.
fn wasi_thread_spawn<T: Guest>(mut caller: Caller<'_, T>, start: u32) -> i32 {
    match program::spawn(&mut caller, Start::Wasi(start)) {
        // Numbers have 29 bits.
        Ok(tid) => tid.cast_signed(),
        Err(errno) => -i32::from(errno.raw()),
    }
}

/// The same, with the number in memory.
fn thread_spawn<T: Guest>(mut caller: Caller<'_, T>, start: u32, out: u32) -> i32 {
    number(spawn_and_put(&mut caller, Start::Wasi(start), out))
}

/// The form of 2023: starts a thread in `_start_thread`, on a stack that the caller made.
fn legacy_thread_spawn<T: Guest>(
    mut caller: Caller<'_, T>,
    user_data: u64,
    stack_base: u64,
    _stack_start: u64,
    _reactor: u32,
    out: u32,
) -> i32 {
    let Ok(stack) = u32::try_from(stack_base) else {
        return number(Err(rustix::io::Errno::INVAL.into()));
    };
    number(spawn_and_put(&mut caller, Start::Legacy { user_data, stack }, out))
}

fn spawn_and_put<T: Guest>(caller: &mut Caller<'_, T>, start: Start, out: u32) -> Result {
    // The place is checked before there is a thread.
    with_memory(caller, |_, memory| Out::for_u32(memory, out).map(|_| ()))?;
    let tid = program::spawn(caller, start)?;
    with_memory(caller, |_, memory| {
        Out::for_u32(memory, out)?.put_u32(tid);
        Ok(())
    })
}

/// Sleeps; for no time at all it lets others run.
fn thread_sleep(thread: &Thread, _: &GuestMemory<'_>, duration_ns: u64) -> Result {
    if duration_ns == 0 {
        std::thread::yield_now();
        return Ok(());
    }
    sleep(thread.core(), Some(duration_ns))
}

/// Sleeps for a time or, without one, until the guest must stop.
///
/// # Errors
/// `intr` when the guest must stop.
pub(crate) fn sleep(core: &Core, duration_ns: Option<u64>) -> Result {
    let now = || core.clocks.now(ClockId::Monotonic);
    let until = match duration_ns {
        Some(ns) => Some(now()?.saturating_add(ns)),
        None => None,
    };
    loop {
        let left = match until {
            Some(until) => Some(until.saturating_sub(now()?)),
            None => None,
        };
        if left == Some(0) {
            return Ok(());
        }
        if core.guard.interrupt.is_pending() {
            return Err(rustix::io::Errno::INTR.into());
        }
        match core.clocks.wait(&mut [], left) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The number of the calling thread.
fn thread_id(thread: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    Out::for_u32(memory, out)?.put_u32(thread.tid());
    Ok(())
}

/// Waits until a thread has ended.
fn thread_join(thread: &Thread, _: &GuestMemory<'_>, tid: u32) -> Result {
    if tid == thread.tid() {
        return Err(Errno::from(rustix::io::Errno::DEADLK));
    }
    thread.process().threads.join(tid, &thread.core().guard.interrupt)
}

/// How many threads can run at the same time.
fn thread_parallelism(_: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    let out = Out::for_u32(memory, out)?;
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
    Ok(())
}
