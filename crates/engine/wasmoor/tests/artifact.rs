//! Modules with stored code: what was compiled runs again, on every tier, and what is damaged or
//! foreign is compiled again or refused by name, and never run.
//!
//! # Safety
//! The bytes given to `Module::deserialize` are what `serialize` made; where a test damages them,
//! that they are refused is what is tested.
#![cfg(unix)]
#![allow(unsafe_code)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use wasmoor::*;

const SOURCE: &str = r#"(module $stored
    (import "host" "double" (func $double (param i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 8) "data")
    (data $passive "later")
    (table 2 funcref)
    (elem (i32.const 0) $cold $hot)
    (global $g (mut i32) (i32.const 7))
    (func $hot (export "hot") (param i32) (result i32)
        (call $double (i32.add (local.get 0) (i32.load8_u (i32.const 8)))))
    (func $cold (export "cold") (param i32) (result i32)
        (memory.init $passive (i32.const 100) (i32.const 0) (i32.const 5))
        (i32.mul (call $hot (local.get 0)) (global.get $g)))
    (func (export "indirect") (param i32 i32) (result i32)
        (call_indirect (param i32) (result i32) (local.get 0) (local.get 1)))
    (func (export "trap") (result i32) (call $deep (i32.const -1)))
    (func $deep (param i32) (result i32) (i32.load (local.get 0))))"#;

fn engine(tier: Tier) -> Engine {
    Engine::new(Config::new().tier(tier)).expect("an engine")
}

fn without_compiler() -> Engine {
    Engine::new(Config::new().jit(false)).expect("an engine")
}

/// Calls everything; answers the results, or the first error.
fn run(module: &Module) -> Result<Vec<i32>> {
    let mut linker = Linker::new(module.engine());
    linker.func_wrap("host", "double", |x: i32| x * 2)?;
    let mut store = Store::new(module.engine(), ())?;
    let instance = linker.instantiate(&mut store, module)?;
    let mut results = Vec::new();
    for name in ["hot", "cold"] {
        let func = instance.get_typed_func::<i32, i32>(&store, name)?;
        results.push(func.call(&mut store, 1)?);
    }
    let indirect = instance.get_typed_func::<(i32, i32), i32>(&store, "indirect")?;
    results.push(indirect.call(&mut store, (2, 0))?);
    let trap = instance.get_typed_func::<(), i32>(&store, "trap")?;
    let error = trap.call(&mut store, ()).expect_err("it traps");
    assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds));
    assert_eq!(error.backtrace().expect("a backtrace").frames().len(), 2);
    Ok(results)
}

const RESULTS: [i32; 3] = [202, 1414, 1428];

fn serialized(tier: Tier) -> Vec<u8> {
    let module = Module::new(&engine(tier), SOURCE).expect("valid");
    module.serialize().expect("stored")
}

fn deserialize(engine: &Engine, bytes: &[u8]) -> Result<Module> {
    // SAFETY: see the head of this file.
    unsafe { Module::deserialize(engine, bytes) }
}

#[test]
fn stored_code_of_every_tier_runs_on_every_engine_without_compiling() {
    for made in [Tier::Auto, Tier::Optimizing, Tier::Baseline] {
        let bytes = serialized(made);
        for engine in [engine(Tier::Auto), engine(Tier::Baseline), without_compiler()] {
            let module = deserialize(&engine, &bytes).expect("fit");
            assert_eq!(run(&module).expect("runs"), RESULTS, "made by {made:?}");
            let stats = module.compile_stats();
            assert_eq!((stats.functions, stats.functions_loaded), (0, 5), "made by {made:?}");
        }
    }
}

#[test]
fn what_was_loaded_can_be_stored_again() {
    let bytes = serialized(Tier::Auto);
    let module = deserialize(&without_compiler(), &bytes).expect("fit");
    let again = module.serialize().expect("stored");
    assert!(again == bytes, "storing is not reproducible");
}

#[test]
fn a_restored_module_describes_itself_like_the_original() {
    let engine = engine(Tier::Auto);
    let module = Module::new(&engine, SOURCE).expect("valid");
    let restored = deserialize(&engine, &serialized(Tier::Auto)).expect("fit");
    let names = |module: &Module| module.exports().map(|e| e.name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&restored), names(&module));
    assert_eq!(restored.name(), Some("stored"));
    assert_eq!(restored.imports().count(), 1);
    let deep = restored.description().func_index(wasmoor_abi::DefinedFuncIndex::from_u32(4));
    assert_eq!(restored.description().func_display_name(deep), "deep");
    let (old, new) = (module.description(), restored.description());
    new.require_bodies().expect("the module is in there");
    assert_eq!(new.bytes(), old.bytes());
    for func in old.bodies.keys() {
        assert_eq!(new.body_bytes(func), old.body_bytes(func));
        assert_eq!(new.facts(func), old.facts(func));
    }
}

/// Large code is linked function by function. `dead` makes it large.
fn large() -> String {
    let dead: String = (0..150)
        .map(|index| {
            let body = "(i64.store (i32.const 0) \
                (i64.rotl (i64.load (i32.const 8)) (i64.const 81985529216486895)))";
            let body = body.repeat(1500);
            format!("(func $dead{index} (param i32) (result i32) {body} (local.get 0))\n")
        })
        .collect();
    SOURCE.trim_end_matches(')').to_owned() + ")))" + &dead + ")"
}

#[test]
fn large_files_are_linked_function_by_function_and_damage_is_found_at_the_first_call() {
    let baseline = engine(Tier::Baseline);
    let module = Module::new(&baseline, large()).expect("valid");
    let bytes = module.serialize().expect("stored");
    assert!(bytes.len() > 8 << 20, "{} bytes are linked at once", bytes.len());
    let loaded = deserialize(&baseline, &bytes).expect("fit");
    assert_eq!(loaded.compile_stats().functions_loaded, 0);
    assert_eq!(run(&loaded).expect("runs"), RESULTS);
    assert_eq!(loaded.compile_stats().functions_loaded, 5);

    // Flip a bit in the code of `$cold`, found by the bytes of its code.
    let func = wasmoor_abi::DefinedFuncIndex::from_u32(1);
    let code = loaded.stored_code(func).expect("it has been called").code;
    let prologue = &code[..code.len().min(24)];
    let at = bytes.windows(prologue.len()).rposition(|window| window == prologue);
    let mut damaged = bytes.clone();
    damaged[at.expect("its code is in the file")] ^= 1;
    let again = deserialize(&baseline, &damaged).expect("what is read at opening is sound");
    assert_eq!(run(&again).expect("runs"), RESULTS);
    let stats = again.compile_stats();
    assert_eq!((stats.functions, stats.functions_damaged), (1, 1), "compiled anew");

    let again = deserialize(&without_compiler(), &damaged).expect("sound so far");
    let error = run(&again).expect_err("the function cannot run");
    let text = error.to_string();
    assert!(text.contains("the stored code of cold cannot be used"), "{text}");
}

#[test]
fn every_flipped_bit_of_a_small_file_is_refused_or_compiled_anew() {
    let bytes = serialized(Tier::Baseline);
    let engine = engine(Tier::Baseline);
    let mut refused = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        match deserialize(&engine, &damaged) {
            Err(_) => refused += 1,
            Ok(module) => assert_eq!(run(&module).expect("runs"), RESULTS, "byte {at}"),
        }
    }
    assert!(refused >= 512, "the header alone has 512 bytes; {refused} were refused");
    for len in [0, 7, 511, 512, 600, bytes.len() - 1] {
        assert!(deserialize(&engine, &bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn code_for_other_settings_is_refused_by_name() {
    let bytes = serialized(Tier::Baseline);
    for (config, words) in [
        (Config::new().fuel(true), "counts fuel"),
        (Config::new().memory(MemoryChoice::Checked), "memories"),
        (Config::new().features(Features::WASM1), "proposals"),
    ] {
        let engine = Engine::new(config).expect("an engine");
        let error = deserialize(&engine, &bytes).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// Eager code calls directly, which stored code cannot: it is compiled again.
#[test]
fn modules_of_eager_engines_can_be_stored() {
    for tier in [Tier::Baseline, Tier::Optimizing, Tier::Auto] {
        let eager = Engine::new(Config::new().tier(tier).eager(true)).expect("an engine");
        let bytes = Module::new(&eager, SOURCE).expect("valid").serialize().expect("stored");
        let module = deserialize(&without_compiler(), &bytes).expect("fit");
        assert_eq!(run(&module).expect("runs"), RESULTS, "{tier:?}");
    }
}

struct Place {
    folder: tempfile::TempDir,
    file: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.wcode");
    std::fs::write(&file, serialized(Tier::Baseline)).expect("written");
    set_mode(&file, 0o644);
    Place { folder, file }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
}

#[test]
fn files_that_others_could_have_written_are_refused_by_name() {
    let engine = engine(Tier::Baseline);
    let place = place();
    let refused = |path: &std::path::Path, words: &str| {
        let error = Module::deserialize_file(&engine, path).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    assert_eq!(
        run(&Module::deserialize_file(&engine, &place.file).expect("sound")).ok(),
        Some(RESULTS.to_vec())
    );
    for mode in [0o664, 0o646, 0o666] {
        set_mode(&place.file, mode);
        refused(&place.file, "may be written by others");
    }
    set_mode(&place.file, 0o644);
    set_mode(place.folder.path(), 0o770);
    refused(&place.file, "its directory may be written by others");
    set_mode(place.folder.path(), 0o700);
    let link = place.folder.path().join("link");
    std::os::unix::fs::symlink(&place.file, &link).expect("a link");
    refused(&link, "symbolic link");
    refused(place.folder.path(), "no regular file");
    refused(&place.folder.path().join("none"), "cannot be read");
    std::fs::write(&place.file, b"\0asm\x01\0\0\0").expect("written");
    refused(&place.file, "no code container");
}

/// A file that is overwritten or cut in place while its module lives.
#[test]
fn a_file_changed_under_a_running_module_is_found() {
    let baseline = engine(Tier::Baseline);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("m.wcode");
    let bytes = Module::new(&baseline, large()).expect("valid").serialize().expect("stored");
    for (change, compiler) in [("zeros", true), ("zeros", false), ("cut", true), ("cut", false)] {
        std::fs::write(&file, &bytes).expect("written");
        set_mode(&file, 0o600);
        let engine = if compiler { baseline.clone() } else { without_compiler() };
        let module = Module::deserialize_file(&engine, &file).expect("sound");
        let open = std::fs::OpenOptions::new().write(true).open(&file).expect("own file");
        if change == "cut" {
            open.set_len(600).expect("cut");
        } else {
            std::fs::write(&file, vec![0; bytes.len()]).expect("overwritten");
        }
        // The bodies are gone as well, so nothing can be compiled either.
        let error = run(&module).expect_err("nothing is left").to_string();
        let words = if compiler { "the module's bytes are needed" } else { "stored code of hot" };
        assert!(error.contains(words), "{change} {compiler}: {error}");
    }
}
