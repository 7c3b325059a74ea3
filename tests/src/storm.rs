//! Signals to all threads of a process and its children, all the time.
//!
//! # Safety
//! Signals are sent to numbers of threads that were just read; a thread that has ended meanwhile gets
//! none, and should another process have its number, the signal is one that is ignored by default.

#![allow(unsafe_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long it is calm.
const PAUSE: Duration = Duration::from_micros(300);

/// Sends the signal by which the engine wakes its own threads. Calls that wait end with `EINTR`; nothing
/// else happens, for nobody has asked the guest anything.
#[derive(Debug)]
pub struct Storm {
    is_over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Storm {
    /// Begins over a process.
    #[must_use]
    pub fn over(process: u32) -> Self {
        let (is_over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ends, counts) = (Arc::clone(&is_over), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                counts.fetch_add(all(process), Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        });
        Storm { is_over, sent, thread }
    }

    /// Ends it; how many signals there were.
    ///
    /// # Panics
    /// It has.
    #[must_use]
    pub fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the storm ends");
        self.sent.load(Ordering::Relaxed)
    }
}

/// One signal for each thread of the process and of its children; how many got one.
fn all(process: u32) -> u64 {
    let tasks = Path::new("/proc").join(process.to_string()).join("task");
    let Ok(threads) = std::fs::read_dir(tasks) else { return 0 };
    let mut sent = 0;
    for thread in threads.flatten() {
        let number = thread.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(number) = number else { continue };
        // SAFETY: takes numbers only. A process that has not yet set its handler ignores the signal.
        let status =
            unsafe { libc::syscall(libc::SYS_tgkill, process.cast_signed(), number, libc::SIGURG) };
        sent += u64::from(status == 0);
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        sent += children.split_whitespace().flat_map(str::parse).map(all).sum::<u64>();
    }
    sent
}
