//! Tier-up: which functions are worth compiling a second time, and the thread that does it.
//!
//! Time is *sampled*, not counted. While a guest of a tiered engine runs, the sampler makes its
//! store poll about once per [`SAMPLE_INTERVAL`]; the guest's next poll tells which function it
//! was in. So code carries no counters, and what is measured is time itself:
//!
//! ```text
//! sampler:    every interval, for each running store: request a sample
//! guest:      poll -> serve -> ModuleCode::sample(function) -> Heat::add
//! heat:       samples x interval > twice the estimated compile time  ->  queue, once
//! optimizer:  hottest function of the queue -> compile -> publish in its slot
//! ```
//!
//! Stores register when wasm is entered and they are not registered; a sampler that has seen no
//! running store for [`IDLE_ROUNDS`] forgets all of them and sleeps, so an idle process costs
//! nothing. Both threads are the process's, run at low priority, and hold only weak references. The
//! optimizer is started by the sampler when there is work for it: most processes that a guest starts
//! end before.

use crate::compiled::CompiledModule;
use crate::engine::Engine;
use crate::poll::PollState;
use crate::store::StoreInner;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak, mpsc};
use std::time::Duration;
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_sys::fork::Hooks;

/// Time between two samples of a running guest.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(1);
/// Rounds without a running store before the sampler sleeps.
const IDLE_ROUNDS: u32 = 500;
/// Functions waiting for the optimizer; what does not fit is sampled again.
const QUEUE_MAX: usize = 4096;

/// Notes a sample of a function of `module`; queues the function when it has become worth it.
pub(crate) fn sampled(module: &Weak<CompiledModule>, func: DefinedFuncIndex) {
    if let Some(owner) = module.upgrade()
        && let Some(heat) = owner.heat()
        && let Some(body) = owner.module().bodies.get(func)
    {
        if heat.limit().is_some() {
            owner.replaceable.remove_all();
            return;
        }
        let bytes = (body.range.end - body.range.start) as usize;
        let job = |samples| Job { samples, module: module.clone(), func };
        if heat.add(func, bytes, SAMPLE_INTERVAL, |samples| enqueue(|| job(samples))) {
            owner.replaceable.remove();
        }
    }
}

/// A function to compile again.
#[derive(Debug)]
struct Job {
    samples: u16,
    module: Weak<CompiledModule>,
    func: DefinedFuncIndex,
}

/// A store that is sampled while it runs.
#[derive(Debug)]
struct Sampled {
    poll: Weak<PollState>,
    /// Functions of its engine whose code may be compiled again: without any, a sample tells nothing,
    /// and making the poll page unreadable costs the guest microseconds.
    replaceable: Arc<AtomicUsize>,
}

impl Sampled {
    /// Requests a sample if a guest runs; whether one does.
    fn request(&self, poll: &PollState) -> bool {
        match self.replaceable.load(Ordering::Relaxed) {
            0 => poll.is_running(),
            _ => poll.request_sample(),
        }
    }
}

/// Functions of a module whose code may be compiled again, counted in their engine too.
#[derive(Debug)]
pub(crate) struct Replaceable {
    own: AtomicUsize,
    engine: Arc<AtomicUsize>,
}

impl Replaceable {
    pub(crate) fn new(engine: &Engine) -> Self {
        Replaceable { own: AtomicUsize::new(0), engine: Arc::clone(engine.replaceable()) }
    }

    pub(crate) fn add(&self, count: usize) {
        self.own.fetch_add(count, Ordering::Relaxed);
        self.engine.fetch_add(count, Ordering::Relaxed);
    }

    /// One less, if there are any: a function may have been queued twice.
    pub(crate) fn remove(&self) {
        let less = |count: usize| count.checked_sub(1);
        if self.own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            self.engine.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove_all(&self) {
        let all = self.own.swap(0, Ordering::Relaxed);
        self.engine.fetch_sub(all, Ordering::Relaxed);
    }
}

impl Drop for Replaceable {
    fn drop(&mut self) {
        self.remove_all();
    }
}

/// What both threads work on.
#[derive(Debug)]
struct Work {
    stores: Vec<Sampled>,
    queue: Vec<Job>,
}

static WORK: Mutex<Work> = Mutex::new(Work { stores: Vec::new(), queue: Vec::new() });
static STORE_ADDED: Condvar = Condvar::new();
static JOB_ADDED: Condvar = Condvar::new();
/// Process that has a sampler (a forked child has none), or 0.
static SAMPLER_PROCESS: AtomicU32 = AtomicU32::new(0);
/// Process that has an optimizer, or 0. Changes under the lock of [`WORK`].
static OPTIMIZER_PROCESS: AtomicU32 = AtomicU32::new(0);

/// Has a store sampled while it runs.
#[cold]
pub(crate) fn register(poll: &Arc<PollState>, engine: &Engine) {
    poll.set_sampled(true);
    let replaceable = Arc::clone(engine.replaceable());
    lock().stores.push(Sampled { poll: Arc::downgrade(poll), replaceable });
    if start_sampler().is_err() {
        // Without it code stays as the first compiler made it.
        lock().stores.clear();
    }
    STORE_ADDED.notify_one();
}

/// Functions that a forked child has compiled inside of the entry that it was forked in; `u32::MAX`:
/// this process is no such child, or its store has been registered again.
static COMPILED_IN_CHILD: AtomicU32 = AtomicU32::new(u32::MAX);
/// A child that has compiled so many works, rather than only ends or becomes another program, and is
/// worth a thread or two.
const COMPILED_MIN: u32 = 32;

/// Notes that a function was compiled for a running store: a forked child has the store sampled again
/// when it seems to stay.
pub(crate) fn compiled(store: &StoreInner) {
    if COMPILED_IN_CHILD.load(Ordering::Relaxed) == u32::MAX {
        return;
    }
    if COMPILED_IN_CHILD.fetch_add(1, Ordering::Relaxed) >= COMPILED_MIN {
        COMPILED_IN_CHILD.store(u32::MAX, Ordering::Relaxed);
        if store.engine().is_tiered() && !store.poll.is_sampled() {
            register(&store.poll, store.engine());
        }
    }
}

/// Whether the job was taken.
fn enqueue(job: impl FnOnce() -> Job) -> bool {
    let mut work = lock();
    if work.queue.len() >= QUEUE_MAX {
        return false;
    }
    work.queue.push(job());
    JOB_ADDED.notify_one();
    true
}

fn start_sampler() -> std::io::Result<()> {
    register_fork_hooks();
    let process = std::process::id();
    if SAMPLER_PROCESS.swap(process, Ordering::SeqCst) == process {
        return Ok(());
    }
    let started = start("wasmoor-sampler", sample_for_ever);
    if started.is_err() {
        // The next store tries again.
        SAMPLER_PROCESS.store(0, Ordering::SeqCst);
    }
    started
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let builder = std::thread::Builder::new().name(name.into());
    let spawned = builder.spawn(move || {
        wasmoor_sys::thread::lower_priority();
        body();
    });
    spawned.map(drop)
}

/// Sees to it that there is an optimizer if there is work for one. A fork waits for the lock, so none
/// is made while this thread's start holds locks of others.
fn start_optimizer(work: &Work) {
    if work.queue.is_empty() {
        return;
    }
    let process = std::process::id();
    if OPTIMIZER_PROCESS.load(Ordering::SeqCst) == process {
        return;
    }
    let (begins, has_begun) = mpsc::channel();
    let body = move || {
        let _ = begins.send(());
        drop(begins);
        optimize_for_ever();
    };
    // Where the system refuses, the next round tries again.
    if start("wasmoor-optimizer", body).is_ok() {
        OPTIMIZER_PROCESS.store(process, Ordering::SeqCst);
        let _ = has_begun.recv();
    }
}

fn sample_for_ever() {
    let mut idle_rounds = 0;
    loop {
        let mut work = lock();
        if idle_rounds >= IDLE_ROUNDS {
            // They register again when they are entered.
            for poll in work.stores.drain(..).filter_map(|store| store.poll.upgrade()) {
                poll.set_sampled(false);
            }
            idle_rounds = 0;
        }
        while work.stores.is_empty() {
            work = STORE_ADDED.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        start_optimizer(&work);
        drop(work);
        // First this: what has only just begun may be about to end.
        std::thread::sleep(SAMPLE_INTERVAL);
        let mut running = false;
        lock().stores.retain(|store| {
            let Some(poll) = store.poll.upgrade() else { return false };
            running |= store.request(&poll);
            true
        });
        idle_rounds = if running { 0 } else { idle_rounds + 1 };
    }
}

fn optimize_for_ever() {
    loop {
        let job = hottest();
        if let Some(module) = job.module.upgrade() {
            // A function that the second compiler cannot make stays as it is; a panic of the
            // compiler is a bug that must not end tier-up for the process.
            let done = catch_unwind(AssertUnwindSafe(|| module.recompile(job.func)));
            if !matches!(done, Ok(Ok(())))
                && let Some(heat) = module.heat()
            {
                heat.leave();
            }
        }
    }
}

/// Waits for a job and takes the hottest.
fn hottest() -> Job {
    let mut work = lock();
    loop {
        let hottest = (0..work.queue.len()).max_by_key(|&at| work.queue[at].samples);
        if let Some(at) = hottest {
            return work.queue.swap_remove(at);
        }
        work = JOB_ADDED.wait(work).unwrap_or_else(PoisonError::into_inner);
    }
}

fn lock() -> MutexGuard<'static, Work> {
    WORK.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    static HELD: Cell<Option<MutexGuard<'static, Work>>> = const { Cell::new(None) };
}

fn register_fork_hooks() {
    static ONCE: Once = Once::new();
    static HOOKS: Hooks = Hooks {
        prepare: || HELD.set(Some(lock())),
        parent: || drop(HELD.take()),
        child: || {
            // The threads are the parent's; stores register again when they are entered, or when
            // they go on for long.
            COMPILED_IN_CHILD.store(0, Ordering::Relaxed);
            if let Some(mut work) = HELD.take() {
                for poll in work.stores.drain(..).filter_map(|store| store.poll.upgrade()) {
                    poll.set_sampled(false);
                    poll.forget_sample();
                }
            }
        },
    };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_compiled_again_is_counted_until_it_was_or_is_gone() {
        let engine = Arc::new(AtomicUsize::new(0));
        let module = || Replaceable { own: AtomicUsize::new(0), engine: Arc::clone(&engine) };
        let count = || engine.load(Ordering::Relaxed);
        let (first, second) = (module(), module());
        first.add(2);
        second.add(3);
        assert_eq!(count(), 5);
        for expected in [4, 3, 3] {
            first.remove();
            assert_eq!(count(), expected, "no more than it had");
        }
        drop(first);
        second.remove();
        second.remove_all();
        assert_eq!(count(), 0);
        second.add(1);
        drop(second);
        assert_eq!(count(), 0);
    }
}
