//! Compiles without running what comes out, for targets beyond the host too.

mod corpus;
mod output;

use std::sync::Arc;
use wasmoor_abi::{DefinedFuncIndex, Tunables};
use wasmoor_codegen::{
    CallMode, CompileError, CompileJob, CompiledFunction, FunctionCompiler, FunctionWorker,
};
use wasmoor_module::{Features, Module};
use wasmoor_optimizing::{OptLevel, OptimizingCompiler, Options, Target};

/// Code for x86-64 wherever the tests run, with all checks of the backend on.
pub(crate) fn x86_64() -> Options {
    target("x86_64-unknown-linux-gnu")
}

/// Code for aarch64, likewise.
pub(crate) fn aarch64() -> Options {
    target("aarch64-unknown-linux-gnu")
}

fn target(triple: &str) -> Options {
    let target = Target::Named { triple: triple.into(), features: vec![] };
    Options { verify: true, target, ..Options::default() }
}

/// The same without optimization.
pub(crate) fn unoptimized(options: Options) -> Options {
    Options { opt_level: OptLevel::None, ..options }
}

pub(crate) fn compiler(options: &Options) -> OptimizingCompiler {
    OptimizingCompiler::new(options).expect("the target is supported")
}

/// A module from its text.
pub(crate) fn module(text: &str) -> Arc<Module> {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    parse(bytes, &Features::IMPLEMENTED).unwrap_or_else(|| panic!("invalid: {text}"))
}

pub(crate) fn parse(bytes: Vec<u8>, features: &Features) -> Option<Arc<Module>> {
    Module::parse(bytes, features, 1).ok().map(Arc::new)
}

/// Compiles one function through its slot's calls.
pub(crate) fn compile(
    worker: &mut dyn FunctionWorker,
    module: &Arc<Module>,
    func: u32,
    tunables: &Tunables,
    calls: CallMode,
) -> Result<CompiledFunction, CompileError> {
    let func = DefinedFuncIndex::from_u32(func);
    worker.compile(&CompileJob { module, func, tunables, calls })
}

/// Compiles all functions of a module in both ways of calling; gives back how many there are.
pub(crate) fn compile_all(
    compiler: &OptimizingCompiler,
    module: &Arc<Module>,
    tunables: &Tunables,
    name: &str,
) -> usize {
    let mut worker = compiler.worker();
    for func in 0..module.bodies.len() as u32 {
        for calls in [CallMode::Slots, CallMode::Direct] {
            if let Err(error) = compile(&mut *worker, module, func, tunables, calls) {
                panic!("{name}: function {func}: {error}");
            }
        }
    }
    module.bodies.len()
}
