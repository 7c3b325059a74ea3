//! A plug-in host: plug-ins are modules that a directory holds, each with what the host grants it and
//! no more. They may log, keep values under keys of their own, and take so much time and memory. A
//! plug-in that fails or never ends is reported; the others go on.
//!
//! `cargo run -p wasmoor --example plugins -- DIRECTORY` runs the plug-ins of a directory on a text;
//! without one it runs some of its own.

use std::collections::HashMap;
use std::time::Duration;
use wasmoor::{
    Caller, Engine, Error, InstancePre, Linker, Memory, Module, Result, Store, StoreLimits,
};

/// What the host keeps for one plug-in while it runs.
struct Context {
    name: String,
    values: HashMap<Vec<u8>, i64>,
}

const TEXT_BYTES_MAX: usize = 64 << 10;
const KEY_BYTES_MAX: usize = 64;
const KEYS_MAX: usize = 1000;

/// A plug-in exports `memory`, `alloc(bytes) -> address` and `run(address, bytes) -> number`.
const OWN: [(&str, &str); 4] = [
    (
        "counts-lines",
        r#"(module
            (import "host" "log" (func $log (param i32 i32)))
            (import "host" "add" (func $add (param i32 i32 i64) (result i64)))
            (memory (export "memory") 2) (data (i32.const 0) "lines")
            (func (export "alloc") (param i32) (result i32) (i32.const 65536))
            (func (export "run") (param $at i32) (param $len i32) (result i64) (local $end i32)
                (local.set $end (i32.add (local.get $at) (local.get $len)))
                (block $done (loop $next
                    (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
                    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 10))
                        (then (drop (call $add (i32.const 0) (i32.const 5) (i64.const 1)))))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br $next)))
                (call $log (i32.const 0) (i32.const 5))
                (call $add (i32.const 0) (i32.const 5) (i64.const 0))))"#,
    ),
    (
        "never-ends",
        r#"(module (memory (export "memory") 2)
            (func (export "alloc") (param i32) (result i32) (i32.const 0))
            (func (export "run") (param i32 i32) (result i64) (loop $for_ever (br $for_ever)) unreachable))"#,
    ),
    (
        "wants-too-much",
        r#"(module (memory (export "memory") 2)
            (func (export "alloc") (param i32) (result i32) (i32.const 0))
            (func (export "run") (param i32 i32) (result i64)
                (i64.extend_i32_s (memory.grow (i32.const 30000)))))"#,
    ),
    (
        "lies-about-addresses",
        r#"(module (import "host" "log" (func $log (param i32 i32)))
            (memory (export "memory") 1)
            (func (export "alloc") (param i32) (result i32) (i32.const 0))
            (func (export "run") (param i32 i32) (result i64)
                (call $log (i32.const -1) (i32.const 10)) (i64.const 0)))"#,
    ),
];

fn main() -> Result<()> {
    let engine = Engine::default();
    let linker = host_functions(&engine)?;
    let text = "one line\nanother line\nand the third\n";
    let mut failed = Vec::new();
    for (name, bytes) in plugins().map_err(Error::host)? {
        let loaded = Module::new(&engine, bytes).and_then(|it| linker.instantiate_pre(&it));
        match loaded.and_then(|plugin| run(&plugin, &name, text)) {
            Ok(answer) => println!("{name}: {answer}"),
            Err(error) => {
                println!("{name} has failed: {error}");
                failed.push(name);
            }
        }
    }
    // Of its own, those fail that should.
    if std::env::args().nth(1).is_none() && failed != ["never-ends", "lies-about-addresses"] {
        return Err(Error::usage(format!("other plug-ins have failed: {failed:?}")));
    }
    Ok(())
}

fn host_functions(engine: &Engine) -> Result<Linker<Context>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(
        "host",
        "log",
        |mut caller: Caller<'_, Context>, at: i32, len: i32| -> Result<()> {
            let text = read(&mut caller, at, len, TEXT_BYTES_MAX)?;
            println!("  {} says: {}", caller.data().name, String::from_utf8_lossy(&text));
            Ok(())
        },
    )?;
    linker.func_wrap(
        "host",
        "add",
        |mut caller: Caller<'_, Context>, at: i32, len: i32, more: i64| -> Result<i64> {
            let key = read(&mut caller, at, len, KEY_BYTES_MAX)?;
            let values = &mut caller.data_mut().values;
            if values.len() >= KEYS_MAX && !values.contains_key(&key) {
                return Err(Error::usage("the plug-in keeps too many values"));
            }
            let value = values.entry(key).or_insert(0);
            *value = value.wrapping_add(more);
            Ok(*value)
        },
    )?;
    Ok(linker)
}

/// Bytes of the calling plug-in; what it says about them is checked.
fn read(caller: &mut Caller<'_, Context>, at: i32, len: i32, max: usize) -> Result<Vec<u8>> {
    let memory = caller.get_export("memory").and_then(|item| item.into_memory());
    let memory: Memory = memory.ok_or_else(|| Error::usage("a plug-in exports no memory"))?;
    let len = len.cast_unsigned() as usize;
    if len > max {
        return Err(Error::usage(format!("{len} bytes are too many, at most {max}")));
    }
    let mut bytes = vec![0; len];
    memory.read(&*caller, at.cast_unsigned() as usize, &mut bytes)?;
    Ok(bytes)
}

/// A plug-in's answer: with little memory, and in little time.
fn run(plugin: &InstancePre<Context>, name: &str, text: &str) -> Result<i64> {
    let context = Context { name: name.to_owned(), values: HashMap::new() };
    let mut store = Store::new(plugin.module().engine(), context)?;
    store.set_limits(StoreLimits { memory_bytes_max: 16 << 20, ..StoreLimits::default() });
    let _deadline = store.set_deadline(Duration::from_millis(200))?;
    let instance = plugin.instantiate(&mut store)?;
    let alloc = instance.get_typed_func::<i32, i32>(&store, "alloc")?;
    let at = alloc.call(&mut store, text.len() as i32)?;
    let memory = instance.get_memory(&store, "memory");
    let memory = memory.ok_or_else(|| Error::usage("it exports no memory"))?;
    memory.write(&mut store, at.cast_unsigned() as usize, text.as_bytes())?;
    let run = instance.get_typed_func::<(i32, i32), i64>(&store, "run")?;
    run.call(&mut store, (at, text.len() as i32))
}

/// Names and bytes of the plug-ins.
fn plugins() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let Some(directory) = std::env::args().nth(1) else {
        return Ok(OWN.map(|(name, text)| (name.to_owned(), text.into())).into());
    };
    let mut plugins = Vec::new();
    for file in std::fs::read_dir(directory)? {
        let path = file?.path();
        if path.extension().is_some_and(|ending| ending == "wasm" || ending == "wat") {
            plugins.push((path.display().to_string(), std::fs::read(&path)?));
        }
    }
    plugins.sort();
    Ok(plugins)
}
