//! Threads of the host for those of a guest. One whose guest thread has ended waits a while for the
//! next: to make one takes two dozen system calls, for its stacks above all.
//!
//! A worker that waits is in the list with the channel by which it gets its work. One whose time is up
//! takes itself off the list; if it is not there any more, work is on its way.
//!
//! In a child of a fork the workers of the parent do not exist: the list is another process's and is
//! thrown away.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Workers that wait at a time; each keeps its stacks.
const WAITING_MAX: usize = 16;
/// How long one waits.
const WAIT: Duration = Duration::from_millis(500);

type Work = Box<dyn FnOnce() + Send>;

/// The workers of a process that wait.
#[derive(Debug, Default)]
pub(crate) struct Workers {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The process of the host that the workers are in.
    host_process: u32,
    workers: Vec<(u64, Sender<Work>)>,
    last: u64,
}

impl Workers {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // The list is whole whatever panicked elsewhere.
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if waiting.host_process != process {
            waiting.host_process = process;
            // Their channels are in a state that threads left that are not here.
            std::mem::forget(std::mem::take(&mut waiting.workers));
        }
        waiting
    }

    /// Keeps other threads from changing the list until the guard is dropped.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.lock()
    }

    /// Has work done by a worker, or by a new one with a stack of that size.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(self: &Arc<Self>, stack_bytes: usize, work: Work) -> std::io::Result<()> {
        // The lock is not held while the worker is told.
        let waiting = self.lock().workers.pop();
        let work = match waiting {
            Some((_, worker)) => match worker.send(work) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(work)) => work,
            },
            None => work,
        };
        let workers = Arc::downgrade(self);
        let builder = std::thread::Builder::new().name("guest".to_owned()).stack_size(stack_bytes);
        builder.spawn(move || serve(work, &workers)).map(|_| ())
    }

    /// Puts a worker on the list; its number there. `None`: there are enough.
    fn wait(&self, sender: &Sender<Work>) -> Option<u64> {
        let mut waiting = self.lock();
        if waiting.workers.len() >= WAITING_MAX {
            return None;
        }
        waiting.last += 1;
        let number = waiting.last;
        waiting.workers.push((number, sender.clone()));
        Some(number)
    }

    /// Takes a worker off the list; false: it is not there.
    fn leave(&self, number: u64) -> bool {
        let workers = &mut self.lock().workers;
        let place = workers.iter().position(|(other, _)| *other == number);
        place.map(|place| workers.swap_remove(place)).is_some()
    }
}

/// Does the first work, and then what comes.
fn serve(first: Work, workers: &Weak<Workers>) {
    let (sender, receiver) = mpsc::channel();
    let mut work = Some(first);
    while let Some(now) = work {
        now();
        work = next(&sender, &receiver, workers);
    }
}

fn next(sender: &Sender<Work>, receiver: &Receiver<Work>, workers: &Weak<Workers>) -> Option<Work> {
    let number = workers.upgrade()?.wait(sender)?;
    match receiver.recv_timeout(WAIT) {
        Ok(work) => Some(work),
        Err(RecvTimeoutError::Disconnected) => None,
        // The process may be gone, and with it everybody who could send.
        Err(RecvTimeoutError::Timeout) if workers.upgrade()?.leave(number) => None,
        Err(RecvTimeoutError::Timeout) => receiver.recv().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Does work and answers which thread did it.
    fn who(workers: &Arc<Workers>) -> std::thread::ThreadId {
        let (sender, receiver) = mpsc::channel();
        let work = move || sender.send(std::thread::current().id()).expect("somebody listens");
        workers.start(1 << 20, Box::new(work)).expect("a thread");
        receiver.recv().expect("an answer")
    }

    #[test]
    fn workers_are_used_again() {
        let workers = Arc::new(Workers::default());
        let mut seen = HashSet::new();
        for _ in 0..50 {
            seen.insert(who(&workers));
            std::thread::sleep(Duration::from_millis(2));
        }
        // A busy machine may let one be late.
        assert!(seen.len() < 25, "{} threads for 50 pieces of work", seen.len());
    }

    #[test]
    fn everything_is_done_once() {
        let workers = Arc::new(Workers::default());
        let done = Arc::new(AtomicU32::new(0));
        for round in 0..3 {
            for _ in 0..100 {
                let done = Arc::clone(&done);
                let work = move || {
                    done.fetch_add(1, Ordering::SeqCst);
                };
                workers.start(1 << 18, Box::new(work)).expect("a thread");
            }
            // About as long as they wait, so that some are just leaving.
            std::thread::sleep(WAIT - Duration::from_millis(10 * round));
        }
        std::thread::sleep(WAIT);
        assert_eq!(done.load(Ordering::SeqCst), 300);
    }

    #[test]
    fn they_wait_for_a_time() {
        let workers = Arc::new(Workers::default());
        who(&workers);
        std::thread::sleep(WAIT / 5);
        assert_eq!(workers.lock().workers.len(), 1);
        std::thread::sleep(2 * WAIT);
        assert!(workers.lock().workers.is_empty());
    }
}
