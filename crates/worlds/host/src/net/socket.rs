//! Opening and binding sockets, and what they are; each step is asked of the policy first.

use super::paths::Noted;
use super::rules::{Direction, Protocol};
use super::{Network, options, publish};
use crate::charge;
use crate::core::Guard;
use crate::descriptor::{Descriptor, Handed, Object};
use crate::files::proc_path;
use crate::meter::{Permit, Resource};
use crate::stat::FileKind;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, getpeername,
    getsockname, listen, socket_with, socketpair, sockopt,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Kinds of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Files of mounts.
    Unix,
}

impl Family {
    fn kernel(self) -> AddressFamily {
        match self {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
            Family::Unix => AddressFamily::UNIX,
        }
    }
}

/// What a socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carries {
    /// Bytes in order.
    Stream,
    /// Messages.
    Datagrams,
}

impl Carries {
    fn kernel(self) -> SocketType {
        match self {
            Carries::Stream => SocketType::STREAM,
            Carries::Datagrams => SocketType::DGRAM,
        }
    }

    fn kind(self) -> FileKind {
        match self {
            Carries::Stream => FileKind::SocketStream,
            Carries::Datagrams => FileKind::SocketDatagram,
        }
    }
}

/// The address of a socket as the guest knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// No address: of a socket that is not bound, or to be connected to nobody any more.
    Unspecified,
    /// An address and a port.
    Ip(SocketAddr),
    /// A path in the guest's mounts; empty for a socket without a name, or one that is not the
    /// guest's.
    Unix(Vec<u8>),
}

/// A wait without end.
const NEVER: u64 = u64::MAX;

/// What is kept beside the kernel's socket.
#[derive(Debug)]
pub struct Socket {
    pub(super) family: Family,
    pub(super) carries: Carries,
    /// The address that the guest bound, where it was published as another one.
    pub(super) shown: OnceLock<SocketAddr>,
    /// The path that the guest bound.
    path: Mutex<Option<BoundPath>>,
    /// Bound or connected.
    pub(super) is_open: AtomicBool,
    pub(super) has_failed: AtomicBool,
    connect_timeout_ns: AtomicU64,
    accept_timeout_ns: AtomicU64,
    _permit: Permit,
}

/// A path that a socket is bound to. The kernel knows it by the directory's descriptor, which stays
/// open so that no other directory gets that number.
#[derive(Debug)]
struct BoundPath {
    guest: Vec<u8>,
    _noted: Noted,
    _directory: OwnedFd,
    _permit: Permit,
}

impl Socket {
    pub(super) fn new(family: Family, carries: Carries, guard: &Guard) -> Result<Self> {
        Ok(Socket {
            family,
            carries,
            shown: OnceLock::new(),
            path: Mutex::new(None),
            is_open: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            connect_timeout_ns: AtomicU64::new(NEVER),
            accept_timeout_ns: AtomicU64::new(NEVER),
            _permit: Permit::socket(&guard.meter)?,
        })
    }

    /// Keeps other threads from its path until the guard is dropped.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kind of its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    pub(super) fn protocol(&self) -> Protocol {
        match (self.family, self.carries) {
            (Family::Unix, _) => Protocol::Unix,
            (_, Carries::Stream) => Protocol::Tcp,
            (_, Carries::Datagrams) => Protocol::Udp,
        }
    }

    /// For how long connecting or accepting waits; `None`: for ever.
    #[must_use]
    pub fn timeout(&self, wait: Wait) -> Option<u64> {
        Some(self.timeout_cell(wait).load(Ordering::Relaxed)).filter(|ns| *ns != NEVER)
    }

    /// Sets for how long connecting or accepting waits.
    pub fn set_timeout(&self, wait: Wait, ns: Option<u64>) {
        self.timeout_cell(wait).store(ns.unwrap_or(NEVER), Ordering::Relaxed);
    }

    fn timeout_cell(&self, wait: Wait) -> &AtomicU64 {
        match wait {
            Wait::Connect => &self.connect_timeout_ns,
            Wait::Accept => &self.accept_timeout_ns,
        }
    }
}

/// Waits that the kernel has no option of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Until a connection stands.
    Connect,
    /// Until somebody connects.
    Accept,
}

/// How far a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Neither bound nor connected yet.
    Opening,
    /// Bound, listening or connected.
    Opened,
    /// The last attempt to connect failed.
    Failed,
}

/// A socket's two halves: the kernel's and ours.
pub(super) struct Parts<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) own: &'a Socket,
}

/// The parts of a socket that the guest opened. One that was handed over by the embedder has a
/// place already: it can be neither bound nor connected anew.
pub(super) fn parts(descriptor: &Descriptor) -> Result<Parts<'_>> {
    let handed = descriptor.socket()?;
    let own = handed.companion::<Socket>().ok_or(Errno::ACCESS)?;
    Ok(Parts { fd: handed.fd(), own })
}

/// What is kept beside a socket, if the guest opened it.
///
/// # Errors
/// `ENOTSOCK` for anything but a socket.
pub fn companion(descriptor: &Descriptor) -> Result<Option<&Socket>> {
    Ok(descriptor.socket()?.companion::<Socket>())
}

pub(super) fn descriptor(fd: OwnedFd, socket: Socket) -> Descriptor {
    let kind = socket.carries.kind();
    Descriptor::new(Object::Kernel(Handed::with_companion(fd, kind, Box::new(socket))))
}

impl Network {
    /// Opens a socket.
    ///
    /// # Errors
    /// `EACCES` when nothing could be done with it, `ENOBUFS` when the meter refuses, else those of
    /// `socket`.
    pub fn open(&self, guard: &Guard, family: Family, carries: Carries) -> Result<Descriptor> {
        let socket = Socket::new(family, carries, guard)?;
        self.check_any(socket.protocol())?;
        let fd = socket_with(family.kernel(), carries.kernel(), SocketFlags::CLOEXEC, None)?;
        Ok(descriptor(fd, socket))
    }

    /// Gives a socket an address.
    ///
    /// # Errors
    /// `EACCES` when no rule grants it, else those of `bind`.
    pub fn bind(&self, socket: &Descriptor, at: SocketAddr) -> Result<()> {
        let Parts { fd, own } = parts(socket)?;
        check_family(own, at)?;
        let protocol = own.protocol();
        if let Some(on_host) = publish::on_host(&self.published, protocol, at) {
            bind(fd, &on_host)?;
            // Bound only once.
            let _ = own.shown.set(at);
        } else if at.port() == 0 && self.policy.grants_any(protocol) {
            // What sending and connecting would do too; whoever then listens is asked again.
            bind(fd, &at)?;
        } else {
            self.check_listen(protocol, at, takes_both(fd, own, at)?)?;
            bind(fd, &at)?;
        }
        own.is_open.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a socket a new file `name` in `directory`, which the guest knows as `path`.
    ///
    /// # Errors
    /// `EACCES` when no rule grants it, `ENAMETOOLONG` for a long name, `ENOBUFS` when the meter refuses
    /// another open file, else those of `bind`, such as `EADDRINUSE`.
    pub fn bind_path(
        &self,
        guard: &Guard,
        socket: &Descriptor,
        directory: OwnedFd,
        name: &[u8],
        path: &[u8],
    ) -> Result<()> {
        let Parts { fd, own } = parts(socket)?;
        if own.family != Family::Unix {
            return Err(Errno::AFNOSUPPORT);
        }
        self.check_unix(Direction::Listen)?;
        if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." {
            return Err(Errno::INVAL);
        }
        // The kernel follows this link to the directory itself, and no link after that.
        let place = [proc_path(directory.as_fd()).as_bytes(), b"/", name].concat();
        let address = SocketAddrUnix::new(place.as_slice())?;
        let permit = Permit::ask(&guard.meter, Resource::OpenFiles).ok_or(Errno::NOBUFS)?;
        charge::creation(&*guard.meter, 0, || bind(fd, &address))?;
        let noted = self.paths.note(place, path);
        let guest = path.to_vec();
        let bound = BoundPath { guest, _noted: noted, _directory: directory, _permit: permit };
        let before = own.path.lock().unwrap_or_else(PoisonError::into_inner).replace(bound);
        // Not while the lock is held: its name is in a list that has one too.
        drop(before);
        own.is_open.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Waits for connections to come.
    ///
    /// # Errors
    /// `EACCES` when no rule grants it, else those of `listen`.
    pub fn listen(&self, socket: &Descriptor, backlog: u32) -> Result<()> {
        let Parts { fd, own } = parts(socket)?;
        if own.family == Family::Unix {
            self.check_unix(Direction::Listen)?;
        } else if own.shown.get().is_none() {
            let at = SocketAddr::try_from(getsockname(fd)?)?;
            self.check_listen(own.protocol(), at, takes_both(fd, own, at)?)?;
        }
        listen(fd, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        own.is_open.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The address of a socket.
    ///
    /// # Errors
    /// Those of `getsockname`.
    pub fn local(&self, socket: &Descriptor) -> Result<Address> {
        let handed = socket.socket()?;
        let address = self.shown(getsockname(handed.fd())?);
        let Some(own) = handed.companion::<Socket>() else { return Ok(address) };
        if let Some(bound) = &*own.path.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Address::Unix(bound.guest.clone()));
        }
        Ok(match (own.shown.get(), address) {
            // The address of a connection may be a closer one than what was bound.
            (Some(shown), Address::Ip(mut real)) if !shown.ip().is_unspecified() => {
                real.set_ip(shown.ip());
                real.set_port(shown.port());
                Address::Ip(real)
            }
            (Some(shown), Address::Ip(mut real)) => {
                real.set_port(shown.port());
                Address::Ip(real)
            }
            (_, address) => address,
        })
    }

    /// The address that a socket is connected to.
    ///
    /// # Errors
    /// Those of `getpeername`, such as `ENOTCONN`.
    pub fn peer(&self, socket: &Descriptor) -> Result<Address> {
        let peer = getpeername(socket.socket()?.fd())?;
        Ok(peer.map_or(Address::Unspecified, |peer| self.shown(peer)))
    }

    /// An address as the guest knows it.
    pub(super) fn shown(&self, address: SocketAddrAny) -> Address {
        if let Ok(ip) = SocketAddr::try_from(address.clone()) {
            return Address::Ip(ip);
        }
        match SocketAddrUnix::try_from(address) {
            Ok(unix) => {
                let place = unix.path_bytes().unwrap_or_default();
                Address::Unix(self.paths.of(place))
            }
            Err(_) => Address::Unspecified,
        }
    }

    /// Whether a datagram may go to `to`.
    pub(super) fn check_send(&self, own: &Socket, to: SocketAddr) -> Result<()> {
        check_family(own, to)?;
        self.check_connect(own.protocol(), to)
    }

    /// Whether a file may be sent to.
    pub(super) fn check_send_path(&self) -> Result<()> {
        self.check_unix(Direction::Connect)
    }

    /// Asks for, or no longer for, what is sent to a group.
    ///
    /// # Errors
    /// `EACCES` when no rule lets the guest listen on the group's address, else those of
    /// `setsockopt`.
    pub fn membership_v4(
        &self,
        socket: &Descriptor,
        group: Ipv4Addr,
        interface: Ipv4Addr,
        join: bool,
    ) -> Result<()> {
        let Parts { fd, own } = parts(socket)?;
        if !join {
            return sockopt::set_ip_drop_membership(fd, &group, &interface);
        }
        self.check_group(fd, own, group.into())?;
        sockopt::set_ip_add_membership(fd, &group, &interface)
    }

    /// As [`Network::membership_v4`], with the number of an interface.
    ///
    /// # Errors
    /// As there.
    pub fn membership_v6(
        &self,
        socket: &Descriptor,
        group: Ipv6Addr,
        interface: u32,
        join: bool,
    ) -> Result<()> {
        let Parts { fd, own } = parts(socket)?;
        if !join {
            return sockopt::set_ipv6_drop_membership(fd, &group, interface);
        }
        self.check_group(fd, own, group.into())?;
        sockopt::set_ipv6_add_membership(fd, &group, interface)
    }

    fn check_group(&self, fd: BorrowedFd<'_>, own: &Socket, group: IpAddr) -> Result<()> {
        let port = SocketAddr::try_from(getsockname(fd)?).map_or(0, |at| at.port());
        self.check_listen(own.protocol(), SocketAddr::new(group, port), false)
    }
}

/// A pair of connected sockets, which need no network.
///
/// # Errors
/// `ENOBUFS` when the meter refuses, else those of `socketpair`.
pub fn pair(guard: &Guard, carries: Carries) -> Result<[Descriptor; 2]> {
    let sockets =
        [Socket::new(Family::Unix, carries, guard)?, Socket::new(Family::Unix, carries, guard)?];
    let (one, other) =
        socketpair(AddressFamily::UNIX, carries.kernel(), SocketFlags::CLOEXEC, None)?;
    let [first, second] = sockets;
    first.is_open.store(true, Ordering::Relaxed);
    second.is_open.store(true, Ordering::Relaxed);
    Ok([descriptor(one, first), descriptor(other, second)])
}

/// How far a socket is.
///
/// # Errors
/// `ENOTSOCK` for anything but a socket.
pub fn status(socket: &Descriptor) -> Result<Status> {
    let handed = socket.socket()?;
    let own = handed.companion::<Socket>();
    let is =
        |cell: fn(&Socket) -> &AtomicBool| own.is_some_and(|own| cell(own).load(Ordering::Relaxed));
    let is_connected = || matches!(getpeername(handed.fd()), Ok(Some(_)));
    Ok(if own.is_none() || is(|own| &own.is_open) || is_connected() {
        Status::Opened
    } else if is(|own| &own.has_failed) {
        Status::Failed
    } else {
        Status::Opening
    })
}

pub(super) fn check_family(own: &Socket, address: SocketAddr) -> Result<()> {
    let fits = match own.family {
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
        Family::Unix => false,
    };
    if fits { Ok(()) } else { Err(Errno::AFNOSUPPORT) }
}

pub(super) fn family_of(fd: BorrowedFd<'_>) -> Result<Family> {
    match sockopt::socket_domain(fd)? {
        AddressFamily::INET => Ok(Family::V4),
        AddressFamily::INET6 => Ok(Family::V6),
        AddressFamily::UNIX => Ok(Family::Unix),
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// Whether a socket bound to `at` takes IPv4 beside IPv6.
fn takes_both(fd: BorrowedFd<'_>, own: &Socket, at: SocketAddr) -> Result<bool> {
    let may = own.family == Family::V6 && at.ip().is_unspecified();
    Ok(may && !options::flag(fd, options::Flag::OnlyV6)?)
}
