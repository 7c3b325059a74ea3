//! The translator: one forward walk over a function's operators that builds CLIF.
//!
//! ```text
//! for each operator:
//!     reachable:   ops::visitor    pops values, builds instructions, pushes values
//!     unreachable: ops::dead       only keeps track of nesting
//! ```
//!
//! Locals are variables of the SSA builder. The operand stack ([`Translator::stack`]) holds CLIF
//! values; vectors on it may have any lane type and are brought to `I8X16` where they meet other
//! control flow, locals, calls or memory of unknown type.
//!
//! Each concern is a file of methods on [`Translator`]: what surrounds the function
//! (`environment`), linear memory, tables, globals, calls, libcalls, polls, fuel.

mod call;
mod clamp;
mod control;
mod environment;
mod exception;
mod fuel;
mod global;
mod libcall;
mod memory;
mod poll;
mod range;
mod reference;
mod table;
mod value;

pub(crate) use control::Frame;
pub(crate) use environment::{Region, trap_code};
pub(crate) use memory::Definition;

use crate::budget::Budget;
use crate::error::{Result, internal, too_large};
use crate::ops::{DeadCode, Operators};
use crate::settings;
use crate::signature::{ResultShape, clif_type};
use call::CallCache;
use control::{BlockShape, FrameKind};
use cranelift_codegen::ir::{self, InstBuilder as _, SourceLoc, Value};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use environment::Environment;
use exception::Exceptions;
use fuel::Segment;
use wasmoor_abi::call::Convention;
use wasmoor_abi::handlers::HandlerRegion;
use wasmoor_abi::{FuncType, ValType};
use wasmoor_codegen::CompileJob;
use wasmoor_module::{BranchHint, Module};
use wasmparser::{BinaryReader, FunctionBody};

/// Buffers that a worker keeps between functions.
#[derive(Default)]
pub(crate) struct Buffers {
    stack: Vec<Value>,
    locals: Vec<Variable>,
    args: Vec<ir::BlockArg>,
    values: Vec<Value>,
}

/// What the backend and the options contribute to every function.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) isa: &'a dyn TargetIsa,
    pub(crate) convention: &'a Convention,
    pub(crate) budget: &'a Budget,
    /// Whether the CPU multiplies and adds with one rounding.
    pub(crate) fma: bool,
}

/// What translation leaves besides the CLIF.
pub(crate) struct Translated {
    /// The block of each poll site. The optimizer may drop blocks, but no poll alone.
    pub(crate) poll_blocks: Vec<ir::Block>,
    /// Regions of handlers.
    pub(crate) regions: Vec<HandlerRegion>,
    /// The slot that holds the vmctx, where there are regions.
    pub(crate) vmctx_slot: Option<ir::StackSlot>,
}

/// State of the walk over one function.
pub(crate) struct Translator<'a> {
    pub(crate) builder: FunctionBuilder<'a>,
    pub(crate) module: &'a Module,
    job: CompileJob<'a>,
    target: Target<'a>,
    /// The operand stack.
    pub(crate) stack: Vec<Value>,
    /// Control operators entered by reachable code, outermost first.
    pub(crate) frames: Vec<Frame<'a>>,
    /// Control operators entered by unreachable code, inside the innermost frame.
    pub(crate) dead_depth: u32,
    /// Whether the next operator can be reached.
    pub(crate) reachable: bool,
    locals: Vec<Variable>,
    args: Vec<ir::BlockArg>,
    values: Vec<Value>,
    env: Environment,
    calls: CallCache,
    exceptions: Exceptions,
    results: ResultShape,
    ty: &'a FuncType,
    poll_blocks: Vec<ir::Block>,
    has_call: bool,
    segment: Segment,
    /// Branch hints that are still to come, and the offset of the body they count from.
    hints: &'a [BranchHint],
    body_start: u32,
    /// Offset of the operator at hand in the module.
    offset: u32,
}

/// Translates the job's function into `func`, which has its signature already.
///
/// # Errors
/// See [`wasmoor_codegen::CompileError`]; `func` is then in no particular state.
pub(crate) fn translate<'a>(
    job: CompileJob<'a>,
    target: Target<'a>,
    func: &'a mut ir::Function,
    context: &'a mut FunctionBuilderContext,
    results: ResultShape,
    buffers: &mut Buffers,
) -> Result<Translated> {
    let module: &'a Module = job.module;
    let builder = FunctionBuilder::new(func, context);
    let mut translator = Translator {
        builder,
        module,
        job,
        target,
        stack: std::mem::take(&mut buffers.stack),
        frames: Vec::new(),
        dead_depth: 0,
        reachable: true,
        locals: std::mem::take(&mut buffers.locals),
        args: std::mem::take(&mut buffers.args),
        values: std::mem::take(&mut buffers.values),
        env: Environment::new(),
        calls: CallCache::default(),
        exceptions: Exceptions::default(),
        results,
        ty: module.func_type(module.func_index(job.func)),
        poll_blocks: Vec::new(),
        has_call: false,
        segment: Segment::default(),
        hints: module.branch_hints(module.func_index(job.func)),
        body_start: module.bodies[job.func].range.start,
        offset: 0,
    };
    translator.stack.clear();
    translator.locals.clear();
    translator.run()?;
    let Translator { builder, stack, locals, args, values, poll_blocks, exceptions, .. } =
        translator;
    let (regions, vmctx_slot) = (exceptions.regions, exceptions.vmctx);
    let translated = Translated { poll_blocks, regions, vmctx_slot };
    *buffers = Buffers { stack, locals, args, values };
    builder.finalize(target.isa.frontend_config());
    Ok(translated)
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result {
        let range = self.module.bodies[self.job.func].range.clone();
        let bytes = self.module.body_bytes(self.job.func);
        let body = FunctionBody::new(BinaryReader::new(bytes, u64::from(range.start)));
        self.enter();
        let operators = self.declare_locals(&body)?;
        self.frames.push(Frame::new(FrameKind::Body, BlockShape::results(self.ty), 0));
        self.begin_segment();
        self.walk(operators)?;
        self.finish_entry_poll();
        Ok(())
    }

    /// Starts the entry block and names the parameters.
    fn enter(&mut self) {
        let entry = self.builder.create_block();
        self.builder.append_block_params_for_function_params(entry);
        self.builder.switch_to_block(entry);
        self.builder.seal_block(entry);
        self.builder.ensure_inserted_block();
        self.env.enter(self.builder.func, entry, self.results.area_bytes > 0);
        self.set_stack_limit();
        self.keep_vmctx();
    }

    /// Makes variables of the parameters and the declared locals, which start as zero.
    fn declare_locals(
        &mut self,
        body: &FunctionBody<'a>,
    ) -> Result<wasmparser::OperatorsReader<'a>> {
        let first_param = if self.results.area_bytes > 0 { 2 } else { 1 };
        let ty = self.ty;
        for (i, &param) in ty.params.iter().enumerate() {
            let variable = self.builder.declare_var(clif_type(param));
            let value = self.env.param(self.builder.func, first_param + i);
            self.builder.def_var(variable, value);
            self.locals.push(variable);
        }
        let mut reader = body.get_locals_reader().map_err(malformed)?;
        for _ in 0..reader.get_count() {
            let (count, ty) = reader.read().map_err(malformed)?;
            let zero = self.zero(value::plain(ty));
            for _ in 0..count {
                let variable = self.builder.declare_var(value::clif_type_of(ty));
                self.builder.def_var(variable, zero);
                self.locals.push(variable);
            }
        }
        Ok(wasmparser::OperatorsReader::new(reader.get_binary_reader()))
    }

    fn walk(&mut self, mut operators: wasmparser::OperatorsReader<'a>) -> Result {
        while !operators.eof() {
            let offset = operators.original_position();
            self.locate(offset);
            if self.reachable {
                if self.job.tunables.fuel {
                    self.account_fuel(offset)?;
                }
                operators.visit_operator(&mut Operators(self)).map_err(malformed)??;
            } else {
                operators.visit_operator(&mut DeadCode(self)).map_err(malformed)??;
            }
            self.check_size()?;
        }
        operators.finish().map_err(malformed)
    }

    /// Ascribes the next instructions to the operator at this offset of the module.
    fn locate(&mut self, offset: u64) {
        // Modules are at most 1 GiB long.
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        self.offset = offset;
        self.builder.set_srcloc(SourceLoc::new(offset));
    }

    /// Whether the branch at hand is likely to be taken, if anything is known.
    fn branch_hint(&mut self) -> Option<bool> {
        let offset = self.offset.saturating_sub(self.body_start);
        while let [(at, likely), rest @ ..] = self.hints
            && *at <= offset
        {
            self.hints = rest;
            if *at == offset {
                return Some(*likely);
            }
        }
        None
    }

    /// Gives up on functions that grow beyond the budget. Values count too: a few operators
    /// inside deeply nested loops can make a block parameter per local and loop.
    fn check_size(&self) -> Result {
        let dfg = &self.builder.func.dfg;
        let budget = self.target.budget;
        let (what, limit) = if dfg.num_insts() > budget.insts_max {
            ("instructions", budget.insts_max)
        } else if dfg.num_values() > budget.values_max {
            ("values", budget.values_max)
        } else {
            return Ok(());
        };
        Err(too_large(format!("it needs more than {limit} {what}")))
    }

    /// Makes the prologue compare the stack pointer with the store's limit.
    fn set_stack_limit(&mut self) {
        let limit = self.env.stack_limit(self.builder.func);
        self.builder.func.stack_limit = Some(limit);
    }

    /// The zero of a type: what locals start as.
    fn zero(&mut self, ty: ValType) -> Value {
        match ty {
            ValType::I32 => self.builder.ins().iconst(ir::types::I32, 0),
            ValType::I64 | ValType::Ref(_) => self.builder.ins().iconst(ir::types::I64, 0),
            ValType::F32 => self.builder.ins().f32const(0.0),
            ValType::F64 => self.builder.ins().f64const(0.0),
            ValType::V128 => self.vector_constant([0; 16]),
        }
    }

    /// Whether relaxed operators have the results of the specification's deterministic profile.
    pub(crate) fn is_deterministic(&self) -> bool {
        self.job.tunables.relaxed_simd_deterministic
    }

    /// Whether code is made for x86-64.
    pub(crate) fn is_x86_64(&self) -> bool {
        self.target.isa.name() == settings::X86_64
    }

    /// Whether the CPU multiplies and adds with one rounding.
    pub(crate) fn has_fma(&self) -> bool {
        self.target.fma
    }

    /// The platform's C convention, for libcalls.
    fn c_convention(&self) -> CallConv {
        self.target.isa.default_call_conv()
    }
}

/// A body that was validated cannot be malformed.
fn malformed(error: wasmparser::BinaryReaderError) -> wasmoor_codegen::CompileError {
    internal(format!("a validated body is malformed: {error}"))
}
