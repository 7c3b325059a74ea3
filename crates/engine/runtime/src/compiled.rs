//! A module as an engine runs it: description, code, and how missing code is made.

use crate::engine::{Engine, Rank};
use crate::error::{Error, ErrorKind};
use crate::lazy;
use crate::tier::{self, Heat};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use wasmoor_abi::{CanonicalTypeId, DefinedFuncIndex, SubType, Tunables};
use wasmoor_codegen::{CallMode, CompileJob, CompiledFunction, ModuleCode, SampleHook};
use wasmoor_module::Module;

/// A loaded module; functions are compiled when they are first called, or all at once.
#[derive(Debug)]
pub struct CompiledModule {
    engine: Engine,
    module: Arc<Module>,
    code: Arc<ModuleCode>,
    type_ids: Box<[CanonicalTypeId]>,
    /// Where functions are compiled twice.
    heat: Option<Heat>,
    functions_compiled: AtomicUsize,
    functions_recompiled: AtomicUsize,
    compile_ns: AtomicU64,
    recompile_ns: AtomicU64,
}

/// What has been compiled of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileStats {
    /// Functions that have code.
    pub functions: usize,
    /// Functions of the module.
    pub functions_total: usize,
    /// Functions that were compiled a second time, for speed.
    pub functions_optimized: usize,
    /// Nanoseconds that threads have spent compiling functions for the first time, together.
    pub compile_ns: u64,
    /// Nanoseconds that the background thread has spent on compiling again.
    pub optimize_ns: u64,
    /// Bytes of machine code.
    pub code_bytes: usize,
}

impl CompiledModule {
    /// Prepares a validated module: address space for code, and stubs in all slots.
    ///
    /// # Errors
    /// When the system refuses the address space.
    pub fn new(engine: &Engine, module: Arc<Module>) -> Result<Arc<Self>, Error> {
        let types = engine.types();
        // Function references without a group are all that the registry can tell apart so far.
        let plain = |ty: &SubType| ty.is_final && ty.supertype.is_none() && ty.as_func().is_some();
        if module.rec_groups.len() != module.types.len() || !module.types.values().all(plain) {
            return Err(Error::usage("subtypes, structs and arrays are not implemented"));
        }
        let type_ids = module.types.keys().map(|ty| types.intern(module.signature(ty))).collect();
        let reserving = |error| ErrorKind::System { what: "reserve memory for code", error };
        let thunks = lazy::thunks(module.bodies.len()).map_err(reserving)?;
        let code = ModuleCode::new(module.clone(), thunks).map_err(reserving)?;
        let heat = engine.is_tiered().then(|| Heat::new(module.bodies.len()));
        let module = Arc::new(CompiledModule {
            engine: engine.clone(),
            module,
            code,
            type_ids,
            heat,
            functions_compiled: AtomicUsize::new(0),
            functions_recompiled: AtomicUsize::new(0),
            compile_ns: AtomicU64::new(0),
            recompile_ns: AtomicU64::new(0),
        });
        if engine.is_tiered() {
            let weak = Arc::downgrade(&module);
            let hook = SampleHook(Box::new(move |func| tier::sampled(&weak, func)));
            module.code.set_sample_hook(hook);
        }
        Ok(module)
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The description.
    #[must_use]
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// The machine code.
    #[must_use]
    pub fn code(&self) -> &Arc<ModuleCode> {
        &self.code
    }

    /// Canonical ids of the module's types.
    #[must_use]
    pub fn type_ids(&self) -> &[CanonicalTypeId] {
        &self.type_ids
    }

    /// What has been compiled so far.
    #[must_use]
    pub fn stats(&self) -> CompileStats {
        CompileStats {
            functions: self.functions_compiled.load(Ordering::Relaxed),
            functions_total: self.module.bodies.len(),
            functions_optimized: self.functions_recompiled.load(Ordering::Relaxed),
            compile_ns: self.compile_ns.load(Ordering::Relaxed),
            optimize_ns: self.recompile_ns.load(Ordering::Relaxed),
            code_bytes: self.code.code_bytes(),
        }
    }

    pub(crate) fn heat(&self) -> Option<&Heat> {
        self.heat.as_ref()
    }

    fn compile(
        &self,
        rank: Rank,
        func: DefinedFuncIndex,
        calls: CallMode,
    ) -> Result<CompiledFunction, Error> {
        let started = Instant::now();
        // Only code that may be compiled again needs polls: they tell where time is spent.
        let poll = rank == Rank::First && self.engine.is_tiered();
        let tunables = &Tunables { poll, ..self.engine.config().tunables };
        let job = CompileJob { module: &self.module, func, tunables, calls };
        let result = self.engine.with_worker(rank, |worker| worker.compile(&job));
        let ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (functions, time) = match rank {
            Rank::First => (&self.functions_compiled, &self.compile_ns),
            Rank::Second => (&self.functions_recompiled, &self.recompile_ns),
        };
        time.fetch_add(ns, Ordering::Relaxed);
        let result = result.ok_or_else(|| Error::usage("the engine has no compiler"))?;
        functions.fetch_add(1, Ordering::Relaxed);
        result.map_err(|error| {
            let func = self.module.func_display_name(self.module.func_index(func)).into_owned();
            ErrorKind::Compile { func, error }.into()
        })
    }

    /// Compiles and publishes one function. Answers its entry address.
    pub(crate) fn compile_and_publish(&self, func: DefinedFuncIndex) -> Result<usize, Error> {
        let compiled = self.compile(Rank::First, func, CallMode::Slots)?;
        Ok(self.code.publish(func, &compiled)?)
    }

    /// Compiles one function with the second compiler and publishes it in place of what it has.
    pub(crate) fn recompile(&self, func: DefinedFuncIndex) -> Result<(), Error> {
        let compiled = self.compile(Rank::Second, func, CallMode::Slots)?;
        self.code.publish(func, &compiled)?;
        Ok(())
    }

    /// Compiles all functions on the engine's number of threads, then publishes them together:
    /// they call each other directly, unless they will be compiled again.
    ///
    /// `progress` is called with the number of functions done, from any of the threads.
    ///
    /// # Errors
    /// That of the first function (by index) that cannot be compiled.
    pub fn compile_all(&self, progress: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let count = self.module.bodies.len();
        let calls = if self.engine.is_tiered() { CallMode::Slots } else { CallMode::Direct };
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let results = Mutex::new(Vec::with_capacity(count));
        let work = || {
            let mut own = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                let func = DefinedFuncIndex::from_u32(index as u32);
                let result = self.compile(Rank::First, func, calls);
                if result.is_err() {
                    // No later function can be the first to fail.
                    next.store(count, Ordering::Relaxed);
                }
                own.push((func, result));
                progress(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
            results.lock().unwrap_or_else(PoisonError::into_inner).append(&mut own);
        };
        std::thread::scope(|scope| {
            for _ in 1..self.engine.config().threads.min(count).max(1) {
                scope.spawn(work);
            }
            work();
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_unstable_by_key(|(func, _)| *func);
        let batch = results
            .into_iter()
            .map(|(func, result)| Ok((func, result?)))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(self.code.publish_batch(&batch)?)
    }
}
