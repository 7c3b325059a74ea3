//! Engines and their configuration.

use crate::{Error, Features, Result};
use wasmoor_abi::{MemoryMode, Tunables};
use wasmoor_codegen::FunctionCompiler;
use wasmoor_runtime::{self as runtime, Compilers};

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
}

/// How accesses to linear memories are kept in bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryChoice {
    /// Guard regions where the machine grants the address space, else checks.
    #[default]
    Auto,
    /// Guard regions: no checks in code, but 4 GiB of address space per memory.
    Guard,
    /// Explicit checks in code, little address space.
    Checked,
}

/// The configuration of an [`Engine`].
#[derive(Clone, Debug)]
pub struct Config {
    features: Features,
    tier: Tier,
    memory: MemoryChoice,
    eager: bool,
    fuel: bool,
    stack_bytes_max: usize,
    threads: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            features: Features::default(),
            tier: Tier::Auto,
            memory: MemoryChoice::Auto,
            eager: false,
            fuel: false,
            stack_bytes_max: Self::STACK_BYTES_MAX,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
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

    /// Which compiler makes code.
    pub fn tier(&mut self, tier: Tier) -> &mut Self {
        self.tier = tier;
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

    /// Whether code counts fuel (see [`crate::Store::set_fuel`]); costs speed.
    pub fn fuel(&mut self, fuel: bool) -> &mut Self {
        self.fuel = fuel;
        self
    }

    /// Bytes of stack that guests may use on a thread, 1 MiB by default. Calls nested deeper trap
    /// with [`crate::TrapCode::StackOverflow`]. The thread's own stack bounds it too: 256 KiB are
    /// kept for host functions.
    pub fn max_stack(&mut self, bytes: usize) -> &mut Self {
        self.stack_bytes_max = bytes;
        self
    }

    /// Threads for validation and eager compilation; at least 1.
    pub fn threads(&mut self, threads: usize) -> &mut Self {
        self.threads = threads.max(1);
        self
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
    /// When the CPU lacks what the compiler needs, or the system refuses the signal handlers.
    pub fn new(config: &Config) -> Result<Self> {
        let memory_mode = match config.memory {
            MemoryChoice::Auto => wasmoor_memory::choose_memory_mode(),
            MemoryChoice::Guard => Tunables::default().memory_mode,
            MemoryChoice::Checked => MemoryMode::Checked,
        };
        let config = runtime::EngineConfig {
            tunables: Tunables { memory_mode, fuel: config.fuel, poll: true },
            features: config.features,
            compilers: compilers(config.tier)?,
            eager: config.eager,
            threads: config.threads,
            stack_bytes_max: config.stack_bytes_max,
        };
        let inner = runtime::Engine::new(config).map_err(|error| runtime::ErrorKind::System {
            what: "install signal handlers",
            error,
        })?;
        Ok(Engine { inner })
    }

    /// The proposals that modules of this engine may use.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.inner.config().features
    }

    /// How accesses to 32-bit memories are checked.
    #[must_use]
    pub fn memory_mode(&self) -> MemoryMode {
        self.inner.config().tunables.memory_mode
    }
}

impl Default for Engine {
    /// An engine with the default configuration.
    ///
    /// # Panics
    /// Where [`Engine::new`] gives an error.
    fn default() -> Self {
        Self::new(&Config::default()).expect("the default configuration works on this machine")
    }
}

/// Who makes code for a tier, from the compilers that are built in.
fn compilers(tier: Tier) -> Result<Compilers> {
    Ok(match tier {
        Tier::Baseline => baseline()?.map_or(Compilers::None, Compilers::One),
        Tier::Optimizing => optimizing()?.map_or(Compilers::None, Compilers::One),
        Tier::Auto => match (baseline()?, optimizing()?) {
            (Some(first), Some(second)) => Compilers::Tiered { first, second },
            (Some(only), None) | (None, Some(only)) => Compilers::One(only),
            (None, None) => Compilers::None,
        },
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
