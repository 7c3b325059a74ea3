//! Networking of WASIX guests: servers with many connections, and what the command grants. The command
//! runs each guest as named: tier by `--tier`, on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use wasmoor_tests::binary::{Finished, finish};
use wasmoor_tests::guest::left_out;
use wasmoor_tests::server::{LIMIT, Server, command, connect};

const TIERS: [&str; 3] = ["auto", "baseline", "optimizing"];
/// `errno` of WASIX.
const ACCES: &str = "-2";

fn run(args: &[&str]) -> Finished {
    finish(command(args), b"", LIMIT).expect("the command ends in time")
}

/// One request, in two pieces; the answer.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").expect("it is sent");
    stream.write_all(b"\r\n").expect("it is sent");
    let mut answer = vec![0; 78];
    stream.read_exact(&mut answer).expect("it is answered");
    String::from_utf8_lossy(&answer).into_owned()
}

/// More connections than one poll of others takes, most of them idle.
#[test]
fn servers_with_many_connections() {
    for (mode, tier, idle) in [
        ("level", "auto", 1_500),
        ("edge", "baseline", 200),
        ("poll", "optimizing", 200),
        ("poll", "auto", 1_500),
    ] {
        let server = Server::start(&["--net", "--tier", tier, "net_server.wasm", mode]);
        let mut active: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
        let mut idle: Vec<TcpStream> = (0..idle).map(|_| server.connect()).collect();
        for round in 0..20 {
            for stream in &mut active {
                let answer = ask(stream);
                assert!(answer.ends_with("Hello, world\n"), "{mode} {tier} {round}: {answer}");
            }
            // Some go, and others come under their numbers.
            idle.truncate(idle.len() - 5);
            idle.push(server.connect());
            let last = idle.last_mut().expect("one was pushed");
            assert!(ask(last).starts_with("HTTP/1.1 200 OK"), "{mode} {tier} {round}");
        }
        assert_eq!(server.end(), Some(0), "{mode} {tier}");
    }
}

#[test]
fn nothing_without_a_grant() {
    let finished = run(&["net_server.wasm", "level"]);
    assert_eq!(finished.stdout(), format!("socket {ACCES}\n"));
    let finished = run(&["--net=connect:*", "net_server.wasm", "level", "1234"]);
    assert_eq!(finished.stdout(), format!("listen {ACCES}\n"));
    assert!(finished.stderr.contains("refused: listening for Tcp on 127.0.0.1:1234"));
}

#[test]
fn rules_and_published_ports() {
    let server = Server::start(&["--net=listen:127.0.0.1", "net_server.wasm", "level"]);
    assert!(ask(&mut server.connect()).starts_with("HTTP"));
    assert_eq!(server.end(), Some(0));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let publish = format!("{free}:80");
    let mut server = Server::start(&["--publish", &publish, "net_server.wasm", "poll", "80"]);
    assert_eq!(server.port, 80, "the guest knows its own port");
    server.port = free;
    assert!(ask(&mut server.connect()).starts_with("HTTP"));
    assert_eq!(server.end(), Some(0));
}

#[test]
fn sockets_are_limited() {
    let finished = run(&["--net", "--max-sockets", "0", "net_server.wasm", "level"]);
    // nobufs.
    assert_eq!(finished.stdout(), "socket -42\n");
}

#[test]
fn wrong_grants_are_explained() {
    for (args, text) in [
        (&["--net=a:b"][..], "the rule `a:b` is wrong: a port is a number up to 65535"),
        (&["--net=allow:"], "this is no name or address of a host"),
        (&["--publish", "80"], "expected HOST:GUEST, two port numbers"),
        (&["--max-sockets", "x"], "--max-sockets"),
    ] {
        let mut args = args.to_vec();
        args.push("exit.wat");
        let finished = run(&args);
        assert_eq!(finished.status.code(), Some(2), "{args:?}");
        assert!(finished.stderr.contains(text), "{args:?}: {}", finished.stderr);
    }
}

/// A guest that waits without end is ended by its time.
#[test]
fn waiting_ends_with_the_time() {
    for mode in ["level", "poll"] {
        let finished = run(&["--net", "--timeout", "300ms", "net_server.wasm", mode]);
        assert_eq!(finished.status.code(), Some(134), "{mode}: {}", finished.stderr);
    }
}

/// There is no time but what the guest sets: other runtimes give up after 30 s.
#[test]
fn nothing_gives_up_after_half_a_minute() {
    let modes = ["accept", "read", "epoll", "poll"];
    let start = |mode: &&str| Server::start(&["--net", "net_wait.wasm", mode]);
    let mut servers: Vec<Server> = modes.iter().map(start).collect();
    let mut reading = servers[1].connect();
    std::thread::sleep(Duration::from_secs(31));
    reading.write_all(b"x").expect("it is sent");
    for (server, mode) in servers.iter_mut().zip(modes) {
        // Who reads has a connection, and may have ended.
        let connection = (mode != "read").then(|| server.connect());
        assert_eq!(server.line(), format!("{mode} done"));
        drop(connection);
        assert_eq!(server.wait(), Some(0), "{mode}");
    }
}

/// One set for streams, datagrams, timers and a waker, with edges.
#[test]
fn a_reactor() {
    for tier in TIERS {
        let mut server = Server::start(&["--net", "--tier", tier, "net_reactor.wasm", "40"]);
        let mut streams: Vec<TcpStream> = (0..10).map(|_| server.connect()).collect();
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        datagrams.set_read_timeout(Some(LIMIT)).expect("a time is set");
        for round in 0..4 {
            let line = format!("line {round}\n");
            for stream in &mut streams {
                stream.write_all(line.as_bytes()).expect("it is sent");
            }
            let message = vec![b'm'; 100 * round];
            datagrams.send_to(&message, ("127.0.0.1", server.port)).expect("it is sent");
            let mut answer = [0; 1024];
            let len = datagrams.recv(&mut answer).expect("it is answered");
            assert_eq!(&answer[..len], message, "tier {tier}");
            for stream in &mut streams {
                let mut answer = vec![0; line.len()];
                stream.read_exact(&mut answer).expect("it is answered");
                assert_eq!(answer, line.as_bytes(), "tier {tier}");
            }
        }
        assert_eq!(server.line(), "woken yes", "tier {tier}");
        assert_eq!(server.wait(), Some(0), "tier {tier}");
    }
}

/// Modules of others, where they are.
fn testdata(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WASMOOR_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata"),
        PathBuf::from,
    );
    let path = folder.join("wasix").join(name);
    match std::fs::metadata(&path) {
        Ok(_) => Some(path),
        Err(error) => {
            left_out(&format!("{}; set WASMOOR_TESTDATA", path.display()), &error);
            None
        }
    }
}

/// A program that serves at a port of its own choice, which is another one here; and a connection.
fn published(args: &[&str], port: u16, path: &Path) -> (Server, TcpStream) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (publish, shown) = (format!("127.0.0.1:{free}:{port}"), path.display().to_string());
    let args = [args, &["--publish", &publish, &shown]].concat();
    let mut server = Server::at(&args, free);
    let start = std::time::Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", free)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LIMIT)).expect("a time is set");
                if port == 7878 {
                    assert_eq!(server.line(), "Listening on 127.0.0.1:7878");
                }
                return (server, stream);
            }
            Err(error) => assert!(start.elapsed() < LIMIT, "nobody listens: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn programs_of_others() {
    if let Some(path) = testdata("own/epoll_echo.wasm") {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let shown = path.display().to_string();
        let port_text = port.to_string();
        let mut command = command(&["--net", &shown, &port_text, "2"]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let first = lines.next().expect("it prints").expect("it prints text");
        assert_eq!(first, format!("127.0.0.1:{port}"));
        for text in ["one", "another"] {
            let mut stream = connect(port);
            stream.write_all(text.as_bytes()).unwrap();
            let mut answer = vec![0; text.len()];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, text.as_bytes());
        }
        assert_eq!(lines.next().expect("it prints").expect("it prints text"), "served 2");
        assert!(child.wait().unwrap().success());
    }
    if let Some(path) = testdata("legacy-2023/example-tcp-listener.wasm") {
        let (mut server, mut stream) = published(&["--net"], 7878, &path);
        stream.write_all(b"x").expect("it is sent");
        assert_eq!(server.line(), "Connection established!");
    }
    // Threads, an asynchronous runtime of the guest's own, files.
    if let Some(path) = testdata("legacy-2023/web-server.wasm") {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("public")).unwrap();
        std::fs::write(folder.path().join("public/index.html"), "a page\n").unwrap();
        let dir = format!("{}::/", folder.path().display());
        let (_server, mut stream) = published(&["--net", "--dir", &dir], 80, &path);
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        assert!(answer.starts_with("HTTP/1.0 200 OK") && answer.ends_with("a page\n"), "{answer}");
    }
    if let Some(path) = testdata("own/rust_epoll.wasm") {
        let finished = run(&["--net", &path.display().to_string()]);
        assert!(finished.stdout().starts_with("0 event(s)\n"), "{}", finished.stdout());
    }
}
