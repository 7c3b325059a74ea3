//! Options of sockets: each with the kernel's own, where it has one.

use super::sockopt::{get, set};
use libc::c_int;
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, sockopt};

/// Options that are on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    /// Several sockets may bind one port.
    ReusePort,
    /// A port may be bound again at once.
    ReuseAddr,
    /// Send small pieces at once.
    NoDelay,
    /// Send to hosts on the same wire only.
    DontRoute,
    /// An IPv6 socket takes no IPv4.
    OnlyV6,
    /// Datagrams may go to all hosts.
    Broadcast,
    /// Multicasts over IPv4 come back.
    MulticastLoopV4,
    /// Multicasts over IPv6 come back.
    MulticastLoopV6,
    /// The socket listens; cannot be set.
    Listening,
    /// Look whether the other side is still there.
    KeepAlive,
    /// Urgent data stay among the others.
    OobInline,
}

/// Options that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// Bytes kept until they are received.
    RecvBuf,
    /// Bytes kept until they are sent.
    SendBuf,
    /// Bytes for which receiving waits.
    RecvLowat,
    /// Bytes of room for which sending waits; cannot be set.
    SendLowat,
    /// Hops that packets may make.
    Ttl,
    /// Hops that multicasts over IPv4 may make.
    MulticastTtlV4,
}

/// Options that are times, and are kept by the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Time {
    /// For how long receiving waits.
    Recv,
    /// For how long sending waits.
    Send,
    /// For how long closing waits.
    Linger,
}

fn flag_of(flag: Flag) -> (c_int, c_int) {
    match flag {
        Flag::ReusePort => (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        Flag::ReuseAddr => (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        Flag::NoDelay => (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        Flag::DontRoute => (libc::SOL_SOCKET, libc::SO_DONTROUTE),
        Flag::OnlyV6 => (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
        Flag::Broadcast => (libc::SOL_SOCKET, libc::SO_BROADCAST),
        Flag::MulticastLoopV4 => (libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP),
        Flag::MulticastLoopV6 => (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP),
        Flag::Listening => (libc::SOL_SOCKET, libc::SO_ACCEPTCONN),
        Flag::KeepAlive => (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        Flag::OobInline => (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    }
}

fn size_of_option(fd: BorrowedFd<'_>, size: Size) -> Result<(c_int, c_int)> {
    Ok(match size {
        Size::RecvBuf => (libc::SOL_SOCKET, libc::SO_RCVBUF),
        Size::SendBuf => (libc::SOL_SOCKET, libc::SO_SNDBUF),
        Size::RecvLowat => (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
        Size::SendLowat => (libc::SOL_SOCKET, libc::SO_SNDLOWAT),
        Size::Ttl if sockopt::socket_domain(fd)? == AddressFamily::INET6 => {
            (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS)
        }
        Size::Ttl => (libc::IPPROTO_IP, libc::IP_TTL),
        Size::MulticastTtlV4 => (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL),
    })
}

/// Whether an option is on.
///
/// # Errors
/// Those of `getsockopt`.
pub fn flag(fd: BorrowedFd<'_>, flag: Flag) -> Result<bool> {
    let (level, name) = flag_of(flag);
    get::<c_int>(fd, level, name).map(|value| value != 0)
}

/// Turns an option on or off.
///
/// # Errors
/// Those of `setsockopt`.
pub fn set_flag(fd: BorrowedFd<'_>, flag: Flag, on: bool) -> Result<()> {
    let (level, name) = flag_of(flag);
    set::<c_int>(fd, level, name, on.into())
}

/// The value of an option.
///
/// # Errors
/// Those of `getsockopt`.
pub fn size(fd: BorrowedFd<'_>, size: Size) -> Result<u64> {
    let (level, name) = size_of_option(fd, size)?;
    u64::try_from(get::<c_int>(fd, level, name)?).map_err(|_| Errno::OVERFLOW)
}

/// Sets an option; what no kernel has a number for is as much as there is one for.
///
/// # Errors
/// Those of `setsockopt`.
pub fn set_size(fd: BorrowedFd<'_>, size: Size, value: u64) -> Result<()> {
    let (level, name) = size_of_option(fd, size)?;
    set(fd, level, name, c_int::try_from(value).unwrap_or(c_int::MAX))
}

const NANOS_PER_MICRO: u64 = 1_000;
const MICROS: u64 = 1_000_000;

/// A time in nanoseconds; `None` for waiting without end, or not at all when closing.
///
/// # Errors
/// Those of `getsockopt`.
pub fn time(fd: BorrowedFd<'_>, time: Time) -> Result<Option<u64>> {
    let name = match time {
        Time::Linger => {
            let linger: libc::linger = get(fd, libc::SOL_SOCKET, libc::SO_LINGER)?;
            let seconds = u64::try_from(linger.l_linger).map_err(|_| Errno::OVERFLOW)?;
            return Ok((linger.l_onoff != 0).then(|| seconds * 1_000_000_000));
        }
        Time::Recv => libc::SO_RCVTIMEO,
        Time::Send => libc::SO_SNDTIMEO,
    };
    let value: libc::timeval = get(fd, libc::SOL_SOCKET, name)?;
    let seconds = u64::try_from(value.tv_sec).map_err(|_| Errno::OVERFLOW)?;
    let micros = u64::try_from(value.tv_usec).map_err(|_| Errno::OVERFLOW)?;
    let ns = seconds.saturating_mul(MICROS).saturating_add(micros).saturating_mul(NANOS_PER_MICRO);
    Ok((ns != 0).then_some(ns))
}

/// Sets a time; see [`time`]. A time of no nanoseconds is the shortest that there is, for the
/// kernel takes none for no end.
///
/// # Errors
/// Those of `setsockopt`.
pub fn set_time(fd: BorrowedFd<'_>, time: Time, ns: Option<u64>) -> Result<()> {
    let name = match time {
        Time::Linger => {
            let seconds = ns.unwrap_or(0).div_ceil(1_000_000_000);
            let l_linger = c_int::try_from(seconds).unwrap_or(c_int::MAX);
            let linger = libc::linger { l_onoff: ns.is_some().into(), l_linger };
            return set(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger);
        }
        Time::Recv => libc::SO_RCVTIMEO,
        Time::Send => libc::SO_SNDTIMEO,
    };
    let micros = ns.map_or(0, |ns| ns.div_ceil(NANOS_PER_MICRO).max(1));
    // No truncation: `u64::MAX` nanoseconds are below 2^35 seconds.
    let value = libc::timeval {
        tv_sec: (micros / MICROS) as libc::time_t,
        tv_usec: (micros % MICROS) as libc::suseconds_t,
    };
    set(fd, libc::SOL_SOCKET, name, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::{AsFd, OwnedFd};
    use rustix::net::{SocketType, socket};

    fn sockets() -> [OwnedFd; 3] {
        [
            socket(AddressFamily::INET, SocketType::STREAM, None).unwrap(),
            socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap(),
            socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap(),
        ]
    }

    #[test]
    fn flags_are_set_and_found() {
        let [tcp, udp, six] = sockets();
        for (socket, option) in [
            (&tcp, Flag::ReusePort),
            (&tcp, Flag::ReuseAddr),
            (&tcp, Flag::NoDelay),
            (&tcp, Flag::DontRoute),
            (&six, Flag::OnlyV6),
            (&udp, Flag::Broadcast),
            (&udp, Flag::MulticastLoopV4),
            (&six, Flag::MulticastLoopV6),
            (&tcp, Flag::KeepAlive),
            (&tcp, Flag::OobInline),
        ] {
            for on in [true, false] {
                set_flag(socket.as_fd(), option, on).unwrap();
                assert_eq!(flag(socket.as_fd(), option), Ok(on), "{option:?}");
            }
        }
        assert_eq!(flag(tcp.as_fd(), Flag::Listening), Ok(false));
        assert_eq!(set_flag(tcp.as_fd(), Flag::Listening, true), Err(Errno::NOPROTOOPT));
        assert_eq!(set_flag(udp.as_fd(), Flag::NoDelay, true), Err(Errno::NOPROTOOPT));
    }

    #[test]
    fn sizes_are_set_and_found() {
        let [tcp, udp, six] = sockets();
        for (socket, option, value) in [
            (&tcp, Size::Ttl, 17),
            (&six, Size::Ttl, 18),
            (&udp, Size::MulticastTtlV4, 19),
            (&tcp, Size::RecvLowat, 20),
        ] {
            set_size(socket.as_fd(), option, value).unwrap();
            assert_eq!(size(socket.as_fd(), option), Ok(value), "{option:?}");
        }
        for option in [Size::RecvBuf, Size::SendBuf] {
            set_size(tcp.as_fd(), option, 10_000).unwrap();
            // The kernel doubles it, for its own books.
            assert_eq!(size(tcp.as_fd(), option), Ok(20_000), "{option:?}");
            set_size(tcp.as_fd(), option, u64::MAX).unwrap();
        }
        assert_eq!(size(tcp.as_fd(), Size::SendLowat), Ok(1));
        assert_eq!(set_size(tcp.as_fd(), Size::SendLowat, 2), Err(Errno::NOPROTOOPT));
        assert_eq!(set_size(tcp.as_fd(), Size::Ttl, 256), Err(Errno::INVAL));
    }

    #[test]
    fn times_are_set_and_found() {
        let [tcp, ..] = sockets();
        for (option, given, kept) in [
            (Time::Recv, Some(1_500_000_000), Some(1_500_000_000)),
            (Time::Send, None, None),
            (Time::Linger, Some(2_000_000_000), Some(2_000_000_000)),
            (Time::Linger, Some(1), Some(1_000_000_000)),
            (Time::Linger, Some(0), Some(0)),
            (Time::Linger, None, None),
        ] {
            set_time(tcp.as_fd(), option, given).unwrap();
            assert_eq!(time(tcp.as_fd(), option), Ok(kept), "{option:?}");
        }
        // Not for ever: the kernel rounds up to its own ticks.
        set_time(tcp.as_fd(), Time::Recv, Some(0)).unwrap();
        assert!(time(tcp.as_fd(), Time::Recv).unwrap().is_some_and(|ns| ns <= 10_000_000));
        set_time(tcp.as_fd(), Time::Send, Some(u64::MAX)).unwrap();
    }
}
