//! Atomic memory operators. Addresses must be aligned, which is checked first.

use crate::error::{Result, unsupported};
use crate::translate::{Definition, Region, Translator, trap_code};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder as _, MemFlagsData, Type, Value, types};
use wasmoor_abi::vmctx::MEMORY_LENGTH;
use wasmoor_abi::{Libcall, MemoryIndex, TrapCode};
use wasmparser::{MemArg, MemArgTarget};

impl Translator<'_> {
    /// The address of an atomic access, whose index is on the stack.
    fn atomic_address(&mut self, memarg: &MemArg, ty: Type) -> Result<(Value, MemFlagsData)> {
        if ty.bytes() > 1 {
            let index = self.pop()?;
            self.check_alignment(index, memarg.offset, ty.bytes());
            self.push(index);
        }
        let at = self.address(memarg, ty.bytes())?;
        let address = match at.offset {
            0 => at.base,
            offset => self.builder.ins().iadd_imm_s(at.base, i64::from(offset)),
        };
        Ok((address, at.flags))
    }

    fn check_alignment(&mut self, index: Value, offset: u64, bytes: u32) {
        let mask = i64::from(bytes) - 1;
        // The low bits of the offset, which alone matter.
        let sum = match (offset & mask.cast_unsigned()).cast_signed() {
            0 => index,
            low => self.builder.ins().iadd_imm_s(index, low),
        };
        let low = self.builder.ins().band_imm_u(sum, mask);
        let unaligned = self.builder.ins().icmp_imm_u(IntCC::NotEqual, low, 0);
        self.trap_if(unaligned, TrapCode::UnalignedAtomic);
    }

    /// The low bits of a value, as wide as memory.
    fn narrowed(&mut self, value: Value, ty: Type) -> Value {
        if self.type_of(value) == ty { value } else { self.builder.ins().ireduce(ty, value) }
    }

    /// Pushes what was read, with zeros above it.
    fn push_extended(&mut self, value: Value, to: Type) {
        let value =
            if self.type_of(value) == to { value } else { self.builder.ins().uextend(to, value) };
        self.push(value);
    }

    /// `atomic.load` of memory's type to the value's.
    pub(super) fn atomic_load(&mut self, memarg: &MemArg, ty: Type, to: Type) -> Result {
        let (address, flags) = self.atomic_address(memarg, ty)?;
        let value = self.builder.ins().atomic_load(ty, flags, address);
        self.push_extended(value, to);
        Ok(())
    }

    /// `atomic.store`. An exchange whose result nobody wants is a quarter of the time that the
    /// backend's store takes, which has a fence of its own behind it.
    pub(super) fn atomic_store(&mut self, memarg: &MemArg, ty: Type) -> Result {
        let value = self.pop()?;
        let value = self.narrowed(value, ty);
        let (address, flags) = self.atomic_address(memarg, ty)?;
        self.builder.ins().atomic_rmw(ty, flags, AtomicRmwOp::Xchg, address, value);
        Ok(())
    }

    /// `atomic.rmw` but `cmpxchg`.
    pub(super) fn atomic_rmw(
        &mut self,
        memarg: &MemArg,
        op: AtomicRmwOp,
        ty: Type,
        to: Type,
    ) -> Result {
        let value = self.pop()?;
        let value = self.narrowed(value, ty);
        let (address, flags) = self.atomic_address(memarg, ty)?;
        let before = self.builder.ins().atomic_rmw(ty, flags, op, address, value);
        self.push_extended(before, to);
        Ok(())
    }

    /// `atomic.rmw.cmpxchg`; compares as wide as memory.
    pub(super) fn atomic_cmpxchg(&mut self, memarg: &MemArg, ty: Type, to: Type) -> Result {
        let (expected, replacement) = self.pop2()?;
        let expected = self.narrowed(expected, ty);
        let replacement = self.narrowed(replacement, ty);
        let (address, flags) = self.atomic_address(memarg, ty)?;
        let before = self.builder.ins().atomic_cas(flags, address, expected, replacement);
        self.push_extended(before, to);
        Ok(())
    }

    /// `atomic.fence`.
    pub(super) fn atomic_fence(&mut self) {
        self.builder.ins().fence();
    }

    /// `memory.atomic.wait32` and `memory.atomic.wait64`.
    pub(super) fn atomic_wait(&mut self, memarg: &MemArg, libcall: Libcall) -> Result {
        let (expected, timeout) = self.pop2()?;
        let (memory, address) = self.waiting_address(memarg)?;
        let result = self.libcall_with_result(libcall, &[memory, address, expected, timeout]);
        let result = self.narrow(result, false);
        self.push(result);
        Ok(())
    }

    /// `memory.atomic.notify`.
    pub(super) fn atomic_notify(&mut self, memarg: &MemArg) -> Result {
        let count = self.pop()?;
        let (memory, address) = self.waiting_address(memarg)?;
        let woken = self.libcall_with_result(Libcall::memory_notify, &[memory, address, count]);
        let woken = self.narrow(woken, false);
        self.push(woken);
        Ok(())
    }

    /// The memory and the address in it, which the runtime checks.
    fn waiting_address(&mut self, memarg: &MemArg) -> Result<(Value, Value)> {
        let MemArgTarget::Memory(memory) = memarg.target else {
            return Err(unsupported("memory instructions on arrays"));
        };
        let index = self.pop()?;
        let index = self.widen(index);
        let memory = self.iconst32(memory);
        if memarg.offset == 0 {
            return Ok((memory, index));
        }
        let offset = self.iconst64(memarg.offset);
        let code = trap_code(TrapCode::MemoryOutOfBounds);
        Ok((memory, self.builder.ins().uadd_overflow_trap(index, offset, code)))
    }

    /// The length of a memory that other threads may grow, for `memory.size`.
    pub(crate) fn shared_length(&mut self, memory: MemoryIndex, definition: Definition) -> Value {
        let at = i64::from(definition.offset + MEMORY_LENGTH);
        let address = self.builder.ins().iadd_imm_s(definition.pointer, at);
        let flags = self.flags(Region::MemoryDefinition(memory));
        self.builder.ins().atomic_load(types::I64, flags, address)
    }
}
