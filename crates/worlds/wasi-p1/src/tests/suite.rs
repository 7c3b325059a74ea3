//! The official suite, on this project's engine and on another, by both ways of resolving paths.
//!
//! What fails on both engines is this crate's fault; what fails on one is that engine's.
//! The programs are not kept in the repository: `WASMOOR_TESTDATA` names the folder that holds
//! `wasi/preview1`, else it is looked for beside the checkout. Without it the tests name what they
//! left out, and fail in continuous integration.

use crate::functions::{Outcome, for_each_function};
use crate::{Exit, Output, WasiCtx, add_to_linker, calls, unstable};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use wasmi::{Caller, Engine, Extern, Linker, Module, Store};
use wasmoor_host::{GuestMemory, MemoryOutput, Resolver, Strategy};

fn test_data() -> PathBuf {
    std::env::var_os("WASMOOR_TESTDATA").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/testdata")
    })
}

/// What `x.json` says of `x.wasm`.
#[derive(Default)]
struct Case {
    args: Vec<String>,
    env: Vec<(String, String)>,
    root: Option<String>,
    exit_code: u32,
    stdout: Option<String>,
    stderr: Option<String>,
}

impl Case {
    fn read(wasm: &Path) -> Case {
        let Ok(text) = fs::read_to_string(wasm.with_extension("json")) else {
            return Case::default();
        };
        let json: Value = serde_json::from_str(&text).unwrap();
        let mut case = Case::default();
        match json.get("operations").and_then(Value::as_array) {
            Some(operations) => operations.iter().for_each(|operation| case.add(operation)),
            None => {
                case.add_run(&json);
                case.exit_code = json["exit_code"].as_u64().unwrap_or(0) as u32;
                case.stdout = json["stdout"].as_str().map(str::to_owned);
                case.stderr = json["stderr"].as_str().map(str::to_owned);
            }
        }
        case
    }

    fn add(&mut self, operation: &Value) {
        match operation["type"].as_str() {
            Some("run") => self.add_run(operation),
            Some("wait") => self.exit_code = operation["exit_code"].as_u64().unwrap_or(0) as u32,
            Some("read") => {
                let payload = operation["payload"].as_str().unwrap_or("").to_owned();
                match operation["id"].as_str() {
                    Some("stderr") => self.stderr = Some(payload),
                    _ => self.stdout = Some(payload),
                }
            }
            other => panic!("an operation of another kind: {other:?}"),
        }
    }

    fn add_run(&mut self, json: &Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.args = json["args"].as_array().into_iter().flatten().map(text).collect();
        let env = json["env"].as_object().into_iter().flatten();
        self.env = env.map(|(name, value)| (name.clone(), text(value))).collect();
        self.root = json["root"].as_str().map(str::to_owned);
    }
}

macro_rules! offer {
    ($linker:ident, $module:literal, $calls:ident,
     $( $name:ident($($param:ident: $ty:ty),*); )*) => { $(
        $linker.func_wrap(
            $module,
            stringify!($name),
            |mut caller: Caller<'_, WasiCtx>, $($param: $ty),*| -> Result<i32, wasmi::Error> {
                let exported = caller.get_export("memory").and_then(Extern::into_memory);
                let (bytes, ctx) = exported.unwrap().data_and_store_mut(&mut caller);
                let memory = GuestMemory::from_slice(bytes);
                $calls::$name(ctx, &memory, $($param),*).into_guest().map_err(ended)
            },
        ).unwrap();
    )* };
}

fn ended(exit: Exit) -> wasmi::Error {
    wasmi::Error::i32_exit(exit.code.cast_signed())
}

fn linker(engine: &Engine) -> Linker<WasiCtx> {
    let mut linker = Linker::new(engine);
    for_each_function!(offer!(linker, "wasi_snapshot_preview1", calls,));
    offer!(linker, "wasi_snapshot_preview1", calls, sock_accept(fd: u32, flags: u32, out: u32););
    for_each_function!(offer!(linker, "wasi_unstable", unstable,));
    for module in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let exit = |code: u32| Err::<(), _>(wasmi::Error::i32_exit(code.cast_signed()));
        linker.func_wrap(module, "proc_exit", exit).unwrap();
    }
    linker
}

/// Runs a module; its status, and what a trap says.
type Run<'a> = &'a dyn Fn(&Path, WasiCtx) -> (u32, String);

fn run_wasmi(
    engine: &Engine,
    linker: &Linker<WasiCtx>,
    wasm: &Path,
    ctx: WasiCtx,
) -> (u32, String) {
    let module = Module::new(engine, fs::read(wasm).unwrap()).unwrap();
    let mut store = Store::new(engine, ctx);
    let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
    let start = instance.get_typed_func::<(), ()>(&store, "_start").unwrap();
    match start.call(&mut store, ()) {
        Ok(()) => (0, String::new()),
        Err(error) => match error.i32_exit_status() {
            Some(code) => (code.cast_unsigned(), String::new()),
            None => (134, error.to_string()),
        },
    }
}

fn run_wasmoor(linker: &wasmoor::Linker<WasiCtx>, wasm: &Path, ctx: WasiCtx) -> (u32, String) {
    let module = wasmoor::Module::new(linker.engine(), fs::read(wasm).unwrap()).unwrap();
    let mut store = wasmoor::Store::new(linker.engine(), ctx).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let start = instance.get_typed_func::<(), ()>(&store, "_start").unwrap();
    match start.call(&mut store, ()) {
        Ok(()) => (0, String::new()),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(exit) => (exit.code, String::new()),
            None => (134, error.to_string()),
        },
    }
}

/// A private copy of a folder, links as links, without what earlier runs left.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(source).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            copy(&source, &target);
        } else if source.extension().is_none_or(|extension| extension != "cleanup") {
            fs::write(target, fs::read(source).unwrap()).unwrap();
        }
    }
}

/// What is wrong with a run of a program, if anything.
fn check(run: Run<'_>, wasm: &Path, strategy: Strategy) -> Vec<String> {
    let case = Case::read(wasm);
    let (stdout, stderr) = (MemoryOutput::new(1 << 20), MemoryOutput::new(1 << 20));
    let mut builder = WasiCtx::builder();
    builder.arg(wasm.file_name().unwrap().to_str().unwrap()).args(&case.args).envs(case.env);
    builder.stdout(Output::memory(&stdout)).stderr(Output::memory(&stderr));
    builder.resolver(Resolver::with_strategy(strategy));
    let scratch = tempfile::tempdir().unwrap();
    if let Some(root) = &case.root {
        copy(&wasm.parent().unwrap().join(root), scratch.path());
        builder.preopen_dir(scratch.path(), "/", false).unwrap();
    }
    let (code, trap) = run(wasm, builder.build().unwrap());
    let mut wrong = Vec::new();
    let shown = |output: &MemoryOutput| String::from_utf8_lossy(&output.contents()).into_owned();
    if code != case.exit_code {
        wrong.push(format!("status {code}, not {}: {trap} {}", case.exit_code, shown(&stderr)));
    }
    for (name, output, expect) in
        [("stdout", &stdout, &case.stdout), ("stderr", &stderr, &case.stderr)]
    {
        if expect.as_ref().is_some_and(|expect| *expect != shown(output)) {
            wrong.push(format!("{name} is {:?}, not {expect:?}", shown(output)));
        }
    }
    wrong
}

#[test]
fn every_program_passes_on_wasmi() {
    let engine = Engine::default();
    let linker = linker(&engine);
    every_program_passes(&|wasm, ctx| run_wasmi(&engine, &linker, wasm, ctx));
}

#[test]
fn every_program_passes_on_the_tiers_of_the_default() {
    every_program_passes_on_wasmoor(wasmoor::Tier::Auto, false);
}

#[test]
fn every_program_passes_on_the_optimizing_tier() {
    every_program_passes_on_wasmoor(wasmoor::Tier::Optimizing, false);
}

#[test]
fn every_program_passes_on_the_optimizing_tier_eagerly() {
    every_program_passes_on_wasmoor(wasmoor::Tier::Optimizing, true);
}

#[test]
fn every_program_passes_on_the_baseline_tier() {
    every_program_passes_on_wasmoor(wasmoor::Tier::Baseline, false);
}

#[test]
fn every_program_passes_on_the_baseline_tier_eagerly() {
    every_program_passes_on_wasmoor(wasmoor::Tier::Baseline, true);
}

#[test]
fn every_program_passes_on_the_mixed_tier() {
    let seed = wasmoor::raw::seed();
    println!("WASMOOR_SEED={seed} repeats this");
    every_program_passes_on_wasmoor(wasmoor::raw::mixed_tier(seed), false);
}

fn every_program_passes_on_wasmoor(tier: wasmoor::Tier, eager: bool) {
    let engine = wasmoor::Engine::new(wasmoor::Config::new().tier(tier).eager(eager)).unwrap();
    let mut linker = wasmoor::Linker::new(&engine);
    add_to_linker(&mut linker, |ctx| ctx).unwrap();
    every_program_passes(&|wasm, ctx| run_wasmoor(&linker, wasm, ctx));
}

fn every_program_passes(run: Run<'_>) {
    let suite = test_data().join("wasi/preview1");
    if !suite.exists() {
        let missing = format!("left out: {}; set WASMOOR_TESTDATA", suite.display());
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        println!("{missing}");
        return;
    }
    let (mut programs, mut failures) = (0, Vec::new());
    for language in ["c", "rust", "assemblyscript"] {
        let folder = suite.join(language);
        let entries = fs::read_dir(&folder).unwrap();
        let mut modules: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        modules.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
        modules.sort();
        for wasm in modules {
            programs += 1;
            for strategy in [Strategy::Kernel, Strategy::Walk] {
                for wrong in check(run, &wasm, strategy) {
                    let name = wasm.file_stem().unwrap().to_string_lossy();
                    failures.push(format!("{language}/{name} ({strategy:?}): {wrong}"));
                }
            }
        }
    }
    assert_eq!(programs, 72, "the suite has other programs than known");
    assert!(failures.is_empty(), "{} fail\n{}", failures.len(), failures.join("\n"));
}
