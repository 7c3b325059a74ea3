//! What an instance costs: microseconds to make a store and an instance, call it, and drop both.
//!
//! `cargo bench -p wasmoor --bench instantiate -- [MODULE.wasm ...]`, each module with its imports
//! answered by errors. `--reuse N` only makes and drops N instances, for `strace -c -f`;
//! `--idle N [dense]` makes N instances of a 17-page module that all stay, and `--churn N` makes N
//! instances of 1,000 modules in 100 slots on two threads.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmoor::*;

/// 1 MiB of data, and a function that writes to the first byte of `n` pages of 4 KiB.
const TOUCH: &str = r#"(module (memory (export "memory") 32) (table 100 funcref)
    (func (export "touch") (param $n i32)
        (block $done (loop $next
            (br_if $done (i32.eqz (local.get $n)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (i32.store8 (i32.shl (local.get $n) (i32.const 12)) (i32.const 1))
            (br $next))))"#;

/// Median over seven rounds of the time that one `f` takes on each of `threads` threads, in
/// microseconds.
fn each(threads: u32, count: u32, f: impl Fn() + Sync) -> f64 {
    let round = || {
        let total: Duration = std::thread::scope(|scope| {
            let one = || {
                let started = Instant::now();
                (0..count).for_each(|_| f());
                started.elapsed()
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).sum()
        });
        total.as_nanos() as f64 / f64::from(count) / f64::from(threads) / 1e3
    };
    let mut rounds: Vec<f64> = (0..7).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[3]
}

/// A linker that answers every call of an import with an error.
fn stubs(engine: &Engine, module: &Module) -> Result<InstancePre<()>> {
    let mut linker = Linker::new(engine);
    linker.allow_shadowing(true);
    for import in module.imports() {
        if let ExternType::Func(ty) = import.ty {
            linker.func_new(import.module, import.name, ty, |_, _, _| {
                Err(Error::usage("a stub was called"))
            })?;
        }
    }
    linker.instantiate_pre(module)
}

/// An instance, which has written to so many pages.
fn instance(pre: &InstancePre<()>, store: &mut Store<()>, touch: Option<i32>) -> Result<Instance> {
    let instance = pre.instantiate(&mut *store)?;
    if let Some(pages) = touch {
        instance.get_typed_func::<i32, ()>(&*store, "touch")?.call(store, pages)?;
    }
    Ok(instance)
}

fn row(
    label: &str,
    engine: &Engine,
    module: &Module,
    count: u32,
    touch: Option<i32>,
) -> Result<()> {
    let pre = stubs(engine, module)?;
    let once = || -> Result<()> {
        let mut store = Store::new(engine, ())?;
        instance(&pre, &mut store, touch).map(drop)
    };
    once()?;
    let once = || once().unwrap_or_else(|error| panic!("{error}"));
    println!("| {label} | {:.2} | {:.2} |", each(1, count, once), each(2, count, once));
    Ok(())
}

/// As [`row`], in a store that stays.
fn row_in_one_store(
    label: &str,
    engine: &Engine,
    module: &Module,
    count: u32,
    touch: Option<i32>,
) -> Result<()> {
    let pre = stubs(engine, module)?;
    let store = Mutex::new(Store::new(engine, ())?);
    let once = || -> Result<()> {
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        instance(&pre, &mut store, touch)?.release(&mut *store)
    };
    once()?;
    let once = || once().unwrap_or_else(|error| panic!("{error}"));
    println!("| {label}, one store, released | {:.2} | |", each(1, count, once));
    Ok(())
}

fn touch_module(engine: &Engine) -> Result<Module> {
    Module::new(engine, format!("{TOUCH} (data (i32.const 0) \"{}\"))", "x".repeat(1 << 20)))
}

fn rows(paths: &[String]) -> Result<()> {
    println!("| create store + instantiate + drop | 1 thread, µs | 2 threads, µs each |");
    println!("|---|---|---|");
    for (name, allocation) in [("default", None), ("on demand", Some(Allocation::OnDemand))] {
        let mut config = Config::new();
        let is_pooled = allocation.is_none();
        if let Some(allocation) = allocation {
            config.allocation(allocation);
        }
        let engine = Engine::new(&config)?;
        let count = if is_pooled { 20_000 } else { 4_000 };
        let empty = Module::new(&engine, "(module)")?;
        row(&format!("empty module; {name}"), &engine, &empty, count, None)?;
        row_in_one_store(&format!("empty module; {name}"), &engine, &empty, count, None)?;
        let module = touch_module(&engine)?;
        row(&format!("1 MiB data; {name}"), &engine, &module, count / 2, None)?;
        for pages in [0, 2, 16, 256] {
            let label = format!("1 MiB data, call dirties {pages} pages; {name}");
            row(&label, &engine, &module, count / 4, Some(pages))?;
            row_in_one_store(&label, &engine, &module, count / 4, Some(pages))?;
        }
        for path in paths {
            let module = Module::from_file(&engine, path)?;
            let label = path.rsplit('/').next().unwrap_or(path);
            row(&format!("{label}; {name}"), &engine, &module, count / 4, None)?;
        }
    }
    Ok(())
}

/// Reuses warm slots, with a call that writes to two pages each time.
fn reuse(count: u32) -> Result<()> {
    let engine = Engine::default();
    let pre = stubs(&engine, &touch_module(&engine)?)?;
    for at in 0..count + 10 {
        if at == 10 {
            eprintln!("warm from here on");
        }
        let mut store = Store::new(&engine, ())?;
        let instance = pre.instantiate(&mut store)?;
        instance.get_typed_func::<i32, ()>(&store, "touch")?.call(&mut store, 2)?;
    }
    println!("{:?}", engine.pool_stats());
    Ok(())
}

fn resident_bytes() -> usize {
    let field = |at| -> Option<usize> {
        std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(at)?.parse().ok()
    };
    field(1).unwrap_or(0) * 4096
}

/// Instances that all stay.
fn idle(count: usize, is_dense: bool) -> Result<()> {
    let mut pool = Pool::new();
    pool.slots_max(count as u32);
    if is_dense {
        pool.dense(Some(2 << 20));
    }
    let engine = Engine::new(Config::new().allocation(Allocation::Pool(pool)))?;
    let module = Module::new(
        &engine,
        r#"(module (memory 17) (data (i32.const 1024) "some data") (table 10 funcref)
            (func (export "f") (i32.store (i32.const 65536) (i32.const 1))))"#,
    )?;
    let pre = stubs(&engine, &module)?;
    let before = resident_bytes();
    let started = Instant::now();
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut store = Store::new(&engine, ())?;
        let instance = pre.instantiate(&mut store)?;
        all.push((store, instance));
    }
    let us = started.elapsed().as_micros() as f64 / count as f64;
    let bytes = (resident_bytes() - before) / count;
    let stats = engine.pool_stats().unwrap_or_default();
    println!("{count} idle, dense {is_dense}: {us:.2} µs and {bytes} bytes each; {stats:?}");
    for (store, instance) in all.iter_mut().step_by(1000) {
        instance.get_typed_func::<(), ()>(&*store, "f")?.call(&mut *store, ())?;
    }
    let started = Instant::now();
    drop(all);
    println!("dropped in {:.2} µs each", started.elapsed().as_micros() as f64 / count as f64);
    Ok(())
}

/// Many instances of many modules in few slots.
fn churn(count: u32) -> Result<()> {
    let mut pool = Pool::new();
    pool.slots_max(100).warm_max(Some(50)).shards(Some(2)).strict(true);
    let engine = Engine::new(Config::new().allocation(Allocation::Pool(pool)))?;
    let modules: Vec<Module> = (0..1000)
        .map(|at| {
            let text = format!(
                r#"(module (memory {}) (data (i32.const {at}) "m{at}") (table {} funcref)
                    (func (export "f") (param i32) (i32.store (local.get 0) (i32.const -1))))"#,
                1 + at % 3,
                at % 50,
            );
            Module::new(&engine, text)
        })
        .collect::<Result<_>>()?;
    let maps = || std::fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count());
    let fds = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let run = |from: u64, rounds: u32| {
        let mut random = from;
        for _ in 0..rounds {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(from | 1);
            // Some modules are wanted more often than others.
            let at = ((random >> 33) % 1000 * ((random >> 20) % 1000) / 1000) as usize;
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = Instance::new(&mut store, &modules[at], &[]).unwrap();
            if random >> 60 == 0 {
                let f = instance.get_typed_func::<i32, ()>(&store, "f").unwrap();
                f.call(&mut store, 64).unwrap();
            }
        }
    };
    for part in 0..5 {
        let started = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let rounds = count / 10;
                scope.spawn(move || run(part * 2 + thread + 1, rounds));
            }
        });
        let us = started.elapsed().as_micros() as f64 / f64::from(count / 10);
        let resident = resident_bytes() >> 20;
        println!("{us:.2} µs, {resident} MiB, {} mappings, {} files", maps(), fds());
    }
    println!("{:?}", engine.pool_stats());
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(1000);
    match arguments.first().map(String::as_str) {
        Some("--reuse") => reuse(number(1)),
        Some("--idle") => idle(number(1) as usize, arguments.get(2).is_some()),
        Some("--churn") => churn(number(1)),
        _ => rows(&arguments),
    }
}
