//! What an engine counts. The tests run in the baseline, with the default allocator (a pool).

use wasmoor::*;

fn engine() -> Engine {
    Engine::new(Config::new().tier(Tier::Baseline)).unwrap()
}

const TEXT: &str = r#"(module
    (memory 1) (table 2 funcref)
    (func (export "f") (result i32) i32.const 7)
    (func (export "g")))"#;

#[test]
fn baseline_what_lives_and_what_was_made_is_counted() {
    let engine = engine();
    let ty =
        MemoryType { minimum: 1, maximum: None, index64: false, shared: false, page_size_log2: 16 };
    let mut nothing = EngineStats::default();
    nothing.pool = engine.pool_stats();
    assert_eq!(engine.stats(), nothing);
    let module = Module::new(&engine, TEXT).unwrap();
    let mut first = Store::new(&engine, ()).unwrap();
    let instance = Instance::new(&mut first, &module, &[]).unwrap();
    let mut second = Store::new(&engine, ()).unwrap();
    Instance::new(&mut second, &module, &[]).unwrap();
    Instance::new(&mut second, &module, &[]).unwrap();
    Memory::new(&mut second, ty).unwrap();
    let stats = engine.stats();
    assert_eq!((stats.modules, stats.modules_loaded), (1, 1));
    assert_eq!((stats.instances, stats.instances_made), (3, 3));
    assert_eq!((stats.memories, stats.tables), (4, 3));
    assert_eq!((stats.functions_compiled, stats.code_bytes), (0, 0), "nothing was called");
    assert_eq!(stats.pool.map(|pool| pool.used), Some(3));

    instance.get_typed_func::<(), i32>(&mut first, "f").unwrap().call(&mut first, ()).unwrap();
    let stats = engine.stats();
    assert_eq!(stats.functions_compiled, 1, "one function was called");
    assert!(stats.code_bytes > 0 && stats.compile_ns > 0, "{stats:?}");
    assert_eq!(stats.code_bytes, module.compile_stats().code_bytes as u64);

    drop(second);
    let stats = engine.stats();
    assert_eq!((stats.instances, stats.instances_made), (1, 3));
    assert_eq!((stats.memories, stats.tables), (1, 1));
    drop((first, module));
    let stats = engine.stats();
    assert_eq!((stats.modules, stats.modules_loaded, stats.instances), (0, 1, 0));
    assert_eq!((stats.memories, stats.tables, stats.code_bytes), (0, 0, 0));
    assert_eq!(stats.functions_compiled, 1, "what was compiled of a module that is gone");
}

/// Instances that cannot be made leave nothing that is counted.
#[test]
fn baseline_failures_are_not_counted() {
    let engine = engine();
    let module = Module::new(&engine, "(module (memory 1) (table 9 funcref))").unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    store.set_limits(StoreLimits { table_elements_max: 8, ..StoreLimits::default() });
    Instance::new(&mut store, &module, &[]).expect_err("the limit of tables");
    let stats = engine.stats();
    assert_eq!((stats.instances, stats.instances_made), (0, 0));
    assert_eq!((stats.memories, stats.tables), (0, 0));
}

/// What one thread makes, another drops.
#[test]
fn baseline_threads_count_together() {
    let engine = engine();
    let module = Module::new(&engine, TEXT).unwrap();
    let make = || {
        let make = |_| {
            let mut store = Store::new(&engine, ()).unwrap();
            Instance::new(&mut store, &module, &[]).unwrap();
            store
        };
        (0..50).map(make).collect::<Vec<_>>()
    };
    let stores: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let stats = engine.stats();
    assert_eq!((stats.instances, stats.memories, stats.tables), (200, 200, 200));
    drop(stores);
    let stats = engine.stats();
    assert_eq!((stats.instances, stats.instances_made), (0, 200));
    assert_eq!((stats.memories, stats.tables), (0, 0));
}
