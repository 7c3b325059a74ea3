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

/// A module whose function `run` has about 80 KB of body, so that compiling it takes the
/// background thread some 80 ms, and runs for about as many rounds as it is told.
fn large_module() -> String {
    let step = "(local.set $x (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005))
        (i64.load8_u (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0xffff)))))";
    format!(
        r#"(module (memory 1)
            (func (export "run") (param $rounds i64) (result i64) (local $x i64)
                (loop $l {}
                    (br_if $l (i64.ne (local.tee $rounds
                        (i64.sub (local.get $rounds) (i64.const 1))) (i64.const 0))))
                (local.get $x)))"#,
        step.repeat(3_000)
    )
}

#[test]
fn what_ends_while_its_code_is_made_leaves_nothing_behind() -> Result<()> {
    let binary = wat::parse_str(large_module()).expect("a module");
    let mut descriptions = Vec::new();
    let mut run_until = |enough: &dyn Fn(Duration, &Module) -> bool| -> Result<Duration> {
        let engine = Engine::default();
        let module = Module::new(&engine, &binary)?;
        descriptions.push(std::sync::Arc::downgrade(module.description()));
        let mut store = Store::new(&engine, ())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let run = instance.get_typed_func::<i64, i64>(&store, "run")?;
        let started = Instant::now();
        while !enough(started.elapsed(), &module) {
            run.call(&mut store, 10)?;
            assert!(started.elapsed() < Duration::from_secs(100), "{:?}", module.compile_stats());
        }
        Ok(started.elapsed())
    };
    let all = run_until(&|_, module| module.compile_stats().functions_optimized == 1)?;
    // Before the function is queued, and ever later while it is compiled.
    for percent in [0, 40, 60, 70, 80, 90, 95, 99] {
        run_until(&|elapsed, _| elapsed >= all * percent / 100)?;
    }
    let started = Instant::now();
    while descriptions.iter().any(|module| module.upgrade().is_some()) {
        assert!(started.elapsed() < Duration::from_secs(60), "a module is kept");
        std::thread::sleep(Duration::from_millis(10));
    }
    // The thread has survived.
    hot_functions_are_compiled_again_and_compute_the_same()
}

/// Runs until the statistics are as wanted, and then as long again as nothing may change.
fn stats_of(budget: TierUpBudget, wanted: fn(&CompileStats) -> bool) -> Result<CompileStats> {
    let engine = Engine::new(Config::new().tier_up_budget(budget))?;
    let (module, mut store, work) = instance(&engine)?;
    let started = Instant::now();
    while !wanted(&module.compile_stats()) {
        work.call(&mut store, 100_000)?;
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", module.compile_stats());
    }
    let wanted_at = Instant::now();
    while wanted_at.elapsed() < Duration::from_millis(100) {
        work.call(&mut store, 100_000)?;
    }
    Ok(module.compile_stats())
}

#[test]
fn a_budget_ends_compiling_again() -> Result<()> {
    let default = TierUpBudget::default();
    let no_time = TierUpBudget { time_max: Duration::ZERO, ..default };
    let stats = stats_of(no_time, |stats| stats.optimize_limit == Some(TierUpLimit::Time))?;
    assert_eq!((stats.functions_optimized, stats.functions_left), (0, 0), "{stats:?}");
    let no_code = TierUpBudget { code_bytes_max: 0, ..default };
    let stats = stats_of(no_code, |stats| stats.optimize_limit == Some(TierUpLimit::CodeBytes))?;
    assert_eq!((stats.functions_optimized, stats.functions_left), (0, 0), "{stats:?}");
    let small = TierUpBudget { body_bytes_max: 10, ..default };
    let stats = stats_of(small, |stats| stats.functions_left == 2)?;
    assert_eq!((stats.functions_optimized, stats.optimize_limit), (0, None), "{stats:?}");
    // What was begun is finished, though it is more than the budget allows.
    let little = TierUpBudget { code_bytes_max: 1, ..default };
    let stats = stats_of(little, |stats| stats.optimize_limit == Some(TierUpLimit::CodeBytes))?;
    assert_eq!(stats.functions_optimized, 1, "{stats:?}");
    Ok(())
}

#[test]
fn modules_of_an_engine_may_have_tiers_of_their_own() -> Result<()> {
    let exporter = r#"(module (func (export "double") (param i64) (result i64)
        (i64.mul (local.get 0) (i64.const 2))))"#;
    let importer = r#"(module (import "other" "double" (func $double (param i64) (result i64)))
        (func (export "run") (param i64) (result i64) (local i64)
            (loop $l
                (local.set 1 (i64.add (local.get 1) (call $double (local.get 0))))
                (br_if $l (i64.ne (i64.const 0)
                    (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
            (local.get 1)))"#;
    let tiers = [Tier::Auto, Tier::Baseline, Tier::Optimizing, raw::mixed_tier(raw::seed())];
    for (of_engine, tier, eager) in tiers.iter().flat_map(|&of_engine| {
        tiers.iter().flat_map(move |&tier| [(of_engine, tier, false), (of_engine, tier, true)])
    }) {
        let name = format!("engine {of_engine:?}, module {tier:?}, eager: {eager}");
        let engine = Engine::new(Config::new().tier(of_engine))?;
        let options = *ModuleOptions::new().tier(tier).eager(eager);
        let own = Module::with_options(&engine, exporter, &options)?;
        let mut store = Store::new(&engine, ())?;
        let mut linker = Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &own)?;
        linker.instance(&store, "other", instance)?;
        let caller = Module::new(&engine, importer)?;
        let instance = linker.instantiate(&mut store, &caller)?;
        let run = instance.get_typed_func::<i64, i64>(&store, "run")?;
        assert_eq!(run.call(&mut store, 1000)?, 1_001_000, "{name}");
        let stats = own.compile_stats();
        assert_eq!(stats.functions, 1, "{name}");
        match tier {
            Tier::Mixed { .. } => assert_eq!(stats.functions_optimized, 1, "{name}"),
            Tier::Baseline | Tier::Optimizing => assert_eq!(stats.functions_optimized, 0, "{name}"),
            // It depends on how fast this machine is.
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn threads_that_call_a_cold_function_together_compile_it_once() -> Result<()> {
    const FUNCTIONS: usize = 40;
    let text: String = (0..FUNCTIONS)
        .map(|n| {
            format!("(func (export \"f{n}\") (result i64) {})", "(drop (i64.const 1))".repeat(3000))
        })
        .map(|func| func.replacen("(drop", "i64.const 7 (drop", 1))
        .collect();
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing] {
        let engine = Engine::new(Config::new().tier(tier))?;
        let module = Module::new(&engine, format!("(module {text})"))?;
        let barrier = std::sync::Barrier::new(4);
        let one = || -> Result<()> {
            let mut store = Store::new(&engine, ())?;
            let instance = Instance::new(&mut store, &module, &[])?;
            for n in 0..FUNCTIONS {
                let func = instance.get_typed_func::<(), i64>(&store, &format!("f{n}"))?;
                barrier.wait();
                assert_eq!(func.call(&mut store, ())?, 7);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
        })?;
        assert_eq!(module.compile_stats().functions, FUNCTIONS, "{tier:?}");
    }
    Ok(())
}
