//! Tables: elements, their bounds, and function tables that are filled on first use.
//!
//! A cell's address is `base + 8 * index`, or 0 if the index is out of bounds: the access faults
//! there, and speculation cannot go past it. Cells of function tables hold 0 until their
//! segment's element is first asked for, and 1 for null (see `wasmoor_abi::vmctx`), so that one
//! comparison tells both from a function reference.

use crate::call::Arg;
use crate::cold::LazyCell;
use crate::function::Gen;
use crate::state::Ty;
use crate::x86_64::{Alu, Cc, Gpr, Mem, Size};
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::vmctx::{
    DISPLAY_COUNT, DISPLAY_TYPES, FUNCREF_CELL_NULL, FUNCREF_DISPLAY, FUNCREF_TYPE, Place,
    TABLE_BASE, TABLE_LENGTH, TYPE_ID_BYTES, VMCTX_TYPE_IDS,
};
use wasmoor_abi::{Libcall, TableIndex, TableType, TrapCode, TypeIndex};

/// Logarithm of the size of an element.
const ELEMENT_LOG2: u8 = 3;

/// Whether the table can never change its size, and so never moves.
fn is_fixed(ty: &TableType) -> bool {
    ty.maximum == Some(ty.minimum)
}

impl Gen<'_> {
    fn table_type(&self, table: u32) -> TableType {
        self.module.tables[TableIndex::from_u32(table)]
    }

    fn size_type(ty: &TableType) -> Ty {
        if ty.index64 { Ty::I64 } else { Ty::I32 }
    }

    /// A field of a table's definition; uses r11 for imported tables.
    fn table_field(&mut self, table: u32, field: u32) -> Mem {
        match self.module.layout.table(TableIndex::from_u32(table)) {
            Place::Inline(offset) => self.vmctx_field(offset + field),
            Place::Behind(offset) => {
                self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(offset));
                Mem::new(Gpr::R11, field.cast_signed())
            }
        }
    }

    /// Puts the address of a cell into `dst`, or 0; the access that follows traps then.
    fn cell_address(&mut self, dst: Gpr, table: u32, ty: &TableType, index: Gpr) {
        let base = self.table_field(table, TABLE_BASE);
        self.asm.mov(Size::S64, dst, base);
        self.asm.lea(Size::S64, dst, Mem::scaled(dst, index, ELEMENT_LOG2));
        match i32::try_from(ty.minimum) {
            Ok(length) if is_fixed(ty) => {
                self.asm.alu_imm(Alu::Cmp, Size::S64, index, length);
            }
            _ => {
                let length = self.table_field(table, TABLE_LENGTH);
                self.asm.alu(Alu::Cmp, Size::S64, index, length);
            }
        }
        self.asm.mov_imm(Gpr::R11, 0);
        self.asm.cmov(Cc::AE, Size::S64, dst, Gpr::R11);
    }

    fn accesses_table(&mut self, code: TrapCode) {
        self.asm.may_fault(FaultKind::Trap(code));
    }

    /// The function reference at the index on the stack, in rax, which then belongs to the
    /// caller.
    fn load_funcref(
        &mut self,
        table: u32,
        ty: &TableType,
        out_of_bounds: TrapCode,
        null: Option<TrapCode>,
    ) {
        self.mark();
        let index = self.pop();
        let mut index = self.use_gpr(index);
        if index == Gpr::RAX {
            let other = self.alloc_gpr();
            self.asm.mov(Size::S64, other, index);
            self.release_gpr(index);
            index = other;
        }
        self.take_gpr(Gpr::RAX);
        self.cell_address(Gpr::RAX, table, ty, index);
        self.accesses_table(out_of_bounds);
        self.asm.mov(Size::S64, Gpr::RAX, Mem::new(Gpr::RAX, 0));
        self.asm.alu_imm(Alu::Cmp, Size::S64, Gpr::RAX, FUNCREF_CELL_NULL as i32);
        let next = self.asm.new_label();
        let live_gprs = self.live_gprs();
        let live_xmms =
            self.xmms.temps & !self.xmms.free | self.xmm_pins.volatile & !self.xmm_pins.stale;
        let cell = LazyCell { table, index, null, next, live_gprs, live_xmms };
        let cold = self.cold_lazy_cell(cell);
        self.asm.jcc(Cc::BE, cold);
        self.asm.bind(next);
        self.release_gpr(index);
    }

    /// Registers that a call of the runtime would destroy and that are still needed.
    fn live_gprs(&self) -> u16 {
        let mut live = self.gprs.temps & !self.gprs.free;
        live |= self.gpr_pins.volatile & !self.gpr_pins.stale;
        if self.leaf {
            live |= self.roles.vmctx.bit() | self.roles.membase.map_or(0, Gpr::bit);
        }
        live
    }

    /// Looks up the callee of an indirect call, with all its checks, in rax.
    pub(crate) fn load_callee(&mut self, ty: u32, table: u32) {
        let table_type = self.table_type(table);
        let null = Some(TrapCode::UninitializedElement);
        self.load_funcref(table, &table_type, TrapCode::UndefinedElement, null);
        let ty = TypeIndex::from_u32(ty);
        if !self.module.is_declared_as(table_type.element.heap, ty) {
            self.check_type(ty);
        }
        // The call gives up everything that it does not pass on.
        self.release_gpr(Gpr::RAX);
        self.gprs.free &= !Gpr::RAX.bit();
    }

    /// Traps unless the function reference in rax is of a type, or of a subtype of it.
    fn check_type(&mut self, ty: TypeIndex) {
        let trap = TrapCode::IndirectCallTypeMismatch;
        let found = if self.module.types[ty].is_final {
            Mem::new(Gpr::RAX, FUNCREF_TYPE.cast_signed())
        } else {
            // At most 63 supertypes.
            let depth = self.module.supertype_count(ty);
            let display = self.alloc_gpr();
            self.asm.mov(Size::S64, display, Mem::new(Gpr::RAX, FUNCREF_DISPLAY.cast_signed()));
            let count = Mem::new(display, DISPLAY_COUNT.cast_signed());
            self.asm.alu_imm(Alu::Cmp, Size::S32, count, depth.cast_signed());
            self.trap_if(Cc::BE, trap);
            self.release_gpr(display);
            Mem::new(display, (DISPLAY_TYPES + depth * TYPE_ID_BYTES).cast_signed())
        };
        self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(VMCTX_TYPE_IDS));
        // At most a million types.
        let expected = Mem::new(Gpr::R11, (ty.as_u32() * TYPE_ID_BYTES).cast_signed());
        self.asm.mov(Size::S32, Gpr::R11, expected);
        self.asm.cmp_mem(Size::S32, found, Gpr::R11);
        self.trap_if(Cc::NE, trap);
    }

    /// `table.get`.
    pub(crate) fn table_get(&mut self, table: u32) {
        let ty = self.table_type(table);
        if ty.element.is_func() {
            self.load_funcref(table, &ty, TrapCode::TableOutOfBounds, None);
            return self.push_gpr(Ty::I64, Gpr::RAX);
        }
        self.mark();
        let index = self.pop();
        let index = self.use_gpr(index);
        let cell = self.alloc_gpr();
        self.cell_address(cell, table, &ty, index);
        self.release_gpr(index);
        self.accesses_table(TrapCode::TableOutOfBounds);
        self.asm.mov(Size::S64, cell, Mem::new(cell, 0));
        self.push_gpr(Ty::I64, cell);
    }

    /// `table.set`.
    pub(crate) fn table_set(&mut self, table: u32) {
        self.mark();
        let ty = self.table_type(table);
        let value = self.pop();
        let index = self.pop();
        let value = self.own_gpr(value);
        let index = self.use_gpr(index);
        let cell = self.alloc_gpr();
        if ty.element.is_func() {
            self.asm.mov_imm(Gpr::R11, FUNCREF_CELL_NULL);
            self.asm.test(Size::S64, value, value);
            self.asm.cmov(Cc::E, Size::S64, value, Gpr::R11);
        }
        self.cell_address(cell, table, &ty, index);
        self.accesses_table(TrapCode::TableOutOfBounds);
        self.asm.store(Size::S64, Mem::new(cell, 0), value);
        self.release_gpr(cell);
        self.release_gpr(index);
        self.release_gpr(value);
    }

    /// `table.size`.
    pub(crate) fn table_size(&mut self, table: u32) {
        let ty = self.table_type(table);
        let reg = self.alloc_gpr();
        let length = self.table_field(table, TABLE_LENGTH);
        self.asm.mov(Self::size_type(&ty).size(), reg, length);
        self.push_gpr(Self::size_type(&ty), reg);
    }

    /// `table.grow`.
    pub(crate) fn table_grow(&mut self, table: u32) {
        let ty = self.table_type(table);
        let delta = self.pop();
        let init = self.pop();
        let args = [Arg::Index(table), Arg::Value(init), Arg::Value(delta)];
        self.libcall(Libcall::table_grow, &args);
        self.push_libcall_result(Self::size_type(&ty));
    }

    /// `table.fill`.
    pub(crate) fn table_fill(&mut self, table: u32) {
        let (dst, value, len) = self.pop3();
        let args = [Arg::Index(table), Arg::Value(dst), Arg::Value(value), Arg::Value(len)];
        self.libcall(Libcall::table_fill, &args);
    }

    /// `ref.func`.
    pub(crate) fn ref_func(&mut self, func: u32) {
        self.libcall(Libcall::ref_func, &[Arg::Index(func)]);
        self.push_libcall_result(Ty::I64);
    }
}
