//! Programs made of unmodified crates: a server of hyper on a small executor over epoll; and threads
//! with locks and conditions beside a set of epoll.
//!
//! Sources and scripts that build them lie in `guests` and `guests/rust`. Each test names the tier.

use std::io::Write;
use std::time::{Duration, Instant};
use wasmoor_tests::binary::finish;
use wasmoor_tests::http::{Client, pattern};
use wasmoor_tests::server::{LIMIT, Server, command};

const TIERS: [&str; 3] = ["auto", "baseline", "optimizing"];

fn server(tier: &str) -> Server {
    Server::start(&["--net=listen:127.0.0.1", "--tier", tier, "hyper_server.wasm"])
}

/// The server ends when it is asked; who asks waits for the answer.
fn end(mut server: Server, tier: &str) {
    assert_eq!(Client::at(server.port).text("/end"), "bye\n", "tier {tier}");
    assert_eq!(server.wait(), Some(0), "tier {tier}");
}

#[test]
fn a_connection_is_kept_and_requests_may_come_in_one_piece() {
    for tier in TIERS {
        let mut server = server(tier);
        let mut client = Client::at(server.port);
        for round in 0..100 {
            assert_eq!(client.text("/"), "Hello, world\n", "tier {tier}, {round}");
        }
        assert_eq!(client.text("/open"), "1", "tier {tier}");
        let both = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(&both.repeat(50));
        for round in 0..50 {
            let (first, second) = (client.answer(), client.answer());
            assert_eq!(first.body, b"Hello, world\n", "tier {tier}, {round}");
            assert_eq!((first.status, second.status), (200, 404), "tier {tier}, {round}");
        }
        assert_eq!(client.text("/open"), "1", "tier {tier}");
        drop(client);
        let mut last = Client::at(server.port);
        assert_eq!(last.text("/end"), "bye\n", "tier {tier}");
        assert_eq!(server.line(), "requests 203", "tier {tier}");
        assert_eq!(server.wait(), Some(0), "tier {tier}");
    }
}

/// More than sockets hold: it comes in pieces, and both sides wait for each other.
#[test]
fn large_bodies() {
    for tier in TIERS {
        let server = server(tier);
        let body = pattern(6 << 20);
        let mut client = Client::at(server.port);
        let mut writer = client.0.get_ref().try_clone().expect("a second number");
        let echoed = std::thread::scope(|scope| {
            scope.spawn(|| {
                let head = format!("POST /echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
                writer.write_all(head.as_bytes()).expect("it is sent");
                writer.write_all(&body).expect("it is sent");
            });
            client.answer()
        });
        assert!(echoed.body == body, "tier {tier}: {} bytes came back", echoed.body.len());
        client.send(b"POST /count HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(100_000) {
            client.send(format!("{:x}\r\n", piece.len()).as_bytes());
            client.send(piece);
            client.send(b"\r\n");
        }
        client.send(b"0\r\n\r\n");
        assert_eq!(client.answer().body, body.len().to_string().as_bytes(), "tier {tier}");
        // Another is served while one does not read its answer.
        client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(Client::at(server.port).text("/"), "Hello, world\n", "tier {tier}");
        assert!(client.answer().body == pattern(8 << 20), "tier {tier}");
        end(server, tier);
    }
}

#[test]
fn two_hundred_connections() {
    for tier in TIERS {
        let server = server(tier);
        let mut clients: Vec<Client> = (0..200).map(|_| Client::at(server.port)).collect();
        for _ in 0..3 {
            // All wait at the same time.
            for client in &mut clients {
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            }
            for client in clients.iter_mut().rev() {
                assert_eq!(client.answer().body, b"Hello, world\n", "tier {tier}");
            }
        }
        assert_eq!(clients[0].text("/open"), "200", "tier {tier}");
        clients.truncate(100);
        until_open(&mut clients[0], "100");
        clients.extend((0..50).map(|_| Client::at(server.port)));
        for client in &mut clients {
            assert_eq!(client.text("/"), "Hello, world\n", "tier {tier}");
        }
        assert_eq!(clients[0].text("/open"), "150", "tier {tier}");
        drop(clients);
        end(server, tier);
    }
}

/// The server learns of connections that end when it looks next.
fn until_open(client: &mut Client, count: &str) {
    let start = Instant::now();
    loop {
        let open = client.text("/open");
        if open == count {
            return;
        }
        assert!(start.elapsed() < LIMIT, "{open} are open, not {count}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_goes_wrong_on_one_connection_ends_that_one() {
    for tier in TIERS {
        let mut server = server(tier);
        let mut steady = Client::at(server.port);
        assert_eq!(steady.text("/"), "Hello, world\n", "tier {tier}");
        let mut wrong = Client::at(server.port);
        wrong.send(b"GET / HTTP/1.1\r\nno header\r\n\r\n");
        assert_eq!(wrong.answer().status, 400, "tier {tier}");
        assert_eq!(server.line(), "connection: invalid HTTP header parsed", "tier {tier}");
        let mut gone = Client::at(server.port);
        gone.send(b"POST /count HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
        drop(gone);
        assert!(server.line().starts_with("connection: "), "tier {tier}");
        until_open(&mut steady, "1");
        assert_eq!(steady.text("/"), "Hello, world\n", "tier {tier}");
        end(server, tier);
    }
}

/// Eight threads take numbers from a queue and tell the main thread, which gives more as its set
/// hears of them: no wake-up and no event is lost, or it would hang.
#[test]
fn a_pool_of_threads_and_a_set() {
    for tier in TIERS {
        for round in 0..5 {
            let finished = finish(command(&["--tier", tier, "pool.wasm"]), b"", LIMIT);
            let finished = finished.unwrap_or_else(|why| panic!("tier {tier}, {round}: {why}"));
            assert!(finished.status.success(), "tier {tier}, {round}: {}", finished.stderr);
            let expect = "told 20000\nby pipes 20000\nsum 2666866670000\n";
            assert_eq!(finished.stdout(), expect, "tier {tier}, {round}");
        }
    }
}
