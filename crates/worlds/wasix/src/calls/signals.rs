//! Signals.

use super::Result;
use crate::abi::{Out, text};
use crate::link::{Offers, number, offer};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor::{Caller, Error};
use wasmoor_host::GuestMemory;
use wasmoor_wasi_p1::{Exit, with_memory};

/// The longest name of a handler.
const NAME_BYTES_MAX: u32 = 1024;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        proc_signals_get(out: u32);
        proc_signals_sizes_get(out: u32);
    );
    offers.define("callback_signal", callback_signal::<T>)?;
    offers.define("thread_signal", thread_signal::<T>)
}

/// Names the exported function that handles signals.
fn callback_signal<T: Guest>(mut caller: Caller<'_, T>, name: u32, len: u32) {
    with_memory(&mut caller, |data, memory| {
        if let Ok(name) = text(memory, name, len, NAME_BYTES_MAX) {
            let name = String::from_utf8_lossy(&name).into_owned();
            data.thread().process().set_signal_handler(name);
        }
    });
}

/// Sends a signal to a thread, which none handles yet: what happens is the default.
fn thread_signal<T: Guest>(mut caller: Caller<'_, T>, tid: u32, signal: u32) -> Result<i32, Error> {
    if !caller.data_mut().thread().process().threads.is_running(tid) {
        return Ok(number(Err(rustix::io::Errno::SRCH.into())));
    }
    match default_action(signal) {
        None => Ok(number(Err(rustix::io::Errno::INVAL.into()))),
        Some(Action::Ignore) => Ok(0),
        Some(Action::Stop) => Ok(number(Err(rustix::io::Errno::NOTSUP.into()))),
        Some(Action::End) => Err(Error::host(Exit { code: 128 + signal })),
    }
}

/// What a signal does to a process that does not handle it.
enum Action {
    Ignore,
    Stop,
    End,
}

/// WASIX numbers signals as Linux does, but for a gap.
fn default_action(signal: u32) -> Option<Action> {
    match signal {
        // none, pipe, stkflt, chld, cont, urg, winch.
        0 | 13 | 16 | 17 | 18 | 23 | 28 => Some(Action::Ignore),
        // stop, tstp, ttin, ttou.
        19..=22 => Some(Action::Stop),
        1..=31 => Some(Action::End),
        _ => None,
    }
}

/// The dispositions that were inherited: none.
fn proc_signals_get(_: &Thread, _: &GuestMemory<'_>, _: u32) -> Result {
    Ok(())
}

/// How many dispositions were inherited.
fn proc_signals_sizes_get(_: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    Out::for_u32(memory, out)?.put_u32(0);
    Ok(())
}
