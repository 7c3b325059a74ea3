//! Signals: naming the handler, sending, timers.

use super::Result;
use crate::abi::{Out, text};
use crate::errno::Errno;
use crate::link::{Offers, number, offer};
use crate::program::Guest;
use crate::signals::{self, Signal};
use crate::thread::Thread;
use std::time::Duration;
use wasmoor::{Caller, Error};
use wasmoor_host::GuestMemory;
use wasmoor_wasi_p1::{PREVIEW1, with_memory};

/// The longest name of a handler.
const NAME_BYTES_MAX: u32 = 1024;
/// Bytes of a `signal_disposition`: the signal and what is done with it.
const DISPOSITION_BYTES: u32 = 2;
/// The disposition of a signal that is ignored.
const IGNORE: u8 = 1;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        proc_raise_interval(signal: u32, interval_ns: u64, repeat: u32);
        proc_signals_get(out: u32);
        proc_signals_sizes_get(out: u32);
    );
    offers.define("callback_signal", callback_signal::<T>)?;
    offers.define("thread_signal", |mut caller: Caller<'_, T>, tid: u32, signal: u32| {
        send(caller.data_mut().thread(), Some(tid), signal)
    })?;
    offers.define("proc_raise", proc_raise::<T>)?;
    // In preview 1 signals have other numbers.
    offers.define_in(PREVIEW1, "proc_raise", proc_raise::<T>)
}

/// Names the exported function that handles signals. Where the guest has the host process for
/// itself, it gets that process's signals from now on.
fn callback_signal<T: Guest>(mut caller: Caller<'_, T>, name: u32, len: u32) {
    let name = with_memory(&mut caller, |_, memory| text(memory, name, len, NAME_BYTES_MAX));
    let Ok(name) = name.map(|name| String::from_utf8_lossy(&name).into_owned()) else { return };
    let process = caller.data_mut().thread().process();
    process.dispositions.set_handler(Some(&name));
    if process.options().is_host_process {
        // Without it they do what they do by default.
        let _ = process.alarms.forward(process);
    }
}

/// Sends a signal to the calling process.
fn proc_raise<T: Guest>(mut caller: Caller<'_, T>, signal: u32) -> Result<i32, Error> {
    let thread = caller.data_mut().thread();
    send(thread, None, signal)
}

/// Sends a signal to the process or one of its threads; 0 only asks whether that is there.
pub(super) fn send(thread: &Thread, tid: Option<u32>, signal: u32) -> Result<i32, Error> {
    let sent = match Signal::new(signal) {
        Some(signal) => signals::send(thread, tid, signal)?,
        None if signal != 0 => Err(rustix::io::Errno::INVAL),
        None if tid.is_none_or(|tid| thread.process().threads.is_running(tid)) => Ok(()),
        None => Err(rustix::io::Errno::SRCH),
    };
    Ok(number(sent.map_err(Errno::from)))
}

/// Has a signal sent to the process after a time, or each time it has passed. Zero ends that.
fn proc_raise_interval(
    thread: &Thread,
    _: &GuestMemory<'_>,
    signal: u32,
    interval_ns: u64,
    repeat: u32,
) -> Result {
    let signal = Signal::new(signal).ok_or(Errno::from(rustix::io::Errno::INVAL))?;
    let (process, after) = (thread.process(), Duration::from_nanos(interval_ns));
    Ok(process.alarms.set(process, signal, after, repeat != 0)?)
}

/// The signals that were ignored when the program began.
fn proc_signals_get(thread: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    let ignored = thread.process().dispositions.ignored();
    let bytes: Vec<u8> = ignored.flat_map(|signal| [signal.number() as u8, IGNORE]).collect();
    // There are at most 31.
    Out::new(memory, out, bytes.len() as u32)?.put(&bytes);
    debug_assert!(bytes.len().is_multiple_of(DISPOSITION_BYTES as usize));
    Ok(())
}

/// How many those are.
fn proc_signals_sizes_get(thread: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    let out = Out::for_u32(memory, out)?;
    out.put_u32(thread.process().dispositions.ignored().count() as u32);
    Ok(())
}
