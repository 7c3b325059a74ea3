//! A module as an engine runs it: description, code, and how missing code is made.

use crate::engine::{Engine, Plan, Rank};
use crate::error::{Error, ErrorKind};
use crate::heat::{Heat, TierUpLimit};
use crate::initial::InitialState;
use crate::lazy;
use crate::mixed::Chooser;
use crate::stored::StoredSource;
use crate::tier::{self, Replaceable};
use crate::types::ModuleTypes;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use wasmoor_abi::{DefinedFuncIndex, Tunables};
use wasmoor_codegen::{
    CallMode, CodeTier, CompileJob, CompiledFunction, ModuleCode, SampleHook, Unlinked,
};
use wasmoor_memory::slots::Affinity;
use wasmoor_module::Module;

/// A loaded module; functions are compiled when they are first called, or all at once.
#[derive(Debug)]
pub struct CompiledModule {
    engine: Engine,
    module: Arc<Module>,
    code: Arc<ModuleCode>,
    types: ModuleTypes,
    plan: Plan,
    initial: InitialState,
    affinity: Affinity,
    /// Where functions are compiled twice.
    heat: Option<Heat>,
    /// How many functions may be.
    pub(crate) replaceable: Replaceable,
    /// Where every call chooses between two versions.
    chooser: Option<Chooser>,
    /// Code that was made earlier.
    pub(crate) stored: StoredSource,
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
    /// Functions whose code was made earlier and has been loaded.
    pub functions_loaded: usize,
    /// Functions whose code was made earlier, but is damaged.
    pub functions_damaged: usize,
    /// Functions of the module.
    pub functions_total: usize,
    /// Functions that were compiled a second time, for speed.
    pub functions_optimized: usize,
    /// Hot functions that were not: larger than the budget allows, or refused by the compiler.
    pub functions_left: usize,
    /// Nanoseconds that threads have spent compiling functions for the first time, together.
    pub compile_ns: u64,
    /// Nanoseconds that the background thread has spent on compiling again.
    pub optimize_ns: u64,
    /// Which part of the budget for compiling again is used up.
    pub optimize_limit: Option<TierUpLimit>,
    /// Bytes of machine code.
    pub code_bytes: usize,
}

/// Compiles one function.
type CompileOne<'a> = dyn Fn(DefinedFuncIndex) -> Result<CompiledFunction, Error> + Sync + 'a;

impl CompiledModule {
    /// Prepares a validated module by the engine's plan: address space for code, and stubs in all
    /// slots.
    ///
    /// # Errors
    /// When the system refuses the address space.
    pub fn new(engine: &Engine, module: Arc<Module>) -> Result<Arc<Self>, Error> {
        Self::with_plan(engine, module, engine.plan())
    }

    /// The same by a plan of the module's own.
    ///
    /// # Errors
    /// When the system refuses the address space, or the engine lacks a compiler.
    pub fn with_plan(engine: &Engine, module: Arc<Module>, plan: Plan) -> Result<Arc<Self>, Error> {
        if plan != Plan::First && !engine.has(Rank::Second) {
            return Err(Error::usage("the engine has no second compiler"));
        }
        let types = ModuleTypes::register(engine.types(), &module)?;
        let reserving = |error| ErrorKind::System { what: "reserve memory for code", error };
        let functions = module.bodies.len();
        let chooser = chooser(engine, plan, functions).map_err(reserving)?;
        let code = match &chooser {
            Some(chooser) => ModuleCode::new(module.clone(), |func| chooser.thunk(func)),
            None => ModuleCode::new(module.clone(), lazy::thunks(functions).map_err(reserving)?),
        };
        let tiered = plan == Plan::Tiered;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let initial = InitialState::new(&module);
        let module = Arc::new(CompiledModule {
            engine: engine.clone(),
            module,
            code: code.map_err(reserving)?,
            types,
            plan,
            heat: tiered.then(|| Heat::new(functions, engine.tier_up_budget())),
            replaceable: Replaceable::new(engine),
            chooser,
            stored: StoredSource::default(),
            initial,
            affinity: Affinity(NEXT.fetch_add(1, Ordering::Relaxed)),
            functions_compiled: AtomicUsize::new(0),
            functions_recompiled: AtomicUsize::new(0),
            compile_ns: AtomicU64::new(0),
            recompile_ns: AtomicU64::new(0),
        });
        engine.counts().module_loaded(module.affinity, &module);
        if tiered {
            engine.set_tiered();
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

    /// The module's types in the engine.
    #[must_use]
    pub fn types(&self) -> &ModuleTypes {
        &self.types
    }

    /// Who makes its code.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// What has been compiled so far.
    #[must_use]
    pub fn stats(&self) -> CompileStats {
        CompileStats {
            functions: self.functions_compiled.load(Ordering::Relaxed),
            functions_loaded: self.stored.loaded(),
            functions_damaged: self.stored.damaged(),
            functions_total: self.module.bodies.len(),
            functions_optimized: self.functions_recompiled.load(Ordering::Relaxed),
            functions_left: self.heat.as_ref().map_or(0, Heat::left),
            compile_ns: self.compile_ns.load(Ordering::Relaxed),
            optimize_ns: self.recompile_ns.load(Ordering::Relaxed),
            optimize_limit: self.heat.as_ref().and_then(Heat::limit),
            code_bytes: self.code.code_bytes(),
        }
    }

    /// What instances begin with.
    pub(crate) fn initial(&self) -> &InitialState {
        &self.initial
    }

    /// What the pool knows the module by.
    pub(crate) fn affinity(&self) -> Affinity {
        self.affinity
    }

    pub(crate) fn heat(&self) -> Option<&Heat> {
        self.heat.as_ref()
    }

    /// Whether functions are still compiled a second time.
    pub(crate) fn may_be_replaced(&self) -> bool {
        self.heat.as_ref().is_some_and(|heat| heat.limit().is_none())
    }

    /// Who makes the code that a function has first.
    pub(crate) fn first_rank(&self) -> Rank {
        if self.plan == Plan::Second { Rank::Second } else { Rank::First }
    }

    /// Entry address of the code that a call with this choice runs, if it has been made.
    pub(crate) fn entry(&self, rank: Rank, func: DefinedFuncIndex) -> Option<usize> {
        if let Some(chooser) = &self.chooser {
            return chooser.entry(rank, func);
        }
        let current = self.code.slot(func).load(Ordering::Acquire);
        self.code.code_range().contains(&current).then_some(current)
    }

    fn compile(
        &self,
        rank: Rank,
        func: DefinedFuncIndex,
        calls: CallMode,
    ) -> Result<CompiledFunction, Error> {
        if !self.engine.has_compiler() {
            return Err(self.no_compiler(func));
        }
        self.module.require_body(func).map_err(|e| ErrorKind::StoredCode(e.to_string()))?;
        let started = Instant::now();
        // Only code that may be replaced needs polls: they tell where time is spent.
        let replaced = matches!(self.plan, Plan::Tiered | Plan::Mixed { .. });
        let poll = replaced && rank == Rank::First;
        if poll && self.may_be_replaced() {
            self.replaceable.add(1);
        }
        let tunables = &Tunables { poll, ..self.engine.config().tunables };
        let job = CompileJob { module: &self.module, func, tunables, calls };
        let result = self.engine.with_worker(rank, |worker| worker.compile(&job));
        let ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (functions, time) = if rank == self.first_rank() {
            (&self.functions_compiled, &self.compile_ns)
        } else {
            (&self.functions_recompiled, &self.recompile_ns)
        };
        time.fetch_add(ns, Ordering::Relaxed);
        let result = result.ok_or_else(|| Error::usage("the engine has no compiler"))?;
        if result.is_ok() {
            functions.fetch_add(1, Ordering::Relaxed);
        }
        if let (Some(heat), Rank::Second) = (&self.heat, rank) {
            heat.spend(ns, result.as_ref().map_or(0, |compiled| compiled.code.len()));
        }
        let tier = if rank == Rank::First { CodeTier::First } else { CodeTier::Second };
        result.map(|compiled| CompiledFunction { tier, ..compiled }).map_err(|error| {
            let func = self.module.func_display_name(self.module.func_index(func)).into_owned();
            ErrorKind::Compile { func, error }.into()
        })
    }

    /// Compiles one function and publishes it. Answers its entry address.
    pub(crate) fn compile_and_publish(
        &self,
        rank: Rank,
        func: DefinedFuncIndex,
    ) -> Result<usize, Error> {
        if let Some(address) = self.publish_stored(func)? {
            return Ok(address);
        }
        let compiled = match self.compile(rank, func, CallMode::Slots) {
            // As where functions are compiled twice, one too large for the second compiler
            // stays with the first.
            Err(error) if self.chooser.is_some() && is_too_large(&error) => {
                self.compile(Rank::First, func, CallMode::Slots)?
            }
            compiled => compiled?,
        };
        let function = Unlinked::new(func, compiled);
        let Some(chooser) = &self.chooser else { return Ok(self.code.publish(function)?) };
        let address = self.code.link(function)?;
        chooser.publish(rank, func, address);
        Ok(address)
    }

    /// Compiles one function with the second compiler and publishes it in place of what it has,
    /// unless the budget is used up.
    pub(crate) fn recompile(&self, func: DefinedFuncIndex) -> Result<(), Error> {
        if self.heat.as_ref().is_some_and(|heat| heat.limit().is_some()) {
            self.replaceable.remove_all();
            return Ok(());
        }
        // Whatever comes of it: it is not tried again.
        self.replaceable.remove();
        let compiled = self.compile(Rank::Second, func, CallMode::Slots)?;
        self.code.publish(Unlinked::new(func, compiled))?;
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
        if self.chooser.is_some() {
            return self.compile_both(progress);
        }
        let (rank, direct) = (self.first_rank(), self.plan != Plan::Tiered);
        let calls = if direct { CallMode::Direct } else { CallMode::Slots };
        let compile = |func| self.compile(rank, func, calls);
        let funcs: Vec<_> = self.module.bodies.keys().collect();
        self.compile_these(&funcs, &compile, progress)
    }

    /// Compiles what has no code yet, as well as the module's plan allows, in a form that can be
    /// stored.
    ///
    /// # Errors
    /// As [`CompiledModule::compile_all`]; and where each call chooses between two versions.
    pub fn compile_to_store(&self, progress: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        if self.chooser.is_some() {
            return Err(Error::usage("code of the mixed tier cannot be stored"));
        }
        let best = if self.plan == Plan::First { Rank::First } else { Rank::Second };
        let compile = |func| match self.compile(best, func, CallMode::Slots) {
            // As at run time, what the second compiler cannot make stays with the first.
            Err(_) if self.plan == Plan::Tiered => self.compile(Rank::First, func, CallMode::Slots),
            compiled => compiled,
        };
        let missing = |func: &DefinedFuncIndex| self.code.stored(*func).is_none();
        let funcs: Vec<_> = self.module.bodies.keys().filter(missing).collect();
        self.compile_these(&funcs, &compile, progress)
    }

    fn compile_these(
        &self,
        funcs: &[DefinedFuncIndex],
        compile: &CompileOne<'_>,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<(), Error> {
        let count = funcs.len();
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let results = Mutex::new(Vec::with_capacity(count));
        let work = || {
            let mut own = Vec::new();
            while let Some(&func) = funcs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = compile(func).map(|compiled| Unlinked::new(func, compiled));
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
        let batch =
            results.into_iter().map(|(_, result)| result).collect::<Result<Vec<_>, Error>>()?;
        Ok(self.code.publish_batch(batch)?)
    }

    /// Both versions of all functions, on this thread.
    fn compile_both(&self, progress: &dyn Fn(usize)) -> Result<(), Error> {
        for (done, func) in self.module.bodies.keys().enumerate() {
            self.compile_and_publish(Rank::First, func)?;
            self.compile_and_publish(Rank::Second, func)?;
            progress(done + 1);
        }
        Ok(())
    }
}

/// What chooses at every call of a mixed module.
fn chooser(engine: &Engine, plan: Plan, functions: usize) -> std::io::Result<Option<Chooser>> {
    let Plan::Mixed { seed } = plan else { return Ok(None) };
    Chooser::new(functions, seed.wrapping_add(engine.count_mixed())).map(Some)
}

fn is_too_large(error: &Error) -> bool {
    use wasmoor_codegen::CompileError;
    matches!(error.kind(), ErrorKind::Compile { error: CompileError::TooLarge { .. }, .. })
}

impl Drop for CompiledModule {
    /// What its instances left is of use to no other module; what it has compiled stays counted.
    fn drop(&mut self) {
        self.engine.counts().module_gone(self.affinity, &self.stats());
        if let Some(pool) = self.engine.pool() {
            pool.forget(self.affinity);
        }
    }
}
