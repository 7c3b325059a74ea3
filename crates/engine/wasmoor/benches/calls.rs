//! The cost of calls between host and wasm, in nanoseconds: medians of seven rounds.
//!
//! `cargo bench -p wasmoor --bench calls`

use std::hint::black_box;
use std::time::Instant;
use wasmoor::{Engine, Instance, Linker, Module, Result, Store, Val};

const CALLS: &str = r#"(module
    (import "host" "nop" (func $nop))
    (import "host" "add" (func $add (param i32 i32) (result i32)))
    (func (export "nop"))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "call_nop") (param $n i32)
        (loop $l (call $nop)
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "call_add") (param $n i32)
        (loop $l (drop (call $add (local.get $n) (i32.const 1)))
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

const CALLS_PER_ROUND: i32 = 2_000_000;
const INSTANCES_PER_ROUND: i32 = 20_000;

fn report(label: &str, count: i32, mut round: impl FnMut() -> Result<()>) -> Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..7 {
        let started = Instant::now();
        round()?;
        rounds.push(started.elapsed().as_nanos() as f64 / f64::from(count));
    }
    rounds.sort_by(f64::total_cmp);
    println!("| {label} | {:.2} |", rounds[3]);
    Ok(())
}

fn main() -> Result<()> {
    let engine = Engine::default();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "nop", || {})?;
    linker.func_wrap("host", "add", |a: i32, b: i32| a.wrapping_add(b))?;
    let mut store = Store::new(&engine, ())?;
    let instance = linker.instantiate(&mut store, &Module::new(&engine, CALLS)?)?;
    let nop = instance.get_typed_func::<(), ()>(&store, "nop")?;
    let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add")?;
    let call_nop = instance.get_typed_func::<i32, ()>(&store, "call_nop")?;
    let call_add = instance.get_typed_func::<i32, ()>(&store, "call_add")?;
    let untyped = add.func();
    let n = CALLS_PER_ROUND;
    println!("| call | ns |\n|---|---|");
    report("host to wasm, typed, () -> ()", n, || {
        (0..n).try_for_each(|_| nop.call(&mut store, ()))
    })?;
    report("host to wasm, typed, (i32, i32) -> i32", n, || {
        (0..n).try_for_each(|i| {
            add.call(&mut store, (i, 1)).map(|sum| {
                black_box(sum);
            })
        })
    })?;
    report("host to wasm, untyped, (i32, i32) -> i32", n, || {
        let mut results = [Val::I32(0)];
        (0..n).try_for_each(|i| untyped.call(&mut store, &[Val::I32(i), Val::I32(1)], &mut results))
    })?;
    report("wasm to host, func_wrap, () -> ()", n, || call_nop.call(&mut store, n))?;
    report("wasm to host, func_wrap, (i32, i32) -> i32", n, || call_add.call(&mut store, n))?;
    let empty = Module::new(&engine, "(module)")?;
    report("store, instance of an empty module, drop", INSTANCES_PER_ROUND, || {
        (0..INSTANCES_PER_ROUND).try_for_each(|_| {
            let mut store = Store::new(&engine, ())?;
            Instance::new(&mut store, &empty, &[]).map(drop)
        })
    })
}
