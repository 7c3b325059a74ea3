//! What instances begin with: images and lazily filled tables look like copied segments.

use wasmoor::*;

/// Every way of keeping memories in bounds, with every compiler.
fn configurations() -> Vec<(String, Engine)> {
    let mut all = Vec::new();
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing] {
        for memory in [MemoryChoice::Auto, MemoryChoice::Checked] {
            let mut config = Config::new();
            config.tier(tier).memory(memory);
            all.push((format!("{tier:?} {memory:?}"), Engine::new(&config).unwrap()));
        }
    }
    all
}

/// Instances of one module, each in a store of its own; the first copies, later ones map images.
fn instances(engine: &Engine, module: &str, count: usize) -> Vec<(Store<()>, Instance)> {
    let module = Module::new(engine, module).unwrap();
    let linker = Linker::new(engine);
    let new = |_| {
        let mut store = Store::new(engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        (store, instance)
    };
    (0..count).map(new).collect()
}

#[test]
fn every_instance_begins_with_the_same_bytes() {
    const MODULE: &str = r#"(module
        (memory (export "m") 40)
        (data (i32.const 65530) "across pages")
        (data (i32.const 65532) "OVER")
        (data (i32.const 0) "\01\02")
        (func (export "grow") (result i32) (memory.grow (i32.const 1100)))
        (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "store") (param i32) (i32.store8 (local.get 0) (i32.const 255))))"#;
    for (name, engine) in configurations() {
        let mut all = instances(&engine, MODULE, 4);
        let mut first: Vec<Vec<u8>> = Vec::new();
        for (store, instance) in &mut all {
            let memory = instance.get_memory(&*store, "m").unwrap();
            first.push(memory.data(store).to_vec());
            let store_byte = instance.get_typed_func::<i32, ()>(&*store, "store").unwrap();
            for at in [0, 65531, 2_000_000, 40 * 65536 - 1] {
                store_byte.call(&mut *store, at).unwrap();
            }
        }
        assert_eq!(&first[0][65528..65544], b"\0\0acOVER pages\0\0", "{name}");
        assert!(first.iter().all(|bytes| *bytes == first[0]), "{name}");
        for (store, instance) in &mut all {
            // Beyond what a checked memory reserves at first: it moves.
            let grow = instance.get_typed_func::<(), i32>(&*store, "grow").unwrap();
            assert_eq!(grow.call(&mut *store, ()).unwrap(), 40, "{name}");
            let load = instance.get_typed_func::<i32, i32>(&*store, "load").unwrap();
            let expected =
                [(0, 255), (1, 2), (65531, 255), (65532, i32::from(b'O')), (40 << 16, 0)];
            for (at, byte) in expected {
                assert_eq!(load.call(&mut *store, at).unwrap(), byte, "{name}: {at}");
            }
            assert_eq!(load.call(&mut *store, (1140 << 16) - 1).unwrap(), 0, "{name}");
            assert!(load.call(&mut *store, 1140 << 16).is_err(), "{name}");
        }
    }
}

const TABLES: &str = r#"(module
    (type $f (func (result i32)))
    (table $t (export "t") 8 20 funcref)
    (table $u (export "u") 8 funcref)
    (elem (table $t) (i32.const 1) func $a $b $c)
    (elem (table $t) (i32.const 2) func $d)
    (elem (table $t) (i32.const 5) funcref (ref.null func) (ref.func $a))
    (elem $passive func $c $d)
    (func $a (result i32) (i32.const 10)) (func $b (result i32) (i32.const 11))
    (func $c (result i32) (i32.const 12)) (func $d (result i32) (i32.const 13))
    (func (export "call") (param i32) (result i32) (call_indirect $t (type $f) (local.get 0)))
    (func (export "call_u") (param i32) (result i32) (call_indirect $u (type $f) (local.get 0)))
    (func (export "is_null") (param i32) (result i32) (ref.is_null (table.get $t (local.get 0))))
    (func (export "set") (param i32 i32) (table.set $t (local.get 0) (table.get $t (local.get 1))))
    (func (export "copy") (param i32 i32 i32)
        (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
    (func (export "copy_u") (param i32 i32 i32)
        (table.copy $u $t (local.get 0) (local.get 1) (local.get 2)))
    (func (export "init") (param i32) (table.init $t $passive (local.get 0) (i32.const 0) (i32.const 2)))
    (func (export "fill_null") (param i32) (table.fill $t (local.get 0) (ref.null func) (i32.const 1)))
    (func (export "grow_null") (result i32) (table.grow $t (ref.null func) (i32.const 4)))
    (func (export "grow") (param i32) (result i32)
        (table.grow $t (table.get $t (local.get 0)) (i32.const 4))))"#;

/// What a table's elements answer, -1 for null, -2 for something that is not there.
fn answers(store: &mut Store<()>, instance: Instance, call: &str, count: i32) -> Vec<i32> {
    let call = instance.get_typed_func::<i32, i32>(&*store, call).unwrap();
    let answer = |at| match call.call(&mut *store, at) {
        Ok(value) => value,
        Err(error) => match error.trap_code() {
            Some(TrapCode::UninitializedElement) => -1,
            Some(TrapCode::UndefinedElement) => -2,
            other => panic!("{other:?}"),
        },
    };
    (0..count).map(answer).collect()
}

fn run(store: &mut Store<()>, instance: Instance, name: &str, arguments: &[i32]) -> Vec<Val> {
    let func = instance.get_func(&*store, name).unwrap();
    let arguments: Vec<_> = arguments.iter().map(|&value| Val::I32(value)).collect();
    let mut results = vec![Val::I32(0); func.ty(&*store).results.len()];
    func.call(store, &arguments, &mut results).unwrap();
    results
}

#[test]
fn elements_are_there_whoever_reads_them_first() {
    const BEGIN: [i32; 9] = [-1, 10, 13, 12, -1, -1, 10, -1, -2];
    /// A change, and what `t` and `u` answer then.
    type Case = (&'static str, &'static [i32], [i32; 9], [i32; 9]);
    const NONE: [i32; 9] = [-1, -1, -1, -1, -1, -1, -1, -1, -2];
    const CASES: [Case; 8] = [
        ("is_null", &[2], BEGIN, NONE),
        ("set", &[0, 3], [12, 10, 13, 12, -1, -1, 10, -1, -2], NONE),
        ("set", &[1, 4], [-1, -1, 13, 12, -1, -1, 10, -1, -2], NONE),
        ("copy", &[2, 0, 5], [-1, 10, -1, 10, 13, 12, -1, -1, -2], NONE),
        ("copy_u", &[3, 1, 4], BEGIN, [-1, -1, -1, 10, 13, 12, -1, -1, -2]),
        ("init", &[2], [-1, 10, 12, 13, -1, -1, 10, -1, -2], NONE),
        ("fill_null", &[1], [-1, -1, 13, 12, -1, -1, 10, -1, -2], NONE),
        ("grow_null", &[], [-1, 10, 13, 12, -1, -1, 10, -1, -1], NONE),
    ];
    for (name, engine) in configurations() {
        for (change, arguments, t, u) in CASES {
            for (mut store, instance) in instances(&engine, TABLES, 2) {
                run(&mut store, instance, change, arguments);
                let found = answers(&mut store, instance, "call", 9);
                assert_eq!(found, t, "{name}: {change} {arguments:?}");
                let found = answers(&mut store, instance, "call_u", 9);
                assert_eq!(found, u, "{name}: {change} {arguments:?}");
            }
        }
    }
}

#[test]
fn the_host_reads_and_writes_unread_elements() {
    for (name, engine) in configurations() {
        for (mut store, instance) in instances(&engine, TABLES, 2) {
            let table = instance.get_table(&store, "t").unwrap();
            let mut answers = Vec::new();
            for at in 0..8 {
                let Some(Val::FuncRef(func)) = table.get(&store, at) else {
                    panic!("{name}: {at}")
                };
                let answer = func.map(|func| {
                    func.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap()
                });
                answers.push(answer.unwrap_or(-1));
            }
            assert_eq!(answers, [-1, 10, 13, 12, -1, -1, 10, -1], "{name}");
            assert!(table.get(&store, 8).is_none(), "{name}");
            let func = table.get(&store, 2).unwrap();
            table.set(&mut store, 7, func).unwrap();
            assert_eq!(table.grow(&mut store, 2, func).unwrap(), 8, "{name}");
            let call = instance.get_typed_func::<i32, i32>(&store, "call").unwrap();
            for at in [2, 7, 8, 9] {
                assert_eq!(call.call(&mut store, at).unwrap(), 13, "{name}: {at}");
            }
        }
    }
}

/// Modules whose segments write to what others see: everything before the trap has happened.
#[test]
fn what_was_written_before_a_trap_stays() {
    for (name, engine) in configurations() {
        let mut store = Store::new(&engine, ()).unwrap();
        let host = Module::new(
            &engine,
            r#"(module (memory (export "m") 1) (table (export "t") 4 funcref)
                (func (export "call") (param i32) (result i32)
                    (call_indirect (result i32) (local.get 0))))"#,
        );
        let host = Linker::new(&engine).instantiate(&mut store, &host.unwrap()).unwrap();
        let mut linker = Linker::new(&engine);
        linker.instance(&store, "host", host).unwrap();
        let guest = Module::new(
            &engine,
            r#"(module (import "host" "m" (memory 1)) (import "host" "t" (table 4 funcref))
                (memory $own 1) (table $own 2 funcref) (global $g (mut i32) (i32.const 5))
                (elem (table 0) (i32.const 1) func $f)
                (elem (table $own) (i32.const 1) func $g)
                (data (i32.const 3) "written") (data (memory $own) (i32.const 0) "own")
                (data (i32.const 65530) "too long")
                (func $f (result i32) (i32.load8_u $own (i32.const 1)))
                (func $g (result i32) (i32.const 77)))"#,
        );
        let guest = guest.unwrap();
        for _ in 0..3 {
            let memory = host.get_memory(&store, "m").unwrap();
            memory.data_mut(&mut store).fill(0);
            let error = linker.instantiate(&mut store, &guest).unwrap_err();
            let code = error.trap_code();
            assert_eq!(code, Some(TrapCode::MemoryOutOfBounds), "{name}");
            assert_eq!(&memory.data(&store)[2..11], b"\0written\0", "{name}");
            let call = host.get_typed_func::<i32, i32>(&store, "call").unwrap();
            assert_eq!(call.call(&mut store, 1).unwrap(), i32::from(b'w'), "{name}");
        }
    }
}
