//! The optimizing compiler: WebAssembly to machine code through Cranelift.
//!
//! [`OptimizingCompiler`] implements [`wasmoor_codegen::FunctionCompiler`]. For each function a
//! translator of our own walks the validated operators once and builds Cranelift's
//! intermediate form (CLIF); the backend optimizes it and makes code; `output` turns the result
//! into our tables. The compiler knows the contract in `wasmoor-abi` and nothing of the runtime.
//!
//! ```text
//! body bytes -> translate::Translator -> CLIF -> cranelift-codegen -> output -> CompiledFunction
//!               (ops/*: one short method
//!                per operator or family)
//! ```
//!
//! * Bounds of 32-bit memories come from the guard region; explicit checks carry a Spectre mask.
//! * Nothing in the code depends on where it or the instance lies: functions are reached through
//!   slots, libcalls and data through the vmctx.
//! * The output is a pure function of module, function, tunables and settings.
//! * A function beyond the [`Budget`] is compiled in linear time, or refused by name.
//!
//! What it does not do: inline, use profiles, or handle garbage-collected types, which are refused
//! as unsupported.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod budget;
mod error;
mod folded;
mod ops;
mod output;
mod settings;
mod signature;
mod translate;
mod worker;

pub use budget::Budget;
pub use settings::{OptLevel, Options, SetupError, Target};

use cranelift_codegen::isa::OwnedTargetIsa;
use settings::Effort;
use std::sync::Arc;
use wasmoor_codegen::{FunctionCompiler, FunctionWorker};

/// Name of this compiler in listings, errors and the identity of stored code.
pub const NAME: &str = "optimizing";

/// The compiler, shared by all threads.
pub struct OptimizingCompiler {
    shared: Arc<Shared>,
}

/// What workers need of the compiler.
struct Shared {
    /// The backend at the chosen optimization level.
    isa: OwnedTargetIsa,
    /// The backend for functions over the budget.
    isa_linear: OwnedTargetIsa,
    budget: Budget,
    fma: bool,
    fingerprint: String,
}

impl OptimizingCompiler {
    /// A compiler with these options.
    ///
    /// # Errors
    /// When the target is not supported or lacks what generated code needs; see [`SetupError`].
    pub fn new(options: &Options) -> Result<Self, SetupError> {
        let isa = settings::build_isa(options, Effort::Good(options.opt_level))?;
        let isa_linear = settings::build_isa(options, Effort::Linear)?;
        let fingerprint = settings::fingerprint(&*isa, options);
        let fma = settings::has_fma(&*isa);
        let shared = Shared { isa, isa_linear, budget: options.budget, fma, fingerprint };
        Ok(OptimizingCompiler { shared: Arc::new(shared) })
    }
}

impl FunctionCompiler for OptimizingCompiler {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fingerprint(&self) -> String {
        self.shared.fingerprint.clone()
    }

    fn worker(&self) -> Box<dyn FunctionWorker> {
        Box::new(worker::Worker::new(Arc::clone(&self.shared)))
    }
}

impl std::fmt::Debug for OptimizingCompiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OptimizingCompiler").field(&self.shared.fingerprint).finish()
    }
}
