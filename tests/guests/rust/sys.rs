//! The calls that the reactor makes, with errors of the standard library.

use std::io;
use wasix::wasi;

const NONBLOCK: u16 = wasi::FDFLAGS_NONBLOCK;

/// Events of interest: both directions and the peer's end, told once per change.
const INTEREST: wasix::EpollType = wasix::EPOLL_TYPE_EPOLLIN
    | wasix::EPOLL_TYPE_EPOLLOUT
    | wasix::EPOLL_TYPE_EPOLLRDHUP
    | wasix::EPOLL_TYPE_EPOLLET;

const READABLE: wasix::EpollType = wasix::EPOLL_TYPE_EPOLLIN
    | wasix::EPOLL_TYPE_EPOLLRDHUP
    | wasix::EPOLL_TYPE_EPOLLERR
    | wasix::EPOLL_TYPE_EPOLLHUP;

const WRITABLE: wasix::EpollType =
    wasix::EPOLL_TYPE_EPOLLOUT | wasix::EPOLL_TYPE_EPOLLERR | wasix::EPOLL_TYPE_EPOLLHUP;

fn error(errno: wasix::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw().into())
}

fn base_error(errno: wasi::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw().into())
}

/// An address of version 4.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub ip: [u8; 4],
    pub port: u16,
}

impl Address {
    fn raw(self) -> wasix::AddrPort {
        let [n0, n1, h0, h1] = self.ip;
        let addr = wasix::AddrIp4 { n0, n1, h0, h1 };
        let inet4 = wasix::AddrIp4Port { port: self.port, addr };
        wasix::AddrPort { tag: 1, u: wasix::AddrPortU { inet4 } }
    }
}

/// An open descriptor, closed when dropped.
pub struct Descriptor(wasix::Fd);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: nobody else has the number.
        let _ = unsafe { wasi::fd_close(self.0) };
    }
}

impl Descriptor {
    /// A stream socket that never blocks.
    pub fn socket() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe {
            wasix::sock_open(
                wasix::ADDRESS_FAMILY_INET4,
                wasix::SOCK_TYPE_SOCKET_STREAM,
                wasix::SOCK_PROTO_TCP,
            )
        };
        let socket = Descriptor(fd.map_err(error)?);
        // SAFETY: as above.
        unsafe { wasi::fd_fdstat_set_flags(socket.0, NONBLOCK) }.map_err(base_error)?;
        Ok(socket)
    }

    pub fn listen(&self, address: Address) -> io::Result<()> {
        let raw = address.raw();
        // SAFETY: the address lives during the call.
        unsafe {
            wasix::sock_bind(self.0, &raw).map_err(error)?;
            wasix::sock_listen(self.0, 1024).map_err(error)
        }
    }

    pub fn port(&self) -> io::Result<u16> {
        // SAFETY: an address of version 4 was bound, so one is written.
        unsafe { Ok(wasix::sock_addr_local(self.0).map_err(error)?.u.inet4.port) }
    }

    pub fn accept(&self) -> io::Result<Descriptor> {
        // SAFETY: no memory is passed.
        let accepted = unsafe { wasix::sock_accept_v2(self.0, NONBLOCK) };
        accepted.map(|(fd, _)| Descriptor(fd)).map_err(error)
    }

    /// Whether it is connected at once; else it will be writable when that is known.
    pub fn connect(&self, address: Address) -> io::Result<bool> {
        let raw = address.raw();
        // SAFETY: the address lives during the call.
        match unsafe { wasix::sock_connect(self.0, &raw) } {
            Ok(()) => Ok(true),
            Err(wasix::ERRNO_INPROGRESS) => Ok(false),
            Err(errno) => Err(error(errno)),
        }
    }

    /// How connecting ended.
    pub fn connected(&self) -> io::Result<()> {
        // SAFETY: no memory is passed.
        let last = unsafe { wasix::sock_get_opt_size(self.0, wasix::SOCK_OPTION_LAST_ERROR) };
        match last.map_err(error)? {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno as i32)),
        }
    }

    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let piece = wasi::Iovec { buf: into.as_mut_ptr(), buf_len: into.len() };
        // SAFETY: the piece is a slice of ours.
        unsafe { wasi::fd_read(self.0, &[piece]) }.map_err(base_error)
    }

    pub fn write(&self, from: &[u8]) -> io::Result<usize> {
        let piece = wasi::Ciovec { buf: from.as_ptr(), buf_len: from.len() };
        // SAFETY: the piece is a slice of ours.
        unsafe { wasi::fd_write(self.0, &[piece]) }.map_err(base_error)
    }

    pub fn end_writing(&self) -> io::Result<()> {
        // SAFETY: no memory is passed.
        unsafe { wasi::sock_shutdown(self.0, wasi::SDFLAGS_WR) }.map_err(base_error)
    }
}

/// What became possible for the descriptor of a token.
pub struct Event {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
}

/// A set of the kernel's.
pub struct Set(Descriptor);

impl Set {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { wasix::epoll_create() };
        fd.map(|fd| Set(Descriptor(fd))).map_err(error)
    }

    /// From now on events of the descriptor come with the token; closing it ends that.
    pub fn add(&self, descriptor: &Descriptor, token: u64) -> io::Result<()> {
        let event = event(INTEREST, token);
        // SAFETY: the event lives during the call.
        let done =
            unsafe { wasix::epoll_ctl(self.0.0, wasix::EPOLL_CTL_ADD, descriptor.0, &event) };
        done.map_err(error)
    }

    /// Waits until something happens, or only looks.
    pub fn wait(&self, forever: bool) -> io::Result<Vec<Event>> {
        let mut raw = [event(0, 0); 256];
        let timeout = if forever { u64::MAX } else { 0 };
        // SAFETY: at most as many events are written as there is room for.
        let count = unsafe { wasix::epoll_wait(self.0.0, raw.as_mut_ptr(), raw.len(), timeout) };
        let count = match count {
            Ok(count) => count,
            Err(wasix::ERRNO_INTR) => 0,
            Err(errno) => return Err(error(errno)),
        };
        let events = raw.iter().take(count).map(|event| Event {
            token: event.data.data2,
            readable: event.events & READABLE != 0,
            writable: event.events & WRITABLE != 0,
        });
        Ok(events.collect())
    }
}

fn event(events: wasix::EpollType, token: u64) -> wasix::EpollEvent {
    wasix::EpollEvent { events, data: wasix::EpollData { ptr: 0, fd: 0, data1: 0, data2: token } }
}
