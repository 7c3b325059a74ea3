//! Exceptions on every tier: what is caught where, with what, and what becomes of the rest.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

use wasmoor::*;

fn engines(configure: impl Fn(&mut Config)) -> Vec<(String, Engine)> {
    let mut engines = Vec::new();
    let mixed = raw::mixed_tier(raw::seed());
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing, mixed] {
        for eager in [false, true] {
            let mut config = Config::new();
            config.tier(tier).eager(eager);
            configure(&mut config);
            let engine = Engine::new(&config).expect("an engine");
            engines.push((format!("{tier:?}{}", if eager { ", eager" } else { "" }), engine));
        }
    }
    engines
}

/// Runs a test on every tier; failures name it.
fn on_tiers(test: impl Fn(&Engine) -> Result<()>) {
    for (name, engine) in engines(|_| ()) {
        let run = std::panic::AssertUnwindSafe(|| test(&engine));
        match std::panic::catch_unwind(run) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("tier {name}: {error:?}"),
            Err(panic) => {
                eprintln!("tier {name}:");
                std::panic::resume_unwind(panic)
            }
        }
    }
}

fn instantiate(engine: &Engine, text: &str) -> Result<(Store<()>, Instance)> {
    let module = Module::new(engine, text)?;
    let mut store = Store::new(engine, ())?;
    let instance = Instance::new(&mut store, &module, &[])?;
    Ok((store, instance))
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, params: &[Val]) -> Result<Val> {
    let func = instance.get_func(&*store, name).expect("an export");
    let mut results = [Val::I32(0)];
    func.call(store, params, &mut results)?;
    Ok(results[0])
}

fn exception(error: &Error) -> &Exception {
    match error.kind() {
        ErrorKind::Exception(exception) => exception,
        _ => panic!("no exception: {error:?}"),
    }
}

/// Locals of every kind are what they were when something was thrown, wherever a tier keeps them.
#[test]
fn locals_survive_what_is_thrown() {
    const TEXT: &str = r#"(module
        (tag $e (param i64 f64 v128))
        (func $throw (param i32)
            (if (i32.eqz (i32.rem_u (local.get 0) (i32.const 3)))
                (then (throw $e (i64.extend_i32_u (local.get 0)) (f64.const 2.5)
                    (v128.const i32x4 1 2 3 4)))))
        (func (export "run") (param $n i32) (result f64)
            (local $i i32) (local $a i64) (local $b i64) (local $c i64) (local $d i64)
            (local $x f64) (local $y f64) (local $v v128) (local $caught v128)
            (loop $next
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (local.set $a (i64.add (local.get $a) (i64.const 1)))
                (local.set $b (i64.add (local.get $b) (local.get $a)))
                (local.set $x (f64.add (local.get $x) (f64.const 1)))
                (local.set $v (i32x4.add (local.get $v) (v128.const i32x4 1 1 1 1)))
                (block $h (result i64 f64 v128)
                    (try_table (catch $e $h)
                        (local.set $c (i64.add (local.get $c) (i64.const 7)))
                        (call $throw (local.get $i))
                        (local.set $d (i64.add (local.get $d) (local.get $c)))
                        (call $throw (i32.add (local.get $i) (i32.const 1)))
                        (local.set $y (f64.add (local.get $y) (f64.const 100))))
                    (i64.const 1000) (f64.const 0.25) (v128.const i32x4 0 0 0 1))
                (local.set $caught (i32x4.add (local.get $caught)))
                (local.set $x (f64.add (local.get $x)))
                (local.set $b (i64.add (local.get $b)))
                (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
            (f64.add (f64.add (f64.convert_i64_s (i64.add (local.get $b) (local.get $d)))
                (f64.add (local.get $x) (local.get $y)))
                (f64.convert_i32_s (i32.add
                    (i32x4.extract_lane 3 (local.get $caught))
                    (i32x4.extract_lane 1 (local.get $v)))))))"#;
    let (mut b, mut c, mut d, mut x, mut y, mut lanes) = (0i64, 0i64, 0i64, 0f64, 0f64, 0i64);
    for i in 1..=1000i64 {
        b += i;
        x += 1.0;
        c += 7;
        let thrown = if i % 3 == 0 {
            Some(i)
        } else {
            d += c;
            ((i + 1) % 3 == 0).then_some(i + 1)
        };
        match thrown {
            Some(value) => (b, x, lanes) = (b + value, x + 2.5, lanes + 4),
            None => (y, b, x, lanes) = (y + 100.0, b + 1000, x + 0.25, lanes + 1),
        }
    }
    let expected = (b + d) as f64 + x + y + (lanes + 1000) as f64;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        let run = instance.get_typed_func::<i32, f64>(&store, "run")?;
        assert_eq!(run.call(&mut store, 1000)?, expected);
        Ok(())
    });
}

#[test]
fn what_nobody_catches_names_its_tag_and_its_frames() {
    const TEXT: &str = r#"(module
        (tag $oops (export "oops") (param i32 f32))
        (tag $other)
        (func $inner (throw $oops (i32.const 7) (f32.const 1.5)))
        (func (export "run") (result i32)
            (block $h (try_table (catch $other $h) (call $inner)))
            (i32.const 0)))"#;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        let error = call(&mut store, instance, "run", &[]).expect_err("an exception");
        assert_eq!(error.to_string(), "uncaught wasm exception: oops(7, 1.5)");
        let frames = exception(&error).backtrace.frames();
        let names: Vec<_> = frames.iter().map(Frame::func_name).collect();
        assert_eq!(names, [Some("inner"), None]);
        let exn = ExnRef::from_error(&store, &error).expect("an exception of the store");
        assert_eq!(Some(exn.tag(&store)?), instance.get_tag(&store, "oops"));
        let values = exn.values(&store)?;
        assert!(matches!(values[..], [Val::I32(7), Val::F32(bits)] if bits == 1.5f32.to_bits()));
        Ok(())
    });
}

/// Traps, and what the host stops, are not exceptions.
#[test]
fn traps_are_not_caught() {
    const TEXT: &str = r#"(module
        (func $trap unreachable)
        (func $deep (call $deep))
        (func $caught (param i32) (result i32)
            (block $h (try_table (catch_all $h)
                (if (local.get 0) (then (call $trap)) (else (call $deep)))))
            (i32.const 1))
        (func (export "run") (param i32) (result i32) (call $caught (local.get 0))))"#;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        for (param, code) in [(1, TrapCode::Unreachable), (0, TrapCode::StackOverflow)] {
            let error = call(&mut store, instance, "run", &[Val::I32(param)]).expect_err("a trap");
            assert_eq!(error.trap_code(), Some(code), "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_null_reference_cannot_be_thrown() {
    const TEXT: &str = r#"(module (func (export "run") (result i32)
        (block $h (try_table (catch_all $h) (throw_ref (ref.null exn)))) (i32.const 1)))"#;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        let error = call(&mut store, instance, "run", &[]).expect_err("a trap");
        assert_eq!(error.trap_code(), Some(TrapCode::NullReference));
        Ok(())
    });
}

/// A hundred thousand frames between `throw` and `catch`, of functions with and without `try`.
#[test]
fn deep_stacks_are_unwound() {
    const TEXT: &str = r#"(module
        (tag $e (param i32)) (tag $never)
        (func $down (param i32 i32)
            (if (i32.eqz (local.get 0)) (then (throw $e (local.get 1))))
            (block $h (try_table (catch $never $h)
                (call $down2 (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))))
        (func $down2 (param i32 i32)
            (if (i32.eqz (local.get 0)) (then (throw $e (local.get 1))))
            (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
        (func (export "run") (param i32) (result i32)
            (block $h (result i32) (try_table (catch $e $h)
                (call $down (local.get 0) (i32.const 42))) (i32.const 0))))"#;
    let test = || {
        for (name, engine) in engines(|config| {
            config.max_stack(200 << 20);
        }) {
            let run = || -> Result<()> {
                let (mut store, instance) = instantiate(&engine, TEXT)?;
                let result = call(&mut store, instance, "run", &[Val::I32(100_000)])?;
                assert_eq!(result.i32(), Some(42), "tier {name}");
                Ok(())
            };
            run().unwrap_or_else(|error| panic!("tier {name}: {error:?}"));
        }
    };
    let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(test);
    thread.expect("a thread").join().expect("no panic");
}

#[test]
fn a_thousand_values_are_carried() {
    let params = "i32 i64 f32 f64 ".repeat(250);
    let values: String = (0..250)
        .map(|i| format!("(i32.const {i}) (i64.const {i}) (f32.const {i}) (f64.const {i})"))
        .collect();
    let text = format!(
        r#"(module (tag $e (param {params}))
            (func $throw (throw $e {values}))
            (func (export "run") (result {params})
                (block $h (result {params}) (try_table (catch $e $h) (call $throw)) unreachable)))"#
    );
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, &text)?;
        let run = instance.get_func(&store, "run").expect("an export");
        let mut results = vec![Val::I32(0); 1000];
        run.call(&mut store, &[], &mut results)?;
        for (number, result) in results.iter().enumerate() {
            let i = number as i64 / 4;
            let found = match *result {
                Val::I32(value) => i64::from(value),
                Val::I64(value) => value,
                Val::F32(bits) => f32::from_bits(bits) as i64,
                Val::F64(bits) => f64::from_bits(bits) as i64,
                _ => -1,
            };
            assert_eq!(found, i, "result {number}");
        }
        Ok(())
    });
}

/// A tail call leaves the `try` that it stands in.
#[test]
fn tail_calls_leave_the_try() {
    const TEXT: &str = r#"(module
        (tag $e)
        (func $throw (result i32) (throw $e))
        (func $tail (result i32)
            (block $h (try_table (catch $e $h) (return_call $throw))) (i32.const 1))
        (func (export "run") (result i32)
            (block $h (try_table (catch $e $h) (return (call $tail)))) (i32.const 2)))"#;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        assert_eq!(call(&mut store, instance, "run", &[])?.i32(), Some(2));
        Ok(())
    });
}

/// Tags are told apart by identity: two of one type, and one under two names.
#[test]
fn tags_cross_instances_by_identity() {
    const THROWER: &str = r#"(module
        (tag $a (export "a") (param i32)) (tag $b (export "b") (param i32))
        (func (export "throw") (param i32)
            (if (local.get 0) (then (throw $a (i32.const 1))) (else (throw $b (i32.const 2))))))"#;
    const CATCHER: &str = r#"(module
        (import "m" "a" (tag $a (param i32)))
        (import "m" "a" (tag $same (param i32)))
        (tag $own (param i32))
        (import "m" "throw" (func $throw (param i32)))
        (func (export "run") (param i32) (result i32)
            (block $own (result i32) (block $same (result i32) (block $all
                (try_table (catch $own $own) (catch $same $same) (catch $a $own) (catch_all $all)
                    (call $throw (local.get 0)))
                (return (i32.const -1)))
                (return (i32.const 30)))
                (return (i32.add (i32.const 20))))
            (i32.add (i32.const 10))))"#;
    let catcher = CATCHER.replace("(tag $own (param i32))\n", "");
    let catcher = catcher.replace("(func (export", "(tag $own (param i32)) (func (export");
    on_tiers(|engine| {
        let mut store = Store::new(engine, ())?;
        let mut linker = Linker::new(engine);
        let thrower = Instance::new(&mut store, &Module::new(engine, THROWER)?, &[])?;
        linker.instance(&store, "m", thrower)?;
        let instance = linker.instantiate(&mut store, &Module::new(engine, &catcher)?)?;
        assert_eq!(call(&mut store, instance, "run", &[Val::I32(1)])?.i32(), Some(21));
        assert_eq!(call(&mut store, instance, "run", &[Val::I32(0)])?.i32(), Some(30));
        Ok(())
    });
}

/// RT-16: a tag of another type is no import.
#[test]
fn imported_tags_must_have_the_same_type() {
    on_tiers(|engine| {
        let mut store = Store::new(engine, ())?;
        for (given, wanted) in
            [("i32", "i64"), ("i32", ""), ("i32", "i32 i32"), ("externref", "exnref")]
        {
            let ty = |list: &str| match list {
                "" => FuncType::new([], []),
                "i32 i32" => FuncType::new([ValType::I32, ValType::I32], []),
                "externref" => FuncType::new([ValType::EXTERNREF], []),
                _ => FuncType::new([ValType::I32], []),
            };
            let tag = Tag::new(&mut store, ty(given))?;
            let text = format!(r#"(module (import "m" "t" (tag (param {wanted}))))"#);
            let module = Module::new(engine, text)?;
            let error = Instance::new(&mut store, &module, &[tag.into()]).expect_err("a mismatch");
            assert!(matches!(error.kind(), ErrorKind::Imports(_)), "{error}");
            let fits = format!(r#"(module (import "m" "t" (tag (param {given}))))"#);
            Instance::new(&mut store, &Module::new(engine, fits)?, &[tag.into()])?;
        }
        let with_results = FuncType::new([], [ValType::I32]);
        assert!(Tag::new(&mut store, with_results).is_err());
        Ok(())
    });
}

#[test]
fn the_start_function_may_throw() {
    const TEXT: &str = r#"(module (tag $e (export "e")) (func $start (throw $e)) (start $start))"#;
    on_tiers(|engine| {
        let error = instantiate(engine, TEXT).expect_err("an exception");
        assert_eq!(exception(&error).description, "e()");
        Ok(())
    });
}

// The host.

/// A host function that calls back, and what it does with an exception.
fn with_callback(
    engine: &Engine,
    text: &str,
    host: impl Fn(Caller<'_, ()>, Func) -> Result<()> + Send + Sync + 'static,
) -> Result<(Store<()>, Instance)> {
    let mut store = Store::new(engine, ())?;
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "call", move |caller: Caller<'_, ()>, func: Option<Func>| {
        host(caller, func.expect("a function"))
    })?;
    let instance = linker.instantiate(&mut store, &Module::new(engine, text)?)?;
    Ok((store, instance))
}

const CALLBACK: &str = r#"(module
    (import "host" "call" (func $call (param funcref)))
    (tag $e (export "e") (param i32))
    (tag $f (export "f") (param i32))
    (func $throw (export "throw") (throw $e (i32.const 5)))
    (elem declare func $throw)
    (func (export "run") (result i32)
        (block $f (result i32) (block $e (result i32)
            (try_table (catch $e $e) (catch $f $f) (call $call (ref.func $throw)))
            (return (i32.const 0)))
            (return (i32.add (i32.const 100))))
        (i32.add (i32.const 200))))"#;

/// An exception crosses a host function as an error, whose frames are left like any function's.
#[test]
fn exceptions_cross_host_functions_as_errors() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    struct Count(Arc<AtomicU32>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    on_tiers(|engine| {
        let dropped = Arc::new(AtomicU32::new(0));
        let count = dropped.clone();
        let (mut store, instance) = with_callback(engine, CALLBACK, move |mut caller, func| {
            let _count = Count(count.clone());
            func.call(&mut caller, &[], &mut [])
        })?;
        for round in 1..=100 {
            assert_eq!(call(&mut store, instance, "run", &[])?.i32(), Some(105));
            assert_eq!(dropped.load(Ordering::Relaxed), round);
        }
        Ok(())
    });
}

#[test]
fn host_functions_catch_and_throw() {
    on_tiers(|engine| {
        let (mut store, instance) = with_callback(engine, CALLBACK, |mut caller, func| {
            let error = func.call(&mut caller, &[], &mut []).expect_err("an exception");
            let caught = ExnRef::from_error(&caller, &error).expect("an exception");
            let Val::I32(value) = caught.values(&caller)?[0] else { panic!("another value") };
            caught.release(&caller);
            let Some(Extern::Tag(tag)) = caller.get_export("f") else { panic!("no tag") };
            let thrown = ExnRef::new(&mut caller, tag, &[Val::I32(value + 1)])?;
            let error = thrown.throw(&mut caller);
            thrown.release(&caller);
            Err(error)
        })?;
        assert_eq!(call(&mut store, instance, "run", &[])?.i32(), Some(206));
        Ok(())
    });
}

/// Other errors of host functions are no exceptions; those of another store neither.
#[test]
fn foreign_errors_are_not_caught() {
    const TEXT: &str = r#"(module
        (import "host" "call" (func $call (param funcref)))
        (tag $e (param i32))
        (func $throw (export "throw") (result i32) (throw $e (i32.const 5)))
        (elem declare func $throw)
        (func (export "run") (result i32)
            (block $all (try_table (catch_all $all) (call $call (ref.func $throw))))
            (i32.const 7)))"#;
    on_tiers(|engine| {
        let (mut store, instance) =
            with_callback(engine, TEXT, |_, _| Err(Error::host("the disk is full")))?;
        let error = call(&mut store, instance, "run", &[]).expect_err("an error");
        assert_eq!(error.to_string(), "the disk is full");
        let other = engine.clone();
        let (mut store, instance) = with_callback(engine, TEXT, move |_, _| {
            let (mut store, instance) = with_callback(&other, TEXT, |_, _| Ok(()))?;
            call(&mut store, instance, "throw", &[]).map(drop)
        })?;
        let error = call(&mut store, instance, "run", &[]).expect_err("an error");
        assert!(matches!(error.kind(), ErrorKind::Exception(_)), "{error}");
        assert!(ExnRef::from_error(&store, &error).is_none());
        Ok(())
    });
}

// Memory.

/// Throwing and catching for ever takes no memory: with and without references, in frames and in
/// exceptions that hold exceptions.
#[test]
fn what_nobody_refers_to_is_freed() {
    const TEXT: &str = r#"(module
        (tag $e (param i32)) (tag $chain (param exnref))
        (func $throw (param i32) (throw $e (local.get 0)))
        (func (export "plain") (param $n i32)
            (loop $next
                (block $h (result i32) (try_table (catch $e $h) (call $throw (local.get $n)))
                    unreachable)
                (br_if $next (local.tee $n (i32.sub (i32.const 1))))))
        (func (export "cleanup") (param $n i32) (local $x exnref)
            (loop $next
                (block $h (result i32)
                    (try_table (catch $e $h)
                        (block $c (result exnref)
                            (try_table (catch_all_ref $c) (call $throw (local.get $n)))
                            unreachable)
                        (local.set $x)
                        (throw_ref (local.get $x)))
                    unreachable)
                drop
                (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
        (func (export "chain") (param $n i32)
            (loop $next
                (block $h (result exnref)
                    (try_table (catch $chain $h)
                        (block $c (result exnref)
                            (try_table (catch_all_ref $c) (call $throw (local.get $n)))
                            unreachable)
                        (throw $chain))
                    unreachable)
                drop
                (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;
    let text = TEXT.replace(
        "(br_if $next (local.tee $n (i32.sub (i32.const 1))))",
        "drop (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1))))",
    );
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, &text)?;
        store.set_limits(StoreLimits { host_bytes_max: 1 << 18, ..StoreLimits::default() });
        for name in ["plain", "cleanup", "chain"] {
            let func = instance.get_typed_func::<i32, ()>(&store, name)?;
            func.call(&mut store, 10_000)?;
        }
        Ok(())
    });
}

/// What a table, a global, a local far up the stack or an exception refers to stays.
#[test]
fn what_is_referred_to_is_kept() {
    const TEXT: &str = r#"(module
        (tag $e (param i32)) (tag $chain (param exnref))
        (table $t 100 exnref)
        (global $g (mut exnref) (ref.null exn))
        (func $make (param i32) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $e (local.get 0))) unreachable))
        (func $wrap (param exnref) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $chain (local.get 0))) unreachable))
        (func $value (param exnref) (result i32)
            (block $e (result i32) (block $c (result exnref)
                (try_table (catch $e $e) (catch $chain $c) (throw_ref (local.get 0))) unreachable)
                (return_call $value)))
        (func $churn (local $n i32)
            (loop $next
                (drop (call $make (i32.const -1)))
                (br_if $next (i32.lt_u
                    (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 20000)))))
        (func $keep (param $kept exnref) (result i32) (call $churn) (call $value (local.get $kept)))
        (func (export "run") (param $i i32) (result i32) (local $sum i32)
            (table.set $t (i32.const 50) (call $make (i32.const 1)))
            (global.set $g (call $wrap (call $wrap (call $make (i32.const 20)))))
            (local.set $sum (call $keep (call $wrap (call $make (i32.const 300)))))
            (local.set $sum (i32.add (local.get $sum)
                (call $value (table.get $t (i32.const 50)))))
            (i32.add (local.get $sum) (call $value (global.get $g)))))"#;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        store.set_limits(StoreLimits { host_bytes_max: 1 << 20, ..StoreLimits::default() });
        assert_eq!(call(&mut store, instance, "run", &[Val::I32(0)])?.i32(), Some(321));
        Ok(())
    });
}

/// A guest that keeps all it throws reaches its limit, and traps.
#[test]
fn exceptions_are_charged() {
    const TEXT: &str = r#"(module
        (tag $chain (param exnref))
        (func (export "run") (local $x exnref)
            (loop $next
                (block $h (result exnref)
                    (try_table (catch_all_ref $h) (throw $chain (local.get $x))) unreachable)
                (local.set $x)
                (br $next))))"#;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        store.set_limits(StoreLimits { host_bytes_max: 1 << 20, ..StoreLimits::default() });
        let run = instance.get_typed_func::<(), ()>(&store, "run")?;
        let error = run.call(&mut store, ()).expect_err("a trap");
        assert_eq!(error.trap_code(), Some(TrapCode::LimitExceeded), "{error}");
        Ok(())
    });
}

/// The host's references stay; those that it gives back go, and are then found to be gone.
#[test]
fn references_of_the_host_stay_until_they_are_released() {
    const TEXT: &str = r#"(module
        (tag $e (param i32))
        (func $make (export "make") (param i32) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $e (local.get 0))) unreachable))
        (func (export "throw") (param exnref) (result i32) (throw_ref (local.get 0)))
        (func (export "churn") (result i32) (local $n i32)
            (loop $next
                (drop (call $make (i32.const -1)))
                (br_if $next (i32.lt_u
                    (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000))))
            (i32.const 0)))"#;
    on_tiers(|engine| {
        let (mut store, instance) = instantiate(engine, TEXT)?;
        let made = call(&mut store, instance, "make", &[Val::I32(9)])?;
        let Val::ExnRef(Some(exn)) = made else { panic!("no exception") };
        let error = call(&mut store, instance, "throw", &[made]).expect_err("an exception");
        call(&mut store, instance, "churn", &[])?;
        assert!(matches!(exn.values(&store)?[..], [Val::I32(9)]));
        exn.release(&store);
        call(&mut store, instance, "churn", &[])?;
        // The error still holds it.
        assert!(matches!(exn.values(&store)?[..], [Val::I32(9)]));
        drop(error);
        // A word on the stack that happens to hold a reference may keep a few.
        let mut many = vec![exn];
        for number in 0..99 {
            let made = call(&mut store, instance, "make", &[Val::I32(number)])?;
            let Val::ExnRef(Some(exn)) = made else { panic!("no exception") };
            exn.release(&store);
            many.push(exn);
        }
        call(&mut store, instance, "churn", &[])?;
        let gone: Vec<_> = many.iter().filter(|exn| exn.values(&store).is_err()).collect();
        assert!(gone.len() > 90, "only {} are gone", gone.len());
        assert!(gone[0].tag(&store).is_err());
        let stale = [Val::ExnRef(Some(*gone[0]))];
        let refused = call(&mut store, instance, "throw", &stale).expect_err("it is gone");
        assert!(matches!(refused.kind(), ErrorKind::Usage(_)), "{refused}");
        Ok(())
    });
}

/// RT-20: what was used up to a throw is paid, and on every tier the same.
#[test]
fn fuel_is_the_same_on_every_tier() {
    const TEXT: &str = r#"(module
        (tag $e (param i32))
        (func $throw (param i32)
            (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 1)))))
        (func (export "run") (param i32) (result i32)
            (block $h (result i32)
                (try_table (catch $e $h)
                    (call $throw (local.get 0))
                    (call $throw (i32.sub (local.get 0) (i32.const 1))))
                (i32.const 5))
            (i32.add (i32.const 1))))"#;
    let mut used = Vec::new();
    for (name, engine) in engines(|config| {
        config.fuel(true);
    }) {
        let run = || -> Result<Vec<u64>> {
            let (mut store, instance) = instantiate(&engine, TEXT)?;
            (0..3)
                .map(|param| {
                    store.set_fuel(1000)?;
                    call(&mut store, instance, "run", &[Val::I32(param)])?;
                    Ok(1000 - store.fuel())
                })
                .collect()
        };
        used.push(run().unwrap_or_else(|error| panic!("tier {name}: {error:?}")));
    }
    // 6 up to the `end` of `try_table`, 3 for a call that does not throw and 5 for one that does,
    // 1 for the constant behind, 2 for the addition.
    assert_eq!(used[0], [6 + 5 + 2, 6 + 3 + 5 + 2, 6 + 3 + 3 + 1 + 2]);
    assert!(used.iter().all(|other| *other == used[0]), "{used:?}");
}

/// Exceptions in the typed API: parameters and results of both sides, which are kept like any that
/// the host is given.
#[test]
fn exceptions_pass_through_typed_functions() {
    const TEXT: &str = r#"(module
        (import "host" "next" (func $next (param exnref) (result exnref)))
        (tag $e (export "e") (param i32))
        (func $make (export "make") (param i32) (result exnref)
            (block $h (result exnref)
                (try_table (catch_all_ref $h) (throw $e (local.get 0))) unreachable))
        (func (export "value") (param exnref) (result i32)
            (block $h (result i32)
                (try_table (catch $e $h) (throw_ref (call $next (local.get 0)))) unreachable))
        (func (export "churn") (local $n i32)
            (loop $next
                (drop (call $make (i32.const -1)))
                (br_if $next (i32.lt_u
                    (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000))))))"#;
    on_tiers(|engine| {
        let mut store = Store::new(engine, ())?;
        let mut linker = Linker::new(engine);
        linker.func_wrap(
            "host",
            "next",
            |mut caller: Caller<'_, ()>, exn: Option<ExnRef>| -> Result<Option<ExnRef>> {
                let Some(exn) = exn else { return Ok(None) };
                let (tag, values) = (exn.tag(&caller)?, exn.values(&caller)?);
                let Some(value) = values[0].i32() else { panic!("another value") };
                Ok(Some(ExnRef::new(&mut caller, tag, &[Val::I32(value + 1)])?))
            },
        )?;
        let instance = linker.instantiate(&mut store, &Module::new(engine, TEXT)?)?;
        let make = instance.get_typed_func::<i32, Option<ExnRef>>(&store, "make")?;
        let value = instance.get_typed_func::<Option<ExnRef>, i32>(&store, "value")?;
        let churn = instance.get_typed_func::<(), ()>(&store, "churn")?;
        let made = make.call(&mut store, 41)?.expect("an exception");
        churn.call(&mut store, ())?;
        assert_eq!(value.call(&mut store, Some(made))?, 42);
        let error = value.call(&mut store, None).expect_err("a trap");
        assert_eq!(error.trap_code(), Some(TrapCode::NullReference), "{error}");
        // What was released and is gone is refused.
        let many: Vec<ExnRef> = (0..50)
            .map(|number| make.call(&mut store, number).map(|made| made.expect("an exception")))
            .collect::<Result<_>>()?;
        many.iter().for_each(|exn| exn.release(&store));
        churn.call(&mut store, ())?;
        let gone = many.iter().find(|exn| exn.tag(&store).is_err()).expect("most are gone");
        let error = value.call(&mut store, Some(*gone)).expect_err("a refusal");
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        // And what belongs to another store.
        let mut other = Store::new(engine, ())?;
        let tag = Tag::new(&mut other, FuncType::new([], []))?;
        let foreign = ExnRef::new(&mut other, tag, &[])?;
        let error = value.call(&mut store, Some(foreign)).expect_err("a refusal");
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        assert!(instance.get_typed_func::<Option<ExternRef>, i32>(&store, "value").is_err());
        Ok(())
    });
}

/// What is thrown close to the end of the stack is caught, or the stack has overflowed: at every
/// depth, with exceptions that carry much and handlers in every frame.
#[test]
fn throwing_at_the_end_of_the_stack() {
    const TEXT: &str = r#"(module
        (tag $e (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)) (tag $never)
        (func $down (param i32) (result i64)
            (if (i32.eqz (local.get 0)) (then (throw $e
                (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
                (i64.const 6) (i64.const 7) (i64.const 8) (i64.const 9) (i64.const 42))))
            (block $h (try_table (catch $never $h)
                (return (i64.add (call $down (i32.sub (local.get 0) (i32.const 1)))
                    (i64.const 1)))))
            unreachable)
        (func (export "run") (param i32) (result i64)
            (block $h (result i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
                (try_table (catch $e $h) (return (call $down (local.get 0)))) unreachable)
            (global.set $last)
            drop drop drop drop drop drop drop drop drop
            (global.get $last))
        (global $last (mut i64) (i64.const 0)))"#;
    for (name, engine) in engines(|config| {
        config.max_stack(128 << 10);
    }) {
        let run = || -> Result<()> {
            let (mut store, instance) = instantiate(&engine, TEXT)?;
            let run = instance.get_typed_func::<i32, i64>(&store, "run")?;
            let mut fits = |depth: i32| match run.call(&mut store, depth) {
                Ok(value) => {
                    assert_eq!(value, 42, "tier {name}, depth {depth}");
                    Ok(true)
                }
                Err(error) if error.trap_code() == Some(TrapCode::StackOverflow) => Ok(false),
                Err(error) => Err(error),
            };
            let (mut low, mut high) = (0, 1 << 16);
            while high - low > 1 {
                let middle = (low + high) / 2;
                *(if fits(middle)? { &mut low } else { &mut high }) = middle;
            }
            assert!(low > 100, "tier {name}: only {low} frames");
            for depth in low - 50..low + 50 {
                // In the mixed tier frames have another size every time.
                let fitted = fits(depth)?;
                let is_fixed = name.starts_with("Baseline") || name.starts_with("Optimizing");
                assert!(!is_fixed || fitted == (depth <= low), "tier {name}, depth {depth}");
            }
            Ok(())
        };
        run().unwrap_or_else(|error| panic!("tier {name}: {error:?}"));
    }
}
