//! Processes: numbers, ends, forks, waiting for children.

use super::{Result, signals};
use crate::abi::Out;
use crate::apart::Apart;
use crate::errno::Errno;
use crate::family::{self, Forked, Wanted};
use crate::link::{Offers, WASIX_32, number, offer};
use crate::program::Guest;
use crate::signals::Signal;
use crate::thread::Thread;
use rustix::process::{WaitOptions, WaitStatus};
use std::sync::Arc;
use wasmoor::{Caller, Error};
use wasmoor_host::GuestMemory;
use wasmoor_wasi_p1::{Exit, PREVIEW1, with_memory};

/// Bytes of an `option_pid`: a tag, and at 4 the number.
const OPTION_PID_BYTES: u32 = 8;
/// The tag of an option that has a value.
const SOME: u8 = 1;
/// Bytes of a `join_status`: a tag, and at 2 what belongs to it.
const STATUS_BYTES: u32 = 6;
/// Do not wait.
const NON_BLOCKING: u32 = 1;
/// Also for children that are stopped.
const WAKE_STOPPED: u32 = 2;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        proc_id(out: u32);
        proc_parent(pid: u32, out: u32);
        proc_fork_env(out: u32);
    );
    if offers.params("proc_join") == Some(2) {
        offers.define("proc_join", |mut caller: Caller<'_, T>, pid: u32, status: u32| {
            number(with_memory(&mut caller, |data, memory| {
                legacy_proc_join(data.thread(), memory, pid, status)
            }))
        })?;
    } else {
        offer!(offers, proc_join(pid: u32, flags: u32, status: u32););
    }
    offers.define("proc_fork", proc_fork::<T>)?;
    offers.define("proc_signal", |mut caller: Caller<'_, T>, pid: u32, signal: u32| {
        proc_signal(caller.data_mut().thread(), pid, signal)
    })?;
    for module in [WASIX_32, PREVIEW1] {
        offers.define_in(module, "proc_exit", |mut caller: Caller<'_, T>, code: u32| {
            end(caller.data_mut().thread(), code)
        })?;
    }
    offers.define("proc_exit2", proc_exit2::<T>)
}

/// The number of the process.
fn proc_id(thread: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    Out::for_u32(memory, out)?.put_u32(thread.pid());
    Ok(())
}

/// The number of the parent of the process or of one of its children; 0 for the first process.
fn proc_parent(thread: &Thread, memory: &GuestMemory<'_>, pid: u32, out: u32) -> Result {
    let (out, process) = (Out::for_u32(memory, out)?, thread.process());
    if thread.is_apart() && pid == thread.pid() {
        out.put_u32(process.pid());
        return Ok(());
    }
    out.put_u32(process.family.parent_of(pid, process.pid())?);
    Ok(())
}

/// Forks the process: 0 in the child, in which only the calling thread goes on, and the child's
/// number in the parent. The child has a copy of the memory also where it could do without.
fn proc_fork<T: Guest>(mut caller: Caller<'_, T>, _copy_memory: u32, out: u32) -> i32 {
    number(with_memory(&mut caller, |data, memory| {
        let out = Out::for_u32(memory, out)?;
        data.thread().check_not_apart()?;
        out.put_u32(match family::fork(data.thread())? {
            Forked::Parent(child) => child,
            Forked::Child => 0,
        });
        Ok(())
    }))
}

/// Has the thread act for a new child, whose number is put, until it becomes a program or ends: these
/// calls return then, in the parent.
fn proc_fork_env(thread: &mut Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    let out = Out::for_u32(memory, out)?;
    thread.check_not_apart()?;
    let process = Arc::clone(thread.process());
    let admitted = process.family.admit(process.options())?;
    let number = process.family.early_number()?;
    let apart = Apart::part(thread, admitted, Some(number));
    thread.set_apart(apart);
    out.put_u32(number);
    Ok(())
}

/// Ends the process. A copy that ends with success has nothing to tell to anybody but its parent, and
/// the way out leads through pages of which it would get copies first.
fn end(thread: &Thread, code: u32) -> Result<(), Error> {
    if code == 0 {
        thread.process().end_copy();
    }
    Err(Error::host(Exit { code }))
}

/// Ends the process; or the child that the thread acts for, which then is there only for that.
fn proc_exit2<T: Guest>(mut caller: Caller<'_, T>, code: u32) -> Result<(), Error> {
    let thread = caller.data_mut().thread();
    match thread.take_apart() {
        None => end(thread, code),
        Some(apart) => {
            end_child(thread, apart, code);
            Ok(())
        }
    }
}

/// In the parent: a child that the thread acted for ends with this status.
pub(super) fn end_child(thread: &mut Thread, mut apart: Apart, code: u32) {
    // Otherwise there is no child to wait for.
    if let Ok(Forked::Child) = family::fork_apart(thread, &mut apart) {
        // As in any process, the low 8 bits are the status.
        thread.process().exit_in_child(code as u8);
    }
    apart.rejoin(thread);
}

/// Sends a signal to the process, its parent or a child; 0 only asks whether it is there.
fn proc_signal(thread: &Thread, pid: u32, signal: u32) -> Result<i32, Error> {
    let process = thread.process();
    if pid == process.pid() {
        return signals::send(thread, None, signal);
    }
    let signal = Signal::new(signal).ok_or(signal);
    let sent = match signal {
        Err(unknown) if unknown != 0 => Err(rustix::io::Errno::INVAL),
        signal => process.family.signal(pid, signal.ok()),
    };
    Ok(number(sent.map_err(Errno::from)))
}

/// Waits for a child, whose number `pid` points to, or any. Puts which it was, and how it ended.
fn proc_join(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    pid: u32,
    flags: u32,
    status: u32,
) -> Result {
    let child = Out::new(memory, pid, OPTION_PID_BYTES)?;
    let status = Out::new(memory, status, STATUS_BYTES)?;
    if flags & !(NON_BLOCKING | WAKE_STOPPED) != 0 {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let mut options = WaitOptions::empty();
    options.set(WaitOptions::NOHANG, flags & NON_BLOCKING != 0);
    options.set(WaitOptions::UNTRACED, flags & WAKE_STOPPED != 0);
    let wanted = match memory.read_u8(pid)? {
        SOME => Some(memory.read_u32(u64::from(pid) + 4)?),
        _ => None,
    };
    let ended = wait(thread, Wanted { child: wanted, options })?;
    // Libraries take 0 for "none yet".
    let number = ended.map_or(0, |(number, _)| number);
    child.put(&[[SOME, 0, 0, 0], number.to_le_bytes()].concat());
    status.put(&ended.map_or([0; STATUS_BYTES as usize], |(_, status)| encode(status)));
    Ok(())
}

/// A `join_status`.
fn encode(status: WaitStatus) -> [u8; STATUS_BYTES as usize] {
    // Numbers of signals and statuses of processes have 8 bits.
    let byte = |value: i32| value.to_le_bytes()[0];
    match (status.exit_status(), status.terminating_signal(), status.stopping_signal()) {
        (Some(code), ..) => [1, 0, byte(code), 0, 0, 0],
        (_, Some(signal), _) => [2, 0, 128 + byte(signal), 0, byte(signal), 0],
        (.., Some(signal)) => [3, 0, byte(signal), 0, 0, 0],
        _ => [0; STATUS_BYTES as usize],
    }
}

/// The form of 2023: the number of a child at `pid`, all ones for any, and the status as a number.
fn legacy_proc_join(thread: &Thread, memory: &GuestMemory<'_>, pid: u32, status: u32) -> Result {
    let (child, status) = (Out::for_u32(memory, pid)?, Out::for_u32(memory, status)?);
    let wanted = Some(memory.read_u32(pid)?).filter(|&child| child != u32::MAX);
    let options = WaitOptions::empty();
    if let Some((number, ended)) = wait(thread, Wanted { child: wanted, options })? {
        child.put_u32(number);
        let code = ended.exit_status().or(ended.terminating_signal().map(|signal| 128 + signal));
        status.put_u32(code.unwrap_or(0).cast_unsigned());
    }
    Ok(())
}

fn wait(thread: &Thread, wanted: Wanted) -> Result<Option<(u32, WaitStatus)>> {
    Ok(thread.process().family.wait(wanted, &thread.core().guard.interrupt)?)
}
