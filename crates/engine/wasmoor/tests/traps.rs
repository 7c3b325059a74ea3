//! Traps: the code, and the frames of the backtrace, on every tier, under both memory modes, lazy
//! and eager.

mod common;

use common::tiers;
use wasmoor::*;

struct Case {
    name: &'static str,
    body: &'static str,
    code: TrapCode,
}

const CASES: &[Case] = &[
    Case { name: "unreachable", body: "unreachable", code: TrapCode::Unreachable },
    Case {
        name: "load",
        body: "(drop (i32.load (i32.const 65533)))",
        code: TrapCode::MemoryOutOfBounds,
    },
    Case {
        name: "store at the end of the index space",
        body: "(i64.store offset=4294967295 (i32.const -1) (i64.const 1))",
        code: TrapCode::MemoryOutOfBounds,
    },
    Case {
        name: "fill",
        body: "(memory.fill (i32.const 65000) (i32.const 1) (i32.const 1000))",
        code: TrapCode::MemoryOutOfBounds,
    },
    Case {
        name: "divide by zero",
        body: "(drop (i32.div_u (i32.const 1) (global.get $zero)))",
        code: TrapCode::IntegerDivideByZero,
    },
    Case {
        name: "signed remainder by zero",
        body: "(drop (i64.rem_s (i64.const 1) (i64.extend_i32_u (global.get $zero))))",
        code: TrapCode::IntegerDivideByZero,
    },
    Case {
        name: "overflow",
        body: "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (global.get $zero) (i32.const 1))))",
        code: TrapCode::IntegerOverflow,
    },
    Case {
        name: "conversion of a NaN",
        body: "(drop (i32.trunc_f32_s (f32.const nan)))",
        code: TrapCode::InvalidConversionToInteger,
    },
    Case {
        name: "conversion of a large number",
        body: "(drop (i32.trunc_f64_u (f64.const 1e20)))",
        code: TrapCode::IntegerOverflow,
    },
    Case {
        name: "table access",
        body: "(drop (table.get 0 (i32.const 10)))",
        code: TrapCode::TableOutOfBounds,
    },
    Case {
        name: "undefined element",
        body: "(call_indirect (i32.const 10))",
        code: TrapCode::UndefinedElement,
    },
    Case {
        name: "null element",
        body: "(call_indirect (i32.const 1))",
        code: TrapCode::UninitializedElement,
    },
    Case {
        name: "wrong type",
        body: "(call_indirect (param i32) (i32.const 5) (i32.const 0))",
        code: TrapCode::IndirectCallTypeMismatch,
    },
    Case { name: "recursion", body: "call $outer", code: TrapCode::StackOverflow },
];

fn text(case: &Case) -> String {
    format!(
        r#"(module $m
            (memory 1) (table 2 funcref) (elem (i32.const 0) $inner)
            (global $zero (mut i32) (i32.const 0))
            (func $inner {})
            (func $outer (export "run") call $inner))"#,
        case.body
    )
}

/// Function and offset of each frame, for each case.
type Places = Vec<Vec<(u32, Option<u32>)>>;

#[test]
fn codes_and_backtraces() {
    let mut all: Option<Places> = None;
    for tier in tiers() {
        for eager in [false, true] {
            for memory in [MemoryChoice::Guard, MemoryChoice::Checked] {
                let places = check_all(tier, eager, memory);
                let first = all.get_or_insert_with(|| places.clone());
                assert_eq!(&places, first, "{tier:?}, eager: {eager}, {memory:?}");
            }
        }
    }
}

fn check_all(tier: Tier, eager: bool, memory: MemoryChoice) -> Places {
    let mut config = Config::new();
    config.tier(tier).eager(eager).memory(memory);
    let engine = Engine::new(&config).expect("an engine");
    let name = |case: &Case| format!("{} ({tier:?}, eager: {eager}, {memory:?})", case.name);
    CASES.iter().map(|case| check(&engine, case, &name(case))).collect()
}

/// The frames' places; none where how deep the stack is depends on the tier.
fn check(engine: &Engine, case: &Case, name: &str) -> Vec<(u32, Option<u32>)> {
    let module = Module::new(engine, text(case)).expect(name);
    let mut store = Store::new(engine, ()).expect("a store");
    let instance = Instance::new(&mut store, &module, &[]).expect(name);
    let run = instance.get_typed_func::<(), ()>(&store, "run").expect(name);
    let mut places: Option<Vec<_>> = None;
    // A trap leaves the store usable, and the mixed tier chooses anew.
    for _ in 0..5 {
        let error = run.call(&mut store, ()).expect_err(name);
        assert_eq!(error.trap_code(), Some(case.code), "{name}: {error}");
        let backtrace = error.backtrace().expect("traps have one");
        let names: Vec<_> = backtrace.frames().iter().map(|frame| frame.func_name()).collect();
        if case.code == TrapCode::StackOverflow {
            assert_eq!(names.len(), 100, "{name}");
            assert!(backtrace.is_truncated());
            continue;
        }
        assert_eq!(names, [Some("inner"), Some("outer")], "{name}");
        for frame in backtrace.frames() {
            let body = module.description().bodies.values().find(|body| {
                frame.wasm_offset().is_some_and(|offset| body.range.contains(&offset))
            });
            assert!(body.is_some(), "{name}: {frame:?} lies in no function");
        }
        let frames = backtrace.frames().iter();
        let now = frames.map(|frame| (frame.func_index().as_u32(), frame.wasm_offset())).collect();
        assert_eq!(places.get_or_insert_with(|| Vec::clone(&now)), &now, "{name}");
    }
    places.unwrap_or_default()
}

#[test]
fn a_first_call_at_every_depth_of_the_stack() {
    // `dig` recurses, then calls one function after another for the first time on its way up, so
    // that some first call comes at every remaining depth; compiling needs much stack.
    let callees: String =
        (0..200).map(|n| format!("(func $f{n} (result i32) i32.const {n})")).collect();
    let elems: String = (0..200).map(|n| format!(" $f{n}")).collect();
    let text = format!(
        r#"(module
            (table 200 funcref) (elem (i32.const 0){elems}) {callees}
            (global $next (mut i32) (i32.const 0))
            (func $dig (export "dig")
                (if (i32.lt_u (global.get $next) (i32.const 200)) (then
                    (drop (call_indirect (result i32) (global.get $next)))
                    (global.set $next (i32.add (global.get $next) (i32.const 1)))))
                call $dig))"#
    );
    let engine = Engine::new(Config::new().max_stack(16 << 10)).expect("an engine");
    let module = Module::new(&engine, &text).expect("a valid module");
    let mut store = Store::new(&engine, ()).expect("a store");
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let dig = instance.get_typed_func::<(), ()>(&store, "dig").expect("the export");
    let error = dig.call(&mut store, ()).expect_err("endless recursion");
    assert_eq!(error.trap_code(), Some(TrapCode::StackOverflow));
    assert!(module.compile_stats().functions > 100, "{:?}", module.compile_stats());
}

#[test]
fn limits_refuse_growth_and_instantiation() -> Result<()> {
    tiers().into_iter().try_for_each(check_limits)
}

fn check_limits(tier: Tier) -> Result<()> {
    let engine = Engine::new(Config::new().tier(tier))?;
    let text = r#"(module (memory (export "memory") 1) (table $t 1 funcref)
        (func (export "grow") (param i32) (result i32) local.get 0 memory.grow)
        (func (export "grow-table") (param i32) (result i32) ref.null func local.get 0 table.grow))"#;
    let module = Module::new(&engine, text)?;
    let mut store = Store::new(&engine, ())?;
    let limits =
        StoreLimits { memory_bytes_max: 3 << 16, table_elements_max: 10, ..StoreLimits::default() };
    store.set_limits(limits);
    let instance = Instance::new(&mut store, &module, &[])?;
    let grow = instance.get_typed_func::<i32, i32>(&store, "grow")?;
    assert_eq!(grow.call(&mut store, 2)?, 1, "{tier:?}");
    assert_eq!(grow.call(&mut store, 1)?, -1, "{tier:?}");
    assert_eq!(grow.call(&mut store, 0)?, 3, "{tier:?}");
    let grow_table = instance.get_typed_func::<i32, i32>(&store, "grow-table")?;
    assert_eq!(grow_table.call(&mut store, 9)?, 1, "{tier:?}");
    assert_eq!(grow_table.call(&mut store, 1)?, -1, "{tier:?}");
    assert_eq!(store.meter().memory_bytes, 3 << 16, "{tier:?}");
    let error = Instance::new(&mut store, &module, &[]).expect_err("nothing is left");
    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{tier:?}: {error}");
    Ok(())
}

#[test]
fn handles_of_another_store_panic() {
    let engine = Engine::default();
    let mut one = Store::new(&engine, ()).expect("a store");
    let other = Store::new(&engine, ()).expect("a store");
    let ty =
        MemoryType { minimum: 1, maximum: None, index64: false, shared: false, page_size_log2: 16 };
    let memory = Memory::new(&mut one, ty).expect("a memory");
    let size = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| memory.size(&other)));
    assert!(size.is_err());
}

#[test]
fn calls_with_a_thousand_values_run_on_every_tier() {
    let values = |ty: &str| format!(" {ty}").repeat(1000);
    let gets: String = (0..1000).map(|n| format!(" local.get {n}")).collect();
    for ty in ["i64", "v128"] {
        let text = format!(
            "(module (func $deep (export \"deep\") (param{0}) {gets} call $deep)
                (func $same (param{0}) (result{0}) {gets})
                (func (export \"run\") {1} call $same call $same call $deep))",
            values(ty),
            format!(" {ty}.const {}", if ty == "i64" { "1" } else { "i64x2 1 2" }).repeat(1000),
        );
        for tier in tiers() {
            let engine = Engine::new(Config::new().tier(tier)).expect("an engine");
            let module = Module::new(&engine, &text).expect("a valid module");
            let mut store = Store::new(&engine, ()).expect("a store");
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            let run = instance.get_typed_func::<(), ()>(&store, "run").expect("the export");
            let error = run.call(&mut store, ()).expect_err("endless recursion");
            assert_eq!(error.trap_code(), Some(TrapCode::StackOverflow), "{ty} {tier:?}: {error}");
        }
    }
}
