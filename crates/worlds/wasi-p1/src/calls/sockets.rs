//! Sockets that the embedder gave, and connections accepted from them.

use super::fd_attributes::status_flags;
use super::{Result, descriptor};
use crate::abi::Out;
use crate::context::WasiCtx;
use crate::errno::Errno;
use rustix::net::Shutdown;
use wasmoor_host::vectored::ReceiveFlags;
use wasmoor_host::{GuestMemory, IoVecs, Rights, StatusFlags};

/// Accepts a connection; the only flag is `nonblock`.
///
/// # Errors
/// `notsock` for anything but a socket, `mfile` when the guest has too many open files, `nobufs` when
/// it has too many sockets, else those of `accept`.
pub fn sock_accept(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    out: u32,
) -> Result {
    let listener = descriptor(ctx, fd, Rights::SOCK_ACCEPT)?;
    let flags = status_flags(flags)?;
    if !StatusFlags::NONBLOCK.contains(flags) {
        return Err(Errno::Inval);
    }
    let out = Out::for_u32(memory, out)?;
    let place = ctx.core.table.reserve()?;
    let nonblock = flags.contains(StatusFlags::NONBLOCK);
    let accepted = listener.accept(&ctx.core.guard, nonblock)?;
    out.put(&ctx.core.table.insert(place, accepted)?.to_le_bytes());
    Ok(())
}

/// Bits of `riflags`.
const PEEK: u32 = 1 << 0;
const WAIT_ALL: u32 = 1 << 1;
/// Bit of `roflags`: a message was cut short to fit.
const DATA_TRUNCATED: u16 = 1;

/// Receives from a connection.
///
/// # Errors
/// `notsock` for anything but a socket, `inval` for unknown flags, else those of `recv`.
pub fn sock_recv(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nread: u32,
    out_flags: u32,
) -> Result {
    let socket = descriptor(ctx, fd, Rights::FD_READ)?;
    if flags & !(PEEK | WAIT_ALL) != 0 {
        return Err(Errno::Inval);
    }
    let flags = ReceiveFlags {
        peek: flags & PEEK != 0,
        wait_all: flags & WAIT_ALL != 0,
        ..ReceiveFlags::default()
    };
    let (nread, out_flags) = (Out::for_u32(memory, nread)?, Out::for_u16(memory, out_flags)?);
    let vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    let (got, cut_short) = socket.receive(&ctx.core.guard, &vecs, flags)?;
    out_flags.put(&if cut_short { DATA_TRUNCATED } else { 0 }.to_le_bytes());
    nread.put_count(got)
}

/// Sends to a connection; there are no flags.
///
/// # Errors
/// `notsock` for anything but a socket, `inval` for flags, else those of `send`.
pub fn sock_send(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nwritten: u32,
) -> Result {
    let socket = descriptor(ctx, fd, Rights::FD_WRITE)?;
    if flags != 0 {
        return Err(Errno::Inval);
    }
    let out = Out::for_u32(memory, nwritten)?;
    let mut vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    out.put_count(socket.send(&ctx.core.guard, &mut vecs)?)
}

/// Ends one or both directions of a connection: bit 0 reading, bit 1 writing.
///
/// # Errors
/// `notsock` for anything but a socket, `inval` for no or unknown directions, else those of
/// `shutdown`.
pub fn sock_shutdown(ctx: &WasiCtx, _: &GuestMemory<'_>, fd: u32, how: u32) -> Result {
    let socket = descriptor(ctx, fd, Rights::SOCK_SHUTDOWN)?;
    let how = match how {
        1 => Shutdown::Read,
        2 => Shutdown::Write,
        3 => Shutdown::Both,
        _ => return Err(Errno::Inval),
    };
    Ok(socket.shut_down(how)?)
}
