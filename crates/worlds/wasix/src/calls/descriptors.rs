//! Descriptors: second numbers for them, and which are closed when the guest becomes another program.

use super::Result;
use crate::abi::Out;
use crate::errno::Errno;
use crate::link::{Offers, offer, offer_in_preview1};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor_host::GuestMemory;

/// The flag of a descriptor that is closed when the guest becomes another program.
pub(super) const CLOSE_ON_EXEC: u32 = 1;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        fd_dup(fd: u32, out: u32);
        fd_dup2(fd: u32, min: u32, close_on_exec: u32, out: u32);
        fd_fdflags_get(fd: u32, out: u32);
        fd_fdflags_set(fd: u32, flags: u32);
    );
    // Libraries of WASIX import it by its old name and mean the new call.
    offer_in_preview1!(offers, fd_renumber(fd: u32, to: u32););
    Ok(())
}

/// A second number for a descriptor, the lowest that is free.
fn fd_dup(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    let out = Out::for_u32(memory, out)?;
    out.put_u32(thread.core().table.duplicate(fd, 0, false)?);
    Ok(())
}

/// A second number for a descriptor, the lowest free one that is at least `min`.
fn fd_dup2(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    min: u32,
    close_on_exec: u32,
    out: u32,
) -> Result {
    let out = Out::for_u32(memory, out)?;
    out.put_u32(thread.core().table.duplicate(fd, min, close_on_exec != 0)?);
    Ok(())
}

/// The flags of a number.
fn fd_fdflags_get(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    let close_on_exec = thread.core().table.close_on_exec(fd)?;
    let flags = if close_on_exec { CLOSE_ON_EXEC } else { 0 };
    Out::new(memory, out, 2)?.put(&(flags as u16).to_le_bytes());
    Ok(())
}

/// Sets the flags of a number.
fn fd_fdflags_set(thread: &Thread, _: &GuestMemory<'_>, fd: u32, flags: u32) -> Result {
    if flags & !CLOSE_ON_EXEC != 0 {
        return Err(Errno::from(rustix::io::Errno::INVAL));
    }
    Ok(thread.core().table.set_close_on_exec(fd, flags & CLOSE_ON_EXEC != 0)?)
}

/// Makes `to` a second number of a descriptor, as `dup2`: in preview 1 the descriptor is moved.
fn fd_renumber(thread: &Thread, _: &GuestMemory<'_>, fd: u32, to: u32) -> Result {
    Ok(thread.core().table.duplicate_to(fd, to, false)?)
}
