//! What an engine has made, and what there is of it now.
//!
//! Instances and their memories are made by many threads at once, a million a second each: they
//! are counted in stripes that threads do not share, and added up when somebody asks. What is
//! compiled is counted by each module; of those that are gone, the sum is kept.

use crate::compiled::{CompileStats, CompiledModule};
use crate::pool::{PoolStats, thread_number};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use wasmoor_memory::slots::Affinity;
use wasmoor_sys::fork::Hooks;

/// What an engine has made, and what there is of it now. Other threads go on meanwhile, so that
/// numbers need not be of the same moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Modules that are loaded.
    pub modules: u64,
    /// Modules that have been loaded so far, these included.
    pub modules_loaded: u64,
    /// Instances that live.
    pub instances: u64,
    /// Instances made so far, these included.
    pub instances_made: u64,
    /// Memories that live: of instances and of the host. A shared memory counts in each store that
    /// has it.
    pub memories: u64,
    /// Tables that live: of instances and of the host.
    pub tables: u64,
    /// Bytes of machine code of the modules that are loaded.
    pub code_bytes: u64,
    /// Functions compiled so far, also of modules that are gone.
    pub functions_compiled: u64,
    /// Functions compiled a second time, for speed, so far.
    pub functions_optimized: u64,
    /// Functions whose code was made earlier and has been loaded so far.
    pub functions_loaded: u64,
    /// Nanoseconds that threads have spent compiling functions for the first time, together.
    pub compile_ns: u64,
    /// Nanoseconds that the background thread has spent on compiling again.
    pub optimize_ns: u64,
    /// What the pool of instances does and did; `None`: the engine has none.
    pub pool: Option<PoolStats>,
}

/// Taken before any engine's list of modules, so that no list is locked in a forked child.
static GATE: Mutex<()> = Mutex::new(());

thread_local! {
    static HELD: Cell<Option<MutexGuard<'static, ()>>> = const { Cell::new(None) };
}

fn gate() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register_fork_hooks() {
    static ONCE: Once = Once::new();
    static HOOKS: Hooks = Hooks {
        prepare: || HELD.set(Some(gate())),
        parent: || drop(HELD.take()),
        child: || drop(HELD.take()),
    };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}

const STRIPES: usize = 16;

/// Apart from others in the caches. Numbers wrap: only the sums over all stripes mean anything,
/// since what one thread makes another may drop.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    made: AtomicU64,
    ended: AtomicU64,
    /// Memories in the low half, tables in the high one.
    storage: AtomicU64,
}

/// The counters of an engine; see the head of this module.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    stripes: [Stripe; STRIPES],
    modules: Mutex<Modules>,
}

#[derive(Debug, Default)]
struct Modules {
    loaded: u64,
    living: HashMap<u64, Weak<CompiledModule>>,
    /// Of those that are gone.
    gone: EngineStats,
}

fn storage(memories: usize, tables: usize) -> u64 {
    (memories as u64).wrapping_add((tables as u64) << 32)
}

impl Counts {
    fn stripe(&self) -> &Stripe {
        &self.stripes[thread_number() % STRIPES]
    }

    /// An instance was made.
    pub(crate) fn instance_made(&self) {
        self.stripe().made.fetch_add(1, Ordering::Relaxed);
    }

    /// A store has got memories and tables.
    pub(crate) fn storage_made(&self, memories: usize, tables: usize) {
        if memories + tables > 0 {
            self.stripe().storage.fetch_add(storage(memories, tables), Ordering::Relaxed);
        }
    }

    /// So many are no more: instances were freed, or a store was dropped.
    pub(crate) fn ended(&self, instances: usize, memories: usize, tables: usize) {
        let stripe = self.stripe();
        if instances > 0 {
            stripe.ended.fetch_add(instances as u64, Ordering::Relaxed);
        }
        if memories + tables > 0 {
            stripe.storage.fetch_sub(storage(memories, tables), Ordering::Relaxed);
        }
    }

    pub(crate) fn module_loaded(&self, affinity: Affinity, module: &Arc<CompiledModule>) {
        self.modules(|modules| {
            modules.loaded += 1;
            modules.living.insert(affinity.0, Arc::downgrade(module));
        });
    }

    pub(crate) fn module_gone(&self, affinity: Affinity, compiled: &CompileStats) {
        self.modules(|modules| {
            modules.living.remove(&affinity.0);
            modules.gone.add(compiled);
        });
    }

    /// Runs `f` with the list of modules. It may take no lock.
    fn modules<R>(&self, f: impl FnOnce(&mut Modules) -> R) -> R {
        register_fork_hooks();
        let _gate = gate();
        f(&mut self.modules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn stats(&self, pool: Option<PoolStats>) -> EngineStats {
        // Dropped outside: the last owner of a module takes the lock again.
        let (mut stats, living) = self.modules(|modules| {
            let stats = EngineStats { modules_loaded: modules.loaded, ..modules.gone.clone() };
            let living: Vec<_> = modules.living.values().filter_map(Weak::upgrade).collect();
            (stats, living)
        });
        stats.pool = pool;
        stats.modules = living.len() as u64;
        for module in &living {
            let compiled = module.stats();
            stats.add(&compiled);
            stats.code_bytes += compiled.code_bytes as u64;
        }
        let sum = |of: fn(&Stripe) -> &AtomicU64| {
            let values = self.stripes.iter().map(|stripe| of(stripe).load(Ordering::Relaxed));
            values.fold(0, u64::wrapping_add)
        };
        // In this order an instance that ends meanwhile is not counted as ended alone.
        let ended = sum(|stripe| &stripe.ended);
        stats.instances_made = sum(|stripe| &stripe.made);
        stats.instances = stats.instances_made.saturating_sub(ended);
        let storage = sum(|stripe| &stripe.storage);
        (stats.memories, stats.tables) = (storage & u64::from(u32::MAX), storage >> 32);
        stats
    }
}

impl EngineStats {
    /// Adds what was compiled of one module.
    fn add(&mut self, compiled: &CompileStats) {
        self.functions_compiled += compiled.functions as u64;
        self.functions_optimized += compiled.functions_optimized as u64;
        self.functions_loaded += compiled.functions_loaded as u64;
        self.compile_ns += compiled.compile_ns;
        self.optimize_ns += compiled.optimize_ns;
    }
}
