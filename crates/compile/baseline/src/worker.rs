//! One thread's compiler: the buffers that functions share.

use crate::NAME;
use crate::function::{self, Buffers};
use crate::x86_64::Cpu;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmoor_codegen::{CompileError, CompileJob, CompiledFunction, FunctionWorker};

/// See the head of this module.
pub(crate) struct Worker {
    cpu: Cpu,
    every_operator: bool,
    buffers: Buffers,
}

impl Worker {
    pub(crate) fn new(cpu: Cpu, every_operator: bool) -> Self {
        Worker { cpu, every_operator, buffers: Buffers::default() }
    }
}

impl FunctionWorker for Worker {
    fn compile(&mut self, job: &CompileJob<'_>) -> Result<CompiledFunction, CompileError> {
        // A panic is a bug of ours, but a guest must not take its host down with it.
        let buffers = &mut self.buffers;
        let compile = || function::compile(*job, self.cpu, self.every_operator, buffers);
        match catch_unwind(AssertUnwindSafe(compile)) {
            Ok(done) => done,
            Err(panic) => {
                self.buffers = Buffers::default();
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                let reason = format!("panic: {}", text.unwrap_or("without a message"));
                Err(CompileError::Internal { compiler: NAME, reason })
            }
        }
    }
}
