//! Nothing grows: a guest whose connections, threads, children, timers and descriptors come and go has,
//! whenever all have gone, what it had before.
//!
//! Twenty seconds by default. For half an hour, of a binary at hand:
//!
//! ```sh
//! WASMOOR_SOAK_SECONDS=1800 WASMOOR_BIN=target/release/wasmoor \
//!     cargo test -p wasmoor-tests --test soak -- --nocapture
//! ```

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasmoor_tests::guest;
use wasmoor_tests::server::Server;

/// What may be asked of the guest by one byte, and how often of 64 times: bytes, threads, forks,
/// programs, signals, timers, descriptors.
const REQUESTS: [(u8, usize); 7] =
    [(b'e', 40), (b't', 8), (b'f', 4), (b'x', 1), (b'k', 3), (b'a', 3), (b'd', 5)];
const CLIENTS: u64 = 4;
/// Connections that a client has at the same time.
const CONNECTIONS: usize = 8;
/// Memory that may come and go with the allocator's moods.
const MEMORY_SLACK: u64 = 512 << 10;
/// Threads of the host that are kept for guest threads to come, of which there are up to eight at once.
const THREADS_SLACK: usize = 4;

/// What a process has when all that came has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holdings {
    memory_bytes: u64,
    descriptors: usize,
    threads: usize,
    children: usize,
}

impl Holdings {
    fn of(process: u32) -> Holdings {
        let at = |name: &str| PathBuf::from(format!("/proc/{process}/{name}"));
        let status = fs::read_to_string(at("status")).expect("the guest runs");
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = kib.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let count = |name: &str| fs::read_dir(at(name)).expect("the guest runs").count();
        let children = |thread: fs::DirEntry| {
            let children = fs::read_to_string(thread.path().join("children"));
            children.unwrap_or_default().split_whitespace().count()
        };
        let threads = fs::read_dir(at("task")).expect("the guest runs").flatten();
        Holdings {
            memory_bytes: kib.expect("the system says") << 10,
            descriptors: count("fd"),
            threads: count("task"),
            // Zombies are children too.
            children: threads.map(children).sum(),
        }
    }

    /// The most of each.
    fn max(of: &[Holdings]) -> Holdings {
        Holdings {
            memory_bytes: of.iter().map(|held| held.memory_bytes).max().unwrap_or(0),
            descriptors: of.iter().map(|held| held.descriptors).max().unwrap_or(0),
            threads: of.iter().map(|held| held.threads).max().unwrap_or(0),
            children: of.iter().map(|held| held.children).max().unwrap_or(0),
        }
    }
}

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }

    fn request(&mut self) -> u8 {
        let mut at = self.below(REQUESTS.iter().map(|(_, weight)| weight).sum());
        let found = REQUESTS.iter().find(|(_, weight)| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        found.map_or(b'e', |(request, _)| *request)
    }
}

fn ask(stream: &mut TcpStream, requests: &[u8]) {
    stream.write_all(requests).expect("it is sent");
    let mut answers = vec![0; requests.len()];
    stream.read_exact(&mut answers).expect("all is answered");
    // Threads and children answer when they get to it.
    let mut asked = requests.to_vec();
    asked.sort_unstable();
    answers.sort_unstable();
    assert_eq!(answers, asked);
}

/// One client's part of a round; how much it asked.
fn client(server: &Server, numbers: &mut Numbers) -> usize {
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut asked = 0;
    for _ in 0..24 {
        if streams.len() < CONNECTIONS && numbers.below(2) == 0 || streams.is_empty() {
            streams.push(server.connect());
        }
        let at = numbers.below(streams.len());
        let requests: Vec<u8> = (0..=numbers.below(6)).map(|_| numbers.request()).collect();
        ask(&mut streams[at], &requests);
        asked += requests.len();
        match numbers.below(8) {
            0 => drop(streams.swap_remove(at)),
            // Gone without hearing the answer.
            1 => drop(streams.swap_remove(at).write_all(b"eee")),
            _ => {}
        }
    }
    asked
}

/// All clients for a while, until all that came has gone.
fn round(server: &Server, number: u64) -> usize {
    let asked = std::thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client_number| {
            let mut numbers = Numbers(number * CLIENTS + client_number);
            scope.spawn(move || client(server, &mut numbers))
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().expect("it is served")).sum::<usize>()
    });
    // When this is answered the ends of the other connections have come before.
    ask(&mut server.connect(), b"w");
    asked + 1
}

#[test]
fn nothing_grows() {
    let seconds = std::env::var("WASMOOR_SOAK_SECONDS")
        .map_or(20, |text| text.parse().expect("WASMOOR_SOAK_SECONDS is a number of seconds"));
    let folder = TempDir::new().expect("a folder");
    fs::copy(guest::path("soak.wasm"), folder.path().join("program")).expect("it is in the tree");
    let dir = format!("{}::/", folder.path().display());
    let server = Server::start(&["--net", "--dir", &dir, "soak.wasm"]);
    let (start, whole) = (Instant::now(), Duration::from_secs(seconds));
    let (mut asked, mut samples) = (0, Vec::new());
    for number in 0.. {
        asked += round(&server, number);
        // The one connection that is left is about to go; so are threads that had nothing to do.
        std::thread::sleep(Duration::from_millis(20));
        samples.push((start.elapsed(), Holdings::of(server.process())));
        if start.elapsed() > whole {
            break;
        }
    }
    let part = |from: f64, to: f64| {
        let within = |at: &Duration| *at >= whole.mul_f64(from) && *at < whole.mul_f64(to);
        let part = samples.iter().filter(|(at, _)| within(at)).map(|(_, held)| *held);
        part.collect::<Vec<_>>()
    };
    let (early, late) = (part(0.2, 0.6), part(0.6, 9.9));
    assert!(early.len() > 2 && late.len() > 2, "too few rounds: {samples:?}");
    let (before, after) = (Holdings::max(&early), Holdings::max(&late));
    println!("{} rounds, {asked} requests in {:?}", samples.len(), start.elapsed());
    println!("20 % to 60 %: {before:?}\n60 % to 100 %: {after:?}");
    assert_eq!(after.children, 0, "children are left");
    assert!(after.descriptors <= before.descriptors, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + THREADS_SLACK, "{before:?} {after:?}");
    assert!(after.memory_bytes <= before.memory_bytes + MEMORY_SLACK, "{before:?} {after:?}");
    let mut last = server.connect();
    last.write_all(b"q").expect("it is sent");
}
