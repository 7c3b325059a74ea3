//! The threads of a process: who runs, and how the process ends.

use crate::errno::Errno;
use crate::signals::{Pending, Signal};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmoor::{Error, InterruptHandle};
use wasmoor_host::Interrupt;

/// Numbers of threads, and of processes by their main ones, are not above this: programs keep flags in the bits above.
pub(crate) const TID_MAX: u32 = (1 << 29) - 1;
/// Whoever waits for threads looks at its own requests so often.
const LOOK: Duration = Duration::from_millis(10);

/// The guest's thread asked to end, and the process goes on. It travels as the error of the host
/// call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the thread exited with status {code}")]
pub struct ThreadExit {
    /// The status, which nobody is told.
    pub code: u32,
}

/// The threads of a process.
#[derive(Debug)]
pub(crate) struct Threads {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Threads that are or will be running, with what interrupts them once they have a store.
    running: BTreeMap<u32, Option<Runner>>,
    /// The number that was given last.
    last: u32,
    /// Whether numbers are given for the second time.
    wrapped: bool,
    is_ending: bool,
    outcome: Option<Result<(), Error>>,
}

/// How to get at a thread.
#[derive(Debug)]
struct Runner {
    handle: InterruptHandle,
    pending: Arc<Pending>,
}

impl Threads {
    /// With the main thread.
    pub(crate) fn new(main: u32) -> Self {
        let state = State {
            running: BTreeMap::from([(main, None)]),
            last: main,
            wrapped: false,
            is_ending: false,
            outcome: None,
        };
        Threads { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole whatever panicked elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new thread, which counts as running from now on.
    ///
    /// # Errors
    /// `again` when there are too many, or the process ends.
    pub(crate) fn admit(&self, threads_max: u32) -> Result<u32, Errno> {
        let mut state = self.lock();
        // The main thread is not counted.
        if state.is_ending || state.running.len() as u64 > u64::from(threads_max) {
            return Err(rustix::io::Errno::AGAIN.into());
        }
        loop {
            if state.last >= TID_MAX {
                state.wrapped = true;
                state.last = 0;
            }
            state.last += 1;
            let tid = state.last;
            if let Entry::Vacant(place) = state.running.entry(tid) {
                place.insert(None);
                return Ok(tid);
            }
        }
    }

    /// The thread has a store by which it is interrupted.
    pub(crate) fn attach(&self, tid: u32, handle: InterruptHandle, pending: Arc<Pending>) {
        let mut state = self.lock();
        if state.is_ending {
            handle.interrupt();
        }
        state.running.insert(tid, Some(Runner { handle, pending }));
    }

    /// Has a thread handle a signal: the one with this number, or else the first, which is the main
    /// thread while it runs.
    pub(crate) fn send(&self, tid: Option<u32>, signal: Signal) {
        let state = self.lock();
        let mut runners =
            state.running.iter().filter(|(number, _)| tid.is_none_or(|t| t == **number));
        if let Some(runner) = runners.find_map(|(_, runner)| runner.as_ref()) {
            runner.pending.send(signal);
            runner.handle.call_back();
        }
    }

    /// The thread has ended.
    pub(crate) fn remove(&self, tid: u32) {
        self.lock().running.remove(&tid);
        self.changed.notify_all();
    }

    /// In the child of a fork: of all threads only this one is there, and is the main one by the
    /// number `pid`.
    pub(crate) fn begin_in_child(&self, tid: u32, pid: u32) {
        let mut state = self.lock();
        let runner = state.running.remove(&tid).flatten();
        state.running = BTreeMap::from([(pid, runner)]);
        state.last = pid;
        state.wrapped = false;
    }

    /// Keeps other threads from changing anything until the guard is dropped.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.lock()
    }

    /// Whether the thread is running.
    pub(crate) fn is_running(&self, tid: u32) -> bool {
        self.lock().running.contains_key(&tid)
    }

    /// Ends the process; the first outcome counts.
    pub(crate) fn end(&self, outcome: Result<(), Error>) {
        let mut state = self.lock();
        if state.is_ending {
            return;
        }
        state.is_ending = true;
        state.outcome = Some(outcome);
        for runner in state.running.values().flatten() {
            runner.handle.interrupt();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Takes how the process ended.
    pub(crate) fn take_outcome(&self) -> Option<Result<(), Error>> {
        self.lock().outcome.take()
    }

    /// Waits until no thread runs, or `until`; whether none does.
    pub(crate) fn wait_for_all(&self, until: Option<Instant>, interrupt: &Interrupt) -> bool {
        self.wait(until, interrupt, |state| state.running.is_empty())
    }

    /// Waits until a thread has ended.
    ///
    /// # Errors
    /// `srch` for a number that no thread has had, `intr` when the caller must stop.
    pub(crate) fn join(&self, tid: u32, interrupt: &Interrupt) -> Result<(), Errno> {
        let state = self.lock();
        let known = tid != 0 && (tid <= state.last || (state.wrapped && tid <= TID_MAX));
        drop(state);
        if !known {
            return Err(rustix::io::Errno::SRCH.into());
        }
        if self.wait(None, interrupt, |state| !state.running.contains_key(&tid)) {
            Ok(())
        } else {
            Err(rustix::io::Errno::INTR.into())
        }
    }

    /// Waits until `is_done`; false when the time is up or the caller must stop.
    fn wait(
        &self,
        until: Option<Instant>,
        interrupt: &Interrupt,
        is_done: impl Fn(&State) -> bool,
    ) -> bool {
        let mut state = self.lock();
        loop {
            if is_done(&state) {
                return true;
            }
            let now = Instant::now();
            if interrupt.is_pending() || until.is_some_and(|until| until <= now) {
                return false;
            }
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
