//! Linear memory: addresses of accesses, and where their bounds come from.
//!
//! ```text
//! Guard     [base + index + offset]: faults if it leaves the accessible pages. Offsets beyond
//!           the guard are checked like Checked.
//! Clamped   as Guard, with an index that is at most the memory's reach.
//! Checked   address = base + index + offset, or 0 if index + offset + size > length, by a
//!           conditional move that speculation cannot bypass; the access at 0 faults.
//! ```

use crate::call::Arg;
use crate::function::Gen;
use crate::state::{Loc, Ty, Value};
use crate::x86_64::{Alu, Cc, Gpr, Mem, Rm, Size};
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::vmctx::{MEMORY_BASE, MEMORY_LENGTH, MEMORY_REACH, Place};
use wasmoor_abi::{
    CLAMP_GUARD_BYTES, CLAMP_ROOM_BYTES_MIN, Libcall, MemoryIndex, MemoryMode, MemoryType, TrapCode,
};
use wasmparser::{MemArg, MemArgTarget};

/// Bytes that a 32-bit index can reach.
const REACH32_BYTES: u64 = 1 << 32;

/// An address, and the register that it keeps busy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) mem: Mem,
    pub(crate) holds: Option<Gpr>,
}

impl Gen<'_> {
    /// Type of a memory's indices.
    fn index_type(index64: bool) -> Ty {
        if index64 { Ty::I64 } else { Ty::I32 }
    }

    fn memory_type(&self, memory: u32) -> MemoryType {
        self.module.memories[MemoryIndex::from_u32(memory)]
    }

    /// A field of a memory's definition; uses r11 where the definition is elsewhere.
    fn memory_field(&mut self, memory: u32, ty: &MemoryType, field: u32) -> Mem {
        match self.module.layout.memory(MemoryIndex::from_u32(memory), ty) {
            Place::Inline(offset) => self.vmctx_field(offset + field),
            Place::Behind(offset) => {
                self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(offset));
                Mem::new(Gpr::R11, field.cast_signed())
            }
        }
    }

    /// Loads the base of memory 0 to the register that keeps it, if one does.
    pub(crate) fn load_membase(&mut self) {
        if let Some(base) = self.roles.membase {
            let ty = self.memory_type(0);
            let field = self.memory_field(0, &ty, MEMORY_BASE);
            self.asm.mov(Size::S64, base, field);
        }
    }

    /// The address of an access of `size` bytes, whose index is on the stack.
    pub(crate) fn address(&mut self, memarg: &MemArg, size: u32) -> Address {
        self.mark();
        let memory = match memarg.target {
            MemArgTarget::Memory(memory) => memory,
            MemArgTarget::Array(_) => {
                self.bug("a memory");
                0
            }
        };
        let ty = self.memory_type(memory);
        let index = self.pop();
        // How far the furthest byte may lie behind what an index reaches.
        let beyond_max = match self.job.tunables.memory_mode_of(&ty) {
            MemoryMode::Guard { guard_bytes } => guard_bytes,
            MemoryMode::Clamped => CLAMP_GUARD_BYTES,
            MemoryMode::Checked => 0,
        };
        if memarg.offset.saturating_add(u64::from(size)) > beyond_max {
            return self.checked_address(memory, &ty, index, memarg.offset, size);
        }
        let index = if ty.index64 { self.clamped(memory, &ty, index) } else { index };
        let base = match self.roles.membase {
            Some(base) if memory == 0 => base,
            _ => {
                let field = self.memory_field(memory, &ty, MEMORY_BASE);
                self.asm.mov(Size::S64, Gpr::R11, field);
                Gpr::R11
            }
        };
        self.guarded_address(base, index, memarg.offset)
    }

    /// The index, or the memory's reach if that is less and the index is not known to be, by a conditional move that speculation
    /// cannot bypass.
    fn clamped(&mut self, memory: u32, ty: &MemoryType, index: Value) -> Value {
        // The offset is small, and what is behind the room is inaccessible.
        if index.bits() <= CLAMP_ROOM_BYTES_MIN.ilog2() as u8 {
            return index;
        }
        if let Loc::Local(local) = index.loc
            && memory == 0
            && let Rm::Reg(reg) = self.local_gpr(local)
        {
            // In its place: where that changes the local, the access traps and nobody sees it.
            // So the next access by this local needs no clamp.
            if self.gpr_pins.clamp(reg) {
                self.clamp(memory, ty, reg);
            }
            return index;
        }
        let index = self.own_gpr(index);
        self.clamp(memory, ty, index);
        Value::new(Ty::I64, Loc::Gpr(index))
    }

    fn clamp(&mut self, memory: u32, ty: &MemoryType, reg: Gpr) {
        let reach = self.memory_field(memory, ty, MEMORY_REACH);
        self.asm.alu(Alu::Cmp, Size::S64, reg, reach);
        self.asm.cmov(Cc::A, Size::S64, reg, reach);
    }

    fn guarded_address(&mut self, base: Gpr, index: Value, offset: u64) -> Address {
        let low = if index.ty == Ty::I32 { u64::from(u32::MAX) } else { u64::MAX };
        if let Some(index) = index.constant()
            && let Ok(disp) = i32::try_from((index & low).saturating_add(offset))
        {
            return Address { mem: Mem::new(base, disp), holds: None };
        }
        if let Ok(disp) = i32::try_from(offset) {
            let index = self.use_gpr(index);
            return Address { mem: Mem::indexed(base, index, disp), holds: Some(index) };
        }
        let index = self.own_gpr(index);
        self.asm.alu(Alu::Add, Size::S64, index, base);
        self.asm.mov_imm(Gpr::R11, offset);
        Address { mem: Mem::indexed(index, Gpr::R11, 0), holds: Some(index) }
    }

    fn checked_address(
        &mut self,
        memory: u32,
        ty: &MemoryType,
        index: Value,
        offset: u64,
        size: u32,
    ) -> Address {
        let index = self.use_gpr(index);
        let address = self.alloc_gpr();
        let Some(end) = offset.checked_add(u64::from(size)) else {
            // No memory has 2^64 bytes.
            self.release_gpr(index);
            self.asm.zero(address);
            return Address { mem: Mem::new(address, 0), holds: Some(address) };
        };
        let base = self.memory_field(memory, ty, MEMORY_BASE);
        self.asm.mov(Size::S64, address, base);
        self.asm.alu(Alu::Add, Size::S64, address, index);
        match i32::try_from(offset) {
            Ok(0) => {}
            Ok(offset) => self.asm.alu_imm(Alu::Add, Size::S64, address, offset),
            Err(_) => {
                self.asm.mov_imm(Gpr::R11, offset);
                self.asm.alu(Alu::Add, Size::S64, address, Gpr::R11);
            }
        }
        self.compare_with_end(memory, ty, index, end);
        self.release_gpr(index);
        self.asm.mov_imm(Gpr::R11, 0);
        self.asm.cmov(Cc::A, Size::S64, address, Gpr::R11);
        Address { mem: Mem::new(address, 0), holds: Some(address) }
    }

    /// Sets the flags to "above" if `index + end` lies beyond the memory's length.
    fn compare_with_end(&mut self, memory: u32, ty: &MemoryType, index: Gpr, end: u64) {
        let length = self.memory_field(memory, ty, MEMORY_LENGTH);
        let bytes_min = ty.minimum.saturating_mul(ty.page_bytes());
        if let Ok(end) = i32::try_from(end)
            && end.cast_unsigned() as u64 <= bytes_min
        {
            // Memories only grow, so the difference cannot be negative.
            self.asm.mov(Size::S64, Gpr::R11, length);
            self.asm.alu_imm(Alu::Sub, Size::S64, Gpr::R11, end);
            return self.asm.alu(Alu::Cmp, Size::S64, index, Gpr::R11);
        }
        let sum = self.alloc_gpr();
        self.asm.mov_imm(sum, end);
        self.asm.alu(Alu::Add, Size::S64, sum, index);
        if ty.index64 || end > u64::MAX - REACH32_BYTES {
            self.trap_if(Cc::B, TrapCode::MemoryOutOfBounds);
        }
        self.asm.alu(Alu::Cmp, Size::S64, sum, length);
        self.release_gpr(sum);
    }

    /// The next instruction accesses memory.
    pub(crate) fn accesses_memory(&mut self) {
        self.asm.may_fault(FaultKind::Trap(TrapCode::MemoryOutOfBounds));
    }

    pub(crate) fn release_address(&mut self, address: Address) {
        if let Some(reg) = address.holds {
            self.release_gpr(reg);
        }
    }

    /// Position after the current operator, which has a memory argument only; none if the
    /// argument names a memory, which compilers of C and the like do not emit.
    fn after_memarg(&self) -> Option<usize> {
        let memarg = self.after_opcode();
        if self.body.get(memarg)? & 0x40 != 0 {
            return None;
        }
        let offset = self.skip_leb(memarg)?;
        self.skip_leb(offset)
    }

    /// Position after the number at this position.
    pub(crate) fn skip_leb(&self, at: usize) -> Option<usize> {
        let rest = self.body.get(at..)?;
        Some(at + rest.iter().position(|&byte| byte < 0x80)? + 1)
    }

    /// A load to a general register, by the instruction that the function emits.
    pub(crate) fn load_int(
        &mut self,
        memarg: &MemArg,
        size: u32,
        ty: Ty,
        emit: impl FnOnce(&mut crate::x86_64::Asm, Gpr, Mem),
    ) {
        let address = self.address(memarg, size);
        let foreseen = self.after_memarg().and_then(|next| self.foreseen_gpr(next));
        let dst = match (foreseen, address.holds) {
            (Some(pin), _) => {
                self.release_address(address);
                pin
            }
            (None, Some(reg)) if self.is_temp_gpr(reg) => reg,
            _ => self.alloc_gpr(),
        };
        self.accesses_memory();
        emit(&mut self.asm, dst, address.mem);
        self.push_gpr(ty, dst);
    }

    /// A load to a vector register.
    pub(crate) fn load_float(&mut self, memarg: &MemArg, ty: Ty, op: crate::x86_64::insts::Op) {
        let address = self.address(memarg, if ty == Ty::F32 { 4 } else { 8 });
        let foreseen = self.after_memarg().and_then(|next| self.foreseen_xmm(next));
        let dst = foreseen.unwrap_or_else(|| self.alloc_xmm());
        self.accesses_memory();
        self.asm.xx(op, dst, address.mem);
        self.release_address(address);
        self.push_xmm(ty, dst);
    }

    /// A store of an integer's low bytes.
    pub(crate) fn store_int(&mut self, memarg: &MemArg, size: u32) {
        let value = self.pop();
        if let Some(imm) = value.imm32() {
            let address = self.address(memarg, size);
            self.accesses_memory();
            match size {
                1 => self.asm.store8_imm(address.mem, imm as u8),
                2 => self.asm.store16_imm(address.mem, imm as u16),
                4 => self.asm.store_imm(Size::S32, address.mem, imm),
                _ => self.asm.store_imm(Size::S64, address.mem, imm),
            }
            return self.release_address(address);
        }
        let value = self.narrow_constant(value, size);
        let reg = self.use_gpr(value);
        let address = self.address(memarg, size);
        self.accesses_memory();
        match size {
            1 => self.asm.store8(address.mem, reg),
            2 => self.asm.store16(address.mem, reg),
            4 => self.asm.store(Size::S32, address.mem, reg),
            _ => self.asm.store(Size::S64, address.mem, reg),
        }
        self.release_address(address);
        self.release_gpr(reg);
    }

    /// A wide constant of which a narrow store needs the low bytes only.
    fn narrow_constant(&self, value: Value, size: u32) -> Value {
        match value.constant() {
            Some(bits) if size < 8 => Value::new(Ty::I32, Loc::Const(bits & 0xffff_ffff)),
            _ => value,
        }
    }

    /// A store of a float.
    pub(crate) fn store_float(&mut self, memarg: &MemArg, ty: Ty) {
        let value = self.pop();
        if let Some(bits) = value.constant() {
            let int = if ty == Ty::F32 { Ty::I32 } else { Ty::I64 };
            self.push(Value::new(int, Loc::Const(bits)));
            return self.store_int(memarg, if ty == Ty::F32 { 4 } else { 8 });
        }
        let reg = self.use_xmm(value);
        let address = self.address(memarg, if ty == Ty::F32 { 4 } else { 8 });
        self.accesses_memory();
        self.asm.xx(crate::state::store_op(ty), reg, address.mem);
        self.release_address(address);
        self.release_xmm(reg);
    }

    /// `memory.size`.
    pub(crate) fn memory_size(&mut self, memory: u32) {
        let ty = self.memory_type(memory);
        let reg = self.alloc_gpr();
        let length = self.memory_field(memory, &ty, MEMORY_LENGTH);
        self.asm.mov(Size::S64, reg, length);
        if ty.page_size_log2 > 0 {
            self.asm.shift_imm(crate::x86_64::Shift::Shr, Size::S64, reg, ty.page_size_log2);
        }
        if !ty.index64 {
            self.asm.mov(Size::S32, reg, reg);
        }
        self.push_gpr(Self::index_type(ty.index64), reg);
    }

    /// `memory.grow`.
    pub(crate) fn memory_grow(&mut self, memory: u32) {
        let ty = self.memory_type(memory);
        let delta = self.pop();
        self.libcall(Libcall::memory_grow, &[Arg::Index(memory), Arg::Value(delta)]);
        self.push_libcall_result(Self::index_type(ty.index64));
    }

    /// `memory.fill`.
    pub(crate) fn memory_fill(&mut self, memory: u32) {
        let (dst, value, len) = self.pop3();
        let args = [Arg::Index(memory), Arg::Value(dst), Arg::Value(value), Arg::Value(len)];
        self.libcall(Libcall::memory_fill, &args);
    }

    /// `memory.copy`, `table.copy`.
    pub(crate) fn copy(&mut self, libcall: Libcall, dst_index: u32, src_index: u32) {
        let (dst, src, len) = self.pop3();
        let (dst, src, len) = (Arg::Value(dst), Arg::Value(src), Arg::Value(len));
        self.libcall(libcall, &[Arg::Index(dst_index), Arg::Index(src_index), dst, src, len]);
    }

    /// `memory.init`, `table.init`.
    pub(crate) fn init(&mut self, libcall: Libcall, index: u32, segment: u32) {
        let (dst, src, len) = self.pop3();
        let (dst, src, len) = (Arg::Value(dst), Arg::Value(src), Arg::Value(len));
        self.libcall(libcall, &[Arg::Index(index), Arg::Index(segment), dst, src, len]);
    }

    /// `data.drop`, `elem.drop`.
    pub(crate) fn drop_segment(&mut self, libcall: Libcall, segment: u32) {
        self.libcall(libcall, &[Arg::Index(segment)]);
    }

    /// Pops three values; the first is the one pushed first.
    pub(crate) fn pop3(&mut self) -> (Value, Value, Value) {
        let third = self.pop();
        let second = self.pop();
        (self.pop(), second, third)
    }
}
