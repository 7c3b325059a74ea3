//! Typed function references, tail calls through them, and values of typed references, on every
//! tier.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

use wasmoor::*;

/// Every tier with its name.
fn tiers() -> [(&'static str, Tier); 4] {
    [
        ("auto", Tier::Auto),
        ("baseline", Tier::Baseline),
        ("optimizing", Tier::Optimizing),
        ("mixed", raw::mixed_tier(raw::seed())),
    ]
}

fn engine(tier: Tier) -> Engine {
    let features = Features::default().with(Feature::Gc);
    Engine::new(Config::new().tier(tier).features(features)).expect("an engine")
}

fn trap(result: Result<impl std::fmt::Debug>) -> TrapCode {
    let error = result.expect_err("a trap");
    error.trap_code().unwrap_or_else(|| panic!("{error}"))
}

#[test]
fn null_references_trap_with_a_backtrace() -> Result<()> {
    let text = r#"(module
        (type $f (func (param i32) (result i32)))
        (func $call (export "call") (param (ref null $f)) (result i32)
            (call_ref $f (i32.const 1) (local.get 0)))
        (func $tail (export "tail") (param (ref null $f)) (result i32)
            (return_call_ref $f (i32.const 1) (local.get 0)))
        (func $non_null (export "non_null") (param (ref null $f)) (result i32)
            (drop (ref.as_non_null (local.get 0))) (i32.const 7))
        (func (export "id") (param i32) (result i32) (local.get 0)))"#;
    for (name, tier) in tiers() {
        let engine = engine(tier);
        let module = Module::new(&engine, text)?;
        let mut store = Store::new(&engine, ())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let id = instance.get_func(&store, "id").expect("an export");
        for (function, expected) in [("call", 1), ("tail", 1), ("non_null", 7)] {
            let func = instance.get_func(&store, function).expect("an export");
            let mut results = [Val::I32(0)];
            let error = func.call(&mut store, &[Val::FuncRef(None)], &mut results).unwrap_err();
            assert_eq!(error.trap_code(), Some(TrapCode::NullReference), "{name} {function}");
            let backtrace = error.backtrace().expect("traps have one").to_string();
            assert!(backtrace.contains(function), "{name}: {backtrace}");
            func.call(&mut store, &[Val::FuncRef(Some(id))], &mut results)?;
            assert_eq!(results[0].i32(), Some(expected), "{name} {function}");
        }
    }
    Ok(())
}

/// A function of another instance and one of the host's, in place of the caller: as many times as
/// one likes, with more arguments than the caller has and with fewer.
#[test]
fn tail_calls_cross_instances_and_reach_the_host() -> Result<()> {
    let params = |count: usize| format!("(param{})", " i64".repeat(count));
    let gets =
        |count: usize| -> String { (0..count).map(|i| format!("(local.get {i})")).collect() };
    // `few` and `many` of two instances call each other in turn until their first argument is 0.
    let text = format!(
        r#"(module
        (type $few (func (param i64) (result i64)))
        (type $many (func {many} (result i64)))
        (import "host" "end" (func $end (type $few)))
        (import "host" "end_many" (func $end_many (type $many)))
        (table $t (export "table") 2 funcref)
        (global $ref (export "ref") (mut (ref null $many)) (ref.null $many))
        (func $few (export "few") (type $few)
            (if (i64.eqz (local.get 0)) (then (return_call $end (i64.const 1))))
            (return_call_ref $many
                (i64.sub (local.get 0) (i64.const 1)) {args} (global.get $ref)))
        (func $many (export "many") (type $many)
            (if (i64.eqz (local.get 0)) (then (return_call_ref $many {gets} (ref.func $end_many))))
            (return_call_indirect $t (type $few)
                (i64.sub (local.get 0) (i64.const 1)) (i32.const 1)))
        (elem declare func $end_many))"#,
        many = params(20),
        args = "(i64.const 5)".repeat(19),
        gets = gets(20),
    );
    for (name, tier) in tiers() {
        let engine = engine(tier);
        let module = Module::new(&engine, &text)?;
        let mut store = Store::new(&engine, 0u32)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "end", |mut caller: Caller<'_, u32>, x: i64| {
            *caller.data_mut() += 1;
            x + 100
        })?;
        let many = FuncType::new(vec![ValType::I64; 20], [ValType::I64]);
        linker.func_new("host", "end_many", many, |_, params, results| {
            results[0] = Val::I64(params.iter().filter_map(Val::i64).sum());
            Ok(())
        })?;
        let a = linker.instantiate(&mut store, &module)?;
        let b = linker.instantiate(&mut store, &module)?;
        for (one, other) in [(a, b), (b, a)] {
            let many = other.get_func(&store, "many").expect("an export");
            let global = one.get_export(&store, "ref").and_then(Extern::into_global);
            global.expect("an export").set(&mut store, Val::FuncRef(Some(many)))?;
            let few = other.get_func(&store, "few").expect("an export");
            let table = one.get_export(&store, "table").and_then(Extern::into_table);
            table.expect("an export").set(&mut store, 1, Val::FuncRef(Some(few)))?;
        }
        let few = a.get_typed_func::<i64, i64>(&store, "few")?;
        assert_eq!(few.call(&mut store, 300_000)?, 101, "{name}");
        assert_eq!(few.call(&mut store, 300_001)?, 95, "{name}");
        assert_eq!(*store.data(), 1, "{name}");
    }
    Ok(())
}

/// Host functions that fail, or call back, in place of their caller.
#[test]
fn tail_calls_of_host_functions_that_trap_or_reenter() -> Result<()> {
    let text = r#"(module
        (type $f (func (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "host" "f" (func $f (type $f)))
        (table funcref (elem $f))
        (func (export "inner") (result i32) (i32.const 11))
        (func (export "direct") (param i32) (result i32) (return_call $f
            (local.get 0) (local.get 0) (local.get 0) (local.get 0)
            (local.get 0) (local.get 0) (local.get 0) (local.get 0)))
        (func (export "indirect") (param i32) (result i32) (return_call_indirect (type $f)
            (local.get 0) (local.get 0) (local.get 0) (local.get 0)
            (local.get 0) (local.get 0) (local.get 0) (local.get 0) (i32.const 0)))
        (func (export "ref") (param i32) (result i32) (return_call_ref $f
            (local.get 0) (local.get 0) (local.get 0) (local.get 0)
            (local.get 0) (local.get 0) (local.get 0) (local.get 0) (ref.func $f))))"#;
    for (name, tier) in tiers() {
        let engine = engine(tier);
        let module = Module::new(&engine, text)?;
        let mut store = Store::new(&engine, ())?;
        let mut linker = Linker::new(&engine);
        let ty = FuncType::new([ValType::I32; 8], [ValType::I32]);
        linker.func_new("host", "f", ty, |mut caller: Caller<'_, ()>, params, results| {
            assert!(params.iter().all(|param| param.i32() == params[0].i32()));
            match params[0].i32() {
                Some(0) => Err(Error::trap(TrapCode::Unreachable)),
                Some(1) => Err(Error::host("no")),
                _ => {
                    let inner = caller.get_export("inner").and_then(Extern::into_func);
                    inner.expect("an export").call(&mut caller, &[], results)
                }
            }
        })?;
        let instance = linker.instantiate(&mut store, &module)?;
        for function in ["direct", "indirect", "ref"] {
            let func = instance.get_typed_func::<i32, i32>(&store, function)?;
            assert_eq!(trap(func.call(&mut store, 0)), TrapCode::Unreachable, "{name} {function}");
            let error = func.call(&mut store, 1).unwrap_err();
            assert_eq!(error.to_string(), "no", "{name} {function}");
            assert_eq!(func.call(&mut store, 2)?, 11, "{name} {function}");
        }
    }
    Ok(())
}

/// `call_indirect` takes functions of subtypes, in both directions across modules.
#[test]
fn indirect_calls_accept_declared_subtypes_only() -> Result<()> {
    let types = r#"
        (type $base (sub (func (result i32))))
        (type $derived (sub $base (func (result i32))))
        (type $last (sub final $derived (func (result i32))))
        (type $other (sub (func (result i32)))) "#;
    // `$base` and `$other` are equal, `$stranger` is not.
    let callee = format!(
        r#"(module {types}
        (type $stranger (func (result i32)))
        (func (export "base") (type $base) (i32.const 0))
        (func (export "derived") (type $derived) (i32.const 1))
        (func (export "last") (type $last) (i32.const 2))
        (func (export "other") (type $other) (i32.const 3))
        (func (export "stranger") (type $stranger) (i32.const 4)))"#
    );
    let caller = format!(
        r#"(module (type (func (param f64))) {types}
        (table (export "table") 1 funcref)
        (func (export "base") (result i32) (call_indirect (type $base) (i32.const 0)))
        (func (export "derived") (result i32) (call_indirect (type $derived) (i32.const 0)))
        (func (export "last") (result i32) (return_call_indirect (type $last) (i32.const 0))))"#
    );
    for (name, tier) in tiers() {
        let engine = engine(tier);
        let mut store = Store::new(&engine, ())?;
        let callee = Instance::new(&mut store, &Module::new(&engine, &callee)?, &[])?;
        let caller = Instance::new(&mut store, &Module::new(&engine, &caller)?, &[])?;
        let table = caller.get_export(&store, "table").and_then(Extern::into_table);
        let table = table.expect("an export");
        let cases = [
            ("base", 0, [true, false, false]),
            ("derived", 1, [true, true, false]),
            ("last", 2, [true, true, true]),
            ("other", 3, [true, false, false]),
            ("stranger", 4, [false, false, false]),
        ];
        for (given, value, accepted) in cases {
            let func = callee.get_func(&store, given);
            table.set(&mut store, 0, Val::FuncRef(func))?;
            for (wanted, accepted) in ["base", "derived", "last"].into_iter().zip(accepted) {
                let call = caller.get_typed_func::<(), i32>(&store, wanted)?;
                match call.call(&mut store, ()) {
                    Ok(got) => assert!(accepted && got == value, "{name} {given} {wanted}"),
                    Err(error) => {
                        let code = Some(TrapCode::IndirectCallTypeMismatch);
                        assert!(!accepted, "{name} {given} {wanted}");
                        assert_eq!(error.trap_code(), code, "{name} {given} {wanted}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// The fuel of calls through references is what the rule says, on every tier.
#[test]
fn fuel_of_calls_through_references() -> Result<()> {
    let text = r#"(module
        (type $f (func (result i32)))
        (func $leaf (type $f) (i32.const 1))
        (func $tail (type $f) (return_call_ref $f (ref.func $leaf)))
        (elem declare func $leaf $tail)
        (func (export "run") (param (ref null $f)) (result i32)
            (block $null
                (br_on_null $null (local.get 0))
                (return (call_ref $f)))
            (call_ref $f (ref.func $tail))))"#;
    // `local.get`, `br_on_null`; with a function `call_ref`, `return` (the host's function costs
    // nothing), without one `ref.func`, `call_ref`, then two of `$tail` and one of `$leaf`.
    let cases = [(true, 2 + 2), (false, 2 + 2 + 2 + 1)];
    for (name, tier) in tiers() {
        let engine = Engine::new(Config::new().tier(tier).fuel(true))?;
        let module = Module::new(&engine, text)?;
        let mut store = Store::new(&engine, ())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        let run = instance.get_func(&store, "run").expect("an export");
        let leaf = Func::wrap(&mut store, || 1i32);
        for (with_func, expected) in cases {
            store.set_fuel(1000)?;
            let argument = Val::FuncRef(with_func.then_some(leaf));
            run.call(&mut store, &[argument], &mut [Val::I32(0)])?;
            let spent = 1000 - store.fuel();
            assert_eq!(spent, expected, "{name} {with_func}");
        }
    }
    Ok(())
}
