//! Host calls that return a second time, in every tier: see `checkpoints.wat`.

mod common;

use common::tiers;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wasmoor::raw::{self, Capturing, CheckpointKey, NoCheckpoint};
use wasmoor::*;

const TEXT: &str = include_str!("checkpoints.wat");

/// What the guest's host knows.
#[derive(Default)]
struct Host {
    keys: HashMap<i32, CheckpointKey>,
    value: i32,
    inner: Option<TypedFunc<i32, ()>>,
    /// The most checkpoints, and bytes for them, that there were.
    most: (usize, u64),
    /// Values of the host that were left by a jump.
    dropped: Arc<AtomicU32>,
}

/// Counts when it is dropped.
struct Counts(Arc<AtomicU32>);

impl Drop for Counts {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The data that every checkpoint is noted with.
const DATA: u64 = 0x1234_5678_9abc_def0;

fn save(mut caller: Caller<'_, Host>, number: i32) -> i32 {
    caller.data_mut().value = 0;
    let made = raw::checkpoint(&mut caller, DATA);
    let (count, bytes) = raw::checkpoints_kept(&mut caller);
    let most = &mut caller.data_mut().most;
    *most = (most.0.max(count), most.1.max(bytes));
    match made {
        Ok(key) => {
            caller.data_mut().keys.insert(number, key);
            0
        }
        Err(NoCheckpoint::Limit) => 1,
        Err(NoCheckpoint::NotCapturing) => 2,
    }
}

fn jump(mut caller: Caller<'_, Host>, number: i32, value: i32) -> Result<()> {
    let key = caller.data().keys.get(&number).copied().expect("it was saved");
    let Some((data, error)) = raw::restore(&mut caller, key) else {
        return Err(Error::usage("the checkpoint is gone"));
    };
    assert_eq!(data, DATA);
    caller.data_mut().value = value;
    Err(error)
}

fn reenter(mut caller: Caller<'_, Host>, argument: i32) -> Result<()> {
    let _counts = Counts(Arc::clone(&caller.data().dropped));
    let inner = caller.data().inner.expect("it was set");
    inner.call(&mut caller, argument)
}

fn linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "save", Capturing(save))?;
    linker.func_wrap("host", "jump", jump)?;
    linker.func_wrap("host", "value", |caller: Caller<'_, Host>| caller.data().value)?;
    linker.func_wrap("host", "reenter", reenter)?;
    linker.func_wrap("host", "attempt", |caller: Caller<'_, Host>, argument: i32| {
        i32::from(reenter(caller, argument).is_err())
    })?;
    Ok(linker)
}

fn start(engine: &Engine) -> Result<(Store<Host>, Instance)> {
    let mut store = Store::new(engine, Host::default())?;
    let instance = linker(engine)?.instantiate(&mut store, &Module::new(engine, TEXT)?)?;
    store.data_mut().inner = Some(instance.get_typed_func(&store, "inner")?);
    Ok((store, instance))
}

fn engine(tier: Tier) -> Result<Engine> {
    Engine::new(Config::new().tier(tier))
}

fn call(store: &mut Store<Host>, instance: &Instance, name: &str, argument: i64) -> Result<i64> {
    instance.get_typed_func::<i64, i64>(&*store, name)?.call(store, argument)
}

/// What `locals` answers: the value and all locals as they were saved.
fn locals(n: i64) -> i64 {
    let powers = std::iter::successors(Some(n + 1), |power| Some(power * 3)).take(12);
    1000 + powers.sum::<i64>() + 3 * n
}

#[test]
fn guests_go_on_where_they_were() -> Result<()> {
    let cases: &[(&str, i64, i64)] = &[
        ("locals", 5, locals(5)),
        ("locals", -77, locals(-77)),
        ("arguments", 12, 12 * 10_000 + 31 * 100 + 41),
        ("deep", 2000, 2000 * 2001 / 2),
        ("returned", 9, 9 * 4 + 5),
        ("pairs", 1000, 1005 + 1000),
        ("many", 100, 100 + 3),
        ("many_frames", 100, 100),
        ("nested", 300, 300),
        ("through_host", 6, 42 + 2),
        ("stopped_by_host", 8, 9 * 100 + 3),
        ("exception", 31, 31),
        ("handler", 32, 32),
        ("state", 0, 56),
        ("outer_and_many", 500, 503),
        ("direct_outer_and_many", 500, 503),
    ];
    for tier in tiers() {
        let engine = engine(tier)?;
        for &(name, argument, answer) in cases {
            let (mut store, instance) = start(&engine)?;
            let answered = call(&mut store, &instance, name, argument);
            let answered = answered.unwrap_or_else(|why| panic!("{tier:?} {name}: {why:?}"));
            assert_eq!(answered, answer, "{tier:?} {name}");
            // What was kept went with the call.
            assert_eq!(raw::checkpoints_kept(&mut store), (0, 0), "{tier:?} {name}");
            let throws = matches!(name, "exception" | "handler");
            assert_eq!(store.meter().host_bytes > 0, throws, "{tier:?} {name}");
        }
    }
    Ok(())
}

#[test]
fn host_functions_between_are_left_by_the_rules_of_rust() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        call(&mut store, &instance, "through_host", 1)?;
        assert_eq!(store.data().dropped.load(Ordering::Relaxed), 1, "{tier:?}");
        // The same guest goes on as any other.
        assert_eq!(call(&mut store, &instance, "locals", 5)?, locals(5), "{tier:?}");
    }
    Ok(())
}

#[test]
fn functions_that_get_better_meanwhile_go_on() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        for _ in 0..3 {
            store.data_mut().value = 0;
            let memory = instance.get_memory(&store, "memory").expect("a memory");
            memory.write(&mut store, 0, &[0; 4])?;
            assert_eq!(call(&mut store, &instance, "pairs", 100_000)?, 200_005, "{tier:?}");
        }
    }
    Ok(())
}

#[test]
fn what_is_kept_is_bounded() -> Result<()> {
    for tier in tiers() {
        let engine = engine(tier)?;
        // Compilers built for debugging take their time.
        let most = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
        let count = if matches!(tier, Tier::Auto) { most } else { 10_000 };
        // The last 64 that the same code made, in up to four versions of it.
        let cases = [
            // In one frame.
            ("many", count, 256, 1 << 20),
            // In frames that have returned.
            ("many_frames", 10_000, 256, 1 << 20),
            // In frames that are all there: their stacks are shared.
            ("nested", 1000, 1001, 8 << 20),
        ];
        for (name, count, checkpoints_max, bytes_max) in cases {
            let (mut store, instance) = start(&engine)?;
            call(&mut store, &instance, name, count)?;
            let (checkpoints, bytes) = store.data().most;
            assert!(checkpoints <= checkpoints_max, "{tier:?} {name}: {checkpoints}");
            assert!(bytes <= bytes_max, "{tier:?} {name}: {bytes} bytes");
        }
    }
    Ok(())
}

#[test]
fn the_limits_of_the_store_count() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        store.set_limits(StoreLimits { host_bytes_max: 100_000, ..StoreLimits::default() });
        // Frame within frame until there is no room; the outermost is there still.
        let depth = call(&mut store, &instance, "nested", 5000)?;
        assert!((10..1000).contains(&depth), "{tier:?}: {depth}");
        // In one place old ones make room.
        assert_eq!(call(&mut store, &instance, "many", 5000)?, 5003, "{tier:?}");
        assert_eq!(store.meter().host_bytes, 0, "{tier:?}");
        store.set_limits(StoreLimits { host_bytes_max: 100, ..StoreLimits::default() });
        assert_eq!(call(&mut store, &instance, "answer", 5)?, 1, "{tier:?}");
    }
    Ok(())
}

/// However little was left when there was no room for another.
#[test]
fn what_has_returned_makes_room() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        for host_bytes_max in (100_000..102_000).step_by(16) {
            store.set_limits(StoreLimits { host_bytes_max, ..StoreLimits::default() });
            let refused = call(&mut store, &instance, "after_nested", 5000)?;
            assert_eq!(refused, 0, "{tier:?}: of {host_bytes_max}");
        }
    }
    Ok(())
}

#[test]
fn keys_name_what_they_named_or_nothing() -> Result<()> {
    for tier in tiers() {
        let engine = engine(tier)?;
        let mut linker = linker(&engine)?;
        // Tries all keys but the right one, then those of another store.
        linker.func_replace(
            "host",
            "jump",
            |mut caller: Caller<'_, Host>, number: i32, value: i32| -> Result<()> {
                let right = caller.data().keys[&number].0;
                let CheckpointKey(foreign) = caller.data().keys[&99];
                let wrong = (0..128).map(|bit| match bit {
                    0..64 => [right[0] ^ 1 << bit, right[1]],
                    _ => [right[0], right[1] ^ 1 << (bit - 64)],
                });
                let wrong = wrong.chain([[0, 0], [0, right[1]], [right[1], right[0]], foreign]);
                for key in wrong {
                    assert!(raw::restore(&mut caller, CheckpointKey(key)).is_none(), "{key:?}");
                }
                jump(caller, number, value)
            },
        )?;
        let module = Module::new(&engine, TEXT)?;
        let mut stores = Vec::new();
        for _ in 0..2 {
            let mut store = Store::new(&engine, Host::default())?;
            store.data_mut().keys.insert(99, CheckpointKey([7, 7]));
            let instance = linker.instantiate(&mut store, &module)?;
            assert_eq!(call(&mut store, &instance, "locals", 5)?, locals(5), "{tier:?}");
            stores.push((store, instance));
        }
        let other = stores[0].0.data().keys[&0];
        let (store, instance) = &mut stores[1];
        store.data_mut().keys.insert(99, other);
        assert_eq!(call(store, instance, "locals", 5)?, locals(5), "{tier:?}");
    }
    Ok(())
}

#[test]
fn what_has_ended_is_gone() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        // Of a call that the host made in between.
        let ended = call(&mut store, &instance, "ended", 1).expect_err("nowhere to go");
        assert_eq!(ended.to_string(), "the checkpoint is gone", "{tier:?}");
        // Of the host's last call, although the next has its frames at the same place.
        call(&mut store, &instance, "direct", 1)?;
        let back = instance.get_typed_func::<(), ()>(&store, "back")?;
        let gone = back.call(&mut store, ()).expect_err("nowhere to go");
        assert_eq!(gone.to_string(), "the checkpoint is gone", "{tier:?}");
        assert_eq!(raw::checkpoints_kept(&mut store), (0, 0), "{tier:?}");
    }
    Ok(())
}

#[test]
fn functions_that_do_not_capture_make_none() -> Result<()> {
    for tier in tiers() {
        let engine = engine(tier)?;
        let mut linker = linker(&engine)?;
        linker.func_replace("host", "save", save)?;
        let mut store = Store::new(&engine, Host::default())?;
        let instance = linker.instantiate(&mut store, &Module::new(&engine, TEXT)?)?;
        assert_eq!(call(&mut store, &instance, "answer", 1)?, 2, "{tier:?}");
        assert!(store.data().keys.is_empty(), "{tier:?}");
        // Called by nobody but the host, a function that captures has nothing to note either.
        let save = Func::wrap(&mut store, Capturing(save)).typed::<i32, i32>(&store)?;
        assert_eq!(save.call(&mut store, 1)?, 2, "{tier:?}");
    }
    Ok(())
}

#[test]
fn a_hook_goes_on_elsewhere() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        let back = instance.get_typed_func::<(), ()>(&store, "back")?;
        store.on_poll(move |mut caller| {
            // Before there is anything to go back to, the guest goes on.
            let is_saved = caller.data().keys.contains_key(&0);
            if is_saved { back.call(&mut caller, ()) } else { Ok(()) }
        });
        for round in 1..50 {
            store.data_mut().keys.clear();
            let handle = store.interrupt_handle();
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let caller = std::thread::spawn(move || {
                while stopped
                    .recv_timeout(Duration::from_micros(300))
                    .is_err_and(|why| why == std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    handle.call_back();
                }
            });
            let answer = call(&mut store, &instance, "interrupted", round);
            drop(stop);
            caller.join().expect("no panic");
            assert_eq!(answer?, round * 11 + 4, "{tier:?}");
        }
    }
    Ok(())
}

#[test]
fn traps_after_the_second_return_have_their_backtrace() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        let error = call(&mut store, &instance, "traps", 0).expect_err("it traps");
        assert_eq!(error.trap_code(), Some(TrapCode::MemoryOutOfBounds), "{tier:?}");
        let trace = error.backtrace().expect("it has one");
        let names: Vec<_> = trace.frames().iter().map(|frame| frame.func_name()).collect();
        assert_eq!(names, [Some("trap"), Some("saves_and_traps"), Some("traps")], "{tier:?}");
    }
    Ok(())
}

#[test]
fn fuel_is_spent_once_and_for_all() -> Result<()> {
    let mut left = Vec::new();
    for tier in tiers() {
        let engine = Engine::new(Config::new().tier(tier).fuel(true))?;
        let (mut store, instance) = start(&engine)?;
        store.set_fuel(20_000)?;
        assert_eq!(call(&mut store, &instance, "pairs", 100)?, 205, "{tier:?}");
        left.push(store.fuel());
        let error = call(&mut store, &instance, "for_ever", 0).expect_err("it does not end");
        assert_eq!(error.trap_code(), Some(TrapCode::OutOfFuel), "{tier:?}");
    }
    assert!(left[0] < 20_000 - 100 * 5, "{left:?}");
    assert!(left.windows(2).all(|pair| pair[0] == pair[1]), "{left:?}");
    Ok(())
}

#[test]
fn a_guest_that_goes_back_for_ever_is_stopped() -> Result<()> {
    for tier in tiers() {
        let (mut store, instance) = start(&engine(tier)?)?;
        let deadline = store.set_deadline(Duration::from_millis(50))?;
        let error = call(&mut store, &instance, "for_ever", 0).expect_err("it does not end");
        assert_eq!(error.trap_code(), Some(TrapCode::DeadlineExceeded), "{tier:?}");
        drop(deadline);
        assert_eq!(call(&mut store, &instance, "locals", 5)?, locals(5), "{tier:?}");
    }
    Ok(())
}
