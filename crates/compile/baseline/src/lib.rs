//! The baseline compiler: WebAssembly to machine code in a single pass.
//!
//! [`BaselineCompiler`] implements [`wasmoor_codegen::FunctionCompiler`]. It walks a function's
//! validated operators once and emits x86-64 code as it goes. There is no intermediate form.
//!
//! ```text
//! body bytes -> visitor -> control, calls, memory, ops/* -> x86_64::Asm -> CompiledFunction
//!                          (state: abstract operand stack)
//! ```
//!
//! * The operand stack is abstract: a value stays a constant, a local or a register until an
//!   operator needs it (`state`).
//! * The hottest locals of the whole function are pinned to registers by the weights that
//!   validation collected (`pins`, `locals`), so that no shuffles are needed where control flow
//!   meets (`control`).
//! * A comparison followed by its branch is one compare and one jump; a result that a local is
//!   set to is computed in the local's register.
//! * The time for a function is linear in its bytes: every search is over a bounded window.
//! * It compiles every function that validates under the features the engine implements, or
//!   reports a bug of its own.
//!
//! What it does not do: optimize across operators, and make code for other architectures.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod bank;
mod call;
mod cold;
mod control;
mod exception;
mod frame;
mod fuel;
mod function;
mod locals;
mod memory;
mod moves;
mod ops;
mod pins;
mod places;
mod prologue;
mod shapes;
mod state;
mod table;
mod transfers;
mod value;
mod variables;
mod visitor;
mod visitor_simd;
mod worker;
mod x86_64;

pub use x86_64::Cpu;

use wasmoor_codegen::{FunctionCompiler, FunctionWorker};

/// Name of this compiler in listings, errors and the identity of stored code.
pub const NAME: &str = "baseline";

/// Why there can be no compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The machine is not one that code can be made for.
    #[error("the baseline compiler makes code for x86-64 CPUs with SSE4.1 only")]
    Machine,
}

/// The compiler, shared by all threads.
#[derive(Clone, Copy, Debug)]
pub struct BaselineCompiler {
    cpu: Cpu,
    every_operator: bool,
}

impl BaselineCompiler {
    /// A compiler for this machine.
    ///
    /// # Errors
    /// When code cannot be made for this machine.
    pub fn new() -> Result<Self, SetupError> {
        Cpu::host().map(Self::for_cpu).ok_or(SetupError::Machine)
    }

    /// A compiler for an x86-64 CPU with SSE4.1 and these features.
    #[must_use]
    pub fn for_cpu(cpu: Cpu) -> Self {
        BaselineCompiler { cpu, every_operator: false }
    }

    /// The same compiler with address maps that tell all operators apart, for listings: otherwise
    /// they only name those that can trap or call. The code is the same.
    #[must_use]
    pub fn with_every_operator(self) -> Self {
        BaselineCompiler { every_operator: true, ..self }
    }
}

impl FunctionCompiler for BaselineCompiler {
    fn name(&self) -> &'static str {
        NAME
    }

    fn fingerprint(&self) -> String {
        format!("baseline {} {:?}", env!("CARGO_PKG_VERSION"), self.cpu)
    }

    fn worker(&self) -> Box<dyn FunctionWorker> {
        Box::new(worker::Worker::new(self.cpu, self.every_operator))
    }
}
