//! Memories and tables whose storage the embedder makes, on every tier, guarded and checked.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;
mod kit;
mod tables;

use common::tiers;
use kit::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use wasmoor::*;

const MEMORIES: [MemoryChoice; 2] = [MemoryChoice::Guard, MemoryChoice::Checked];

/// An engine of each kind whose memories and tables a new maker makes, with its name.
fn engines(manner: Manner) -> Vec<(String, Arc<Maker>, Engine)> {
    let mut all = Vec::new();
    for tier in tiers() {
        for memory in MEMORIES {
            let maker = Maker::new(manner);
            let mut config = Config::new();
            config.tier(tier).memory(memory);
            config.memory_creator(Arc::new(Creator(maker.clone())));
            config.table_creator(Arc::new(Creator(maker.clone())));
            let engine = Engine::new(&config).expect("an engine");
            all.push((format!("{tier:?}, {memory:?}, {manner:?}"), maker, engine));
        }
    }
    all
}

fn is_guarded(engine: &Engine) -> bool {
    engine.memory_mode() != wasmoor_abi::MemoryMode::Checked
}

fn instantiate(engine: &Engine, text: &str) -> Result<(Store<()>, Instance)> {
    let module = Module::new(engine, text)?;
    let mut store = Store::new(engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    Ok((store, instance))
}

/// Calls a function of numbers that answers a number.
fn call(store: &mut Store<()>, instance: Instance, name: &str, arguments: &[i32]) -> Result<i32> {
    let func = instance.get_func(&*store, name).expect("an export");
    let arguments: Vec<_> = arguments.iter().map(|&value| Val::I32(value)).collect();
    let mut results = [Val::I32(0)];
    func.call(store, &arguments, &mut results)?;
    Ok(results[0].i32().expect("a number"))
}

const MEMORY: &str = r#"(module
    (memory (export "m") 1 5)
    (data (i32.const 8) "data") (data (i32.const 65530) "at end")
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "far") (param i32) (result i32) (i32.load8_u offset=0x7fffffff (local.get 0)))
    (func (export "fill") (result i32)
        (memory.fill (i32.const 0) (i32.const 0xAA) (i32.mul (memory.size) (i32.const 65536)))
        (memory.size))
    (func (export "grow") (param i32) (result i32) (local $before i32)
        (i32.store8 (i32.const 50) (i32.const 7))
        (local.set $before (memory.grow (local.get 0)))
        (i32.store8 (i32.const 50) (i32.add (i32.load8_u (i32.const 50)) (i32.const 1)))
        (local.get $before)))"#;

#[test]
fn memories_are_made_grow_and_go_once() {
    for (name, maker, engine) in engines(Manner::Honest) {
        // The second one sees nothing of the first.
        for _ in 0..2 {
            let (mut store, instance) = instantiate(&engine, MEMORY).expect(&name);
            assert_eq!(maker.take_log(), ["memory 65536..327680"], "{name}");
            let bytes = instance.get_memory(&store, "m").expect("a memory").data(&store).to_vec();
            let mut expected = vec![0; 1 << 16];
            expected[8..12].copy_from_slice(b"data");
            expected[65530..].copy_from_slice(b"at end");
            assert!(bytes == expected, "{name}");
            let ends_at = |store: &mut Store<()>, end: i32, last: i32| {
                assert_eq!(call(store, instance, "load", &[end - 1]).ok(), Some(last), "{name}");
                for (function, at) in
                    [("load", end), ("load", i32::MAX), ("load", -1), ("far", 0), ("far", -1)]
                {
                    let error = call(store, instance, function, &[at]).expect_err(&name);
                    assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds), "{name}");
                }
            };
            ends_at(&mut store, 1 << 16, i32::from(b'd'));
            assert_eq!(call(&mut store, instance, "grow", &[0]).ok(), Some(1), "{name}");
            assert_eq!(call(&mut store, instance, "grow", &[2]).ok(), Some(1), "{name}");
            assert_eq!(call(&mut store, instance, "load", &[50]).ok(), Some(8), "{name}");
            assert_eq!(call(&mut store, instance, "load", &[9]).ok(), Some(97), "{name}");
            ends_at(&mut store, 3 << 16, 0);
            assert_eq!(call(&mut store, instance, "grow", &[3]).ok(), Some(-1), "{name}");
            let memory = instance.get_memory(&store, "m").expect("a memory");
            assert_eq!(memory.grow(&mut store, 2).expect(&name), 3, "{name}");
            assert!(memory.grow(&mut store, 1).is_err(), "{name}");
            assert_eq!(call(&mut store, instance, "fill", &[]).ok(), Some(5), "{name}");
            ends_at(&mut store, 5 << 16, 0xAA);
            assert_eq!(store.meter().memory_bytes, 5 << 16, "{name}");
            let grown = ["grow memory to 196608", "grow memory to 327680"];
            assert_eq!(maker.take_log(), grown, "{name}");
            drop(store);
            assert_eq!(maker.take_log(), ["drop memory"], "{name}");
        }
        assert_eq!(engine.pool_stats(), None, "{name}");
    }
}

#[test]
fn memories_of_the_host_and_with_64_bit_indices_are_made_too_but_not_shared_ones() {
    let memory64 = r#"(module (memory 2) (memory $m i64 0 3)
        (func (export "grow") (result i32) (i32.wrap_i64 (memory.grow $m (i64.const 2))))
        (func (export "load") (param i32) (result i32)
            (i32.load8_u $m (i64.extend_i32_s (local.get 0)))))"#;
    for (name, maker, engine) in engines(Manner::Honest) {
        let (mut store, instance) = instantiate(&engine, memory64).expect(&name);
        assert_eq!(maker.take_log(), ["memory 131072..4294967296", "memory 0..196608"], "{name}");
        assert!(call(&mut store, instance, "load", &[0]).is_err(), "{name}");
        assert_eq!(call(&mut store, instance, "grow", &[]).ok(), Some(0), "{name}");
        assert_eq!(call(&mut store, instance, "load", &[131071]).ok(), Some(0), "{name}");
        for at in [131072, i32::MAX, -1, i32::MIN] {
            let error = call(&mut store, instance, "load", &[at]).expect_err(&name);
            assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds), "{name} {at}");
        }
        drop(store);
        let log = ["grow memory to 131072", "drop memory", "drop memory"];
        assert_eq!(maker.take_log(), log, "{name}");

        let mut store = Store::new(&engine, ()).expect("a store");
        let mut ty = MemoryType {
            minimum: 1,
            maximum: Some(2),
            index64: false,
            shared: false,
            page_size_log2: 16,
        };
        Memory::new(&mut store, ty).expect(&name);
        assert_eq!(maker.take_log(), ["memory 65536..131072"], "{name}");
        ty.shared = true;
        SharedMemory::new(&engine, ty).expect(&name).grow(1).expect(&name);
        let shared = r#"(module (memory 1 2 shared)
            (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;
        let (mut other, instance) = instantiate(&engine, shared).expect(&name);
        assert_eq!(call(&mut other, instance, "grow", &[]).ok(), Some(1), "{name}");
        assert!(maker.take_log().is_empty(), "{name}");
    }
}

#[test]
fn what_memories_begin_with_comes_from_stored_code_too() {
    let text = format!(
        "(module (memory (export \"m\") 3) (data (i32.const 70000) \"{}\"))",
        "ab".repeat(9000)
    );
    for (name, maker, engine) in engines(Manner::Honest) {
        let stored = Module::new(&engine, &text).and_then(|module| module.serialize());
        if name.starts_with("Mixed") {
            assert!(stored.is_err(), "{name}: there are two codes");
            continue;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stored.wcode");
        std::fs::write(&path, stored.expect(&name)).expect("written");
        let module = Module::deserialize_file(&engine, &path).expect(&name);
        for _ in 0..3 {
            let mut store = Store::new(&engine, ()).expect("a store");
            let instance = Instance::new(&mut store, &module, &[]).expect(&name);
            let bytes = instance.get_memory(&store, "m").expect("a memory").data(&store);
            assert!(bytes[70000..88000].chunks(2).all(|two| two == b"ab"), "{name}");
            assert_eq!(bytes.iter().filter(|&&byte| byte != 0).count(), 18000, "{name}");
        }
        assert_eq!(maker.take_log().len(), 6, "{name}");
    }
}

#[test]
fn limits_come_before_creators() {
    for (name, maker, engine) in engines(Manner::Honest) {
        let module = Module::new(&engine, MEMORY).expect(&name);
        let mut store = Store::new(&engine, ()).expect("a store");
        let limits = |bytes| StoreLimits { memory_bytes_max: bytes, ..StoreLimits::default() };
        store.set_limits(limits(65535));
        let error = Instance::new(&mut store, &module, &[]).expect_err(&name);
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{name}: {error}");
        assert!(maker.take_log().is_empty(), "{name}");
        store.set_limits(limits(2 << 16));
        let instance = Instance::new(&mut store, &module, &[]).expect(&name);
        assert_eq!(call(&mut store, instance, "grow", &[2]).ok(), Some(-1), "{name}");
        assert_eq!(maker.take_log(), ["memory 65536..327680"], "{name}");
        // What is refused by the creator is not charged.
        maker.set(Manner::RefusesToGrow);
        assert_eq!(call(&mut store, instance, "grow", &[1]).ok(), Some(-1), "{name}");
        assert_eq!(store.meter().memory_bytes, 1 << 16, "{name}");
        maker.set(Manner::Honest);
        assert_eq!(call(&mut store, instance, "grow", &[1]).ok(), Some(1), "{name}");
        assert_eq!(call(&mut store, instance, "load", &[50]).ok(), Some(8), "{name}");
        assert_eq!(maker.take_log().len(), 2, "{name}");
    }
}

#[test]
fn refusals_are_errors_with_their_cause_and_nothing_is_left() {
    // The table comes after the memory.
    let text = MEMORY.replace("(data (i32.const 8)", "(table 3 funcref) (data (i32.const 8)");
    for (name, maker, engine) in engines(Manner::RefusesToCreate) {
        let module = Module::new(&engine, &text).expect(&name);
        let mut store = Store::new(&engine, ()).expect("a store");
        let error = Instance::new(&mut store, &module, &[]).expect_err(&name);
        assert!(matches!(error.kind(), ErrorKind::Creator { what: "memory", .. }), "{name}");
        assert!(error.downcast_ref::<No>().is_some(), "{name}");
        let message = "the creator has made no memory that can be used: not today";
        assert_eq!(error.to_string(), message, "{name}");
        assert_eq!(maker.take_log(), ["memory 65536..327680"], "{name}");
        assert_eq!((store.meter().memory_bytes, store.meter().table_elements), (0, 0), "{name}");
        maker.set(Manner::Honest);
        Instance::new(&mut store, &module, &[]).expect(&name);
        drop(store);
        assert_eq!(maker.take_log().len(), 4, "{name}");
    }
}

#[test]
fn a_failed_instantiation_drops_what_was_made() {
    for (name, maker, engine) in engines(Manner::Honest) {
        let store_limits = StoreLimits { table_elements_max: 100, ..StoreLimits::default() };
        for (text, log) in [
            ("(module (memory 1) (table 101 funcref))", &[][..]),
            (
                "(module (memory 1 1) (data (i32.const 65535) \"ab\"))",
                &["memory 65536..65536", "drop memory"],
            ),
            (
                "(module (memory 1 1) (func $s unreachable) (start $s))",
                &["memory 65536..65536", "drop memory"],
            ),
        ] {
            let module = Module::new(&engine, text).expect(&name);
            let mut store = Store::new(&engine, ()).expect("a store");
            store.set_limits(store_limits.clone());
            Instance::new(&mut store, &module, &[]).expect_err(&name);
            drop(store);
            assert_eq!(maker.take_log(), log, "{name}: {text}");
        }
    }
}

#[test]
fn panics_reach_the_caller_and_change_nothing() {
    for (name, maker, engine) in engines(Manner::PanicsAtCreation) {
        let module = Module::new(&engine, MEMORY).expect(&name);
        let mut store = Store::new(&engine, ()).expect("a store");
        let made = catch_unwind(AssertUnwindSafe(|| Instance::new(&mut store, &module, &[])));
        let panic = made.expect_err(&name);
        assert_eq!(panic.downcast_ref(), Some(&"the creator panics"), "{name}");
        assert_eq!(store.meter().memory_bytes, 0, "{name}");
        maker.set(Manner::PanicsAtGrowth);
        let instance = Instance::new(&mut store, &module, &[]).expect(&name);
        let memory = instance.get_memory(&store, "m").expect("a memory");
        for by_host in [false, true] {
            let grown = catch_unwind(AssertUnwindSafe(|| match by_host {
                false => drop(call(&mut store, instance, "grow", &[1])),
                true => drop(memory.grow(&mut store, 1)),
            }));
            let panic = grown.expect_err(&name);
            assert_eq!(panic.downcast_ref(), Some(&"the memory panics"), "{name}");
            assert_eq!(store.meter().memory_bytes, 1 << 16, "{name}");
        }
        maker.set(Manner::Honest);
        assert_eq!(call(&mut store, instance, "grow", &[1]).ok(), Some(1), "{name}");
        assert_eq!(call(&mut store, instance, "load", &[50]).ok(), Some(8), "{name}");
        drop(store);
        assert_eq!(maker.take_log().iter().filter(|&line| line == "drop memory").count(), 1);
    }
}

/// What the engine says about a memory that is not as it must be; `None`: it is used.
fn complaint(manner: Manner, is_guarded: bool) -> Option<&'static str> {
    match manner {
        Manner::TooShort => Some("its accessible length is 61440 where 65536 is wanted"),
        Manner::TooLong if is_guarded => {
            Some("its accessible length is 69632 where 65536 is wanted")
        }
        Manner::Misaligned if is_guarded => Some("no multiple of 4096"),
        Manner::Misaligned => Some("no multiple of 16"),
        Manner::GuardReadable | Manner::LastPageReadable | Manner::GuardMissing if is_guarded => {
            Some("are not all reserved and inaccessible")
        }
        Manner::NotZero if cfg!(debug_assertions) => Some("byte 100 is not zero at first"),
        _ => None,
    }
}

#[test]
fn memories_that_are_not_as_they_must_be_are_refused() {
    for manner in [
        Manner::TooShort,
        Manner::TooLong,
        Manner::Misaligned,
        Manner::GuardReadable,
        Manner::LastPageReadable,
        Manner::GuardMissing,
        Manner::NotZero,
    ] {
        for (name, maker, engine) in engines(manner) {
            // One that is said to be longer than it is would be used there.
            if manner == Manner::TooLong && !is_guarded(&engine) {
                continue;
            }
            let made = instantiate(&engine, MEMORY);
            match complaint(manner, is_guarded(&engine)) {
                None => drop(made.expect(&name)),
                Some(words) => {
                    let error = made.map(|_| ()).expect_err(&name);
                    assert!(error.downcast_ref::<CreatorError>().is_some(), "{name}: {error}");
                    assert!(error.to_string().contains(words), "{name}: {error}");
                }
            }
            assert_eq!(maker.take_log(), ["memory 65536..327680", "drop memory"], "{name}");
        }
    }
}

#[test]
fn memories_that_do_not_grow_as_they_say_stay_what_they_were() {
    for manner in [Manner::GrowsNot, Manner::GrowsTooFar] {
        for (name, maker, engine) in engines(manner) {
            let (mut store, instance) = instantiate(&engine, MEMORY).expect(&name);
            let has_grown = manner == Manner::GrowsTooFar && !is_guarded(&engine);
            let expected = if has_grown { 1 } else { -1 };
            assert_eq!(call(&mut store, instance, "grow", &[1]).ok(), Some(expected), "{name}");
            let size = if has_grown { 2 << 16 } else { 1 << 16 };
            assert_eq!(store.meter().memory_bytes, size, "{name}");
            assert_eq!(call(&mut store, instance, "load", &[50]).ok(), Some(8), "{name}");
            assert_eq!(maker.take_log().len(), 2, "{name}");
        }
    }
}

#[test]
fn pools_that_promise_something_are_refused_beside_creators() {
    let mut pool = Pool::new();
    pool.strict(true);
    let maker = Maker::new(Manner::Honest);
    let mut config = Config::new();
    config.allocation(Allocation::Pool(pool)).memory_creator(Arc::new(Creator(maker)));
    assert!(matches!(Engine::new(&config).expect_err("refused").kind(), ErrorKind::Usage(_)));
}

#[test]
fn a_forked_child_has_a_copy_of_private_storage() {
    for (name, maker, engine) in engines(Manner::Honest) {
        let (mut store, instance) = instantiate(&engine, MEMORY).expect(&name);
        let memory = instance.get_memory(&store, "m").expect("a memory");
        let status = in_child(|| {
            // The parent's memory at that time, of its own from now on, which grows.
            let is_good = call(&mut store, instance, "load", &[9]).ok() == Some(97)
                && call(&mut store, instance, "grow", &[1]).ok() == Some(1)
                && call(&mut store, instance, "fill", &[]).ok() == Some(2)
                && instantiate(&engine, MEMORY).is_ok();
            i32::from(!is_good)
        });
        assert_eq!(status, 0, "{name}");
        assert_eq!(memory.data(&store)[..16], *b"\0\0\0\0\0\0\0\0data\0\0\0\0", "{name}");
        assert_eq!(call(&mut store, instance, "grow", &[2]).ok(), Some(1), "{name}");
        drop(store);
        let log = ["memory 65536..327680", "grow memory to 196608", "drop memory"];
        assert_eq!(maker.take_log(), log, "{name}");
    }
}
