//! Options of sockets. The guest's numbers lead to the kernel's options, or to what is kept beside
//! the socket.

use super::Result;
use crate::abi::{Out, optional_time};
use crate::errno::Errno;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use rustix::io::Errno as Host;
use rustix::net::{SocketType, sockopt};
use wasmoor_host::net::options::{self, Flag, Size, Time};
use wasmoor_host::net::socket::{Wait, companion};
use wasmoor_host::{Descriptor, GuestMemory};

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        sock_get_opt_flag(fd: u32, option: u32, out: u32);
        sock_get_opt_size(fd: u32, option: u32, out: u32);
        sock_get_opt_time(fd: u32, option: u32, out: u32);
        sock_set_opt_flag(fd: u32, option: u32, on: u32);
        sock_set_opt_size(fd: u32, option: u32, size: u64);
        sock_set_opt_time(fd: u32, option: u32, time: u32);
    );
    Ok(())
}

/// `sock_option`, as far as it is asked for by two of the functions.
const LAST_ERROR: u32 = 11;
const TYPE: u32 = 25;
const PROTO: u32 = 26;

/// The options that are on or off.
const FLAGS: &[(u32, Flag)] = &[
    (1, Flag::ReusePort),
    (2, Flag::ReuseAddr),
    (3, Flag::NoDelay),
    (4, Flag::DontRoute),
    (5, Flag::OnlyV6),
    (6, Flag::Broadcast),
    (7, Flag::MulticastLoopV4),
    (8, Flag::MulticastLoopV6),
    (10, Flag::Listening),
    (12, Flag::KeepAlive),
    (14, Flag::OobInline),
];

/// The options that are numbers.
const SIZES: &[(u32, Size)] = &[
    (15, Size::RecvBuf),
    (16, Size::SendBuf),
    (17, Size::RecvLowat),
    (18, Size::SendLowat),
    (23, Size::Ttl),
    (24, Size::MulticastTtlV4),
];

/// Where a time is kept.
#[derive(Clone, Copy)]
enum Kept {
    Kernel(Time),
    Beside(Wait),
}

/// The options that are times.
const TIMES: &[(u32, Kept)] = &[
    (13, Kept::Kernel(Time::Linger)),
    (19, Kept::Kernel(Time::Recv)),
    (20, Kept::Kernel(Time::Send)),
    (21, Kept::Beside(Wait::Connect)),
    (22, Kept::Beside(Wait::Accept)),
];

/// The option of this number; one of another kind is no option here.
fn find<T: Copy>(options: &[(u32, T)], number: u32) -> Result<T> {
    let found = options.iter().find(|(own, _)| *own == number);
    found.map(|(_, option)| *option).ok_or_else(|| Host::NOPROTOOPT.into())
}

fn kernel(socket: &Descriptor) -> Result<rustix::fd::BorrowedFd<'_>> {
    Ok(socket.socket_fd()?)
}

/// Whether an option is on.
fn sock_get_opt_flag(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    option: u32,
    out: u32,
) -> Result {
    let out = Out::new(memory, out, 1)?;
    let socket = thread.core().table.get(fd)?;
    out.put_bool(options::flag(kernel(&socket)?, find(FLAGS, option)?)?);
    Ok(())
}

/// Turns an option on or off.
fn sock_set_opt_flag(
    thread: &Thread,
    _: &GuestMemory<'_>,
    fd: u32,
    option: u32,
    on: u32,
) -> Result {
    let socket = thread.core().table.get(fd)?;
    Ok(options::set_flag(kernel(&socket)?, find(FLAGS, option)?, on != 0)?)
}

/// The value of an option; also the last error, the type and the protocol of a socket.
fn sock_get_opt_size(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    option: u32,
    out: u32,
) -> Result {
    let out = Out::new(memory, out, 8)?;
    let socket = thread.core().table.get(fd)?;
    let kernel = kernel(&socket)?;
    let value = match option {
        // Taken: the next time there is none.
        LAST_ERROR => match sockopt::socket_error(kernel)? {
            Ok(()) => 0,
            Err(error) => Errno::from(error).raw().into(),
        },
        TYPE => match sockopt::socket_type(kernel)? {
            SocketType::STREAM => 1,
            SocketType::DGRAM => 2,
            _ => 0,
        },
        PROTO => sockopt::socket_protocol(kernel)?
            .map_or(0, |protocol| u64::from(protocol.as_raw().get())),
        option => options::size(kernel, find(SIZES, option)?)?,
    };
    out.put(&value.to_le_bytes());
    Ok(())
}

/// Sets an option.
fn sock_set_opt_size(
    thread: &Thread,
    _: &GuestMemory<'_>,
    fd: u32,
    option: u32,
    size: u64,
) -> Result {
    let socket = thread.core().table.get(fd)?;
    Ok(options::set_size(kernel(&socket)?, find(SIZES, option)?, size)?)
}

/// The time of an option, as an `option_timestamp`.
fn sock_get_opt_time(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    option: u32,
    out: u32,
) -> Result {
    let out = Out::new(memory, out, 16)?;
    let socket = thread.core().table.get(fd)?;
    let kernel = kernel(&socket)?;
    let ns = match find(TIMES, option)? {
        Kept::Kernel(time) => options::time(kernel, time)?,
        Kept::Beside(wait) => companion(&socket)?.and_then(|own| own.timeout(wait)),
    };
    let mut bytes = [0; 16];
    bytes[0] = ns.is_some().into();
    bytes[8..].copy_from_slice(&ns.unwrap_or(0).to_le_bytes());
    out.put(&bytes);
    Ok(())
}

/// Sets the time of an option; none is without end.
fn sock_set_opt_time(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    option: u32,
    time: u32,
) -> Result {
    let time = optional_time(memory, time)?;
    let ns = time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let socket = thread.core().table.get(fd)?;
    let kernel = kernel(&socket)?;
    match find(TIMES, option)? {
        Kept::Kernel(time) => options::set_time(kernel, time, ns)?,
        Kept::Beside(wait) => {
            companion(&socket)?.ok_or(Host::NOPROTOOPT)?.set_timeout(wait, ns);
        }
    }
    Ok(())
}
