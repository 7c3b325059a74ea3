//! Engines and their configuration.

use crate::{Error, Features, Result, ValType};
use wasmoor_abi::{MemoryMode, Tunables};
use wasmoor_codegen::FunctionCompiler;
use wasmoor_runtime::{
    self as runtime, Compilers, Creators, EngineStats, Plan, PoolConfig, PoolStats, ResetMethod,
    TierUpBudget,
};

/// Which compiler makes code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// The baseline compiler makes a function's first code; functions that turn out to be hot are
    /// compiled again by the optimizing compiler, in the background.
    #[default]
    Auto,
    /// The optimizing compiler for every function; one that it cannot compile is an error.
    Optimizing,
    /// The baseline compiler for every function.
    Baseline,
    /// Every call runs code of one of the two compilers, as a seeded generator decides anew each
    /// time: for tests of whether they agree. See [`crate::raw::mixed_tier`].
    #[doc(hidden)]
    Mixed {
        /// The generator's start.
        seed: u64,
    },
}

/// How accesses to linear memories are kept in bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryChoice {
    /// Guard regions where the machine grants the address space, else checks.
    #[default]
    Auto,
    /// Guard regions: no checks in code, but 4 GiB of address space per memory. Memories with
    /// 64-bit indices take 70 GiB where there is room ([`Engine::clamps_memory64`]): code clamps
    /// their indices, and compares them with the length elsewhere.
    Guard,
    /// Explicit checks in code, little address space, whatever the indices.
    Checked,
}

/// Where instances get their memories and tables.
///
/// With a pool, what an instance leaves behind is cleaned when it is freed ([`crate::Instance::release`])
/// or its store is dropped, and serves the next instance, best of all one of the same module: making an
/// instance then asks nothing of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allocation {
    /// Everything is mapped when an instance is made and unmapped when it is freed: for programs that
    /// make few instances.
    OnDemand,
    /// A pool; the default.
    Pool(Pool),
}

/// The options of a pool of instances.
///
/// ```
/// use wasmoor::*;
///
/// # fn main() -> Result<()> {
/// let mut pool = Pool::new();
/// pool.slots_max(10_000).warm_max(Some(200)).strict(true);
/// let engine = Engine::new(Config::new().allocation(Allocation::Pool(pool)))?;
/// let module = Module::new(&engine, "(module (memory 1))")?;
/// for _ in 0..3 {
///     Instance::new(&mut Store::new(&engine, ())?, &module, &[])?;
/// }
/// let stats = engine.pool_stats().unwrap_or_default();
/// assert_eq!((stats.cold, stats.reused, stats.used), (1, 2, 0));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    slots_max: u32,
    warm_max: Option<u32>,
    reset: ResetMethod,
    dense_bytes: Option<usize>,
    is_strict: bool,
    shards: Option<u32>,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            slots_max: 1000,
            warm_max: Some(100),
            reset: ResetMethod::Auto,
            dense_bytes: None,
            is_strict: false,
            shards: None,
        }
    }
}

impl Pool {
    /// The default options: 1000 slots, not strict, what is idle is used again after 100 of them.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Instances that can be in the pool at once. Slots take address space and memory only when
    /// they are used.
    pub fn slots_max(&mut self, slots: u32) -> &mut Self {
        self.slots_max = slots;
        self
    }

    /// Unused slots that are kept ready for their modules before one of them is given to another
    /// module rather than a new slot, of all shards together. 0: memory that is warm is always used again. `None`: no
    /// module ever loses a slot to another, even if an instance finds no slot then.
    pub fn warm_max(&mut self, slots: Option<u32>) -> &mut Self {
        self.warm_max = slots;
        self
    }

    /// How memories are cleaned; chosen for each by default.
    pub fn reset(&mut self, method: ResetMethod) -> &mut Self {
        self.reset = method;
        self
    }

    /// Puts memories of up to `bytes` into common mappings, for more instances than a process may
    /// have mappings. Needs checked memories ([`Config::memory`]); images are copied then, not
    /// mapped. A memory that outgrows this moves.
    pub fn dense(&mut self, bytes: Option<usize>) -> &mut Self {
        self.dense_bytes = bytes;
        self
    }

    /// Whether an instance that finds no slot is refused with [`crate::ErrorKind::PoolExhausted`], rather
    /// than made without the pool, which is the default.
    pub fn strict(&mut self, strict: bool) -> &mut Self {
        self.is_strict = strict;
        self
    }

    /// Parts of the pool that threads use independently: by default, as many as threads can run.
    pub fn shards(&mut self, shards: Option<u32>) -> &mut Self {
        self.shards = shards;
        self
    }

    fn config(&self) -> PoolConfig {
        /// Where there is memory enough.
        const KEPT_PER_SHARD_MAX: u32 = 128;
        let threads = || std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        let shards = self.shards.unwrap_or_else(threads);
        PoolConfig {
            slots_max: self.slots_max,
            warm_max: self.warm_max,
            reset: self.reset,
            dense_bytes: self.dense_bytes,
            is_strict: self.is_strict,
            shards,
            kept_per_shard_max: KEPT_PER_SHARD_MAX
                .min(wasmoor_memory::memories_kept_max() / shards.max(1)),
        }
    }
}

/// The configuration of an [`Engine`].
#[derive(Clone, Debug)]
pub struct Config {
    features: Features,
    tier: Tier,
    tier_up_budget: TierUpBudget,
    memory: MemoryChoice,
    eager: bool,
    jit: bool,
    fuel: bool,
    relaxed_simd_deterministic: bool,
    stack_bytes_max: usize,
    threads: usize,
    allocation: Allocation,
    pub(crate) creators: Creators,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            features: Features::default(),
            tier: Tier::Auto,
            tier_up_budget: TierUpBudget::default(),
            memory: MemoryChoice::Auto,
            eager: false,
            jit: true,
            fuel: false,
            relaxed_simd_deterministic: false,
            stack_bytes_max: Self::STACK_BYTES_MAX,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            allocation: Allocation::Pool(Pool::default()),
            creators: Creators::default(),
        }
    }
}

impl Config {
    /// Bytes of stack that guests may use unless [`Config::max_stack`] says otherwise.
    pub const STACK_BYTES_MAX: usize = 1 << 20;

    /// The default configuration.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// WebAssembly proposals that modules may use.
    pub fn features(&mut self, features: Features) -> &mut Self {
        self.features = features;
        self
    }

    /// Which compiler makes code. A module may have another one: see [`crate::ModuleOptions`].
    pub fn tier(&mut self, tier: Tier) -> &mut Self {
        self.tier = tier;
        self
    }

    /// What compiling hot functions again may take for each module, in [`Tier::Auto`]. When it is
    /// used up, code stays as it is; [`crate::CompileStats`] tells.
    pub fn tier_up_budget(&mut self, budget: TierUpBudget) -> &mut Self {
        self.tier_up_budget = budget;
        self
    }

    /// How accesses to linear memories are kept in bounds.
    pub fn memory(&mut self, memory: MemoryChoice) -> &mut Self {
        self.memory = memory;
        self
    }

    /// Whether loading a module compiles all of it, on all threads, rather than each function at
    /// its first call. Code compiled together calls directly and is slightly faster.
    pub fn eager(&mut self, eager: bool) -> &mut Self {
        self.eager = eager;
        self
    }

    /// Whether code may be made at run time, which is the default. Without, only modules made
    /// ahead of time run: see [`crate::Module::serialize`].
    pub fn jit(&mut self, jit: bool) -> &mut Self {
        self.jit = jit;
        self
    }

    /// Whether code counts fuel (see [`crate::Store::set_fuel`]); costs speed.
    pub fn fuel(&mut self, fuel: bool) -> &mut Self {
        self.fuel = fuel;
        self
    }

    /// Whether relaxed vector instructions have the results of the specification's deterministic
    /// profile, which are the same on every machine, instead of those that this one produces
    /// fastest.
    pub fn relaxed_simd_deterministic(&mut self, deterministic: bool) -> &mut Self {
        self.relaxed_simd_deterministic = deterministic;
        self
    }

    /// Bytes of stack that guests may use on a thread, 1 MiB by default. Calls nested deeper trap
    /// with [`crate::TrapCode::StackOverflow`]. The thread's own stack bounds it too: 256 KiB are
    /// kept for host functions.
    pub fn max_stack(&mut self, bytes: usize) -> &mut Self {
        self.stack_bytes_max = bytes;
        self
    }

    /// Where instances get their memories and tables; a pool by default.
    pub fn allocation(&mut self, allocation: Allocation) -> &mut Self {
        self.allocation = allocation;
        self
    }

    /// Threads for validation and eager compilation; at least 1.
    pub fn threads(&mut self, threads: usize) -> &mut Self {
        self.threads = threads.max(1);
        self
    }

    fn is_dense(&self) -> bool {
        matches!(&self.allocation, Allocation::Pool(pool) if pool.dense_bytes.is_some())
    }
}

/// Shares a configuration, compilers and types among modules and stores. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) inner: runtime::Engine,
}

impl Engine {
    /// An engine with this configuration.
    ///
    /// # Errors
    /// When the CPU lacks what the compiler needs, the system refuses the signal handlers, or a
    /// strict or dense pool is asked for beside a creator of memories or tables.
    pub fn new(config: &Config) -> Result<Self> {
        let (memory_mode, clamped64) = memory_modes(config);
        // A creator is not asked for address space before the base.
        let clamped64 = clamped64 && config.creators.memory.is_none();
        let pool = match &config.allocation {
            Allocation::OnDemand => None,
            Allocation::Pool(pool) => Some(pool.config()),
        };
        if pool.as_ref().is_some_and(|pool| pool.is_strict || pool.dense_bytes.is_some())
            && !config.creators.is_empty()
        {
            return Err(Error::usage(
                "creators of memories and tables leave no use for a pool, and this one is strict \
                 or dense",
            ));
        }
        let deterministic = config.relaxed_simd_deterministic;
        let config = runtime::EngineConfig {
            tunables: Tunables {
                memory_mode,
                clamped64,
                fuel: config.fuel,
                poll: true,
                relaxed_simd_deterministic: deterministic,
            },
            features: config.features,
            compilers: if config.jit { compilers(config)? } else { Compilers::None },
            eager: config.eager,
            threads: config.threads,
            stack_bytes_max: config.stack_bytes_max,
            pool,
            creators: config.creators.clone(),
        };
        let inner = runtime::Engine::new(config)
            .map_err(|error| runtime::ErrorKind::System { what: "set up an engine", error })?;
        Ok(Engine { inner })
    }

    /// The proposals that modules of this engine may use.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.inner.config().features
    }

    /// Whether every value of one type is a value of the other. Defined types that this engine
    /// does not know match nothing but themselves.
    #[must_use]
    pub fn type_matches(&self, ty: ValType, other: ValType) -> bool {
        self.inner.types().matches(ty, other)
    }

    /// What the pool of instances does and did; `None`: the engine has none.
    #[must_use]
    pub fn pool_stats(&self) -> Option<PoolStats> {
        self.inner.pool_stats()
    }

    /// What has been made by the engine, and what there is of it now: modules and what compiling them
    /// took, instances, memories, tables, and what the pool does. Cheap enough to ask every second,
    /// not for every instance.
    ///
    /// ```
    /// # fn main() -> wasmoor::Result<()> {
    /// use wasmoor::{Engine, Instance, Module, Store};
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, "(module (memory 1))")?;
    /// let mut store = Store::new(&engine, ())?;
    /// Instance::new(&mut store, &module, &[])?;
    /// let stats = engine.stats();
    /// assert_eq!((stats.modules, stats.instances, stats.memories), (1, 1, 1));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.inner.stats()
    }

    /// Drops everything that the pool keeps for instances to come, and so gives memory back.
    pub fn shrink_pool(&self) {
        self.inner.shrink_pool();
    }

    /// How accesses to 32-bit memories are checked.
    #[must_use]
    pub fn memory_mode(&self) -> MemoryMode {
        self.inner.config().tunables.memory_mode
    }

    /// Whether 64-bit memories have a reach that indices are clamped to, which takes 70 GiB of
    /// address space for each, or indices are compared with the memory's length.
    #[must_use]
    pub fn clamps_memory64(&self) -> bool {
        self.inner.config().tunables.clamped64
    }
}

/// How 32-bit memories are kept in bounds, and whether 64-bit ones are clamped.
fn memory_modes(config: &Config) -> (MemoryMode, bool) {
    let granted = |mode, slots_max| {
        (mode, mode != MemoryMode::Checked && wasmoor_memory::choose_clamped64(slots_max))
    };
    match (config.memory, &config.allocation) {
        // Dense memories have no guards.
        (MemoryChoice::Auto, _) if config.is_dense() => (MemoryMode::Checked, false),
        (MemoryChoice::Auto, Allocation::OnDemand) => {
            granted(wasmoor_memory::choose_memory_mode(), None)
        }
        (MemoryChoice::Auto, Allocation::Pool(pool)) => {
            let slots_max = pool.slots_max as usize;
            granted(wasmoor_memory::choose_pool_memory_mode(slots_max), Some(slots_max))
        }
        (MemoryChoice::Guard, _) => {
            let Tunables { memory_mode, clamped64, .. } = Tunables::default();
            (memory_mode, clamped64)
        }
        (MemoryChoice::Checked, _) => (MemoryMode::Checked, false),
    }
}

impl Default for Engine {
    /// An engine with the default configuration.
    ///
    /// # Panics
    /// Where [`Engine::new`] gives an error.
    #[allow(clippy::expect_used, reason = "`Default` has no errors; `Engine::new` does")]
    fn default() -> Self {
        Self::new(&Config::default()).expect("the default configuration works on this machine")
    }
}

/// Who makes code, from the compilers that are built in.
fn compilers(config: &Config) -> Result<Compilers> {
    let plan = plan(config.tier)?;
    Ok(match (baseline()?, optimizing()?) {
        (Some(first), Some(second)) => {
            Compilers::Both { first, second, plan, budget: config.tier_up_budget }
        }
        (Some(only), None) | (None, Some(only)) => Compilers::One(only),
        (None, None) => Compilers::None,
    })
}

/// Who makes the code of a module on this tier.
pub(crate) fn plan(tier: Tier) -> Result<Plan> {
    let built_in = (cfg!(feature = "baseline"), cfg!(feature = "optimizing"));
    Ok(match (tier, built_in) {
        (Tier::Auto, (true, true)) => Plan::Tiered,
        (Tier::Optimizing, (true, true)) => Plan::Second,
        (Tier::Mixed { seed }, (true, true)) => Plan::Mixed { seed },
        (Tier::Baseline, (true, _)) | (Tier::Optimizing, (_, true)) => Plan::First,
        // With one compiler it makes all code; with none, only stored code can run.
        (Tier::Auto, _) | (_, (false, false)) => Plan::First,
        (tier, _) => {
            let missing = if built_in.0 { "optimizing" } else { "baseline" };
            let message = format!("this build has no {missing} compiler: no tier {tier:?}");
            return Err(Error::usage(message));
        }
    })
}

#[cfg(feature = "baseline")]
fn baseline() -> Result<Option<Box<dyn FunctionCompiler>>> {
    let compiler = wasmoor_baseline::BaselineCompiler::new()
        .map_err(|error| Error::usage(error.to_string()))?;
    Ok(Some(Box::new(compiler)))
}

#[cfg(not(feature = "baseline"))]
fn baseline() -> Result<Option<Box<dyn FunctionCompiler>>> {
    Ok(None)
}

#[cfg(feature = "optimizing")]
fn optimizing() -> Result<Option<Box<dyn FunctionCompiler>>> {
    let compiler =
        wasmoor_optimizing::OptimizingCompiler::new(&wasmoor_optimizing::Options::default())
            .map_err(|error| Error::usage(error.to_string()))?;
    Ok(Some(Box::new(compiler)))
}

#[cfg(not(feature = "optimizing"))]
fn optimizing() -> Result<Option<Box<dyn FunctionCompiler>>> {
    Ok(None)
}
