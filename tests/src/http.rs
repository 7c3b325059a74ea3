//! A client that speaks HTTP/1.1.

use crate::server;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// One end of a connection.
#[derive(Debug)]
pub struct Client(pub BufReader<TcpStream>);

/// What a server says to a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number of the first line.
    pub status: u16,
    /// All of the body.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to a port of loopback.
    ///
    /// # Panics
    /// Nobody listens.
    #[must_use]
    pub fn at(port: u16) -> Self {
        Client(BufReader::new(server::connect(port)))
    }

    /// Sends a request, or a part of one.
    ///
    /// # Panics
    /// The connection is gone, as everywhere here.
    pub fn send(&mut self, request: &[u8]) {
        self.0.get_mut().write_all(request).expect("it is sent");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it is answered");
        line.trim_end().to_owned()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).expect("it is answered");
        bytes
    }

    /// The next answer, with a body of known length or in chunks.
    ///
    /// # Panics
    /// It has no status.
    pub fn answer(&mut self) -> Answer {
        let status = self.line();
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(("transfer-encoding", value)) => chunked = value == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let body = if chunked { self.chunks() } else { self.bytes(length) };
        Answer { status: status.expect("a status"), body }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let count = usize::from_str_radix(&self.line(), 16).expect("the length of a chunk");
            body.extend(self.bytes(count));
            assert_eq!(self.line(), "");
            if count == 0 {
                return body;
            }
        }
    }

    /// Asks for a path.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        self.answer()
    }

    /// Asks for a path where there is text.
    ///
    /// # Panics
    /// There is none.
    pub fn text(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}");
        String::from_utf8(answer.body).expect("it is text")
    }
}

/// Bytes that are known again.
#[must_use]
pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}
