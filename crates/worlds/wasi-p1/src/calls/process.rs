//! The process: its end, signals to itself, and giving way.

use super::Result;
use crate::context::WasiCtx;
use crate::errno::Errno;
use crate::process::Exit;
use wasmoor_host::GuestMemory;

/// Ends the guest.
///
/// # Errors
/// Always: with the status, for the embedder.
pub fn proc_exit(_: &WasiCtx, _: &GuestMemory<'_>, code: u32) -> std::result::Result<(), Exit> {
    Err(Exit { code })
}

/// What a signal does to a process that does not handle it.
enum Action {
    Ignore,
    Stop,
    End,
}

/// The signals of the interface, which are numbered as on Linux for i386.
fn action(signal: u32) -> Option<Action> {
    match signal {
        // none, chld, cont, urg, winch.
        0 | 16 | 17 | 22 | 27 => Some(Action::Ignore),
        // stop, tstp, ttin, ttou.
        18..=21 => Some(Action::Stop),
        1..=15 | 23..=26 | 28..=30 => Some(Action::End),
        _ => None,
    }
}

/// Sends a signal to the guest itself. No guest of preview 1 can handle one, so it either does
/// nothing or ends the guest with status 128 plus its number, as a shell would report it.
///
/// # Errors
/// `inval` for an unknown signal, `notsup` for one that stops a process.
pub fn proc_raise(
    _: &WasiCtx,
    _: &GuestMemory<'_>,
    signal: u32,
) -> std::result::Result<Result, Exit> {
    match action(signal) {
        None => Ok(Err(Errno::Inval)),
        Some(Action::Ignore) => Ok(Ok(())),
        Some(Action::Stop) => Ok(Err(Errno::NotSup)),
        Some(Action::End) => Err(Exit { code: 128 + signal }),
    }
}

/// Lets other threads of the host run.
///
/// # Errors
/// None.
pub fn sched_yield(_: &WasiCtx, _: &GuestMemory<'_>) -> Result {
    std::thread::yield_now();
    Ok(())
}
