//! Guests made from a list of calls.

use std::fmt::Write;
use tempfile::TempDir;
use wasmoor::{Config, Engine, Instance, Linker, Module, Store, Tier};
use wasmoor_wasi_p1::WasiCtx;
use wasmoor_wasix::{Process, Thread};

/// Every tier.
pub(crate) const TIERS: [Tier; 4] =
    [Tier::Auto, Tier::Baseline, Tier::Optimizing, Tier::Mixed { seed: 7 }];

/// The engine of a tier.
pub(crate) fn engine(tier: Tier) -> Engine {
    Engine::new(Config::new().tier(tier)).expect("an engine")
}

/// A store with the main thread of a process that has a folder on `/`: `sub`, `file`, and `out`, a
/// link out of it.
pub(crate) fn store(engine: &Engine) -> (Store<Thread>, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("sub")).expect("a folder");
    std::fs::write(folder.path().join("file"), "content").expect("a file");
    std::os::unix::fs::symlink("/", folder.path().join("out")).expect("a link");
    let mut builder = WasiCtx::builder();
    builder.preopen_dir(folder.path(), "/", false).expect("the folder is there");
    let thread = Process::builder(builder.build().expect("a context")).build();
    (Store::new(engine, thread).expect("a store"), folder)
}

/// An instance in a store, ready to be called.
pub(crate) fn instantiate(store: &mut Store<Thread>, text: &str) -> Instance {
    let engine = store.engine().clone();
    let module = Module::new(&engine, text).unwrap_or_else(|why| panic!("{why}: {text}"));
    let mut linker = Linker::new(&engine);
    wasmoor_wasix::add_to_linker(&mut linker, &module).expect("no name twice");
    wasmoor_wasix::instantiate(&linker, store, &module)
        .unwrap_or_else(|why| panic!("{why}: {text}"))
}

/// A guest that makes one call after the other.
pub(crate) struct Guest {
    store: Store<Thread>,
    instance: Instance,
    shared: bool,
    _folder: TempDir,
}

impl Guest {
    /// The guest that makes these calls, with these bytes in its memory.
    pub(crate) fn new(
        tier: Tier,
        calls: &[(&str, &str, &[u64], i32)],
        data: &[(u64, &[u8])],
        shared: bool,
    ) -> Guest {
        let (mut store, folder) = store(&engine(tier));
        let instance = instantiate(&mut store, &text(calls, data, shared));
        let put = instance.get_typed_func::<(), ()>(&store, "put").expect("the export");
        put.call(&mut store, ()).expect("no trap");
        Guest { store, instance, shared, _folder: folder }
    }

    /// Makes the call with this number; what it answers.
    pub(crate) fn call(&mut self, index: usize) -> i32 {
        let name = format!("call{index}");
        let call = self.instance.get_typed_func::<(), i32>(&self.store, &name).expect("the export");
        call.call(&mut self.store, ()).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// Bytes of its memory.
    pub(crate) fn bytes(&mut self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        if self.shared {
            let memory = self.instance.get_shared_memory(&self.store, "memory").expect("a memory");
            memory.read(at, &mut bytes).expect("in bounds");
        } else {
            let memory = self.instance.get_memory(&self.store, "memory").expect("a memory");
            memory.read(&self.store, at as usize, &mut bytes).expect("in bounds");
        }
        bytes
    }
}

fn text(calls: &[(&str, &str, &[u64], i32)], data: &[(u64, &[u8])], shared: bool) -> String {
    let width = |letter| if letter == 'I' { "i64" } else { "i32" };
    let mut text = String::from("(module\n");
    let mut known: Vec<&str> = Vec::new();
    for (name, params, ..) in calls {
        if !known.contains(name) {
            known.push(name);
            let params: Vec<&str> = params.chars().map(width).collect();
            let params = params.join(" ");
            let _ = writeln!(
                text,
                "(import \"wasix_32v1\" \"{name}\" (func ${name} (param {params}) (result i32)))"
            );
        }
    }
    text += if shared {
        "(import \"env\" \"memory\" (memory 1 4 shared)) (export \"memory\" (memory 0))\n"
    } else {
        "(memory (export \"memory\") 1)\n"
    };
    text += "(func (export \"put\")\n";
    for (at, bytes) in data {
        for (at, byte) in (*at..).zip(*bytes) {
            let _ = writeln!(text, "(i32.store8 (i32.const {at}) (i32.const {byte}))");
        }
    }
    text += ")\n";
    for (index, (name, params, arguments, _)) in calls.iter().enumerate() {
        let _ = write!(text, "(func (export \"call{index}\") (result i32) (call ${name}");
        for (letter, argument) in params.chars().zip(*arguments) {
            let _ = write!(text, " ({}.const {argument})", width(letter));
        }
        text += "))\n";
    }
    text + ")"
}
