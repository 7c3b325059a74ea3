//! Requests to a running guest: every way of running for ever ends, on every tier, and a request
//! that is served disturbs nothing.
//!
//! # Safety
//! One test sleeps in a system call.

#![allow(unsafe_code)]

mod common;

use common::tiers;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wasmoor::*;

/// Bodies that never end by themselves.
const ENDLESS: &[(&str, &str)] = &[
    ("loop", "(loop $l br $l)"),
    ("inner loop", "(loop $a (loop $b br $b))"),
    ("outer loop", "(loop $a (loop $b (br_if $b (i32.const 0))) br $a)"),
    ("loop that calls", "(loop $l call $leaf br $l)"),
    ("loop with memory", "(loop $l (i32.store (i32.const 0) (i32.load (i32.const 4))) br $l)"),
    ("exponential recursion", "(drop (call $fib (i64.const 90)))"),
    (
        "loop of bulk operations",
        "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l))",
    ),
    ("loop of host time", "(loop $l (drop (memory.grow (i32.const 0))) (br $l))"),
    ("tail of a loop in another function", "(loop $l (call $short) (br $l))"),
];

fn text(body: &str) -> String {
    format!(
        r#"(module (memory 1)
            (func $leaf)
            (func $short (local i32)
                (loop $l (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 3)))))
            (func $fib (param i64) (result i64)
                (if (result i64) (i64.lt_u (local.get 0) (i64.const 2))
                    (then (local.get 0))
                    (else (i64.add (call $fib (i64.sub (local.get 0) (i64.const 1)))
                                   (call $fib (i64.sub (local.get 0) (i64.const 2)))))))
            (func (export "run") {body}))"#
    )
}

fn start(engine: &Engine, body: &str) -> (Store<()>, TypedFunc<(), ()>) {
    let module = Module::new(engine, text(body)).expect("a valid module");
    let mut store = Store::new(engine, ()).expect("a store");
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<(), ()>(&store, "run").expect("the export");
    (store, run)
}

#[test]
fn deadlines_end_everything_that_runs_for_ever() {
    for (tier, eager) in tiers().into_iter().flat_map(|tier| [(tier, false), (tier, true)]) {
        let engine = Engine::new(Config::new().tier(tier).eager(eager)).expect("an engine");
        for (name, body) in ENDLESS {
            let name = &format!("{name} ({tier:?}, eager: {eager})");
            let (mut store, run) = start(&engine, body);
            let deadline = store.set_deadline(Duration::from_millis(30)).expect("a thread");
            let error = run.call(&mut store, ()).expect_err(name);
            assert_eq!(error.trap_code(), Some(TrapCode::DeadlineExceeded), "{name}: {error}");
            assert!(!error.backtrace().expect("frames").is_empty(), "{name}");
            drop(deadline);
        }
    }
}

#[test]
fn a_deadline_that_is_dropped_hits_nobody() -> Result<()> {
    let engine = Engine::default();
    let (mut store, run) = start(&engine, "nop");
    drop(store.set_deadline(Duration::ZERO)?);
    let late = store.set_deadline(Duration::ZERO)?;
    std::thread::sleep(Duration::from_millis(20));
    drop(late);
    run.call(&mut store, ())
}

#[test]
fn another_thread_interrupts() {
    let engine = Engine::default();
    let (mut store, run) = start(&engine, "(loop $l br $l)");
    let handle = store.interrupt_handle();
    let interrupter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        handle.interrupt();
    });
    let error = run.call(&mut store, ()).expect_err("it was interrupted");
    assert_eq!(error.trap_code(), Some(TrapCode::Interrupted));
    interrupter.join().expect("no panic");
}

#[test]
fn polls_that_go_on_disturb_nothing() -> Result<()> {
    // Code of the first of two tiers polls; other code is stopped by signals alone.
    tiers().into_iter().try_for_each(check_that_polls_disturb_nothing)
}

fn check_that_polls_disturb_nothing(tier: Tier) -> Result<()> {
    let engine = Engine::new(Config::new().tier(tier))?;
    // Many values live across the loop, in general and vector registers.
    let text = r#"(module (func (export "run") (param $n i64) (result i64)
        (local $a i64) (local $b i64) (local $c i64) (local $d i64)
        (local $x f64) (local $y f64) (local $v v128)
        (local.set $x (f64.const 1)) (local.set $y (f64.const 0.5))
        (loop $l
            (local.set $a (i64.add (local.get $a) (i64.const 1)))
            (local.set $b (i64.add (local.get $b) (local.get $a)))
            (local.set $c (i64.xor (local.get $c) (local.get $b)))
            (local.set $d (i64.rotl (i64.add (local.get $d) (local.get $c)) (i64.const 7)))
            (local.set $x (f64.add (local.get $x) (f64.mul (local.get $y) (f64.const 1.25))))
            (local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $d))))
            (br_if $l (i64.lt_u (local.get $a) (local.get $n))))
        (i64.xor (i64.xor (local.get $d) (i64.reinterpret_f64 (local.get $x)))
                 (i64x2.extract_lane 1 (local.get $v)))))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<i64, i64>(&store, "run")?;
    let rounds = 100_000_000;
    let undisturbed = run.call(&mut store, rounds)?;
    let polls = Arc::new(AtomicU32::new(0));
    let counted = polls.clone();
    store.on_poll(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let handle = store.interrupt_handle();
    let done = Arc::new(AtomicU32::new(0));
    let until = done.clone();
    let poller = std::thread::spawn(move || {
        while until.load(Ordering::Relaxed) == 0 {
            handle.call_back();
            std::thread::sleep(Duration::from_micros(200));
        }
    });
    let disturbed = run.call(&mut store, rounds)?;
    done.store(1, Ordering::Relaxed);
    poller.join().expect("no panic");
    assert_eq!(disturbed, undisturbed, "{tier:?}");
    assert!(polls.load(Ordering::Relaxed) > 10, "{tier:?}: {polls:?}");
    Ok(())
}

#[test]
fn an_error_of_the_poll_hook_leaves_wasm() -> Result<()> {
    let engine = Engine::default();
    let (mut store, run) = start(&engine, "(loop $l br $l)");
    store.on_poll(|_| Err(Error::host(std::io::Error::other("enough"))));
    store.interrupt_handle().call_back();
    let error = run.call(&mut store, ()).expect_err("the hook fails");
    assert_eq!(error.to_string(), "enough");
    Ok(())
}

#[test]
fn fuel_runs_out_and_is_exact() -> Result<()> {
    let engine = Engine::new(Config::new().fuel(true))?;
    // 3 operators before the loop, 7 in each round (`loop` and `end` are free), 1 after.
    let text = r#"(module (func (export "run") (param i32) (result i32) (local i32)
        i32.const 0 local.set 1 nop
        loop $l
            local.get 1 i32.const 1 i32.add local.tee 1 local.get 0 i32.lt_u br_if $l
        end
        local.get 1))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.get_typed_func::<i32, i32>(&store, "run")?;
    store.set_fuel(1000)?;
    assert_eq!(run.call(&mut store, 10)?, 10);
    assert_eq!(1000 - store.fuel(), 2 + 7 * 10 + 1);
    store.set_fuel(500)?;
    let error = run.call(&mut store, i32::MAX).expect_err("too much");
    assert_eq!(error.trap_code(), Some(TrapCode::OutOfFuel));
    assert_eq!(store.fuel(), 0);
    Ok(())
}

#[test]
fn blocking_calls_of_host_functions_end_too() -> Result<()> {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ())?;
    let handle = store.interrupt_handle();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "sleep", move || {
        let hour = libc::timespec { tv_sec: 3600, tv_nsec: 0 };
        // SAFETY: sleeps; the time that remains is not asked for.
        let slept = unsafe { libc::nanosleep(&raw const hour, std::ptr::null_mut()) };
        assert_eq!(slept, -1);
        assert!(handle.is_pending());
    })?;
    let text = r#"(module (import "host" "sleep" (func $sleep))
        (func (export "run") (loop $l (call $sleep) (br $l))))"#;
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text)?)?;
    let run = instance.get_typed_func::<(), ()>(&store, "run")?;
    let _deadline = store.set_deadline(Duration::from_millis(20))?;
    let error = run.call(&mut store, ()).expect_err("its time is up");
    assert_eq!(error.trap_code(), Some(TrapCode::DeadlineExceeded));
    Ok(())
}

#[test]
fn a_deadline_reaches_through_stores_that_are_entered_from_it() -> Result<()> {
    for tier in tiers() {
        for (name, body) in ENDLESS {
            let name = &format!("{name} ({tier:?})");
            let engine = Engine::new(Config::new().tier(tier))?;
            let mut linker = Linker::new(&engine);
            let (inner_engine, body) = (engine.clone(), *body);
            linker.func_wrap("host", "nested", move || -> Result<()> {
                let (mut store, run) = start(&inner_engine, body);
                let error = run.call(&mut store, ()).expect_err("it runs for ever");
                assert_eq!(error.trap_code(), Some(TrapCode::DeadlineExceeded));
                Ok(())
            })?;
            let text = r#"(module (import "host" "nested" (func $nested))
                (func (export "run") (call $nested) (loop $l (br $l))))"#;
            let module = Module::new(&engine, text)?;
            let mut store = Store::new(&engine, ())?;
            let instance = linker.instantiate(&mut store, &module)?;
            let run = instance.get_typed_func::<(), ()>(&store, "run")?;
            let _deadline = store.set_deadline(Duration::from_millis(30))?;
            let error = run.call(&mut store, ()).expect_err(name);
            assert_eq!(error.trap_code(), Some(TrapCode::DeadlineExceeded), "{name}: {error}");
        }
    }
    Ok(())
}
