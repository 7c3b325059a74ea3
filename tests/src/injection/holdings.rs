//! What a traced process holds: its descriptors and its memory.

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// What a descriptor stands for, as far as it matters to what may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file of a file system.
    File,
    /// A file that has no name, which is memory.
    Memory,
    /// Bytes in order.
    Pipe,
    /// A socket of bytes.
    Stream,
    /// A socket of messages.
    Datagrams,
    /// A counter, a set, a directory of the system's.
    Other,
}

impl Kind {
    /// Whether fewer bytes than wished may come, or go, and the others later.
    #[must_use]
    pub fn comes_in_pieces(self) -> bool {
        matches!(self, Kind::File | Kind::Memory | Kind::Pipe | Kind::Stream)
    }
}

/// The process of a thread that has stopped.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    thread: i32,
}

impl Holding {
    /// Of a thread.
    #[must_use]
    pub fn of(thread: i32) -> Self {
        Holding { thread }
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.thread))
    }

    /// The number of the process.
    #[must_use]
    pub fn process(&self) -> Option<i32> {
        let status = std::fs::read_to_string(self.path("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
    }

    /// Its descriptors, as the system calls them, without numbers of their own.
    #[must_use]
    pub fn descriptors(&self) -> Vec<String> {
        let Ok(numbers) = std::fs::read_dir(self.path("fd")) else { return Vec::new() };
        let links = numbers.flatten().flat_map(|number| std::fs::read_link(number.path()));
        let text = links.map(|link| link.to_string_lossy().replace(char::is_numeric, ""));
        let mut all: Vec<String> = text.collect();
        all.sort();
        all
    }

    /// What the system calls a descriptor.
    #[must_use]
    pub fn shown(&self, fd: u64) -> String {
        let link = std::fs::read_link(self.path(&format!("fd/{fd}")));
        link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self, fd: u64) -> Kind {
        match self.shown(fd) {
            text if text.starts_with("/memfd:") => Kind::Memory,
            text if text.starts_with("/dev/") || text.starts_with("/proc/") => Kind::Other,
            text if text.starts_with('/') => Kind::File,
            text if text.starts_with("pipe:") => Kind::Pipe,
            text if text.starts_with("socket:") => self.socket(fd).unwrap_or(Kind::Other),
            _ => Kind::Other,
        }
    }

    fn socket(&self, fd: u64) -> Option<Kind> {
        let process = pidfd_open(Pid::from_raw(self.process()?)?, PidfdFlags::empty()).ok()?;
        let number = i32::try_from(fd).ok()?;
        let socket = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).ok()?;
        let is_stream = sockopt::socket_type(socket).ok()? == SocketType::STREAM;
        Some(if is_stream { Kind::Stream } else { Kind::Datagrams })
    }

    /// Whether its calls fail rather than wait.
    #[must_use]
    pub fn never_waits(&self, fd: u64) -> bool {
        let info = std::fs::read_to_string(self.path(&format!("fdinfo/{fd}"))).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|text| i32::from_str_radix(text.trim(), 8).ok());
        flags.is_some_and(|flags| flags & libc::O_NONBLOCK != 0)
    }

    /// Whether an address in memory is a file's.
    #[must_use]
    pub fn is_unix_address(&self, at: u64) -> bool {
        let family = self.word(at).map(|word| word as u16);
        family == Some(AddressFamily::UNIX.as_raw())
    }

    /// Eight bytes of its memory.
    #[must_use]
    pub fn word(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        File::open(self.path("mem")).ok()?.read_exact_at(&mut bytes, at).ok()?;
        Some(u64::from_ne_bytes(bytes))
    }

    /// Puts eight bytes into its memory.
    #[must_use]
    pub fn set_word(&self, at: u64, value: u64) -> Option<()> {
        let memory = File::options().write(true).open(self.path("mem")).ok()?;
        memory.write_all_at(&value.to_ne_bytes(), at).ok()
    }
}
