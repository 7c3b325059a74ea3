//! Connecting and accepting: the calls that wait.

use super::rules::Direction;
use super::socket::{
    Address, Carries, Family, Parts, Socket, Wait, check_family, descriptor, family_of, parts,
};
use super::{Network, options};
use crate::clock::timespec;
use crate::core::Guard;
use crate::descriptor::Descriptor;
use crate::files::proc_path;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{Errno, Result};
use rustix::net::{
    SocketAddrAny, SocketAddrUnix, SocketFlags, accept_with, connect, connect_unspec, getpeername,
    sockopt,
};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

impl Network {
    /// Connects to another socket, or to none any more.
    ///
    /// # Errors
    /// `EACCES` when no rule grants it, `EINPROGRESS` when the socket does not wait, `ETIMEDOUT` when
    /// it waited for as long as was set, else those of `connect`.
    pub fn connect(
        &self,
        guard: &Guard,
        socket: &Descriptor,
        to: Option<SocketAddr>,
    ) -> Result<()> {
        let Parts { fd, own } = parts(socket)?;
        let Some(to) = to else { return connect_unspec(fd) };
        check_family(own, to)?;
        self.check_connect(own.protocol(), to)?;
        finish(own, self.wait_connect(guard, fd, own, &to.into()))
    }

    /// Connects to the socket that `file` is, opened with `O_PATH`.
    ///
    /// # Errors
    /// As [`Network::connect`].
    pub fn connect_path(
        &self,
        guard: &Guard,
        socket: &Descriptor,
        file: BorrowedFd<'_>,
    ) -> Result<()> {
        let Parts { fd, own } = parts(socket)?;
        if own.family != Family::Unix {
            return Err(Errno::AFNOSUPPORT);
        }
        self.check_unix(Direction::Connect)?;
        let to = SocketAddrUnix::new(proc_path(file).as_bytes())?;
        finish(own, self.wait_connect(guard, fd, own, &to.into()))
    }

    fn wait_connect(
        &self,
        guard: &Guard,
        fd: BorrowedFd<'_>,
        own: &Socket,
        to: &SocketAddrAny,
    ) -> Result<()> {
        let timeout_ns = own.timeout(Wait::Connect);
        let waits = !fcntl_getfl(fd)?.contains(OFlags::NONBLOCK);
        if own.family == Family::Unix {
            return wait_turn(guard, fd, to, timeout_ns.filter(|_| waits));
        }
        if !waits || timeout_ns.is_none() {
            return match connect(fd, to) {
                // It goes on without us; to ask again would be an error.
                Err(Errno::INTR) => wait_connected(guard, fd, None),
                result => result,
            };
        }
        // The kernel takes the time for sending, which the guest may have set to another.
        let send_ns = options::time(fd, options::Time::Send)?;
        options::set_time(fd, options::Time::Send, Some(1))?;
        let result = connect(fd, to);
        options::set_time(fd, options::Time::Send, send_ns)?;
        match result {
            Err(Errno::INPROGRESS | Errno::INTR) => wait_connected(guard, fd, timeout_ns),
            result => result,
        }
    }

    /// Accepts a connection; also says from whom.
    ///
    /// # Errors
    /// `ENOBUFS` when the meter refuses another socket, `EAGAIN` when it waited for as long as was
    /// set, else those of `accept`.
    pub fn accept(
        &self,
        guard: &Guard,
        socket: &Descriptor,
        nonblock: bool,
    ) -> Result<(Descriptor, Address)> {
        let handed = socket.socket()?;
        let (fd, own) = (handed.fd(), handed.companion::<Socket>());
        let (family, carries) = match own {
            Some(own) => (own.family, own.carries),
            None => (family_of(fd)?, Carries::Stream),
        };
        let accepted = Socket::new(family, carries, guard)?;
        if let Some(ns) = own.and_then(|own| own.timeout(Wait::Accept))
            && !fcntl_getfl(fd)?.contains(OFlags::NONBLOCK)
        {
            wait_for(guard, fd, PollFlags::IN, Some(ns)).map_err(|error| match error {
                // As the kernel says it of receiving.
                Errno::TIMEDOUT => Errno::AGAIN,
                error => error,
            })?;
        }
        let mut flags = SocketFlags::CLOEXEC;
        flags.set(SocketFlags::NONBLOCK, nonblock);
        let new = guard.interrupt.retry(|| accept_with(fd, flags))?;
        accepted.is_open.store(true, Ordering::Relaxed);
        if let Some(shown) = own.and_then(|own| own.shown.get()) {
            let _ = accepted.shown.set(*shown);
        }
        let peer = getpeername(&new).ok().flatten();
        let peer = peer.map_or(Address::Unspecified, |peer| self.shown(peer));
        Ok((descriptor(new, accepted).inherit_from(socket), peer))
    }
}

/// Notes how an attempt to connect ended.
fn finish(own: &Socket, result: Result<()>) -> Result<()> {
    match result {
        Ok(()) => own.is_open.store(true, Ordering::Relaxed),
        Err(Errno::INPROGRESS | Errno::ALREADY | Errno::ISCONN | Errno::INTR) => {}
        Err(_) => own.has_failed.store(true, Ordering::Relaxed),
    }
    result
}

/// Connects to a file: at once, or when the listener has room. What is broken off has not begun.
fn wait_turn(
    guard: &Guard,
    fd: BorrowedFd<'_>,
    to: &SocketAddrAny,
    timeout_ns: Option<u64>,
) -> Result<()> {
    let Some(timeout_ns) = timeout_ns else { return guard.interrupt.retry(|| connect(fd, to)) };
    // The kernel takes the time for sending, which the guest may have set to another.
    let send_ns = options::time(fd, options::Time::Send)?;
    let start = std::time::Instant::now();
    let result = guard.interrupt.retry(|| {
        // No truncation: 500 years are fewer nanoseconds.
        let left_ns = timeout_ns.saturating_sub(start.elapsed().as_nanos() as u64);
        options::set_time(fd, options::Time::Send, Some(left_ns))?;
        connect(fd, to)
    });
    options::set_time(fd, options::Time::Send, send_ns)?;
    result.map_err(|error| if error == Errno::AGAIN { Errno::TIMEDOUT } else { error })
}

/// Waits for a connection that is under way.
fn wait_connected(guard: &Guard, fd: BorrowedFd<'_>, timeout_ns: Option<u64>) -> Result<()> {
    wait_for(guard, fd, PollFlags::OUT, timeout_ns)?;
    match sockopt::socket_error(fd)? {
        Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until `fd` is ready.
fn wait_for(
    guard: &Guard,
    fd: BorrowedFd<'_>,
    wanted: PollFlags,
    timeout_ns: Option<u64>,
) -> Result<()> {
    let start = std::time::Instant::now();
    let left = || {
        // No truncation: 500 years are fewer nanoseconds.
        timeout_ns.map(|ns| timespec(ns.saturating_sub(start.elapsed().as_nanos() as u64)))
    };
    let wait = || poll(&mut [PollFd::from_borrowed_fd(fd, wanted)], left().as_ref());
    if guard.interrupt.retry(wait)? == 0 { Err(Errno::TIMEDOUT) } else { Ok(()) }
}
