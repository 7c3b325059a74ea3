//! Tier-up: what is hot is compiled again, and nobody notices but by the speed.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

use std::time::{Duration, Instant};
use wasmoor::*;

/// A sum that a caller computes by calling a leaf, with floats and integers live over the calls.
const TEXT: &str = r#"(module
    (func $leaf (param i64 f64) (result i64)
        (i64.add (i64.mul (local.get 0) (i64.const 3)) (i64.trunc_f64_s (local.get 1))))
    (func (export "work") (param $n i64) (result i64) (local $sum i64) (local $x f64)
        (loop $l
            (local.set $x (f64.add (local.get $x) (f64.const 0.5)))
            (local.set $sum (i64.xor (i64.rotl (local.get $sum) (i64.const 5))
                (call $leaf (local.get $n) (local.get $x))))
            (br_if $l (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
        (local.get $sum)))"#;

fn instance(engine: &Engine) -> Result<(Module, Store<()>, TypedFunc<i64, i64>)> {
    let module = Module::new(engine, TEXT)?;
    let mut store = Store::new(engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let work = instance.get_typed_func(&store, "work")?;
    Ok((module, store, work))
}

#[test]
fn hot_functions_are_compiled_again_and_compute_the_same() -> Result<()> {
    let expected = {
        let engine = Engine::new(Config::new().tier(Tier::Optimizing))?;
        let (_, mut store, work) = instance(&engine)?;
        work.call(&mut store, 100_000)?
    };
    let engine = Engine::default();
    let (module, mut store, work) = instance(&engine)?;
    let started = Instant::now();
    // The caller and its leaf.
    while module.compile_stats().functions_optimized < 2 {
        assert_eq!(work.call(&mut store, 100_000)?, expected);
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", module.compile_stats());
    }
    assert_eq!(work.call(&mut store, 100_000)?, expected);
    let stats = module.compile_stats();
    assert_eq!((stats.functions, stats.functions_optimized), (2, 2));
    Ok(())
}

#[test]
fn what_is_never_called_is_never_compiled() -> Result<()> {
    let engine = Engine::default();
    let text = TEXT.replacen("(module", "(module (func $never (result i32) (i32.const 1))", 1);
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    let work = instance.get_typed_func::<i64, i64>(&store, "work")?;
    for _ in 0..20 {
        work.call(&mut store, 100_000)?;
    }
    let stats = module.compile_stats();
    assert_eq!((stats.functions, stats.functions_total), (2, 3));
    assert!(stats.functions_optimized <= 2, "{stats:?}");
    Ok(())
}

#[test]
fn the_first_tier_alone_never_compiles_twice() -> Result<()> {
    let (module, mut store, work) = instance(&Engine::new(Config::new().tier(Tier::Baseline))?)?;
    for _ in 0..50 {
        work.call(&mut store, 100_000)?;
    }
    assert_eq!(module.compile_stats().functions_optimized, 0);
    Ok(())
}

#[test]
fn many_threads_and_stores_share_what_gets_better() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, TEXT)?;
    let one = || -> Result<i64> {
        let mut sum = 0;
        for _ in 0..20 {
            let mut store = Store::new(&engine, ())?;
            let instance = Instance::new(&mut store, &module, &[])?;
            let work = instance.get_typed_func::<i64, i64>(&store, "work")?;
            sum ^= work.call(&mut store, 200_000)?;
            sum ^= work.call(&mut store, 200_001)?;
        }
        Ok(sum)
    };
    let sums: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let first = one()?;
    for sum in sums {
        assert_eq!(sum?, first);
    }
    assert_eq!(module.compile_stats().functions, 2);
    Ok(())
}
