//! Poll hooks that call into the guest they interrupt, as signal handlers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use wasmoor::*;

/// Values live across the loop in general and vector registers; the handler changes all that it
/// may: registers, memory, a global, the stack below.
const TEXT: &str = r#"(module
    (memory (export "memory") 1)
    (table $t 1 funcref)
    (global $count (export "count") (mut i32) (i32.const 0))
    (func (export "run") (param $n i64) (result i64)
        (local $a i64) (local $b i64) (local $c i64) (local $x f64) (local $v v128)
        (local.set $x (f64.const 1))
        (loop $l
            (local.set $a (i64.add (local.get $a) (i64.const 1)))
            (local.set $b (i64.add (local.get $b) (i64.rotl (local.get $a) (local.get $c))))
            (i64.store (i32.const 8) (local.get $b))
            (local.set $c (i64.xor (local.get $c) (i64.load (i32.const 8))))
            (local.set $x (f64.add (local.get $x) (f64.const 1.25)))
            (local.set $v (i64x2.add (local.get $v) (i64x2.splat (local.get $c))))
            (br_if $l (i64.lt_u (local.get $a) (local.get $n))))
        (i64.xor (i64.xor (local.get $c) (i64.reinterpret_f64 (local.get $x)))
                 (i64x2.extract_lane 1 (local.get $v))))
    (func (export "spin") (loop $l (br_if $l (i32.eqz (global.get $count)))))
    (func $deep (param i32) (result f64)
        (if (result f64) (local.get 0)
            (then (f64.add (f64.const 0.5) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
            (else (f64.const 3))))
    (func (export "handler") (param i32)
        (drop (call $deep (i32.const 50)))
        (i64.store (i32.const 64) (i64.extend_i32_u (local.get 0)))
        (global.set $count (i32.add (global.get $count) (i32.const 1))))
    (func (export "grow") (param i32)
        (i32.store (i32.const 128) (memory.grow (i32.const 4)))
        (i32.store (i32.const 132) (table.grow $t (ref.null func) (i32.const 1000)))
        (global.set $count (i32.const 1)))
    (func (export "trap") (param i32) unreachable))"#;

/// A store whose hook calls the export `handler` with 7.
fn start(engine: &Engine, handler: &str) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ())?;
    let instance = Instance::new(&mut store, &Module::new(engine, TEXT)?, &[])?;
    let handler = instance.get_typed_func::<i32, ()>(&store, handler)?;
    store.on_poll(move |mut caller| handler.call(&mut caller, 7));
    Ok((store, instance))
}

fn count(store: &Store<()>, instance: &Instance) -> i32 {
    match instance.get_global(store, "count").map(|count| count.get(store)) {
        Some(Val::I32(count)) => count,
        other => panic!("{other:?}"),
    }
}

/// Has the hook called every 200 us until dropped.
struct Caller(Arc<AtomicU32>, Option<std::thread::JoinHandle<()>>);

impl Caller {
    fn new(store: &Store<()>) -> Self {
        let (handle, done) = (store.interrupt_handle(), Arc::new(AtomicU32::new(0)));
        let until = done.clone();
        let thread = std::thread::spawn(move || {
            while until.load(Ordering::Relaxed) == 0 {
                handle.call_back();
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        Caller(done, Some(thread))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
        self.1.take().map(std::thread::JoinHandle::join);
    }
}

const TIERS: [Tier; 3] = [Tier::Auto, Tier::Baseline, Tier::Optimizing];

#[test]
fn interrupted_loops_compute_what_they_would_have() -> Result<()> {
    for tier in TIERS {
        let engine = Engine::new(Config::new().tier(tier))?;
        let (mut store, instance) = start(&engine, "handler")?;
        let run = instance.get_typed_func::<i64, i64>(&store, "run")?;
        let rounds = 30_000_000;
        let undisturbed = run.call(&mut store, rounds)?;
        assert_eq!(count(&store, &instance), 0, "{tier:?}");
        let caller = Caller::new(&store);
        let started = Instant::now();
        while count(&store, &instance) < 20 {
            assert_eq!(run.call(&mut store, rounds)?, undisturbed, "{tier:?}");
            assert!(started.elapsed() < Duration::from_secs(60), "{tier:?}: no calls");
        }
        drop(caller);
    }
    Ok(())
}

/// What `memory.grow` and `table.grow` answered in `grow`.
fn grown(store: &Store<()>, instance: &Instance) -> Result<[i32; 2]> {
    let memory = instance.get_memory(store, "memory").expect("a memory");
    let word = |at| -> Result<i32> {
        let mut word = [0; 4];
        memory.read(store, at, &mut word)?;
        Ok(i32::from_le_bytes(word))
    };
    Ok([word(128)?, word(132)?])
}

#[test]
fn what_would_move_does_not_grow_in_a_hook() -> Result<()> {
    for tier in TIERS {
        for choice in [MemoryChoice::Guard, MemoryChoice::Checked] {
            let mut config = Config::new();
            let (mut store, instance) =
                start(&Engine::new(config.tier(tier).memory(choice))?, "grow")?;
            store.interrupt_handle().call_back();
            instance.get_typed_func::<(), ()>(&store, "spin")?.call(&mut store, ())?;
            let [memory, table] = grown(&store, &instance)?;
            // A memory that is reserved in full stays where it is.
            if choice == MemoryChoice::Guard {
                assert_eq!(memory, 1, "{tier:?}");
            }
            assert_eq!(table, -1, "{tier:?} {choice:?}: the table moved");
            // Outside of hooks both grow.
            instance.get_typed_func::<i32, ()>(&store, "grow")?.call(&mut store, 0)?;
            let [memory, table] = grown(&store, &instance)?;
            assert!(memory > 0 && table == 1, "{tier:?} {choice:?}: {memory} {table}");
        }
    }
    Ok(())
}

#[test]
fn a_trap_in_a_hook_names_both() -> Result<()> {
    for tier in TIERS {
        let engine = Engine::new(Config::new().tier(tier))?;
        let (mut store, instance) = start(&engine, "trap")?;
        store.interrupt_handle().call_back();
        let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
        let error = spin.call(&mut store, ()).expect_err("it traps");
        assert_eq!(error.trap_code(), Some(TrapCode::Unreachable), "{tier:?}");
    }
    Ok(())
}
