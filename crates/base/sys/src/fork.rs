//! The only `fork` of Wasmoor.
//!
//! Of a forked process only the calling thread goes on in the child, so whatever another thread
//! holds or does at that moment stays as it is there for ever. Therefore every crate with locks or
//! kernel objects that matter registers [`Hooks`]: `prepare` takes its locks, `parent` and `child`
//! release them and make anew what cannot be shared. Machine code is dealt with in
//! [`crate::code`], inside of all hooks.
//!
//! ```text
//! fork:  prepare of the last registered ... of the first, code regions,
//!        fork(2),
//!        code regions, parent (or child) of the first ... of the last
//! ```

use crate::{code, port};
use std::io;
use std::sync::{Mutex, PoisonError};

/// What one crate does around a fork. A hook must not register hooks or fork.
#[derive(Debug)]
pub struct Hooks {
    /// Before, on the forking thread; the last registered runs first.
    pub prepare: fn(),
    /// After, in the parent, also when forking failed; the first registered runs first.
    pub parent: fn(),
    /// After, in the child; the first registered runs first.
    pub child: fn(),
}

/// Which side of a fork one is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// The calling process; holds the id of the child.
    Parent(i32),
    /// The new process.
    Child,
}

/// Hooks in order of registration; held locked while forking.
static HOOKS: Mutex<Vec<&'static Hooks>> = Mutex::new(Vec::new());

/// Adds hooks, for the rest of the process's life. Register what others depend on first.
/// Registering the same hooks again does nothing.
pub fn register(hooks: &'static Hooks) {
    let mut all = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    if !all.iter().any(|&other| std::ptr::eq(other, hooks)) {
        all.push(hooks);
    }
}

/// Ends a forked child with this status, at once: what a process does at its exit otherwise is for the
/// process that set it up, and to free memory that the parent has too means to copy it first.
pub fn end_child(status: i32) -> ! {
    port::fork::end(status)
}

/// Forks the process, running all hooks.
///
/// The child has the calling thread only. The standard library, the C library's allocator and
/// everything that registered hooks work in it.
///
/// # Errors
/// When the system refuses another process; the `parent` hooks have run then.
pub fn fork() -> io::Result<Fork> {
    let hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    hooks.iter().rev().for_each(|hooks| (hooks.prepare)());
    let regions = code::prepare_fork();
    let forked = port::fork::fork();
    if let Ok(Fork::Child) = forked {
        regions.child();
        hooks.iter().for_each(|hooks| (hooks.child)());
    } else {
        regions.parent();
        hooks.iter().for_each(|hooks| (hooks.parent)());
    }
    forked
}
