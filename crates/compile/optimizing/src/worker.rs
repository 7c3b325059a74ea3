//! One thread's compiler: translation, the backend, and the second try of large functions.

use crate::error::{Result, from_backend, internal, too_large};
use crate::signature::{ResultShape, convention, wasm_signature};
use crate::translate::{self, Buffers, Target, Translated};
use crate::{Shared, output};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{Function, UserFuncName};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use wasmoor_codegen::{CompileError, CompileJob, CompiledFunction, FunctionWorker};

/// Buffers of one thread, and what all threads share.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    context: Context,
    builder: FunctionBuilderContext,
    buffers: Buffers,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Worker {
            shared,
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            buffers: Buffers::default(),
        }
    }

    /// Compiles as well as the budget and the backend allow.
    fn compile_within_budget(&mut self, job: &CompileJob<'_>) -> Result<CompiledFunction> {
        let shared = Arc::clone(&self.shared);
        let frame_max = frame_bytes_max(job);
        let mut translated = self.translate(job, &*shared.isa)?;
        if self.is_within_budget(job) {
            match self.emit(&*shared.isa, &translated, frame_max) {
                Err(CompileError::TooLarge { .. }) => {
                    translated = self.translate(job, &*shared.isa)?;
                }
                done => return done,
            }
        }
        self.emit(&*shared.isa_linear, &translated, frame_max)
    }

    /// Whether the translated function is within the budget for optimization.
    fn is_within_budget(&self, job: &CompileJob<'_>) -> bool {
        let (budget, func) = (&self.shared.budget, &self.context.func);
        let params = |block| func.dfg.block_params(block).len();
        job.module.body_bytes(job.func).len() <= budget.optimized_body_bytes_max
            && func.dfg.num_insts() <= budget.optimized_insts_max
            && func.dfg.num_blocks() <= budget.optimized_blocks_max
            && func.layout.blocks().map(params).sum::<usize>() <= budget.optimized_block_params_max
            && wide_operands(func) <= budget.optimized_wide_operands_max
    }

    /// Builds the function's CLIF in the context.
    fn translate(&mut self, job: &CompileJob<'_>, isa: &dyn TargetIsa) -> Result<Translated> {
        let convention = convention(isa);
        let func_index = job.module.func_index(job.func);
        let ty = job.module.func_type(func_index);
        let results = ResultShape::new(&convention, &ty.results);
        self.context.clear();
        self.context.func.signature = wasm_signature(ty, &results);
        self.context.func.name = UserFuncName::user(0, func_index.as_u32());
        let Shared { budget, fma, .. } = &*self.shared;
        let target = Target { isa, convention: &convention, budget, fma: *fma };
        let func = &mut self.context.func;
        let done =
            translate::translate(*job, target, func, &mut self.builder, results, &mut self.buffers);
        if done.is_err() {
            // The builder's context still holds the function that was given up.
            self.builder = FunctionBuilderContext::new();
        }
        done
    }

    /// Runs the backend on the context's function.
    fn emit(
        &mut self,
        isa: &dyn TargetIsa,
        translated: &Translated,
        frame_max: usize,
    ) -> Result<CompiledFunction> {
        let mut control = ControlPlane::default();
        if let Err(error) = self.context.compile(isa, &mut control) {
            return Err(from_backend(&error.inner));
        }
        let code = self.context.compiled_code().ok_or_else(|| internal("no code".into()))?;
        let frame = code.buffer.frame_layout().map_or(0, |frame| frame.frame_to_fp_offset);
        if frame as usize > frame_max {
            return Err(too_large(format!("its frame would have {frame} bytes")));
        }
        let func = &self.context.func;
        // Blocks that turned out to be unreachable are gone, rightly with their polls.
        let kept = translated
            .poll_blocks
            .iter()
            .filter(|&&block| func.layout.is_block_inserted(block))
            .count();
        let (regions, vmctx_slot) = (&translated.regions, translated.vmctx_slot);
        let function = output::convert(code, func, kept as u32, regions, vmctx_slot)?;
        check_polls(&function)?;
        Ok(function)
    }
}

impl FunctionWorker for Worker {
    fn compile(&mut self, job: &CompileJob<'_>) -> Result<CompiledFunction> {
        // A panic in the backend is a bug, but a guest must not take its host down with it.
        match catch_unwind(AssertUnwindSafe(|| self.compile_within_budget(job))) {
            Ok(done) => done.map_err(|error| name_function(error, job)),
            Err(panic) => {
                *self = Worker::new(Arc::clone(&self.shared));
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                Err(internal(format!("panic: {}", text.unwrap_or("without a message"))))
            }
        }
    }
}

/// Bytes that the frame of any function may have.
const FRAME_BYTES_MIN: usize = 64 << 10;

/// Bytes that the frame of a function may have: not many more than its locals and operands, so
/// that a function does not need more stack when it is compiled again. Allocated in one pass,
/// every value of the function can get a slot of its own.
fn frame_bytes_max(job: &CompileJob<'_>) -> usize {
    /// For each local and operand, a vector at most.
    const VALUE_BYTES: usize = 16;
    let facts = job.module.facts(job.func);
    let values = (facts.locals as usize).saturating_add(facts.stack_height_max as usize);
    FRAME_BYTES_MIN.saturating_add(values.saturating_mul(VALUE_BYTES))
}

/// Operands and results that an ordinary call has at most.
const CALL_OPERANDS_USUAL: usize = 32;

/// See [`crate::Budget::optimized_wide_operands_max`].
fn wide_operands(func: &Function) -> usize {
    let insts = func.layout.blocks().flat_map(|block| func.layout.block_insts(block));
    let calls = insts.filter(|&inst| func.dfg.insts[inst].opcode().is_call());
    let operands = |inst| func.dfg.inst_args(inst).len() + func.dfg.inst_results(inst).len();
    calls.map(|inst| operands(inst).saturating_sub(CALL_OPERANDS_USUAL)).sum()
}

/// Adds the function to an error about its size.
fn name_function(error: CompileError, job: &CompileJob<'_>) -> CompileError {
    match error {
        CompileError::TooLarge { reason, .. } => {
            let index = job.module.func_index(job.func).as_u32();
            let bytes = job.module.body_bytes(job.func).len();
            too_large(format!("function {index} ({bytes} bytes): {reason}"))
        }
        other => other,
    }
}

/// Fails if the backend dropped a poll: the host would not find out that the loop is hot.
fn check_polls(function: &CompiledFunction) -> Result {
    let kept = function
        .traps
        .iter()
        .filter(|trap| trap.kind == wasmoor_abi::trap::FaultKind::Poll)
        .count();
    if kept < function.poll_sites as usize {
        return Err(internal(format!("{} polls became {kept}", function.poll_sites)));
    }
    Ok(())
}
