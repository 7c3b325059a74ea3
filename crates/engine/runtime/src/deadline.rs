//! Deadlines: one thread per process, the *watcher*, that interrupts stores when their time is up,
//! and kicks threads that a request waits for until they have served it.

use crate::poll::{InterruptHandle, PollState};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, Instant};
use wasmoor_sys::fork::Hooks;

/// When a deadline ends, and a number that makes it unique.
type Key = (Instant, u64);

/// What the watcher has to do.
struct Watched {
    deadlines: BTreeMap<Key, InterruptHandle>,
    kicks: Vec<Weak<PollState>>,
}

static WATCHED: Mutex<Watched> =
    Mutex::new(Watched { deadlines: BTreeMap::new(), kicks: Vec::new() });
/// Time between two kicks of a thread.
const KICK_INTERVAL: Duration = Duration::from_millis(2);
/// The same while no store that something is asked of runs.
const IDLE_INTERVAL: Duration = Duration::from_millis(20);
/// Kicks where there is no watcher.
const KICKS_ALONE: u32 = 10;
static CHANGED: Condvar = Condvar::new();
/// Process that has a watcher thread (a forked child has none), or 0.
static WATCHED_PROCESS: AtomicU64 = AtomicU64::new(0);

/// A deadline that is in force until dropped.
#[derive(Debug)]
pub struct Deadline {
    key: Key,
    handle: InterruptHandle,
}

impl Deadline {
    /// The store of `handle` traps with `TrapCode::DeadlineExceeded` when it still runs
    /// wasm `timeout` from now.
    ///
    /// # Errors
    /// When no watcher thread can be started.
    pub fn after(timeout: Duration, handle: InterruptHandle) -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // A deadline beyond what the clock can express is a century away: never.
        let now = Instant::now();
        let end = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(3_000_000_000));
        let key = (end, NEXT.fetch_add(1, Ordering::Relaxed));
        start_watcher()?;
        lock().deadlines.insert(key, handle.clone());
        CHANGED.notify_one();
        Ok(Deadline { key, handle })
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        if lock().deadlines.remove(&self.key).is_none() {
            // It has fired; a request that no guest has served must not hit a later one.
            self.handle.withdraw_deadline();
        }
    }
}

/// Has the watcher kick the store's thread until its request is served or it has left wasm.
pub(crate) fn kick_until_served(poll: &Arc<PollState>) {
    if !poll.kick() {
        return;
    }
    let mut watched = lock();
    if !watched.kicks.iter().any(|other| std::ptr::eq(other.as_ptr(), Arc::as_ptr(poll))) {
        watched.kicks.push(Arc::downgrade(poll));
    }
    drop(watched);
    if start_watcher().is_ok() {
        CHANGED.notify_one();
        return;
    }
    // The system has no thread left; the next request asks for one again. A kick that comes before the
    // call that it should break off is in vain, so there are several.
    for _ in 0..KICKS_ALONE {
        std::thread::sleep(KICK_INTERVAL);
        if !poll.kick() {
            return;
        }
    }
}

fn lock() -> MutexGuard<'static, Watched> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_watcher() -> std::io::Result<()> {
    register_fork_hooks();
    let process = u64::from(std::process::id());
    if WATCHED_PROCESS.swap(process, Ordering::SeqCst) == process {
        return Ok(());
    }
    let started = std::thread::Builder::new().name("wasmoor-deadlines".into()).spawn(watch);
    if started.is_err() {
        WATCHED_PROCESS.store(0, Ordering::SeqCst);
    }
    started.map(drop)
}

fn watch() {
    let mut watched = lock();
    loop {
        let now = Instant::now();
        let later = watched.deadlines.split_off(&(now, 0));
        let due = std::mem::replace(&mut watched.deadlines, later);
        // Under the lock, so that a deadline is either in the list or has been requested: its guard
        // can tell which and withdraw the request.
        watched.kicks.extend(due.into_values().filter_map(|handle| handle.request_deadline()));
        let mut interval = IDLE_INTERVAL;
        watched.kicks.retain(|poll| {
            let Some(poll) = poll.upgrade() else { return false };
            let waits = poll.kick();
            if waits && poll.is_running() {
                interval = KICK_INTERVAL;
            }
            waits
        });
        let next = watched.deadlines.first_key_value();
        let until = next.map(|(&(end, _), _)| end.saturating_duration_since(Instant::now()));
        let kick = (!watched.kicks.is_empty()).then_some(interval);
        let wait = until.into_iter().chain(kick).min();
        watched = match wait {
            Some(wait) => {
                CHANGED.wait_timeout(watched, wait).unwrap_or_else(PoisonError::into_inner).0
            }
            None => CHANGED.wait(watched).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

thread_local! {
    static HELD: Cell<Option<MutexGuard<'static, Watched>>> = const { Cell::new(None) };
}

/// `fork` finds the lock free; a child starts a watcher if it has deadlines, or when it needs one.
fn register_fork_hooks() {
    static ONCE: Once = Once::new();
    static HOOKS: Hooks = Hooks {
        prepare: || HELD.set(Some(lock())),
        parent: || drop(HELD.take()),
        child: || {
            let deadlines = HELD.take().is_some_and(|watched| !watched.deadlines.is_empty());
            // Those of the stores that go on here hold here too. Without a thread they do not, as
            // nobody is left to tell.
            if deadlines {
                let _ = start_watcher();
            }
        },
    };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}
