//! What operators cost in fuel mode: one rule for all compilers and the test oracle.
//!
//! Every operator costs 1, except `block`, `loop`, `end`, `else`, `nop`, `try_table`, `try`,
//! `catch`, `catch_all` and `delegate`, which cost nothing.
//! Code is cut into straight-line *segments*, and a segment's whole cost is charged when it is
//! entered: a trap inside has paid for all of it. A segment starts at the function's entry and
//! after each of `loop`, `if`, `else`, `end`, `catch`, `catch_all`, `delegate`, `br_if` and the other
//! conditional branches; it
//! ends with them and with what control never passes (`br`, `br_table`, `return`, tail calls,
//! `throw` and its relatives, `unreachable`). The operator at the edge belongs to the segment before it. Calls do
//! not end segments. Unreachable code belongs to no segment.

/// What one operator means for the segment it is found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuelStep {
    /// Fuel that the operator adds to the segment's charge.
    pub cost: u32,
    /// Whether the segment ends with the operator. What follows, if it can be reached, starts
    /// another one.
    pub ends_segment: bool,
}

impl FuelStep {
    const FREE: FuelStep = FuelStep { cost: 0, ends_segment: false };
    const FREE_EDGE: FuelStep = FuelStep { cost: 0, ends_segment: true };
    const UNIT: FuelStep = FuelStep { cost: 1, ends_segment: false };
    const UNIT_EDGE: FuelStep = FuelStep { cost: 1, ends_segment: true };
}

/// What the operator encoded at the start of these bytes means.
///
/// Bytes that encode no operator count as an ordinary one: only validated code gets here.
#[must_use]
pub const fn fuel_step(operator: &[u8]) -> FuelStep {
    match operator {
        // nop, block, try, try_table
        [0x01 | 0x02 | 0x06 | 0x1f, ..] => FuelStep::FREE,
        // loop, else, catch, end, delegate, catch_all
        [0x03 | 0x05 | 0x07 | 0x0b | 0x18 | 0x19, ..] => FuelStep::FREE_EDGE,
        // unreachable, if, throw, rethrow, throw_ref, br, br_if, br_table, return
        [0x00 | 0x04 | 0x08..=0x0a | 0x0c..=0x0f, ..] => FuelStep::UNIT_EDGE,
        // return_call, return_call_indirect, return_call_ref
        [0x12 | 0x13 | 0x15, ..] => FuelStep::UNIT_EDGE,
        // br_on_null, br_on_non_null, br_on_cast, br_on_cast_fail
        [0xd5 | 0xd6, ..] | [0xfb, 24 | 25, ..] => FuelStep::UNIT_EDGE,
        _ => FuelStep::UNIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_is_free_and_branches_cost() {
        let cases: [(&[u8], FuelStep); 12] = [
            (&[0x01], FuelStep::FREE),
            (&[0x02, 0x40], FuelStep::FREE),
            (&[0x03, 0x40], FuelStep::FREE_EDGE),
            (&[0x04, 0x40], FuelStep::UNIT_EDGE),
            (&[0x0d, 0x00], FuelStep::UNIT_EDGE),
            (&[0x10, 0x00], FuelStep::UNIT),
            (&[0xfb, 0x18], FuelStep::UNIT_EDGE),
            (&[0x41, 0x00], FuelStep::UNIT),
            (&[0x1f, 0x40, 0x00], FuelStep::FREE),
            (&[0x07, 0x00], FuelStep::FREE_EDGE),
            (&[0x18, 0x00], FuelStep::FREE_EDGE),
            (&[0x09, 0x00], FuelStep::UNIT_EDGE),
        ];
        for (operator, step) in cases {
            assert_eq!(fuel_step(operator), step, "{operator:02x?}");
        }
    }
}
