//! Sizes on every tier: memories that no host has, growth that the system refuses, what growth and
//! sizes answer used as addresses (CG-13), and modules with very many of everything (CG-11).

#![cfg(all(feature = "baseline", feature = "optimizing"))]

mod common;
#[path = "../../memory/tests/common/mod.rs"]
mod process;

use common::tiers;
use process::with_address_space;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use wasmoor::*;

/// RT-14: minima that no machine has, in pages of one byte: an error that names a size which the
/// wanted one really exceeds.
#[test]
fn memories_of_bytes_that_no_host_has_are_refused() -> Result<()> {
    for tier in tiers() {
        for choice in [MemoryChoice::Guard, MemoryChoice::Checked] {
            let engine = Engine::new(Config::new().tier(tier).memory(choice))?;
            for minimum in [1 << 48, (1 << 63) - 1, 1 << 63, u64::MAX] {
                let way = format!("{tier:?}, {choice:?}, {minimum} bytes");
                let text = format!("(module (memory i64 {minimum} {} (pagesize 1)))", u64::MAX);
                let module = Module::new(&engine, text)?;
                let mut store = Store::new(&engine, ())?;
                let ty = MemoryType {
                    minimum,
                    maximum: None,
                    index64: true,
                    shared: false,
                    page_size_log2: 0,
                };
                let errors = [
                    Instance::new(&mut store, &module, &[]).expect_err(&way),
                    Memory::new(&mut store, ty).expect_err(&way),
                ];
                for error in errors {
                    assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{way}: {error:?}");
                    let text = error.to_string();
                    assert!(text.contains(&minimum.to_string()), "{way}: {text}");
                    let most = text.split_once("at most ").map(|(_, rest)| {
                        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                        digits.and_then(|digits| digits.parse::<u64>().ok()).expect("a number")
                    });
                    assert!(most.is_none_or(|most| most < minimum), "{way}: {text}");
                }
                assert_eq!(store.meter().memory_bytes, 0, "{way}");
                let small = Module::new(&engine, "(module (memory i64 7 9 (pagesize 1)))")?;
                Instance::new(&mut store, &small, &[])?;
            }
        }
    }
    Ok(())
}

const TABLES: usize = 24;

/// Three memories and many tables, each with a function that makes it grow.
fn growing() -> String {
    let mut text = String::from(
        r#"(module
        (memory $a 1) (memory $b i64 1) (memory $c i64 65536 0xffffffff (pagesize 1))
        (func (export "a") (param i64) (result i64)
            (i64.extend_i32_s (memory.grow $a (i32.wrap_i64 (local.get 0)))))
        (func (export "b") (param i64) (result i64) (memory.grow $b (local.get 0)))
        (func (export "c") (param i64) (result i64) (memory.grow $c (local.get 0)))
        (func (export "put") (param i64)
            (i64.store $a (i32.const 65528) (local.get 0))
            (i64.store $b (i64.const 65528) (local.get 0))
            (i64.store $c (i64.const 65528) (local.get 0)))
        (func (export "get") (result i64 i64 i64)
            (i64.load $a (i32.const 65528))
            (i64.load $b (i64.const 65528))
            (i64.load $c (i64.const 65528)))"#,
    );
    for table in 0..TABLES {
        let null = if table % 4 < 2 { "func" } else { "extern" };
        let (index, grow) = if table % 2 == 0 {
            let delta = "(i32.wrap_i64 (local.get 0))";
            ("", format!("(i64.extend_i32_s (table.grow {table} (ref.null {null}) {delta}))"))
        } else {
            ("i64", format!("(table.grow {table} (ref.null {null}) (local.get 0))"))
        };
        let _ = write!(
            text,
            r#"(table {index} 1 {null}ref)
            (func (export "{table}") (param i64) (result i64) {grow})"#
        );
    }
    text + ")"
}

/// Growth that only the system's limit refuses answers -1; what was there stays and can grow.
#[test]
#[cfg(target_os = "linux")]
fn growth_that_the_system_refuses_answers_minus_one() {
    // Less than all the tables with ten million elements each, and room for one even while threads of
    // the tier before still hold a module's range of code and what they allocate from.
    const LIMIT: u64 = 3 << 29;
    with_address_space("growth_that_the_system_refuses_answers_minus_one", LIMIT, || {
        for tier in tiers() {
            let engine = Engine::new(Config::new().tier(tier).eager(true)).expect("an engine");
            let module = Module::new(&engine, growing()).expect("a valid module");
            let mut store = Store::new(&engine, ()).expect("a store");
            let limits = StoreLimits { table_elements_max: u64::MAX, ..StoreLimits::default() };
            store.set_limits(limits);
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            let put = instance.get_typed_func::<i64, ()>(&store, "put").expect("an export");
            put.call(&mut store, 99).expect("in bounds");
            let mut grow = |name: &str, delta: i64| {
                let func = instance.get_typed_func::<i64, i64>(&store, name).expect("an export");
                func.call(&mut store, delta).unwrap_or_else(|error| panic!("{tier:?}: {error}"))
            };
            for (name, delta) in
                [("a", 0xf000), ("b", 0x1_0000), ("b", 1 << 30), ("c", 0xf000_0000)]
            {
                let before = grow(name, 0);
                assert_eq!(grow(name, delta), -1, "{tier:?} {name} by {delta:#x}");
                assert_eq!(grow(name, 1), before, "{tier:?} {name}");
                assert_eq!(grow(name, 0), before + 1, "{tier:?} {name}");
            }
            // Room for what the host itself needs when all is gone.
            let reserve = Vec::<u8>::with_capacity(48 << 20);
            let names: Vec<_> = (0..TABLES).map(|table| table.to_string()).collect();
            let grown = names.iter().map(|name| grow(name, 9_999_999));
            let grown = grown.collect::<Vec<_>>();
            drop(reserve);
            let refused = grown.iter().filter(|&&before| before == -1).count();
            assert!(refused > 0 && refused < TABLES, "{tier:?}: {grown:?}");
            for (name, before) in names.iter().zip(grown) {
                let size = if before == -1 { 1 } else { 10_000_000 };
                assert_eq!(grow(name, 0), size, "{tier:?}, table {name}");
                assert_eq!(grow(name, 1), if before == -1 { 1 } else { -1 }, "{tier:?} {name}");
            }
            let get = instance.get_typed_func::<(), (i64, i64, i64)>(&store, "get");
            let found = get.expect("an export").call(&mut store, ()).expect("in bounds");
            assert_eq!(found, (99, 99, 99), "{tier:?}");
        }
    });
}

/// An operator that answers a size, or -1, with its type, and what it answers.
const PRODUCERS: [(&str, bool, i64); 12] = [
    ("(memory.size $m32)", false, 1),
    ("(memory.grow $m32 (i32.const 0))", false, 1),
    ("(memory.grow $m32 (i32.const 5))", false, -1),
    ("(table.size $t32)", false, 5),
    ("(table.grow $t32 (ref.null func) (i32.const 0))", false, 5),
    ("(table.grow $t32 (ref.null func) (i32.const 1))", false, -1),
    ("(memory.size $m64)", true, 1),
    ("(memory.grow $m64 (i64.const 0))", true, 1),
    ("(memory.grow $m64 (i64.const 5))", true, -1),
    ("(table.size $t64)", true, 5),
    ("(table.grow $t64 (ref.null func) (i64.const 0))", true, 5),
    ("(table.grow $t64 (ref.null func) (i64.const 1))", true, -1),
];

/// What is done with it before it is an address: text around it, whether it takes and gives 64
/// bits, and the same in Rust.
type Change = (&'static str, bool, bool, fn(i64) -> i64);
const CHANGES: [Change; 9] = [
    ("@", false, false, |x| x),
    ("(i32.add @ (i32.const 1))", false, false, |x| x + 1),
    ("(i32.shr_u @ (i32.const 31))", false, false, |x| i64::from((x as u32) >> 31)),
    ("(i64.extend_i32_u @)", false, true, |x| i64::from(x as u32)),
    ("(i64.extend_i32_s @)", false, true, |x| i64::from(x as i32)),
    ("(i64.shr_u (i64.extend_i32_u @) (i64.const 32))", false, true, |_| 0),
    ("@", true, true, |x| x),
    ("(i64.add @ (i64.const 1))", true, true, |x| x + 1),
    ("(i32.wrap_i64 @)", true, false, |x| x),
];

/// Uses of an address or index `@`, of 32 bits (`#` is 32) and of 64: what is added to it, how many
/// elements from there on are needed, and how many there are. All answer an `i32`.
const USES: [(&str, u64, u64, u64); 8] = [
    ("(i32.load8_u $m# @)", 0, 1, 65536),
    ("(i32.load8_u $m# offset=1 @)", 1, 1, 65536),
    ("(i32.load $m# offset=8 @)", 8, 4, 65536),
    ("(i32.wrap_i64 (i64.load $m# offset=65000 @))", 65000, 8, 65536),
    ("(i32x4.extract_lane 0 (v128.load $m# offset=3 @))", 3, 16, 65536),
    ("(i32.store8 $m# offset=1 @ (i32.const 0)) (i32.const 0)", 1, 1, 65536),
    ("(ref.is_null (table.get $l# @))", 0, 1, 4),
    ("(table.set $l# @ (ref.null func)) (i32.const 0)", 0, 1, 4),
];

/// CG-13 and CG-14: what growth and sizes answer, whole and as 32 bits, serves as an address: the
/// sum with the offset does not wrap, nothing is left in the upper halves.
#[test]
fn what_growth_and_sizes_answer_are_good_addresses() -> Result<()> {
    let mut text = String::from(
        "(module (memory $m32 1 1) (memory $m64 i64 1 1)
        (table $t32 5 5 funcref) (table $t64 i64 5 5 funcref)
        (table $l32 4 funcref) (table $l64 i64 4 funcref)",
    );
    let mut cases = Vec::new();
    for (producer, is_wide, answer) in PRODUCERS {
        for (change, takes, gives, model) in CHANGES {
            for (using, offset, count, len) in USES {
                if takes != is_wide {
                    continue;
                }
                let address = change.replace('@', producer);
                let body = using.replace('#', if gives { "64" } else { "32" });
                let body = body.replace('@', &address);
                let number = model(answer);
                let number = if gives { number as u64 } else { u64::from(number as u32) };
                let end = number.checked_add(offset).and_then(|at| at.checked_add(count));
                let _ = write!(text, "(func (export \"{}\") (result i32) {body})", cases.len());
                cases.push((body, end.is_some_and(|end| end <= len), using.contains("table")));
            }
        }
    }
    text.push(')');
    assert!(cases.iter().any(|case| case.1) && cases.iter().any(|case| !case.1));
    for tier in tiers() {
        for choice in [MemoryChoice::Guard, MemoryChoice::Checked] {
            let engine = Engine::new(Config::new().tier(tier).memory(choice))?;
            let module = Module::new(&engine, &text)?;
            let mut store = Store::new(&engine, ())?;
            let instance = Instance::new(&mut store, &module, &[])?;
            for (at, (body, is_inside, is_table)) in cases.iter().enumerate() {
                let name = format!("{tier:?}, {choice:?}: {body}");
                let func = instance.get_typed_func::<(), i32>(&store, &at.to_string())?;
                let found = func.call(&mut store, ()).map_err(|error| error.trap_code());
                let value = i32::from(body.contains("is_null"));
                let trap = if *is_table {
                    TrapCode::TableOutOfBounds
                } else {
                    TrapCode::MemoryOutOfBounds
                };
                assert_eq!(found, if *is_inside { Ok(value) } else { Err(Some(trap)) }, "{name}");
            }
        }
    }
    Ok(())
}

/// Runs `run` of a module on every tier, within a time that only a fault in how it grows with the
/// numbers can exceed.
fn check_many(what: &str, text: &str, expected: &[(&str, Result<i64, TrapCode>)]) -> Result<()> {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{what}: {error}"));
    for tier in tiers() {
        let started = Instant::now();
        let engine = Engine::new(Config::new().tier(tier))?;
        let module = Module::new(&engine, &bytes)?;
        let mut store = Store::new(&engine, ())?;
        let instance = Instance::new(&mut store, &module, &[])?;
        for (name, value) in expected {
            let func = instance.get_typed_func::<(), i64>(&store, name)?;
            let found = func.call(&mut store, ());
            let found = found.map_err(|error| error.trap_code().expect("a trap"));
            assert_eq!(found, *value, "{what}, {tier:?}: {name}");
        }
        drop((instance, store, module));
        assert!(started.elapsed() < Duration::from_secs(60), "{what}, {tier:?}: too slow");
    }
    Ok(())
}

const MANY: usize = 40_000;
/// The first, some of the middle on both sides of 15 bits, the last.
const PICKS: [usize; 6] = [0, 1, 32_767, 32_768, 32_769, MANY - 1];

/// CG-11: segments of data, passive and active.
#[test]
fn many_data_segments() -> Result<()> {
    let mut text = String::from("(module (memory 4)");
    for at in 0..MANY {
        let bytes = (at as u32).to_le_bytes().map(|byte| format!("\\{byte:02x}")).concat();
        let _ = match at % 2 {
            0 => write!(text, "(data \"{bytes}\")"),
            _ => write!(text, "(data (i32.const {}) \"{bytes}\")", at * 4),
        };
    }
    let mut expected = Vec::new();
    for at in PICKS {
        let _ = write!(
            text,
            "(func (export \"{at}\") (result i64)
                (memory.init {at} (i32.const {0}) (i32.const 0) (i32.const {1}))
                (data.drop {at})
                (i64.load32_u (i32.const {0})))",
            at * 4,
            // Active segments are there already, and have been dropped.
            if at % 2 == 0 { 4 } else { 0 }
        );
        expected.push((at.to_string(), Ok(at as i64)));
    }
    text.push(')');
    let mut calls: Vec<_> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    // Dropped by the call before, it and no other.
    calls.push(("0", Err(TrapCode::MemoryOutOfBounds)));
    check_many("data segments", &text, &calls)
}

/// CG-11: segments of elements and functions in them.
#[test]
fn many_element_segments_and_functions() -> Result<()> {
    let mut text = format!("(module (type $f (func (result i64))) (table $t {MANY} funcref)");
    for at in 0..MANY {
        let _ = write!(text, "(func $f{at} (type $f) (i64.const {at}))");
        let _ = match at % 2 {
            0 => write!(text, "(elem func $f{at})"),
            _ => write!(text, "(elem (table $t) (i32.const {at}) func $f{at})"),
        };
    }
    let mut expected = Vec::new();
    for at in PICKS {
        let _ = write!(
            text,
            "(func (export \"{at}\") (result i64)
                (table.init $t {at} (i32.const {at}) (i32.const 0) (i32.const {}))
                (elem.drop {at})
                (i64.add (call_indirect $t (type $f) (i32.const {at})) (call $f{at})))",
            usize::from(at % 2 == 0)
        );
        expected.push((at.to_string(), Ok(2 * at as i64)));
    }
    text.push(')');
    let mut calls: Vec<_> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    calls.push(("0", Err(TrapCode::TableOutOfBounds)));
    check_many("element segments", &text, &calls)
}

/// CG-11: types, all different: calls through a table find theirs and refuse the neighbour's.
#[test]
fn many_types() -> Result<()> {
    let params = |at: usize| -> String {
        (0..16).map(|bit| if at >> bit & 1 == 0 { " i32" } else { " i64" }).collect()
    };
    let args = |at: usize| -> String {
        let arg = |bit: usize| if at >> bit & 1 == 0 { "(i32.const 1)" } else { "(i64.const 1)" };
        (0..16).map(arg).collect()
    };
    let mut text = String::from("(module");
    for at in 0..MANY {
        let _ = write!(text, "(type $t{at} (func (param{}) (result i64)))", params(at));
    }
    let funcs = PICKS.map(|at| format!("$f{at} ")).concat();
    let _ = write!(text, "(table funcref (elem {funcs}))");
    let mut expected = Vec::new();
    for (index, at) in PICKS.into_iter().enumerate() {
        let other = if at == 0 { MANY - 1 } else { at - 1 };
        let _ = write!(
            text,
            "(func $f{at} (type $t{at}) (i64.const {at}))
            (func (export \"{at}\") (result i64)
                (call_indirect (type $t{at}) {} (i32.const {index})))
            (func (export \"not {at}\") (result i64)
                (call_indirect (type $t{other}) {} (i32.const {index})))",
            args(at),
            args(other)
        );
        expected.push((at.to_string(), Ok(at as i64)));
        expected.push((format!("not {at}"), Err(TrapCode::IndirectCallTypeMismatch)));
    }
    text.push(')');
    let calls: Vec<_> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    check_many("types", &text, &calls)
}

/// CG-11: globals and tags; an exception is caught by its own tag among all of them.
#[test]
fn many_globals_and_tags() -> Result<()> {
    let mut text = String::from("(module");
    for at in 0..MANY {
        let _ = write!(text, "(global $g{at} (mut i64) (i64.const {at}))(tag $e{at} (param i64))");
    }
    let mut expected = Vec::new();
    for at in PICKS {
        let other = if at == 0 { MANY - 1 } else { at - 1 };
        let _ = write!(
            text,
            "(func (export \"{at}\") (result i64)
                (global.set $g{at} (i64.add (global.get $g{at}) (i64.const 1)))
                (block $mine (result i64)
                    (drop (block $other (result i64)
                        (try_table (catch $e{other} $other) (catch $e{at} $mine)
                            (throw $e{at} (global.get $g{at})))
                        unreachable))
                    (i64.const -1)))"
        );
        expected.push((at.to_string(), Ok(at as i64 + 1)));
    }
    text.push(')');
    let calls: Vec<_> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    check_many("globals and tags", &text, &calls)
}

/// CG-11: as many memories as a module may have, each with its own contents.
#[test]
fn many_memories() -> Result<()> {
    const MOST: usize = 100;
    let mut text = String::from("(module");
    let mut all = String::from("(i64.const 0)");
    for at in 0..MOST {
        let (index, zero) =
            if at % 3 == 0 { ("i64", "(i64.const 0)") } else { ("", "(i32.const 0)") };
        let _ = write!(
            text,
            "(memory $m{at} {index} 1 2)
            (data (memory $m{at}) (offset {zero}) \"\\{at:02x}\")
            (func (export \"{at}\") (result i64)
                (i64.store8 $m{at} offset=9 {zero} (i64.const {at}))
                (i64.add (i64.load8_u $m{at} {zero}) (i64.load8_u $m{at} offset=9 {zero})))"
        );
        all = format!("(i64.add {all} (i64.load8_u $m{at} offset=9 {zero}))");
    }
    let _ = write!(text, "(func (export \"all\") (result i64) {all}))");
    let names: Vec<_> = (0..MOST).map(|at| at.to_string()).collect();
    let mut calls: Vec<_> =
        names.iter().enumerate().map(|(at, name)| (name.as_str(), Ok(2 * at as i64))).collect();
    calls.push(("all", Ok((0..MOST as i64).sum())));
    check_many("memories", &text, &calls)
}

/// CG-11: tables, each with its own size and elements.
#[test]
fn many_tables() -> Result<()> {
    let mut text = String::from("(module (type $f (func (result i64)))");
    for at in 0..MANY {
        let index = if at % 2 == 0 { "i64" } else { "" };
        let _ = write!(text, "(table $t{at} {index} {} 9 funcref)", at % 3 + 1);
    }
    let mut expected = Vec::new();
    for at in PICKS {
        let index = if at % 2 == 0 { "i64" } else { "i32" };
        let size = if at % 2 == 0 { "" } else { "i64.extend_i32_u" };
        let _ = write!(
            text,
            "(func $f{at} (type $f) (i64.const {at}))
            (elem (table $t{at}) (offset ({index}.const 0)) func $f{at})
            (func (export \"{at}\") (result i64)
                (call_indirect $t{at} (type $f) ({index}.const 0))
                (table.grow $t{at} (ref.null func) ({index}.const 2)) {size} i64.add
                (table.size $t{at}) {size} i64.add)"
        );
        let len = at as i64 % 3 + 1;
        expected.push((at.to_string(), Ok(at as i64 + len + len + 2)));
    }
    text.push(')');
    let calls: Vec<_> = expected.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    check_many("tables", &text, &calls)
}

/// CG-11: one more than a module may have is an error that says so, not a number that wrapped.
#[test]
fn one_more_than_the_limit_is_an_error() {
    for (what, count, item) in [
        ("memories", 100, "(memory 0)"),
        ("tables", 100_000, "(table 0 funcref)"),
        ("data segments", 100_000, "(data \"\")"),
        ("element segments", 100_000, "(elem func)"),
        ("locals", 50_000, "(local i64)"),
        ("parameters", 1000, "(param i64)"),
        ("results", 1000, "(result i64)"),
    ] {
        for (count, is_valid) in [(count, true), (count + 1, false)] {
            let items = item.repeat(count);
            let text = match what {
                "locals" | "parameters" | "results" => {
                    format!("(module (func {items} unreachable))")
                }
                "memories" => format!("(module {items})"),
                _ => format!("(module (memory 0) {items})"),
            };
            let module = Module::new(&Engine::default(), text);
            match module {
                Ok(_) => assert!(is_valid, "{count} {what}"),
                Err(error) => {
                    assert!(!is_valid, "{count} {what}: {error}");
                    assert!(matches!(error.kind(), ErrorKind::Load(_)), "{what}: {error:?}");
                }
            }
        }
    }
}

/// A pool of a process that has little memory keeps no pages for more than a few unused slots.
#[test]
#[cfg(target_os = "linux")]
fn baseline_pools_keep_little_where_there_is_little() {
    with_address_space("baseline_pools_keep_little_where_there_is_little", 512 << 20, || {
        let mut pool = Pool::new();
        pool.shards(Some(1));
        let mut config = Config::new();
        config.tier(Tier::Baseline).memory(MemoryChoice::Checked);
        let engine = Engine::new(config.allocation(Allocation::Pool(pool))).expect("an engine");
        let module =
            Module::new(&engine, r#"(module (memory (export "m") 10 10))"#).expect("a module");
        let make = |_| {
            let mut store = Store::new(&engine, ()).expect("a store");
            let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
            let memory = instance.get_memory(&store, "m").expect("an export");
            memory.write(&mut store, 70_000, b"written").expect("in bounds");
            store
        };
        drop((0..110).map(make).collect::<Vec<_>>());
        let stats = engine.pool_stats().unwrap_or_default();
        assert_eq!(stats.warm, 110, "fewer than may keep pages elsewhere: {stats:?}");
        assert!(stats.decommitted > 30 && stats.decommitted < 110, "{stats:?}");
    });
}
