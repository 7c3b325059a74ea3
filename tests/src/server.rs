//! Guests that serve: started by the command, asked over loopback, ended when dropped.

use crate::binary::{CACHE_VARIABLE, wasmoor};
use crate::guest;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What takes longer hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// `wasmoor run ARGS` in the folder of guests, without a cache.
#[must_use]
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(wasmoor());
    command.arg("run").args(args).current_dir(guest::path("")).env(CACHE_VARIABLE, "off");
    command
}

/// A connection to a port of loopback.
///
/// # Panics
/// Nobody listens.
#[must_use]
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a time is set");
    // Pieces are pieces.
    stream.set_nodelay(true).expect("it is set");
    stream
}

/// A guest that serves, ended when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens, as the host sees it.
    pub port: u16,
    /// What it prints after its port.
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a guest whose first line is `port NUMBER`.
    ///
    /// # Panics
    /// It does not start, or prints something else.
    #[must_use]
    pub fn start(args: &[&str]) -> Self {
        let mut server = Server::at(args, 0);
        let line = server.line();
        let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
        server.port = port.unwrap_or_else(|| panic!("no port in `{line}`"));
        server
    }

    /// Starts a guest that listens at a port that is known.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn at(args: &[&str], port: u16) -> Self {
        let mut command = command(args);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the command starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Server { child, port, lines }
    }

    /// A connection to it.
    #[must_use]
    pub fn connect(&self) -> TcpStream {
        connect(self.port)
    }

    /// The number of its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The next line that the guest prints.
    ///
    /// # Panics
    /// It prints no more.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("the guest prints").expect("the guest prints text")
    }

    /// Kills it, as nothing can be prepared for.
    ///
    /// # Panics
    /// It has been waited for.
    pub fn kill(&self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).expect("it runs");
    }

    /// Its status, when it ends.
    ///
    /// # Panics
    /// It does not end in time.
    pub fn wait(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(start.elapsed() < LIMIT, "the guest does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks the guest to end; its status.
    ///
    /// # Panics
    /// It does not listen.
    pub fn end(mut self) -> Option<i32> {
        self.connect().write_all(b"GET /end HTTP/1.1\r\n\r\n").expect("it listens");
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, or the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
