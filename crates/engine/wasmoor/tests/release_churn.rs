//! Many instances one after the other in one store, which stays as small as with one: a hundred
//! thousand with a pool, fewer where each takes longer. The test runs in the baseline, without a pool and with two kinds of pools, and is alone in its
//! file: it measures the process.

#![cfg(all(target_os = "linux", feature = "baseline"))]

#[path = "common/allocators.rs"]
mod allocators;

use wasmoor::*;

const TEXT: &str = r#"(module
    (import "host" "add" (func $add (param i32) (result i32)))
    (import "library" "m" (memory $shared 1))
    (memory $own 3) (data (memory $own) (i32.const 100) "data")
    (table 20 funcref) (elem (i32.const 2) func $f $add)
    (global (mut funcref) (ref.null func)) (global (mut i64) (i64.const 7))
    (tag (param i32))
    (func $f (export "f") (param i32) (result i32)
        (global.set 0 (ref.func $f))
        (i32.store $own (i32.const 70000) (local.get 0))
        (call_indirect (param i32) (result i32) (local.get 0) (i32.const 3))))"#;

/// Bytes that are resident, and mappings.
fn taken() -> (usize, usize) {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a file of Linux");
    let pages: usize =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    let maps = std::fs::read_to_string("/proc/self/maps").expect("a file of Linux");
    (pages * 4096, maps.lines().count())
}

#[test]
fn baseline_one_store_stays_small() {
    for (name, engine) in allocators::allocators(Tier::Baseline) {
        let instances = if name.ends_with(", pool") { 100_000 } else { 20_000 };
        let module = Module::new(&engine, TEXT).expect("a module");
        let library = r#"(module (memory (export "m") 1))"#;
        let library = Module::new(&engine, library).expect("a module");
        let mut store = Store::new(&engine, 0_u64).expect("a store");
        store.set_limits(StoreLimits { instances_max: 2, ..StoreLimits::default() });
        let library = Instance::new(&mut store, &library, &[]).expect("an instance");
        let mut linker = Linker::new(&engine);
        linker.instance(&store, "library", library).expect("a name");
        linker
            .func_wrap("host", "add", |mut caller: Caller<'_, u64>, number: i32| {
                *caller.data_mut() += 1;
                number + 1
            })
            .expect("a name");
        let pre = linker.instantiate_pre(&module).expect("all imports");
        let mut before = (0, 0);
        for number in 0..instances {
            if number == instances / 50 {
                before = taken();
            }
            let instance = pre.instantiate(&mut store).expect("an instance");
            let f = instance.get_typed_func::<i32, i32>(&store, "f").expect("an export");
            assert_eq!(f.call(&mut store, number).expect("a result"), number + 1, "{name}");
            instance.release(&mut store).expect("it is alive");
        }
        let after = taken();
        assert_eq!(*store.data(), instances as u64, "{name}");
        assert_eq!(store.meter().memory_bytes, 1 << 16, "{name}");
        assert_eq!(store.meter().table_elements, 0, "{name}");
        let stats = engine.stats();
        assert_eq!((stats.instances, stats.memories, stats.tables), (1, 1, 0), "{name}");
        assert!(after.0 < before.0 + (1 << 20), "{name}: {} bytes, then {}", before.0, after.0);
        assert!(after.1 <= before.1 + 2, "{name}: {} mappings, then {}", before.1, after.1);
    }
    // Not beside the rest: both look at the whole process.
    refused_instances_leave_nothing();
}

/// Instances that cannot be made leave nothing in a store that has none.
fn refused_instances_leave_nothing() {
    let engine = Engine::new(Config::new().tier(Tier::Baseline)).expect("an engine");
    let text = r#"(module (import "host" "f" (func)) (import "host" "g" (func)) (memory 1))"#;
    let module = Module::new(&engine, text).expect("valid");
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("host", "f", || {}).expect("a name");
    linker.func_wrap("host", "g", || {}).expect("a name");
    let pre = linker.instantiate_pre(&module).expect("all imports");
    let mut store = Store::new(&engine, ()).expect("a store");
    store.set_limits(StoreLimits { memory_bytes_max: 0, ..StoreLimits::default() });
    let mut before = (0, 0);
    for number in 0..50_000 {
        if number == 1000 {
            before = taken();
        }
        assert!(pre.instantiate(&mut store).is_err());
    }
    let after = taken();
    assert!(after.0 < before.0 + (1 << 20), "{} bytes, then {}", before.0, after.0);
}
