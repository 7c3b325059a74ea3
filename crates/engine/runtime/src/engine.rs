//! What stores and modules of one configuration share.

use crate::fault;
use crate::types::TypeRegistry;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use wasmoor_abi::Tunables;
use wasmoor_codegen::{FunctionCompiler, FunctionWorker};
use wasmoor_module::Features;

/// How an engine is set up.
pub struct EngineConfig {
    /// Choices that change machine code.
    pub tunables: Tunables,
    /// WebAssembly proposals that modules may use.
    pub features: Features,
    /// The compiler; `None`: only code made ahead of time can run.
    pub compiler: Option<Box<dyn FunctionCompiler>>,
    /// Whether modules are compiled whole when they are loaded.
    pub eager: bool,
    /// Threads for validation and eager compilation.
    pub threads: usize,
    /// Bytes of stack that guests may use on each thread.
    pub stack_bytes_max: usize,
}

/// What stores and modules of one configuration share. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<EngineInner>);

struct EngineInner {
    config: EngineConfig,
    types: TypeRegistry,
    workers: Mutex<Vec<Box<dyn FunctionWorker>>>,
}

impl Engine {
    /// An engine; also installs the signal handlers, once per process.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn new(config: EngineConfig) -> std::io::Result<Self> {
        fault::install()?;
        Ok(Engine(Arc::new(EngineInner {
            config,
            types: TypeRegistry::default(),
            workers: Mutex::new(Vec::new()),
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

    /// Whether both are the same engine.
    #[must_use]
    pub fn same(&self, other: &Engine) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Calls `f` with a compiler's worker; `None` when the engine has no compiler.
    ///
    /// The list of idle workers is never waited for: a thread that finds it locked (or a process
    /// forked while it was) makes a worker of its own.
    pub(crate) fn with_worker<R>(&self, f: impl FnOnce(&mut dyn FunctionWorker) -> R) -> Option<R> {
        let compiler = self.0.config.compiler.as_ref()?;
        let idle = match self.0.workers.try_lock() {
            Ok(mut workers) => workers.pop(),
            Err(TryLockError::Poisoned(workers)) => workers.into_inner().pop(),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut worker = idle.unwrap_or_else(|| compiler.worker());
        let result = f(&mut *worker);
        if let Ok(mut workers) = self.0.workers.try_lock()
            && workers.len() < self.0.config.threads
        {
            workers.push(worker);
        }
        Some(result)
    }

    /// Drops idle workers, which keep buffers.
    pub fn drop_idle_workers(&self) {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("tunables", &self.0.config.tunables).finish_non_exhaustive()
    }
}
