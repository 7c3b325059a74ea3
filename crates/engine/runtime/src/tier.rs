//! Tier-up: which functions are worth compiling a second time, and the thread that does it.
//!
//! Time is *sampled*, not counted. While a guest of a tiered engine runs, the sampler makes its
//! store poll about once per [`SAMPLE_INTERVAL`]; the guest's next poll tells which function it
//! was in. So code carries no counters, and what is measured is time itself:
//!
//! ```text
//! sampler:    every interval, for each running store: request a sample
//! guest:      poll -> serve -> ModuleCode::sample(function) -> Heat::add
//! heat:       samples x interval > PAYS_OFF x estimated compile time  ->  queue, once
//! optimizer:  hottest function of the queue -> compile -> publish in its slot
//! ```
//!
//! Stores register when wasm is entered and they are not registered; a sampler that has seen no
//! running store for [`IDLE_ROUNDS`] forgets all of them and sleeps, so an idle process costs
//! nothing. Both threads are the process's, run at low priority, and hold only weak references.

use crate::compiled::CompiledModule;
use crate::poll::PollState;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::Duration;
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_sys::fork::Hooks;

/// Time between two samples of a running guest.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(1);
/// Rounds without a running store before the sampler sleeps.
const IDLE_ROUNDS: u32 = 500;
/// Time that the optimizing compiler takes for a byte of a function body; measured 0.8 to 1.4 us.
const COMPILE_NS_PER_BYTE: u64 = 1_000;
/// A function is compiled again when it has run this many times as long as that takes.
const PAYS_OFF: u64 = 2;
/// Functions waiting for the optimizer; what does not fit is sampled again.
const QUEUE_MAX: usize = 4096;

/// Samples of each function of a module.
#[derive(Debug)]
pub(crate) struct Heat(Box<[AtomicU16]>);

/// The function has been queued, and is never queued again.
const QUEUED: u16 = u16::MAX;

impl Heat {
    pub(crate) fn new(functions: usize) -> Self {
        Heat((0..functions).map(|_| AtomicU16::new(0)).collect())
    }

    /// Notes a sample; queues the function when it has become worth it.
    fn add(&self, module: &Weak<CompiledModule>, func: DefinedFuncIndex, body_bytes: u64) {
        let Some(heat) = self.0.get(func.as_u32() as usize) else { return };
        let samples = heat.load(Ordering::Relaxed);
        if samples == QUEUED {
            return;
        }
        let samples = samples.saturating_add(1).min(QUEUED - 1);
        let interval_ns = SAMPLE_INTERVAL.as_nanos() as u64;
        let worth_ns = PAYS_OFF * COMPILE_NS_PER_BYTE * body_bytes;
        let job = || Job { samples, module: module.clone(), func };
        let hot = u64::from(samples) * interval_ns >= worth_ns || samples == QUEUED - 1;
        let queued = hot && enqueue(job);
        heat.store(if queued { QUEUED } else { samples }, Ordering::Relaxed);
    }
}

/// Notes a sample of a function of `module`.
pub(crate) fn sampled(module: &Weak<CompiledModule>, func: DefinedFuncIndex) {
    if let Some(owner) = module.upgrade()
        && let Some(heat) = owner.heat()
        && let Some(body) = owner.module().bodies.get(func)
    {
        heat.add(module, func, u64::from(body.range.end - body.range.start));
    }
}

/// A function to compile again.
#[derive(Debug)]
struct Job {
    samples: u16,
    module: Weak<CompiledModule>,
    func: DefinedFuncIndex,
}

/// What both threads work on.
#[derive(Debug)]
struct Work {
    stores: Vec<Weak<PollState>>,
    queue: Vec<Job>,
}

static WORK: Mutex<Work> = Mutex::new(Work { stores: Vec::new(), queue: Vec::new() });
static STORE_ADDED: Condvar = Condvar::new();
static JOB_ADDED: Condvar = Condvar::new();
/// Process that has the two threads (a forked child has neither), or 0.
static STARTED_PROCESS: AtomicU32 = AtomicU32::new(0);

/// Has a store sampled while it runs.
#[cold]
pub(crate) fn register(poll: &Arc<PollState>) {
    poll.set_sampled(true);
    lock().stores.push(Arc::downgrade(poll));
    if start_threads().is_err() {
        // Without the threads code stays as the first compiler made it.
        lock().stores.clear();
    }
    STORE_ADDED.notify_one();
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

fn start_threads() -> std::io::Result<()> {
    register_fork_hooks();
    let process = std::process::id();
    if STARTED_PROCESS.swap(process, Ordering::SeqCst) == process {
        return Ok(());
    }
    let start = |name: &str, body: fn()| {
        std::thread::Builder::new().name(name.into()).spawn(move || {
            wasmoor_sys::thread::lower_priority();
            body();
        })
    };
    let started = start("wasmoor-optimizer", optimize_for_ever)
        .and_then(|_| start("wasmoor-sampler", sample_for_ever));
    if started.is_err() {
        // The next store tries again.
        STARTED_PROCESS.store(0, Ordering::SeqCst);
    }
    started.map(drop)
}

fn sample_for_ever() {
    let mut idle_rounds = 0;
    loop {
        let mut work = lock();
        if idle_rounds >= IDLE_ROUNDS {
            // They register again when they are entered.
            for store in work.stores.drain(..).filter_map(|store| store.upgrade()) {
                store.set_sampled(false);
            }
            idle_rounds = 0;
        }
        while work.stores.is_empty() {
            work = STORE_ADDED.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        let mut running = false;
        work.stores.retain(|store| {
            let Some(store) = store.upgrade() else { return false };
            running |= store.request_sample();
            true
        });
        drop(work);
        idle_rounds = if running { 0 } else { idle_rounds + 1 };
        std::thread::sleep(SAMPLE_INTERVAL);
    }
}

fn optimize_for_ever() {
    loop {
        let job = hottest();
        if let Some(module) = job.module.upgrade() {
            // A function that the second compiler cannot make stays as it is; a panic of the
            // compiler is a bug that must not end tier-up for the process.
            let _ = catch_unwind(AssertUnwindSafe(|| module.recompile(job.func)));
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
            // The threads are the parent's; stores register again when they are entered.
            if let Some(mut work) = HELD.take() {
                for store in work.stores.drain(..).filter_map(|store| store.upgrade()) {
                    store.set_sampled(false);
                }
            }
        },
    };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}
