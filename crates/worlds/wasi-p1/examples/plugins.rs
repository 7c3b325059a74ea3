//! A text editor with plug-ins: each is a program of preview 1 that gets the text as its standard
//! input and writes the new text to its standard output.
//!
//! `cargo run -p wasmoor-wasi-p1 --example plugins`
//!
//! A plug-in has what its grants say and nothing else: by default no file, no variable, 16 MiB of
//! memory, 1 MiB of output and a second of time. Besides preview 1 the editor offers it a function of
//! its own, `editor.note`. A plug-in that misbehaves fails by itself; the editor and its text stay
//! as they were. Modules are compiled once; every run begins with fresh state.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wasmoor::{Caller, Engine, Extern, Linker, Module, Store, StoreLimits};
use wasmoor_host::{Interrupt, Limits, MemoryOutput, Resource, SeededRandom};
use wasmoor_wasi_p1::{Exit, Input, Output, WasiCtx, add_to_linker};

const MEMORY_BYTES_MAX: u64 = 16 << 20;
const OUTPUT_BYTES_MAX: u64 = 1 << 20;
const NOTE_BYTES_MAX: u32 = 200;
const TIME: Duration = Duration::from_secs(1);

/// What the functions of a running plug-in work on.
struct Run {
    wasi: WasiCtx,
    notes: Vec<String>,
}

/// The plug-in system: what all plug-ins share.
struct Plugins {
    engine: Engine,
    linker: Linker<Run>,
}

struct Plugin {
    module: Module,
    /// A folder that it may read, as `/data`.
    data: Option<PathBuf>,
}

/// What a run of a plug-in leaves.
#[derive(Debug)]
struct Answer {
    text: String,
    notes: Vec<String>,
}

impl Plugins {
    fn new() -> Result<Plugins, Box<dyn Error>> {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        add_to_linker(&mut linker, |run: &mut Run| &mut run.wasi)?;
        linker.func_wrap("editor", "note", note)?;
        Ok(Plugins { engine, linker })
    }

    fn load(&self, module: &str, data: Option<PathBuf>) -> Result<Plugin, Box<dyn Error>> {
        Ok(Plugin { module: Module::new(&self.engine, module)?, data })
    }

    /// Runs a plug-in on a text.
    fn apply(&self, plugin: &Plugin, text: &str) -> Result<Answer, Box<dyn Error>> {
        let printed = MemoryOutput::new(OUTPUT_BYTES_MAX as usize);
        let mut builder = WasiCtx::builder();
        builder.arg("plugin").stdin(Input::bytes(text)).stdout(Output::memory(&printed));
        builder.meter(Arc::new(Limits::new().with(Resource::OutputBytes, OUTPUT_BYTES_MAX)));
        // The same text gives the same result, whatever the plug-in does with random numbers.
        builder.random(SeededRandom::new(1));
        if let Some(data) = &plugin.data {
            builder.preopen_dir(data, "/data", true)?;
        }
        let run = Run { wasi: builder.build()?, notes: Vec::new() };
        let mut store = Store::new(&self.engine, run)?;
        store.set_limits(StoreLimits {
            memory_bytes_max: MEMORY_BYTES_MAX,
            ..StoreLimits::default()
        });
        // The deadline also ends calls that wait.
        let handle = store.interrupt_handle();
        store.data_mut().wasi.core_mut().guard.interrupt =
            Interrupt::new(move || handle.is_pending());
        let _deadline = store.set_deadline(TIME)?;
        let instance = self.linker.instantiate(&mut store, &plugin.module)?;
        let start = instance.get_typed_func::<(), ()>(&store, "_start")?;
        if let Err(error) = start.call(&mut store, ()) {
            match error.downcast_ref::<Exit>() {
                Some(Exit { code: 0, .. }) => {}
                Some(exit) => return Err(format!("it ended with status {}", exit.code).into()),
                None => return Err(error.into()),
            }
        }
        let notes = store.into_data().notes;
        Ok(Answer { text: String::from_utf8(printed.contents())?, notes })
    }
}

/// `editor.note(text, len)`: a message for the user.
fn note(mut caller: Caller<'_, Run>, text: u32, len: u32) -> Result<(), wasmoor::Error> {
    if len > NOTE_BYTES_MAX {
        return Err(wasmoor::Error::host("a note is too long"));
    }
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmoor::Error::host("a plug-in without a memory has nothing to say"));
    };
    let mut bytes = vec![0; len as usize];
    memory.read(&caller, text as usize, &mut bytes)?;
    caller.data_mut().notes.push(String::from_utf8_lossy(&bytes).into_owned());
    Ok(())
}

/// Reads the text, makes its letters capital, says how many bytes it saw.
const CAPITALS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "editor" "note" (func $note (param i32 i32)))
  (memory (export "memory") 2)
  (data (i32.const 32) "all capital now")
  (func (export "_start") (local $at i32) (local $byte i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 65536))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
    (loop $next
      (if (i32.lt_u (local.get $at) (i32.load (i32.const 4)))
        (then
          (local.set $byte (i32.load8_u offset=1024 (local.get $at)))
          (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
            (then (i32.store8 offset=1024 (local.get $at)
              (i32.sub (local.get $byte) (i32.const 32)))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $note (i32.const 32) (i32.const 15))))"#;

/// Puts what is in `/data/header` before the text; ends with the error of what fails.
const HEADER: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 32) "header")
  (func $check (param $errno i32)
    (if (local.get $errno) (then (call $exit (local.get $errno)))))
  (func $copy (param $from i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 65536))
    (call $check (call $read (local.get $from) (i32.const 0) (i32.const 1) (i32.const 4)))
    (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    ;; descriptor 3, "header", the right to read (bit 1)
    (call $check
      (call $open (i32.const 3) (i32.const 0) (i32.const 32) (i32.const 6) (i32.const 0)
        (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
    (call $copy (i32.load (i32.const 16)))
    (call $copy (i32.const 0))))"#;

/// Writes without end.
const ENDLESS: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 4) (i32.const 60000))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $again))))"#;

/// Wants more memory than there is for it.
const GREEDY: &str = r#"(module (memory (export "memory") 1000) (func (export "_start")))"#;

fn main() -> Result<(), Box<dyn Error>> {
    let plugins = Plugins::new()?;
    let folder = std::env::temp_dir().join(format!("plugins-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("header"), "# Notes\n")?;
    let mut text = "buy milk\n".to_owned();
    for (name, module, data) in [
        ("capitals", CAPITALS, None),
        ("header", HEADER, Some(folder.clone())),
        ("header without its grant", HEADER, None),
        ("endless", ENDLESS, None),
        ("greedy", GREEDY, None),
    ] {
        let plugin = plugins.load(module, data)?;
        match plugins.apply(&plugin, &text) {
            Ok(answer) => {
                text = answer.text;
                println!("{name}: {:?} {:?}", text, answer.notes);
            }
            Err(error) => println!("{name} failed: {error}"),
        }
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_do_what_they_may() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("header"), "# ").unwrap();
        let plugins = Plugins::new().unwrap();
        let run = |module, data| plugins.apply(&plugins.load(module, data).unwrap(), "a\n");
        let capitals = run(CAPITALS, None).unwrap();
        assert_eq!((&*capitals.text, &*capitals.notes), ("A\n", &["all capital now".into()][..]));
        assert_eq!(run(HEADER, Some(folder.path().into())).unwrap().text, "# a\n");
        for (module, expected) in [
            // `errno` 8: there is no such descriptor.
            (HEADER, "it ended with status 8"),
            (ENDLESS, "deadline exceeded"),
            (GREEDY, "65536000"),
        ] {
            let error = run(module, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
