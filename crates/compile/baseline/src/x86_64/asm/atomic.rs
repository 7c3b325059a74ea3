//! Instructions on memory that other threads use too.

use super::Asm;
use crate::x86_64::insts::Op;
use crate::x86_64::regs::{Gpr, Mem, Rm};

/// An instruction that reads and writes memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Atomic {
    /// The register and memory change places.
    Exchange,
    /// Memory is increased by the register, which gets its former content.
    ExchangeAdd,
    /// If memory equals al, ax, eax or rax it becomes the register, else that becomes it.
    CompareExchange,
}

/// Makes an instruction atomic.
const LOCK: u64 = 0xf0;

impl Asm {
    /// An atomic instruction on 1, 2, 4 or 8 bytes.
    pub(crate) fn atomic(&mut self, atomic: Atomic, bytes: u32, mem: Mem, reg: Gpr) {
        let (map, opcode) = match atomic {
            Atomic::Exchange => (0, 0x86),
            Atomic::ExchangeAdd => (1, 0xc0),
            Atomic::CompareExchange => (1, 0xb0),
        };
        // Exchanges with memory are atomic by themselves.
        if atomic != Atomic::Exchange {
            self.code.put(LOCK, 1);
        }
        let prefix = if bytes == 2 { 0x66 } else { 0 };
        let op = Op { prefix, map, opcode: opcode | u8::from(bytes > 1) };
        let byte = bytes == 1 && reg.0 >= 4;
        self.emit(op, bytes == 8, byte, reg.0, Rm::Mem(mem));
    }

    /// Everything before happens before everything behind.
    pub(crate) fn fence(&mut self) {
        // mfence
        self.code.put(0x00f0_ae0f, 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};

    #[test]
    fn every_size_register_and_address() {
        let mnemonics = [
            (Atomic::Exchange, Mnemonic::Xchg),
            (Atomic::ExchangeAdd, Mnemonic::Xadd),
            (Atomic::CompareExchange, Mnemonic::Cmpxchg),
        ];
        for (atomic, mnemonic) in mnemonics {
            for bytes in [1, 2, 4, 8] {
                for reg in (0..16).map(Gpr) {
                    for base in (0..16).map(Gpr) {
                        let mem = Mem::indexed(base, Gpr(base.0 ^ 8 | 1), 300);
                        let mut asm = Asm::default();
                        asm.atomic(atomic, bytes, mem, reg);
                        let len = asm.here() as usize;
                        let code = asm.finish();
                        let got = Decoder::with_ip(64, code, 0, DecoderOptions::NONE).decode();
                        assert_eq!((got.mnemonic(), got.len()), (mnemonic, len), "{got:?}");
                        assert_eq!(got.has_lock_prefix(), atomic != Atomic::Exchange);
                        assert_eq!(got.op0_kind(), OpKind::Memory, "{got:?}");
                        assert_eq!(got.memory_size().size(), bytes as usize, "{got:?}");
                        assert_eq!(got.memory_displacement64(), 300, "{got:?}");
                        let number = got.op1_register().full_register().number();
                        assert_eq!(number, usize::from(reg.0), "{got:?}");
                        assert_eq!(got.memory_base().number(), usize::from(base.0), "{got:?}");
                    }
                }
            }
        }
        let mut asm = Asm::default();
        asm.fence();
        let got = Decoder::with_ip(64, asm.finish(), 0, DecoderOptions::NONE).decode();
        assert_eq!((got.mnemonic(), got.len()), (Mnemonic::Mfence, 3));
    }
}
