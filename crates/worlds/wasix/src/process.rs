//! Processes: what the threads of one guest share.

use crate::alarms::Alarms;
use crate::births::Births;
use crate::family::{FIRST, Family};
use crate::modules::{LoadedModule, Modules};
use crate::signals::{Action, Dispositions, Signal};
use crate::thread::Thread;
use crate::threads::Threads;
use crate::workers::Workers;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{getpid, kill_process};
use rustix::termios::{OptionalActions, Termios, tcsetattr};
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmoor::cache::Cache;
use wasmoor::{Error, StoreLimits};
use wasmoor_host::net::Network;
use wasmoor_wasi_p1::WasiCtx;

/// Threads of a process besides the main one, unless the embedder says otherwise.
const THREADS_MAX_DEFAULT: u32 = 1024;
/// Processes that stem from the first one, unless the embedder says otherwise.
const PROCESSES_MAX_DEFAULT: u32 = 256;
/// Stack of a thread unless the embedder says otherwise: what guests may use by default, and as
/// much again for functions of the host.
const THREAD_STACK_BYTES_DEFAULT: usize = 2 << 20;

/// What the threads of one guest share.
///
/// Descriptors, arguments, environment, clocks and randomness are shared by their [`WasiCtx`], of
/// which each thread has a clone.
#[derive(Debug)]
pub struct Process {
    pid: AtomicU32,
    /// Whether it was forked from another guest's process.
    is_child: AtomicBool,
    /// Whether it is still as it was forked, and has not become a program.
    is_copy: AtomicBool,
    options: Options,
    pub(crate) threads: Threads,
    pub(crate) workers: Arc<Workers>,
    pub(crate) births: Births,
    /// Makes instances for new threads; of the type that the store's data has.
    program: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
    successor: Mutex<Option<(LoadedModule, Thread)>>,
    pub(crate) dispositions: Dispositions,
    pub(crate) alarms: Alarms,
    pub(crate) family: Family,
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
    pub(crate) is_host_process: bool,
    pub(crate) processes_max: u32,
    pub(crate) modules: Arc<Modules>,
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
                is_host_process: false,
                processes_max: PROCESSES_MAX_DEFAULT,
                modules: Arc::default(),
            },
        }
    }

    /// The number by which the guest knows itself, which is also that of its main thread.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Whether the host process is a fork, in which only the guest's thread exists: when the guest
    /// ends, so does the process, by [`Process::exit_in_child`]; a guest that ends itself with success,
    /// and has not become another program, has already been ended so.
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.is_child.load(Ordering::Relaxed)
    }

    /// Ends the host process of a forked guest as the guest ended: with this status, or by the
    /// signal that ended it. Nothing runs that the host process set up for its exit, as that is for
    /// the parent, and no buffer of the standard library is written.
    pub fn exit_in_child(&self, status: u8) -> ! {
        if let Some(signal) = self.dispositions.ended_by() {
            wasmoor_sys::signals::end_by(signal.host());
        }
        wasmoor_sys::fork::end_child(status.into())
    }

    /// Ends the host process if it is a copy of its parent's, of which nobody has anything to keep:
    /// [`crate::run`] does not return in it. A program has code that the embedder may want to store.
    pub(crate) fn end_copy(&self) {
        if self.is_copy.load(Ordering::Relaxed) {
            self.restore_terminal();
            self.exit_in_child(0);
        }
    }

    /// Runs `work`, which forks, while no other thread changes what the child needs.
    pub(crate) fn hold<R>(&self, thread: &Thread, work: impl FnOnce() -> R) -> R {
        // Descriptors that are closed meanwhile are dropped when none of these is held: that of a bound
        // socket wants one of them.
        thread.core().hold(|| {
            let _held = (
                self.threads.hold(),
                self.workers.hold(),
                self.alarms.hold(),
                self.dispositions.hold(),
                lock(&self.program),
                lock(&self.terminal),
                self.options.network.hold(),
                self.options.modules.hold(),
            );
            work()
        })
    }

    /// The child of a fork begins, with the calling thread as its main one.
    pub(crate) fn begin_in_child(self: &Arc<Self>, thread: &mut Thread, pid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
        self.is_child.store(true, Ordering::Relaxed);
        self.is_copy.store(true, Ordering::Relaxed);
        self.threads.begin_in_child(thread.tid(), pid);
        thread.begin_in_child(pid);
        self.alarms.begin_in_child(self);
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

    /// The process as the program begins that it becomes: handlers are gone, and what is ignored
    /// stays ignored unless it is said otherwise.
    pub(crate) fn successor(&self, ignored: &[(u32, bool)]) -> Arc<Process> {
        self.alarms.stop_forwarding();
        let dispositions = Dispositions::default();
        for signal in self.dispositions.ignored() {
            dispositions.set_ignored(signal, true);
        }
        for &(signal, ignore) in ignored {
            if let Some(signal) = Signal::new(signal) {
                dispositions.set_ignored(signal, ignore);
            }
        }
        Arc::new(Process {
            pid: AtomicU32::new(self.pid()),
            is_child: AtomicBool::new(self.is_child()),
            is_copy: AtomicBool::new(false),
            options: self.options.clone(),
            threads: Threads::new(self.pid()),
            workers: Arc::clone(&self.workers),
            births: Births::default(),
            program: Mutex::new(None),
            successor: Mutex::new(None),
            dispositions,
            alarms: Alarms::default(),
            family: self.family.hand_over(),
            local_keys: AtomicU32::new(0),
            terminal: Mutex::new(lock(&self.terminal).take()),
        })
    }

    pub(crate) fn set_successor(&self, module: LoadedModule, thread: Thread) {
        *lock(&self.successor) = Some((module, thread));
    }

    /// Whether the guest has become another program.
    #[must_use]
    pub fn has_successor(&self) -> bool {
        lock(&self.successor).is_some()
    }

    /// The program that the guest has become, once [`crate::run`] has ended for that: its module and
    /// the main thread for a new store.
    #[must_use]
    pub fn take_successor(&self) -> Option<(LoadedModule, Thread)> {
        lock(&self.successor).take()
    }

    /// Sends a signal to the guest, which handles it or has happen what happens by default.
    pub(crate) fn signal(&self, signal: Signal) {
        match self.dispositions.action(signal) {
            None => self.threads.send(None, signal),
            Some(Action::Ignore) => {}
            // Not for a guest in a process of others.
            Some(Action::Stop) => drop(self.stop()),
            Some(Action::End) => {
                self.dispositions.set_ended_by(signal);
                self.end(Err(signal.exit()));
            }
        }
    }

    /// Stops the host process until something lets it go on.
    ///
    /// # Errors
    /// `notsup` when that is not the guest's.
    pub(crate) fn stop(&self) -> Result<(), Errno> {
        if !self.options.is_host_process {
            return Err(Errno::NOTSUP);
        }
        kill_process(getpid(), rustix::process::Signal::STOP)
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

    /// The guest is what the host process is there for, so it may do what concerns all of that: a
    /// guest that handles signals gets those of the host process, and one that forks forks it. Nothing
    /// of the kind by default.
    #[must_use]
    pub fn host_process(mut self, is_host_process: bool) -> Self {
        self.options.is_host_process = is_host_process;
        self
    }

    /// How many forked processes there may be at once that stem from this one; 256 by default.
    #[must_use]
    pub fn processes_max(mut self, processes_max: u32) -> Self {
        self.options.processes_max = processes_max;
        self
    }

    /// A cache for the programs that the guest runs. Without one their modules are validated, and a few
    /// are kept in memory.
    #[must_use]
    pub fn cache(mut self, cache: impl Into<Option<Cache>>) -> Self {
        self.options.modules = Arc::new(Modules::new(cache.into()));
        self
    }

    /// The main thread of the process, for its store.
    #[must_use]
    pub fn build(self) -> Thread {
        let process = Process {
            pid: AtomicU32::new(FIRST),
            is_child: AtomicBool::new(false),
            is_copy: AtomicBool::new(false),
            options: self.options,
            threads: Threads::new(FIRST),
            workers: Arc::default(),
            births: Births::default(),
            program: Mutex::new(None),
            successor: Mutex::new(None),
            dispositions: Dispositions::default(),
            alarms: Alarms::default(),
            family: Family::default(),
            local_keys: AtomicU32::new(0),
            terminal: Mutex::new(None),
        };
        Thread::new(Arc::new(process), FIRST, self.wasi)
    }
}
