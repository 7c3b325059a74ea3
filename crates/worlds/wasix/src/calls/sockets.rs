//! Sockets: opening, binding, connecting, accepting, and what they are.

use super::{Result, sock_paths};
use crate::abi::Out;
use crate::address;
use crate::errno::Errno;
use crate::link::{Offers, offer, offer_in_preview1};
use crate::program::Guest;
use crate::thread::Thread;
use rustix::fd::AsFd;
use rustix::io::Errno as Host;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use wasmoor_host::net::socket::{self, Address, Carries, Family, Status, status};
use wasmoor_host::{Descriptor, GuestMemory, Rights, StatusFlags};

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        sock_accept_v2(fd: u32, flags: u32, out: u32, addr: u32);
        sock_addr_local(fd: u32, addr: u32);
        sock_addr_peer(fd: u32, addr: u32);
        sock_bind(fd: u32, addr: u32);
        sock_connect(fd: u32, addr: u32);
        sock_join_multicast_v4(fd: u32, group: u32, interface: u32);
        sock_join_multicast_v6(fd: u32, group: u32, interface: u32);
        sock_leave_multicast_v4(fd: u32, group: u32, interface: u32);
        sock_leave_multicast_v6(fd: u32, group: u32, interface: u32);
        sock_listen(fd: u32, backlog: u32);
        sock_open(af: u32, ty: u32, proto: u32, out: u32);
        sock_pair(af: u32, ty: u32, proto: u32, one: u32, other: u32);
        sock_status(fd: u32, out: u32);
    );
    {
        use accept as sock_accept;
        offer_in_preview1!(offers, sock_accept(fd: u32, flags: u32, out: u32););
    }
    // Under this name it has the parameters of preview 1 there and these here.
    if offers.params("sock_accept") == Some(4) {
        use sock_accept_v2 as sock_accept;
        offer!(offers, sock_accept(fd: u32, flags: u32, out: u32, addr: u32););
    }
    Ok(())
}

/// The descriptor `fd`, if it did not give up `rights`.
pub(super) fn descriptor(thread: &Thread, fd: u32, rights: Rights) -> Result<Arc<Descriptor>> {
    let descriptor = thread.core().table.get(fd)?;
    if descriptor.allows(rights) {
        Ok(descriptor)
    } else {
        Err(wasmoor_wasi_p1::Errno::NotCapable.into())
    }
}

/// `sock_type`.
fn carries(raw: u32) -> Result<Carries> {
    match raw {
        1 => Ok(Carries::Stream),
        2 => Ok(Carries::Datagrams),
        // Raw packets, and messages in order.
        3 | 4 => Err(Host::NOTSUP.into()),
        _ => Err(Host::INVAL.into()),
    }
}

/// Whether a protocol (a number of IANA's, or none) is that of what a socket carries.
fn check_protocol(family: Family, carries: Carries, raw: u32) -> Result {
    let fits = match (family, carries) {
        (Family::Unix, _) => raw == 0,
        (_, Carries::Stream) => raw == 0 || raw == 6,
        (_, Carries::Datagrams) => raw == 0 || raw == 17,
    };
    if fits { Ok(()) } else { Err(Host::PROTONOSUPPORT.into()) }
}

/// Opens a socket.
fn sock_open(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    af: u32,
    ty: u32,
    proto: u32,
    out: u32,
) -> Result {
    let (family, carries) = (address::family(af)?, carries(ty)?);
    check_protocol(family, carries, proto)?;
    let out = Out::for_u32(memory, out)?;
    let core = thread.core();
    let place = core.table.reserve()?;
    let socket = thread.process().network().open(&core.guard, family, carries)?;
    out.put_u32(core.table.insert(place, socket)?);
    Ok(())
}

/// Makes two sockets that are connected to each other. Of which family they would be makes no
/// difference.
fn sock_pair(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    af: u32,
    ty: u32,
    proto: u32,
    one: u32,
    other: u32,
) -> Result {
    let (family, carries) = (address::family(af)?, carries(ty)?);
    check_protocol(family, carries, proto)?;
    let outs = [Out::for_u32(memory, one)?, Out::for_u32(memory, other)?];
    let pair = socket::pair(&thread.core().guard, carries)?;
    super::channels::insert_two(thread, pair, outs)
}

/// Gives a socket an address.
fn sock_bind(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, addr: u32) -> Result {
    let at = address::read(memory, addr)?;
    let socket = thread.core().table.get(fd)?;
    let network = thread.process().network();
    match at {
        Address::Unspecified => Err(Host::AFNOSUPPORT.into()),
        Address::Ip(at) => Ok(network.bind(&socket, at)?),
        Address::Unix(path) => {
            let parent = sock_paths::parent(thread.wasi(), &path)?;
            let guard = &thread.core().guard;
            Ok(network.bind_path(guard, &socket, parent.directory, &parent.name, &path)?)
        }
    }
}

/// Connects a socket, or ends what it is connected to.
fn sock_connect(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, addr: u32) -> Result {
    let to = address::read(memory, addr)?;
    let socket = thread.core().table.get(fd)?;
    let (network, guard) = (thread.process().network(), &thread.core().guard);
    match to {
        Address::Unspecified => Ok(network.connect(guard, &socket, None)?),
        Address::Ip(to) => Ok(network.connect(guard, &socket, Some(to))?),
        Address::Unix(path) => {
            let file = sock_paths::socket(thread.wasi(), &path)?;
            Ok(network.connect_path(guard, &socket, file.as_fd())?)
        }
    }
}

/// Waits for connections to come.
fn sock_listen(thread: &Thread, _: &GuestMemory<'_>, fd: u32, backlog: u32) -> Result {
    let socket = thread.core().table.get(fd)?;
    Ok(thread.process().network().listen(&socket, backlog)?)
}

/// Accepts a connection; the only flag is `nonblock`, for the new socket.
fn accept(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, flags: u32, out: u32) -> Result {
    accept_from(thread, memory, [fd, flags, out]).map(|_| ())
}

/// The same; also puts from whom.
fn sock_accept_v2(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    out: u32,
    addr: u32,
) -> Result {
    let addr = address::place(memory, addr)?;
    address::put(addr, &accept_from(thread, memory, [fd, flags, out])?);
    Ok(())
}

fn accept_from(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    [fd, flags, out]: [u32; 3],
) -> Result<Address> {
    let listener = descriptor(thread, fd, Rights::SOCK_ACCEPT)?;
    let nonblock = u32::from(StatusFlags::NONBLOCK.bits());
    if flags & !nonblock != 0 {
        return Err(Host::INVAL.into());
    }
    let out = Out::for_u32(memory, out)?;
    let core = thread.core();
    let place = core.table.reserve()?;
    let network = thread.process().network();
    let (accepted, from) = network.accept(&core.guard, &listener, flags & nonblock != 0)?;
    out.put_u32(core.table.insert(place, accepted)?);
    Ok(from)
}

/// The address of a socket.
fn sock_addr_local(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, addr: u32) -> Result {
    let place = address::place(memory, addr)?;
    let socket = thread.core().table.get(fd)?;
    address::put(place, &thread.process().network().local(&socket)?);
    Ok(())
}

/// The address that a socket is connected to.
fn sock_addr_peer(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, addr: u32) -> Result {
    let place = address::place(memory, addr)?;
    let socket = thread.core().table.get(fd)?;
    address::put(place, &thread.process().network().peer(&socket)?);
    Ok(())
}

/// How far a socket is.
fn sock_status(thread: &Thread, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    let place = Out::new(memory, out, 1)?;
    let number = match status(&*thread.core().table.get(fd)?)? {
        Status::Opening => 0,
        Status::Opened => 1,
        Status::Failed => 3,
    };
    place.put(&[number]);
    Ok(())
}

/// Joins or leaves a group of IPv4, on the interface with an address.
fn membership_v4(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    [fd, group, interface]: [u32; 3],
    join: bool,
) -> Result {
    let group = Ipv4Addr::from(memory.read_array::<4>(group)?);
    let interface = Ipv4Addr::from(memory.read_array::<4>(interface)?);
    let socket = thread.core().table.get(fd)?;
    Ok(thread.process().network().membership_v4(&socket, group, interface, join)?)
}

/// Joins or leaves a group of IPv6, on the interface of a number.
fn membership_v6(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    [fd, group, interface]: [u32; 3],
    join: bool,
) -> Result {
    let group = Ipv6Addr::from(memory.read_array::<16>(group)?);
    let socket = thread.core().table.get(fd)?;
    Ok(thread.process().network().membership_v6(&socket, group, interface, join)?)
}

macro_rules! memberships {
    ($($name:ident $call:ident $join:literal;)*) => { $(
        /// Joins or leaves a group.
        fn $name(
            thread: &Thread,
            memory: &GuestMemory<'_>,
            fd: u32,
            group: u32,
            interface: u32,
        ) -> Result<(), Errno> {
            $call(thread, memory, [fd, group, interface], $join)
        }
    )* };
}

memberships! {
    sock_join_multicast_v4 membership_v4 true;
    sock_leave_multicast_v4 membership_v4 false;
    sock_join_multicast_v6 membership_v6 true;
    sock_leave_multicast_v6 membership_v6 false;
}
