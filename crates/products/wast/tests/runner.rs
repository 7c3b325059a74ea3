//! The runner is tested by scripts with one expectation right, and the same flipped.

use wasmoor_wast::{DirectiveKind, RunOptions, Runner, ScriptReport, Tally};

fn run(script: &str) -> ScriptReport {
    run_with(&RunOptions::default(), script)
}

fn run_with(options: &RunOptions, script: &str) -> ScriptReport {
    Runner::new(options).expect("an engine").run("test.wast", script)
}

/// What scripts below test.
const MODULE: &str = r#"(module $m
    (global (export "g") i32 (i32.const 42))
    (global $v (export "v") (mut i32) (i32.const 7))
    (table 4 funcref)
    (elem (i32.const 0) $one)
    (memory 1)
    (func $one (export "one") (result i32) (i32.const 1))
    (func (export "none"))
    (func (export "pair") (result i32 i64) (i32.const 1) (i64.const 2))
    (func (export "i64") (param i64) (result i64) (local.get 0))
    (func (export "f32") (param f32) (result f32) (local.get 0))
    (func (export "f64") (param f64) (result f64) (local.get 0))
    (func (export "v128") (param v128) (result v128) (local.get 0))
    (func (export "bits32") (param i32) (result f32) (f32.reinterpret_i32 (local.get 0)))
    (func (export "bits64") (param i64) (result f64) (f64.reinterpret_i64 (local.get 0)))
    (func (export "func") (param funcref) (result funcref) (local.get 0))
    (func (export "extern") (param externref) (result externref) (local.get 0))
    (func (export "element") (param i32) (result funcref) (table.get (local.get 0)))
    (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "unreachable") unreachable)
    (tag $tag)
    (func (export "throw") (throw $tag))
    (func $deep (export "deep") (call $deep)))
"#;

/// A kind, what is demanded rightly, and the same flipped.
const PAIRS: &[(DirectiveKind, &str, &str)] = {
    use DirectiveKind::*;
    &[
        // Every pattern of results.
        (
            AssertReturn,
            r#"(assert_return (invoke "one") (i32.const 1))"#,
            r#"(assert_return (invoke "one") (i32.const 2))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "one") (i32.const 1))"#,
            r#"(assert_return (invoke "one") (i64.const 1))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "one") (i32.const 1))"#,
            r#"(assert_return (invoke "one"))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "none"))"#,
            r#"(assert_return (invoke "none") (i32.const 1))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "none"))"#,
            r#"(assert_return (invoke "unreachable"))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "none"))"#,
            r#"(assert_return (invoke "no such function"))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke $m "none"))"#,
            r#"(assert_return (invoke $n "none"))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "pair") (i32.const 1) (i64.const 2))"#,
            r#"(assert_return (invoke "pair") (i32.const 1) (i64.const 3))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "i64" (i64.const -1)) (i64.const -1))"#,
            r#"(assert_return (invoke "i64" (i64.const -1)) (i64.const 4294967295))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "f32" (f32.const 0)) (f32.const 0))"#,
            r#"(assert_return (invoke "f32" (f32.const 0)) (f32.const -0))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "f64" (f64.const 0)) (f64.const 0))"#,
            r#"(assert_return (invoke "f64" (f64.const 0)) (f64.const -0))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "bits32" (i32.const 0xffc00000)) (f32.const nan:canonical))"#,
            r#"(assert_return (invoke "bits32" (i32.const 0xffc00001)) (f32.const nan:canonical))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "bits32" (i32.const 0x7fc00001)) (f32.const nan:arithmetic))"#,
            r#"(assert_return (invoke "bits32" (i32.const 0x7fa00000)) (f32.const nan:arithmetic))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "bits32" (i32.const 0x7fa00000)) (f32.const nan:0x200000))"#,
            r#"(assert_return (invoke "bits32" (i32.const 0x7fa00000)) (f32.const nan))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "bits64" (i64.const 0x7ff8000000000000)) (f64.const nan:canonical))"#,
            r#"(assert_return (invoke "bits64" (i64.const 0x7ff8000000000001)) (f64.const nan:canonical))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "bits64" (i64.const 0xfff8000000000001)) (f64.const nan:arithmetic))"#,
            r#"(assert_return (invoke "bits64" (i64.const 0x7ff4000000000000)) (f64.const nan:arithmetic))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "v128" (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))"#,
            r#"(assert_return (invoke "v128" (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)) (v128.const i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 -15))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "v128" (v128.const i16x8 0 1 2 3 4 5 6 7)) (v128.const i16x8 0 1 2 3 4 5 6 7))"#,
            r#"(assert_return (invoke "v128" (v128.const i16x8 0 1 2 3 4 5 6 7)) (v128.const i16x8 1 1 2 3 4 5 6 7))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "v128" (v128.const i32x4 0 1 2 3)) (v128.const i32x4 0 1 2 3))"#,
            r#"(assert_return (invoke "v128" (v128.const i32x4 0 1 2 3)) (v128.const i32x4 0 1 3 3))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "v128" (v128.const i64x2 0 1)) (v128.const i64x2 0 1))"#,
            r#"(assert_return (invoke "v128" (v128.const i64x2 0 1)) (v128.const i64x2 1 0))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "v128" (v128.const f32x4 0 nan 2 3)) (v128.const f32x4 0 nan:canonical 2 3))"#,
            r#"(assert_return (invoke "v128" (v128.const f32x4 0 1 2 3)) (v128.const f32x4 0 nan:canonical 2 3))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "v128" (v128.const f64x2 nan:0x8000000000001 1)) (v128.const f64x2 nan:arithmetic 1))"#,
            r#"(assert_return (invoke "v128" (v128.const f64x2 nan:0x4000000000001 1)) (v128.const f64x2 nan:arithmetic 1))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "one") (either (i32.const 3) (i32.const 1)))"#,
            r#"(assert_return (invoke "one") (either (i32.const 3) (i32.const 2)))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "func" (ref.null func)) (ref.null func))"#,
            r#"(assert_return (invoke "func" (ref.null func)) (ref.null extern))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "func" (ref.null func)) (ref.null))"#,
            r#"(assert_return (invoke "func" (ref.null func)) (ref.func))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "element" (i32.const 0)) (ref.func))"#,
            r#"(assert_return (invoke "element" (i32.const 0)) (ref.null func))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "extern" (ref.null extern)) (ref.null extern))"#,
            r#"(assert_return (invoke "extern" (ref.null extern)) (ref.null func))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "extern" (ref.extern 5)) (ref.extern 5))"#,
            r#"(assert_return (invoke "extern" (ref.extern 5)) (ref.extern 6))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (invoke "extern" (ref.extern 5)) (ref.extern))"#,
            r#"(assert_return (invoke "extern" (ref.null extern)) (ref.extern))"#,
        ),
        // Globals.
        (
            AssertReturn,
            r#"(assert_return (get "g") (i32.const 42))"#,
            r#"(assert_return (get "g") (i32.const 7))"#,
        ),
        (
            AssertReturn,
            r#"(assert_return (get $m "v") (i32.const 7))"#,
            r#"(assert_return (get $m "one") (i32.const 7))"#,
        ),
        // Traps.
        (
            AssertTrap,
            r#"(assert_trap (invoke "unreachable") "unreachable")"#,
            r#"(assert_trap (invoke "unreachable") "integer overflow")"#,
        ),
        (
            AssertTrap,
            r#"(assert_trap (invoke "unreachable") "unreachable")"#,
            r#"(assert_trap (invoke "none") "unreachable")"#,
        ),
        (
            AssertTrap,
            r#"(assert_trap (invoke "load" (i32.const 65533)) "out of bounds memory access")"#,
            r#"(assert_trap (invoke "load" (i32.const 65532)) "out of bounds memory access")"#,
        ),
        (
            AssertTrap,
            r#"(assert_trap (invoke "call" (i32.const 1)) "uninitialized element 1")"#,
            r#"(assert_trap (invoke "call" (i32.const 1)) "undefined element")"#,
        ),
        (
            AssertTrap,
            r#"(assert_trap (invoke "call" (i32.const 4)) "undefined element")"#,
            r#"(assert_trap (invoke "call" (i32.const 0)) "undefined element")"#,
        ),
        (
            AssertTrap,
            r#"(assert_trap (module (func $f unreachable) (start $f)) "unreachable")"#,
            r#"(assert_trap (module (func $f) (start $f)) "unreachable")"#,
        ),
        // A full stack.
        (
            AssertExhaustion,
            r#"(assert_exhaustion (invoke "deep") "call stack exhausted")"#,
            r#"(assert_exhaustion (invoke "none") "call stack exhausted")"#,
        ),
        (
            AssertExhaustion,
            r#"(assert_exhaustion (invoke "deep") "call stack exhausted")"#,
            r#"(assert_exhaustion (invoke "unreachable") "call stack exhausted")"#,
        ),
        // Exceptions.
        (
            AssertException,
            r#"(assert_exception (invoke "throw"))"#,
            r#"(assert_exception (invoke "none"))"#,
        ),
        (
            AssertException,
            r#"(assert_exception (invoke "throw"))"#,
            r#"(assert_exception (invoke "unreachable"))"#,
        ),
        // Loading.
        (
            AssertInvalid,
            r#"(assert_invalid (module (func (result i32))) "type mismatch")"#,
            r#"(assert_invalid (module (func)) "type mismatch")"#,
        ),
        (
            AssertInvalid,
            r#"(assert_invalid (module (func (result i32))) "type mismatch")"#,
            r#"(assert_invalid (module binary "\00asm") "type mismatch")"#,
        ),
        (
            AssertInvalid,
            r#"(assert_invalid (module quote "(func (result i32))") "type mismatch")"#,
            r#"(assert_invalid (module quote "(fun)") "type mismatch")"#,
        ),
        (
            AssertMalformed,
            r#"(assert_malformed (module quote "(fun)") "unexpected token")"#,
            r#"(assert_malformed (module quote "(func)") "unexpected token")"#,
        ),
        (
            AssertMalformed,
            r#"(assert_malformed (module binary "\00asm") "unexpected end")"#,
            r#"(assert_malformed (module binary "\00asm\01\00\00\00") "unexpected end")"#,
        ),
        (
            AssertMalformed,
            r#"(assert_malformed (module binary "") "unexpected end")"#,
            r#"(assert_malformed (module quote "(func (result i32))") "type mismatch")"#,
        ),
        // Linking.
        (
            AssertUnlinkable,
            r#"(assert_unlinkable (module (import "spectest" "no" (func))) "unknown import")"#,
            r#"(assert_unlinkable (module (import "spectest" "print" (func))) "unknown import")"#,
        ),
        (
            AssertUnlinkable,
            r#"(assert_unlinkable (module (import "spectest" "print" (global i32))) "incompatible import type")"#,
            r#"(assert_unlinkable (module (import "spectest" "print" (global i32))) "unknown import")"#,
        ),
        (
            AssertUnlinkable,
            r#"(assert_unlinkable (module (import "spectest" "global_i32" (global i64))) "incompatible import type")"#,
            r#"(assert_unlinkable (module (func $f unreachable) (start $f)) "incompatible import type")"#,
        ),
        // Directives that are no assertions.
        (Module, "(module)", r#"(module (import "no" "no" (func)))"#),
        (Module, "(module)", "(module (func (result i32)))"),
        (Module, r#"(module quote "(func)")"#, r#"(module quote "(fun)")"#),
        (Register, r#"(register "n" $m)"#, r#"(register "n" $n)"#),
        (Invoke, r#"(invoke "none")"#, r#"(invoke "unreachable")"#),
        (
            ModuleDefinition,
            "(module definition $d (func))",
            "(module definition $d (func (result i32)))",
        ),
    ]
};

#[test]
fn a_flipped_expectation_fails_and_the_right_one_passes() {
    for &(kind, right, wrong) in PAIRS {
        let passed = run(&format!("{MODULE}{right}"));
        assert_eq!(passed.failures, [], "{right}");
        assert_eq!(passed.skips, [], "{right}");
        assert!(passed.tally(kind).passed >= 1, "{right}");

        let failed = run(&format!("{MODULE}{wrong}"));
        assert_eq!(failed.tally(kind).failed, 1, "{wrong}: {:?}", failed.failures);
        assert_eq!(failed.total().failed, 1, "{wrong}: {:?}", failed.failures);
        assert_eq!(failed.failures[0].kind, kind);
    }
}

#[test]
fn failures_say_where_what_and_why() {
    let report = run(
        "(module (func (export \"f\") (result i32) (i32.const 1)))\n\n   (assert_return (invoke \"f\") (i32.const 2))",
    );
    let [failure] = report.failures.as_slice() else { panic!("{report:?}") };
    assert_eq!(failure.to_string(), "test.wast:3:5: assert_return: expected i32 2, got i32 1");
    assert_eq!(failure.script(), "test.wast");
    assert_eq!(failure.line_and_column(), (3, 5));
}

#[test]
fn a_script_that_cannot_be_read_is_one_failure() {
    for script in ["(module", "(assert_nonsense)", "(module) \"", "(module (func (i32.nonsense)))"]
    {
        let report = run(script);
        assert_eq!(report.total(), Tally { failed: 1, ..Tally::default() }, "{script}");
        assert_eq!(report.tally(DirectiveKind::Script).failed, 1, "{script}");
    }
}

#[test]
fn a_failure_does_not_end_a_script_unless_asked() {
    let wrong = r#"(assert_return (invoke "one") (i32.const 2))"#;
    let script = format!("{MODULE}{wrong}{wrong}");
    assert_eq!(run(&script).total(), Tally { passed: 1, failed: 2, skipped: 0 });
    let mut options = RunOptions::default();
    options.stop_at_failure = true;
    assert_eq!(run_with(&options, &script).total(), Tally { passed: 1, failed: 1, skipped: 0 });
}

#[test]
fn instances_and_names() {
    let report = run(r#"(module $a (global $g (export "g") (mut i32) (i32.const 1))
                (func (export "inc") (global.set $g (i32.add (global.get $g) (i32.const 1)))))
            (register "a")
            (module $b (import "a" "g" (global (mut i32))) (import "a" "inc" (func $inc))
                (func (export "g") (result i32) (call $inc) (global.get 0)))
            (assert_return (invoke "g") (i32.const 2))
            (assert_return (get $a "g") (i32.const 2))
            (module definition $d (global (export "g") (mut i32) (i32.const 1))
                (func (export "set") (global.set 0 (i32.const 9))))
            (module instance $i $d)
            (module instance $j $d)
            (invoke $i "set")
            (assert_return (get $i "g") (i32.const 9))
            (assert_return (get $j "g") (i32.const 1))
            (assert_return (get "g") (i32.const 1))"#);
    assert_eq!(report.failures, []);
    assert_eq!(report.total().passed, 12);
}

#[test]
fn nothing_runs_on_an_older_instance_after_a_module_failed() {
    let report = run(r#"(module (func (export "f")))
            (module (import "no" "no" (func)))
            (invoke "f")"#);
    assert_eq!(report.total(), Tally { passed: 1, failed: 2, skipped: 0 });
}

#[test]
fn what_is_not_implemented_is_skipped_not_passed() {
    let report = run(r#"(component)
            (module $m (func (export "f")))
            (assert_suspension (invoke "f") "unhandled")
            (assert_malformed_custom (module quote "(@custom)") "")
            (assert_invalid_custom (module quote "(@custom)") "")"#);
    assert_eq!(report.failures, []);
    assert_eq!(report.total(), Tally { passed: 1, failed: 0, skipped: 4 });
}

#[test]
fn threads_see_shared_memories_and_nothing_else() {
    let report = run(r#"(module $m (memory (export "s") 1 1 shared) (memory (export "p") 1))
            (thread $t (shared (module $m))
                (register "m" $m)
                (module (memory (import "m" "s") 1 1 shared))
                (assert_unlinkable (module (memory (import "m" "p") 1)) "unknown import")
                (assert_return (invoke "f")))
            (wait $t)
            (wait $t)"#);
    // In the thread nothing is called "f", and it can be waited for once.
    assert_eq!(report.failures.len(), 2, "{:?}", report.failures);
    assert_eq!(report.total(), Tally { passed: 6, failed: 2, skipped: 0 });
}

#[test]
fn the_host_module_is_there() {
    let report = run(r#"(module
                (import "spectest" "print" (func))
                (import "spectest" "print_i32" (func (param i32)))
                (import "spectest" "print_i64" (func (param i64)))
                (import "spectest" "print_f32" (func (param f32)))
                (import "spectest" "print_f64" (func (param f64)))
                (import "spectest" "print_i32_f32" (func $if (param i32 f32)))
                (import "spectest" "print_f64_f64" (func (param f64 f64)))
                (import "spectest" "global_i32" (global i32))
                (import "spectest" "global_i64" (global i64))
                (import "spectest" "global_f32" (global f32))
                (import "spectest" "global_f64" (global f64))
                (import "spectest" "table" (table 10 20 funcref))
                (import "spectest" "table64" (table i64 10 20 funcref))
                (import "spectest" "memory" (memory 1 2))
                (func (export "run") (result i32 i64 f32 f64)
                    (call $if (i32.const 1) (f32.const 1))
                    (global.get 0) (global.get 1) (global.get 2) (global.get 3)))
            (assert_return (invoke "run")
                (i32.const 666) (i64.const 666) (f32.const 666.6) (f64.const 666.6))"#);
    assert_eq!(report.failures, []);
}

#[test]
fn fuel_is_granted_to_each_action() {
    let script = r#"(module (func (export "f") (param i32)
            (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
        (assert_return (invoke "f" (i32.const 10)))
        (assert_return (invoke "f" (i32.const 10)))
        (assert_trap (invoke "f" (i32.const 1000)) "all fuel consumed")"#;
    let mut options = RunOptions::default();
    options.fuel = Some(100);
    assert_eq!(run_with(&options, script).failures, []);
}
