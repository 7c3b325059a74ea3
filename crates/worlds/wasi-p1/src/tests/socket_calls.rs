//! Sockets given by the embedder.

use super::guest::{CREATE, DATA, Guest, OUT, ROOT, VECS};
use crate::Errno;
use crate::calls::{self, Result};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use wasmoor_host::{Limits, Meter, Resource};

const LISTENER: u32 = ROOT + 1;

fn listening() -> (Guest, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let guest = Guest::with(|builder| {
        builder.preopen_socket(listener);
    });
    (guest, address)
}

fn accept(guest: &mut Guest, flags: u32) -> Result<u32> {
    guest.call(|c, m| calls::sock_accept(c, m, LISTENER, flags, OUT))?;
    Ok(guest.u32_at(OUT))
}

fn receive(guest: &mut Guest, fd: u32, len: u32, flags: u32) -> Result<Vec<u8>> {
    guest.put_vec(len);
    guest.call(|c, m| calls::sock_recv(c, m, fd, VECS, 1, flags, OUT, OUT + 4))?;
    Ok(guest.bytes(DATA, guest.u32_at(OUT)).to_vec())
}

fn send(guest: &mut Guest, fd: u32, bytes: &[u8]) -> Result<u32> {
    let len = guest.put(DATA, bytes);
    guest.put_vec(len);
    guest.call(|c, m| calls::sock_send(c, m, fd, VECS, 1, 0, OUT))?;
    Ok(guest.u32_at(OUT))
}

#[test]
fn a_conversation() {
    const PEEK: u32 = 1;
    const WAIT_ALL: u32 = 2;
    let (mut guest, address) = listening();
    let mut peer = TcpStream::connect(address).unwrap();
    let fd = accept(&mut guest, 0).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().0, 6);
    peer.write_all(b"hello").unwrap();
    assert_eq!(receive(&mut guest, fd, 3, PEEK | WAIT_ALL).unwrap(), b"hel");
    assert_eq!(receive(&mut guest, fd, 5, WAIT_ALL).unwrap(), b"hello");
    assert_eq!(send(&mut guest, fd, b"bye"), Ok(3));
    assert_eq!(guest.write(fd, b"!"), Ok(1));
    assert_eq!(guest.call(|c, m| calls::sock_shutdown(c, m, fd, 2)), Ok(()));
    let mut text = String::new();
    peer.read_to_string(&mut text).unwrap();
    assert_eq!(text, "bye!");
    assert_eq!(send(&mut guest, fd, b"x"), Err(Errno::Pipe));
    drop(peer);
    assert_eq!(receive(&mut guest, fd, 5, 0).unwrap(), b"");
    guest.close(fd).unwrap();
}

#[test]
fn not_waiting() {
    const NONBLOCK: u32 = 4;
    let (mut guest, address) = listening();
    guest.call(|c, m| calls::fd_fdstat_set_flags(c, m, LISTENER, NONBLOCK)).unwrap();
    assert_eq!(accept(&mut guest, 0), Err(Errno::Again));
    let _peer = TcpStream::connect(address).unwrap();
    let fd = accept(&mut guest, NONBLOCK).unwrap();
    assert_eq!(receive(&mut guest, fd, 1, 0), Err(Errno::Again));
    assert_eq!(guest.fdstat(fd).unwrap().1, 4);
}

#[test]
fn as_many_as_the_meter_grants() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Arc::new(Limits::new().with(Resource::Sockets, 1));
    let mut guest = Guest::with(|builder| {
        builder.meter(limits.clone() as Arc<dyn Meter>);
        builder.preopen_socket(listener);
    });
    let _peers = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    let fd = accept(&mut guest, 0).unwrap();
    assert_eq!(accept(&mut guest, 0), Err(Errno::NoBufs));
    guest.close(fd).unwrap();
    assert!(accept(&mut guest, 0).is_ok());
}

#[test]
fn wrong_calls() {
    let (mut guest, address) = listening();
    let _peer = TcpStream::connect(address).unwrap();
    for flags in [1, 16, 31, 32, u32::MAX] {
        assert_eq!(accept(&mut guest, flags), Err(Errno::Inval), "{flags}");
    }
    let fd = accept(&mut guest, 0).unwrap();
    assert_eq!(receive(&mut guest, fd, 1, 4), Err(Errno::Inval));
    for how in [0, 4, u32::MAX] {
        let result = guest.call(|c, m| calls::sock_shutdown(c, m, fd, how));
        assert_eq!(result, Err(Errno::Inval), "{how}");
    }
    let file = guest.open("file", CREATE).unwrap();
    for (fd, errno) in [(file, Errno::NotSock), (1, Errno::NotSock), (99, Errno::Badf)] {
        assert_eq!(receive(&mut guest, fd, 1, 0), Err(errno), "{fd}");
        assert_eq!(send(&mut guest, fd, b"x"), Err(errno), "{fd}");
        let how = guest.call(|c, m| calls::sock_shutdown(c, m, fd, 1));
        assert_eq!(how, Err(errno), "{fd}");
        let accepted = guest.call(|c, m| calls::sock_accept(c, m, fd, 0, OUT));
        assert_eq!(accepted, Err(errno), "{fd}");
    }
    // Paths do not start at sockets.
    assert_eq!(guest.open_with(fd, ".", [0; 3], wasmoor_host::Rights::all()), Err(Errno::NotDir));
}
