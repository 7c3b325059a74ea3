//! Planted errors of the address map: the code is right, but says that it is something else's.

use std::ops::RangeInclusive;
use wasmoor::raw::codegen::{
    CompileError, CompileJob, CompiledFunction, FunctionCompiler, FunctionWorker,
};
use wasmoor_abi::tables::AddressEntry;

/// A planted error.
#[derive(Clone, Copy, Debug)]
pub struct Misplacement {
    /// What it does, for reports.
    pub name: &'static str,
    /// First bytes of the operators that it concerns.
    opcodes: Opcodes,
}

/// The first and the last.
type Opcodes = (u8, u8);

/// All planted errors of address maps.
pub const MISPLACEMENTS: &[Misplacement] = &[
    Misplacement { name: "loads and stores trap one byte behind", opcodes: (0x28, 0x3e) },
    Misplacement { name: "divisions trap one byte behind", opcodes: (0x6d, 0x82) },
    Misplacement { name: "calls return one byte behind", opcodes: (0x10, 0x11) },
];

/// A compiler with a planted error.
pub(super) struct Misplaced {
    pub(super) inner: Box<dyn FunctionCompiler>,
    pub(super) misplacement: Misplacement,
}

impl FunctionCompiler for Misplaced {
    fn name(&self) -> &'static str {
        "misplaced"
    }

    fn fingerprint(&self) -> String {
        format!("{} {}", self.inner.fingerprint(), self.misplacement.name)
    }

    fn worker(&self) -> Box<dyn FunctionWorker> {
        let (first, last) = self.misplacement.opcodes;
        Box::new(Worker { inner: self.inner.worker(), opcodes: first..=last })
    }
}

struct Worker {
    inner: Box<dyn FunctionWorker>,
    opcodes: RangeInclusive<u8>,
}

impl FunctionWorker for Worker {
    fn compile(&mut self, job: &CompileJob<'_>) -> Result<CompiledFunction, CompileError> {
        let mut compiled = self.inner.compile(job)?;
        let bytes = job.module.bytes();
        for entry in &mut compiled.addresses {
            let opcode = bytes.get(entry.wasm_offset as usize);
            let is_meant = opcode.is_some_and(|opcode| self.opcodes.contains(opcode));
            if is_meant && entry.wasm_offset != AddressEntry::NONE {
                entry.wasm_offset += 1;
            }
        }
        Ok(compiled)
    }
}
