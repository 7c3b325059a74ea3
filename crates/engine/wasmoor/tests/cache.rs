//! The disk cache: what one run compiled is there in the next, and nothing that could have been
//! changed by others, by accident or meanwhile is run.
#![cfg(unix)]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use wasmoor::cache::{Cache, CacheEntry};
use wasmoor::*;

/// `a`, `b` and `c` answer 1, 2 and 3, plus `extra`.
fn wasm(extra: u32) -> Vec<u8> {
    let func = |name, value| format!("(func (export \"{name}\") (result i32) i32.const {value})");
    let funcs = func("a", 1 + extra) + &func("b", 2 + extra) + &func("c", 3 + extra);
    let text = format!("(module (memory 1) (data (i32.const 0) \"x\") {funcs})");
    wat::parse_str(text).expect("valid")
}

struct Fixture {
    folder: TempDir,
    cache: Cache,
    engine: Engine,
}

const MAX: u64 = 1 << 30;

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(&folder.path().join("cache"), MAX, "").expect("a cache");
    let engine = Engine::new(Config::new().tier(Tier::Baseline)).expect("an engine");
    Fixture { folder, cache, engine }
}

impl Fixture {
    /// Writes a module file that was last changed long enough ago to be recognised.
    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("m.wasm");
        fs::write(&path, bytes).expect("written");
        std::thread::sleep(Duration::from_millis(3100));
        path
    }

    /// As the command does it; answers whether the module was found without reading it.
    fn load(&self, path: &Path) -> (Module, CacheEntry, bool) {
        let file = File::open(path).expect("there");
        if let Some((module, entry)) = self.cache.find(&self.engine, &file) {
            return (module, entry, true);
        }
        let state = Cache::state_of(&file);
        let bytes = fs::read(path).expect("read").into();
        let (module, entry) =
            self.cache.load(&self.engine, bytes, state, &|_, _| {}).expect("valid");
        (module, entry, false)
    }

    fn entries(&self, ending: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.cache.path()).expect("a folder");
        let paths = files.map(|file| file.expect("a file").path());
        paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
    }
}

fn call(module: &Module, names: &[&str]) -> Vec<i32> {
    let mut store = Store::new(module.engine(), ()).expect("a store");
    let instance = Linker::new(module.engine()).instantiate(&mut store, module).expect("fits");
    let call = |name: &&str| {
        let func = instance.get_typed_func::<(), i32>(&store, name).expect("there");
        func.call(&mut store, ()).expect("returns")
    };
    names.iter().map(call).collect()
}

/// Functions compiled and loaded.
fn counts(module: &Module) -> (usize, usize) {
    let stats = module.compile_stats();
    (stats.functions, stats.functions_loaded)
}

#[test]
fn what_one_run_compiled_is_there_in_the_next_and_grows() {
    let fixture = fixture();
    let path = fixture.file(&wasm(0));
    for (names, found, expected) in [
        (&["a"][..], false, (1, 0)),
        (&["a", "b"], true, (1, 1)),
        (&["c"], true, (1, 2)),
        (&["a", "b", "c"], true, (0, 3)),
    ] {
        let (module, entry, was_found) = fixture.load(&path);
        assert_eq!(was_found, found, "{names:?}");
        call(&module, names);
        assert_eq!(counts(&module), expected, "{names:?}");
        let new = entry.store(&module).expect("stored");
        assert_eq!(new, expected.0 > 0, "{names:?}");
        assert!(!entry.store(&module).expect("stored"), "nothing is stored twice");
    }
    assert_eq!(fixture.cache.status().expect("read").modules, 1);
    // The same bytes elsewhere are recognised by their hash.
    let copy = fixture.folder.path().join("copy.wasm");
    fs::copy(&path, &copy).expect("copied");
    let (module, _, found) = fixture.load(&copy);
    assert!(!found);
    assert_eq!((call(&module, &["a", "c"]), counts(&module)), (vec![1, 3], (0, 3)));
}

/// Nothing is compiled for the first time then: the stored code alone tells that it is hot.
#[test]
fn tiered_stored_code_of_the_first_tier_is_compiled_again_when_hot() {
    let text = r#"(module (func (export "work") (param $n i32)
        (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let wasm = wat::parse_str(text).expect("valid");
    let fixture = fixture();
    let load = |n| {
        let engine = Engine::default();
        let loaded = fixture.cache.load(&engine, wasm.clone().into(), None, &|_, _| {});
        let (module, entry) = loaded.expect("valid");
        let mut store = Store::new(&engine, ()).expect("a store");
        let instance = Linker::new(&engine).instantiate(&mut store, &module).expect("fits");
        let work = instance.get_typed_func::<i32, ()>(&store, "work").expect("there");
        work.call(&mut store, n).expect("returns");
        (module, entry, store, work)
    };
    let (module, entry, ..) = load(1);
    assert!(entry.store(&module).expect("stored"));
    let (module, _, mut store, work) = load(1);
    let started = std::time::Instant::now();
    while module.compile_stats().functions_optimized == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", module.compile_stats());
        work.call(&mut store, 1_000_000).expect("returns");
    }
    assert_eq!(counts(&module), (0, 1));
}

#[test]
fn a_file_that_was_just_written_is_not_recognised_by_its_times() {
    let fixture = fixture();
    let path = fixture.folder.path().join("m.wasm");
    fs::write(&path, wasm(0)).expect("written");
    for _ in 0..2 {
        let (module, entry, found) = fixture.load(&path);
        assert!(!found);
        assert_eq!(call(&module, &["a"]), [1]);
        entry.store(&module).expect("stored");
    }
    assert!(fixture.entries(".ref").is_empty());
}

#[test]
fn a_rewrite_of_the_same_size_with_its_time_set_back_is_seen() {
    let fixture = fixture();
    let path = fixture.file(&wasm(0));
    let (module, entry, _) = fixture.load(&path);
    assert_eq!(call(&module, &["a"]), [1]);
    entry.store(&module).expect("stored");
    assert!(fixture.load(&path).2, "recognised");
    let times = fs::metadata(&path).expect("there").modified().expect("a time");
    assert_eq!(wasm(0).len(), wasm(10).len());
    fs::write(&path, wasm(10)).expect("rewritten");
    File::options().write(true).open(&path).expect("own").set_modified(times).expect("set back");
    let (module, _, found) = fixture.load(&path);
    assert!(!found);
    assert_eq!(call(&module, &["a"]), [11], "the old code would answer 1");
}

#[test]
fn a_module_rewritten_while_it_runs_is_an_error_where_its_bytes_are_needed() {
    let fixture = fixture();
    let path = fixture.file(&wasm(0));
    let (module, entry, _) = fixture.load(&path);
    assert_eq!(call(&module, &["a"]), [1]);
    entry.store(&module).expect("stored");
    let (module, _, found) = fixture.load(&path);
    assert!(found);
    fs::write(&path, wasm(10)).expect("rewritten");
    assert_eq!(call(&module, &["a"]), [1], "stored code needs no bytes");
    let mut store = Store::new(&fixture.engine, ()).expect("a store");
    let instance = Linker::new(&fixture.engine).instantiate(&mut store, &module).expect("fits");
    let func = instance.get_typed_func::<(), i32>(&store, "b").expect("there");
    let error = func.call(&mut store, ()).expect_err("its body is gone").to_string();
    assert!(error.contains("its file has changed since it was loaded"), "{error}");
    // Bodies that were read before the change serve.
    fs::write(&path, wasm(0)).expect("rewritten");
    let (module, ..) = fixture.load(&path);
    module.description().require_bodies().expect("read");
    fs::write(&path, wasm(10)).expect("rewritten");
    assert_eq!(call(&module, &["a", "b"]), [1, 2]);
}

/// Every byte of the stored file, one flipped bit each; and every length.
#[test]
fn damaged_entries_are_compiled_anew() {
    let fixture = fixture();
    let path = fixture.file(&wasm(0));
    let (module, entry, _) = fixture.load(&path);
    call(&module, &["a", "b"]);
    entry.store(&module).expect("stored");
    let stored = fixture.entries(".wcode").remove(0);
    let good = fs::read(&stored).expect("read");
    let mut loaded_anyway = 0;
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&stored, &damaged).expect("written");
        let (module, ..) = fixture.load(&path);
        assert_eq!(call(&module, &["a", "b", "c"]), [1, 2, 3], "byte {at}");
        let (compiled, loaded) = counts(&module);
        assert!(compiled >= 2, "byte {at}: damage was not noticed");
        loaded_anyway += loaded;
    }
    assert!(loaded_anyway > 0, "one damaged function leaves the other");
    for len in (0..good.len()).step_by(7) {
        fs::write(&stored, &good[..len]).expect("written");
        let (module, ..) = fixture.load(&path);
        assert_eq!(call(&module, &["a", "b", "c"]), [1, 2, 3], "{len} bytes");
        assert_eq!(counts(&module), (3, 0), "{len} bytes");
    }
}

#[test]
fn entries_that_others_could_have_written_are_not_used() {
    let fixture = fixture();
    let path = fixture.file(&wasm(0));
    let (module, entry, _) = fixture.load(&path);
    call(&module, &["a"]);
    entry.store(&module).expect("stored");
    let stored = fixture.entries(".wcode").remove(0);
    let loaded = || {
        let (module, ..) = fixture.load(&path);
        assert_eq!(call(&module, &["a"]), [1]);
        counts(&module).1
    };
    let set_mode = |mode| {
        fs::set_permissions(&stored, fs::Permissions::from_mode(mode)).expect("own file");
    };
    assert_eq!(loaded(), 1);
    for mode in [0o620, 0o602, 0o640] {
        set_mode(mode);
        assert_eq!(loaded(), 0, "{mode:o}");
    }
    set_mode(0o600);
    assert_eq!(loaded(), 1);
    let moved = fixture.folder.path().join("moved");
    fs::rename(&stored, &moved).expect("moved");
    std::os::unix::fs::symlink(&moved, &stored).expect("a link");
    assert_eq!(loaded(), 0, "a symbolic link");
    fs::remove_file(&stored).expect("removed");
    fs::hard_link(&moved, &stored).expect("a second name");
    assert_eq!(loaded(), 0, "a file that has another name elsewhere");
    fs::remove_file(&stored).expect("removed");
    fs::create_dir(&stored).expect("a folder");
    assert_eq!(loaded(), 0, "a directory");
}

#[test]
fn directories_that_are_not_private_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a/b/cache");
    drop(Cache::open(&path, MAX, "").expect("made"));
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for mode in [0o770, 0o702, 0o750] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("own");
        let error = Cache::open(&path, MAX, "").expect_err("open to others").to_string();
        assert!(error.contains("others have rights to it"), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("own");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let error = Cache::open(&link, MAX, "").expect_err("a link").to_string();
    assert!(error.contains("symbolic link"), "{error}");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(Cache::open(&file, MAX, "").is_err());
}

/// A cache that nothing can be written to: a directory that is gone stands for a full or
/// read-only one, which root is not kept from writing to.
#[test]
fn a_cache_that_cannot_be_written_costs_nothing_but_time() {
    let fixture = fixture();
    let path = fixture.file(&wasm(0));
    fs::remove_dir_all(fixture.cache.path()).expect("removed");
    let (module, entry, _) = fixture.load(&path);
    assert_eq!(call(&module, &["a", "b"]), [1, 2]);
    entry.store(&module).expect_err("there is no directory");
}

#[test]
fn writers_at_the_same_time_leave_a_sound_entry_with_what_both_made() {
    let fixture = fixture();
    let path = fixture.file(&wasm(0));
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "a", "b", "c"] {
            let (fixture, path) = (&fixture, &path);
            scope.spawn(move || {
                for _ in 0..20 {
                    let (module, entry, _) = fixture.load(path);
                    call(&module, &[name]);
                    entry.store(&module).expect("stored");
                }
            });
        }
    });
    let (module, _, found) = fixture.load(&path);
    assert!(found);
    assert_eq!(call(&module, &["a", "b", "c"]), [1, 2, 3]);
    let (_, loaded) = counts(&module);
    assert!(loaded >= 1, "at least the last writer's code is there");
    assert!(fixture.entries("").iter().all(|path| !path.to_string_lossy().contains(".tmp-")));
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let fixture = fixture();
    let store = |extra| {
        let bytes = wasm(extra).into();
        let (module, entry) =
            fixture.cache.load(&fixture.engine, bytes, None, &|_, _| {}).expect("valid");
        call(&module, &["a"]);
        entry.store(&module).expect("stored");
    };
    store(0);
    let first = fixture.entries(".wcode").remove(0);
    let old = SystemTime::now() - Duration::from_secs(1000);
    File::options().write(true).open(&first).expect("own").set_modified(old).expect("aged");
    store(1);
    let bytes = fixture.cache.status().expect("read").bytes;
    assert_eq!(fixture.cache.status().expect("read").modules, 2);
    let removed = fixture.cache.shrink(bytes - 1).expect("shrunk");
    assert!(removed > 0 && !first.exists() && fixture.entries(".wcode").len() == 1);
    assert_eq!(fixture.cache.shrink(bytes).expect("nothing to do"), 0);
    fixture.cache.shrink(0).expect("emptied");
    assert_eq!(fixture.cache.status().expect("read").modules, 0);
    // A cache that is too small keeps nothing, and works.
    let path = fixture.cache.path().to_owned();
    let small = Fixture { cache: Cache::open(&path, 10, "").expect("a cache"), ..fixture };
    let (module, entry) =
        small.cache.load(&small.engine, wasm(0).into(), None, &|_, _| {}).expect("valid");
    call(&module, &["a"]);
    entry.store(&module).expect("stored and removed");
    assert!(small.entries(".wcode").is_empty());
}

#[test]
fn other_settings_and_builds_have_entries_of_their_own() {
    let fixture = fixture();
    let bytes = wasm(0);
    let load = |cache: &Cache, engine: &Engine| {
        let (module, entry) =
            cache.load(engine, bytes.clone().into(), None, &|_, _| {}).expect("valid");
        call(&module, &["a"]);
        let loaded = counts(&module).1;
        entry.store(&module).expect("stored");
        loaded
    };
    let fuel = Engine::new(Config::new().tier(Tier::Baseline).fuel(true)).expect("an engine");
    let optimizing = Engine::new(Config::new().tier(Tier::Optimizing)).expect("an engine");
    let checked = Engine::new(Config::new().tier(Tier::Baseline).memory(MemoryChoice::Checked));
    let checked = checked.expect("an engine");
    let other = Cache::open(fixture.cache.path(), MAX, "another build").expect("a cache");
    for (cache, engine) in [
        (&fixture.cache, &fixture.engine),
        (&fixture.cache, &optimizing),
        (&fixture.cache, &checked),
        (&other, &fixture.engine),
    ] {
        assert_eq!((load(cache, engine), load(cache, engine)), (0, 1));
    }
    assert_eq!(counts_of_fuel(&fixture.cache, &fuel, &bytes), [0, 1]);
    assert_eq!(fixture.entries(".wcode").len(), 5);
}

/// Guests of an engine that counts fuel need some.
fn counts_of_fuel(cache: &Cache, engine: &Engine, bytes: &[u8]) -> [usize; 2] {
    [(), ()].map(|()| {
        let (module, entry) = cache.load(engine, bytes.into(), None, &|_, _| {}).expect("valid");
        let mut store = Store::new(engine, ()).expect("a store");
        store.set_fuel(1000).expect("counted");
        let instance = Linker::new(engine).instantiate(&mut store, &module).expect("fits");
        let func = instance.get_typed_func::<(), i32>(&store, "a").expect("there");
        assert_eq!(func.call(&mut store, ()).expect("returns"), 1);
        let loaded = counts(&module).1;
        entry.store(&module).expect("stored");
        loaded
    })
}

/// An eager engine stores all functions, and uses nothing less; where it binds them together, nothing.
#[test]
fn eager_engines_use_and_keep_all_functions() {
    let mut fixture = fixture();
    let calls = r#"(module (func (export "a") (result i32) (call 1))
        (func (export "b") (result i32) i32.const 2) (func (export "c") (result i32) i32.const 3))"#;
    let path = fixture.file(&wat::parse_str(calls).expect("valid"));
    for (tier, second) in [(Tier::Auto, (0, 3)), (Tier::Baseline, (3, 0))] {
        fixture.engine = Engine::new(Config::new().tier(tier).eager(true)).expect("an engine");
        let (module, entry, found) = fixture.load(&path);
        assert!(!found, "{tier:?}");
        assert_eq!((counts(&module), call(&module, &["a", "b"])), ((3, 0), vec![2, 2]), "{tier:?}");
        assert_eq!(entry.store(&module).expect("stored"), tier == Tier::Auto, "{tier:?}");
        let (module, _, found) = fixture.load(&path);
        assert_eq!(found, tier == Tier::Auto, "{tier:?}");
        assert_eq!((counts(&module), call(&module, &["a", "c"])), (second, vec![2, 3]), "{tier:?}");
    }
    // What a lazy run has stored is another entry, and would not do.
    fixture.engine = Engine::new(Config::new().tier(Tier::Auto)).expect("an engine");
    let (module, entry, _) = fixture.load(&path);
    assert_eq!((call(&module, &["b"]), counts(&module)), (vec![2], (1, 0)));
    assert!(entry.store(&module).expect("stored"));
}
