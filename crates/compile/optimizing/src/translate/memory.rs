//! Linear memory: addresses of accesses, and where their bounds come from.
//!
//! ```text
//! Guard     address = base + zero-extended index;  the access adds the offset and faults if it
//!           leaves the accessible pages. Offsets beyond the guard are checked like Checked.
//! Clamped   as Guard, with an index that is at most the memory's reach: see `clamp`.
//! Checked   address = base + index + offset, or 0 if index + offset + size > length.
//!           The choice is a conditional move that speculation cannot bypass, and the access at
//!           0 faults, so that there is neither a branch nor a speculative read out of bounds.
//! ```
//!
//! A memory that starts with at least `offset + size` bytes is checked as
//! `index > length - (offset + size)`: memories only grow, and nothing can overflow.

use super::Translator;
use super::environment::Region;
use crate::error::{Result, unsupported, validated};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder as _, MemFlagsData, Type, Value, types};
use wasmoor_abi::vmctx::{MEMORY_BASE, MEMORY_LENGTH, Place};
use wasmoor_abi::{MemoryIndex, MemoryMode, MemoryType, TrapCode};
use wasmparser::{MemArg, MemArgTarget};

/// Bytes that a 32-bit index can reach.
const REACH32_BYTES: u64 = 1 << 32;

/// An address with the constant that the access instruction adds, and its flags.
#[derive(Clone, Copy)]
pub(crate) struct Address {
    pub(crate) base: Value,
    pub(crate) offset: i32,
    pub(crate) flags: MemFlagsData,
}

/// What an access asks for.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) memory: MemoryIndex,
    pub(super) ty: MemoryType,
    /// 64 bits wide.
    pub(super) index: Value,
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) flags: MemFlagsData,
}

/// Base and length of a memory, as far as the machine code's mode needs them.
#[derive(Clone, Copy)]
pub(crate) struct Definition {
    pub(crate) pointer: Value,
    pub(crate) offset: u32,
}

impl Translator<'_> {
    /// The address of an access of `size` bytes, whose index is on the stack.
    pub(crate) fn address(&mut self, memarg: &MemArg, size: u32) -> Result<Address> {
        let MemArgTarget::Memory(memory) = memarg.target else {
            return Err(unsupported("memory instructions on arrays"));
        };
        let memory = MemoryIndex::from_u32(memory);
        let ty = self.memory_type(memory)?;
        let index = self.pop()?;
        let index = self.widen(index);
        let flags = self.trapping_flags(Region::Memory(memory), TrapCode::MemoryOutOfBounds);
        let access = Access { memory, ty, index, offset: memarg.offset, size, flags };
        let address = match self.memory_mode(&ty) {
            MemoryMode::Guard { guard_bytes } => self.guarded_address(&access, guard_bytes),
            MemoryMode::Clamped => self.clamped_address(&access),
            MemoryMode::Checked => None,
        };
        Ok(address.unwrap_or_else(|| self.checked_address(&access)))
    }

    /// `None`: the offset reaches beyond the guard.
    fn guarded_address(&mut self, access: &Access, guard_bytes: u64) -> Option<Address> {
        // The furthest byte lies behind 4 GiB by at most this much.
        let beyond = access.offset.saturating_add(u64::from(access.size));
        if beyond > guard_bytes {
            return None;
        }
        let base = self.memory_base(access.memory, &access.ty);
        let address = self.builder.ins().iadd(base, access.index);
        Some(self.displaced(address, access.offset, access.flags))
    }

    /// An offset as the instruction's displacement, or added beforehand if it is too large.
    pub(super) fn displaced(
        &mut self,
        address: Value,
        offset: u64,
        flags: MemFlagsData,
    ) -> Address {
        if let Ok(offset) = i32::try_from(offset) {
            return Address { base: address, offset, flags };
        }
        let offset = self.iconst64(offset);
        Address { base: self.builder.ins().iadd(address, offset), offset: 0, flags }
    }

    fn checked_address(&mut self, access: &Access) -> Address {
        let Access { memory, ref ty, index, offset, size, flags } = *access;
        let zero = self.iconst64(0);
        let Some(end) = offset.checked_add(u64::from(size)) else {
            // No memory has 2^64 bytes.
            return Address { base: zero, offset: 0, flags };
        };
        let length = self.memory_length(memory, ty);
        let out_of_bounds = self.beyond_end(ty, index, end, length);
        let base = self.memory_base(memory, ty);
        let mut address = self.builder.ins().iadd(base, index);
        if offset != 0 {
            let offset = self.iconst64(offset);
            address = self.builder.ins().iadd(address, offset);
        }
        let base = self.builder.ins().select_spectre_guard(out_of_bounds, zero, address);
        Address { base, offset: 0, flags }
    }

    /// Whether `index + end` lies beyond the memory's length.
    fn beyond_end(&mut self, ty: &MemoryType, index: Value, end: u64, length: Value) -> Value {
        let bytes_min = ty.minimum.saturating_mul(ty.page_bytes());
        let end_value = self.iconst64(end);
        if end <= bytes_min {
            let limit = self.builder.ins().isub(length, end_value);
            return self.builder.ins().icmp(IntCC::UnsignedGreaterThan, index, limit);
        }
        let sum = if !ty.index64 && end <= u64::MAX - REACH32_BYTES {
            self.builder.ins().iadd(index, end_value)
        } else {
            let code = super::environment::trap_code(TrapCode::MemoryOutOfBounds);
            self.builder.ins().uadd_overflow_trap(index, end_value, code)
        };
        self.builder.ins().icmp(IntCC::UnsignedGreaterThan, sum, length)
    }

    /// The address of `len` bytes at `start`, both 64 bits wide; traps if they leave the memory.
    pub(crate) fn bulk_address(
        &mut self,
        memory: MemoryIndex,
        start: Value,
        len: Value,
    ) -> Result<Value> {
        let ty = self.memory_type(memory)?;
        let end = if ty.index64 {
            let code = super::environment::trap_code(TrapCode::MemoryOutOfBounds);
            self.builder.ins().uadd_overflow_trap(start, len, code)
        } else {
            self.builder.ins().iadd(start, len)
        };
        let length = self.memory_length(memory, &ty);
        let beyond = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, end, length);
        self.trap_if(beyond, TrapCode::MemoryOutOfBounds);
        let base = self.memory_base(memory, &ty);
        let address = self.builder.ins().iadd(base, start);
        let zero = self.iconst64(0);
        Ok(self.builder.ins().select_spectre_guard(beyond, zero, address))
    }

    /// How accesses to a memory of this type are kept in bounds.
    fn memory_mode(&self, ty: &MemoryType) -> MemoryMode {
        self.job.tunables.memory_mode_of(ty)
    }

    /// The memory's first byte. It is constant unless accesses are checked.
    pub(super) fn memory_base(&mut self, memory: MemoryIndex, ty: &MemoryType) -> Value {
        let definition = self.memory_definition(memory, ty);
        if self.memory_mode(ty) != MemoryMode::Checked {
            let offset = definition.offset + MEMORY_BASE;
            return self.constant(definition.pointer, offset, types::I64);
        }
        self.load_definition(memory, definition, MEMORY_BASE)
    }

    /// The memory's length in bytes.
    pub(crate) fn memory_length(&mut self, memory: MemoryIndex, ty: &MemoryType) -> Value {
        let definition = self.memory_definition(memory, ty);
        self.load_definition(memory, definition, MEMORY_LENGTH)
    }

    fn load_definition(
        &mut self,
        memory: MemoryIndex,
        definition: Definition,
        field: u32,
    ) -> Value {
        let flags = self.flags(Region::MemoryDefinition(memory));
        let offset = (definition.offset + field).cast_signed();
        self.builder.ins().load(types::I64, flags, definition.pointer, offset)
    }

    pub(super) fn memory_definition(&mut self, memory: MemoryIndex, ty: &MemoryType) -> Definition {
        match self.module.layout.memory(memory, ty) {
            Place::Inline(offset) => Definition { pointer: self.vmctx(), offset },
            Place::Behind(offset) => Definition { pointer: self.vmctx_constant(offset), offset: 0 },
        }
    }

    /// The type of a memory.
    pub(crate) fn memory_type(&self, memory: MemoryIndex) -> Result<MemoryType> {
        validated(self.module.memories.get(memory).copied(), "a memory")
    }

    /// Loads `size` bytes as a value of this type and pushes it.
    pub(crate) fn load(&mut self, memarg: &MemArg, ty: Type) -> Result {
        let at = self.address(memarg, ty.bytes())?;
        let value = self.builder.ins().load(ty, at.flags, at.base, at.offset);
        self.push(value);
        Ok(())
    }

    /// Pops a value and stores it as it is.
    pub(crate) fn store(&mut self, memarg: &MemArg) -> Result {
        let value = self.pop()?;
        let size = self.type_of(value).bytes();
        let at = self.address(memarg, size)?;
        self.builder.ins().store(at.flags, value, at.base, at.offset);
        Ok(())
    }
}
