//! The pool: nothing of an instance is seen by a later one, everything comes back, and threads
//! share it. Each case runs in every configuration of the pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wasmoor::*;

/// A pool of `slots` slots in one shard, with every way of keeping memories in bounds and of
/// cleaning them.
fn configurations(slots: u32) -> Vec<(String, Engine)> {
    let methods =
        [ResetMethod::Auto, ResetMethod::Copy, ResetMethod::PageScan, ResetMethod::Decommit];
    let mut all = Vec::new();
    for (memory, dense) in [
        (MemoryChoice::Guard, None),
        (MemoryChoice::Checked, None),
        (MemoryChoice::Checked, Some(2 << 20)),
    ] {
        for method in methods {
            let mut pool = Pool::new();
            pool.slots_max(slots).warm_max(Some(0)).shards(Some(1)).reset(method).dense(dense);
            pool.strict(true);
            let mut config = Config::new();
            config.tier(Tier::Baseline).memory(memory).allocation(Allocation::Pool(pool));
            let dense = if dense.is_some() { " dense" } else { "" };
            all.push((format!("{memory:?}{dense} {method:?}"), Engine::new(&config).unwrap()));
        }
    }
    all
}

fn stats(engine: &Engine) -> PoolStats {
    engine.pool_stats().unwrap()
}

fn instantiate(engine: &Engine, module: &Module) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ())?;
    let instance = Instance::new(&mut store, module, &[])?;
    Ok((store, instance))
}

fn memory_bytes(store: &Store<()>, instance: Instance) -> Vec<u8> {
    instance.get_memory(store, "m").unwrap().data(store).to_vec()
}

/// RT-09: a slot goes from a module with an image to one without, to ones with larger and smaller
/// images, and back.
#[test]
fn images_of_other_modules_are_never_seen() {
    const FILL: &str = r#"(func (export "fill")
        (memory.fill (i32.const 0) (i32.const 0xAA) (i32.mul (memory.size) (i32.const 65536))))"#;
    let texts = [
        (2, r#"(data (i32.const 100) "first")"#),
        (1, ""),
        (3, r#"(data (i32.const 0) "larger") (data (i32.const 150000) "still")"#),
        (1, r#"(data (i32.const 65530) "small")"#),
        (40, r#"(data (i32.const 1000000) "in the middle")"#),
        (0, ""),
    ];
    for (name, engine) in configurations(1) {
        let module = |(pages, data)| {
            let text = format!("(module (memory (export \"m\") {pages} 200) {FILL} {data})");
            let module = Module::new(&engine, text).unwrap();
            let (store, instance) = instantiate(&engine, &module).unwrap();
            (memory_bytes(&store, instance), module)
        };
        let modules: Vec<_> = texts.into_iter().map(module).collect();
        for round in 0..36 {
            let (first, module) = &modules[(round * round + round / 6) % 6];
            let (mut store, instance) = instantiate(&engine, module).unwrap();
            assert!(memory_bytes(&store, instance) == *first, "{name} round {round}");
            let zeros = first.iter().filter(|&&byte| byte == 0).count();
            assert!(first.len() - zeros < 20, "{name}");
            let fill = instance.get_typed_func::<(), ()>(&store, "fill").unwrap();
            fill.call(&mut store, ()).unwrap();
        }
        assert_eq!(stats(&engine).used, 0, "{name}");
    }
}

/// RT-08 and RT-10: whatever a former guest had, a later one ends where it ends.
#[test]
fn memories_end_where_they_end() {
    const ACCESS: &str = r#"
        (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "far") (param i32) (result i32) (i32.load8_u offset=2147483647 (local.get 0)))
        (func (export "grow_and_fill") (result i32) (local $end i32)
            (drop (memory.grow (i32.const 100)))
            (local.set $end (i32.mul (memory.size) (i32.const 65536)))
            (memory.fill (i32.const 0) (i32.const 0xAA) (local.get $end)) (local.get $end))"#;
    for (name, engine) in configurations(1) {
        let module =
            |text: &str| Module::new(&engine, format!("(module {text} {ACCESS})")).unwrap();
        let large = module("(memory 3 300)");
        let small = [
            (module("(memory 0 0)"), 0_u32),
            (module("(memory 0)"), 0),
            (module("(memory 1 1)"), 1 << 16),
            (module("(memory 1 300)"), 1 << 16),
        ];
        for (module, end) in &small {
            for _ in 0..2 {
                let (mut store, instance) = instantiate(&engine, &large).unwrap();
                let grow = instance.get_typed_func::<(), i32>(&store, "grow_and_fill").unwrap();
                assert_eq!(grow.call(&mut store, ()).unwrap(), 103 << 16, "{name}");
                drop(store);
                let (mut store, instance) = instantiate(&engine, module).unwrap();
                for function in ["load", "far"] {
                    let load = instance.get_typed_func::<i32, i32>(&store, function).unwrap();
                    for at in [*end, end + 4096, 1 << 31, u32::MAX] {
                        let error = load.call(&mut store, at.cast_signed()).unwrap_err();
                        let code = error.trap_code();
                        assert_eq!(code, Some(TrapCode::MemoryOutOfBounds), "{name} {at}");
                    }
                }
                if *end > 0 {
                    let load = instance.get_typed_func::<i32, i32>(&store, "load").unwrap();
                    let last = (end - 1).cast_signed();
                    assert_eq!(load.call(&mut store, last).unwrap(), 0, "{name}");
                }
            }
        }
    }
}

/// RT-07: instantiation fails at each step; the slot comes back, clean.
#[test]
fn failed_instantiations_give_everything_back() {
    const BODY: &str = r#"
        (global (export "r") (mut funcref) (ref.null func))
        (table (export "t") 3 funcref) (elem (i32.const 1) func $f)
        (func $f) (func (export "set") (param funcref)
            (global.set 0 (ref.func $f)) (table.set (i32.const 0) (ref.func $f))
            (memory.fill (i32.const 0) (i32.const 0xAA) (i32.const 65536)))
        (elem declare func $f)"#;
    for (name, engine) in configurations(1) {
        let module = |text: &str| {
            Module::new(&engine, format!("(module (memory (export \"m\") 1) {text} {BODY})"))
                .unwrap()
        };
        let good = module("");
        let failing = [
            module(r#"(data (i32.const 65530) "too long")"#),
            module("(elem (i32.const 3) func $f)"),
            module(
                r#"(func $s (memory.fill (i32.const 0) (i32.const 7) (i32.const 9)) unreachable) (start $s)"#,
            ),
            module("(memory 60000)"),
            module("(table 2000 funcref)"),
        ];
        for failing in &failing {
            let (mut store, instance) = instantiate(&engine, &good).unwrap();
            let func = instance.get_func(&store, "set").unwrap();
            func.call(&mut store, &[Val::FuncRef(Some(func))], &mut []).unwrap();
            drop(store);
            let mut store = Store::new(&engine, ()).unwrap();
            store.set_limits(StoreLimits {
                memory_bytes_max: 10 << 20,
                table_elements_max: 1000,
                ..StoreLimits::default()
            });
            assert!(Instance::new(&mut store, failing, &[]).is_err(), "{name}");
            drop(store);
            assert_eq!(stats(&engine).used, 0, "{name}");
            let (mut store, instance) = instantiate(&engine, &good).unwrap();
            assert!(memory_bytes(&store, instance).iter().all(|&byte| byte == 0), "{name}");
            let global = instance.get_global(&store, "r").unwrap();
            assert!(matches!(global.get(&store), Val::FuncRef(None)), "{name}");
            let table = instance.get_table(&store, "t").unwrap();
            assert!(matches!(table.get(&store, 0), Some(Val::FuncRef(None))), "{name}");
            assert!(matches!(table.get(&store, 1), Some(Val::FuncRef(Some(_)))), "{name}");
            assert_eq!(table.grow(&mut store, 1, Val::FuncRef(None)).unwrap(), 3);
        }
        // Limits that refuse are charged nothing.
        let (mut store, _) = instantiate(&engine, &good).unwrap();
        let taken = (store.meter().memory_bytes, store.meter().table_elements);
        assert!(matches!(
            Instance::new(&mut store, &good, &[]).unwrap_err().kind(),
            ErrorKind::PoolExhausted { slots_max: 1 }
        ));
        assert_eq!((store.meter().memory_bytes, store.meter().table_elements), taken, "{name}");
    }
}

/// RT-11: host data whose destructor makes an instance and runs it, in a pool of one slot.
#[test]
fn a_slot_is_free_when_everything_of_it_is_gone() {
    struct Again {
        engine: Engine,
        module: Module,
        runs: Arc<AtomicU32>,
    }
    impl Drop for Again {
        fn drop(&mut self) {
            let (mut store, instance) = instantiate(&self.engine, &self.module).unwrap();
            let run = instance.get_typed_func::<(), i32>(&store, "run").unwrap();
            assert_eq!(run.call(&mut store, ()).unwrap(), 0);
            self.runs.fetch_add(1, Ordering::Relaxed);
        }
    }
    const MODULE: &str = r#"(module (memory 1) (func (export "run") (result i32)
        (i32.load (i32.const 0)) (i32.store (i32.const 0) (i32.const -1))))"#;
    for (name, engine) in configurations(1) {
        let module = Module::new(&engine, MODULE).unwrap();
        let runs = Arc::new(AtomicU32::new(0));
        for _ in 0..3 {
            let again =
                Again { engine: engine.clone(), module: module.clone(), runs: runs.clone() };
            let mut store = Store::new(&engine, again).unwrap();
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let run = instance.get_typed_func::<(), i32>(&store, "run").unwrap();
            assert_eq!(run.call(&mut store, ()).unwrap(), 0, "{name}");
        }
        assert_eq!(runs.load(Ordering::Relaxed), 3, "{name}");
        assert_eq!((stats(&engine).cold, stats(&engine).reused), (1, 5), "{name}");
    }
}

/// RT-11: two threads that want the only slot.
#[test]
fn threads_hammer_one_slot() {
    const MODULE: &str = r#"(module (memory 1) (table 4 funcref) (elem (i32.const 2) func $f)
        (func $f (result i32) (i32.load (i32.const 4096)))
        (func (export "run") (param i32) (result i32)
            (call_indirect (result i32) (i32.const 2))
            (i32.store (i32.const 4096) (local.get 0))))"#;
    for (name, engine) in configurations(1) {
        let module = Module::new(&engine, MODULE).unwrap();
        let (done, refused) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for thread in 1..3 {
                let (engine, module, done, refused) = (&engine, &module, &done, &refused);
                scope.spawn(move || {
                    for _ in 0..300 {
                        let Ok((mut store, instance)) = instantiate(engine, module) else {
                            refused.fetch_add(1, Ordering::Relaxed);
                            continue;
                        };
                        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
                        assert_eq!(run.call(&mut store, thread).unwrap(), 0);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let (done, refused) = (done.into_inner(), refused.into_inner());
        assert_eq!(done + refused, 600, "{name}");
        assert!(done > 0, "{name}");
        let stats = stats(&engine);
        assert_eq!(stats.reused + stats.cold, u64::from(done), "{name}");
        assert_eq!((stats.exhausted, stats.used), (u64::from(refused), 0), "{name}");
    }
}

#[test]
fn imported_functions_and_globals_are_those_of_the_present_store() {
    const MODULE: &str = r#"(module
        (import "h" "f" (func $f (result i32))) (import "h" "g" (global $g i32))
        (table 2 funcref) (elem (i32.const 0) func $f $own) (global $h i32 (global.get $g))
        (func $own (result i32) (i32.add (global.get $g) (global.get $h)))
        (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
        (export "f" (func $f)))"#;
    for (name, engine) in configurations(1) {
        let module = Module::new(&engine, MODULE).unwrap();
        for number in 0..4 {
            let mut store = Store::new(&engine, ()).unwrap();
            let mut linker = Linker::new(&engine);
            linker.func_wrap("h", "f", move || number).unwrap();
            let ty = GlobalType { content: ValType::I32, mutable: false };
            let global = Global::new(&mut store, ty, Val::I32(10 * number)).unwrap();
            linker.define(&store, "h", "g", global).unwrap();
            let instance = linker.instantiate(&mut store, &module).unwrap();
            let call = instance.get_typed_func::<i32, i32>(&store, "call").unwrap();
            assert_eq!(call.call(&mut store, 0).unwrap(), number, "{name}");
            assert_eq!(call.call(&mut store, 1).unwrap(), 20 * number, "{name}");
            let func = instance.get_typed_func::<(), i32>(&store, "f").unwrap();
            assert_eq!(func.call(&mut store, ()).unwrap(), number, "{name}");
        }
        assert_eq!(stats(&engine).reused, 3, "{name}");
    }
}

#[test]
fn modules_that_are_dropped_leave_nothing() {
    for (name, engine) in configurations(4) {
        for _ in 0..10 {
            let module = Module::new(&engine, "(module (memory 1) (data (i32.const 0) \"x\"))");
            let module = module.unwrap();
            drop((0..4).map(|_| instantiate(&engine, &module).unwrap()).collect::<Vec<_>>());
            assert_eq!(stats(&engine).warm, 4, "{name}");
        }
        assert_eq!((stats(&engine).warm, stats(&engine).used), (0, 0), "{name}");
    }
}

#[test]
fn a_pool_that_is_not_strict_never_refuses() {
    let mut pool = Pool::new();
    pool.slots_max(2);
    let engine = Engine::new(Config::new().allocation(Allocation::Pool(pool))).unwrap();
    let module = Module::new(&engine, "(module (memory 1))").unwrap();
    let all: Vec<_> = (0..5).map(|_| instantiate(&engine, &module).unwrap()).collect();
    assert_eq!((stats(&engine).used, stats(&engine).exhausted), (2, 3));
    drop(all);
    assert_eq!((stats(&engine).used, stats(&engine).warm), (0, 2));
    engine.shrink_pool();
    assert_eq!(stats(&engine).warm, 0);
}

/// What has neither memories nor tables is made without a slot, also when there is none left.
#[test]
fn small_instances_take_no_slot() {
    for (name, engine) in configurations(1) {
        let large = Module::new(&engine, "(module (memory 1))").unwrap();
        let small = Module::new(&engine, "(module (func (export \"f\") (result i32) i32.const 7))")
            .unwrap();
        let _kept = instantiate(&engine, &large).unwrap();
        for _ in 0..3 {
            let (mut store, instance) = instantiate(&engine, &small).unwrap();
            let func = instance.get_typed_func::<(), i32>(&store, "f").unwrap();
            assert_eq!(func.call(&mut store, ()).unwrap(), 7, "{name}");
        }
        assert_eq!((stats(&engine).used, stats(&engine).exhausted), (1, 0), "{name}");
        assert!(instantiate(&engine, &large).is_err(), "{name}");
    }
}

/// A dense memory whose image covers it takes memory for the pages with data only.
#[test]
#[cfg(target_os = "linux")]
fn dense_memories_are_not_filled_with_zeros() {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let mut pool = Pool::new();
    pool.slots_max(200).dense(Some(2 << 20)).reset(ResetMethod::Decommit).strict(true);
    let engine = Engine::new(Config::new().allocation(Allocation::Pool(pool))).unwrap();
    let module = r#"(module (memory (export "m") 17) (data (i32.const 70000) "data")
        (func (export "f") (i32.store (i32.const 200000) (i32.const -1))))"#;
    let module = Module::new(&engine, module).unwrap();
    let before = resident();
    for _ in 0..2 {
        let mut all: Vec<_> = (0..200).map(|_| instantiate(&engine, &module).unwrap()).collect();
        for (store, instance) in &mut all {
            assert_eq!(&memory_bytes(store, *instance)[69_999..70_005], b"\0data\0");
            instance.get_typed_func::<(), ()>(&*store, "f").unwrap().call(&mut *store, ()).unwrap();
        }
        let bytes = resident() - before;
        assert!(bytes < 200 * (512 << 10), "{bytes} bytes: 17 pages each would be 1.1 MB");
    }
}
