//! A lock that guests on several threads contend for, in nanoseconds of wall time for each time that
//! it is taken: medians of seven rounds.
//!
//! `cargo bench -p wasmoor --bench threads`; beside it, with four threads and 500,000 times each, of
//! `benches/threads`: `contended.py` (Wasmtime) and `contended.mjs` (Node), each with `contended.wasm 500000 4`

use std::thread;
use std::time::Instant;
use wasmoor::{Config, Engine, Instance, MemoryType, Module, Result, SharedMemory, Store, Tier};

const TIMES: i32 = 500_000;

fn guest(engine: &Engine, module: &Module, memory: &SharedMemory) -> Result<()> {
    let mut store = Store::new(engine, ())?;
    let instance = Instance::new(&mut store, module, &[memory.clone().into()])?;
    let run = instance.get_typed_func::<i32, i64>(&store, "contended")?;
    run.call(&mut store, TIMES).map(drop)
}

fn main() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../benches/threads/contended.wat");
    let ty = MemoryType {
        minimum: 1,
        maximum: Some(1),
        index64: false,
        shared: true,
        page_size_log2: 16,
    };
    for tier in [Tier::Optimizing, Tier::Baseline] {
        let engine = Engine::new(Config::new().tier(tier))?;
        let module = Module::from_file(&engine, path)?;
        for threads in [1, 2, 4] {
            let mut rounds = Vec::new();
            for _ in 0..7 {
                let memory = SharedMemory::new(&engine, ty)?;
                let started = Instant::now();
                thread::scope(|scope| {
                    let all: Vec<_> = (0..threads)
                        .map(|_| scope.spawn(|| guest(&engine, &module, &memory)))
                        .collect();
                    all.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
                })?;
                let times = f64::from(TIMES) * f64::from(threads);
                rounds.push(started.elapsed().as_nanos() as f64 / times);
                assert_eq!(memory.load_u64(8), Ok(times as u64));
            }
            rounds.sort_by(f64::total_cmp);
            println!("{tier:?}, {threads} threads: {:.1} ns", rounds[3]);
        }
    }
    Ok(())
}
