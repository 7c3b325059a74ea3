//! Data through sockets, and names to addresses.

use super::{Result, sock_paths, sockets::descriptor};
use crate::abi::{Out, text};
use crate::address::{self, ADDR_IP_BYTES};
use crate::errno::Errno;
use crate::link::{Offers, offer, offer_in_preview1};
use crate::program::Guest;
use crate::thread::Thread;
use rustix::fd::AsFd;
use rustix::io::Errno as Host;
use wasmoor_host::channel::send_file;
use wasmoor_host::net::socket::Address;
use wasmoor_host::net::transfer::{Received, Target};
use wasmoor_host::vectored::ReceiveFlags;
use wasmoor_host::{FileKind, GuestMemory, IoVecs, Rights};

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        resolve(host: u32, host_len: u32, port: u32, addrs: u32, addrs_len: u32, out: u32);
        sock_recv_from(
            fd: u32, iovs: u32, iovs_len: u32, flags: u32, nread: u32, out_flags: u32, addr: u32
        );
        sock_send_file(out_fd: u32, in_fd: u32, offset: u64, count: u64, sent: u32);
        sock_send_to(fd: u32, iovs: u32, iovs_len: u32, flags: u32, addr: u32, sent: u32);
    );
    offer_in_preview1!(offers,
        sock_recv(
            fd: u32, iovs: u32, iovs_len: u32, flags: u32, nread: u32, out_flags: u32
        );
        sock_send(fd: u32, iovs: u32, iovs_len: u32, flags: u32, sent: u32);
    );
    Ok(())
}

/// Bits of `riflags`.
const PEEK: u32 = 1 << 0;
const WAIT_ALL: u32 = 1 << 1;
const REAL_LENGTH: u32 = 1 << 2;
const DONT_WAIT: u32 = 1 << 3;
/// Bit of `siflags`.
const SEND_DONT_WAIT: u32 = 1 << 0;
/// Bit of `roflags`: a message was cut short to fit.
const DATA_TRUNCATED: u16 = 1;

fn receive_flags(raw: u32, kind: FileKind) -> Result<ReceiveFlags> {
    if raw & !(PEEK | WAIT_ALL | REAL_LENGTH | DONT_WAIT) != 0 {
        return Err(Host::INVAL.into());
    }
    Ok(ReceiveFlags {
        peek: raw & PEEK != 0,
        wait_all: raw & WAIT_ALL != 0,
        dont_wait: raw & DONT_WAIT != 0,
        // Of a stream the kernel would throw the bytes away.
        real_length: raw & REAL_LENGTH != 0 && kind == FileKind::SocketDatagram,
    })
}

/// Receives; puts bytes and flags.
fn receive(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    [fd, iovs, iovs_len, flags, nread, out_flags]: [u32; 6],
) -> Result<Address> {
    let socket = descriptor(thread, fd, Rights::FD_READ)?;
    let flags = receive_flags(flags, socket.kind()?)?;
    let (nread, out_flags) = (Out::for_u32(memory, nread)?, Out::new(memory, out_flags, 2)?);
    let vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    let network = thread.process().network();
    let Received { bytes, cut_short, from } =
        network.receive_from(&thread.core().guard, &socket, &vecs, flags)?;
    out_flags.put(&if cut_short { DATA_TRUNCATED } else { 0 }.to_le_bytes());
    nread.put_u32(u32::try_from(bytes).map_err(|_| Host::OVERFLOW)?);
    Ok(from)
}

/// Receives from a connection, or a datagram.
fn sock_recv(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nread: u32,
    out_flags: u32,
) -> Result {
    receive(thread, memory, [fd, iovs, iovs_len, flags, nread, out_flags]).map(|_| ())
}

/// As [`sock_recv`], and from whom.
fn sock_recv_from(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    nread: u32,
    out_flags: u32,
    addr: u32,
) -> Result {
    let addr = address::place(memory, addr)?;
    let from = receive(thread, memory, [fd, iovs, iovs_len, flags, nread, out_flags])?;
    let from = match from {
        // A connection has one other side.
        Address::Unspecified => {
            let socket = thread.core().table.get(fd)?;
            thread.process().network().peer(&socket).unwrap_or(Address::Unspecified)
        }
        from => from,
    };
    address::put(addr, &from);
    Ok(())
}

fn send(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    [fd, iovs, iovs_len, flags, sent]: [u32; 5],
    to: Target<'_>,
) -> Result {
    let socket = descriptor(thread, fd, Rights::FD_WRITE)?;
    if flags & !SEND_DONT_WAIT != 0 {
        return Err(Host::INVAL.into());
    }
    let sent = Out::for_u32(memory, sent)?;
    let mut vecs = IoVecs::gather32(memory, iovs, iovs_len)?;
    let (network, guard) = (thread.process().network(), &thread.core().guard);
    let bytes = network.send_to(guard, &socket, &mut vecs, to, flags & SEND_DONT_WAIT != 0)?;
    sent.put_u32(u32::try_from(bytes).map_err(|_| Host::OVERFLOW)?);
    Ok(())
}

/// Sends to a connection.
fn sock_send(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    sent: u32,
) -> Result {
    send(thread, memory, [fd, iovs, iovs_len, flags, sent], Target::Connected)
}

/// Sends one datagram to an address.
fn sock_send_to(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    iovs: u32,
    iovs_len: u32,
    flags: u32,
    addr: u32,
    sent: u32,
) -> Result {
    let arguments = [fd, iovs, iovs_len, flags, sent];
    match address::read(memory, addr)? {
        Address::Unspecified => send(thread, memory, arguments, Target::Connected),
        Address::Ip(to) => send(thread, memory, arguments, Target::Ip(to)),
        Address::Unix(path) => {
            let file = sock_paths::socket(thread.wasi(), &path)?;
            send(thread, memory, arguments, Target::File(file.as_fd()))
        }
    }
}

/// Sends a part of a file, whose position stays.
fn sock_send_file(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    out_fd: u32,
    in_fd: u32,
    offset: u64,
    count: u64,
    sent: u32,
) -> Result {
    let sent = Out::new(memory, sent, 8)?;
    let to = descriptor(thread, out_fd, Rights::FD_WRITE)?;
    let from = descriptor(thread, in_fd, Rights::FD_READ)?;
    let bytes = send_file(&thread.core().guard, &to, &from, offset, count)?;
    sent.put(&(bytes as u64).to_le_bytes());
    Ok(())
}

/// Longest name of a host that is looked at.
const HOST_BYTES_MAX: u32 = 1024;

/// Puts the addresses of a host, as many as there is room for, and how many these are. The port is
/// of no interest.
fn resolve(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    host: u32,
    host_len: u32,
    _port: u32,
    addrs: u32,
    addrs_len: u32,
    out: u32,
) -> Result {
    let out = Out::for_u32(memory, out)?;
    let start = u64::from(addrs);
    memory.slice(start, u64::from(addrs_len) * u64::from(ADDR_IP_BYTES))?;
    let host = text(memory, host, host_len, HOST_BYTES_MAX)?;
    let host = std::str::from_utf8(&host).map_err(|_| Errno::from(Host::INVAL))?;
    let network = thread.process().network();
    let found = network.resolve(&thread.core().guard, host)?;
    let mut count = 0u32;
    for ip in found.into_iter().take(addrs_len as usize) {
        let at = start + u64::from(count) * u64::from(ADDR_IP_BYTES);
        memory.write_bytes(at, &address::encode_ip(ip))?;
        count += 1;
    }
    out.put_u32(count);
    Ok(())
}
