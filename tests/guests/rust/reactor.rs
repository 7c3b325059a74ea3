//! A small executor of one thread over one set of epoll, and sockets for it.

mod net;
mod sys;

pub use net::{Listener, Stream};
pub use sys::Address;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Who waits for a descriptor.
#[derive(Default)]
struct Source {
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

struct Reactor {
    set: sys::Set,
    /// By token; a token is never used again, descriptors' numbers are.
    sources: RefCell<HashMap<u64, Rc<Source>>>,
    tasks: RefCell<HashMap<u64, (Task, Arc<TaskWaker>)>>,
    ready: Arc<Mutex<VecDeque<u64>>>,
    next: Cell<u64>,
    stopped: Cell<bool>,
}

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    ready: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            ready.push_back(self.task);
        }
    }
}

thread_local! {
    static REACTOR: Rc<Reactor> = Rc::new(Reactor {
        set: sys::Set::new().expect("a set"),
        sources: RefCell::default(),
        tasks: RefCell::default(),
        ready: Arc::default(),
        next: Cell::new(1),
        stopped: Cell::new(false),
    });
}

fn reactor() -> Rc<Reactor> {
    REACTOR.with(Rc::clone)
}

/// Runs a future beside the others.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    reactor().spawn(Box::pin(future));
}

/// Ends [`run`] after the task at work has been polled.
pub fn stop() {
    reactor().stopped.set(true);
}

/// Runs the future and those it spawns until somebody calls [`stop`].
///
/// # Errors
/// Waiting fails.
pub fn run(main: impl Future<Output = ()> + 'static) -> io::Result<()> {
    let reactor = reactor();
    reactor.spawn(Box::pin(main));
    while !reactor.stopped.get() {
        let idle = reactor.poll_ready();
        if !reactor.stopped.get() {
            reactor.wait(idle)?;
        }
    }
    // Sockets of tasks leave the reactor as they go.
    let tasks = reactor.tasks.take();
    drop(tasks);
    Ok(())
}

impl Reactor {
    fn token(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    fn spawn(&self, task: Task) {
        let id = self.token();
        let ready = Arc::clone(&self.ready);
        let waker = Arc::new(TaskWaker { task: id, queued: AtomicBool::new(false), ready });
        Arc::clone(&waker).wake();
        self.tasks.borrow_mut().insert(id, (task, waker));
    }

    /// Polls each task that is ready now, once; whether none is ready afterwards.
    fn poll_ready(&self) -> bool {
        let batch = std::mem::take(&mut *self.ready());
        for id in batch {
            // It is out of the map while it runs: it may spawn others.
            let Some((mut task, waker)) = self.tasks.borrow_mut().remove(&id) else { continue };
            waker.queued.store(false, Ordering::Release);
            let shared = Waker::from(Arc::clone(&waker));
            if task.as_mut().poll(&mut Context::from_waker(&shared)).is_pending() {
                self.tasks.borrow_mut().insert(id, (task, waker));
            }
            if self.stopped.get() {
                break;
            }
        }
        self.ready().is_empty()
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, VecDeque<u64>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, forever: bool) -> io::Result<()> {
        for event in self.set.wait(forever)? {
            // Gone since: its descriptor was closed.
            let Some(source) = self.sources.borrow().get(&event.token).cloned() else { continue };
            let reader = if event.readable { source.reader.take() } else { None };
            let writer = if event.writable { source.writer.take() } else { None };
            reader.into_iter().chain(writer).for_each(Waker::wake);
        }
        Ok(())
    }
}
