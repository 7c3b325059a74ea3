//! TLS between a guest, rustls as it is, and the same crate on the host.
//!
//! The guest (`guests/rust/rustls_client.rs`) runs as the command runs it, in each tier named here;
//! its cryptography is compiled to WebAssembly with it.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;
use wasmoor_tests::binary::{Finished, finish};
use wasmoor_tests::server::{LIMIT, command};

const TIERS: [&str; 3] = ["auto", "baseline", "optimizing"];
const MEBIBYTE: usize = 1 << 20;

/// Who signs, with the certificate that guests are given.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("it is signed").der().clone();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    /// How a server named `localhost` speaks, up to a year.
    fn server(&self, until: i32) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("it is signed");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key);
        Arc::new(config.expect("key and certificate fit"))
    }

    /// The folder a guest sees.
    fn folder(&self) -> TempDir {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("ca.der"), &self.certificate).expect("a file");
        folder
    }
}

/// How a server ends connections.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Told,
    Untold,
}

/// A server that sends back what comes, a thread for each connection; ended when dropped.
struct Echo {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
}

impl Echo {
    fn start(config: &Arc<ServerConfig>, end: End) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (accepted, ending) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let echo = Echo { address, accepted: Arc::clone(&accepted), ending: Arc::clone(&ending) };
        let config = Arc::clone(config);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                accepted.fetch_add(1, Ordering::AcqRel);
                let config = Arc::clone(&config);
                std::thread::spawn(move || serve(stream.expect("a connection"), config, end));
            }
        });
        echo
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // It looks when somebody connects.
        let _ = TcpStream::connect(self.address);
    }
}

/// What fails here fails for the guest too, which says so.
fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, end: End) {
    stream.set_read_timeout(Some(LIMIT)).expect("a time is set");
    let mut tls = ServerConnection::new(config).expect("the configuration is right");
    let mut buffer = [0; 16 << 10];
    loop {
        let mut both = Stream::new(&mut tls, &mut stream);
        match both.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if both.write_all(&buffer[..count]).is_ok() => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => return,
        }
    }
    if end == End::Told {
        tls.send_close_notify();
        let _ = tls.complete_io(&mut stream);
    }
}

/// One run of the guest.
struct Client<'a> {
    tier: &'a str,
    net: &'a str,
    folder: &'a TempDir,
    port: u16,
    name: &'a str,
    version: &'a str,
    bytes: usize,
    count: usize,
}

impl Client<'_> {
    fn run(&self) -> Finished {
        let dir = format!("{}::/", self.folder.path().display());
        let [port, bytes, count] =
            [self.port as usize, self.bytes, self.count].map(|n| n.to_string());
        let mut command = command(&["--tier", self.tier, self.net, "--dir", &dir]);
        command.args(["rustls_client.wasm", &port, "ca.der", self.name, self.version]);
        command.args([bytes, count]);
        finish(command, b"", LIMIT).unwrap_or_else(|why| panic!("tier {}: {why}", self.tier))
    }

    /// What it printed, where it ended well.
    fn printed(&self) -> String {
        let finished = self.run();
        assert!(finished.status.success(), "tier {}: {finished:?}", self.tier);
        finished.stdout()
    }
}

fn client<'a>(tier: &'a str, folder: &'a TempDir, echo: &Echo) -> Client<'a> {
    let (net, name, version) = ("--net=connect:127.0.0.1", "localhost", "1.3");
    Client { tier, net, folder, port: echo.address.port(), name, version, bytes: 10, count: 1 }
}

#[test]
fn a_mebibyte_both_ways_in_both_versions() {
    let authority = Authority::new();
    let folder = authority.folder();
    let echo = Echo::start(&authority.server(4000), End::Told);
    for tier in TIERS {
        for (version, shown) in [("1.2", "TLSv1_2"), ("1.3", "TLSv1_3")] {
            let client = Client { version, bytes: MEBIBYTE, ..client(tier, &folder, &echo) };
            let line = format!("1 {shown} sent {MEBIBYTE} received {MEBIBYTE}\n");
            assert_eq!(client.printed(), line, "tier {tier}");
        }
    }
}

#[test]
fn a_hundred_handshakes_at_the_same_time() {
    let authority = Authority::new();
    let folder = authority.folder();
    let echo = Echo::start(&authority.server(4000), End::Told);
    for tier in TIERS {
        let before = echo.accepted.load(Ordering::Acquire);
        let client = Client { count: 100, ..client(tier, &folder, &echo) };
        assert_eq!(client.printed(), "100 TLSv1_3 sent 10 received 10\n", "tier {tier}");
        assert_eq!(echo.accepted.load(Ordering::Acquire) - before, 100, "tier {tier}");
    }
}

/// Certificates that are not to be trusted end it before a byte of the program's is sent.
#[test]
fn certificates_that_are_wrong() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (folder, folder_of_other) = (authority.folder(), other.folder());
    let echo = Echo::start(&authority.server(4000), End::Told);
    let expired = Echo::start(&authority.server(2020), End::Told);
    for tier in TIERS {
        for version in ["1.2", "1.3"] {
            let right = || Client { version, ..client(tier, &folder, &echo) };
            for (client, why) in [
                (Client { name: "elsewhere", ..right() }, "not valid for name \"elsewhere\""),
                (Client { folder: &folder_of_other, ..right() }, "invalid peer certificate: "),
                (Client { port: expired.address.port(), ..right() }, "certificate expired"),
            ] {
                let printed = client.printed();
                let refused = printed.starts_with("1 failed: invalid peer certificate: ")
                    && printed.contains(why)
                    && printed.ends_with("(sent 0 received 0)\n");
                assert!(refused, "tier {tier}, {version}, {why}: {printed}");
            }
        }
    }
}

/// Whoever cuts a connection is not taken for the peer that ends it.
#[test]
fn an_end_that_nobody_told() {
    let authority = Authority::new();
    let folder = authority.folder();
    let echo = Echo::start(&authority.server(4000), End::Untold);
    for tier in TIERS {
        let printed = client(tier, &folder, &echo).printed();
        let wanted = "1 failed: peer closed connection without sending TLS close_notify";
        assert!(printed.starts_with(wanted), "tier {tier}: {printed}");
        assert!(printed.ends_with("(sent 10 received 10)\n"), "tier {tier}: {printed}");
    }
}

/// The peer sees nothing of what is not granted.
#[test]
fn nothing_is_sent_without_a_grant() {
    let authority = Authority::new();
    let folder = authority.folder();
    let echo = Echo::start(&authority.server(4000), End::Told);
    for tier in TIERS {
        for net in ["--net=deny:connect:127.0.0.1", "--net=connect:192.0.2.1"] {
            let printed = Client { net, ..client(tier, &folder, &echo) }.printed();
            // `errno` of WASIX: not permitted.
            assert_eq!(printed, "1 failed: Permission denied (os error 2)\n", "tier {tier}, {net}");
        }
    }
    assert_eq!(echo.accepted.load(Ordering::Acquire), 0);
}
