//! A client: rustls as it is, on the reactor.
//!
//! `rustls_client PORT CA.der NAME VERSION BYTES COUNT` makes COUNT connections at the same time,
//! sends BYTES over each while it reads them back, ends it, and says how each went.

use reactor::{Address, Stream};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A stream as rustls wants one: what would have to wait is an error.
struct Now<'a, 'c> {
    stream: &'a Stream,
    context: &'a Context<'c>,
}

fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Now<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        now(self.stream.poll_read(self.context, into))
    }
}

impl Write for Now<'_, '_> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        now(self.stream.poll_write(self.context, from))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn would_wait(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A connection, and what has gone over it.
struct Exchange {
    tls: ClientConnection,
    stream: Stream,
    bytes: usize,
    sent: usize,
    received: usize,
    told_end: bool,
}

/// The byte at a place of what is sent.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

impl Exchange {
    /// Ready when the peer has ended the connection.
    fn poll(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let before = (self.sent, self.received, self.told_end);
            self.send()?;
            let written = self.flush(context)?;
            if self.receive()? {
                return Poll::Ready(Ok(()));
            }
            let read = self.fill(context)?;
            let moved = before != (self.sent, self.received, self.told_end);
            if !written && !read && !moved {
                return Poll::Pending;
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.tls.is_handshaking() {
            return Ok(());
        }
        while self.sent < self.bytes {
            let end = self.bytes.min(self.sent + (16 << 10));
            let piece: Vec<u8> = (self.sent..end).map(byte).collect();
            match self.tls.writer().write(&piece)? {
                0 => break,
                count => self.sent += count,
            }
        }
        if self.received == self.bytes && !self.told_end {
            self.told_end = true;
            self.tls.send_close_notify();
        }
        Ok(())
    }

    /// Whether something went out.
    fn flush(&mut self, context: &Context<'_>) -> io::Result<bool> {
        let mut any = false;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Now { stream: &self.stream, context }) {
                Ok(_) => any = true,
                Err(error) if would_wait(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(any)
    }

    /// Whether the peer has ended the connection.
    fn receive(&mut self) -> io::Result<bool> {
        let mut piece = [0; 16 << 10];
        loop {
            let count = match self.tls.reader().read(&mut piece) {
                Ok(0) => return Ok(true),
                Ok(count) => count,
                Err(error) if would_wait(&error) => return Ok(false),
                Err(error) => return Err(error),
            };
            for (at, &got) in (self.received..).zip(&piece[..count]) {
                if got != byte(at) {
                    return Err(io::Error::other(format!("byte {at} is {got}")));
                }
            }
            self.received += count;
        }
    }

    /// Whether something came in, the end included.
    fn fill(&mut self, context: &Context<'_>) -> io::Result<bool> {
        if !self.tls.wants_read() {
            return Ok(false);
        }
        match self.tls.read_tls(&mut Now { stream: &self.stream, context }) {
            Err(error) if would_wait(&error) => return Ok(false),
            result => result?,
        };
        if let Err(error) = self.tls.process_new_packets() {
            // The peer is told why, if it still listens.
            let _ = self.flush(context);
            return Err(io::Error::other(error));
        }
        Ok(true)
    }
}

/// What is the same for all connections.
struct Plan {
    address: Address,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    bytes: usize,
}

async fn connection(plan: &Plan) -> Result<String, Box<dyn Error>> {
    let stream = Stream::connect(plan.address).await?;
    let tls = ClientConnection::new(Arc::clone(&plan.config), plan.name.clone())?;
    let bytes = plan.bytes;
    let mut exchange = Exchange { tls, stream, bytes, sent: 0, received: 0, told_end: false };
    let ended = poll_fn(|context| exchange.poll(context)).await;
    let counts = format!("sent {} received {}", exchange.sent, exchange.received);
    ended.map_err(|error| format!("{error} ({counts})"))?;
    let version = exchange.tls.protocol_version().map(|version| format!("{version:?}"));
    Ok(format!("{} {counts}", version.unwrap_or_default()))
}

fn plan(arguments: &[String]) -> Result<(Plan, usize), Box<dyn Error>> {
    let [_, port, authority, name, version, bytes, count] = arguments else {
        return Err("usage: rustls_client PORT CA.der NAME VERSION BYTES COUNT".into());
    };
    let versions: &[&SupportedProtocolVersion] = match version.as_str() {
        "1.2" => &[&version::TLS12],
        "1.3" => &[&version::TLS13],
        _ => return Err("VERSION is 1.2 or 1.3".into()),
    };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(std::fs::read(authority)?))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_webpki_verifier(verifier.build()?)
        .with_no_client_auth();
    let plan = Plan {
        address: Address { ip: [127, 0, 0, 1], port: port.parse()? },
        name: ServerName::try_from(name.clone())?,
        config: Arc::new(config),
        bytes: bytes.parse()?,
    };
    Ok((plan, count.parse()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let (plan, count) = plan(&arguments)?;
    let plan = Rc::new(plan);
    let results: Rc<RefCell<Vec<String>>> = Rc::default();
    let shared = Rc::clone(&results);
    reactor::run(async move {
        for _ in 0..count {
            let (plan, results) = (Rc::clone(&plan), Rc::clone(&shared));
            reactor::spawn(async move {
                let result = connection(&plan).await;
                let line = result.unwrap_or_else(|error| format!("failed: {error}"));
                results.borrow_mut().push(line);
                if results.borrow().len() == count {
                    reactor::stop();
                }
            });
        }
    })?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let results = results.borrow();
    for line in results.iter() {
        *counts.entry(line).or_default() += 1;
    }
    for (line, times) in counts {
        println!("{times} {line}");
    }
    Ok(())
}
