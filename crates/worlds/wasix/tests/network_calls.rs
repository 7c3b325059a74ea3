//! Each call of the network families by itself: success, errors, and pointers at the end of memory.
//! Baseline tier, instances on demand.

use std::fmt::Write as _;
use std::sync::Arc;
use wasmoor::{Config, Engine, Func, Instance, Linker, Memory, Module, Store, Tier, Val};
use wasmoor_host::net::{Network, Policy, parse_rules};
use wasmoor_host::{Limits, Meter, Resource};
use wasmoor_wasi_p1::WasiCtx;
use wasmoor_wasix::{Process, Thread, add_to_linker, instantiate};

/// Bytes of the guest's memory.
const END: u32 = 65536;

/// Error numbers.
const ACCES: i32 = 2;
const ADDRINUSE: i32 = 3;
const ADDRNOTAVAIL: i32 = 4;
const AFNOSUPPORT: i32 = 5;
const AGAIN: i32 = 6;
const BADF: i32 = 8;
const DESTADDRREQ: i32 = 17;
const EXIST: i32 = 20;
const FAULT: i32 = 21;
const INVAL: i32 = 28;
const NOBUFS: i32 = 42;
const NOENT: i32 = 44;
const NOPROTOOPT: i32 = 50;
const NOTCONN: i32 = 53;
const NOTSOCK: i32 = 57;
const NOTSUP: i32 = 58;
const PERM: i32 = 63;
const PROTONOSUPPORT: i32 = 66;
const MEMORY: i32 = 78;

/// Calls with their parameters: `i` a number, `l` one of 64 bits, `pN` a place of N bytes that is
/// checked whatever else is wrong.
const CALLS: &[(&str, &str)] = &[
    ("epoll_create", "p4"),
    ("epoll_ctl", "i i i i"),
    ("epoll_wait", "i p32 i l p4"),
    ("fd_dup", "i p4"),
    ("fd_dup2", "i i i p4"),
    ("fd_event", "l i p4"),
    ("fd_pipe", "p4 p4"),
    ("resolve", "p9 i i p18 i p4"),
    ("sock_accept", "i i p4"),
    ("sock_accept_v2", "i i p4 p110"),
    ("sock_addr_local", "i p110"),
    ("sock_addr_peer", "i p110"),
    ("sock_bind", "i p110"),
    ("sock_connect", "i p110"),
    ("sock_get_opt_flag", "i i p1"),
    ("sock_get_opt_size", "i i p8"),
    ("sock_get_opt_time", "i i p16"),
    ("sock_join_multicast_v4", "i p4 p4"),
    ("sock_join_multicast_v6", "i p16 i"),
    ("sock_leave_multicast_v4", "i p4 p4"),
    ("sock_leave_multicast_v6", "i p16 i"),
    ("sock_listen", "i i"),
    ("sock_open", "i i i p4"),
    ("sock_pair", "i i i p4 p4"),
    ("sock_recv_from", "i p8 i i p4 p2 p110"),
    ("sock_send_file", "i i l l p8"),
    ("sock_send_to", "i p8 i i p110 p4"),
    ("sock_set_opt_flag", "i i i"),
    ("sock_set_opt_size", "i i l"),
    ("sock_set_opt_time", "i i p16"),
    ("sock_status", "i p1"),
    ("sock_recv", "i p8 i i p4 p2"),
    ("sock_send", "i p8 i i p4"),
    ("poll_oneoff", "p48 p32 i p4"),
];

/// Those that preview 1 has too, with its number for a bad pointer.
const PREVIEW1: &[&str] = &["sock_accept", "sock_recv", "sock_send", "poll_oneoff"];

struct Guest {
    store: Store<Thread>,
    instance: Instance,
    memory: Memory,
}

/// A module with a function for each import that calls it: a call needs a caller with a memory.
fn module_text() -> String {
    let mut imports = String::new();
    let mut functions = String::new();
    for (name, params) in CALLS {
        let params = params.split(' ');
        let types: Vec<&str> =
            params.map(|param| if param == "l" { "i64" } else { "i32" }).collect();
        let locals: Vec<String> =
            (0..types.len()).map(|index| format!("(local.get {index})")).collect();
        let (types, locals) = (types.join(" "), locals.concat());
        let ty = format!("(param {types}) (result i32)");
        writeln!(imports, "(import \"wasix_32v1\" \"{name}\" (func ${name} {ty}))").unwrap();
        writeln!(functions, "(func (export \"{name}\") {ty} (call ${name} {locals}))").unwrap();
    }
    format!("(module {imports} (memory (export \"memory\") 1) {functions})")
}

impl Guest {
    fn new(rules: &str) -> Self {
        Self::with(rules, &module_text(), WasiCtx::builder().build().unwrap())
    }

    fn with(rules: &str, text: &str, wasi: WasiCtx) -> Self {
        let engine = Engine::new(Config::new().tier(Tier::Baseline)).unwrap();
        let module = Module::new(&engine, text).unwrap();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, &module).unwrap();
        let policy = match rules {
            "" => Policy::nothing(),
            "*" => Policy::everything(),
            rules => Policy::new(parse_rules(rules).unwrap()),
        };
        let thread = Process::builder(wasi).network(Network::new(policy)).build();
        let mut store = Store::new(&engine, thread).unwrap();
        let instance = instantiate(&linker, &mut store, &module).unwrap();
        let memory = instance.get_memory(&store, "memory").unwrap();
        Guest { store, instance, memory }
    }

    fn call(&mut self, name: &str, arguments: &[i64]) -> i32 {
        let func: Func = self.instance.get_func(&self.store, name).unwrap();
        let (_, params) = CALLS.iter().find(|(known, _)| *known == name).unwrap();
        let values: Vec<Val> = params
            .split(' ')
            .zip(arguments)
            // Truncation: places and numbers of 32 bits.
            .map(
                |(param, value)| {
                    if param == "l" { Val::I64(*value) } else { Val::I32(*value as i32) }
                },
            )
            .collect();
        assert_eq!(values.len(), params.split(' ').count(), "{name}");
        let mut results = [Val::I32(-1)];
        func.call(&mut self.store, &values, &mut results).unwrap();
        match results {
            [Val::I32(result)] => result,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn put(&mut self, at: u32, bytes: &[u8]) {
        self.memory.write(&mut self.store, at as usize, bytes).unwrap();
    }

    fn get<const N: usize>(&self, at: u32) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read(&self.store, at as usize, &mut bytes).unwrap();
        bytes
    }

    fn u32_at(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.get(at))
    }

    /// Calls what puts a descriptor at 0.
    #[track_caller]
    fn made(&mut self, name: &str, arguments: &[i64]) -> i64 {
        assert_eq!(self.call(name, arguments), 0, "{name}");
        self.u32_at(0).into()
    }

    /// An address of this host at 512.
    fn put_address(&mut self, port: u16) -> i64 {
        let [low, high] = port.to_le_bytes();
        self.put(512, &[1, 0, low, high, 127, 0, 0, 1]);
        512
    }

    /// One vector of `len` bytes, at 1024, of what is at 2048.
    fn put_vector(&mut self, len: u32) -> i64 {
        self.put(1024, &[2048u32.to_le_bytes(), len.to_le_bytes()].concat());
        1024
    }

    fn port_of(&mut self, fd: i64) -> u16 {
        assert_eq!(self.call("sock_addr_local", &[fd, 512]), 0);
        u16::from_le_bytes(self.get(514))
    }

    /// A listener, a connection to it, and the accepted side.
    fn connection(&mut self) -> [i64; 3] {
        let listener = self.made("sock_open", &[1, 1, 0, 0]);
        let address = self.put_address(0);
        assert_eq!(self.call("sock_bind", &[listener, address]), 0);
        assert_eq!(self.call("sock_listen", &[listener, 8]), 0);
        let port = self.port_of(listener);
        let address = self.put_address(port);
        let client = self.made("sock_open", &[1, 1, 6, 0]);
        assert_eq!(self.call("sock_connect", &[client, address]), 0);
        let server = self.made("sock_accept_v2", &[listener, 0, 0, 512]);
        [listener, client, server]
    }
}

/// Each place in turn lies a byte beyond the end, and then just at it.
#[test]
fn places_are_checked_before_anything_is_done() {
    for (name, params) in CALLS {
        let params: Vec<&str> = params.split(' ').collect();
        for (index, param) in params.iter().enumerate() {
            let Some(size) = param.strip_prefix('p').map(|size| size.parse::<u32>().unwrap())
            else {
                continue;
            };
            let mut guest = Guest::new("*");
            // A descriptor for each number that is passed: 1 is a stream that takes anything.
            let mut arguments: Vec<i64> = params
                .iter()
                .enumerate()
                .map(|(other, param)| match *param {
                    "i" => 1,
                    "l" => 0,
                    _ => 4096 + 256 * other as i64,
                })
                .collect();
            guest.put_vector(1);
            let wrong = if PREVIEW1.contains(name) { FAULT } else { MEMORY };
            for at in [END - size + 1, END, u32::MAX] {
                arguments[index] = at.into();
                let result = guest.call(name, &arguments);
                let is_told =
                    result == wrong || [NOTSOCK, INVAL, BADF, PROTONOSUPPORT].contains(&result);
                assert!(is_told, "{name} parameter {index} at {at}: {result}");
                let all_are_places = params.iter().all(|param| param.starts_with('p'));
                assert!(!all_are_places || result == wrong, "{name} parameter {index}: {result}");
            }
            arguments[index] = (END - size).into();
            let result = guest.call(name, &arguments);
            assert_ne!(result, wrong, "{name} parameter {index} at the very end");
        }
    }
}

#[test]
fn calls_on_sockets_that_are_none() {
    let mut guest = Guest::new("*");
    let pipe = guest.made("fd_pipe", &[0, 4]);
    let vector = guest.put_vector(1);
    let address = guest.put_address(9);
    for (name, rest) in [
        ("sock_accept_v2", &[0, 0, 512][..]),
        ("sock_addr_local", &[512]),
        ("sock_addr_peer", &[512]),
        ("sock_bind", &[address]),
        ("sock_connect", &[address]),
        ("sock_get_opt_flag", &[2, 0]),
        ("sock_get_opt_size", &[15, 0]),
        ("sock_get_opt_time", &[19, 0]),
        ("sock_join_multicast_v4", &[0, 0]),
        ("sock_listen", &[1]),
        ("sock_recv_from", &[vector, 1, 0, 0, 8, 768]),
        ("sock_recv", &[vector, 1, 0, 0, 8]),
        ("sock_send", &[vector, 1, 0, 0]),
        ("sock_send_to", &[vector, 1, 0, address, 0]),
        ("sock_set_opt_flag", &[2, 1]),
        ("sock_set_opt_size", &[15, 1]),
        ("sock_set_opt_time", &[19, 768]),
        ("sock_status", &[0]),
    ] {
        for (fd, errno) in [(pipe, NOTSOCK), (99, BADF), (0xffff_ffff, BADF)] {
            let arguments: Vec<i64> = [&[fd], rest].concat();
            guest.put_address(9);
            assert_eq!(guest.call(name, &arguments), errno, "{name} of {fd}");
        }
    }
}

#[test]
fn opening() {
    let mut guest = Guest::new("*");
    for (family, kind, protocol, result) in [
        (1, 1, 0, 0),
        (1, 1, 6, 0),
        (2, 1, 0, 0),
        (1, 2, 17, 0),
        (3, 2, 0, 0),
        (0, 1, 0, AFNOSUPPORT),
        (4, 1, 0, AFNOSUPPORT),
        (257, 1, 0, AFNOSUPPORT),
        (1, 0, 0, INVAL),
        (1, 3, 0, NOTSUP),
        (1, 4, 0, NOTSUP),
        (1, 5, 0, INVAL),
        (1, 1, 17, PROTONOSUPPORT),
        (1, 2, 6, PROTONOSUPPORT),
        (3, 1, 6, PROTONOSUPPORT),
    ] {
        let got = guest.call("sock_open", &[family, kind, protocol, 0]);
        assert_eq!(got, result, "{family} {kind} {protocol}");
        let paired = guest.call("sock_pair", &[family, kind, protocol, 0, 4]);
        assert_eq!(paired, result, "a pair of {family} {kind} {protocol}");
    }
    for rules in ["", "unix:*", "listen:udp:*"] {
        let mut guest = Guest::new(rules);
        assert_eq!(guest.call("sock_open", &[1, 1, 0, 0]), ACCES, "{rules}");
    }
    // The lowest number that is free.
    let mut guest = Guest::new("*");
    assert_eq!(guest.made("sock_open", &[1, 1, 0, 0]), 3);
    assert_eq!(guest.made("sock_pair", &[1, 1, 0, 0, 4]), 4);
    assert_eq!(guest.u32_at(4), 5);
}

#[test]
fn connections() {
    let mut guest = Guest::new("*");
    let [listener, client, server] = guest.connection();
    // Who connected: an IPv4 address of this host.
    assert_eq!(guest.get::<1>(512), [1]);
    assert_eq!(guest.get::<4>(516), [127, 0, 0, 1]);
    let from = u16::from_le_bytes(guest.get(514));
    assert_eq!(guest.port_of(client), from);
    assert_eq!(guest.call("sock_addr_peer", &[server, 512]), 0);
    assert_eq!(u16::from_le_bytes(guest.get(514)), from);
    assert_eq!(guest.call("sock_addr_peer", &[listener, 512]), NOTCONN);
    for (fd, status) in [(listener, 1), (client, 1), (server, 1)] {
        assert_eq!(guest.call("sock_status", &[fd, 0]), 0);
        assert_eq!(guest.get::<1>(0), [status]);
    }
    let fresh = guest.made("sock_open", &[1, 1, 0, 0]);
    assert_eq!(guest.call("sock_status", &[fresh, 0]), 0);
    assert_eq!(guest.get::<1>(0), [0]);
    assert_eq!(guest.call("sock_accept_v2", &[listener, 1, 0, 512]), INVAL);
    // An address of another family, and none.
    guest.put(512, &[3, 0, b'x', 0]);
    assert_eq!(guest.call("sock_bind", &[fresh, 512]), NOENT);
    guest.put(512, &[0]);
    assert_eq!(guest.call("sock_bind", &[fresh, 512]), AFNOSUPPORT);
    guest.put(512, &[9]);
    assert_eq!(guest.call("sock_connect", &[fresh, 512]), AFNOSUPPORT);
    guest.put(512, &[2, 0]);
    assert_eq!(guest.call("sock_connect", &[fresh, 512]), AFNOSUPPORT);
}

/// Whatever a module calls to accept: the accepted socket counts.
#[test]
fn accepted_sockets_are_granted_by_the_meter() {
    let text = module_text();
    let ours = "\"wasix_32v1\" \"sock_accept\"";
    assert!(text.contains(ours));
    let preview1 = text.replace(ours, "\"wasi_snapshot_preview1\" \"sock_accept\"");
    for (text, name) in
        [(&text, "sock_accept_v2"), (&text, "sock_accept"), (&preview1, "sock_accept")]
    {
        let limits = Arc::new(Limits::new().with(Resource::Sockets, 4));
        let mut wasi = WasiCtx::builder();
        wasi.meter(limits.clone() as Arc<dyn Meter>);
        let mut guest = Guest::with("*", text, wasi.build().unwrap());
        let [listener, ..] = guest.connection();
        let port = guest.port_of(listener);
        let client = guest.made("sock_open", &[1, 1, 6, 0]);
        let address = guest.put_address(port);
        assert_eq!(guest.call("sock_connect", &[client, address]), 0);
        let arguments = &[listener, 0, 0, 512][..if name == "sock_accept" { 3 } else { 4 }];
        assert_eq!(guest.call(name, arguments), NOBUFS, "{name}");
        limits.release(Resource::Sockets, 1);
        let accepted = guest.made(name, arguments);
        assert_eq!(limits.left(Resource::Sockets), 0, "{name}");
        // It is a socket like one that the guest opened: its options can be set.
        guest.put(768, &[0; 16]);
        assert_eq!(guest.call("sock_set_opt_time", &[accepted, 21, 768]), 0, "{name}");
    }
}

#[test]
fn sending_and_receiving() {
    let mut guest = Guest::new("*");
    let [_, client, server] = guest.connection();
    guest.put(2048, b"hello");
    let vector = guest.put_vector(5);
    assert_eq!(guest.call("sock_send", &[client, vector, 1, 0, 0]), 0);
    assert_eq!(guest.u32_at(0), 5);
    let vector = guest.put_vector(3);
    // Peek, then take.
    for flags in [1, 0] {
        assert_eq!(guest.call("sock_recv", &[server, vector, 1, flags, 0, 8]), 0);
        assert_eq!((guest.u32_at(0), guest.get::<3>(2048)), (3, *b"hel"), "{flags}");
    }
    assert_eq!(guest.call("sock_recv_from", &[server, vector, 1, 8, 0, 8, 512]), 0);
    assert_eq!((guest.u32_at(0), guest.get::<2>(2048)), (2, *b"lo"));
    assert_eq!(guest.get::<1>(512), [1], "the other side of a connection");
    assert_eq!(guest.call("sock_recv", &[server, vector, 1, 8, 0, 8]), AGAIN);
    assert_eq!(guest.call("sock_recv", &[server, vector, 1, 16, 0, 8]), INVAL);
    assert_eq!(guest.call("sock_send", &[client, vector, 1, 2, 0]), INVAL);
    // A vector that lies outside.
    guest.put(1024, &[END.to_le_bytes(), 1u32.to_le_bytes()].concat());
    assert_eq!(guest.call("sock_send", &[client, vector, 1, 0, 0]), FAULT);
    assert_eq!(guest.call("sock_recv_from", &[server, vector, 1, 8, 0, 8, 512]), MEMORY);
    let datagrams = guest.made("sock_open", &[1, 2, 0, 0]);
    let vector = guest.put_vector(3);
    assert_eq!(guest.call("sock_send", &[datagrams, vector, 1, 0, 0]), DESTADDRREQ);
    // The kernel has given it a port by now.
    let datagrams = guest.made("sock_open", &[1, 2, 0, 0]);
    let address = guest.put_address(0);
    assert_eq!(guest.call("sock_bind", &[datagrams, address]), 0);
    let port = guest.port_of(datagrams);
    let address = guest.put_address(port);
    assert_eq!(guest.call("sock_send_to", &[datagrams, vector, 1, 0, address, 0]), 0);
    let short = guest.put_vector(1);
    // Cut short; with the flag the length is that of the message.
    assert_eq!(guest.call("sock_recv_from", &[datagrams, short, 1, 1 | 4, 0, 8, 512]), 0);
    assert_eq!((guest.u32_at(0), guest.get::<2>(8)), (3, [1, 0]));
    assert_eq!(guest.call("sock_recv_from", &[datagrams, short, 1, 0, 0, 8, 512]), 0);
    assert_eq!((guest.u32_at(0), guest.get::<2>(8)), (1, [1, 0]));
    assert_eq!(u16::from_le_bytes(guest.get(514)), port);
    assert_eq!(guest.call("sock_send_file", &[client, datagrams, 0, 1, 0]), 70, "spipe");
    assert_eq!(guest.call("sock_send_file", &[client, 99, 0, 1, 0]), BADF);
}

#[test]
fn options() {
    let mut guest = Guest::new("*");
    let tcp = guest.made("sock_open", &[1, 1, 0, 0]);
    for option in [1, 2, 3, 4, 12, 14] {
        for on in [1, 0] {
            assert_eq!(guest.call("sock_set_opt_flag", &[tcp, option, on]), 0, "{option}");
            assert_eq!(guest.call("sock_get_opt_flag", &[tcp, option, 0]), 0, "{option}");
            assert_eq!(guest.get::<1>(0), [u8::try_from(on).unwrap()], "{option}");
        }
    }
    assert_eq!(guest.call("sock_get_opt_flag", &[tcp, 10, 0]), 0);
    for (option, set, got) in [(23, 9, 9), (15, 10_000, 20_000), (16, 10_000, 20_000)] {
        assert_eq!(guest.call("sock_set_opt_size", &[tcp, option, set]), 0, "{option}");
        assert_eq!(guest.call("sock_get_opt_size", &[tcp, option, 0]), 0, "{option}");
        assert_eq!(u64::from_le_bytes(guest.get(0)), got, "{option}");
    }
    for (option, value) in [(11, 0), (25, 1), (26, 6)] {
        assert_eq!(guest.call("sock_get_opt_size", &[tcp, option, 0]), 0, "{option}");
        assert_eq!(u64::from_le_bytes(guest.get(0)), value, "{option}");
    }
    let mut time = [0; 16];
    time[0] = 1;
    time[8..].copy_from_slice(&3_000_000_000u64.to_le_bytes());
    for option in [13, 19, 20, 21, 22] {
        guest.put(768, &time);
        assert_eq!(guest.call("sock_set_opt_time", &[tcp, option, 768]), 0, "{option}");
        assert_eq!(guest.call("sock_get_opt_time", &[tcp, option, 0]), 0, "{option}");
        assert_eq!(guest.get::<16>(0), time, "{option}");
        guest.put(768, &[0; 16]);
        assert_eq!(guest.call("sock_set_opt_time", &[tcp, option, 768]), 0, "{option}");
        assert_eq!(guest.call("sock_get_opt_time", &[tcp, option, 0]), 0, "{option}");
        assert_eq!(guest.get::<1>(0), [0], "{option}");
    }
    for name in ["sock_get_opt_flag", "sock_get_opt_size", "sock_get_opt_time"] {
        for option in [0, 9, 99] {
            assert_eq!(guest.call(name, &[tcp, option, 0]), NOPROTOOPT, "{name} {option}");
        }
    }
}

/// Groups of the loopback interface.
#[test]
fn groups() {
    let mut guest = Guest::new("*");
    let udp = guest.made("sock_open", &[1, 2, 0, 0]);
    guest.put(0, &[224, 0, 1, 7]);
    guest.put(16, &[127, 0, 0, 1]);
    for (name, errno) in [
        ("sock_join_multicast_v4", 0),
        ("sock_join_multicast_v4", ADDRINUSE),
        ("sock_leave_multicast_v4", 0),
        ("sock_leave_multicast_v4", ADDRNOTAVAIL),
    ] {
        assert_eq!(guest.call(name, &[udp, 0, 16]), errno, "{name}");
    }
    // An address that is no group's.
    assert_eq!(guest.call("sock_join_multicast_v4", &[udp, 16, 16]), INVAL);
    assert_eq!(guest.call("sock_listen", &[udp, 1]), NOTSUP, "datagrams");
    let mut address = [0; 16];
    (address[0], address[1], address[15]) = (0xff, 0x01, 7);
    let udp = guest.made("sock_open", &[2, 2, 0, 0]);
    guest.put(0, &address);
    for (name, errno) in [
        ("sock_join_multicast_v6", 0),
        ("sock_join_multicast_v6", ADDRINUSE),
        ("sock_leave_multicast_v6", 0),
        ("sock_leave_multicast_v6", ADDRNOTAVAIL),
    ] {
        assert_eq!(guest.call(name, &[udp, 0, 1]), errno, "{name}");
    }
    guest.put(0, &[0; 16]);
    assert_eq!(guest.call("sock_join_multicast_v6", &[udp, 0, 1]), INVAL);
}

#[test]
fn names() {
    let mut guest = Guest::new("connect:localhost");
    guest.put(2048, b"localhost");
    assert_eq!(guest.call("resolve", &[2048, 9, 80, 4096, 2, 0]), 0);
    let count = guest.u32_at(0);
    assert!((1..=2).contains(&count));
    assert!([1, 2].contains(&guest.get::<1>(4096)[0]));
    assert_eq!(guest.call("resolve", &[2048, 9, 80, 4096, 0, 0]), 0);
    assert_eq!(guest.u32_at(0), 0, "no more than there is room for");
    guest.put(2048, b"127.0.0.1");
    assert_eq!(guest.call("resolve", &[2048, 9, 80, 4096, 2, 0]), 0);
    assert_eq!((guest.u32_at(0), guest.get::<6>(4096)), (1, [1, 0, 127, 0, 0, 1]));
    guest.put(2048, b"elsewhere");
    assert_eq!(guest.call("resolve", &[2048, 9, 80, 4096, 2, 0]), ACCES);
    guest.put(2048, b"\xff\xfe");
    assert_eq!(guest.call("resolve", &[2048, 2, 80, 4096, 2, 0]), INVAL);
    assert_eq!(guest.call("resolve", &[2048, 0, 80, 4096, 2, 0]), INVAL);
}

#[test]
fn sets() {
    let mut guest = Guest::new("*");
    let set = guest.made("epoll_create", &[0]);
    let event = |events: u32, pointer: u32, fd: u32, low: u32, whole: u64| {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&events.to_le_bytes());
        bytes[8..12].copy_from_slice(&pointer.to_le_bytes());
        bytes[12..16].copy_from_slice(&fd.to_le_bytes());
        bytes[16..20].copy_from_slice(&low.to_le_bytes());
        bytes[24..].copy_from_slice(&whole.to_le_bytes());
        bytes
    };
    let counter = guest.made("fd_event", &[1, 0, 0]);
    let fd = u32::try_from(counter).unwrap();
    // What is made from the description: add is 0, change is 1, delete is 2.
    guest.put(768, &event(1, 0, fd, 0, 7));
    assert_eq!(guest.call("epoll_ctl", &[set, 0, counter, 768]), 0);
    assert_eq!(guest.call("epoll_ctl", &[set, 0, counter, 768]), EXIST);
    guest.put(768, &event(1, 0, fd, 0, 8));
    assert_eq!(guest.call("epoll_ctl", &[set, 1, counter, 768]), 0);
    assert_eq!(guest.call("epoll_wait", &[set, 4096, 4, 0, 0]), 0);
    assert_eq!((guest.u32_at(0), guest.get::<32>(4096)), (1, event(1, 0, fd, 0, 8)));
    assert_eq!(guest.call("epoll_ctl", &[set, 2, counter, 0]), 0);
    // The C library: add is 1, delete is 2, change is 3.
    guest.put(768, &event(1, 9, fd, 9, 9));
    assert_eq!(guest.call("epoll_ctl", &[set, 1, counter, 768]), 0);
    assert_eq!(guest.call("epoll_ctl", &[set, 1, counter, 768]), EXIST);
    guest.put(768, &event(1, 0, fd, 0, 0));
    assert_eq!(guest.call("epoll_ctl", &[set, 3, counter, 768]), 0);
    assert_eq!(guest.call("epoll_wait", &[set, 4096, 4, -1, 0]), 0);
    assert_eq!(guest.get::<32>(4096), event(1, 0, 0, 0, 0), "0 is the user's value");
    for (arguments, errno) in [
        ([set, 4, counter, 768], INVAL),
        ([set, 0, counter, 0], INVAL),
        ([set, 0, counter, (END - 31).into()], MEMORY),
        ([counter, 0, set, 768], INVAL),
        ([99, 0, counter, 768], BADF),
        ([set, 0, 99, 768], BADF),
        ([set, 0, set, 768], INVAL),
        ([set, 0, 1, 768], PERM),
        ([set, 2, 1, 768], PERM),
    ] {
        assert_eq!(guest.call("epoll_ctl", &arguments), errno, "{arguments:?}");
    }
    guest.put(768, &event(256, 0, fd, 0, 1));
    assert_eq!(guest.call("epoll_ctl", &[set, 0, counter, 768]), INVAL);
    for (arguments, errno) in [
        ([set, 4096, 0, 0, 0], INVAL),
        ([set, 4096, 0xffff_ffff, 0, 0], INVAL),
        ([set, 4096, 4000, 0, 0], MEMORY),
        ([counter, 4096, 1, 0, 0], INVAL),
        ([99, 4096, 1, 0, 0], BADF),
    ] {
        assert_eq!(guest.call("epoll_wait", &arguments), errno, "{arguments:?}");
    }
}

#[test]
fn counters_and_pipes() {
    let mut guest = Guest::new("");
    for (initial, flags, result) in [
        (0, 0, 0),
        (5, 1, 0),
        (5, 4, 0),
        (1 << 40, 5, 0),
        (0, 2, INVAL),
        (0, 8, INVAL),
        (-1, 0, INVAL),
    ] {
        assert_eq!(guest.call("fd_event", &[initial, flags, 0]), result, "{initial} {flags}");
    }
    let read = guest.made("fd_pipe", &[0, 4]);
    assert_eq!(i64::from(guest.u32_at(4)), read + 1);
    assert_eq!(guest.made("fd_dup", &[read, 0]), read + 2);
    assert_eq!(guest.made("fd_dup2", &[read, 100, 1, 0]), 100);
    assert_eq!(guest.call("fd_dup", &[77, 0]), BADF);
}

#[test]
fn polls() {
    let mut guest = Guest::new("");
    let counter = guest.made("fd_event", &[1, 0, 0]);
    // One subscription: user data, a tag at 8, the descriptor at 16.
    let mut wish = [0; 48];
    wish[..8].copy_from_slice(&5u64.to_le_bytes());
    wish[8] = 1;
    wish[16] = u8::try_from(counter).unwrap();
    guest.put(4096, &wish);
    assert_eq!(guest.call("poll_oneoff", &[4096, 8192, 1, 0]), 0);
    assert_eq!(guest.u32_at(0), 1);
    let event: [u8; 32] = guest.get(8192);
    assert_eq!((event[0], event[8], event[10], event[16]), (5, 0, 1, 1));
    // A wrong number is an event; no wish is an error.
    wish[16] = 99;
    guest.put(4096, &wish);
    assert_eq!(guest.call("poll_oneoff", &[4096, 8192, 1, 0]), 0);
    assert_eq!(guest.get::<32>(8192)[8], 8);
    assert_eq!(guest.call("poll_oneoff", &[4096, 8192, 0, 0]), INVAL);
    // A list that is longer than the memory.
    assert_eq!(guest.call("poll_oneoff", &[0, 0, 2_000, 0]), FAULT);
}
