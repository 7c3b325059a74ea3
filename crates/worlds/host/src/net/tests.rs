//! Sockets under policies, on this host alone.

use super::socket::{self, Address, Carries, Family, Status, Wait, status};
use super::transfer::Target;
use super::*;
use crate::channel::send_file;
use crate::descriptor::Descriptor;
use crate::memory::GuestMemory;
use crate::meter::{Limits, Resource};
use crate::vectored::{IoVecs, ReceiveFlags};
use rustix::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

fn network(rules: &str) -> Network {
    match rules {
        "" => Network::default(),
        "*" => Network::new(Policy::everything()),
        rules => Network::new(Policy::new(parse_rules(rules).unwrap())),
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn guard() -> Guard {
    Guard::default()
}

fn tcp(network: &Network) -> Descriptor {
    network.open(&guard(), Family::V4, Carries::Stream).unwrap()
}

fn udp(network: &Network) -> Descriptor {
    network.open(&guard(), Family::V4, Carries::Datagrams).unwrap()
}

fn local(network: &Network, socket: &Descriptor) -> SocketAddr {
    match network.local(socket).unwrap() {
        Address::Ip(address) => address,
        other => panic!("{other:?}"),
    }
}

/// A listener on a port of its own.
fn listener(network: &Network) -> (Descriptor, SocketAddr) {
    let socket = tcp(network);
    network.bind(&socket, at("127.0.0.1:0")).unwrap();
    network.listen(&socket, 8).unwrap();
    let address = local(network, &socket);
    (socket, address)
}

fn with_bytes<R>(bytes: &mut [u8], call: impl FnOnce(&mut IoVecs<'_>) -> R) -> R {
    let len = bytes.len() as u64;
    let memory = GuestMemory::from_slice(bytes);
    call(&mut IoVecs::one(memory.slice(0u32, len).unwrap()))
}

fn send(network: &Network, socket: &Descriptor, bytes: &[u8], to: Target<'_>) -> Result<usize> {
    let mut bytes = bytes.to_vec();
    with_bytes(&mut bytes, |vecs| network.send_to(&guard(), socket, vecs, to, false))
}

fn receive(network: &Network, socket: &Descriptor, room: usize) -> Result<(Vec<u8>, Address)> {
    let mut bytes = vec![0; room];
    let got = with_bytes(&mut bytes, |vecs| {
        network.receive_from(&guard(), socket, vecs, ReceiveFlags::default())
    })?;
    bytes.truncate(got.bytes);
    Ok((bytes, got.from))
}

#[test]
fn nothing_without_a_grant() {
    let none = network("");
    for family in [Family::V4, Family::V6, Family::Unix] {
        for carries in [Carries::Stream, Carries::Datagrams] {
            let opened = none.open(&guard(), family, carries).map(|_| ());
            assert_eq!(opened, Err(Errno::ACCESS), "{family:?} {carries:?}");
        }
    }
    assert_eq!(none.resolve(&guard(), "localhost"), Err(Errno::ACCESS));
    // What stays in the guest needs none.
    assert!(socket::pair(&guard(), Carries::Stream).is_ok());
}

#[test]
fn rules_are_asked_before_the_kernel() {
    let (_listener, address) = listener(&network("*"));
    let port = address.port();
    let other = network(&format!("connect:127.0.0.1:{port}"));
    let socket = tcp(&other);
    assert_eq!(other.connect(&guard(), &socket, Some(at("127.0.0.2:1"))), Err(Errno::ACCESS));
    assert_eq!(other.bind(&socket, at("127.0.0.1:4567")), Err(Errno::ACCESS));
    assert_eq!(other.bind(&socket, at("127.0.0.1:0")), Ok(()));
    assert_eq!(other.listen(&socket, 1), Err(Errno::ACCESS));
    assert_eq!(other.connect(&guard(), &socket, Some(address)), Ok(()));
    assert_eq!(other.open(&guard(), Family::Unix, Carries::Stream).map(|_| ()), Err(Errno::ACCESS));
    let datagrams = udp(&other);
    let to = Target::Ip(at("127.0.0.2:9"));
    assert_eq!(send(&other, &datagrams, b"x", to), Err(Errno::ACCESS));
    assert_eq!(send(&other, &datagrams, b"x", Target::Ip(address)), Ok(1));
    // A listener that nobody bound would be on all addresses.
    assert_eq!(other.listen(&tcp(&other), 1), Err(Errno::ACCESS));
    let all = network("listen:127.0.0.1");
    assert_eq!(all.bind(&tcp(&all), at("0.0.0.0:4567")), Err(Errno::ACCESS));
}

#[test]
fn connections_both_ways() {
    let network = network("*");
    let (listener, address) = listener(&network);
    let client = tcp(&network);
    assert_eq!(status(&client), Ok(Status::Opening));
    network.connect(&guard(), &client, Some(address)).unwrap();
    let (server, from) = network.accept(&guard(), &listener, false).unwrap();
    assert_eq!(from, Address::Ip(local(&network, &client)));
    assert_eq!(network.peer(&client), Ok(Address::Ip(address)));
    assert_eq!(network.peer(&server), network.local(&client));
    assert_eq!(network.peer(&listener), Err(Errno::NOTCONN));
    for socket in [&client, &server, &listener] {
        assert_eq!(status(socket), Ok(Status::Opened));
    }
    send(&network, &client, b"hello", Target::Connected).unwrap();
    let (bytes, from) = receive(&network, &server, 100).unwrap();
    assert_eq!((bytes.as_slice(), from), (&b"hello"[..], Address::Unspecified));
    drop(client);
    assert_eq!(receive(&network, &server, 100).unwrap().0, b"");
}

#[test]
fn a_closed_port_is_an_error_and_a_reset_is_one() {
    let network = network("*");
    let (closing, address) = listener(&network);
    let client = tcp(&network);
    network.connect(&guard(), &client, Some(address)).unwrap();
    let (server, _) = network.accept(&guard(), &closing, false).unwrap();
    // With data unread, or no time to linger, closing is a reset.
    let fd = server.kernel_fd().unwrap().unwrap();
    options::set_time(fd, options::Time::Linger, Some(0)).unwrap();
    drop(server);
    assert_eq!(receive(&network, &client, 1).map(|_| ()), Err(Errno::CONNRESET));
    drop(closing);
    let late = tcp(&network);
    assert_eq!(network.connect(&guard(), &late, Some(address)), Err(Errno::CONNREFUSED));
    assert_eq!(status(&late), Ok(Status::Failed));
}

#[test]
fn connecting_without_waiting() {
    let network = network("*");
    let (listener, address) = listener(&network);
    let client = tcp(&network);
    client.set_status_flags(crate::StatusFlags::NONBLOCK).unwrap();
    let connect = || network.connect(&guard(), &client, Some(address));
    // On one host the kernel is done at once, with this answer all the same.
    assert_eq!(connect(), Err(Errno::INPROGRESS));
    network.accept(&guard(), &listener, true).unwrap();
    assert_eq!(status(&client), Ok(Status::Opened));
    assert_eq!(connect(), Ok(()));
    assert_eq!(connect(), Err(Errno::ISCONN));
}

#[test]
fn times_that_were_set_are_kept() {
    let network = network("*");
    let (listener, _) = listener(&network);
    let own = socket::companion(&listener).unwrap().unwrap();
    assert_eq!(own.timeout(Wait::Accept), None);
    own.set_timeout(Wait::Accept, Some(30_000_000));
    let start = Instant::now();
    let accepted = network.accept(&guard(), &listener, false).map(|_| ());
    assert_eq!(accepted, Err(Errno::AGAIN));
    assert!(start.elapsed() >= Duration::from_millis(30));
    // A full queue never answers.
    let (full, address) = self::listener(&network);
    network.listen(&full, 0).unwrap();
    let mut waiting = Vec::new();
    let last = loop {
        let client = tcp(&network);
        let own = socket::companion(&client).unwrap().unwrap();
        own.set_timeout(Wait::Connect, Some(50_000_000));
        match network.connect(&guard(), &client, Some(address)) {
            Ok(()) if waiting.len() < 20 => waiting.push(client),
            other => break other,
        }
    };
    assert_eq!(last, Err(Errno::TIMEDOUT));
}

#[test]
fn blocking_calls_end_with_the_guest_and_not_before() {
    let network = network("*");
    let (listener, _) = listener(&network);
    let [one, other] = socket::pair(&guard(), Carries::Stream).unwrap();
    let stop = Guard { interrupt: crate::Interrupt::new(|| true), ..guard() };
    let accepted = crate::interrupt::tests::interrupted(|| {
        network.accept(&stop, &listener, false).map(|_| ())
    });
    assert_eq!(accepted, Err(Errno::INTR));
    // A signal that is not the guest's is not seen.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(60));
            send(&network, &other, b"late", Target::Connected).unwrap();
        });
        let received = crate::interrupt::tests::interrupted(|| receive(&network, &one, 9));
        assert_eq!(received.unwrap().0, b"late");
    });
}

/// A listener that has no room lets wait: neither a signal nor the end of the time is a connection.
#[test]
fn files_that_have_no_room_are_waited_for() {
    let network = network("*");
    let dir = tempfile::tempdir().unwrap();
    let (path, directory) = (dir.path().join("name"), rustix::fs::OFlags::PATH);
    let opened = |path| rustix::fs::open(path, directory, rustix::fs::Mode::empty()).unwrap();
    let open = || network.open(&guard(), Family::Unix, Carries::Stream).unwrap();
    let listener = open();
    network.bind_path(&guard(), &listener, opened(dir.path()), b"name", b"/name").unwrap();
    network.listen(&listener, 0).unwrap();
    let file = opened(&path);
    let connect =
        |guard: &Guard, client: &Descriptor| network.connect_path(guard, client, file.as_fd());
    let first = open();
    connect(&guard(), &first).unwrap();

    let timed = open();
    socket::companion(&timed).unwrap().unwrap().set_timeout(Wait::Connect, Some(50_000_000));
    let start = Instant::now();
    let ended = crate::interrupt::tests::interrupted(|| connect(&guard(), &timed));
    assert_eq!(ended, Err(Errno::TIMEDOUT));
    assert!(start.elapsed() >= Duration::from_millis(50));
    let stop = Guard { interrupt: crate::Interrupt::new(|| true), ..guard() };
    let ended = crate::interrupt::tests::interrupted(|| connect(&stop, &open()));
    assert_eq!(ended, Err(Errno::INTR));

    let waits = open();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(60));
            network.accept(&guard(), &listener, false).unwrap();
        });
        crate::interrupt::tests::interrupted(|| connect(&guard(), &waits)).unwrap();
    });
    let (server, _) = network.accept(&guard(), &listener, false).unwrap();
    send(&network, &waits, b"x", Target::Connected).unwrap();
    assert_eq!(receive(&network, &server, 9).unwrap().0, b"x");
}

#[test]
fn datagrams_stay_whole() {
    let network = network("*");
    let (one, other) = (udp(&network), udp(&network));
    network.bind(&one, at("127.0.0.1:0")).unwrap();
    let to = Target::Ip(local(&network, &one));
    send(&network, &other, b"first", to).unwrap();
    send(&network, &other, b"", to).unwrap();
    send(&network, &other, b"a longer one", to).unwrap();
    let from = Address::Ip(SocketAddr::new(at("127.0.0.1:0").ip(), local(&network, &other).port()));
    assert_eq!(receive(&network, &one, 100), Ok((b"first".to_vec(), from.clone())));
    assert_eq!(receive(&network, &one, 100), Ok((Vec::new(), from)));
    let mut bytes = [0; 4];
    for (real_length, len) in [(false, 4), (true, 12)] {
        let peek = !real_length;
        let flags = ReceiveFlags { peek, real_length, ..ReceiveFlags::default() };
        let got = with_bytes(&mut bytes, |vecs| network.receive_from(&guard(), &one, vecs, flags))
            .unwrap();
        assert!(got.cut_short);
        assert_eq!(got.bytes, len);
    }
    let none = ReceiveFlags { dont_wait: true, ..ReceiveFlags::default() };
    let got = with_bytes(&mut bytes, |vecs| network.receive_from(&guard(), &one, vecs, none));
    assert_eq!(got.map(|_| ()), Err(Errno::AGAIN));
}

#[test]
fn published_ports_are_shown_as_the_guest_knows_them() {
    // A port that is free, as far as one can know.
    let port = local_free_port();
    let published: Published = format!("127.0.0.1:{port}:80").parse().unwrap();
    let network = Network::default().publish([published]);
    let socket = tcp(&network);
    assert_eq!(network.bind(&socket, at("0.0.0.0:81")), Err(Errno::ACCESS));
    network.bind(&socket, at("0.0.0.0:80")).unwrap();
    network.listen(&socket, 4).unwrap();
    assert_eq!(local(&network, &socket).port(), 80);
    let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (accepted, from) = network.accept(&guard(), &socket, false).unwrap();
    assert_eq!(local(&network, &accepted).port(), 80);
    assert_eq!(from, Address::Ip(client.local_addr().unwrap()));
    assert_eq!(
        network.connect(&guard(), &tcp(&network), Some(at("127.0.0.1:1"))),
        Err(Errno::ACCESS)
    );
}

fn local_free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Answers each name with the next of its lists.
#[derive(Debug)]
struct Changing(std::sync::Mutex<Vec<Vec<IpAddr>>>);

impl Names for Changing {
    fn addresses(&self, _: &str) -> Result<Vec<IpAddr>> {
        self.0.lock().unwrap().pop().ok_or(Errno::NOENT)
    }
}

#[test]
fn a_name_leads_where_it_led_first() {
    let (_listener, address) = listener(&network("*"));
    let port = address.port();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let answers = vec![vec![ip("127.0.0.1")], vec![ip("192.0.2.1"), ip("127.0.0.1")]];
    let names = Changing(std::sync::Mutex::new(answers));
    let network = network(&format!("connect:evil.example:{port}")).with_names(names);
    let resolve = |name| network.resolve(&guard(), name);
    // This host is no answer for that name, now or later.
    assert_eq!(resolve("Evil.Example."), Ok(vec![ip("192.0.2.1")]));
    assert_eq!(resolve("evil.example"), Ok(vec![ip("192.0.2.1")]));
    assert_eq!(network.connect(&guard(), &tcp(&network), Some(address)), Err(Errno::ACCESS));
    assert_eq!(resolve("other.example"), Err(Errno::ACCESS));
    assert_eq!(resolve("127.0.0.1"), Ok(vec![ip("127.0.0.1")]));
    for wrong in ["", "a b", "0x7f.1", "a\0b"] {
        assert_eq!(resolve(wrong), Err(Errno::INVAL), "{wrong:?}");
    }
    let named = self::network("connect:localhost");
    assert!(named.resolve(&guard(), "localhost").unwrap().iter().all(IpAddr::is_loopback));
    assert_eq!(named.connect(&guard(), &tcp(&named), Some(address)), Ok(()));
}

#[test]
fn sockets_are_limited() {
    let limits = Arc::new(Limits::new().with(Resource::Sockets, 3));
    let guard = Guard { meter: limits.clone(), ..guard() };
    let network = network("*");
    let open = || network.open(&guard, Family::V4, Carries::Stream);
    let (one, two) = (open().unwrap(), open().unwrap());
    assert_eq!(socket::pair(&guard, Carries::Stream).map(|_| ()), Err(Errno::NOBUFS));
    let three = open().unwrap();
    assert_eq!(open().map(|_| ()), Err(Errno::NOBUFS));
    drop((one, two, three));
    assert_eq!(limits.left(Resource::Sockets), 3);
}

#[test]
fn sockets_that_are_files() {
    let dir = tempfile::tempdir().unwrap();
    let directory = || OwnedFd::from(std::fs::File::open(dir.path()).unwrap());
    let network = network("*");
    let open = || network.open(&guard(), Family::Unix, Carries::Stream).unwrap();
    let listener = open();
    for wrong in [&b""[..], b".", b"..", b"a/b"] {
        let bound = network.bind_path(&guard(), &listener, directory(), wrong, b"/x");
        assert_eq!(bound, Err(Errno::INVAL));
    }
    // The directory stays open as long as the socket.
    let limits = Arc::new(Limits::new().with(Resource::OpenFiles, 1));
    let limited = Guard { meter: limits.clone(), ..guard() };
    let first = open();
    network.bind_path(&limited, &first, directory(), b"first", b"/run/first").unwrap();
    let bound = network.bind_path(&limited, &listener, directory(), b"name", b"/run/name");
    assert_eq!(bound, Err(Errno::NOBUFS));
    drop(first);
    assert_eq!(limits.left(Resource::OpenFiles), 1);
    network.bind_path(&guard(), &listener, directory(), b"name", b"/run/name").unwrap();
    network.listen(&listener, 1).unwrap();
    assert_eq!(network.local(&listener), Ok(Address::Unix(b"/run/name".to_vec())));
    let again = network.bind_path(&guard(), &open(), directory(), b"name", b"/run/name");
    assert_eq!(again, Err(Errno::ADDRINUSE));
    // A link is not followed to make a socket.
    std::os::unix::fs::symlink("/run/elsewhere", dir.path().join("link")).unwrap();
    let linked = network.bind_path(&guard(), &open(), directory(), b"link", b"/run/link");
    assert_eq!(linked, Err(Errno::ADDRINUSE));
    let path = rustix::fs::open(
        dir.path().join("name"),
        rustix::fs::OFlags::PATH,
        rustix::fs::Mode::empty(),
    );
    let client = open();
    network.connect_path(&guard(), &client, path.unwrap().as_fd()).unwrap();
    let (server, _) = network.accept(&guard(), &listener, false).unwrap();
    assert_eq!(network.peer(&client), Ok(Address::Unix(b"/run/name".to_vec())));
    assert_eq!(network.peer(&server), Ok(Address::Unix(Vec::new())));
    send(&network, &client, b"x", Target::Connected).unwrap();
    assert_eq!(receive(&network, &server, 9).unwrap().0, b"x");
    let refused = self::network("connect:*");
    let bound = refused.bind_path(&guard(), &open(), directory(), b"two", b"/two");
    assert_eq!(bound, Err(Errno::ACCESS));
}

#[test]
fn groups_are_asked_for() {
    let denied = network("*:1-65535,deny:@multicast");
    let socket = udp(&denied);
    let group = std::net::Ipv4Addr::new(224, 0, 0, 251);
    let any = std::net::Ipv4Addr::LOCALHOST;
    assert_eq!(denied.membership_v4(&socket, group, any, true), Err(Errno::ACCESS));
    let all = network("*");
    let socket = udp(&all);
    all.membership_v4(&socket, group, any, true).unwrap();
    all.membership_v4(&socket, group, any, false).unwrap();
    assert_eq!(all.membership_v4(&socket, group, any, false), Err(Errno::ADDRNOTAVAIL));
}

#[test]
fn files_are_sent_without_moving_in_them() {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    file.seek(std::io::SeekFrom::Start(3)).unwrap();
    let file = crate::Handed::owned(file.into()).unwrap();
    let file = Descriptor::new(crate::Object::Kernel(file));
    let network = network("*");
    let [one, other] = socket::pair(&guard(), Carries::Stream).unwrap();
    assert_eq!(send_file(&guard(), &one, &file, 2, 5), Ok(5));
    assert_eq!(receive(&network, &other, 100).unwrap().0, b"23456");
    assert_eq!(send_file(&guard(), &one, &file, 8, u64::MAX), Ok(2));
    assert_eq!(send_file(&guard(), &one, &file, 10, 1), Ok(0));
    assert_eq!(send_file(&guard(), &one, &file, u64::MAX, 1), Err(Errno::INVAL));
    assert_eq!(send_file(&guard(), &one, &other, 0, 1), Err(Errno::SPIPE));
    assert_eq!(
        send_file(&guard(), &Descriptor::new(crate::Object::Null), &file, 0, 1),
        Err(Errno::INVAL)
    );
    let limits = Arc::new(Limits::new().with(Resource::OutputBytes, 3));
    let limited = Guard { meter: limits.clone(), ..guard() };
    assert_eq!(send_file(&limited, &one, &file, 9, 9), Ok(1));
    assert_eq!(limits.left(Resource::OutputBytes), 2);
    assert_eq!(send_file(&limited, &one, &file, 0, 9), Ok(2));
    assert_eq!(send_file(&limited, &one, &file, 0, 9), Err(Errno::NOSPC));
}

#[test]
fn what_a_sent_file_costs_is_that_of_a_write() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let new_file = || tempfile::tempfile().unwrap();
    let handed = |fd: OwnedFd| crate::Handed::owned(fd).unwrap();
    let new = |handed| Descriptor::new(crate::Object::Kernel(handed));
    let source = new_file();
    std::os::unix::fs::FileExt::write_all_at(&source, b"0123456789", 0).unwrap();
    let source = new(handed(source.into()));
    // A gap counts.
    let target = new(handed(new_file().into()));
    target.seek(rustix::fs::SeekFrom::Start(1000)).unwrap();
    for (left, result, left_after) in
        [(999, Err(Errno::NOSPC), 999), (1000, Err(Errno::NOSPC), 1000), (1004, Ok(4), 0)]
    {
        let limits = Arc::new(Limits::new().with(Resource::OutputBytes, left));
        let limited = Guard { meter: limits.clone(), ..guard() };
        assert_eq!(send_file(&limited, &target, &source, 0, 10), result, "{left}");
        assert_eq!(limits.left(Resource::OutputBytes), left_after, "{left}");
    }
    assert_eq!(target.stat().unwrap().size, 1004);
    // What the guest made non-blocking does not wait, though the open file would.
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    let full = vec![0; rustix::pipe::fcntl_getpipe_size(&writer).unwrap()];
    rustix::io::write(&writer, &full).unwrap();
    let shared = new(crate::Handed::shared(writer).unwrap());
    shared.set_status_flags(crate::StatusFlags::NONBLOCK).unwrap();
    assert_eq!(send_file(&guard(), &shared, &source, 0, 1), Err(Errno::AGAIN));
    // Who wants to know that nobody reads is told.
    static TOLD: AtomicU32 = AtomicU32::new(0);
    let (_, writer) = rustix::pipe::pipe().unwrap();
    let tell = || {
        TOLD.fetch_add(1, Ordering::Relaxed);
    };
    let broken = new(handed(writer).on_broken_pipe(tell));
    assert_eq!(send_file(&guard(), &broken, &source, 0, 1), Err(Errno::PIPE));
    assert_eq!(TOLD.load(Ordering::Relaxed), 1);
}
