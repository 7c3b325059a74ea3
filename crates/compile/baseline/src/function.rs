//! One function: the state of the walk over its operators.

use crate::NAME;
use crate::cold::Cold;
use crate::control::Block;
use crate::exception::Exceptions;
use crate::frame::Frame;
use crate::fuel::Segment;
use crate::locals::{Local, NO_PIN, Pins};
use crate::pins::{self, Roles, Traits};
use crate::shapes::Shapes;
use crate::state::{Bank, Ty, Value};
use crate::visitor::{DeadCode, Operators};
use crate::x86_64::{Asm, Cpu, Gpr, Label, Mem, Size};
use std::sync::Arc;
use wasmoor_abi::call::CallShape;
use wasmoor_abi::limits::POLL_SITES_MAX;
use wasmoor_abi::tables::AddressEntry;
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::vmctx::VMCTX_POLL_PAGE;
use wasmoor_abi::{FuncType, MemoryIndex, MemoryMode, ValType};
use wasmoor_codegen::{CompileError, CompileJob, CompiledFunction};
use wasmoor_module::Module;
use wasmparser::{BinaryReader, FunctionBody, OperatorsReader};

/// General registers of parameters, the vmctx first.
pub(crate) const PARAM_GPRS: [Gpr; 6] = [Gpr::RDI, Gpr::RSI, Gpr::RDX, Gpr::RCX, Gpr::R8, Gpr::R9];
/// Up to this size a frame is taken before the stack limit is checked: what lies below the limit
/// Alignment of functions in bytes: that of vector constants, and for the instruction fetch.
const ALIGN: u32 = 16;

/// Buffers that a worker keeps between functions.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) asm: Asm,
    stack: Vec<Value>,
    blocks: Vec<Block>,
    locals: Vec<Local>,
    colds: Vec<Cold>,
    exceptions: Exceptions,
    addresses: Vec<AddressEntry>,
    pub(crate) shapes: Shapes,
}

/// State of the walk over one function.
pub(crate) struct Gen<'a> {
    pub(crate) asm: Asm,
    pub(crate) module: &'a Module,
    pub(crate) job: CompileJob<'a>,
    pub(crate) cpu: Cpu,
    /// Whether the address map names every operator, not only those that trap or call.
    every_operator: bool,
    pub(crate) ty: &'a FuncType,
    pub(crate) shape: Arc<CallShape>,
    pub(crate) shapes: Shapes,
    /// The body's bytes.
    pub(crate) body: &'a [u8],
    /// Position of the current operator in the body.
    pub(crate) at: usize,
    /// Its offset in the module.
    pub(crate) offset: u32,
    pub(crate) stack: Vec<Value>,
    pub(crate) settled: usize,
    pub(crate) locals: Vec<Local>,
    pub(crate) gprs: Bank,
    pub(crate) xmms: Bank,
    pub(crate) gpr_pins: Pins,
    pub(crate) xmm_pins: Pins,
    pub(crate) roles: Roles,
    pub(crate) leaf: bool,
    pub(crate) frame: Frame,
    pub(crate) blocks: Vec<Block>,
    pub(crate) reachable: bool,
    pub(crate) dead_depth: u32,
    pub(crate) colds: Vec<Cold>,
    pub(crate) exceptions: Exceptions,
    pub(crate) epilogue: Label,
    pub(crate) segment: Segment,
    addresses: Vec<AddressEntry>,
    polls: u32,
    pub(crate) bug: Option<&'static str>,
}

/// Compiles the job's function.
///
/// # Errors
/// When the operators contradict validation: a bug.
pub(crate) fn compile(
    job: CompileJob<'_>,
    cpu: Cpu,
    every_operator: bool,
    buffers: &mut Buffers,
) -> Result<CompiledFunction, CompileError> {
    let mut function = Gen::new(job, cpu, std::mem::take(buffers));
    function.every_operator = every_operator;
    let done = function.run();
    let compiled = done.map(|()| function.finish());
    *buffers = function.into_buffers();
    compiled
}

fn internal(reason: String) -> CompileError {
    CompileError::Internal { compiler: NAME, reason }
}

fn malformed(error: wasmparser::BinaryReaderError) -> CompileError {
    internal(format!("a validated body is malformed: {error}"))
}

impl<'a> Gen<'a> {
    fn new(job: CompileJob<'a>, cpu: Cpu, mut buffers: Buffers) -> Self {
        let module: &'a Module = job.module;
        let func = module.func_index(job.func);
        buffers.shapes.enter(job.module);
        let shape = buffers.shapes.get(module, module.functions[func]);
        buffers.asm.clear();
        buffers.stack.clear();
        buffers.blocks.clear();
        buffers.locals.clear();
        buffers.colds.clear();
        buffers.exceptions.clear();
        buffers.addresses.clear();
        let epilogue = buffers.asm.new_label();
        let roles = Roles { vmctx: Gpr::RDI, membase: None, temps: 0, vector_temps: 0, saved: 0 };
        Gen {
            asm: buffers.asm,
            module,
            job,
            cpu,
            every_operator: false,
            ty: module.func_type(func),
            shape,
            shapes: buffers.shapes,
            body: module.body_bytes(job.func),
            at: 0,
            offset: AddressEntry::NONE,
            stack: buffers.stack,
            settled: 0,
            locals: buffers.locals,
            gprs: Bank::default(),
            xmms: Bank::default(),
            gpr_pins: Pins::default(),
            xmm_pins: Pins::default(),
            roles,
            leaf: false,
            frame: Frame::default(),
            blocks: buffers.blocks,
            reachable: true,
            dead_depth: 0,
            colds: buffers.colds,
            exceptions: buffers.exceptions,
            epilogue,
            segment: Segment::default(),
            addresses: buffers.addresses,
            polls: 0,
            bug: None,
        }
    }

    fn into_buffers(self) -> Buffers {
        Buffers {
            asm: self.asm,
            stack: self.stack,
            blocks: self.blocks,
            locals: self.locals,
            colds: self.colds,
            exceptions: self.exceptions,
            addresses: self.addresses,
            shapes: self.shapes,
        }
    }

    fn run(&mut self) -> Result<(), CompileError> {
        let start = self.module.bodies[self.job.func].range.start;
        let body = FunctionBody::new(BinaryReader::new(self.body, u64::from(start)));
        let facts = self.module.facts(self.job.func);
        self.leaf = !facts.has_call;
        let operators = self.declare_locals(&body)?;
        let guarded = facts.uses_memory && self.memory0_guarded();
        let traits = Traits { leaf: self.leaf, loops: facts.loops > 0, guarded };
        self.roles = pins::assign(&mut self.locals, &facts.local_weights, traits);
        if facts.tries > 0 && !self.leaf {
            // What is thrown passes frames that would have restored any of them.
            self.roles.saved |= pins::CALLEE_SAVED;
        }
        self.gprs.reset(self.roles.temps);
        self.xmms.reset(self.roles.vector_temps);
        self.frame.slot_bytes = if facts.uses_simd { 16 } else { 8 };
        let first_home = self.lay_out_frame();
        // An older `try` keeps one more entry while it catches.
        let height_max = match facts.tries {
            0 => facts.stack_height_max,
            _ => facts.stack_height_max.saturating_add(facts.control_depth_max),
        };
        let prologue = self.prologue(height_max, first_home);
        self.open_body();
        self.walk(operators, start)?;
        self.emit_landings();
        self.emit_colds();
        self.mark_none();
        let bytes = self.frame.bytes();
        let bytes = if prologue.negative { bytes.wrapping_neg() } else { bytes };
        self.asm.patch32(prologue.frame_bytes_at, bytes);
        match self.bug {
            None => Ok(()),
            Some(what) => Err(internal(format!("the operators contradict validation: {what}"))),
        }
    }

    fn finish(&mut self) -> CompiledFunction {
        let handlers = self.handler_table();
        let code = self.asm.finish().to_vec();
        CompiledFunction {
            code,
            align: ALIGN,
            relocations: self.asm.relocations.clone(),
            traps: self.asm.traps.clone(),
            addresses: self.addresses.clone(),
            handlers,
            poll_sites: self.polls,
            ..CompiledFunction::default()
        }
    }

    fn walk(&mut self, mut operators: OperatorsReader<'a>, start: u32) -> Result<(), CompileError> {
        while !operators.eof() {
            // Modules are at most 1 GiB long.
            self.offset = operators.original_position() as u32;
            self.at = (self.offset - start) as usize;
            if self.reachable {
                if self.every_operator {
                    self.mark();
                }
                if self.job.tunables.fuel {
                    self.account_fuel();
                }
                operators.visit_operator(&mut Operators(self)).map_err(malformed)?;
            } else {
                operators.visit_operator(&mut DeadCode(self)).map_err(malformed)?;
            }
        }
        operators.finish().map_err(malformed)
    }

    // Places in the module.

    /// What is emitted next belongs to the current operator.
    pub(crate) fn mark(&mut self) {
        self.mark_offset(self.offset);
    }

    pub(crate) fn mark_none(&mut self) {
        self.mark_offset(AddressEntry::NONE);
    }

    pub(crate) fn mark_offset(&mut self, wasm_offset: u32) {
        let code_offset = self.asm.here();
        match self.addresses.last_mut() {
            Some(last) if last.wasm_offset == wasm_offset => {}
            Some(last) if last.code_offset == code_offset => last.wasm_offset = wasm_offset,
            _ => self.addresses.push(AddressEntry { code_offset, wasm_offset }),
        }
    }

    /// Position after the current operator's opcode.
    pub(crate) fn after_opcode(&self) -> usize {
        /// Announces atomic operators, whose opcode is a number.
        const ATOMIC_PREFIX: u8 = 0xfe;
        /// Announces vector operators, whose opcode is a number.
        const VECTOR_PREFIX: u8 = 0xfd;
        match self.body.get(self.at) {
            Some(&(VECTOR_PREFIX | ATOMIC_PREFIX)) => {
                self.skip_leb(self.at + 1).unwrap_or(self.body.len())
            }
            _ => self.at + 1,
        }
    }

    /// The opcode after an operator that is only an opcode.
    pub(crate) fn next_opcode(&self) -> Option<u8> {
        self.body.get(self.after_opcode()).copied()
    }

    // Locals and frame.

    /// Reads the declarations; homes are not laid out yet.
    fn declare_locals(
        &mut self,
        body: &FunctionBody<'a>,
    ) -> Result<OperatorsReader<'a>, CompileError> {
        let local = |ty| Local { home: 0, reads: 0, ty, pin: NO_PIN };
        self.locals.extend(self.ty.params.iter().map(|&ty| local(Ty::of(ty))));
        let mut reader = body.get_locals_reader().map_err(malformed)?;
        for _ in 0..reader.get_count() {
            let (count, ty) = reader.read().map_err(malformed)?;
            let len = self.locals.len() + count as usize;
            self.locals.resize(len, local(declared_type(ty)));
        }
        Ok(OperatorsReader::new(reader.get_binary_reader()))
    }

    /// Whether the base of memory 0 never changes.
    fn memory0_guarded(&self) -> bool {
        self.module
            .memories
            .get(MemoryIndex::from_u32(0))
            .is_some_and(|ty| self.job.tunables.memory_mode_of(ty) != MemoryMode::Checked)
    }

    // Polls.

    /// A load that faults while the host wants attention; see `wasmoor_abi::vmctx`.
    pub(crate) fn poll(&mut self) {
        if !self.job.tunables.poll {
            return;
        }
        self.mark();
        let site = (self.polls % POLL_SITES_MAX).cast_signed();
        self.polls += 1;
        self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(VMCTX_POLL_PAGE));
        self.asm.may_fault(FaultKind::Poll);
        self.asm.movzx_b(Gpr::R11, Mem::new(Gpr::R11, site));
    }

    /// A field of the vmctx.
    pub(crate) fn vmctx_field(&self, offset: u32) -> Mem {
        Mem::new(self.roles.vmctx, offset.cast_signed())
    }
}

/// Our form of a local's declared type.
pub(crate) fn declared_type(ty: wasmparser::ValType) -> Ty {
    match ty {
        wasmparser::ValType::I32 => Ty::of(ValType::I32),
        wasmparser::ValType::I64 | wasmparser::ValType::Ref(_) => Ty::of(ValType::I64),
        wasmparser::ValType::F32 => Ty::of(ValType::F32),
        wasmparser::ValType::F64 => Ty::of(ValType::F64),
        wasmparser::ValType::V128 => Ty::of(ValType::V128),
    }
}
