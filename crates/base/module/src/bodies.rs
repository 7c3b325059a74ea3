//! Validates function bodies, on several threads when there is much code.
//!
//! The bodies are cut into batches of consecutive functions. Every worker (the calling thread is
//! one) takes the next batch until none is left. A worker that finds an error lowers the *bar*, and batches
//! beyond the bar are skipped. Since batches are taken in order, everything before the first bad
//! batch is always validated to its end, so the error returned is the first one in the module,
//! whatever the number of threads.

use crate::collect::{Collector, FactsVisitor, Refused, VectorEntities};
use crate::facts::FuncFacts;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use wasmoor_abi::FuncIndex;
use wasmparser::{
    FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody, ValType,
    ValidatorResources, WasmFeatures, WasmModuleResources,
};

/// Bytes of code below which one thread is enough: about 2 ms of validation, against some 50 us
/// to start a thread.
pub(crate) const PARALLEL_CODE_BYTES_MIN: usize = 256 << 10;

/// Bytes of code in a batch: about 0.2 ms of validation, so that workers finish together.
const BATCH_BYTES: usize = 32 << 10;

/// A body that is to be validated.
pub(crate) struct Body<'a> {
    pub(crate) index: FuncIndex,
    pub(crate) ty: u32,
    pub(crate) body: FunctionBody<'a>,
}

/// What all workers share.
pub(crate) struct Context {
    pub(crate) resources: ValidatorResources,
    pub(crate) features: WasmFeatures,
    pub(crate) vectors: VectorEntities,
}

/// The first error in a body.
#[derive(Debug)]
pub(crate) struct BodyError {
    pub(crate) func: FuncIndex,
    pub(crate) fault: BodyFault,
}

/// What is wrong with a body.
#[derive(Debug)]
pub(crate) enum BodyFault {
    /// The validator refuses it.
    Invalid(wasmparser::Error),
    /// It is valid, but has an operator that is not implemented.
    Refused(Refused),
}

/// Validates the bodies; the facts are in the bodies' order.
pub(crate) fn validate(
    context: &Context,
    bodies: &[Body<'_>],
    threads: usize,
) -> Result<Vec<FuncFacts>, BodyError> {
    let code_bytes: usize = bodies.iter().map(|body| body.body.as_bytes().len()).sum();
    let batches = batches(bodies);
    let threads = if code_bytes < PARALLEL_CODE_BYTES_MIN { 1 } else { threads };
    let work = Work {
        context,
        bodies,
        batches: &batches,
        next: AtomicUsize::new(0),
        bar: AtomicUsize::new(usize::MAX),
    };
    merge(run(&work, threads.clamp(1, batches.len().max(1))), bodies.len())
}

/// Cuts bodies into batches of at least [`BATCH_BYTES`], the last one excepted.
fn batches(bodies: &[Body<'_>]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, body) in bodies.iter().enumerate() {
        bytes += body.body.as_bytes().len();
        if bytes >= BATCH_BYTES || i + 1 == bodies.len() {
            batches.push(start..i + 1);
            (start, bytes) = (i + 1, 0);
        }
    }
    batches
}

/// The batches and how far their validation has come.
struct Work<'w, 'a> {
    context: &'w Context,
    bodies: &'w [Body<'a>],
    batches: &'w [Range<usize>],
    /// First batch that nobody has taken.
    next: AtomicUsize,
    /// First batch known to be bad. Relaxed access is enough: a stale value costs time only.
    bar: AtomicUsize,
}

/// A batch's number and its facts or its first error.
type Outcome = (usize, Result<Vec<FuncFacts>, BodyError>);

/// Runs the workers; fewer than asked for where threads cannot be had.
fn run(work: &Work<'_, '_>, threads: usize) -> Vec<Outcome> {
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads)
            .map_while(|_| {
                let name = "wasm-validate".to_string();
                thread::Builder::new().name(name).spawn_scoped(scope, || work_off(work)).ok()
            })
            .collect();
        let mut outcomes = work_off(work);
        for helper in helpers {
            match helper.join() {
                Ok(more) => outcomes.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        outcomes
    })
}

/// One worker: takes batches until none is left.
fn work_off(work: &Work<'_, '_>) -> Vec<Outcome> {
    let mut worker = Worker::default();
    let mut outcomes = Vec::new();
    loop {
        let at = work.next.fetch_add(1, Ordering::Relaxed);
        let Some(batch) = work.batches.get(at) else { return outcomes };
        if at > work.bar.load(Ordering::Relaxed) {
            return outcomes;
        }
        let outcome: Result<Vec<_>, _> = work.bodies[batch.clone()]
            .iter()
            .map(|body| worker.validate(work.context, body))
            .collect();
        if outcome.is_err() {
            work.bar.fetch_min(at, Ordering::Relaxed);
        }
        outcomes.push((at, outcome));
    }
}

/// Puts the batches' facts in order, or returns the first error.
fn merge(mut outcomes: Vec<Outcome>, bodies: usize) -> Result<Vec<FuncFacts>, BodyError> {
    outcomes.sort_unstable_by_key(|&(at, _)| at);
    let mut facts = Vec::with_capacity(bodies);
    for (_, outcome) in outcomes {
        facts.extend(outcome?);
    }
    Ok(facts)
}

/// Buffers that a worker keeps from function to function.
#[derive(Default)]
struct Worker {
    allocations: FuncValidatorAllocations,
    collector: Collector,
}

impl Worker {
    fn validate(&mut self, context: &Context, body: &Body<'_>) -> Result<FuncFacts, BodyError> {
        let function = FuncToValidate {
            resources: &context.resources,
            index: body.index.as_u32(),
            ty: body.ty,
            features: context.features,
        };
        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        self.validate_operators(context, &mut validator, &body.body)
            .map_err(|error| BodyError { func: body.index, fault: BodyFault::Invalid(error) })?;
        self.allocations = validator.into_allocations();
        match self.collector.refused() {
            None => Ok(self.collector.finish()),
            Some(op) => Err(BodyError { func: body.index, fault: BodyFault::Refused(op) }),
        }
    }

    fn validate_operators(
        &mut self,
        context: &Context,
        validator: &mut FuncValidator<&ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> wasmparser::Result<()> {
        let mut reader = body.get_binary_reader();
        reader.set_features(context.features);
        let vector_locals = read_locals(validator, &mut reader)?;
        self.collector.start(validator.len_locals(), vector_locals);
        while !reader.eof() {
            let offset = reader.original_position();
            reader.visit_operator(&mut FactsVisitor {
                validator: validator.simd_visitor(offset),
                collector: &mut self.collector,
                vectors: &context.vectors,
                offset,
            })??;
            self.collector.operator_done(validator.operand_stack_height());
        }
        reader.finish_expression(&validator.visitor(reader.original_position()))
    }
}

/// Reads and declares the locals; tells whether any, parameters included, is a vector.
fn read_locals<R: WasmModuleResources>(
    validator: &mut FuncValidator<R>,
    reader: &mut wasmparser::BinaryReader<'_>,
) -> wasmparser::Result<bool> {
    let params = validator.len_locals();
    let mut vectors = (0..params).any(|i| validator.get_local_type(i) == Some(ValType::V128));
    for _ in 0..reader.read_var_u32()? {
        let offset = reader.original_position();
        let count = reader.read()?;
        let ty = reader.read()?;
        validator.define_locals(offset, count, ty)?;
        vectors |= ty == ValType::V128 && count > 0;
    }
    Ok(vectors)
}
