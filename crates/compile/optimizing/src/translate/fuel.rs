//! Fuel: charged at the entry of each straight-line segment, by the rule in
//! [`wasmoor_abi::fuel`].
//!
//! The charge is emitted with the segment's first operator that costs anything; the amount is
//! filled in where the segment ends.

use super::Translator;
use super::environment::Region;
use crate::error::{Result, validated};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Inst, InstBuilder as _, InstructionData, Opcode, types};
use wasmoor_abi::TrapCode;
use wasmoor_abi::fuel::fuel_step;
use wasmoor_abi::vmctx::STORE_FUEL;

/// The segment that operators are being added to.
#[derive(Default)]
pub(super) struct Segment {
    /// Fuel of the operators so far.
    cost: u32,
    /// The constant that the charge subtracts, once it is emitted.
    charge: Option<Inst>,
}

impl Translator<'_> {
    /// Starts a segment at the current position.
    pub(super) fn begin_segment(&mut self) {
        self.segment = Segment::default();
    }

    /// Accounts for the reachable operator at this offset of the module, before it is
    /// translated.
    pub(super) fn account_fuel(&mut self, offset: u64) -> Result {
        let at = usize::try_from(offset).ok();
        let operator = at.and_then(|at| self.module.bytes().get(at..));
        let step = fuel_step(validated(operator, "an operator")?);
        if step.cost > 0 {
            if self.segment.charge.is_none() {
                self.emit_charge()?;
            }
            self.segment.cost += step.cost;
            self.patch_charge();
        }
        if step.ends_segment {
            self.begin_segment();
        }
        Ok(())
    }

    /// Subtracts an amount still unknown from the fuel, and traps if that makes it negative.
    fn emit_charge(&mut self) -> Result {
        let store = self.store_context();
        let flags = self.flags(Region::Fuel);
        let offset = STORE_FUEL.cast_signed();
        let fuel = self.builder.ins().load(types::I64, flags, store, offset);
        let cost = self.iconst64(0);
        let left = self.builder.ins().isub(fuel, cost);
        self.builder.ins().store(flags, left, store, offset);
        let exhausted = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, left, 0);
        self.trap_if(exhausted, TrapCode::OutOfFuel);
        self.segment.charge = self.builder.func.dfg.value_def(cost).inst();
        validated(self.segment.charge, "a constant").map(drop)
    }

    fn patch_charge(&mut self) {
        if let Some(charge) = self.segment.charge {
            self.builder.func.dfg.insts[charge] = InstructionData::UnaryImm {
                opcode: Opcode::Iconst,
                imm: i64::from(self.segment.cost).into(),
            };
        }
    }
}
