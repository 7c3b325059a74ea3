//! The relatives of a process: each guest process is a process of the host.
//!
//! A guest that has the host process for itself may fork. Its children have the numbers that the
//! system gave them; the first process is 1. A process knows its parent and its children, and no
//! others: numbers that mean a stranger on the host are unknown.

use crate::signals::Signal;
use crate::thread::Thread;
use rustix::io::Errno;
use rustix::process::{
    Pid, WaitOptions, WaitStatus, getpid, getppid, kill_process, test_kill_process, waitpid,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmoor_host::Interrupt;
use wasmoor_sys::counter::SharedCounter;
use wasmoor_sys::fork::Fork;
use wasmoor_sys::{fork, signals};

/// The number of the first process.
pub(crate) const FIRST: u32 = 1;

/// The relatives of one process.
#[derive(Debug, Default)]
pub(crate) struct Family {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parent: Option<Parent>,
    children: BTreeSet<u32>,
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

fn host(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed()).filter(|_| pid.cast_signed() > 0)
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
        if state.children.contains(&pid) { Ok(own) } else { Err(Errno::SRCH) }
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
            None if state.children.contains(&pid) => host(pid).ok_or(Errno::SRCH)?,
            None => return Err(Errno::SRCH),
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
        let is_there = match wanted.child {
            Some(child) => state.children.contains(&child),
            None => !state.children.is_empty(),
        };
        drop(state);
        if !is_there {
            return Err(Errno::CHILD);
        }
        let pid = wanted.child.and_then(host);
        let Some((pid, status)) = interrupt.retry(|| waitpid(pid, wanted.options))? else {
            return Ok(None);
        };
        let pid = pid.as_raw_nonzero().get().cast_unsigned();
        if !status.stopped() {
            let mut state = lock(&self.state);
            state.children.remove(&pid);
            if let Some(count) = &state.count {
                count.remove();
            }
        }
        Ok(Some((pid, status)))
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
    let process = Arc::clone(thread.process());
    let options = process.options();
    if !options.is_host_process {
        return Err(Errno::NOTSUP);
    }
    let before = Parent { pid: process.pid(), host: getpid() };
    let mut state = lock(&process.family.state);
    let count = match state.count {
        Some(count) => count,
        None => *state.count.insert(SharedCounter::new().map_err(|_| Errno::AGAIN)?),
    };
    if !count.add(options.processes_max) {
        return Err(Errno::AGAIN);
    }
    // Nobody else is in the middle of anything that the child needs.
    let (signals, forked) = process.hold(thread, || {
        // First this, then the fork.
        (signals::hold(&crate::alarms::FORWARDED), fork::fork())
    });
    match forked {
        Ok(Fork::Parent(child)) => {
            let child = child.cast_unsigned();
            state.children.insert(child);
            Ok(Forked::Parent(child))
        }
        Ok(Fork::Child) => {
            state.children.clear();
            state.parent = Some(before);
            drop(state);
            process.begin_in_child(thread, getpid().as_raw_nonzero().get().cast_unsigned());
            drop(signals);
            Ok(Forked::Child)
        }
        Err(_) => {
            count.remove();
            Err(Errno::AGAIN)
        }
    }
}
