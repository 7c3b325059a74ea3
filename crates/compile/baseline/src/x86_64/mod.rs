//! x86-64: registers, the list of instructions, the encoder, and features of the CPU.

mod asm;
mod buffer;
mod cpu;
pub(crate) mod insts;
mod regs;
#[cfg(test)]
mod tests;

pub(crate) use asm::{Alu, Asm, Atomic, Fused, Label, Shift, VectorShift};
pub use cpu::Cpu;
pub(crate) use regs::{Cc, Gpr, Mem, Rm, Size, Xmm};
