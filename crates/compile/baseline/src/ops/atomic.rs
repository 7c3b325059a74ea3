//! Atomic memory operators.
//!
//! Loads and stores of aligned words are atomic on x86-64; stores are exchanges, so that no later
//! load goes past them. Addresses must be aligned, which is checked first. Operands that sit in
//! temporaries move to their slots before the address is formed: an operator with three of them
//! and a bounds check would need more registers than there are.

use crate::call::Arg;
use crate::function::Gen;
use crate::memory::Address;
use crate::state::{Loc, Ty, Value};
use crate::x86_64::{Alu, Atomic, Cc, Gpr, Mem, Size, insts};
use wasmoor_abi::{Libcall, TrapCode};
use wasmparser::{MemArg, MemArgTarget};

/// A read-modify-write operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rmw {
    Add,
    Sub,
    And,
    Or,
    Xor,
    Exchange,
}

/// Bytes that an access has in memory, and the type of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access(pub(crate) u32, pub(crate) Ty);

impl Access {
    /// Size of the operation in registers: narrow ones are done on 32 bits.
    const fn size(self) -> Size {
        if self.0 == 8 { Size::S64 } else { Size::S32 }
    }
}

impl Gen<'_> {
    /// Traps unless the address that is formed of the index on the stack is aligned.
    fn check_alignment(&mut self, memarg: &MemArg, bytes: u32) {
        if bytes == 1 {
            return;
        }
        self.mark();
        let mask = bytes.cast_signed() - 1;
        let index = self.pop();
        let reg = self.use_gpr(index);
        // The low bits of the offset, which alone matter.
        let low = (memarg.offset & u64::from(mask.cast_unsigned())) as i32;
        self.asm.lea(Size::S32, Gpr::R11, Mem::new(reg, low));
        self.asm.alu_imm(Alu::And, Size::S32, Gpr::R11, mask);
        self.trap_if(Cc::NE, TrapCode::UnalignedAtomic);
        self.push_gpr(index.ty, reg);
    }

    /// Pops operands that the address must not compete with for registers; the last comes first.
    fn pop_settled<const N: usize>(&mut self) -> [Value; N] {
        if let Some(&Value { loc: Loc::Cond(_), .. }) = self.stack.last() {
            let condition = self.pop();
            let reg = self.own_gpr(condition);
            self.push_gpr(condition.ty, reg);
        }
        let first = self.top(N);
        for position in first..self.stack.len() {
            if matches!(self.stack[position].loc, Loc::Gpr(_)) {
                self.settle(position);
            }
        }
        std::array::from_fn(|_| self.pop())
    }

    /// `atomic.load`.
    pub(crate) fn atomic_load(&mut self, memarg: &MemArg, Access(bytes, ty): Access) {
        self.check_alignment(memarg, bytes);
        self.load_int(memarg, bytes, ty, |asm, dst, mem| match bytes {
            1 => asm.movzx_b(dst, mem),
            2 => asm.gg(insts::MOVZX_W, Size::S32, dst, mem),
            4 => asm.mov(Size::S32, dst, mem),
            _ => asm.mov(Size::S64, dst, mem),
        });
    }

    /// `atomic.store`.
    pub(crate) fn atomic_store(&mut self, memarg: &MemArg, access: Access) {
        let [value] = self.pop_settled();
        self.check_alignment(memarg, access.0);
        let address = self.address(memarg, access.0);
        let value = self.own_gpr(value);
        self.accesses_memory();
        self.asm.atomic(Atomic::Exchange, access.0, address.mem, value);
        self.release_address(address);
        self.release_gpr(value);
    }

    /// `atomic.rmw` but `cmpxchg`.
    pub(crate) fn atomic_rmw(&mut self, memarg: &MemArg, rmw: Rmw, access: Access) {
        let [value] = self.pop_settled();
        let alu = match rmw {
            Rmw::Add | Rmw::Sub | Rmw::Exchange => None,
            Rmw::And => Some(Alu::And),
            Rmw::Or => Some(Alu::Or),
            Rmw::Xor => Some(Alu::Xor),
        };
        if alu.is_some() {
            self.take_gpr(Gpr::RAX);
        }
        self.check_alignment(memarg, access.0);
        let address = self.address(memarg, access.0);
        let value = self.own_gpr(value);
        if let Some(alu) = alu {
            self.rmw_loop(alu, access, address, value);
            return self.finish_atomic(access, address, value, Gpr::RAX);
        }
        if rmw == Rmw::Sub {
            self.asm.neg(access.size(), value);
        }
        let atomic = match rmw {
            Rmw::Exchange => Atomic::Exchange,
            _ => Atomic::ExchangeAdd,
        };
        self.accesses_memory();
        self.asm.atomic(atomic, access.0, address.mem, value);
        self.release_address(address);
        self.push_narrowed(access, value);
    }

    /// Computes in a register until nobody changed memory meanwhile; the former content is in rax.
    fn rmw_loop(&mut self, alu: Alu, access: Access, address: Address, value: Gpr) {
        let changed = self.alloc_gpr();
        self.accesses_memory();
        match access.0 {
            1 => self.asm.movzx_b(Gpr::RAX, address.mem),
            2 => self.asm.gg(insts::MOVZX_W, Size::S32, Gpr::RAX, address.mem),
            _ => self.asm.mov(access.size(), Gpr::RAX, address.mem),
        }
        let again = self.asm.new_label();
        self.asm.bind(again);
        self.asm.mov(access.size(), changed, Gpr::RAX);
        self.asm.alu(alu, access.size(), changed, value);
        self.accesses_memory();
        self.asm.atomic(Atomic::CompareExchange, access.0, address.mem, changed);
        self.asm.jcc(Cc::NE, again);
        self.release_gpr(changed);
    }

    /// `atomic.rmw.cmpxchg`.
    pub(crate) fn atomic_cmpxchg(&mut self, memarg: &MemArg, access: Access) {
        let [replacement, expected] = self.pop_settled();
        self.take_gpr(Gpr::RAX);
        self.check_alignment(memarg, access.0);
        let address = self.address(memarg, access.0);
        let replacement = self.own_gpr(replacement);
        // Compared as wide as memory: upper bits do not matter.
        self.load_gpr(Gpr::RAX, expected);
        self.accesses_memory();
        self.asm.atomic(Atomic::CompareExchange, access.0, address.mem, replacement);
        self.finish_atomic(access, address, replacement, Gpr::RAX);
    }

    fn finish_atomic(&mut self, access: Access, address: Address, operand: Gpr, result: Gpr) {
        self.release_address(address);
        self.release_gpr(operand);
        self.push_narrowed(access, result);
    }

    /// Pushes what was read, with zeros above it.
    fn push_narrowed(&mut self, Access(bytes, ty): Access, reg: Gpr) {
        match bytes {
            1 => self.asm.movzx_b(reg, reg),
            2 => self.asm.gg(insts::MOVZX_W, Size::S32, reg, reg),
            4 => self.asm.mov(Size::S32, reg, reg),
            _ => {}
        }
        self.push_gpr(ty, reg);
    }

    /// `atomic.fence`.
    pub(crate) fn atomic_fence(&mut self) {
        self.asm.fence();
    }

    /// `memory.atomic.wait32` and `memory.atomic.wait64`.
    pub(crate) fn atomic_wait(&mut self, memarg: &MemArg, libcall: Libcall) {
        let [timeout, expected] = self.pop_settled();
        let (memory, address) = self.waiting_address(memarg);
        let args = [memory, address, Arg::Value(expected), Arg::Value(timeout)];
        self.libcall(libcall, &args);
        self.push_libcall_result(Ty::I32);
    }

    /// `memory.atomic.notify`.
    pub(crate) fn atomic_notify(&mut self, memarg: &MemArg) {
        let [count] = self.pop_settled();
        let (memory, address) = self.waiting_address(memarg);
        self.libcall(Libcall::memory_notify, &[memory, address, Arg::Value(count)]);
        self.push_libcall_result(Ty::I32);
    }

    /// The memory and the address in it, which the runtime checks.
    fn waiting_address(&mut self, memarg: &MemArg) -> (Arg, Arg) {
        self.mark();
        let MemArgTarget::Memory(memory) = memarg.target else {
            self.bug("a memory");
            return (Arg::Index(0), Arg::Index(0));
        };
        let index = self.pop();
        if memarg.offset == 0 {
            return (Arg::Index(memory), Arg::Value(index));
        }
        let reg = self.own_gpr(index);
        self.asm.mov_imm(Gpr::R11, memarg.offset);
        self.asm.alu(Alu::Add, Size::S64, reg, Gpr::R11);
        self.trap_if(Cc::B, TrapCode::MemoryOutOfBounds);
        (Arg::Index(memory), Arg::Value(Value::new(Ty::I64, Loc::Gpr(reg))))
    }
}
