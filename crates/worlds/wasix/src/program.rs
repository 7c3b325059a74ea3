//! Running: the main thread's instance, those of other threads, and the end of the process.

use crate::errno::Errno;
use crate::link::is_wasix;
use crate::process::Process;
use crate::signals;
use crate::thread::Thread;
use crate::threads::ThreadExit;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmoor::{
    Caller, Engine, Error, Instance, InstancePre, Linker, Module, Result, Store, TypedFunc, Val,
};
use wasmoor_host::Interrupt;
use wasmoor_wasi_p1::Exit;

/// How long the end of a process waits for threads that are in calls of the host.
const END: Duration = Duration::from_secs(1);

/// The data of a store that runs a thread of WASIX: [`Thread`], or what has one.
pub trait Guest: Send + Sized + 'static {
    /// The thread.
    fn thread(&mut self) -> &mut Thread;

    /// The data for the store of a new thread, made by the one that starts it.
    #[must_use]
    fn for_thread(&mut self, thread: Thread) -> Self;
}

impl Guest for Thread {
    fn thread(&mut self) -> &mut Thread {
        self
    }

    fn for_thread(&mut self, thread: Thread) -> Self {
        thread
    }
}

/// Makes instances for the threads of a process.
struct Program<T> {
    pre: InstancePre<T>,
    engine: Engine,
}

/// Makes the instance of the main thread, and of others later on. Blocking calls end from now on
/// when the store is interrupted or its time is up.
///
/// # Errors
/// As [`Linker::instantiate`].
pub fn instantiate<T: Guest>(
    linker: &Linker<T>,
    store: &mut Store<T>,
    module: &Module,
) -> Result<Instance> {
    let program = Program { pre: linker.instantiate_pre(module)?, engine: linker.engine().clone() };
    let program = Arc::new(program);
    let thread = store.data_mut().thread();
    thread.process().set_program(Arc::clone(&program) as _);
    if is_wasix(module) {
        thread.set_working_dir();
    }
    attach(store);
    let instance = program.pre.instantiate(&mut *store)?;
    store.data_mut().thread().set_instance(instance);
    Ok(instance)
}

/// The engine that the process's code is for.
pub(crate) fn engine<T: Guest>(process: &Process) -> Option<Engine> {
    let program = process.program()?.downcast::<Program<T>>().ok()?;
    Some(program.engine.clone())
}

/// Makes the process know how to interrupt the thread, and its calls when they must end; from now on
/// it handles signals.
fn attach<T: Guest>(store: &mut Store<T>) {
    let handle = store.interrupt_handle();
    let thread = store.data_mut().thread();
    let pending = Arc::clone(thread.pending());
    thread.process().threads.attach(thread.tid(), handle.clone(), Arc::clone(&pending));
    let stops = move || handle.is_pending() || pending.is_deliverable();
    thread.set_interrupt(Interrupt::new(stops));
    store.on_poll(signals::deliver);
}

/// Does the main thread's work, such as calling `_start`, and waits for the end of the process. It
/// ends
/// - when the work returns, with success;
/// - when any thread traps or asks for the end (an error around [`wasmoor_wasi_p1::Exit`]);
/// - when the last thread ends, if the main thread ended itself alone.
///
/// A thread that is in a call of the embedder which cannot be interrupted is waited for a second.
///
/// # Errors
/// That of the thread that ended the process.
pub fn run<T: Guest>(
    store: &mut Store<T>,
    work: impl FnOnce(&mut Store<T>) -> Result<()>,
) -> Result<()> {
    let result = work(store);
    let handle = store.interrupt_handle();
    let thread = store.data_mut().thread();
    let (tid, process) = (thread.tid(), Arc::clone(thread.process()));
    let threads = &process.threads;
    threads.remove(tid);
    if is_thread_exit(&result) {
        let stop = Interrupt::new(move || handle.is_pending());
        if threads.wait_for_all(None, &stop) {
            threads.end(Ok(()));
        } else {
            threads.end(Err(Error::trap(wasmoor::TrapCode::Interrupted)));
        }
    } else {
        threads.end(result);
    }
    threads.wait_for_all(Instant::now().checked_add(END), &Interrupt::default());
    process.restore_terminal();
    threads.take_outcome().unwrap_or(Ok(()))
}

fn is_thread_exit(result: &Result<()>) -> bool {
    result.as_ref().is_err_and(|error| error.downcast_ref::<ThreadExit>().is_some())
}

/// How a new thread starts in its instance.
pub(crate) enum Start {
    /// By calling `wasi_thread_start` with the thread's number and this address.
    Wasi(u32),
    /// As in 2023: by calling `_start_thread` with the halves of a number, on this stack.
    Legacy {
        /// The number.
        user_data: u64,
        /// The stack pointer.
        stack: u32,
    },
}

impl Start {
    /// The call to make, once the instance is ready for it.
    ///
    /// # Errors
    /// `notcapable` when the module does not export what is called.
    fn prepare<T>(self, store: &mut Store<T>, instance: &Instance) -> Result<Entry, Errno> {
        let missing = |_| wasmoor_wasi_p1::Errno::NotCapable;
        Ok(match self {
            Start::Wasi(address) => {
                let func =
                    instance.get_typed_func(&*store, "wasi_thread_start").map_err(missing)?;
                Entry { func, arguments: Arguments::WithNumber(address) }
            }
            Start::Legacy { user_data, stack } => {
                let func = instance.get_typed_func(&*store, "_start_thread").map_err(missing)?;
                if let Some(pointer) = instance.get_global(&*store, "__stack_pointer") {
                    pointer.set(store, Val::I32(stack.cast_signed())).map_err(missing)?;
                }
                Entry { func, arguments: Arguments::Halves(user_data) }
            }
        })
    }
}

/// The call with which a thread starts.
struct Entry {
    func: TypedFunc<(u32, u32), ()>,
    arguments: Arguments,
}

enum Arguments {
    /// The thread's number and this one.
    WithNumber(u32),
    /// The lower half of a number and the upper one.
    Halves(u64),
}

impl Entry {
    fn call<T>(&self, store: &mut Store<T>, tid: u32) -> Result<()> {
        let arguments = match self.arguments {
            Arguments::WithNumber(number) => (tid, number),
            Arguments::Halves(number) => (number as u32, (number >> 32) as u32),
        };
        self.func.call(store, arguments)
    }
}

/// Starts a thread; its number.
///
/// # Errors
/// `again` when there are too many or there is no memory for it, `notcapable` when the module does
/// not export the function in which threads start, `notsup` to a thread that acts for a child: what it
/// has is not its process's.
pub(crate) fn spawn<T: Guest>(caller: &mut Caller<'_, T>, start: Start) -> Result<u32, Errno> {
    let again = || Errno::from(rustix::io::Errno::AGAIN);
    let parent = caller.data_mut();
    parent.thread().check_not_apart()?;
    let process = Arc::clone(parent.thread().process());
    let program = process.program().and_then(|program| program.downcast::<Program<T>>().ok());
    let program = program.ok_or_else(again)?;
    let options = process.options();
    let tid = process.threads.admit(options.threads_max)?;
    // From here on the thread counts, and no longer when this is dropped.
    let ending = Ending { process: Arc::clone(&process), tid };
    let birth = process.births.enter();
    let data = parent.thread().sibling(tid);
    let data = parent.for_thread(data);
    let mut store = Store::new(&program.engine, data).map_err(|_| again())?;
    store.set_limits(options.store_limits.clone());
    attach(&mut store);
    let instance = program.pre.instantiate(&mut store).map_err(|_| again())?;
    store.data_mut().thread().set_instance(instance);
    let entry = start.prepare(&mut store, &instance)?;
    drop(birth);
    let body = move || {
        let ending = ending;
        let result = entry.call(&mut store, tid);
        let thread = store.data_mut().thread();
        // In a child that this thread has forked it is the only one, and nobody waits for it.
        if thread.tid() != tid {
            thread.process().exit_in_child(status(&result));
        }
        let end = ending.process.births.enter();
        drop(store);
        drop(end);
        ending.with(result);
    };
    let started = process.workers.start(options.thread_stack_bytes, Box::new(body));
    started.map_err(|_| again())?;
    Ok(tid)
}

/// The status of a forked process whose first function was a thread's.
fn status(result: &Result<()>) -> u8 {
    const TRAP: u8 = 134;
    match result {
        Err(error) if error.downcast_ref::<Exit>().is_some() => {
            // As in any process, the low 8 bits are the status.
            error.downcast_ref::<Exit>().map_or(TRAP, |exit| exit.code as u8)
        }
        Err(_) if !is_thread_exit(result) => TRAP,
        _ => 0,
    }
}

/// A thread that counts as running until this is dropped.
struct Ending {
    process: Arc<Process>,
    tid: u32,
}

impl Ending {
    /// The thread's function has returned.
    fn with(self, result: Result<()>) {
        if result.is_err() && !is_thread_exit(&result) {
            self.process.end(result);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.process.end(Err(Error::usage("a function of the host panicked")));
        }
        self.process.threads.remove(self.tid);
    }
}
