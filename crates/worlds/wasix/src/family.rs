//! The relatives of a process: each guest process is a process of the host.
//!
//! A guest that has the host process for itself may fork. Its children have the numbers that the
//! system gave them, but those that have a number before they are there; the first process is 1. A
//! process knows its parent and its children, and no others: numbers that mean a stranger on the host
//! are unknown.

use crate::apart::Apart;
use crate::process::Options;
use crate::signals::Signal;
use crate::thread::Thread;
use crate::threads::TID_MAX;
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitOptions, WaitStatus, getpid, getppid, kill_process, test_kill_process, waitpid,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmoor_host::Interrupt;
use wasmoor_sys::counter::SharedCounter;
use wasmoor_sys::fork::Fork;
use wasmoor_sys::{fork, signals};

/// The number of the first process.
pub(crate) const FIRST: u32 = 1;

/// Where the numbers of children begin that are not there yet: the system has none of them.
const EARLY: u32 = 1 << 23;

/// The relatives of one process.
#[derive(Debug, Default)]
pub(crate) struct Family {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parent: Option<Parent>,
    /// How the system knows those that were not waited for.
    children: BTreeMap<u32, Pid>,
    /// Numbers that were given to children before they were there, in this process and those that it
    /// stems from.
    early: u32,
    /// Processes that were forked and have not been waited for, in the whole family.
    count: Option<SharedCounter>,
}

#[derive(Clone, Copy, Debug)]
struct Parent {
    /// How the guest knows it.
    pid: u32,
    /// How the system does.
    host: Pid,
}

impl Parent {
    /// Whether it still lives: else somebody else has taken its children.
    fn is_alive(self) -> bool {
        getppid() == Some(self.host)
    }
}

/// What [`Family::wait`] waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The number of a child; `None`: any child.
    pub(crate) child: Option<u32>,
    pub(crate) options: WaitOptions,
}

fn lock(mutex: &Mutex<State>) -> MutexGuard<'_, State> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().cast_unsigned()
}

impl Family {
    /// The same for the program that the process becomes.
    pub(crate) fn hand_over(&self) -> Family {
        Family { state: Mutex::new(std::mem::take(&mut *lock(&self.state))) }
    }

    /// The parent of the process `own`, whose family this is, or of one of its children.
    ///
    /// # Errors
    /// `srch` for any other.
    pub(crate) fn parent_of(&self, pid: u32, own: u32) -> Result<u32, Errno> {
        let state = lock(&self.state);
        if pid == own {
            // As orphans are the first process's.
            let parent = state.parent.filter(|parent| parent.is_alive());
            return Ok(parent.map_or(if own == FIRST { 0 } else { FIRST }, |parent| parent.pid));
        }
        if state.children.contains_key(&pid) { Ok(own) } else { Err(Errno::SRCH) }
    }

    /// Sends a signal to the parent or a child; without one it only asks whether it is there.
    ///
    /// # Errors
    /// `srch` for any other.
    pub(crate) fn signal(&self, pid: u32, signal: Option<Signal>) -> Result<(), Errno> {
        let state = lock(&self.state);
        let parent = state.parent.filter(|parent| parent.pid == pid && parent.is_alive());
        let target = match parent {
            Some(parent) => parent.host,
            // Children that were not waited for keep their numbers, so nobody else is meant.
            None => *state.children.get(&pid).ok_or(Errno::SRCH)?,
        };
        match signal.and_then(|signal| rustix::process::Signal::from_named_raw(signal.host())) {
            Some(signal) => kill_process(target, signal),
            None => test_kill_process(target),
        }
    }

    /// Waits for a child to end, or to stop if that is asked for; `None`: none has, and the caller
    /// does not want to wait.
    ///
    /// # Errors
    /// `child` when there is no such child, `intr` when the caller must stop.
    pub(crate) fn wait(
        &self,
        wanted: Wanted,
        interrupt: &Interrupt,
    ) -> Result<Option<(u32, WaitStatus)>, Errno> {
        let state = lock(&self.state);
        let pid = match wanted.child {
            Some(child) => Some(*state.children.get(&child).ok_or(Errno::CHILD)?),
            None if state.children.is_empty() => return Err(Errno::CHILD),
            None => None,
        };
        drop(state);
        let Some((pid, status)) = interrupt.retry(|| waitpid(pid, wanted.options))? else {
            return Ok(None);
        };
        let mut state = lock(&self.state);
        let known = state.children.iter().find(|(_, host)| **host == pid).map(|(child, _)| *child);
        let child = known.unwrap_or(number(pid));
        if !status.stopped() {
            state.children.remove(&child);
            if let Some(count) = state.count {
                count.remove();
            }
        }
        Ok(Some((child, status)))
    }

    /// Counts a process that is about to be forked, until it is dropped.
    ///
    /// # Errors
    /// `notsup` for a guest that has no host process for itself, `again` when there are too many.
    pub(crate) fn admit(&self, options: &Options) -> Result<Admitted, Errno> {
        if !options.is_host_process {
            return Err(Errno::NOTSUP);
        }
        let mut state = lock(&self.state);
        let count = match state.count {
            Some(count) => count,
            None => *state.count.insert(SharedCounter::new().map_err(|_| Errno::AGAIN)?),
        };
        if count.add(options.processes_max) { Ok(Admitted(count)) } else { Err(Errno::AGAIN) }
    }

    /// A number for a child that is not there yet, which neither it nor a relative that it knows has.
    ///
    /// # Errors
    /// `again` when there are no more.
    pub(crate) fn early_number(&self) -> Result<u32, Errno> {
        let mut state = lock(&self.state);
        if state.early >= TID_MAX - EARLY {
            return Err(Errno::AGAIN);
        }
        state.early += 1;
        Ok(EARLY + state.early)
    }
}

/// A process that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted(SharedCounter);

impl Admitted {
    /// The process is there: it is counted until it has been waited for.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// Which side of a fork the caller is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forked {
    /// The one that called; holds the number of the child.
    Parent(u32),
    /// The new process, in which only the calling thread goes on.
    Child,
}

/// Forks the calling thread's process.
///
/// # Errors
/// `notsup` for a guest that has no host process for itself, `again` when there are too many
/// processes or the process ends.
pub(crate) fn fork(thread: &mut Thread) -> Result<Forked, Errno> {
    let process = thread.process();
    let admitted = process.family.admit(process.options())?;
    let forked = fork_admitted(thread, None)?;
    // On both sides.
    admitted.keep();
    Ok(forked)
}

/// The same for a child that has been made ready apart from its parent, and goes on with what it has
/// been given there.
///
/// # Errors
/// As [`fork_admitted`].
pub(crate) fn fork_apart(thread: &mut Thread, apart: &mut Apart) -> Result<Forked, Errno> {
    let forked = fork_admitted(thread, Some(apart))?;
    if let Some(admitted) = apart.take_admitted() {
        admitted.keep();
    }
    Ok(forked)
}

/// Forks; the new process is counted already.
///
/// # Errors
/// `again` when the system refuses, when the guest is asked for while another thread takes long to begin
/// or end, or in the function with which a thread's instance starts.
fn fork_admitted(thread: &mut Thread, apart: Option<&Apart>) -> Result<Forked, Errno> {
    let process = Arc::clone(thread.process());
    let before = Parent { pid: process.pid(), host: getpid() };
    let early = apart.and_then(Apart::number);
    let interrupt = thread.core().guard.interrupt.clone();
    let births = process.births.hold(|| interrupt.is_pending()).ok_or(Errno::AGAIN)?;
    let mut state = lock(&process.family.state);
    // Nobody else is in the middle of anything that the child needs.
    let (signals, forked) = process.hold(thread, || {
        // First this, then the fork.
        (signals::hold(&crate::alarms::FORWARDED), fork::fork())
    });
    drop(births);
    match forked {
        Ok(Fork::Parent(child)) => {
            let host = Pid::from_raw(child).ok_or(Errno::AGAIN)?;
            let child = early.unwrap_or(number(host));
            state.children.insert(child, host);
            Ok(Forked::Parent(child))
        }
        Ok(Fork::Child) => {
            state.children.clear();
            state.parent = Some(before);
            drop(state);
            process.begin_in_child(thread, early.unwrap_or(number(getpid())));
            if let Some(apart) = apart {
                apart.begin_in_child(thread);
            }
            thread.core().table.close_copies();
            drop(signals);
            Ok(Forked::Child)
        }
        Err(_) => Err(Errno::AGAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_children_that_are_not_there_are_those_that_threads_may_have() {
        let family = Family::default();
        assert_eq!(family.early_number(), Ok(EARLY + 1));
        for (last, next) in [
            // As many as there were once.
            (2 * EARLY - 1, Ok(2 * EARLY)),
            (TID_MAX - 1, Ok(TID_MAX)),
            (TID_MAX, Err(Errno::AGAIN)),
        ] {
            lock(&family.state).early = last - EARLY;
            assert_eq!(family.early_number(), next);
        }
        assert_eq!(family.early_number(), Err(Errno::AGAIN));
    }
}
