//! Arguments and environment: lists of strings, each ended by a NUL.

use super::Result;
use crate::abi::Out;
use crate::context::WasiCtx;
use crate::errno::Errno;
use wasmoor_host::GuestMemory;

/// Writes the arguments to `buf` and their addresses to `argv`.
///
/// # Errors
/// `fault` for a wrong pointer.
pub fn args_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, argv: u32, buf: u32) -> Result {
    put_strings(memory, &ctx.args, argv, buf)
}

/// How many arguments there are, and how many bytes they need.
///
/// # Errors
/// `fault` for a wrong pointer, `overflow` when they are too many for a guest.
pub fn args_sizes_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, count: u32, bytes: u32) -> Result {
    put_sizes(memory, &ctx.args, count, bytes)
}

/// Writes the variables to `buf` and their addresses to `environ`.
///
/// # Errors
/// `fault` for a wrong pointer.
pub fn environ_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, environ: u32, buf: u32) -> Result {
    put_strings(memory, &ctx.env, environ, buf)
}

/// How many variables there are, and how many bytes they need.
///
/// # Errors
/// `fault` for a wrong pointer, `overflow` when they are too many for a guest.
pub fn environ_sizes_get(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    count: u32,
    bytes: u32,
) -> Result {
    put_sizes(memory, &ctx.env, count, bytes)
}

fn put_strings(memory: &GuestMemory<'_>, strings: &[Vec<u8>], pointers: u32, buf: u32) -> Result {
    let (mut pointer, mut at) = (u64::from(pointers), u64::from(buf));
    for string in strings {
        memory.write_u32(pointer, u32::try_from(at).map_err(|_| Errno::Fault)?)?;
        memory.write_bytes(at, string)?;
        at += string.len() as u64;
        memory.write_u8(at, 0)?;
        at += 1;
        pointer += 4;
    }
    Ok(())
}

fn put_sizes(memory: &GuestMemory<'_>, strings: &[Vec<u8>], count: u32, bytes: u32) -> Result {
    let (count, size) = (Out::for_u32(memory, count)?, Out::for_u32(memory, bytes)?);
    count.put_count(strings.len())?;
    size.put_count(strings.iter().map(|string| string.len() + 1).sum())
}
