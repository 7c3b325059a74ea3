//! Guests that run while calls go wrong.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasmoor_tests::guest::{self, left_out};
use wasmoor_tests::http::{Client, pattern};
use wasmoor_tests::injection::calls::{Fault, Table};
use wasmoor_tests::injection::{Outcome, Plan, Run};
use wasmoor_tests::server;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);
/// Seeds without `WASMOOR_INJECT_SECONDS`.
const SEEDS: u64 = 8;
/// The program that goes on whatever it is told, and tells what it was told.
const STEADY: &str = "fault_check";
/// Programs that have never heard of `EINTR` where no signal is for them.
const OTHERS: [&str; 6] =
    ["net_check", "file_check", "process_check", "signal_check", "thread_check", "limits_check"];
/// What a program meets also when nothing goes wrong.
const ALWAYS: &str = "EAGAIN";

/// Seeds, for as long as is wished.
fn seeds() -> impl Iterator<Item = u64> {
    let seconds = std::env::var("WASMOOR_INJECT_SECONDS")
        .map_or(0, |text| text.parse().expect("WASMOOR_INJECT_SECONDS is a number of seconds"));
    let start = Instant::now();
    (1..).take_while(move |seed| *seed <= SEEDS || start.elapsed().as_secs() < seconds)
}

/// What was made of which calls, in all runs of a test.
struct Total {
    fault: Fault,
    table: Table,
    made: BTreeMap<String, u64>,
}

impl Total {
    fn new(fault: Fault) -> Self {
        Total { fault, table: Table::read(), made: BTreeMap::new() }
    }

    /// Takes a run into account.
    fn add(&mut self, what: &str, outcome: &Outcome) {
        let Outcome { stderr, seen, made, .. } = outcome;
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
        for call in seen.keys() {
            assert!(self.table.has(call), "{what}: `{call}` is not in the table");
        }
        for (call, count) in made {
            *self.made.entry(call.clone()).or_default() += count;
        }
    }

    /// Every call that the table names has gone wrong.
    fn end(self) {
        for call in self.table.with(self.fault) {
            let count = self.made.get(call);
            assert!(count.is_some(), "`{call}` was never {:?}", self.fault);
        }
        println!("{:?}: {:?}", self.fault, self.made);
    }
}

/// A run, or the reason why there is none.
fn run(args: &[&str], folder: &Path, plan: Plan) -> Option<Run> {
    match Run::start(args, folder, LIMIT, plan) {
        Ok(run) => Some(run),
        Err(error) => {
            left_out("system calls that go wrong", &error);
            None
        }
    }
}

/// A check in a folder as `alike.rs` has it.
fn check(name: &str, tier: &str, plan: Plan) -> Option<Outcome> {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(guest::path(&format!("{name}.wasm")), at("program")).expect("it is in the tree");
    std::fs::write(at("text"), "no program\n").expect("a file");
    let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(at("text"), may_run).expect("it is ours");
    std::fs::create_dir(at("dir")).expect("a folder");
    std::fs::write(at("dir/inner"), "inner").expect("a file");
    let mut args = vec!["--net", "--tier", tier, "--dir", ".::/"];
    if name == "limits_check" {
        args.extend(["--max-open-files", "48"]);
    }
    args.extend(["program", "./program"]);
    let what = format!("{name}, {tier}, {plan:?}");
    let outcome = run(&args, folder.path(), plan)?.finish();
    let outcome = outcome.unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let record = std::fs::read_to_string(guest::path(&format!("{name}.out"))).expect("a record");
    assert_eq!(outcome.stdout, record, "{what}: {}, {:?}", outcome.stderr, outcome.made);
    assert!(outcome.status.success(), "{what}: {}", outcome.stderr);
    Some(outcome)
}

/// The tier of a seed: each has its turn.
fn tier(seed: u64) -> &'static str {
    ["auto", "baseline", "optimizing"][seed as usize % 3]
}

/// How often the guest met each error.
fn met(outcome: &Outcome) -> BTreeMap<&str, u64> {
    let lines =
        outcome.stderr.lines().filter_map(|line| line.strip_prefix("met ")?.split_once(' '));
    lines.map(|(name, count)| (name, count.parse().expect("a count"))).collect()
}

/// What the steady program's process has open at its end: the streams, where signals of the host arrive, and
/// what the thread has that looks after these and timers, if it has not ended yet.
const OPEN_AT_END: [(&str, usize); 3] =
    [("/dev/null", 2), ("pipe:[]", 5), ("anon_inode:[eventfd]", 1)];

fn check_descriptors(what: &str, outcome: &Outcome) {
    let Outcome { open_at_end: open, made, .. } = outcome;
    assert!(!open.is_empty(), "{what}: nobody looked");
    for kind in open {
        let count = open.iter().filter(|other| *other == kind).count();
        let most = OPEN_AT_END.iter().find(|(known, _)| known == kind).map_or(0, |(_, most)| *most);
        assert!(count <= most, "{what}: {count} of {kind} are open at the end: {made:?}");
    }
}

/// The steady program under a kind of faults, which may tell it of these errors, and does of the first.
fn steady(fault: Fault, errors: &[&str], total: &mut Total) -> Option<()> {
    let plain = check(STEADY, "auto", Plan::Nothing)?;
    check_descriptors("without faults", &plain);
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds() {
        let what = format!("{STEADY}, {fault:?}, seed {seed}");
        let outcome = check(STEADY, tier(seed), Plan::Guest { fault, seed })?;
        for (error, count) in met(&outcome) {
            let may = errors.contains(&error) || error == ALWAYS;
            assert!(may, "{what}: {error} {count} times: {:?}", outcome.made);
            *all.entry(error.to_owned()).or_default() += count;
        }
        check_descriptors(&what, &outcome);
        total.add(&what, &outcome);
    }
    for error in errors {
        assert!(all.contains_key(*error), "the guest was never told {error}: {all:?}");
    }
    Some(())
}

#[test]
fn calls_that_are_broken_off_are_made_again() {
    let mut total = Total::new(Fault::Broken);
    let Some(()) = steady(Fault::Broken, &[], &mut total) else { return };
    for seed in seeds().step_by(SEEDS as usize) {
        for (number, name) in (0..).zip(OTHERS) {
            let plan = Plan::Guest { fault: Fault::Broken, seed };
            let Some(outcome) = check(name, tier(seed / SEEDS + number), plan) else { return };
            total.add(name, &outcome);
        }
    }
    servers(Fault::Broken, &mut total);
    total.end();
}

#[test]
fn bytes_that_come_in_pieces_all_come() {
    let mut total = Total::new(Fault::Short);
    let Some(()) = steady(Fault::Short, &[], &mut total) else { return };
    servers(Fault::Short, &mut total);
    total.end();
}

#[test]
fn a_guest_is_told_that_no_descriptor_is_left_and_can_go_on() {
    let mut total = Total::new(Fault::Descriptors);
    let Some(()) = steady(Fault::Descriptors, &["EMFILE", "ENFILE"], &mut total) else { return };
    total.end();
}

#[test]
fn a_guest_is_told_what_the_system_is_short_of_and_can_go_on() {
    let mut total = Total::new(Fault::Refused);
    let errors = ["ENOBUFS", "ENOMEM", "ENOSPC", "ECONNABORTED"];
    let Some(()) = steady(Fault::Refused, &errors, &mut total) else { return };
    total.end();
}

/// Servers of unmodified crates and of SQLite, and one whose connections, threads and children come and go.
fn servers(fault: Fault, total: &mut Total) {
    for seed in seeds().step_by(SEEDS as usize) {
        let ends: [fn(&str, Plan) -> Option<Outcome>; 3] = [hyper, sqlite, soak];
        for end in ends {
            let Some(outcome) = end(tier(seed / SEEDS), Plan::Guest { fault, seed }) else {
                return;
            };
            let what = format!("a server, {fault:?}, seed {seed}");
            assert!(outcome.status.success(), "{what}: {} {:?}", outcome.stderr, outcome.made);
            total.add(&what, &outcome);
        }
    }
}

/// The port that a server prints first.
fn port(run: &mut Run) -> u16 {
    let line = run.line().expect("it prints its port");
    let port = line.strip_prefix("port ").and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("no port in `{line}`"))
}

fn hyper(tier: &str, plan: Plan) -> Option<Outcome> {
    let args = ["--net=listen:127.0.0.1", "--tier", tier, "hyper_server.wasm"];
    let mut run = run(&args, &guest::path(""), plan)?;
    let port = port(&mut run);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::at(port)).collect();
    let body = pattern(300_000);
    for client in &mut clients {
        for _ in 0..5 {
            assert_eq!(client.text("/"), "Hello, world\n");
        }
        let head = format!("POST /echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head.as_bytes());
        client.send(&body);
        assert!(client.answer().body == body, "tier {tier}: another body came back");
    }
    drop(clients);
    assert_eq!(Client::at(port).text("/end"), "bye\n");
    Some(run.finish().expect("it ends"))
}

fn sqlite(tier: &str, plan: Plan) -> Option<Outcome> {
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("public")).expect("a folder");
    std::fs::write(folder.path().join("public/large"), vec![b'l'; 100_000]).expect("a file");
    let dir = format!("{}::/", folder.path().display());
    let program = guest::path("sqlite_server.wasm");
    let program = program.to_str().expect("a path of text");
    let args = ["--net", "--tier", tier, "--dir", &dir, program, "serve", "/data.db"];
    let mut run = run(&args, folder.path(), plan)?;
    let port = port(&mut run);
    let (clients, requests) = (4, 4);
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Client::at(port);
                for _ in 0..requests {
                    assert!(client.get("/large").body == vec![b'l'; 100_000], "tier {tier}");
                }
            });
        }
    });
    server::connect(port).write_all(b"GET /end HTTP/1.1\r\n\r\n").expect("it listens");
    let outcome = run.finish().expect("it ends");
    let database = rusqlite::Connection::open(folder.path().join("data.db")).expect("it is there");
    let one = |query: &str| database.query_row(query, [], |row| row.get::<_, i64>(0));
    let counted = one("SELECT sum(n) FROM hits").expect("it can be read");
    assert_eq!(counted, clients * requests, "tier {tier}");
    Some(outcome)
}

fn soak(tier: &str, plan: Plan) -> Option<Outcome> {
    let folder = TempDir::new().expect("a folder");
    std::fs::copy(guest::path("soak.wasm"), folder.path().join("program"))
        .expect("it is in the tree");
    let mut run = run(&["--net", "--tier", tier, "--dir", ".::/", "program"], folder.path(), plan)?;
    let port = port(&mut run);
    let served = ask_all(port);
    let outcome = run.finish().expect("it ends");
    assert!(served.is_ok(), "tier {tier}: {served:?}, {} {:?}", outcome.stderr, outcome.made);
    Some(outcome)
}

/// Has a server make what it can make, and end.
fn ask_all(port: u16) -> std::io::Result<()> {
    let mut streams: Vec<TcpStream> = (0..4).map(|_| server::connect(port)).collect();
    // Bytes, threads, descriptors, forks. When children have ended a signal may be waiting for the guest,
    // which ends what is broken off then: only where it expects that.
    for requests in [&b"eeee"[..], b"tet", b"dd", b"dted", b"fef", b"tfte"] {
        for stream in &mut streams {
            stream.write_all(requests)?;
        }
        for stream in &mut streams {
            let mut answers = vec![0; requests.len()];
            stream.read_exact(&mut answers)?;
            let mut asked = requests.to_vec();
            asked.sort_unstable();
            answers.sort_unstable();
            assert_eq!(answers, asked);
        }
    }
    drop(streams);
    server::connect(port).write_all(b"q")
}
