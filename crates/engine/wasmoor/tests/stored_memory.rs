//! What memories begin with, stored beside the code: it is what copying the segments gives, on every
//! allocator, and damage and cut files are named.
#![cfg(unix)]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wasmoor::cache::Cache;
use wasmoor::*;

/// Active segments before and behind a passive one, in two memories, some overlapping.
fn source() -> String {
    let long = "0123456789abcdef".repeat(1000);
    format!(
        r#"(module
        (memory (export "m") 40) (memory (export "n") 2 3)
        (data (i32.const 65530) "{long}")
        (data (i32.const 65532) "OVER")
        (data $passive "passive bytes")
        (data (memory 1) (i32.const 70000) "second")
        (data $last (i32.const 65100) "last")
        (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 255)))
        (func (export "grow") (result i32) (memory.grow (i32.const 1100)))
        (func (export "passive") (memory.init $passive (i32.const 0) (i32.const 8) (i32.const 5)))
        (func (export "dropped") (param i32)
            (memory.init $last (i32.const 0) (i32.const 0) (local.get 0)))
        (func (export "drop") (data.drop $last) (data.drop $passive)))"#
    )
}

fn configurations() -> Vec<(String, Engine)> {
    let mut all = Vec::new();
    for memory in [MemoryChoice::Guard, MemoryChoice::Checked] {
        for allocation in [Allocation::OnDemand, Allocation::Pool(Pool::new())] {
            let name = format!("baseline, {memory:?}, {allocation:?}");
            let mut config = Config::new();
            config.tier(Tier::Baseline).memory(memory).allocation(allocation);
            all.push((name, Engine::new(&config).expect("an engine")));
        }
    }
    all
}

fn instantiate(module: &Module) -> (Store<()>, Instance) {
    let mut store = Store::new(module.engine(), ()).expect("a store");
    let instance = Instance::new(&mut store, module, &[]).expect("fits");
    (store, instance)
}

fn bytes_of(store: &Store<()>, instance: Instance, name: &str) -> Vec<u8> {
    instance.get_memory(store, name).expect("there").data(store).to_vec()
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, arguments: &[i32]) -> Result<i32> {
    let func = instance.get_func(&*store, name).expect("there");
    let arguments: Vec<_> = arguments.iter().map(|&value| Val::I32(value)).collect();
    let mut results = vec![Val::I32(0); func.ty(&*store).results.len()];
    func.call(store, &arguments, &mut results)?;
    Ok(results.first().and_then(Val::i32).unwrap_or(0))
}

struct Place {
    _folder: TempDir,
    file: PathBuf,
}

fn stored(module: &Module) -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.wcode");
    std::fs::write(&file, module.serialize().expect("stored")).expect("written");
    Place { _folder: folder, file }
}

/// The module as it was loaded, and from a file.
fn versions(engine: &Engine, original: &Module, file: &Path) -> [(&'static str, Module); 2] {
    let from_file = Module::deserialize_file(engine, file).expect("sound");
    [("loaded", original.clone()), ("from a file", from_file)]
}

#[test]
fn memories_begin_with_the_same_bytes() {
    for (name, engine) in configurations() {
        let original = Module::new(&engine, source()).expect("valid");
        let place = stored(&original);
        let (store, instance) = instantiate(&original);
        let expected = ["m", "n"].map(|memory| bytes_of(&store, instance, memory));
        assert_eq!(&expected[0][65530..65538], b"01OVER67", "{name}");
        for (version, module) in versions(&engine, &original, &place.file) {
            for round in 0..4 {
                let (mut store, instance) = instantiate(&module);
                let found = ["m", "n"].map(|memory| bytes_of(&store, instance, memory));
                assert!(found == expected, "{name}, {version}, {round}");
                for at in [100, 65100, 65530, 65540, 2_000_000] {
                    call(&mut store, instance, "store", &[at]).expect("in bounds");
                }
                // Beyond what a checked memory reserves at first: it moves.
                let before = call(&mut store, instance, "grow", &[]).expect("grows");
                assert_eq!(before, 40, "{name}, {version}");
                for (at, byte) in [(65530, 255), (65531, b'1'.into()), (65532, b'O'.into())] {
                    let found = call(&mut store, instance, "load", &[at]).expect("in bounds");
                    assert_eq!(found, byte, "{name}, {version}, {at}");
                }
            }
        }
    }
}

#[test]
fn segments_are_there_or_dropped_as_before() {
    for (name, engine) in configurations() {
        let original = Module::new(&engine, source()).expect("valid");
        let place = stored(&original);
        for (version, module) in versions(&engine, &original, &place.file) {
            let (mut store, instance) = instantiate(&module);
            call(&mut store, instance, "passive", &[]).expect("it is there");
            assert_eq!(&bytes_of(&store, instance, "m")[..5], b"bytes", "{name}, {version}");
            call(&mut store, instance, "dropped", &[0]).expect("nothing of nothing");
            let error = call(&mut store, instance, "dropped", &[1]).expect_err("dropped");
            let code = error.trap_code();
            assert_eq!(code, Some(TrapCode::MemoryOutOfBounds), "{name}, {version}");
            call(&mut store, instance, "drop", &[]).expect("drops");
            assert!(call(&mut store, instance, "passive", &[]).is_err(), "{name}, {version}");
        }
    }
}

#[test]
fn what_was_loaded_can_be_stored_again() {
    let (_, engine) = configurations().swap_remove(0);
    let place = stored(&Module::new(&engine, source()).expect("valid"));
    let module = Module::deserialize_file(&engine, &place.file).expect("sound");
    let again = module.serialize().expect("stored");
    assert!(again == std::fs::read(&place.file).expect("read"), "storing is not reproducible");
}

/// Modules whose memories cannot be folded, or not into one piece.
#[test]
fn what_cannot_be_folded_is_stored_as_segments() {
    let long = "x".repeat(5000);
    let cases = [
        format!(
            r#"(memory (export "m") 300) (data (i32.const 0) "{long}") (data (i32.const 19000000) "far")"#
        ),
        format!(
            r#"(memory (export "m") 1) (data (offset (i32.add (i32.const 4) (i32.const 5))) "{long}")"#
        ),
        format!(r#"(memory (export "m") 1) (data (i32.const 9) "short") (data "{long}")"#),
        format!(r#"(memory (export "m") 1 1 shared) (data (i32.const 9) "{long}")"#),
    ];
    for (name, engine) in configurations() {
        for (case, text) in cases.iter().enumerate() {
            let read =
                r#"(func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))"#;
            let module = Module::new(&engine, format!("(module {text} {read})")).expect("valid");
            let place = stored(&module);
            let restored = Module::deserialize_file(&engine, &place.file).expect("sound");
            let loads = |module: &Module| {
                let (mut store, instance) = instantiate(module);
                [0, 9, 10, 4999, 5008, 5009, 60_000]
                    .map(|at| call(&mut store, instance, "load", &[at]).expect("in bounds"))
            };
            let expected = loads(&module);
            assert!(expected.iter().any(|&byte| byte != 0));
            assert_eq!(loads(&restored), expected, "{name}, case {case}");
        }
        let late = r#"(module (memory (export "m") 1) (data (i32.const 65000) ""#;
        let module = Module::new(&engine, format!("{late}{long}\"))")).expect("valid");
        let place = stored(&module);
        let restored = Module::deserialize_file(&engine, &place.file).expect("sound");
        let mut store = Store::new(&engine, ()).expect("a store");
        let error = Instance::new(&mut store, &restored, &[]).expect_err("it leaves the memory");
        assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds), "{name}");
    }
}

/// Where in a file the long segment is, other than in the module itself.
fn contents_at(bytes: &[u8]) -> u64 {
    let found = bytes.windows(16).position(|window| window == b"89abcdef01234567");
    found.expect("stored") as u64
}

#[test]
fn a_flipped_bit_is_found_before_anything_runs() {
    for (name, engine) in configurations() {
        let place = stored(&Module::new(&engine, source()).expect("valid"));
        let mut bytes = std::fs::read(&place.file).expect("read");
        let at = contents_at(&bytes);
        bytes[at as usize] ^= 4;
        std::fs::write(&place.file, &bytes).expect("written");
        let error = Module::deserialize_file(&engine, &place.file).expect_err("damaged");
        assert!(error.to_string().contains("what memories begin with"), "{name}: {error}");
    }
}

/// A file that is cut under a guest is an error of that guest, whoever touches the lost pages.
#[test]
fn a_file_cut_under_a_running_guest_is_an_error() {
    for (name, engine) in configurations() {
        let place = stored(&Module::new(&engine, source()).expect("valid"));
        let module = Module::deserialize_file(&engine, &place.file).expect("sound");
        let (mut guest, its) = instantiate(&module);
        let (host, hosts) = instantiate(&module);
        assert_eq!(call(&mut guest, its, "load", &[65531]).expect("there"), i32::from(b'1'));
        let file = std::fs::OpenOptions::new().write(true).open(&place.file).expect("ours");
        file.set_len(4096).expect("cut");
        file.write_all_at(b"x", 0).expect("written");
        let is_mapped = name.contains("OnDemand");
        let result = call(&mut guest, its, "load", &[80_000]);
        match result {
            Ok(byte) => assert!(!is_mapped && byte != 0, "{name}"),
            Err(error) => {
                assert!(is_mapped, "{name}: {error}");
                assert!(error.to_string().contains("a file that has been cut"), "{name}: {error}");
            }
        }
        let mut byte = [9];
        hosts.get_memory(&host, "m").expect("there").read(&host, 80_001, &mut byte).expect("zeros");
        assert_eq!(byte[0] == 0, is_mapped, "{name}");
    }
}

/// The cache keeps what memories begin with, also when only code is added.
#[test]
fn entries_of_the_cache_keep_it() {
    let (_, engine) = configurations().swap_remove(0);
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(&folder.path().join("cache"), 1 << 30, "").expect("a cache");
    let path = folder.path().join("m.wasm");
    std::fs::write(&path, wat::parse_str(source()).expect("valid")).expect("written");
    std::thread::sleep(std::time::Duration::from_millis(3100));
    let functions = ["load", "passive", "drop"];
    for (round, name) in functions.into_iter().enumerate() {
        let file = std::fs::File::open(&path).expect("there");
        let (module, entry) = match cache.find(&engine, &file) {
            Some(found) => found,
            None => {
                assert_eq!(round, 0);
                let state = Cache::state_of(&file);
                let bytes = std::fs::read(&path).expect("read").into();
                cache.load(&engine, bytes, state, &|_, _| {}).expect("valid")
            }
        };
        let (mut store, instance) = instantiate(&module);
        assert_eq!(&bytes_of(&store, instance, "m")[65530..65538], b"01OVER67");
        assert_eq!(&bytes_of(&store, instance, "n")[70000..70006], b"second");
        let arguments: &[i32] = if name == "load" { &[0] } else { &[] };
        call(&mut store, instance, name, arguments).expect("runs");
        assert_eq!(module.compile_stats().functions_loaded, round);
        assert!(entry.store(&module).expect("stored"), "{name} is new");
    }
}
