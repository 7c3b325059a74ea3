//! What a forked child needs is not held by a thread that is not there.

use super::*;
use crate::channel::pipe;
use crate::descriptor::{Descriptor, StatusFlags};
use crate::epoll::{self, EventFlags};
use crate::memory::GuestMemory;
use crate::mount::Mount;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const DIRECTORY: u32 = 0;
const SET: u32 = 1;
const READER: u32 = 2;

/// A guest with a directory, a set and a pipe's end to read from.
fn guest(root: &std::path::Path) -> Core {
    let mut core = Core::default();
    let (name, node) = Mount::open(root, "/", false).unwrap().into_parts();
    core.table.push(Descriptor::mount(name, node)).unwrap();
    core.table.push(epoll::create(&core.guard).unwrap()).unwrap();
    for end in pipe(&core.guard).unwrap() {
        core.table.push(end).unwrap();
    }
    core.working_dir = Some(Arc::new(WorkingDir::new(b"/", core.table.mounts())));
    core
}

/// Its name and what it does.
type Use = (&'static str, fn(&Core));

/// What another thread may be in the middle of, with something held.
const USES: &[Use] = &[
    ("random bytes", |core| {
        let mut bytes = vec![0; 1 << 20];
        let memory = GuestMemory::from_slice(&mut bytes);
        core.random.fill(&core.guard.interrupt, memory.slice(0u32, 1u64 << 20).unwrap()).unwrap();
    }),
    ("the working directory", |core| {
        core.working_dir.as_ref().unwrap().change(&core.resolver, b"/").unwrap();
    }),
    ("the table", |core| {
        let other = core.table.duplicate(READER, 0, false).unwrap();
        core.table.remove(other).unwrap();
    }),
    ("a set", |core| {
        let set = core.table.get(SET).unwrap();
        let reader = core.table.get(READER).unwrap();
        let set = epoll::of(&set).unwrap();
        // Parent and child have one set in the kernel, so either may find what the other did.
        let _ = set.add(READER, &reader, EventFlags::IN, [0; 3]);
        let _ = set.remove(READER, &reader);
    }),
    ("a set that goes", |core| {
        let set = core.table.push(epoll::create(&core.guard).unwrap()).unwrap();
        let reader = core.table.get(READER).unwrap();
        let set = core.table.remove(set).unwrap();
        epoll::of(&set).unwrap().add(READER, &reader, EventFlags::IN, [0; 3]).unwrap();
    }),
    ("a listing", |core| {
        let directory = core.table.get(DIRECTORY).unwrap();
        directory.visit_entries(&core.guard, 0, |_| ControlFlow::Continue(())).unwrap();
    }),
    ("flags", |core| {
        let directory = core.table.get(DIRECTORY).unwrap();
        directory.set_status_flags(StatusFlags::empty()).unwrap();
    }),
];

/// Waits for a child, which is ended if it does not end.
fn wait_for(child: i32) -> bool {
    let child = Pid::from_raw(child).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if waitpid(Some(child), WaitOptions::NOHANG).unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(child, Signal::KILL).unwrap();
    waitpid(Some(child), WaitOptions::empty()).unwrap();
    false
}

#[test]
fn a_child_finds_nothing_held() {
    let root = tempfile::tempdir().unwrap();
    for index in 0..500 {
        std::fs::write(root.path().join(index.to_string()), "").unwrap();
    }
    for (what, use_it) in USES {
        let core = guest(root.path());
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    use_it(&core);
                }
            });
            let mut all_end = true;
            for round in 0..50 {
                // Each second child begins with a copy of the table.
                let apart = Core { table: core.table.copy(), ..core.clone() };
                let forked = match round % 2 {
                    0 => core.hold(wasmoor_sys::fork::fork),
                    _ => apart.hold(wasmoor_sys::fork::fork),
                };
                match forked.unwrap() {
                    wasmoor_sys::fork::Fork::Child => {
                        if round % 2 == 1 {
                            core.table.take_over(&apart.table);
                        }
                        use_it(&core);
                        core.table.remove(READER).unwrap();
                        std::process::exit(0);
                    }
                    wasmoor_sys::fork::Fork::Parent(child) => all_end &= wait_for(child),
                }
                if !all_end {
                    break;
                }
            }
            ends.store(true, Ordering::Relaxed);
            assert!(all_end, "{what}");
        });
    }
}
