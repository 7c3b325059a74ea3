//! The kernels of `testdata/bench` print what they should, on every tier, and eagerly.
//!
//! `$WASMOOR_SEED` repeats a run of the mixed tier, which prints its seed.
//!
//! They import `bench.start` and `bench.end`, which do nothing here. The test data lies beside the
//! checkout or in `$WASMOOR_TESTDATA`; without it the test says so, and fails in continuous
//! integration.

use std::path::{Path, PathBuf};
use wasmoor::{Config, Engine, Linker, Module, Store, Tier, TrapCode};
use wasmoor_host::MemoryOutput;
use wasmoor_tests::guest::left_out;
use wasmoor_wasi_p1::{Exit, Output as Sink, WasiCtx, WasiCtxBuilder};
use xtask::corpus;

/// More output than any kernel has.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// What a kernel wrote.
struct Output {
    stdout: String,
    stderr: String,
}

/// Runs every kernel of a folder that comes with its expected output; returns how many there are.
fn check(folder: &str, config: &Config) -> usize {
    let folder = corpus::testdata().join("bench").join(folder);
    let engine = Engine::new(config).expect("the engine works on this machine");
    let mut checked = 0;
    for module in modules(&folder) {
        let Some(expected) = expected(&module, "stdout") else { continue };
        let output = run(&engine, &module, &folder);
        let name = module.display();
        // Some recordings lost their last newline.
        let recorded = output.stdout.strip_suffix('\n').filter(|_| !expected.ends_with('\n'));
        let stdout = recorded.unwrap_or(&output.stdout);
        assert_eq!(stdout, expected, "standard output of {name}: {}", output.stderr);
        if let Some(expected) = expected_stderr(&module) {
            assert_eq!(output.stderr, expected, "standard error of {name}");
        }
        checked += 1;
    }
    checked
}

fn modules(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder of a kernel");
    let mut modules: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    modules.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    modules.sort();
    modules
}

/// The file beside a kernel with its own name, or the folder's default.
fn expected(module: &Path, stream: &str) -> Option<String> {
    let own = module.with_extension(format!("{stream}.expected"));
    let default = module.with_file_name(format!("default.{stream}.expected"));
    std::fs::read_to_string(own).or_else(|_| std::fs::read_to_string(default)).ok()
}

/// Standard error where it says something; empty files stand for "not recorded".
fn expected_stderr(module: &Path) -> Option<String> {
    expected(module, "stderr").filter(|text| !text.is_empty())
}

fn run(engine: &Engine, path: &Path, folder: &Path) -> Output {
    let stdout = MemoryOutput::new(OUTPUT_BYTES_MAX);
    let stderr = MemoryOutput::new(OUTPUT_BYTES_MAX);
    let mut context = WasiCtxBuilder::new();
    context.arg("benchmark.wasm").stdout(Sink::memory(&stdout)).stderr(Sink::memory(&stderr));
    context.preopen_dir(folder, ".", false).expect("the folder can be granted");
    let context = context.build().expect("a context");
    let module = Module::from_file(engine, path).expect("the kernel is valid");
    let mut store = Store::new(engine, context).expect("a store");
    let instance = linker(engine).instantiate(&mut store, &module).expect("all imports are there");
    let start = instance.get_typed_func::<(), ()>(&store, "_start").expect("a command");
    let result = start.call(&mut store, ());
    let text = |output: &MemoryOutput| String::from_utf8_lossy(&output.take()).into_owned();
    let output = Output { stdout: text(&stdout), stderr: text(&stderr) };
    if let Err(error) = result {
        let exit = error.downcast_ref::<Exit>().map(|exit| exit.code);
        assert_eq!(exit, Some(0), "{}: {error:?}\n{}", path.display(), output.stderr);
    }
    output
}

/// The world, and the two functions that do nothing.
fn linker(engine: &Engine) -> Linker<WasiCtx> {
    let mut linker = Linker::new(engine);
    wasmoor_wasi_p1::add_to_linker(&mut linker, |ctx: &mut WasiCtx| ctx).expect("no name twice");
    linker.func_wrap("bench", "start", || {}).expect("no name twice");
    linker.func_wrap("bench", "end", || {}).expect("no name twice");
    linker
}

/// The kernels of the shootout were compiled from C with debugging information.
#[test]
fn frames_are_located_in_source_files() {
    let path = corpus::testdata().join("bench/shootout/shootout-fib2.wasm");
    if !path.is_file() {
        return left_out("source files of frames", &format!("no {}", path.display()));
    }
    let mut config = Config::new();
    let engine = Engine::new(config.fuel(true)).expect("the engine works on this machine");
    let module = Module::from_file(&engine, &path).expect("the kernel is valid");
    let mut context = WasiCtxBuilder::new();
    let folder = path.parent().expect("a folder");
    context.preopen_dir(folder, ".", true).expect("the folder can be granted");
    let mut store = Store::new(&engine, context.build().expect("a context")).expect("a store");
    store.set_fuel(10_000_000).expect("the engine counts fuel");
    let instance = linker(&engine).instantiate(&mut store, &module).expect("all imports");
    let start = instance.get_typed_func::<(), ()>(&store, "_start").expect("a command");
    let error = start.call(&mut store, ()).expect_err("the fuel is used up");
    assert_eq!(error.trap_code(), Some(TrapCode::OutOfFuel), "{error:?}");
    let backtrace = error.backtrace().expect("a trap has a backtrace");
    let places: Vec<_> = backtrace.frames().iter().flat_map(wasmoor::locate).collect();
    let in_c = places.iter().any(|place| {
        place.file.as_deref().is_some_and(|file| file.ends_with("fib2.c"))
            && place.line.is_some_and(|line| line > 0)
    });
    assert!(in_c, "{places:?} for {backtrace}");
}

macro_rules! kernels {
    ($($name:ident: $folder:literal, $count:literal;)*) => { $(
        mod $name {
            use super::{Config, Tier, check_folder};

            #[test]
            fn auto() {
                check_folder($folder, $count, &Config::new());
            }

            #[test]
            fn auto_eager() {
                check_folder($folder, $count, Config::new().eager(true));
            }

            #[test]
            fn baseline() {
                check_folder($folder, $count, Config::new().tier(Tier::Baseline));
            }

            #[test]
            fn optimizing() {
                check_folder($folder, $count, Config::new().tier(Tier::Optimizing));
            }

            #[test]
            fn mixed() {
                let seed = wasmoor::raw::seed();
                println!("seed {seed}");
                check_folder($folder, $count, Config::new().tier(wasmoor::raw::mixed_tier(seed)));
            }
        }
    )* };
}

/// `count` kernels have an expected output; fewer would mean that the test tests less.
fn check_folder(folder: &str, count: usize, config: &Config) {
    if !corpus::testdata().join("bench").is_dir() {
        let place = corpus::testdata();
        return left_out(folder, &format!("no test data in {}", place.display()));
    }
    assert_eq!(check(folder, config), count);
}

kernels! {
    blake3: "blake3-scalar", 1;
    bz2: "bz2", 1;
    gcc_loops: "gcc-loops", 1;
    intgemm: "intgemm-simd", 1;
    libsodium: "libsodium", 61;
    noop: "noop", 1;
    pulldown_cmark: "pulldown-cmark", 1;
    quicksort: "quicksort", 1;
    regex: "regex", 1;
    rust_compression: "rust-compression", 1;
    rust_json: "rust-json", 1;
    shootout: "shootout", 14;
    tinygo: "tinygo", 1;
}
