//! Threads that share a memory, on every tier and with both kinds of bounds: locks, waiting,
//! waking, growth, limits, and how waiting guests are stopped.

use std::thread;
use std::time::{Duration, Instant};
use wasmoor::*;

/// Longer than anything here takes, so that a lost wake-up fails a test and hangs none.
const LONG: Duration = Duration::from_secs(60);

/// A module around a body, on a memory that is imported.
const MODULE: &str = r#"(module
    (memory (import "env" "memory") 1 16 shared)
    ;; A lock of three states: free, taken, taken with others waiting.
    (func $lock (local $was i32)
        (if (i32.eqz (i32.atomic.rmw.cmpxchg (i32.const 0) (i32.const 0) (i32.const 1)))
            (then return))
        (loop $again
            (if (i32.eqz (i32.atomic.rmw.xchg (i32.const 0) (i32.const 2))) (then return))
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 2) (i64.const -1)))
            (br $again)))
    (func $unlock
        (if (i32.ne (i32.atomic.rmw.sub (i32.const 0) (i32.const 1)) (i32.const 1))
            (then
                (i32.atomic.store (i32.const 0) (i32.const 0))
                (drop (memory.atomic.notify (i32.const 0) (i32.const 1))))))
    ;; Adds one to a plain number under the lock, and to others atomically.
    (func (export "count") (param $times i32)
        (loop $again
            (call $lock)
            (i64.store (i32.const 8) (i64.add (i64.load (i32.const 8)) (i64.const 1)))
            (call $unlock)
            (drop (i64.atomic.rmw.add (i32.const 16) (i64.const 1)))
            (drop (i32.atomic.rmw8.add_u (i32.const 24) (i32.const 1)))
            (drop (i32.atomic.rmw16.xor_u (i32.const 26) (i32.const 1)))
            (drop (i64.atomic.rmw32.or_u (i32.const 28) (i64.const 1)))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
    (func (export "wait") (param i32 i64) (result i32)
        (memory.atomic.wait32 offset=32 (local.get 0) (i32.const 0) (local.get 1)))
    (func (export "wait64") (param i32 i64) (result i32)
        (memory.atomic.wait64 (local.get 0) (i64.const 0) (local.get 1)))
    (func (export "notify") (param i32 i32) (result i32)
        (memory.atomic.notify offset=32 (local.get 0) (local.get 1)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size))
    (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
    (func (export "copy") (memory.copy (i32.const 101) (i32.const 100) (i32.const 9000)))
    (func (export "fill") (param i32) (memory.fill (i32.const 99) (local.get 0) (i32.const 9001))))"#;

const SHARED: MemoryType =
    MemoryType { minimum: 1, maximum: Some(16), index64: false, shared: true, page_size_log2: 16 };

/// Every tier with guards where they are granted, and with checks.
fn engines() -> impl Iterator<Item = (String, Engine)> {
    let tiers = [Tier::Auto, Tier::Baseline, Tier::Optimizing, Tier::Mixed { seed: 7 }];
    tiers.into_iter().flat_map(|tier| {
        [MemoryChoice::Auto, MemoryChoice::Checked].into_iter().map(move |memory| {
            let engine = Engine::new(Config::new().tier(tier).memory(memory)).expect("an engine");
            (format!("{tier:?}, {memory:?}"), engine)
        })
    })
}

/// A store with an instance on the shared memory.
fn start(engine: &Engine, memory: &SharedMemory) -> (Store<()>, Instance) {
    let module = Module::new(engine, MODULE).expect("a valid module");
    let mut store = Store::new(engine, ()).expect("a store");
    let imports = [Extern::from(memory.clone())];
    let instance = Instance::new(&mut store, &module, &imports).expect("an instance");
    (store, instance)
}

fn call<P: WasmParams, R: WasmResults>(
    (store, instance): &mut (Store<()>, Instance),
    name: &str,
    params: P,
) -> Result<R> {
    instance.get_typed_func::<P, R>(&*store, name).expect("the export").call(store, params)
}

#[test]
fn a_contended_lock_counts_every_time() {
    const THREADS: u64 = 4;
    const TIMES: i32 = 2_000;
    for (way, engine) in engines() {
        let memory = SharedMemory::new(&engine, SHARED).expect("a memory");
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    call::<_, ()>(&mut start(&engine, &memory), "count", TIMES).expect("no trap");
                });
            }
        });
        let all = THREADS * TIMES as u64;
        assert_eq!(memory.load_u64(8), Ok(all), "{way}");
        assert_eq!(memory.load_u64(16), Ok(all), "{way}");
        assert_eq!(memory.load_u32(24), Ok((all & 0xff) as u32), "{way}");
        assert_eq!(memory.load_u32(28), Ok(1), "{way}");
    }
}

#[test]
fn notifications_wake_as_many_as_asked() {
    for (way, engine) in engines() {
        let memory = SharedMemory::new(&engine, SHARED).expect("a memory");
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..5)
                .map(|_| {
                    scope
                        .spawn(|| call::<_, i32>(&mut start(&engine, &memory), "wait", (4, -1_i64)))
                })
                .collect();
            let mut waker = start(&engine, &memory);
            // Another address has no waiters.
            assert_eq!(call::<_, i32>(&mut waker, "notify", (8, -1)).expect("no trap"), 0);
            assert_eq!(call::<_, i32>(&mut waker, "notify", (4, 0)).expect("no trap"), 0);
            let until = Instant::now() + LONG;
            let mut woken = 0;
            for most in [1, 2, -1] {
                let mut now = 0;
                while now == 0 {
                    assert!(Instant::now() < until, "{way}: nobody waits");
                    now = call::<_, i32>(&mut waker, "notify", (4, most)).expect("no trap");
                }
                assert!(most < 0 || now <= most, "{way}");
                woken += now;
            }
            while woken < 5 {
                assert!(Instant::now() < until, "{way}: {woken} of 5 woken");
                woken += memory.notify(36, u32::MAX).expect("no trap") as i32;
            }
            for thread in waiting {
                assert_eq!(thread.join().expect("no panic").expect("no trap"), 0, "{way}");
            }
        });
    }
}

#[test]
fn the_time_is_up_and_words_have_changed() {
    for (way, engine) in engines() {
        let memory = SharedMemory::new(&engine, SHARED).expect("a memory");
        let mut guest = start(&engine, &memory);
        assert_eq!(call::<_, i32>(&mut guest, "wait", (0, 1_000_000_i64)).unwrap(), 2, "{way}");
        assert_eq!(call::<_, i32>(&mut guest, "wait64", (0, 0_i64)).unwrap(), 2, "{way}");
        memory.store_u32(32, 1).expect("in bounds");
        assert_eq!(call::<_, i32>(&mut guest, "wait", (0, -1_i64)).unwrap(), 1, "{way}");
        assert_eq!(memory.wait32(32, 0, None), Ok(Waited::Changed));
        assert_eq!(memory.wait64(32, 1, Some(Duration::ZERO)), Ok(Waited::TimedOut));
    }
}

/// Traps of waiting and waking: what address, whether shared or not, and what comes of it.
#[test]
fn addresses_are_checked() {
    let codes = [
        ("(memory.atomic.wait32 (i32.const 2) (i32.const 0) (i64.const 0))", [12, 12]),
        ("(memory.atomic.wait64 (i32.const 4) (i64.const 0) (i64.const 0))", [12, 12]),
        ("(memory.atomic.wait32 (i32.const 65536) (i32.const 0) (i64.const 0))", [2, 2]),
        ("(memory.atomic.wait32 offset=4 (i32.const -4) (i32.const 0) (i64.const 0))", [2, 2]),
        ("(memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0))", [13, 0]),
        ("(memory.atomic.notify (i32.const 2) (i32.const 1))", [12, 12]),
        ("(memory.atomic.notify (i32.const 65536) (i32.const 1))", [2, 2]),
        ("(memory.atomic.notify (i32.const 0) (i32.const 1))", [0, 0]),
        ("(i32.atomic.load (i32.const 1))", [12, 12]),
        ("(i32.atomic.load offset=3 (i32.const 2))", [12, 12]),
        ("(i32.atomic.load offset=3 (i32.const 1))", [0, 0]),
        ("(i32.atomic.load (i32.const 65536))", [2, 2]),
        ("(i32.atomic.rmw.or (i32.const 65536) (i32.const 1))", [2, 2]),
        ("(i32.atomic.rmw.add (i32.const 65536) (i32.const 1))", [2, 2]),
        ("(i32.atomic.rmw.cmpxchg (i32.const -4) (i32.const 1) (i32.const 1))", [2, 2]),
        ("(i32.atomic.rmw16.xchg_u offset=65535 (i32.const 0) (i32.const 1))", [12, 12]),
    ];
    for (way, engine) in engines() {
        for (expression, codes) in codes {
            for (memory, code) in ["(memory 1 1)", "(memory 1 1 shared)"].into_iter().zip(codes) {
                let text =
                    format!(r#"(module {memory} (func (export "run") (drop {expression})))"#);
                let module = Module::new(&engine, text).expect("a valid module");
                let mut store = Store::new(&engine, ()).expect("a store");
                let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
                let run = instance.get_typed_func::<(), ()>(&store, "run").expect("the export");
                let got = run.call(&mut store, ()).map_err(|error| error.trap_code());
                let expected = TrapCode::from_number(code).map_or(Ok(()), |code| Err(Some(code)));
                assert_eq!(got, expected, "{expression} on {memory}, {way}");
            }
        }
    }
}

#[test]
fn waiting_guests_are_stopped() {
    for (way, engine) in engines() {
        let memory = SharedMemory::new(&engine, SHARED).expect("a memory");
        let mut guest = start(&engine, &memory);
        let deadline = Deadline::after(Duration::from_millis(30), guest.0.interrupt_handle());
        let start_time = Instant::now();
        let error = call::<_, i32>(&mut guest, "wait", (0, -1_i64)).expect_err("stopped");
        assert_eq!(error.trap_code(), Some(TrapCode::DeadlineExceeded), "{way}");
        assert!(start_time.elapsed() < LONG, "{way}");
        drop(deadline);
        let handle = guest.0.interrupt_handle();
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            handle.interrupt();
        });
        let error = call::<_, i32>(&mut guest, "wait64", (0, -1_i64)).expect_err("stopped");
        assert_eq!(error.trap_code(), Some(TrapCode::Interrupted), "{way}");
        stopper.join().expect("no panic");
        // It left its queue.
        assert_eq!(memory.notify(0, u32::MAX), Ok(0), "{way}");
        assert_eq!(memory.notify(32, u32::MAX), Ok(0), "{way}");
        // And the store is as good as before.
        assert_eq!(call::<_, i32>(&mut guest, "wait", (0, 0_i64)).expect("no trap"), 2, "{way}");
    }
}

#[test]
fn growth_is_seen_by_all() {
    for (way, engine) in engines() {
        let memory = SharedMemory::new(&engine, SHARED).expect("a memory");
        let (mut one, mut two) = (start(&engine, &memory), start(&engine, &memory));
        let beyond = 3 << 16;
        let load = |guest: &mut _| call::<_, i32>(guest, "load", beyond);
        assert_eq!(load(&mut one).unwrap_err().trap_code(), Some(TrapCode::MemoryOutOfBounds));
        assert_eq!(call::<_, i32>(&mut two, "grow", 3).unwrap(), 1, "{way}");
        assert_eq!(load(&mut one).expect("in bounds"), 0, "{way}");
        assert_eq!(call::<_, i32>(&mut one, "size", ()).unwrap(), 4, "{way}");
        assert_eq!((memory.size(), memory.data_size()), (4, 4 << 16), "{way}");
        assert_eq!(memory.grow(1).expect("room"), 4);
        assert_eq!(call::<_, i32>(&mut two, "size", ()).unwrap(), 5, "{way}");
        assert_eq!(call::<_, i32>(&mut two, "grow", 12).unwrap(), -1, "{way}");
        memory.write(100, b"x").expect("in bounds");
        call::<_, ()>(&mut one, "fill", 7).expect("in bounds");
        memory.write(100, b"x").expect("in bounds");
        call::<_, ()>(&mut one, "copy", ()).expect("in bounds");
        let mut bytes = [0; 9003];
        memory.read(99, &mut bytes).expect("in bounds");
        let mut expected = [7; 9003];
        (expected[1], expected[2]) = (b'x', b'x');
        expected[9002] = 0;
        assert_eq!(bytes, expected, "{way}");
        assert!(memory.read(memory.data_size() - 1, &mut [0; 2]).is_err());
        assert!(memory.write(u64::MAX, b"x").is_err());
    }
}

#[test]
fn limits_hold_for_each_store() {
    for (way, engine) in engines() {
        let memory = SharedMemory::new(&engine, SHARED).expect("a memory");
        let module = Module::new(&engine, MODULE).expect("a valid module");
        let limited = |bytes: u64| {
            let mut store = Store::new(&engine, ()).expect("a store");
            store.set_limits(StoreLimits { memory_bytes_max: bytes, ..StoreLimits::default() });
            let instance = Instance::new(&mut store, &module, &[memory.clone().into()]);
            instance.map(|instance| (store, instance))
        };
        assert!(limited(65535).is_err(), "{way}");
        let mut small = limited(2 << 16).expect("one page");
        let mut large = limited(1 << 30).expect("one page");
        assert_eq!(call::<_, i32>(&mut small, "grow", 1).unwrap(), 1, "{way}");
        assert_eq!(call::<_, i32>(&mut small, "grow", 1).unwrap(), -1, "{way}");
        assert_eq!(call::<_, i32>(&mut large, "grow", 1).unwrap(), 2, "{way}");
        assert_eq!(call::<_, i32>(&mut small, "grow", 0).unwrap(), -1, "{way}");
        assert_eq!(call::<_, i32>(&mut large, "grow", 0).unwrap(), 3, "{way}");
    }
}

/// There is no way to a plain memory, and so to a slice, of a memory that threads share (RT-18).
#[test]
fn shared_memories_are_no_plain_ones() {
    for (way, engine) in engines() {
        let mut store = Store::new(&engine, ()).expect("a store");
        assert!(Memory::new(&mut store, SHARED).is_err(), "{way}");
        assert!(SharedMemory::new(&engine, MemoryType { shared: false, ..SHARED }).is_err());
        assert!(SharedMemory::new(&engine, MemoryType { maximum: None, ..SHARED }).is_err());
        let module = Module::new(
            &engine,
            r#"(module (import "h" "f" (func $f)) (memory (export "memory") 1 2 shared)
                (func (export "run") (call $f)))"#,
        );
        let module = module.expect("a valid module");
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("h", "f", |mut caller: Caller<'_, ()>| {
                assert!(caller.memory_and_data().is_none());
                let export = caller.get_export("memory").expect("the export");
                assert!(export.into_shared_memory().is_some());
            })
            .expect("a new name");
        let instance = linker.instantiate(&mut store, &module).expect("an instance");
        assert!(instance.get_memory(&store, "memory").is_none(), "{way}");
        assert!(instance.get_shared_memory(&store, "memory").is_some(), "{way}");
        let run = instance.get_typed_func::<(), ()>(&store, "run").expect("the export");
        run.call(&mut store, ()).expect("no panic");
    }
}

/// Sizes that no machine has are errors, and growth by them fails (RT-14).
#[test]
fn absurd_sizes_are_refused() {
    for (way, engine) in engines() {
        for (index, minimum, maximum) in [
            ("i64", 1_u64 << 48, 1_u64 << 48),
            ("i64", (1 << 32) - 1, (1 << 32) - 1),
            ("i64", 1, 1 << 48),
        ] {
            for shared in ["", "shared"] {
                let text = format!(
                    r#"(module (memory {index} {minimum} {maximum} {shared})
                        (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0))))"#
                );
                let Ok(module) = Module::new(&engine, text) else { continue };
                let mut store = Store::new(&engine, ()).expect("a store");
                let Ok(instance) = Instance::new(&mut store, &module, &[]) else { continue };
                assert!(minimum == 1, "{way}: {minimum} pages were granted");
                let grow = instance.get_typed_func::<i64, i64>(&store, "grow").expect("an export");
                for delta in [i64::MAX, -1, 1 << 48, (1 << 48) - 1] {
                    assert_eq!(grow.call(&mut store, delta).expect("no trap"), -1, "{way}");
                }
            }
        }
        let bytes = r#"(module (memory i64 0 0xffffffffffffffff (pagesize 1))
            (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0))))"#;
        let module = Module::new(&engine, bytes).expect("a valid module");
        let mut store = Store::new(&engine, ()).expect("a store");
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let grow = instance.get_typed_func::<i64, i64>(&store, "grow").expect("an export");
        for (delta, before) in [(-1, -1), (i64::MAX, -1), (7, 0), (0, 7), (-8, -1)] {
            assert_eq!(grow.call(&mut store, delta).expect("no trap"), before, "{way}");
        }
    }
}

/// Resident bytes of this process.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("a file of Linux");
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

/// A million waits that end at once, at a million addresses, and as many notifications: nothing is
/// left of them in the table of waiting threads.
#[test]
fn a_million_waits_leave_nothing() {
    const TEXT: &str = r#"(module
        (memory 64 64 shared)
        (func (export "run") (param $n i32) (result i32) (local $woken i32)
            (loop $next
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (drop (memory.atomic.wait32
                    (i32.shl (local.get $n) (i32.const 2)) (i32.const 0) (i64.const 0)))
                (local.set $woken (i32.add (local.get $woken)
                    (memory.atomic.notify (i32.shl (local.get $n) (i32.const 2)) (i32.const -1))))
                (br_if $next (local.get $n)))
            (local.get $woken)))"#;
    for (way, engine) in engines() {
        let module = Module::new(&engine, TEXT).expect("a valid module");
        let mut store = Store::new(&engine, ()).expect("a store");
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        let run = instance.get_typed_func::<i32, i32>(&store, "run").expect("the export");
        let times = if way.starts_with("Auto, Auto") { 1_000_000 } else { 50_000 };
        // Memory of the guest, and code.
        assert_eq!(run.call(&mut store, 1000).expect("no trap"), 0, "{way}");
        let before = resident_bytes();
        assert_eq!(run.call(&mut store, times).expect("no trap"), 0, "{way}");
        // The guest's own 4 MiB become resident meanwhile.
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 12 << 20, "{way}: {grown} bytes");
    }
}

/// As many waiters as a test may have threads, on one word and on a word each.
#[test]
fn a_thousand_threads_wait_and_are_woken_at_once() {
    const THREADS: u64 = 1000;
    let engine = Engine::default();
    let ty = MemoryType { minimum: 1, maximum: Some(1), ..SHARED };
    let memory = SharedMemory::new(&engine, ty).expect("a memory");
    for stride in [0, 8] {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let memory = memory.clone();
                let wait = move || memory.wait32(8 + number * stride, 0, Some(LONG));
                thread::Builder::new().stack_size(64 << 10).spawn(wait).expect("a thread")
            })
            .collect();
        let until = Instant::now() + LONG;
        let mut woken = 0;
        while woken < THREADS {
            assert!(Instant::now() < until, "{woken} are woken");
            let words = if stride == 0 { 1 } else { THREADS };
            for number in 0..words {
                woken += u64::from(memory.notify(8 + number * stride, u32::MAX).expect("a word"));
            }
            thread::yield_now();
        }
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), Ok(Waited::Woken));
        }
    }
}
