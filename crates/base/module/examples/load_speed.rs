//! Measures how fast modules are loaded, and what collecting facts adds to validation.
//!
//! `cargo run --profile quick -p wasmoor-module --example load_speed -- FILE...`
//!
//! Prints megabytes of module per second, best of several runs: the validator alone, loading on
//! one thread, loading on all.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmoor_module::{Features, Module};

const RUNS: u32 = 15;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{:>9} {:>9} {:>9} {:>9}  file", "MB", "validate", "load", format!("x{threads}"));
    for path in std::env::args().skip(1) {
        match std::fs::read(&path) {
            Ok(bytes) => measure(&path, &bytes.into(), threads),
            Err(error) => eprintln!("{path}: {error}"),
        }
    }
}

fn measure(path: &str, bytes: &Arc<[u8]>, threads: usize) {
    let features = Features::WASM3.with(wasmoor_module::Feature::Threads);
    if let Err(error) = Module::parse(Arc::clone(bytes), &features, 1) {
        return eprintln!("{path}: {error}");
    }
    let load = |threads| {
        let module = Module::parse(Arc::clone(black_box(bytes)), &features, threads);
        drop(black_box(module));
    };
    let validate = || {
        let mut validator =
            wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::WASM3);
        drop(black_box(validator.validate_all(black_box(bytes))));
    };
    let megabytes = bytes.len() as f64 / 1e6;
    let [alone, serial, parallel] = best([&validate, &|| load(1), &|| load(threads)])
        .map(|time| megabytes / time.as_secs_f64());
    println!("{megabytes:9.2} {alone:9.1} {serial:9.1} {parallel:9.1}  {path}");
}

/// The shortest time of each, run in turn so that a busy moment hits all alike.
fn best<const N: usize>(work: [&dyn Fn(); N]) -> [Duration; N] {
    let mut best = [Duration::MAX; N];
    for _ in 0..RUNS {
        for (best, work) in best.iter_mut().zip(work) {
            let start = Instant::now();
            work();
            *best = start.elapsed().min(*best);
        }
    }
    best
}
