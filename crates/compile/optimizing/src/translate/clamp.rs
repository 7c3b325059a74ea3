//! Addresses in memories whose accesses are clamped (`MemoryMode::Clamped`).
//!
//! ```text
//! t = index > reach ? reach : index      by a conditional move that speculation cannot bypass
//! address = base + t + offset            inaccessible if the index was beyond the room
//! ```
//!
//! The reach is a constant of the memory, and offsets play no part in the comparison: it is done
//! once for all fields of a structure, and its operands stay in registers over a loop. Three
//! things make it rarer still. Let G be `CLAMP_GUARD_BYTES`, H half of it.
//!
//! * What is known to be small needs no clamp.
//! * An index `x + c` without an offset, where `-H <= c <= H`, is clamped by `t = x + H`, so that all
//!   constants beside one `x` share it. Let room be `reach - G`. The access is at `base + t + (c - H)`.
//!   If `t <= reach`, that is the address that was meant, or lies in the G bytes before the base for
//!   an `x + c` below zero. Otherwise `x` is above `room + H`, so that `x + c` is out of bounds, without
//!   having wrapped around; and `reach + c - H`, where the access is, is not below room.
//! * With an offset, that would be wrong: `x + c` may be `-4`, from which an offset of 8 leads back into
//!   the memory, while WebAssembly adds offsets without wrapping around. Such an index is clamped
//!   as it is.

use super::Translator;
use super::memory::{Access, Address};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder as _, Value, types};
use wasmoor_abi::vmctx::MEMORY_REACH;
use wasmoor_abi::{CLAMP_GUARD_BYTES, CLAMP_ROOM_BYTES_MIN};

/// H above.
const HALF_GUARD: i64 = (CLAMP_GUARD_BYTES / 2).cast_signed();

impl Translator<'_> {
    /// The address of an access; `None`: the offset reaches beyond what is inaccessible.
    pub(super) fn clamped_address(&mut self, access: &Access) -> Option<Address> {
        let Access { index, offset, flags, .. } = *access;
        let base = self.memory_base(access.memory, &access.ty);
        let beyond = offset.saturating_add(u64::from(access.size));
        if self.upper_bound(index).saturating_add(beyond) <= CLAMP_ROOM_BYTES_MIN {
            let address = self.builder.ins().iadd(base, index);
            return Some(self.displaced(address, offset, flags));
        }
        if beyond > CLAMP_GUARD_BYTES {
            return None;
        }
        if offset == 0
            && let Some((x, c)) = self.as_sum(index)
            && (-HALF_GUARD..=HALF_GUARD).contains(&c)
        {
            let (clamped, c) = match self.upper_bound(x) <= CLAMP_ROOM_BYTES_MIN {
                true => (x, c),
                false => {
                    let shifted = self.builder.ins().iadd_imm_s(x, HALF_GUARD);
                    (self.clamped(access, shifted), c - HALF_GUARD)
                }
            };
            let address = self.builder.ins().iadd(base, clamped);
            // `-2^31..=2^30`, which the type cannot tell.
            let offset = i32::try_from(c).ok()?;
            return Some(Address { base: address, offset, flags });
        }
        let clamped = self.clamped(access, index);
        let address = self.builder.ins().iadd(base, clamped);
        Some(self.displaced(address, offset, flags))
    }

    /// The value, or the memory's reach if that is less.
    fn clamped(&mut self, access: &Access, value: Value) -> Value {
        let definition = self.memory_definition(access.memory, &access.ty);
        let offset = definition.offset + MEMORY_REACH;
        let reach = self.constant(definition.pointer, offset, types::I64);
        let beyond = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, value, reach);
        self.builder.ins().select_spectre_guard(beyond, reach, value)
    }
}
