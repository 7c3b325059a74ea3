//! Calls of the runtime through the libcall table, and the operators that are such calls.

use super::Translator;
use crate::error::Result;
use crate::signature::libcall_signature;
use cranelift_codegen::ir::{Inst, InstBuilder as _, SigRef, Value, types};
use wasmoor_abi::vmctx::VMCTX_LIBCALLS;
use wasmoor_abi::{DataIndex, ElemIndex, FuncIndex, Libcall, MemoryIndex, TableIndex};

impl Translator<'_> {
    /// Calls an entry of the table; the vmctx is added in front.
    fn libcall(&mut self, libcall: Libcall, args: &[Value]) -> Inst {
        let signature = self.libcall_signature(libcall);
        let table = self.vmctx_constant(VMCTX_LIBCALLS);
        let code = self.constant(table, libcall.table_offset(), types::I64);
        let mut all = std::mem::take(&mut self.values);
        all.clear();
        all.push(self.vmctx());
        all.extend_from_slice(args);
        let call = self.builder.ins().call_indirect(signature, code, &all);
        self.values = all;
        call
    }

    /// Calls an entry that returns something.
    pub(crate) fn libcall_with_result(&mut self, libcall: Libcall, args: &[Value]) -> Value {
        debug_assert!(libcall.result().is_some());
        let call = self.libcall(libcall, args);
        self.builder.inst_results(call)[0]
    }

    fn libcall_signature(&mut self, libcall: Libcall) -> SigRef {
        if let Some(&signature) = self.calls.libcalls.get(&libcall) {
            return signature;
        }
        let signature = libcall_signature(libcall, self.c_convention());
        let signature = self.builder.import_signature(signature);
        self.calls.libcalls.insert(libcall, signature);
        signature
    }

    /// `memory.size`.
    pub(crate) fn memory_size(&mut self, memory: MemoryIndex) -> Result {
        let ty = self.memory_type(memory)?;
        let length = if ty.shared {
            // As current as what else this thread has seen of the others.
            let definition = self.memory_definition(memory, &ty);
            self.shared_length(memory, definition)
        } else {
            self.memory_length(memory, &ty)
        };
        let pages = self.builder.ins().ushr_imm_u(length, i64::from(ty.page_size_log2));
        let pages = self.narrow(pages, ty.index64);
        self.push(pages);
        Ok(())
    }

    /// `memory.grow`.
    pub(crate) fn memory_grow(&mut self, memory: MemoryIndex) -> Result {
        let ty = self.memory_type(memory)?;
        let delta = self.pop()?;
        let delta = self.widen(delta);
        let number = self.iconst32(memory.as_u32());
        let before = self.libcall_with_result(Libcall::memory_grow, &[number, delta]);
        let before = self.narrow(before, ty.index64);
        self.push(before);
        Ok(())
    }

    /// `memory.fill`.
    pub(crate) fn memory_fill(&mut self, memory: MemoryIndex) -> Result {
        let (dst, value, len) = self.pop3()?;
        let (dst, len) = (self.widen(dst), self.widen(len));
        if self.memory_type(memory)?.shared {
            let number = self.iconst32(memory.as_u32());
            self.libcall(Libcall::memory_fill, &[number, dst, value, len]);
            return Ok(());
        }
        let dst = self.bulk_address(memory, dst, len)?;
        self.libcall(Libcall::fill_bytes, &[dst, value, len]);
        Ok(())
    }

    /// `memory.copy`.
    pub(crate) fn memory_copy(&mut self, dst: MemoryIndex, src: MemoryIndex) -> Result {
        let (dst_memory, src_memory) = (dst, src);
        let (dst, src, len) = self.pop3()?;
        let (dst, src, len) = (self.widen(dst), self.widen(src), self.widen(len));
        if self.memory_type(dst_memory)?.shared || self.memory_type(src_memory)?.shared {
            let numbers = [dst_memory, src_memory].map(|memory| self.iconst32(memory.as_u32()));
            let args = [numbers[0], numbers[1], dst, src, len];
            self.libcall(Libcall::memory_copy, &args);
            return Ok(());
        }
        let dst = self.bulk_address(dst_memory, dst, len)?;
        let src = self.bulk_address(src_memory, src, len)?;
        self.libcall(Libcall::copy_bytes, &[dst, src, len]);
        Ok(())
    }

    /// `table.copy`.
    pub(crate) fn table_copy(&mut self, dst: TableIndex, src: TableIndex) -> Result {
        let (dst_number, src_number) = (dst.as_u32(), src.as_u32());
        let (dst, src, len) = self.pop3()?;
        let (dst, src, len) = (self.widen(dst), self.widen(src), self.widen(len));
        let (dst_number, src_number) = (self.iconst32(dst_number), self.iconst32(src_number));
        self.libcall(Libcall::table_copy, &[dst_number, src_number, dst, src, len]);
        Ok(())
    }

    /// `memory.init`.
    pub(crate) fn memory_init(&mut self, memory: MemoryIndex, data: DataIndex) -> Result {
        self.init(Libcall::memory_init, memory.as_u32(), data.as_u32())
    }

    /// `table.init`.
    pub(crate) fn table_init(&mut self, table: TableIndex, elem: ElemIndex) -> Result {
        self.init(Libcall::table_init, table.as_u32(), elem.as_u32())
    }

    fn init(&mut self, libcall: Libcall, number: u32, segment: u32) -> Result {
        let (dst, src, len) = self.pop3()?;
        let dst = self.widen(dst);
        let (number, segment) = (self.iconst32(number), self.iconst32(segment));
        self.libcall(libcall, &[number, segment, dst, src, len]);
        Ok(())
    }

    /// `data.drop`.
    pub(crate) fn data_drop(&mut self, data: DataIndex) {
        let segment = self.iconst32(data.as_u32());
        self.libcall(Libcall::data_drop, &[segment]);
    }

    /// `elem.drop`.
    pub(crate) fn elem_drop(&mut self, elem: ElemIndex) {
        let segment = self.iconst32(elem.as_u32());
        self.libcall(Libcall::elem_drop, &[segment]);
    }

    /// `table.grow`.
    pub(crate) fn table_grow(&mut self, table: TableIndex) -> Result {
        let ty = self.table_type(table)?;
        let (init, delta) = self.pop2()?;
        let delta = self.widen(delta);
        let number = self.iconst32(table.as_u32());
        let before = self.libcall_with_result(Libcall::table_grow, &[number, init, delta]);
        let before = self.narrow(before, ty.index64);
        self.push(before);
        Ok(())
    }

    /// `table.fill`.
    pub(crate) fn table_fill(&mut self, table: TableIndex) -> Result {
        let (dst, value, len) = self.pop3()?;
        let (dst, len) = (self.widen(dst), self.widen(len));
        let number = self.iconst32(table.as_u32());
        self.libcall(Libcall::table_fill, &[number, dst, value, len]);
        Ok(())
    }

    /// `ref.func`.
    pub(crate) fn ref_func(&mut self, func: FuncIndex) {
        let number = self.iconst32(func.as_u32());
        let value = self.libcall_with_result(Libcall::ref_func, &[number]);
        self.push(value);
    }
}
