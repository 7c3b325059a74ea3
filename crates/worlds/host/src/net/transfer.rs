//! Data with addresses.

use super::Network;
use super::socket::{Address, Family, Socket};
use crate::charge;
use crate::core::Guard;
use crate::descriptor::Descriptor;
use crate::files::proc_path;
use crate::vectored::{self, IoVecs, ReceiveFlags};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, Result};
use rustix::net::{SocketAddrAny, SocketAddrUnix};
use std::net::SocketAddr;

/// What [`Network::receive_from`] got.
#[derive(Debug)]
pub struct Received {
    /// Bytes in the vectors; all of the message with [`ReceiveFlags::real_length`].
    pub bytes: usize,
    /// The message was longer than the vectors.
    pub cut_short: bool,
    /// Who sent it; nobody for a connection.
    pub from: Address,
}

/// To whom data are sent.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// To the one the socket is connected to.
    Connected,
    /// To an address.
    Ip(SocketAddr),
    /// To the socket that a file is, opened with `O_PATH`.
    File(BorrowedFd<'a>),
}

impl Network {
    /// Receives one message, or bytes, and from whom.
    ///
    /// # Errors
    /// `ENOTSOCK` for anything but a socket, else those of `recvmsg`.
    pub fn receive_from(
        &self,
        guard: &Guard,
        socket: &Descriptor,
        vecs: &IoVecs<'_>,
        flags: ReceiveFlags,
    ) -> Result<Received> {
        let fd = socket.socket()?.fd();
        let receive = || vectored::receive_from(fd, vecs, flags);
        let (bytes, cut_short, from) = guard.interrupt.retry(receive)?;
        let from = from.map_or(Address::Unspecified, |from| self.shown(from));
        Ok(Received { bytes, cut_short, from })
    }

    /// Sends one message, or bytes.
    ///
    /// # Errors
    /// `EACCES` when no rule grants it, `ENOTSOCK` for anything but a socket, `ENOSPC` when the meter
    /// grants no more output, else those of `sendmsg`.
    pub fn send_to(
        &self,
        guard: &Guard,
        socket: &Descriptor,
        vecs: &mut IoVecs<'_>,
        to: Target<'_>,
        dont_wait: bool,
    ) -> Result<usize> {
        let handed = socket.socket()?;
        let own = || handed.companion::<Socket>().ok_or(Errno::ACCESS);
        let to: Option<SocketAddrAny> = match to {
            Target::Connected => None,
            Target::Ip(to) => {
                self.check_send(own()?, to)?;
                Some(to.into())
            }
            Target::File(file) => {
                if own()?.family() != Family::Unix {
                    return Err(Errno::AFNOSUPPORT);
                }
                self.check_send_path()?;
                Some(SocketAddrUnix::new(proc_path(file).as_bytes())?.into())
            }
        };
        let fd = handed.fd();
        charge::write(guard, vecs, None, |vecs| {
            guard.interrupt.retry(|| vectored::send_to(fd, vecs, to.as_ref(), dont_wait))
        })
    }
}
