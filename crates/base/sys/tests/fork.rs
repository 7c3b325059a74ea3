//! The order of hooks around a fork.

#![cfg(target_os = "linux")]

mod common;

use common::{fork, in_own_process};
use std::sync::Mutex;
use wasmoor_sys::fork::{Hooks, register};

static LOG: Mutex<String> = Mutex::new(String::new());

fn log(text: &str) {
    LOG.lock().unwrap().push_str(text);
}

static FIRST: Hooks = Hooks { prepare: || log("p1 "), parent: || log("f1 "), child: || log("c1 ") };
static SECOND: Hooks =
    Hooks { prepare: || log("p2 "), parent: || log("f2 "), child: || log("c2 ") };

#[test]
fn hooks_nest() {
    in_own_process("hooks_nest", || {
        for hooks in [&FIRST, &SECOND, &FIRST] {
            register(hooks);
        }
        let child = || i32::from(*LOG.lock().unwrap() == "p2 p1 c1 c2 ");
        assert_eq!(fork(child, || ()), 1);
        assert_eq!(*LOG.lock().unwrap(), "p2 p1 f1 f2 ");
        // Forking from a thread, and again.
        let child = || i32::from(LOG.lock().unwrap().ends_with("f1 f2 p2 p1 c1 c2 "));
        assert_eq!(std::thread::spawn(move || fork(child, || ())).join().unwrap(), 1);
    });
}

#[test]
fn a_refused_fork_is_an_error_and_runs_the_parents_hooks() {
    in_own_process("a_refused_fork_is_an_error_and_runs_the_parents_hooks", || {
        register(&FIRST);
        // Root is exempt from the limit on processes.
        if rustix::process::getuid().is_root() {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).unwrap();
        }
        common::limit(rustix::process::Resource::Nproc, 0);
        assert!(wasmoor_sys::fork::fork().is_err());
        assert_eq!(*LOG.lock().unwrap(), "p1 f1 ");
    });
}

/// Ends the process by a signal when its thread ends in order.
struct Aborts;

impl Drop for Aborts {
    fn drop(&mut self) {
        std::process::abort();
    }
}

thread_local! {
    static ABORTS: Aborts = const { Aborts };
}

#[test]
fn a_child_ends_without_what_its_parent_has_set_up() {
    in_own_process("a_child_ends_without_what_its_parent_has_set_up", || {
        let child = || {
            ABORTS.with(|_| ());
            wasmoor_sys::fork::end_child(7)
        };
        assert_eq!(fork(child, || ()), 7);
    });
}
