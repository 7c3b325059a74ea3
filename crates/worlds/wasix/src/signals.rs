//! Signals: what is sent, to whom, and what it does.
//!
//! A guest handles signals in one exported function, which it names by `callback_signal`; which of
//! its handlers that calls, and which signals are masked, is its library's business. It is called on
//! the thread that the signal is for: at a poll of compute loops, or where a call of the host
//! returns, which the signal has ended with `intr`. A process that has named no function gets what
//! signals do by default.
//!
//! ```text
//! send      set the signal's bit in the thread's [`Pending`], ask its store to call the hook
//! hook      for each bit: clear it, call the handler; meanwhile the same signal waits
//! ```

use crate::program::Guest;
use crate::thread::Thread;
use rustix::io::Errno;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmoor::{Caller, Error, Instance, TypedFunc, Val};
use wasmoor_wasi_p1::Exit;

/// A signal's number, as on Linux for x86: 1 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(u32);

/// What a signal does to a process that does not handle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Ignore,
    Stop,
    End,
}

impl Signal {
    const KILL: Signal = Signal(9);
    const STOP: Signal = Signal(19);

    /// `None` for 0, which is no signal, and unknown numbers.
    pub(crate) fn new(number: u32) -> Option<Signal> {
        (1..=31).contains(&number).then_some(Signal(number))
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The same for the system, whose numbers these are.
    pub(crate) fn host(self) -> i32 {
        self.0.cast_signed()
    }

    fn bit(self) -> u32 {
        1 << self.0
    }

    fn can_be_handled(self) -> bool {
        self != Signal::KILL && self != Signal::STOP
    }

    /// What it does by default. That of SIGPIPE is unlike POSIX: writing fails, and programs of
    /// WASIX expect to live on.
    pub(crate) fn default_action(self) -> Action {
        match self.0 {
            // pipe, stkflt, chld, cont, urg, winch.
            13 | 16 | 17 | 18 | 23 | 28 => Action::Ignore,
            // stop, tstp, ttin, ttou.
            19..=22 => Action::Stop,
            _ => Action::End,
        }
    }

    /// The end of a process that the signal ends.
    pub(crate) fn exit(self) -> Error {
        Error::host(Exit { code: 128 + self.0 })
    }
}

/// Signals that were sent to one thread and not handled yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    sent: AtomicU32,
    /// Whose handler runs: they wait.
    in_handler: AtomicU32,
}

impl Pending {
    pub(crate) fn send(&self, signal: Signal) {
        self.sent.fetch_or(signal.bit(), Ordering::SeqCst);
    }

    /// Whether a handler is to be called: blocking calls end.
    pub(crate) fn is_deliverable(&self) -> bool {
        self.deliverable() != 0
    }

    fn deliverable(&self) -> u32 {
        self.sent.load(Ordering::SeqCst) & !self.in_handler.load(Ordering::SeqCst)
    }

    /// Takes the lowest; only the thread itself does.
    fn take(&self) -> Option<Signal> {
        let signal = Signal(self.deliverable().trailing_zeros());
        if signal.0 >= u32::BITS {
            return None;
        }
        self.sent.fetch_and(!signal.bit(), Ordering::SeqCst);
        Some(signal)
    }

    /// Forgets what was sent, as in the child of a fork.
    pub(crate) fn clear(&self) {
        self.sent.store(0, Ordering::SeqCst);
    }
}

/// A handler that runs until this is dropped.
struct InHandler(Arc<Pending>, Signal);

impl InHandler {
    fn new(pending: &Arc<Pending>, signal: Signal) -> Self {
        pending.in_handler.fetch_or(signal.bit(), Ordering::SeqCst);
        InHandler(Arc::clone(pending), signal)
    }
}

impl Drop for InHandler {
    fn drop(&mut self) {
        self.0.in_handler.fetch_and(!self.1.bit(), Ordering::SeqCst);
    }
}

/// What a process does with signals.
#[derive(Debug, Default)]
pub(crate) struct Dispositions {
    /// The exported function that handles them.
    handler: Mutex<Option<Arc<str>>>,
    /// Those that were ignored when the program began, by number.
    ignored: AtomicU32,
    /// The signal that ended the process, or 0.
    ended_by: AtomicU32,
}

impl Dispositions {
    pub(crate) fn set_handler(&self, name: Option<&str>) {
        *self.handler.lock().unwrap_or_else(PoisonError::into_inner) = name.map(Arc::from);
    }

    fn handler(&self) -> Option<Arc<str>> {
        self.handler.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody changes the handler until the guard is dropped.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.handler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ignored(&self) -> impl Iterator<Item = Signal> + use<> {
        let ignored = self.ignored.load(Ordering::SeqCst);
        (1..=31).map(Signal).filter(move |signal| ignored & signal.bit() != 0)
    }

    pub(crate) fn set_ignored(&self, signal: Signal, ignore: bool) {
        if ignore {
            self.ignored.fetch_or(signal.bit(), Ordering::SeqCst);
        } else {
            self.ignored.fetch_and(!signal.bit(), Ordering::SeqCst);
        }
    }

    /// The signal that ended the process.
    pub(crate) fn ended_by(&self) -> Option<Signal> {
        Signal::new(self.ended_by.load(Ordering::SeqCst))
    }

    pub(crate) fn set_ended_by(&self, signal: Signal) {
        self.ended_by.store(signal.0, Ordering::SeqCst);
    }

    /// What a signal does now; `None`: the handler is called.
    pub(crate) fn action(&self, signal: Signal) -> Option<Action> {
        let ignored = self.ignored.load(Ordering::SeqCst) & signal.bit() != 0;
        match signal.can_be_handled() {
            true if self.handler().is_some() => None,
            true if ignored => Some(Action::Ignore),
            _ => Some(signal.default_action()),
        }
    }
}

/// The poll hook of a guest's threads: calls the handler for what was sent to the thread.
///
/// # Errors
/// Those of the handler, and the process's end where there is none and that is the default.
pub(crate) fn deliver<T: Guest>(mut caller: Caller<'_, T>) -> Result<(), Error> {
    let pending = Arc::clone(caller.data_mut().thread().pending());
    while let Some(signal) = pending.take() {
        let _running = InHandler::new(&pending, signal);
        let thread = caller.data_mut().thread();
        let (process, instance) = (Arc::clone(thread.process()), thread.instance());
        let name = process.dispositions.handler();
        let found = match (name, instance) {
            (Some(name), Some(instance)) => {
                Some((instance.get_typed_func::<u32, ()>(&caller, &name).ok(), instance))
            }
            _ => None,
        };
        match found {
            Some((Some(handler), instance)) => call(&mut caller, &instance, handler, signal)?,
            // The handler is gone, or the guest has named what it does not export.
            _ if signal.default_action() == Action::End => {
                process.dispositions.set_ended_by(signal);
                return Err(signal.exit());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes below the stack pointer that leaf functions use without moving it.
const RED_ZONE_BYTES: i32 = 128;

/// Calls the handler, below what the interrupted function may use of the guest's own stack.
fn call<T: Guest>(
    caller: &mut Caller<'_, T>,
    instance: &Instance,
    handler: TypedFunc<u32, ()>,
    signal: Signal,
) -> Result<(), Error> {
    let pointer = instance.get_global(&*caller, "__stack_pointer");
    let before = pointer.map(|pointer| pointer.get(&*caller));
    if let (Some(pointer), Some(Val::I32(before))) = (pointer, &before) {
        // A pointer that cannot be set is no stack pointer.
        let _ = pointer.set(&mut *caller, Val::I32(before.wrapping_sub(RED_ZONE_BYTES) & !15));
    }
    handler.call(&mut *caller, signal.0)?;
    if let (Some(pointer), Some(before)) = (pointer, before) {
        let _ = pointer.set(caller, before);
    }
    Ok(())
}

/// Sends a signal to a thread of the calling process, or without a number to the process.
///
/// # Errors
/// The end of the process, for the caller to end with. Inside: `srch` when there is no such thread,
/// `notsup` for stopping a guest that has no host process for itself.
pub(crate) fn send(
    thread: &Thread,
    tid: Option<u32>,
    signal: Signal,
) -> Result<Result<(), Errno>, Error> {
    let process = thread.process();
    if tid.is_some_and(|tid| !process.threads.is_running(tid)) {
        return Ok(Err(Errno::SRCH));
    }
    match process.dispositions.action(signal) {
        None => process.threads.send(tid, signal),
        Some(Action::Ignore) => {}
        Some(Action::Stop) => return Ok(process.stop()),
        Some(Action::End) => {
            process.dispositions.set_ended_by(signal);
            return Err(signal.exit());
        }
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_waits_for_its_own_handler_only() {
        let pending = Arc::new(Pending::default());
        let [usr1, usr2] = [10, 12].map(|number| Signal::new(number).expect("a signal"));
        pending.send(usr2);
        pending.send(usr1);
        assert_eq!(pending.take(), Some(usr1));
        let running = InHandler::new(&pending, usr1);
        pending.send(usr1);
        assert_eq!(pending.take(), Some(usr2));
        assert_eq!((pending.take(), pending.is_deliverable()), (None, false));
        drop(running);
        assert_eq!((pending.is_deliverable(), pending.take()), (true, Some(usr1)));
        pending.send(usr2);
        pending.clear();
        assert_eq!(pending.take(), None);
    }

    #[test]
    fn actions_follow_handler_and_disposition() {
        let dispositions = Dispositions::default();
        let action = |number| dispositions.action(Signal::new(number).expect("a signal"));
        assert_eq!([0, 32, u32::MAX].map(Signal::new), [None; 3]);
        assert_eq!(
            [2, 13, 17, 20].map(action),
            [Some(Action::End), Some(Action::Ignore), Some(Action::Ignore), Some(Action::Stop)]
        );
        dispositions.set_handler(Some("handler"));
        assert_eq!([2, 17, 9, 19].map(action), [None, None, Some(Action::End), Some(Action::Stop)]);
    }
}
