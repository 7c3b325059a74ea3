//! What surrounds a function: its vmctx, and the alias regions of what it reaches.
//!
//! *Constants of the vmctx* are loaded once, at the start of the entry block, as
//! `readonly can_move` loads: the optimizer places each where it is used, so that a function
//! pays for none that it does not reach.
//!
//! *Alias regions* tell the optimizer which accesses cannot meet. Its bookkeeping grows with
//! blocks times regions, so only the first few memories, tables and globals of a module get
//! regions of their own; the others of each kind share one.

use super::Translator;
use cranelift_codegen::cursor::{Cursor as _, FuncCursor};
use cranelift_codegen::ir::{
    self, AliasRegion, AliasRegionData, Block, Endianness, GlobalValue, GlobalValueData,
    InstBuilder as _, MemFlagsData, TrapCode as BackendTrap, Value, types,
};
use std::collections::HashMap;
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::{GlobalIndex, MemoryIndex, TableIndex, TrapCode, vmctx};

/// Memories and tables with regions of their own; the last of the range is shared by the rest.
const REGIONS_PER_KIND: u32 = 8;
/// Globals with regions of their own; the last of the range is shared by the rest.
const GLOBAL_REGIONS: u32 = 24;

/// Something that only accesses of its own kind can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// The poll page.
    Poll,
    /// The store context's fuel.
    Fuel,
    /// Other fields of the store context.
    Store,
    /// Function references and code slots.
    Funcref,
    /// Return areas.
    Area,
    /// Constant fields of the vmctx.
    Vmctx,
    /// Exceptions, and what the frame keeps for the runtime.
    Exception,
    /// Definition (base and length) of a memory.
    MemoryDefinition(MemoryIndex),
    /// Content of a memory.
    Memory(MemoryIndex),
    /// Definition (base and length) of a table.
    TableDefinition(TableIndex),
    /// Elements of a table.
    Table(TableIndex),
    /// A global's cell.
    Global(GlobalIndex),
}

impl Region {
    /// Number within the function, below 64.
    fn number(self) -> u32 {
        let shared = |index: u32| index.min(REGIONS_PER_KIND - 1);
        match self {
            Region::Poll => 0,
            Region::Fuel => 1,
            Region::Store => 2,
            Region::Funcref => 3,
            Region::Area => 4,
            Region::Vmctx => 5,
            Region::Exception => 6,
            Region::MemoryDefinition(index) => 8 + shared(index.as_u32()),
            Region::Memory(index) => 16 + shared(index.as_u32()),
            Region::TableDefinition(index) => 24 + shared(index.as_u32()),
            Region::Table(index) => 32 + shared(index.as_u32()),
            Region::Global(index) => 40 + index.as_u32().min(GLOBAL_REGIONS - 1),
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Region::Poll => "poll page",
            Region::Fuel => "fuel",
            Region::Store => "store context",
            Region::Funcref => "function references",
            Region::Area => "return area",
            Region::Vmctx => "vmctx",
            Region::Exception => "exceptions",
            Region::MemoryDefinition(_) => "memory definition",
            Region::Memory(_) => "memory",
            Region::TableDefinition(_) => "table definition",
            Region::Table(_) => "table",
            Region::Global(_) => "global",
        }
    }
}

/// The backend's number of one of our traps.
pub(crate) const fn trap_code(code: TrapCode) -> BackendTrap {
    BackendTrap::unwrap_user(FaultKind::Trap(code).number())
}

/// Entry block, and what was loaded in it.
pub(super) struct Environment {
    entry: Option<Block>,
    vmctx: Value,
    area: Option<Value>,
    /// Loads of constants, by base and offset.
    constants: HashMap<(Value, u32), Value>,
    /// The last instruction at the start of the entry block that we put there.
    last_constant: Option<ir::Inst>,
}

impl Environment {
    pub(super) fn new() -> Self {
        Environment {
            entry: None,
            vmctx: Value::from_u32(0),
            area: None,
            constants: HashMap::new(),
            last_constant: None,
        }
    }

    /// Takes note of the entry block, whose parameters are those of the function.
    pub(super) fn enter(&mut self, func: &ir::Function, entry: Block, has_area: bool) {
        self.entry = Some(entry);
        self.vmctx = self.param(func, 0);
        self.area = has_area.then(|| self.param(func, 1));
    }

    /// A parameter of the machine function.
    #[allow(clippy::expect_used, reason = "`enter` comes first; a panic here is a compile error")]
    pub(super) fn param(&self, func: &ir::Function, number: usize) -> Value {
        let entry = self.entry.expect("the entry block exists before its parameters are used");
        func.dfg.block_params(entry)[number]
    }

    /// The stack limit, as the prologue finds it.
    pub(super) fn stack_limit(&self, func: &mut ir::Function) -> GlobalValue {
        let flags = func.dfg.mem_flags.insert_unchecked(MemFlagsData::trusted().with_readonly());
        let vmctx = func.create_global_value(GlobalValueData::VMContext);
        let load = |func: &mut ir::Function, base, offset: u32| {
            func.create_global_value(GlobalValueData::Load {
                base,
                offset: offset.cast_signed().into(),
                global_type: types::I64,
                flags,
            })
        };
        let store = load(func, vmctx, vmctx::VMCTX_STORE);
        load(func, store, vmctx::STORE_STACK_LIMIT)
    }

    /// A cursor behind the constants at the start of the entry block.
    #[allow(clippy::expect_used, reason = "`enter` comes first; a panic here is a compile error")]
    pub(super) fn cursor<'f>(&self, func: &'f mut ir::Function) -> FuncCursor<'f> {
        let entry = self.entry.expect("the entry block exists before anything is put there");
        let cursor = FuncCursor::new(func);
        match self.last_constant {
            Some(inst) => cursor.after_inst(inst),
            None => cursor.at_first_insertion_point(entry),
        }
    }
}

impl Translator<'_> {
    /// The function's vmctx.
    pub(crate) fn vmctx(&self) -> Value {
        self.env.vmctx
    }

    /// Address of the caller's return area, if results go there.
    pub(crate) fn area(&self) -> Option<Value> {
        self.env.area
    }

    /// A constant pointer in the vmctx.
    pub(crate) fn vmctx_constant(&mut self, offset: u32) -> Value {
        self.constant(self.env.vmctx, offset, types::I64)
    }

    /// The store context's address.
    pub(crate) fn store_context(&mut self) -> Value {
        self.vmctx_constant(vmctx::VMCTX_STORE)
    }

    /// A field that never changes, at an address that is one.
    pub(crate) fn constant(&mut self, base: Value, offset: u32, ty: ir::Type) -> Value {
        if let Some(&value) = self.env.constants.get(&(base, offset)) {
            return value;
        }
        let flags = self.flags(Region::Vmctx).with_readonly().with_can_move();
        let mut cursor = self.env.cursor(self.builder.func);
        let value = cursor.ins().load(ty, flags, base, offset.cast_signed());
        self.env.last_constant = self.builder.func.dfg.value_def(value).inst();
        self.env.constants.insert((base, offset), value);
        value
    }

    /// Flags of an aligned access that cannot fault.
    pub(crate) fn flags(&mut self, region: Region) -> MemFlagsData {
        MemFlagsData::trusted().with_alias_region(Some(self.region(region)))
    }

    /// Flags of an unaligned little-endian access that traps where memory is not accessible.
    pub(crate) fn trapping_flags(&mut self, region: Region, trap: TrapCode) -> MemFlagsData {
        MemFlagsData::new()
            .with_endianness(Endianness::Little)
            .with_trap_code(Some(trap_code(trap)))
            .with_alias_region(Some(self.region(region)))
    }

    /// The backend's number of a region.
    pub(crate) fn region(&mut self, region: Region) -> AliasRegion {
        self.builder.func.dfg.alias_regions.insert(AliasRegionData {
            user_id: region.number(),
            description: region.description().into(),
        })
    }

    /// Traps always; what follows cannot be reached.
    pub(crate) fn trap(&mut self, code: TrapCode) {
        // A block with nothing but a trap would become a conditional trap in place of the branch
        // to it, and have the branch's place in the module rather than its own.
        self.builder.ins().sequence_point();
        let block = self.builder.current_block();
        if let Some(block) = block.filter(|_| block != self.builder.func.layout.entry_block()) {
            self.builder.set_cold_block(block);
        }
        self.builder.ins().trap(trap_code(code));
        self.end_reachable();
    }

    /// Traps if the condition holds.
    pub(crate) fn trap_if(&mut self, condition: Value, code: TrapCode) {
        self.builder.ins().trapnz(condition, trap_code(code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_regions_do_not_meet() {
        let last = u32::MAX - 1;
        let numbers: std::collections::HashSet<u32> = [
            Region::Poll,
            Region::Fuel,
            Region::Store,
            Region::Funcref,
            Region::Area,
            Region::Vmctx,
            Region::Exception,
            Region::MemoryDefinition(MemoryIndex::from_u32(last)),
            Region::Memory(MemoryIndex::from_u32(last)),
            Region::TableDefinition(TableIndex::from_u32(last)),
            Region::Table(TableIndex::from_u32(last)),
            Region::Global(GlobalIndex::from_u32(last)),
        ]
        .into_iter()
        .map(Region::number)
        .collect();
        assert_eq!(numbers.len(), 12);
        assert!(numbers.iter().all(|&number| number < 64));
    }
}
