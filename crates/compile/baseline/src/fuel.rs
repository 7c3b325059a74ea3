//! Fuel: charged at the entry of each straight-line segment, by the rule in
//! [`wasmoor_abi::fuel`].
//!
//! The charge is emitted with the segment's first operator that costs anything; the amount is
//! filled in as the segment grows.

use crate::function::Gen;
use crate::x86_64::{Alu, Cc, Gpr, Mem, Size};
use wasmoor_abi::TrapCode;
use wasmoor_abi::fuel::fuel_step;
use wasmoor_abi::vmctx::{STORE_FUEL, VMCTX_STORE};

/// The segment that operators are being added to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    /// Fuel of the operators so far.
    cost: u32,
    /// Where the charge's amount stands, once it is emitted.
    charge_at: Option<u32>,
}

impl Gen<'_> {
    /// Starts a segment at the current position.
    pub(crate) fn begin_segment(&mut self) {
        self.segment = Segment::default();
    }

    /// Accounts for the reachable operator that comes next.
    pub(crate) fn account_fuel(&mut self) {
        let step = fuel_step(&self.body[self.at..]);
        if step.cost > 0 {
            let at = match self.segment.charge_at {
                Some(at) => at,
                None => self.emit_charge(),
            };
            self.segment.cost += step.cost;
            self.asm.patch32(at, self.segment.cost);
        }
        if step.ends_segment {
            self.begin_segment();
        }
    }

    /// Subtracts an amount still unknown from the fuel, and traps if that makes it negative.
    fn emit_charge(&mut self) -> u32 {
        self.mark();
        self.asm.mov(Size::S64, Gpr::R11, self.vmctx_field(VMCTX_STORE));
        let fuel = Mem::new(Gpr::R11, STORE_FUEL.cast_signed());
        let at = self.asm.alu_imm32_at(Alu::Sub, Size::S64, fuel);
        self.trap_if(Cc::S, TrapCode::OutOfFuel);
        self.segment.charge_at = Some(at);
        at
    }
}
