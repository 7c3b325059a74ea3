//! CG-18 and RL-03: tail calls into host functions with fewer and more arguments than their caller
//! has, by all three forms, on every tier. The host functions return, fail, call back, capture
//! where they were called from, and make the memory move.

#![cfg(all(feature = "baseline", feature = "optimizing"))]

mod common;

use common::tiers;
use std::fmt::Write as _;
use wasmoor::*;

/// Numbers of parameters of the guest functions that make the tail calls.
const CALLERS: [usize; 4] = [0, 3, 9, 25];
/// Numbers of parameters of the host functions.
const HOSTS: [usize; 5] = [0, 1, 8, 12, 30];
const FORMS: [&str; 3] = ["direct", "indirect", "ref"];

/// Modes: what the host function does.
const RETURN: i32 = 0;
const TRAP: i32 = 1;
const FAIL: i32 = 2;
const TRAP_IN_GUEST: i32 = 3;
const GROW: i32 = 4;

/// What the guest has passed on of its own arguments: the mode and its number of parameters.
#[derive(Default)]
struct Call {
    mode: i32,
    kept: usize,
}

fn ty(at: usize) -> &'static str {
    ["i64", "f64", "i64", "v128"][at % 4]
}

fn types(count: usize) -> String {
    (0..count).map(|at| format!(" {}", ty(at))).collect()
}

fn constant(at: usize, value: usize) -> String {
    match ty(at) {
        "v128" => format!("(v128.const i64x2 {value} {value})"),
        ty => format!("({ty}.const {value})"),
    }
}

/// The argument at a position: the caller's own where it has one, else 1000 and the position.
fn argument(at: usize, caller: usize) -> String {
    if at < caller { format!("(local.get {at})") } else { constant(at, 1000 + at) }
}

fn text() -> String {
    let mut text = String::from("(module (memory (export \"memory\") 1 200)\n");
    for host in HOSTS {
        let _ = write!(
            text,
            "(type $t{host} (func (param{}) (result i64)))
            (import \"host\" \"{host}\" (func $h{host} (type $t{host})))\n",
            types(host)
        );
    }
    // Imports come first.
    let (memory, rest) = text.split_once('\n').expect("the first line");
    text = format!("(module {rest} {}", memory.trim_start_matches("(module"));
    let hosts: String = HOSTS.map(|host| format!("$h{host} ")).concat();
    let _ = write!(text, "(table funcref (elem {hosts}))");
    text += r#"(func $trapping (export "trapping") (unreachable))"#;
    for caller in CALLERS {
        for (index, host) in HOSTS.into_iter().enumerate() {
            let args: String = (0..host).map(|at| argument(at, caller)).collect();
            let own: String = (0..caller).map(|at| constant(at, at + 1)).collect();
            for form in FORMS {
                let name = format!("{form}_{caller}_{host}");
                let call = match form {
                    "direct" => format!("return_call $h{host} {args}"),
                    "ref" => format!("return_call_ref $t{host} {args} (ref.func $h{host})"),
                    _ => format!("return_call_indirect (type $t{host}) {args} (i32.const {index})"),
                };
                let params = types(caller);
                // What is live across the call stays what it was; the end of memory is read
                // where it is then.
                let _ = write!(
                    text,
                    r#"(func $tail_{name} (param{params}) (result i64) ({call}))
                    (func $outer_{name} (export "{name}") (param i64 f64) (result i64 i64 f64 i64)
                        (i64.store (i32.const 65528) (i64.const 5))
                        (call $tail_{name} {own})
                        (i64.add (local.get 0) (i64.const 1))
                        (local.get 1)
                        (i64.load (i32.sub
                            (i32.shl (memory.size) (i32.const 16)) (i32.const 8))))"#
                );
            }
        }
    }
    text + ")"
}

fn number(value: &Val) -> u64 {
    match value {
        Val::I64(value) => value.cast_unsigned(),
        Val::F64(bits) => f64::from_bits(*bits) as u64,
        Val::V128(bits) => {
            assert_eq!(*bits >> 64, *bits & u128::from(u64::MAX), "half of a vector is lost");
            *bits as u64
        }
        other => panic!("no number: {other:?}"),
    }
}

/// The host function: checks each argument and does what the mode says.
fn serve(mut caller: Caller<'_, Call>, params: &[Val], results: &mut [Val]) -> Result<()> {
    let Call { mode, kept } = *caller.data();
    for (at, param) in params.iter().enumerate() {
        let expected = if at < kept { at + 1 } else { 1000 + at };
        assert_eq!(number(param), expected as u64, "argument {at} of {}", params.len());
    }
    results[0] = Val::I64(params.len() as i64 + 7);
    match mode {
        TRAP => return Err(Error::trap(TrapCode::Unreachable)),
        FAIL => return Err(Error::host("no")),
        TRAP_IN_GUEST => {
            let inner = caller.get_export("trapping").and_then(Extern::into_func);
            return inner.expect("an export").call(&mut caller, &[], &mut []);
        }
        GROW => {
            let memory = caller.get_export("memory").and_then(Extern::into_memory);
            let memory = memory.expect("an export");
            memory.grow(&mut caller, 1)?;
            let end = memory.data_size(&caller);
            memory.write(&mut caller, end - 8, &77u64.to_le_bytes())?;
        }
        _ => {}
    }
    Ok(())
}

fn linker(engine: &Engine) -> Result<Linker<Call>> {
    let mut linker = Linker::new(engine);
    for host in HOSTS {
        let params = (0..host).map(|at| match ty(at) {
            "f64" => ValType::F64,
            "v128" => ValType::V128,
            _ => ValType::I64,
        });
        let ty = FuncType::new(params, [ValType::I64]);
        linker.func_new("host", &host.to_string(), ty, serve)?;
    }
    Ok(linker)
}

/// The frames of an error: whose frame was replaced is not among them, whoever called it is.
fn check_frames(error: &Error, mode: i32, name: &str, way: &str) {
    let backtrace = error.backtrace().unwrap_or_else(|| panic!("{way}: no backtrace: {error}"));
    let frames: Vec<_> = backtrace.frames().iter().filter_map(Frame::func_name).collect();
    let outer = format!("outer_{name}");
    let expected: &[&str] =
        if mode == TRAP_IN_GUEST { &["trapping", &outer] } else { &[outer.as_str()] };
    assert_eq!(frames, expected, "{way}, mode {mode}");
}

fn check(
    store: &mut Store<Call>,
    instance: Instance,
    name: &str,
    kept: usize,
    host: usize,
    way: &str,
) {
    let func = instance.get_typed_func::<(i64, f64), (i64, i64, f64, i64)>(&*store, name);
    let func = func.expect("an export");
    for mode in [RETURN, TRAP, FAIL, TRAP_IN_GUEST, GROW, RETURN] {
        *store.data_mut() = Call { mode, kept };
        let result = func.call(&mut *store, (40, 0.5));
        match (mode, result) {
            (RETURN | GROW, Ok((sum, integer, float, end))) => {
                assert_eq!((sum, integer, float), (host as i64 + 7, 41, 0.5), "{way} {name}");
                let memory = instance.get_memory(&*store, "memory").expect("an export");
                let expected = if memory.size(&*store) == 1 { 5 } else { 77 };
                assert_eq!(end, expected, "{way} {name}: memory where it was");
            }
            (RETURN | GROW, Err(error)) => panic!("{way} {name}, mode {mode}: {error}"),
            (FAIL, Err(error)) => {
                assert_eq!(error.to_string(), "no", "{way} {name}");
                check_frames(&error, mode, name, way);
            }
            (_, Err(error)) => {
                assert_eq!(error.trap_code(), Some(TrapCode::Unreachable), "{way} {name}: {error}");
                check_frames(&error, mode, name, way);
            }
            (_, Ok(results)) => panic!("{way} {name}, mode {mode}: {results:?}"),
        }
    }
}

#[test]
fn fewer_and_more_arguments_reach_the_host() -> Result<()> {
    let text = text();
    for tier in tiers() {
        for choice in [MemoryChoice::Guard, MemoryChoice::Checked] {
            let way = format!("{tier:?}, {choice:?}");
            let engine = Engine::new(Config::new().tier(tier).memory(choice))?;
            let module = Module::new(&engine, &text)?;
            let linker = linker(&engine)?;
            let mut store = Store::new(&engine, Call::default())?;
            let instance = linker.instantiate(&mut store, &module)?;
            for caller in CALLERS {
                for host in HOSTS {
                    for form in FORMS {
                        let name = format!("{form}_{caller}_{host}");
                        check(&mut store, instance, &name, caller.min(host), host, &way);
                    }
                }
            }
        }
    }
    Ok(())
}

/// A host function that notes where the guest is, called in place of a guest function: the walk
/// of the frames finds those that there are.
#[test]
fn the_frames_are_captured_behind_a_tail_call() -> Result<()> {
    let text = r#"(module
        (import "host" "note" (func $note (param i64) (result i64)))
        (func $none (result i64) (return_call $note (i64.const 3)))
        (func $many (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
            (return_call $note (local.get 9)))
        (func $middle (param i64) (result i64)
            (i64.add (call $none) (call $many
                (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
                (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8) (local.get 0))))
        (func (export "run") (param i64) (result i64)
            (i64.add (call $middle (i64.const 20)) (local.get 0))))"#;
    for tier in tiers() {
        let engine = Engine::new(Config::new().tier(tier))?;
        let mut store = Store::new(&engine, 0u32)?;
        let mut linker = Linker::new(&engine);
        let note = |mut caller: Caller<'_, u32>, value: i64| -> Result<i64> {
            raw::checkpoint(&mut caller, 1).map_err(|error| Error::host(format!("{error:?}")))?;
            *caller.data_mut() += 1;
            Ok(value + 100)
        };
        linker.func_wrap("host", "note", raw::Capturing(note))?;
        let instance = linker.instantiate(&mut store, &Module::new(&engine, text)?)?;
        let run = instance.get_typed_func::<i64, i64>(&store, "run")?;
        assert_eq!(run.call(&mut store, 1000)?, 1223, "{tier:?}");
        assert_eq!(*store.data(), 2, "{tier:?}");
    }
    Ok(())
}
