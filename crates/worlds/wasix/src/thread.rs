//! Threads: what one thread of a guest has of its own.

use crate::apart::Apart;
use crate::errno::Errno;
use crate::process::Process;
use crate::signals::Pending;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use wasmoor::Instance;
use wasmoor_host::poll::PollSet;
use wasmoor_host::{Core, Interrupt, WorkingDir};
use wasmoor_wasi_p1::WasiCtx;

/// One thread of a guest: the data of its store.
#[derive(Debug)]
pub struct Thread {
    process: Arc<Process>,
    tid: u32,
    wasi: WasiCtx,
    pending: Arc<Pending>,
    /// The instance that it runs.
    instance: Option<Instance>,
    /// Values under keys, see `calls::thread_locals`.
    locals: HashMap<u32, u64>,
    /// What it polled last, once it polled.
    polled: Mutex<Option<PollSet>>,
    /// While it acts for a child.
    apart: Option<Apart>,
}

impl Thread {
    pub(crate) fn new(process: Arc<Process>, tid: u32, wasi: WasiCtx) -> Self {
        let pending = Arc::default();
        let (locals, polled) = (HashMap::new(), Mutex::default());
        Thread { process, tid, wasi, pending, instance: None, locals, polled, apart: None }
    }

    /// Another thread of the same process.
    pub(crate) fn sibling(&self, tid: u32) -> Self {
        Thread::new(Arc::clone(&self.process), tid, self.wasi.clone())
    }

    /// What it shares with the other threads.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Its number; that of the main thread is the number of the process.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// What the calls of preview 1 work on.
    #[must_use]
    pub fn wasi(&self) -> &WasiCtx {
        &self.wasi
    }

    /// The same, to be changed. Only what ends waiting is the thread's own.
    #[must_use]
    pub fn wasi_mut(&mut self) -> &mut WasiCtx {
        &mut self.wasi
    }

    /// Signals that it is to handle.
    pub(crate) fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// The instance that it runs.
    pub(crate) fn instance(&self) -> Option<Instance> {
        self.instance
    }

    pub(crate) fn set_instance(&mut self, instance: Instance) {
        self.instance = Some(instance);
    }

    /// The host core.
    pub(crate) fn core(&self) -> &Core {
        self.wasi.core()
    }

    /// Runs `poll` with what the thread polled last.
    pub(crate) fn with_polled<R>(&self, poll: impl FnOnce(&mut PollSet) -> R) -> R {
        // Only this thread takes it.
        let mut polled = self.polled.lock().unwrap_or_else(PoisonError::into_inner);
        poll(polled.get_or_insert_with(|| PollSet::new(self.core().guard.meter.clone())))
    }

    /// # Errors
    /// `inval` for a key that was not made.
    pub(crate) fn check_local_key(&self, key: u32) -> Result<(), Errno> {
        if self.process.has_local_key(key) { Ok(()) } else { Err(rustix::io::Errno::INVAL.into()) }
    }

    /// # Errors
    /// `inval` for a key that was not made.
    pub(crate) fn local(&self, key: u32) -> Result<u64, Errno> {
        self.check_local_key(key)?;
        Ok(self.locals.get(&key).copied().unwrap_or(0))
    }

    /// # Errors
    /// `inval` for a key that was not made.
    pub(crate) fn set_local(&mut self, key: u32, value: u64) -> Result<(), Errno> {
        self.check_local_key(key)?;
        // As many as there are keys, which are bounded.
        self.locals.insert(key, value);
        Ok(())
    }

    /// Gives the guest a current directory, and so a meaning to absolute paths.
    pub(crate) fn set_working_dir(&mut self) {
        let start = self.process.options().working_dir.as_bytes();
        let core = self.wasi.core_mut();
        // A program begins where the one before it was.
        if core.working_dir.is_some() {
            return;
        }
        core.working_dir = Some(Arc::new(WorkingDir::new(start, core.table.mounts())));
    }

    /// The number of the process that it acts for.
    pub(crate) fn pid(&self) -> u32 {
        self.apart.as_ref().and_then(Apart::number).unwrap_or(self.process.pid())
    }

    /// Whether it acts for a child.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart.is_some()
    }

    /// A thread acts for one child at a time, and alone.
    ///
    /// # Errors
    /// `notsup` when it acts for one.
    pub(crate) fn check_not_apart(&self) -> Result<(), Errno> {
        if self.is_apart() { Err(rustix::io::Errno::NOTSUP.into()) } else { Ok(()) }
    }

    /// Has it act for a child until that is taken.
    pub(crate) fn set_apart(&mut self, apart: Apart) {
        self.apart = Some(apart);
    }

    pub(crate) fn take_apart(&mut self) -> Option<Apart> {
        self.apart.take()
    }

    /// In the child of a fork the thread is the main one. What it polled with is the parent's.
    pub(crate) fn begin_in_child(&mut self, tid: u32) {
        self.tid = tid;
        self.pending.clear();
        self.polled = Mutex::default();
    }

    pub(crate) fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.wasi.core_mut().guard.interrupt = interrupt;
    }
}
