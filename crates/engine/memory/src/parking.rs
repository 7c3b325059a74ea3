//! Threads that wait for a word of memory, found by its address.
//!
//! ```text
//! wait    lock the shard; is the word still what is expected? queue up; unlock; sleep
//! notify  (the word has been changed before) lock the shard; take from the queue, wake; unlock
//! ```
//!
//! No wake-up is lost: the word is looked at and the queue is joined under one lock, which whoever
//! notifies takes after changing the word. A thread whose time is up leaves the queue under the
//! same lock, and if it finds that it has been taken from the queue meanwhile it was woken.
//!
//! A waiting thread also wakes to serve requests of its host ([`Waiter::wake`]); it stays in the
//! queue meanwhile, so that it cannot miss a notification either.
//!
//! What this does not do: look at addresses. They are numbers here, the caller's read of the word
//! is a closure. A waiting thread costs one queue entry, so the table is as large as the number of
//! threads that wait at a time.

use super::sync::{Condvar, Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Another thread has woken this one.
    Woken,
    /// The word was not what was expected; nothing was waited for.
    Changed,
    /// The time was up.
    TimedOut,
}

/// What a thread sleeps on. One thread at a time waits with it, at one address.
#[derive(Debug)]
pub struct Waiter {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Default for Waiter {
    fn default() -> Self {
        Waiter { woken: Mutex::new(false), changed: Condvar::new() }
    }
}

impl Waiter {
    /// Has the sleeping thread look whether something is asked of it.
    pub fn wake(&self) {
        // Under the lock, so that it is asleep or has not looked yet.
        let _guard = lock(&self.woken);
        self.changed.notify_all();
    }

    fn set(&self, woken: bool) {
        *lock(&self.woken) = woken;
    }

    fn is_woken(&self) -> bool {
        *lock(&self.woken)
    }

    /// Sleeps until woken, asked or out of time; tells which.
    fn sleep(&self, is_asked: &dyn Fn() -> bool, deadline: Option<Instant>) -> Sleep {
        let mut woken = lock(&self.woken);
        loop {
            if *woken {
                return Sleep::Woken;
            }
            if is_asked() {
                return Sleep::Asked;
            }
            woken = match deadline {
                None => self.changed.wait(woken).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Sleep::TimedOut;
                    }
                    let slept = self.changed.wait_timeout(woken, left);
                    slept.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

enum Sleep {
    Woken,
    Asked,
    TimedOut,
}

/// Queues by address.
type Queues = HashMap<usize, VecDeque<Arc<Waiter>>>;

/// Waiting threads by address.
#[derive(Debug)]
pub struct ParkingLot {
    shards: Box<[Mutex<Queues>]>,
}

impl ParkingLot {
    /// A lot whose addresses are spread over so many locks; at least one.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let shards = (0..shards.max(1)).map(|_| Mutex::new(Queues::new())).collect();
        ParkingLot { shards }
    }

    fn shard(&self, address: usize) -> &Mutex<Queues> {
        // Multiplication by an odd constant spreads neighbours; its upper bits depend on all.
        let hash = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        &self.shards[hash as usize % self.shards.len()]
    }

    /// Waits at an address until another thread notifies it, unless `is_expected` says that the
    /// word there has changed. Where `is_asked` says so, `serve` is called, without locks, and
    /// waiting goes on if it succeeds. Whatever makes `is_asked` true calls [`Waiter::wake`] next.
    ///
    /// # Errors
    /// Those of `serve`.
    pub fn wait<E>(
        &self,
        address: usize,
        waiter: &Arc<Waiter>,
        is_expected: impl FnOnce() -> bool,
        deadline: Option<Instant>,
        is_asked: &dyn Fn() -> bool,
        serve: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Waited, E> {
        {
            let mut queues = lock(self.shard(address));
            if !is_expected() {
                return Ok(Waited::Changed);
            }
            waiter.set(false);
            queues.entry(address).or_default().push_back(Arc::clone(waiter));
        }
        let queued = Queued { lot: self, address, waiter };
        loop {
            match waiter.sleep(is_asked, deadline) {
                Sleep::Woken => {
                    // It was taken from the queue; whoever did that may still have the lock.
                    std::mem::forget(queued);
                    return Ok(Waited::Woken);
                }
                Sleep::Asked => serve()?,
                // Perhaps somebody was quicker than the clock.
                Sleep::TimedOut => {
                    return Ok(if queued.leave() { Waited::TimedOut } else { Waited::Woken });
                }
            }
        }
    }

    /// Wakes at most `count` of the threads that wait at an address, those first that have waited
    /// longest; tells how many.
    pub fn notify(&self, address: usize, count: u32) -> u32 {
        if count == 0 {
            return 0;
        }
        let (first, others) = self.take(address, count);
        // Without the lock, for which the woken thread would have to wait again. One that sleeps for
        // something else by now looks and sleeps on.
        for waiter in first.iter().chain(&others) {
            waiter.changed.notify_all();
        }
        u32::from(first.is_some()) + others.len() as u32
    }

    /// Takes at most `count` threads, and at least one if there is one, out of their queue and notes
    /// that they are woken. Most often it is one.
    fn take(&self, address: usize, count: u32) -> (Option<Arc<Waiter>>, Vec<Arc<Waiter>>) {
        let mut queues = lock(self.shard(address));
        let Some(queue) = queues.get_mut(&address) else { return (None, Vec::new()) };
        let first = queue.pop_front();
        let left = queue.len().min((count - 1) as usize);
        let others: Vec<_> = queue.drain(..left).collect();
        for waiter in first.iter().chain(&others) {
            waiter.set(true);
        }
        if queue.is_empty() {
            queues.remove(&address);
        }
        (first, others)
    }

    /// Takes a waiter out of its queue; false: it is in none any more.
    fn remove(&self, address: usize, waiter: &Arc<Waiter>) -> bool {
        let mut queues = lock(self.shard(address));
        if waiter.is_woken() {
            return false;
        }
        let Some(queue) = queues.get_mut(&address) else { return false };
        let Some(at) = queue.iter().position(|other| Arc::ptr_eq(other, waiter)) else {
            return false;
        };
        queue.remove(at);
        if queue.is_empty() {
            queues.remove(&address);
        }
        true
    }

    /// Takes all locks, for a fork: no other thread is in the middle of anything.
    #[must_use]
    pub fn lock_all(&self) -> Vec<MutexGuard<'_, Queues>> {
        self.shards.iter().map(lock).collect()
    }
}

/// A waiter that leaves its queue when waiting ends, also by an error or a panic.
struct Queued<'w> {
    lot: &'w ParkingLot,
    address: usize,
    waiter: &'w Arc<Waiter>,
}

impl Queued<'_> {
    fn leave(&self) -> bool {
        self.lot.remove(self.address, self.waiter)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A panic elsewhere leaves queues as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
