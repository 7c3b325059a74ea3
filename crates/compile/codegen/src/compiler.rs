//! The interface of the compilers.

use crate::stored::CodeTier;
use std::sync::Arc;
use wasmoor_abi::handlers::HandlerTable;
use wasmoor_abi::tables::{AddressEntry, TrapEntry};
use wasmoor_abi::{DefinedFuncIndex, Tunables};
use wasmoor_module::Module;

/// A maker of machine code, one function at a time.
///
/// The compiler itself is shared by all threads; each thread that compiles takes a worker, which
/// keeps buffers between functions.
pub trait FunctionCompiler: Send + Sync {
    /// Short name, for listings and as part of the identity of stored code.
    fn name(&self) -> &'static str;

    /// Everything else that decides which code comes out (settings, CPU features, version): part
    /// of the identity of stored code.
    fn fingerprint(&self) -> String;

    /// A worker for one thread.
    fn worker(&self) -> Box<dyn FunctionWorker>;
}

/// One thread's compiler.
pub trait FunctionWorker: Send {
    /// Compiles one function.
    ///
    /// # Errors
    /// See [`CompileError`]. The worker stays usable.
    fn compile(&mut self, job: &CompileJob<'_>) -> Result<CompiledFunction, CompileError>;
}

/// One function to compile.
#[derive(Clone, Copy, Debug)]
pub struct CompileJob<'a> {
    /// The validated module.
    pub module: &'a Arc<Module>,
    /// Which of its functions.
    pub func: DefinedFuncIndex,
    /// How.
    pub tunables: &'a Tunables,
    /// How calls to functions of the same module are made.
    pub calls: CallMode,
}

/// How a function calls others of its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallMode {
    /// Through the callee's slot, so that better code takes effect at once.
    Slots,
    /// Directly: all functions are linked at once and none will be replaced.
    Direct,
}

/// Machine code of one function, not yet linked.
#[derive(Clone, Debug, Default)]
pub struct CompiledFunction {
    /// Position-independent code, constants included.
    pub code: Vec<u8>,
    /// Alignment that the code needs, a power of two up to 64.
    pub align: u32,
    /// What depends on the code's place, sorted by offset.
    pub relocations: Vec<Relocation>,
    /// Instructions that can fault, sorted by offset.
    pub traps: Vec<TrapEntry>,
    /// Which operator code belongs to, sorted by code offset. Where a call returns to byte `n`,
    /// the entry that covers `n - 1` names the call.
    pub addresses: Vec<AddressEntry>,
    /// Where exceptions are caught.
    pub handlers: HandlerTable,
    /// Poll sites emitted; each has an entry in `traps`.
    pub poll_sites: u32,
    /// Which of the engine's compilers made it; set by who called the compiler.
    pub tier: CodeTier,
}

/// A place in the code that depends on where the code or something else lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Byte offset of the field in the code.
    pub offset: u32,
    /// What is stored there.
    pub kind: RelocationKind,
    /// What it refers to.
    pub target: RelocationTarget,
    /// Added to the target's address.
    pub addend: i64,
}

/// How a relocation's field is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelocationKind {
    /// 32 bits: target + addend - address of the field.
    PcRelative32,
    /// aarch64 `adrp`: page of the target relative to the instruction's page.
    Aarch64PageHigh21,
    /// aarch64 64-bit `ldr`: low 12 bits of the target's address.
    Aarch64PageLow12Load64,
    /// aarch64 `bl`/`b`: 26-bit word offset.
    Aarch64Call26,
}

/// What a relocation refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelocationTarget {
    /// The code slot (8 bytes of data) of a function of the module.
    Slot(DefinedFuncIndex),
    /// The code of a function that is linked in the same batch (`CallMode::Direct`).
    Func(DefinedFuncIndex),
}

/// Why a function could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The function is beyond what this compiler handles (size, registers, budget).
    #[error("the function is too large for the {compiler} compiler: {reason}")]
    TooLarge {
        /// Name of the compiler.
        compiler: &'static str,
        /// What was exceeded.
        reason: String,
    },
    /// The compiler does not handle something that validation let through.
    #[error("the {compiler} compiler does not support {what}")]
    Unsupported {
        /// Name of the compiler.
        compiler: &'static str,
        /// What it met.
        what: String,
    },
    /// A bug of ours or of the backend; the text is for the report.
    #[error("internal error of the {compiler} compiler: {reason}")]
    Internal {
        /// Name of the compiler.
        compiler: &'static str,
        /// What happened.
        reason: String,
    },
}
