//! Time and random bytes.

use super::Result;
use crate::abi::{Out, clock_id};
use crate::context::WasiCtx;
use wasmoor_host::GuestMemory;

/// The step of a clock in nanoseconds.
///
/// # Errors
/// `inval` for an unknown clock.
pub fn clock_res_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, id: u32, out: u32) -> Result {
    let out = Out::for_u64(memory, out)?;
    out.put(&ctx.core.clocks.resolution(clock_id(id)?)?.to_le_bytes());
    Ok(())
}

/// The time of a clock in nanoseconds, as precise as the host has it.
///
/// # Errors
/// `inval` for an unknown clock, `overflow` for a time before 1970 or after 2554.
pub fn clock_time_get(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    id: u32,
    _precision: u64,
    out: u32,
) -> Result {
    let out = Out::for_u64(memory, out)?;
    out.put(&ctx.core.clocks.now(clock_id(id)?)?.to_le_bytes());
    Ok(())
}

/// Fills a buffer with random bytes.
///
/// # Errors
/// `fault` for a wrong pointer, `intr` when the guest must stop.
pub fn random_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, buf: u32, len: u32) -> Result {
    let target = memory.slice(buf, len)?;
    Ok(ctx.core.random.fill(&ctx.core.guard.interrupt, target)?)
}
