//! What stores and modules of one configuration share.

use crate::fault;
use crate::heat::TierUpBudget;
use crate::pool::{Pool, PoolConfig, PoolStats};
use crate::stats::{Counts, EngineStats};
use crate::types::TypeRegistry;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use wasmoor_abi::Tunables;
use wasmoor_codegen::{FunctionCompiler, FunctionWorker};
use wasmoor_memory::Creators;
use wasmoor_module::Features;

/// How an engine is set up.
pub struct EngineConfig {
    /// Choices that change machine code.
    pub tunables: Tunables,
    /// WebAssembly proposals that modules may use.
    pub features: Features,
    /// Who makes code, and when.
    pub compilers: Compilers,
    /// Whether modules are compiled whole when they are loaded.
    pub eager: bool,
    /// Threads for validation and eager compilation.
    pub threads: usize,
    /// Bytes of stack that guests may use on each thread.
    pub stack_bytes_max: usize,
    /// What instances are made from; `None`: everything is mapped when an instance is made.
    pub pool: Option<PoolConfig>,
    /// Who makes memories and tables instead; there is no pool then.
    pub creators: Creators,
}

/// Who makes code, and when.
#[non_exhaustive]
pub enum Compilers {
    /// Nobody: only code made ahead of time can run.
    None,
    /// One compiler makes all code.
    One(Box<dyn FunctionCompiler>),
    /// There are two; the plan says which makes what.
    Both {
        /// Fast to compile.
        first: Box<dyn FunctionCompiler>,
        /// Fast to run.
        second: Box<dyn FunctionCompiler>,
        /// For modules for which nothing else is asked.
        plan: Plan,
        /// For modules with [`Plan::Tiered`].
        budget: TierUpBudget,
    },
}

/// Which of an engine's compilers make the code of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// The first, or the only one, makes all code.
    First,
    /// The second makes all code.
    Second,
    /// The first makes every function's code when it is first called; the second remakes what
    /// turns out to be hot, in the background.
    Tiered,
    /// Every call runs code of the first or of the second, as a generator that starts from the
    /// seed decides anew each time. Slow; for tests of whether the compilers agree.
    Mixed {
        /// The generator's start; each module of an engine gets another sequence from it.
        seed: u64,
    },
}

/// One of an engine's compilers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Fast to compile, or the only one.
    First,
    /// Fast to run.
    Second,
}

impl Compilers {
    fn get(&self, rank: Rank) -> Option<&dyn FunctionCompiler> {
        match (self, rank) {
            (Compilers::One(compiler), Rank::First) => Some(&**compiler),
            (Compilers::Both { first, .. }, Rank::First) => Some(&**first),
            (Compilers::Both { second, .. }, Rank::Second) => Some(&**second),
            _ => None,
        }
    }

    fn plan(&self) -> Plan {
        match self {
            Compilers::None | Compilers::One(_) => Plan::First,
            Compilers::Both { plan, .. } => *plan,
        }
    }

    fn budget(&self) -> TierUpBudget {
        match self {
            Compilers::None | Compilers::One(_) => TierUpBudget::default(),
            Compilers::Both { budget, .. } => *budget,
        }
    }
}

/// What stores and modules of one configuration share. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<EngineInner>);

struct EngineInner {
    config: EngineConfig,
    types: TypeRegistry,
    /// Whether there has been a module whose functions are compiled twice.
    tiered: AtomicBool,
    /// Functions whose code may be compiled again.
    replaceable: Arc<AtomicUsize>,
    /// Mixed modules so far.
    mixed: AtomicU64,
    pool: Option<Arc<Pool>>,
    counts: Counts,
    /// Idle workers, by rank.
    workers: [Mutex<Vec<Box<dyn FunctionWorker>>>; 2],
}

impl Engine {
    /// An engine; also installs the signal handlers, once per process.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn new(config: EngineConfig) -> std::io::Result<Self> {
        fault::install()?;
        let pool = config.pool.clone().filter(|_| config.creators.is_empty());
        let pool = pool.map(Pool::new).transpose()?;
        Ok(Engine(Arc::new(EngineInner {
            config,
            types: TypeRegistry::default(),
            tiered: AtomicBool::new(false),
            replaceable: Arc::default(),
            mixed: AtomicU64::new(0),
            pool,
            counts: Counts::default(),
            workers: [const { Mutex::new(Vec::new()) }; 2],
        })))
    }

    /// How the engine was set up.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// The function types seen so far.
    #[must_use]
    pub fn types(&self) -> &TypeRegistry {
        &self.0.types
    }

    /// Names and fingerprints of the compilers: part of the identity of code that is stored.
    #[must_use]
    pub fn compilers_identity(&self) -> String {
        let of = |rank| {
            let compiler = self.0.config.compilers.get(rank)?;
            Some(format!("{}: {}; ", compiler.name(), compiler.fingerprint()))
        };
        [Rank::First, Rank::Second].into_iter().filter_map(of).collect()
    }

    /// Whether there is any compiler.
    #[must_use]
    pub fn has_compiler(&self) -> bool {
        self.0.config.compilers.get(Rank::First).is_some()
    }

    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        self.0.pool.as_ref()
    }

    /// What the pool does and did; `None`: there is none.
    #[must_use]
    pub fn pool_stats(&self) -> Option<PoolStats> {
        self.pool().map(|pool| pool.stats())
    }

    /// What has been made, and what there is of it now.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.0.counts.stats(self.pool_stats())
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Drops everything that the pool keeps for instances to come.
    pub fn shrink_pool(&self) {
        if let Some(pool) = self.pool() {
            pool.shrink();
        }
    }

    /// Whether both are the same engine.
    #[must_use]
    pub fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Who makes the code of modules for which nothing else is asked.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.0.config.compilers.plan()
    }

    /// What compiling in the background may take, for each module.
    #[must_use]
    pub fn tier_up_budget(&self) -> TierUpBudget {
        self.0.config.compilers.budget()
    }

    /// Whether the engine has a compiler of this rank.
    pub(crate) fn has(&self, rank: Rank) -> bool {
        self.0.config.compilers.get(rank).is_some()
    }

    /// Whether stores must be sampled: some module's functions may be compiled twice.
    pub(crate) fn is_tiered(&self) -> bool {
        self.0.tiered.load(Ordering::Relaxed)
    }

    pub(crate) fn set_tiered(&self) {
        self.0.tiered.store(true, Ordering::Relaxed);
    }

    /// Functions whose code may be compiled again.
    pub(crate) fn replaceable(&self) -> &Arc<AtomicUsize> {
        &self.0.replaceable
    }

    /// The number of a new mixed module.
    pub(crate) fn count_mixed(&self) -> u64 {
        self.0.mixed.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls `f` with a compiler's worker; `None` when the engine has no such compiler.
    ///
    /// The list of idle workers is never waited for: a thread that finds it locked (or a process
    /// forked while it was) makes a worker of its own.
    pub(crate) fn with_worker<R>(
        &self,
        rank: Rank,
        f: impl FnOnce(&mut dyn FunctionWorker) -> R,
    ) -> Option<R> {
        let compiler = self.0.config.compilers.get(rank)?;
        let workers = &self.0.workers[rank as usize];
        let idle = match workers.try_lock() {
            Ok(mut workers) => workers.pop(),
            Err(TryLockError::Poisoned(workers)) => workers.into_inner().pop(),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut worker = idle.unwrap_or_else(|| compiler.worker());
        let result = f(&mut *worker);
        if let Ok(mut workers) = workers.try_lock()
            && workers.len() < self.0.config.threads
        {
            workers.push(worker);
        }
        Some(result)
    }

    /// Drops idle workers, which keep buffers.
    pub fn drop_idle_workers(&self) {
        for workers in &self.0.workers {
            workers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("tunables", &self.0.config.tunables).finish_non_exhaustive()
    }
}
