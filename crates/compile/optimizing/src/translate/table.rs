//! Tables: elements, their bounds, and function tables that are filled on first use.
//!
//! A cell's address is `base + 8 * index`, or 0 if the index is out of bounds: as with checked
//! memory accesses the access faults there, and speculation cannot go past it. Cells of function
//! tables hold 0 until their segment's element is first asked for, and 1 for null (see
//! `wasmoor_abi::vmctx`), so that one comparison tells both from a function reference.

use super::Translator;
use super::environment::Region;
use crate::error::{Result, validated};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder as _, MemFlagsData, Value, types};
use wasmoor_abi::vmctx::{
    FUNCREF_CELL_LAZY, FUNCREF_CELL_NULL, Place, TABLE_BASE, TABLE_ELEMENT_BYTES, TABLE_LENGTH,
};
use wasmoor_abi::{Libcall, TableIndex, TableType, TrapCode};

/// Address and access flags of a table's cell.
#[derive(Clone, Copy)]
struct Cell {
    address: Value,
    flags: MemFlagsData,
}

/// What to do with a null element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnNull {
    /// It is the value 0.
    Value,
    /// The guest traps.
    Trap(TrapCode),
}

impl Translator<'_> {
    /// The type of a table.
    pub(crate) fn table_type(&self, table: TableIndex) -> Result<TableType> {
        validated(self.module.tables.get(table).copied(), "a table")
    }

    /// `table.get`.
    pub(crate) fn table_get(&mut self, table: TableIndex) -> Result {
        let ty = self.table_type(table)?;
        let index = self.pop()?;
        let index = self.widen(index);
        let value = if ty.element.is_func() {
            self.funcref_at(table, &ty, index, TrapCode::TableOutOfBounds, OnNull::Value)
        } else {
            let cell = self.table_cell(table, &ty, index, TrapCode::TableOutOfBounds);
            self.builder.ins().load(types::I64, cell.flags, cell.address, 0)
        };
        self.push(value);
        Ok(())
    }

    /// `table.set`.
    pub(crate) fn table_set(&mut self, table: TableIndex) -> Result {
        let ty = self.table_type(table)?;
        let (index, mut value) = self.pop2()?;
        let index = self.widen(index);
        if ty.element.is_func() {
            let null = self.iconst64(FUNCREF_CELL_NULL);
            let is_null = self.builder.ins().icmp_imm_u(IntCC::Equal, value, 0);
            value = self.builder.ins().select(is_null, null, value);
        }
        let cell = self.table_cell(table, &ty, index, TrapCode::TableOutOfBounds);
        self.builder.ins().store(cell.flags, value, cell.address, 0);
        Ok(())
    }

    /// `table.size`.
    pub(crate) fn table_size(&mut self, table: TableIndex) -> Result {
        let ty = self.table_type(table)?;
        let length = self.table_length(table, &ty);
        let size = self.narrow(length, ty.index64);
        self.push(size);
        Ok(())
    }

    /// The function reference at a 64-bit index of a function table.
    pub(super) fn funcref_at(
        &mut self,
        table: TableIndex,
        ty: &TableType,
        index: Value,
        out_of_bounds: TrapCode,
        on_null: OnNull,
    ) -> Value {
        let cell = self.table_cell(table, ty, index, out_of_bounds);
        let content = self.builder.ins().load(types::I64, cell.flags, cell.address, 0);
        let filled = self.builder.ins().icmp_imm_u(
            IntCC::UnsignedGreaterThan,
            content,
            FUNCREF_CELL_NULL.cast_signed(),
        );
        let unlikely = self.unless(filled, content);
        let is_lazy =
            self.builder.ins().icmp_imm_u(IntCC::Equal, content, FUNCREF_CELL_LAZY.cast_signed());
        let value = match on_null {
            OnNull::Value => {
                let null = self.iconst64(0);
                let lazy = self.builder.create_block();
                self.builder.set_cold_block(lazy);
                let to_next = [null.into()];
                self.builder.ins().brif(is_lazy, lazy, &[], unlikely.next, &to_next);
                self.builder.switch_to_block(lazy);
                self.builder.seal_block(lazy);
                self.fill_cell(table, index)
            }
            OnNull::Trap(code) => {
                self.builder.ins().trapz(is_lazy, super::environment::trap_code(code));
                let value = self.fill_cell(table, index);
                self.builder.ins().trapz(value, super::environment::trap_code(code));
                value
            }
        };
        self.rejoin(unlikely, value)
    }

    /// Asks the runtime for an element that was not yet filled in.
    fn fill_cell(&mut self, table: TableIndex, index: Value) -> Value {
        let number = self.iconst32(table.as_u32());
        self.libcall_with_result(Libcall::table_get_lazy, &[number, index])
    }

    fn table_cell(
        &mut self,
        table: TableIndex,
        ty: &TableType,
        index: Value,
        trap: TrapCode,
    ) -> Cell {
        let length = self.table_length(table, ty);
        let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, length);
        let base = self.table_field(table, ty, TABLE_BASE);
        let offset =
            self.builder.ins().ishl_imm_u(index, i64::from(TABLE_ELEMENT_BYTES.trailing_zeros()));
        let address = self.builder.ins().iadd(base, offset);
        let zero = self.iconst64(0);
        let address = self.builder.ins().select_spectre_guard(outside, zero, address);
        let flags = self.trapping_flags(Region::Table(table), trap).with_aligned();
        Cell { address, flags }
    }

    /// The table's length in elements: a constant if it cannot grow.
    fn table_length(&mut self, table: TableIndex, ty: &TableType) -> Value {
        if is_fixed(ty) {
            return self.iconst64(ty.minimum);
        }
        self.table_field(table, ty, TABLE_LENGTH)
    }

    fn table_field(&mut self, table: TableIndex, ty: &TableType, field: u32) -> Value {
        let (pointer, offset) = match self.module.layout.table(table) {
            Place::Inline(offset) => (self.vmctx(), offset + field),
            Place::Behind(offset) => (self.vmctx_constant(offset), field),
        };
        if is_fixed(ty) {
            return self.constant(pointer, offset, types::I64);
        }
        let flags = self.flags(Region::TableDefinition(table));
        self.builder.ins().load(types::I64, flags, pointer, offset.cast_signed())
    }
}

/// Whether the table can never change its size, and so never moves.
fn is_fixed(ty: &TableType) -> bool {
    ty.maximum == Some(ty.minimum)
}
