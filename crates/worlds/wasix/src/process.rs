//! Processes: what the threads of one guest share.

use crate::thread::Thread;
use crate::threads::Threads;
use crate::workers::Workers;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::termios::{OptionalActions, Termios, tcsetattr};
use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmoor::{Error, StoreLimits};
use wasmoor_host::net::Network;
use wasmoor_wasi_p1::WasiCtx;

/// Threads of a process besides the main one, unless the embedder says otherwise.
const THREADS_MAX_DEFAULT: u32 = 1024;
/// Stack of a thread unless the embedder says otherwise: what guests may use by default, and as
/// much again for functions of the host.
const THREAD_STACK_BYTES_DEFAULT: usize = 2 << 20;

/// What the threads of one guest share.
///
/// Descriptors, arguments, environment, clocks and randomness are shared by their [`WasiCtx`], of
/// which each thread has a clone.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    options: Options,
    pub(crate) threads: Threads,
    pub(crate) workers: Arc<Workers>,
    /// Makes instances for new threads; of the type that the store's data has.
    program: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    /// The exported function that handles signals.
    signal_handler: Mutex<Option<String>>,
    /// Keys of thread-local values that were made: 1 to this.
    local_keys: AtomicU32,
    /// A terminal that the guest has changed, and how it was.
    terminal: Mutex<Option<(OwnedFd, Termios)>>,
}

/// What an embedder decides.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) network: Arc<Network>,
    pub(crate) threads_max: u32,
    pub(crate) thread_stack_bytes: usize,
    pub(crate) store_limits: StoreLimits,
    pub(crate) working_dir: String,
}

impl Process {
    /// Starts to describe a process that has what `wasi` has.
    #[must_use]
    pub fn builder(wasi: WasiCtx) -> ProcessBuilder {
        ProcessBuilder {
            wasi,
            options: Options {
                network: Arc::default(),
                threads_max: THREADS_MAX_DEFAULT,
                thread_stack_bytes: THREAD_STACK_BYTES_DEFAULT,
                store_limits: StoreLimits::default(),
                working_dir: "/".to_owned(),
            },
        }
    }

    /// The number by which the guest knows itself, which is also that of its main thread.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Ends the process, if it has not ended: its threads are interrupted, also in blocking calls,
    /// and [`crate::run`] answers with `outcome`.
    pub fn end(&self, outcome: Result<(), Error>) {
        self.threads.end(outcome);
    }

    /// What the guest has of the network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.options.network
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn set_program(&self, program: Arc<dyn Any + Send + Sync>) {
        *lock(&self.program) = Some(program);
    }

    pub(crate) fn program(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        lock(&self.program).clone()
    }

    /// A new key of thread-local values; `None` when there are `keys_max`.
    pub(crate) fn add_local_key(&self, keys_max: u32) -> Option<u32> {
        let add = |keys: u32| (keys < keys_max).then_some(keys + 1);
        let before = self.local_keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        before.ok().map(|before| before + 1)
    }

    pub(crate) fn has_local_key(&self, key: u32) -> bool {
        (1..=self.local_keys.load(Ordering::Relaxed)).contains(&key)
    }

    /// Notes how a terminal is, before the guest changes it for the first time.
    pub(crate) fn remember_terminal(&self, fd: BorrowedFd<'_>, modes: &Termios) {
        let mut terminal = lock(&self.terminal);
        if terminal.is_none()
            && let Ok(fd) = fd.try_clone_to_owned()
        {
            *terminal = Some((fd, modes.clone()));
        }
    }

    /// Makes the terminal as it was.
    pub(crate) fn restore_terminal(&self) {
        if let Some((fd, modes)) = lock(&self.terminal).take() {
            // It may be gone; then there is nobody to tell.
            let _ = tcsetattr(fd, OptionalActions::Now, &modes);
        }
    }

    pub(crate) fn set_signal_handler(&self, name: String) {
        *lock(&self.signal_handler) = Some(name);
    }
}

/// What is behind these locks is whole whatever panicked elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Describes a process.
#[derive(Debug)]
pub struct ProcessBuilder {
    wasi: WasiCtx,
    options: Options,
}

impl ProcessBuilder {
    /// What the guest has of the network; nothing by default.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.options.network = Arc::new(network);
        self
    }

    /// How many threads there may be at once besides the main one; 1024 by default.
    #[must_use]
    pub fn threads_max(mut self, threads_max: u32) -> Self {
        self.options.threads_max = threads_max;
        self
    }

    /// The stack of a thread: what [`wasmoor::Config::max_stack`] grants to guests, and room for
    /// functions of the host.
    #[must_use]
    pub fn thread_stack(mut self, bytes: usize) -> Self {
        self.options.thread_stack_bytes = bytes;
        self
    }

    /// The limits of the store of each thread. A memory that the threads share is charged to each.
    #[must_use]
    pub fn store_limits(mut self, limits: StoreLimits) -> Self {
        self.options.store_limits = limits;
        self
    }

    /// Where the guest begins, as it names it; the root by default. Modules of preview 1 have no
    /// such place.
    #[must_use]
    pub fn working_dir(mut self, path: impl Into<String>) -> Self {
        self.options.working_dir = path.into();
        self
    }

    /// The main thread of the process, for its store.
    #[must_use]
    pub fn build(self) -> Thread {
        const MAIN: u32 = 1;
        let process = Process {
            pid: MAIN,
            options: self.options,
            threads: Threads::new(MAIN),
            workers: Arc::default(),
            program: Mutex::new(None),
            signal_handler: Mutex::new(None),
            local_keys: AtomicU32::new(0),
            terminal: Mutex::new(None),
        };
        Thread::new(Arc::new(process), MAIN, self.wasi)
    }
}
