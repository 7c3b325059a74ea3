//! A compiler that has each function made by one of two others, so that code of both tiers calls
//! and tail-calls each other all the time. In a tiered engine that is so too, but only for guests
//! that run for longer than a case does.

use wasmoor::raw::codegen::{
    CompileError, CompileJob, CompiledFunction, FunctionCompiler, FunctionWorker,
};

/// The compiler; which of the two makes a function follows from the function's index.
pub(super) struct Mixed(pub(super) [Box<dyn FunctionCompiler>; 2]);

impl FunctionCompiler for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    fn fingerprint(&self) -> String {
        self.0.iter().map(|compiler| compiler.fingerprint() + "; ").collect()
    }

    fn worker(&self) -> Box<dyn FunctionWorker> {
        Box::new(Worker(self.0.each_ref().map(|compiler| compiler.worker())))
    }
}

struct Worker([Box<dyn FunctionWorker>; 2]);

impl FunctionWorker for Worker {
    fn compile(&mut self, job: &CompileJob<'_>) -> Result<CompiledFunction, CompileError> {
        // The Thue-Morse sequence: no distance between functions decides whether they differ.
        let which = job.func.as_u32().count_ones() as usize % 2;
        self.0[which].compile(job)
    }
}
