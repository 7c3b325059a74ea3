//! Threads of guests: how they start, and how they and their process end.

use crate::common::{TIERS, engine, instantiate};
use std::time::{Duration, Instant};
use wasmoor::{Error, ErrorKind, Store, Tier, TrapCode};
use wasmoor_wasi_p1::{Exit, Input, WasiCtx};
use wasmoor_wasix::{Process, Thread};

/// What counts as hanging.
const LONG: Duration = Duration::from_secs(20);

/// A guest with a main function and what its threads do. Threads get a number that says what; the
/// helpers `$wait` and `$wake` are futex calls, `$wait_atomic` and `$notify` instructions.
fn text(thread: &str, main: &str) -> String {
    format!(
        r#"(module
        (import "env" "memory" (memory 1 4 shared))
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "wasix_32v1" "futex_wait" (func $futex_wait (param i32 i32 i32 i32) (result i32)))
        (import "wasix_32v1" "futex_wake_all" (func $futex_wake (param i32 i32) (result i32)))
        (import "wasix_32v1" "thread_exit" (func $thread_exit (param i32)))
        (import "wasix_32v1" "thread_join" (func $join (param i32) (result i32)))
        (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
        (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (func $wait (param i32)
            (drop (call $futex_wait (local.get 0) (i32.const 0) (i32.const 0) (i32.const 64))))
        (func $wake (param i32)
            (i32.atomic.store (local.get 0) (i32.const 1))
            (drop (call $futex_wake (local.get 0) (i32.const 65))))
        (func $wait_atomic (param i32)
            (drop (memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const -1))))
        (func $notify (param i32)
            (i32.atomic.store (local.get 0) (i32.const 1))
            (drop (memory.atomic.notify (local.get 0) (i32.const -1))))
        (func $read_input
            (i32.store (i32.const 80) (i32.const 96))
            (i32.store (i32.const 84) (i32.const 1))
            (drop (call $read (i32.const 0) (i32.const 80) (i32.const 1) (i32.const 88))))
        (func (export "wasi_thread_start") (param $tid i32) (param $what i32) {thread})
        (func (export "_start") (local $tid i32) {main}))"#
    )
}

/// A process whose standard input never ends, and something to keep it open.
fn process(threads_max: u32) -> (Thread, impl Sized) {
    let (input, open) = rustix::pipe::pipe().expect("a pipe");
    let mut builder = WasiCtx::builder();
    builder.stdin(Input::File(input));
    let wasi = builder.build().expect("a context");
    (Process::builder(wasi).threads_max(threads_max).build(), open)
}

fn run_in(store: &mut Store<Thread>, text: &str) -> Result<(), Error> {
    let instance = instantiate(store, text);
    let start = instance.get_typed_func::<(), ()>(&*store, "_start").expect("the export");
    wasmoor_wasix::run(store, |store| start.call(store, ()))
}

fn run(tier: Tier, text: &str) -> Result<(), Error> {
    let (thread, _open) = process(64);
    let mut store = Store::new(&engine(tier), thread).expect("a store");
    let begin = Instant::now();
    let result = run_in(&mut store, text);
    assert!(begin.elapsed() < LONG, "{tier:?}: it took {:?}", begin.elapsed());
    result
}

const SPIN: &str = "(loop $again (br $again))";
const SLEEP: &str = "(drop (call $sleep (i64.const 1000000000000)))";
const WAIT: &str = "(call $wait (i32.const 0))";
const WAIT_ATOMIC: &str = "(call $wait_atomic (i32.const 0))";
const READ: &str = "(call $read_input)";
const JOIN_MAIN: &str = "(drop (call $join (i32.const 1)))";
const SPAWN: &str = "(local.set $tid (call $spawn (i32.const 7)))";
/// For the other thread to be where it is going.
const PAUSE: &str = "(drop (call $sleep (i64.const 20000000)))";

#[test]
fn an_exit_ends_whatever_the_others_do() {
    for tier in TIERS {
        for other in [SPIN, SLEEP, WAIT, WAIT_ATOMIC, READ, JOIN_MAIN] {
            for exit_in_main in [true, false] {
                let exit = format!("{PAUSE} (call $exit (i32.const 33)) unreachable");
                if other == JOIN_MAIN && !exit_in_main {
                    continue;
                }
                let text = if exit_in_main {
                    text(other, &format!("{SPAWN} {exit}"))
                } else {
                    text(&exit, &format!("{SPAWN} {other}"))
                };
                let error = run(tier, &text).expect_err("it exits");
                let exit = error.downcast_ref::<Exit>().map(|exit| exit.code);
                assert_eq!(exit, Some(33), "{tier:?}, {other}, in main: {exit_in_main}: {error}");
            }
        }
    }
}

#[test]
fn the_end_of_main_ends_all() {
    for tier in TIERS {
        for other in [SPIN, SLEEP, WAIT, WAIT_ATOMIC, READ] {
            let result = run(tier, &text(other, &format!("{SPAWN} {PAUSE}")));
            assert!(result.is_ok(), "{tier:?}, {other}: {result:?}");
        }
    }
}

#[test]
fn a_trap_in_a_thread_ends_the_process_with_its_backtrace() {
    for tier in TIERS {
        for main in [SPIN, SLEEP, WAIT, WAIT_ATOMIC, READ, "(drop (call $join (local.get $tid)))"] {
            let error = run(tier, &text("unreachable", &format!("{SPAWN} {main}")));
            let error = error.expect_err("it traps");
            assert_eq!(error.trap_code(), Some(TrapCode::Unreachable), "{tier:?}, {main}: {error}");
            let ErrorKind::Trap(trap) = error.kind() else { panic!("{tier:?}: {error}") };
            assert_eq!(trap.backtrace.frames().len(), 1, "{tier:?}, {main}");
        }
    }
}

#[test]
fn the_process_outlives_a_main_thread_that_exits_alone() {
    for tier in TIERS {
        let main = format!("{SPAWN} (call $thread_exit (i32.const 5)) unreachable");
        assert!(run(tier, &text(PAUSE, &main)).is_ok(), "{tier:?}");
        let late = format!("{PAUSE} (call $exit (i32.const 9))");
        let error = run(tier, &text(&late, &main)).expect_err("it exits");
        assert_eq!(error.downcast_ref::<Exit>().map(|exit| exit.code), Some(9), "{tier:?}");
    }
}

/// Threads that exit are joined, once and again; those that never were are not.
#[test]
fn ended_threads_are_joined() {
    let main = format!(
        "{SPAWN}
        (if (i32.ne (call $join (local.get $tid)) (i32.const 0)) (then unreachable))
        (if (i32.ne (i32.atomic.load (i32.const 128)) (i32.const 7)) (then unreachable))
        (if (i32.ne (call $join (local.get $tid)) (i32.const 0)) (then unreachable))
        (if (i32.ne (call $join (i32.const 99)) (i32.const 71)) (then unreachable))"
    );
    let thread = format!(
        "{PAUSE} (i32.atomic.store (i32.const 128) (local.get $what))
        (call $thread_exit (i32.const 1)) unreachable"
    );
    for tier in TIERS {
        let result = run(tier, &text(&thread, &main));
        assert!(result.is_ok(), "{tier:?}: {result:?}");
    }
}

/// Futex calls and the instructions have the same queues.
#[test]
fn futexes_and_instructions_meet() {
    for tier in TIERS {
        for wait in ["$wait", "$wait_atomic"] {
            for wake in ["$wake", "$notify"] {
                let thread = format!("{PAUSE} (call {wake} (i32.const 0))");
                let main = format!(
                    "{SPAWN} (call {wait} (i32.const 0))
                    (if (i32.ne (i32.atomic.load (i32.const 0)) (i32.const 1)) (then unreachable))"
                );
                let result = run(tier, &text(&thread, &main));
                assert!(result.is_ok(), "{tier:?}, {wait}, {wake}: {result:?}");
            }
        }
    }
}

#[test]
fn deadlines_and_interrupts_end_all_threads() {
    for tier in TIERS {
        for (other, main) in [(SPIN, SPIN), (WAIT, WAIT), (READ, READ), (SPIN, SLEEP)] {
            let (thread, _open) = process(4);
            let mut store = Store::new(&engine(tier), thread).expect("a store");
            let deadline = store.set_deadline(Duration::from_millis(100)).expect("a watcher");
            let begin = Instant::now();
            let error = run_in(&mut store, &text(other, &format!("{SPAWN} {main}")));
            let code = error.expect_err("its time is up").trap_code();
            assert_eq!(code, Some(TrapCode::DeadlineExceeded), "{tier:?}, {other}, {main}");
            assert!(begin.elapsed() < LONG, "{tier:?}, {other}, {main}");
            drop(deadline);
        }
    }
}

/// A loop that starts threads until it cannot; the count must be what the process may have.
#[test]
fn threads_are_limited() {
    let main = "(local $count i32)
        (loop $again
            (local.set $tid (call $spawn (i32.const 7)))
            (if (i32.gt_s (local.get $tid) (i32.const 0)) (then
                (local.set $count (i32.add (local.get $count) (i32.const 1)))
                (br $again))))
        (if (i32.ne (local.get $tid) (i32.const -6)) (then unreachable))
        (call $exit (local.get $count))";
    for tier in TIERS {
        for threads_max in [0, 1, 5] {
            let (thread, _open) = process(threads_max);
            let mut store = Store::new(&engine(tier), thread).expect("a store");
            // The threads wait, so that they are there at the same time.
            let error = run_in(&mut store, &text(WAIT, main)).expect_err("it exits");
            let count = error.downcast_ref::<Exit>().map(|exit| exit.code);
            assert_eq!(count, Some(threads_max), "{tier:?}");
        }
    }
}

/// Numbers of threads that ended can be had again, with their places.
#[test]
fn a_thousand_threads_one_after_the_other() {
    let main = "(local $left i32)
        (local.set $left (i32.const 1000))
        (loop $again
            (local.set $tid (call $spawn (i32.const 7)))
            (if (i32.le_s (local.get $tid) (i32.const 0)) (then unreachable))
            (drop (call $join (local.get $tid)))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
    let thread = "(drop (i32.atomic.rmw.add (i32.const 128) (i32.const 1)))";
    let (thread_of_one, _open) = process(1);
    let mut store = Store::new(&engine(Tier::Auto), thread_of_one).expect("a store");
    let result = run_in(&mut store, &text(thread, main));
    assert!(result.is_ok(), "{result:?}");
}

/// A module that imports nothing of WASIX has the calls of preview 1: a descriptor is moved.
#[test]
fn preview_1_keeps_its_meanings() {
    let text = |import: &str| {
        format!(
            r#"(module {import}
            (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
                (drop (call $renumber (i32.const 1) (i32.const 2)))
                (if (call $close (i32.const 1)) (then unreachable))))"#
        )
    };
    let wasix = r#"(import "wasix_32v1" "thread_id" (func (param i32) (result i32)))"#;
    for tier in TIERS {
        let error = run(tier, &text("")).expect_err("1 was moved");
        assert_eq!(error.trap_code(), Some(TrapCode::Unreachable), "{tier:?}");
        assert!(run(tier, &text(wasix)).is_ok(), "{tier:?}");
    }
}

#[test]
fn what_is_unknown_is_named() {
    let engine = engine(Tier::Auto);
    let text = r#"(module
        (import "wasix_32v1" "thread_dance" (func (param i32) (result i32)))
        (import "wasix_32v1" "thread_id" (func (param i64) (result i32))))"#;
    let module = wasmoor::Module::new(&engine, text).expect("a module");
    let mut linker = wasmoor::Linker::new(&engine);
    wasmoor_wasix::add_to_linker(&mut linker, &module).expect("no name twice");
    let (thread, _open) = process(1);
    let mut store = Store::new(&engine, thread).expect("a store");
    let error = wasmoor_wasix::instantiate(&linker, &mut store, &module).expect_err("unknown");
    assert!(error.to_string().contains("thread_dance"), "{error}");
}
