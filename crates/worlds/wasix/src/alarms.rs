//! Signals that come from outside of the guest's threads: timers, and those of the host process.
//!
//! One thread of the process waits for both. It is made when the guest first needs it, and ends
//! with the process.

use crate::process::Process;
use crate::signals::Signal;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use wasmoor_sys::signals;

/// Signals of the host process that a guest with a handler gets: hup, int, usr1, usr2, alrm, term,
/// chld, winch.
pub(crate) const FORWARDED: [i32; 8] = [1, 2, 10, 12, 14, 15, 17, 28];

/// The timers of a process, and what wakes the thread that looks after them.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    timers: BTreeMap<u32, Timer>,
    /// Ends the thread's waiting; `None`: there is no thread.
    wake: Option<Arc<OwnedFd>>,
    /// Whether signals of the host are forwarded.
    forwards: bool,
    /// What they arrive by, until the thread takes it.
    arriving: Option<OwnedFd>,
}

#[derive(Clone, Copy, Debug)]
struct Timer {
    due: Instant,
    every: Option<Duration>,
}

impl Alarms {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the signal sent after this time, or each time it has passed; zero cancels that.
    ///
    /// # Errors
    /// When the system refuses a thread or an event.
    pub(crate) fn set(
        &self,
        process: &Arc<Process>,
        signal: Signal,
        after: Duration,
        repeat: bool,
    ) -> Result<(), Errno> {
        let mut state = self.lock();
        if after.is_zero() {
            state.timers.remove(&signal.number());
            return Ok(());
        }
        // Beyond what the clock can express is never.
        let Some(due) = Instant::now().checked_add(after) else { return Ok(()) };
        state.timers.insert(signal.number(), Timer { due, every: repeat.then_some(after) });
        state.wake_thread(process)
    }

    /// Has signals of the host process sent to the guest from now on.
    ///
    /// # Errors
    /// When the system refuses a thread, a pipe or a handler.
    pub(crate) fn forward(&self, process: &Arc<Process>) -> Result<(), Errno> {
        let mut state = self.lock();
        if state.forwards {
            return Ok(());
        }
        state.forward()?;
        state.wake_thread(process)
    }

    /// A new program begins: the host's signals do what they did at first.
    pub(crate) fn stop_forwarding(&self) {
        let mut state = self.lock();
        state.timers.clear();
        if std::mem::take(&mut state.forwards) {
            // They were set, so they can be reset.
            let _ = signals::restore(&FORWARDED);
        }
    }

    /// After a fork, in the child: timers are the parent's, and so is the thread.
    pub(crate) fn begin_in_child(&self, process: &Arc<Process>) {
        let mut state = self.lock();
        state.timers.clear();
        state.wake = None;
        if std::mem::take(&mut state.forwards) && state.forward().is_ok() {
            // Without a thread signals wait in the pipe, as those of a process that is stopped.
            let _ = state.wake_thread(process);
        }
    }

    /// Nothing else may hold the lock across a fork.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.lock()
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        self.lock().wake();
    }
}

impl State {
    fn forward(&mut self) -> Result<(), Errno> {
        let arriving = signals::forward(&FORWARDED).map_err(|_| Errno::AGAIN)?;
        self.arriving = Some(arriving);
        self.forwards = true;
        Ok(())
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // A full counter wakes too.
            let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
        }
    }

    /// Has the thread look at this state again; makes it if it is not there.
    fn wake_thread(&mut self, process: &Arc<Process>) -> Result<(), Errno> {
        if self.wake.is_some() {
            self.wake();
            return Ok(());
        }
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (process, theirs) = (Arc::downgrade(process), Arc::clone(&wake));
        let builder = std::thread::Builder::new().name("guest-signals".to_owned());
        builder.spawn(move || watch(&process, &theirs)).map_err(|_| Errno::AGAIN)?;
        self.wake = Some(wake);
        Ok(())
    }

    /// Takes the signals whose time has come; when the next one's does.
    fn due(&mut self, now: Instant) -> (Vec<Signal>, Option<Instant>) {
        let mut due = Vec::new();
        self.timers.retain(|&number, timer| {
            if timer.due > now {
                return true;
            }
            due.extend(Signal::new(number));
            // Those that were missed meanwhile are one.
            let after = |start: Instant| start.checked_add(timer.every?);
            let next = after(timer.due).filter(|next| *next > now).or_else(|| after(now));
            timer.due = next.unwrap_or(timer.due);
            next.is_some()
        });
        (due, self.timers.values().map(|timer| timer.due).min())
    }
}

/// The body of the thread.
fn watch(process: &Weak<Process>, wake: &OwnedFd) {
    let mut arriving = None;
    loop {
        let next = {
            let Some(process) = process.upgrade() else { return };
            let mut state = process.alarms.lock();
            arriving = state.arriving.take().or(arriving);
            let (due, next) = state.due(Instant::now());
            drop(state);
            for signal in due.into_iter().chain(arrived(arriving.as_ref())) {
                process.signal(signal);
            }
            next
        };
        wait(wake, arriving.as_ref(), next);
    }
}

/// Signals of the host that have come.
fn arrived(pipe: Option<&OwnedFd>) -> Vec<Signal> {
    let mut bytes = [0; 64];
    let count = pipe.map_or(0, |pipe| rustix::io::read(pipe, &mut bytes).unwrap_or(0));
    bytes[..count].iter().filter_map(|&byte| Signal::new(byte.into())).collect()
}

fn wait(wake: &OwnedFd, arriving: Option<&OwnedFd>, next: Option<Instant>) {
    let mut fds = vec![PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)];
    fds.extend(arriving.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)));
    let left = next.map(|next| next.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    // Woken by a signal or not, the caller looks again.
    let _ = poll(&mut fds, left.as_ref());
    let _ = rustix::io::read(wake, &mut [0; 8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_or_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut state = State::default();
        let every = Some(Duration::from_millis(10));
        state.timers.insert(14, Timer { due: at(10), every });
        state.timers.insert(10, Timer { due: at(15), every: None });
        let mut due = |ms| {
            let (due, next) = state.due(at(ms));
            let numbers: Vec<u32> = due.into_iter().map(Signal::number).collect();
            (numbers, next.map(|next| (next - start).as_millis()))
        };
        assert_eq!(due(9), (vec![], Some(10)));
        assert_eq!(due(10), (vec![14], Some(15)));
        assert_eq!(due(16), (vec![10], Some(20)));
        assert_eq!(due(20), (vec![14], Some(30)));
        // What was missed is not made up for.
        assert_eq!(due(75), (vec![14], Some(85)));
    }
}
