//! Faults of other engines that became security advisories, provoked here, on every tier. The names
//! (CG-17 and so on) are those of the project's list of known attacks.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use wasmoor::*;

/// Runs a test on every tier, lazily and eagerly compiled; failures name the tier.
fn on_tiers(test: impl Fn(&Engine) -> Result<()>) {
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing, raw::mixed_tier(raw::seed())] {
        for eager in [false, true] {
            let engine = Engine::new(Config::new().tier(tier).eager(eager)).expect("an engine");
            eprintln!("tier {tier:?}, eager: {eager}");
            test(&engine).unwrap_or_else(|error| panic!("tier {tier:?}, {eager}: {error:?}"));
        }
    }
}

/// CG-17: references live across calls inside `try_table`, normal and throwing ones, while what
/// nothing refers to is looked for and freed in the callee and in the handler.
#[test]
fn references_live_across_calls_in_a_try_are_kept() {
    const TEXT: &str = r#"(module
        (type $f (func (result i32)))
        (tag $e (param i32)) (tag $refs (param exnref externref funcref))
        (elem declare func $seven)
        (func $seven (result i32) (i32.const 7))
        (func $make (param i32) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $e (local.get 0))) unreachable))
        (func $value (param exnref) (result i32)
            (block $h (result i32)
                (try_table (catch $e $h) (throw_ref (local.get 0))) unreachable))
        (func $churn (local $n i32)
            (loop $next
                (drop (call $make (i32.const -1)))
                (br_if $next (i32.lt_u
                    (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 3000)))))
        (func $callee (param $throws i32) (param $x exnref) (param $o externref)
            (call $churn)
            (if (local.get $throws)
                (then (throw $refs (local.get $x) (local.get $o) (ref.func $seven)))))
        (func (export "run") (param $throws i32) (param $o externref) (result i32 externref)
            (local $a exnref) (local $b exnref) (local $c exnref)
            (local $of externref) (local $f funcref)
            (local.set $a (call $make (i32.const 1)))
            (local.set $b (call $make (i32.const 20)))
            (block $after
                (block $h (result exnref externref funcref)
                    (try_table (catch $refs $h)
                        (local.set $c (call $make (i32.const 300)))
                        (call $callee (local.get $throws) (call $make (i32.const 4000))
                            (local.get $o)))
                    (call $make (i32.const 50000)) (local.get $o) (ref.func $seven))
                (local.set $f) (local.set $of) (local.set $b)
                (call $churn))
            (i32.add (i32.add (call $value (local.get $a)) (call $value (local.get $b)))
                (i32.add (call $value (local.get $c))
                    (call_ref $f (ref.cast_free (local.get $f)))))
            (local.get $of)))"#;
    // There are no casts: the function comes back through a table.
    let text = TEXT
        .replace("(call_ref $f (ref.cast_free (local.get $f)))", "(call $through (local.get $f))")
        .replace(
            "(func (export \"run\")",
            "(table $t 1 funcref)
            (func $through (param funcref) (result i32)
                (table.set $t (i32.const 0) (local.get 0))
                (call_indirect $t (type $f) (i32.const 0)))
            (func (export \"run\")",
        );
    on_tiers(|engine| {
        let module = Module::new(engine, &text)?;
        let mut store = Store::new(engine, ())?;
        // Little more than is alive: most must go while this runs.
        store.set_limits(StoreLimits { host_bytes_max: 1 << 20, ..StoreLimits::default() });
        let instance = Instance::new(&mut store, &module, &[])?;
        let run = instance
            .get_typed_func::<(i32, Option<ExternRef>), (i32, Option<ExternRef>)>(&store, "run")?;
        let object = ExternRef::new(&mut store, "mine")?;
        for _ in 0..3 {
            for (throws, sum) in [(0, 1 + 50_000 + 300 + 7), (1, 1 + 4_000 + 300 + 7)] {
                let (found, of) = run.call(&mut store, (throws, Some(object)))?;
                assert_eq!((found, of), (sum, Some(object)), "throws: {throws}");
            }
        }
        Ok(())
    });
}

/// CG-19: tags, as many as there may be, shift no later field: vectors, functions that escape,
/// segments and start functions behind them are where they should be.
#[test]
fn tags_shift_no_other_field() {
    on_tiers(|engine| {
        for imported in 0..3_i32 {
            for defined in 0..6_i32 {
                let imports = r#"(import "m" "t" (tag (param i64)))"#.repeat(imported as usize);
                let tags: String =
                    (0..defined).map(|i| format!("(tag $t{i} (param i32))")).collect();
                let throws: String = (0..defined)
                    .map(|i| {
                        format!(
                            "(local.set 0 (i32.add (local.get 0) (block $h (result i32)
                                (try_table (catch $t{i} $h) (throw $t{i} (i32.const {i})))
                                unreachable)))"
                        )
                    })
                    .collect();
                let text = format!(
                    r#"(module {imports}
                    (import "m" "memory" (memory 1))
                    {tags}
                    (table $t 3 funcref)
                    (global $v (mut v128) (v128.const i64x2 1 2))
                    (global $i (mut i32) (i32.const 3))
                    (global $w (mut v128) (v128.const i64x2 4 5))
                    (elem (table $t) (i32.const 0) func $escapes $two)
                    (elem $late func $two $escapes)
                    (data (i32.const 8) "\2a")
                    (data $passive "\2b")
                    (func $escapes (result i32) (i32.const 100))
                    (func $two (result i32) (i32.const 200))
                    (func $start
                        (global.set $v (i64x2.add (global.get $v) (global.get $w)))
                        (global.set $i (i32.add (global.get $i) (i32.const 1)))
                        (table.init $t $late (i32.const 1) (i32.const 0) (i32.const 2))
                        (memory.init $passive (i32.const 9) (i32.const 0) (i32.const 1)))
                    (start $start)
                    (func (export "run") (result i32 i64 i64 i32 i32) (local i32)
                        {throws}
                        (i32.add (local.get 0) (i32.add
                            (call_indirect (result i32) (i32.const 1))
                            (call_indirect (result i32) (i32.const 2))))
                        (i64x2.extract_lane 0 (global.get $v))
                        (i64x2.extract_lane 1 (global.get $v))
                        (global.get $i)
                        (i32.load16_u (i32.const 8))))"#
                );
                let mut store = Store::new(engine, ())?;
                let ty = MemoryType {
                    minimum: 1,
                    maximum: None,
                    index64: false,
                    shared: false,
                    page_size_log2: 16,
                };
                let memory = Memory::new(&mut store, ty)?;
                let tag = Tag::new(&mut store, FuncType::new([ValType::I64], []))?;
                let mut linker = Linker::new(engine);
                linker.define(&store, "m", "memory", memory)?;
                linker.define(&store, "m", "t", tag)?;
                let instance = linker.instantiate(&mut store, &Module::new(engine, text)?)?;
                let run =
                    instance.get_typed_func::<(), (i32, i64, i64, i32, i32)>(&store, "run")?;
                let sum = (0..defined).sum::<i32>() + 300;
                let found = run.call(&mut store, ())?;
                assert_eq!(found, (sum, 5, 7, 4, 0x2b2a), "{imported} and {defined} tags");
            }
        }
        Ok(())
    });
}

/// RT-01: hundreds of references pass to a host function and back at once, while what nothing
/// refers to is freed.
#[test]
fn hundreds_of_references_cross_at_once() {
    const COUNT: usize = 300;
    let list = |ty: &str| format!("{ty} ").repeat(COUNT);
    let makes: String = (0..COUNT).map(|i| format!("(call $make (i32.const {i}))")).collect();
    let gets: String = (0..COUNT).map(|i| format!("(local.get {i})")).collect();
    // The results are taken from the stack, the last one first.
    let sums = "(call $add)".repeat(COUNT);
    let text = format!(
        r#"(module
        (import "host" "pass" (func $pass (param {list}) (result {list})))
        (tag $e (param i32))
        (global $sum (mut i32) (i32.const 0))
        (func $make (param i32) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $e (local.get 0))) unreachable))
        (func $add (param exnref)
            (block $h (result i32)
                (try_table (catch $e $h) (throw_ref (local.get 0))) unreachable)
            (global.set $sum (i32.add (global.get $sum))))
        (func (export "churn") (local $n i32)
            (loop $next
                (drop (call $make (i32.const -1)))
                (br_if $next (i32.lt_u
                    (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000)))))
        (func $twice (param {list}) (result {list}) (call $pass (call $pass {gets})))
        (func (export "run") (result i32)
            (global.set $sum (i32.const 0))
            (call $twice {makes}) {sums}
            (global.get $sum)))"#,
        list = list("exnref"),
    );
    let text = text.replace(
        "(global.set $sum (i32.add (global.get $sum)))",
        "(global.get $sum) (i32.add) (global.set $sum)",
    );
    on_tiers(|engine| {
        let mut store = Store::new(engine, ())?;
        store.set_limits(StoreLimits { host_bytes_max: 1 << 20, ..StoreLimits::default() });
        let mut linker = Linker::new(engine);
        let ty = FuncType::new([ValType::EXNREF; COUNT], [ValType::EXNREF; COUNT]);
        linker.func_new("host", "pass", ty, |mut caller: Caller<'_, ()>, args, results| {
            // The host gives its own references back: those of the caller's frame remain.
            for arg in args {
                let Val::ExnRef(Some(exn)) = arg else { panic!("no exception: {arg:?}") };
                exn.release(&caller);
            }
            let churn = caller.get_export("churn").and_then(Extern::into_func);
            churn.expect("an export").call(&mut caller, &[], &mut [])?;
            for (result, arg) in results.iter_mut().zip(args.iter().rev()) {
                let Val::ExnRef(Some(exn)) = arg else { panic!("no exception: {arg:?}") };
                assert!(exn.tag(&caller).is_ok(), "it is gone");
                *result = *arg;
            }
            Ok(())
        })?;
        let instance = linker.instantiate(&mut store, &Module::new(engine, &text)?)?;
        let run = instance.get_typed_func::<(), i32>(&store, "run")?;
        for _ in 0..3 {
            assert_eq!(run.call(&mut store, ())?, (0..COUNT as i32).sum::<i32>());
        }
        Ok(())
    });
}

/// RT-15: guests are asked for attention, or stopped, at any time, also in the middle of copying,
/// filling and growing: such an operation is done as a whole or not begun.
#[test]
fn interrupted_bulk_operations_are_whole() {
    const TEXT: &str = r#"(module
        (memory (export "memory") 64 300)
        (table $t (export "table") 5000 9000 externref)
        (table $u 5000 externref)
        (data $d "0123456789abcdef")
        (global $round (export "round") (mut i32) (i32.const 0))
        (func (export "run") (param $a externref) (param $b externref)
            (loop $next
                (global.set $round (i32.add (global.get $round) (i32.const 1)))
                (memory.fill (i32.const 0) (global.get $round) (i32.const 0x200000))
                (memory.copy (i32.const 0x200000) (i32.const 0) (i32.const 0x200000))
                (table.fill $t (i32.const 0) (local.get $a) (i32.const 5000))
                (table.copy $u $t (i32.const 0) (i32.const 0) (i32.const 5000))
                (table.fill $t (i32.const 0) (local.get $b) (i32.const 5000))
                (memory.init $d (i32.const 0x200000) (i32.const 0) (i32.const 16))
                (drop (memory.grow (i32.const 1)))
                (drop (table.grow $t (local.get $b) (i32.const 3)))
                (br $next))))"#;
    on_tiers(|engine| {
        let module = Module::new(engine, TEXT)?;
        let mut store = Store::new(engine, ())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let run =
            instance.get_typed_func::<(Option<ExternRef>, Option<ExternRef>), ()>(&store, "run")?;
        let (a, b) = (ExternRef::new(&mut store, 1)?, ExternRef::new(&mut store, 2)?);
        let memory = instance.get_memory(&store, "memory").expect("an export");
        let Some(Extern::Table(table)) = instance.get_export(&store, "table") else { panic!() };
        let hooks = std::sync::Arc::new(AtomicU64::new(0));
        let counted = hooks.clone();
        store.on_poll(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        for round in 0..12 {
            let handle = store.interrupt_handle();
            let done = AtomicBool::new(false);
            let error = thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..round {
                        handle.call_back();
                        thread::sleep(Duration::from_micros(300));
                    }
                    // Until it was heard: a request before the call counts for it, too.
                    while !done.load(Ordering::Relaxed) {
                        handle.interrupt();
                        thread::sleep(Duration::from_micros(700));
                    }
                });
                let error = run.call(&mut store, (Some(a), Some(b))).expect_err("it never ends");
                done.store(true, Ordering::Relaxed);
                error
            });
            assert_eq!(error.trap_code(), Some(TrapCode::Interrupted), "{error}");
            let bytes = memory.data(&store);
            assert!(bytes[..0x20_0000].iter().all(|&byte| byte == bytes[0]), "filled in part");
            let copy = &bytes[0x20_0000..0x40_0000];
            assert!(copy[16..].iter().all(|&byte| byte == copy[16]), "copied in part");
            assert!(bytes[0x40_0000..].iter().all(|&byte| byte == 0), "grown in part");
            assert_eq!(bytes.len() as u64, memory.size(&store) << 16);
            let elements = |range: std::ops::Range<u64>| {
                let get = |index| match table.get(&store, index) {
                    Some(Val::ExternRef(object)) => object,
                    other => panic!("no element: {other:?}"),
                };
                range.map(get).collect::<Vec<_>>()
            };
            let (front, back) = (elements(0..5000), elements(5000..table.size(&store)));
            assert!(front.iter().all(|element| *element == front[0]), "filled in part");
            assert!(back.iter().all(|element| *element == Some(b)), "grown in part");
        }
        assert!(hooks.load(Ordering::Relaxed) > 0, "nobody has been asked for attention");
        Ok(())
    });
}
