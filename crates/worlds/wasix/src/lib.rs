//! WASIX: what POSIX programs need beyond WASI preview 1. Threads first of all.
//!
//! A [`Process`] is what the threads of one guest share; a [`Thread`] is the data of one thread's
//! store. Each guest thread is a thread of the host with a store and an instance of its own, over
//! one shared memory.
//!
//! ```text
//! Process ── descriptors, arguments (a WasiCtx, cloned per thread)
//!    │       threads: who runs, how the process ends
//!    │       program: the module with its imports found, to make instances for new threads
//!    ├── Thread 1 (the main thread) ── Store<Thread> ── Instance ─┐
//!    └── Thread 2 ...               ── Store<Thread> ── Instance ─┴─ SharedMemory
//! ```
//!
//! [`add_to_linker`] offers the functions to a module under the names that it imports, in the form
//! that it imports: WASIX has had several. [`instantiate`] makes the main thread's instance and
//! [`run`] runs it until the process ends. Nothing here needs an async runtime, and no thread is
//! made but those that the guest asks for.
//!
//! Invariants:
//! - a process ends once: whoever is first says how, and every other thread is interrupted;
//! - places for results are checked before anything is done;
//! - a module that imports nothing of WASIX has the functions of preview 1 as they are.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod abi;
mod address;
mod alarms;
mod apart;
mod births;
mod calls;
mod errno;
mod family;
mod image;
mod link;
mod modules;
mod process;
mod program;
mod signals;
mod spawn;
mod thread;
mod threads;
mod unsupported;
mod workers;

pub use self::errno::Errno;
pub use self::image::Replaced;
pub use self::link::{WASI, WASIX_32, add_to_linker, is_wasix};
pub use self::modules::LoadedModule;
pub use self::process::{Process, ProcessBuilder};
pub use self::program::{Guest, instantiate, run};
pub use self::thread::Thread;
pub use self::threads::ThreadExit;
pub use self::unsupported::unsupported_imports;
