//! Runs what the compiler makes, on x86-64 Linux: a small runtime of the tests' own links and
//! enters the code by the contract alone.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod behaviour;
mod instance;
mod machine;
mod shapes;
mod suite;

use std::sync::Arc;
use wasmoor_module::{Features, Module};
use wasmoor_optimizing::{Budget, OptimizingCompiler, Options};

/// A compiler for this machine with all checks on.
fn compiler() -> OptimizingCompiler {
    OptimizingCompiler::new(&Options { verify: true, ..Options::default() })
        .expect("the host is supported")
}

/// One for which every function is over the budget.
fn linear_compiler() -> OptimizingCompiler {
    let budget = Budget { optimized_body_bytes_max: 0, ..Budget::default() };
    OptimizingCompiler::new(&Options { budget, verify: true, ..Options::default() })
        .expect("the host is supported")
}

/// A module from its text.
fn module(text: &str) -> Arc<Module> {
    let bytes = wat::parse_str(text).expect("well-formed text");
    Arc::new(Module::parse(bytes, &Features::IMPLEMENTED, 1).expect("a valid module"))
}
