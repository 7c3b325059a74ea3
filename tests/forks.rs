//! Forks in the middle of compiling, and deadlines of children.

use anyhow::{Result, ensure};
use std::process::Command;
use std::time::Duration;
use wasmoor_tests::binary::{finish, wasmoor};

const LIMIT: Duration = Duration::from_secs(60);
const TIERS: [&str; 3] = ["auto", "baseline", "optimizing"];

/// A guest that gets hot functions going, forks, and calls 1,000 new functions on either side.
fn many_functions() -> String {
    let one = |name: char, n: u32| {
        let rest = n % 63;
        format!(
            "(func ${name}{n} (param i64) (result i64) (local i64) (loop $l
                (local.set 1 (i64.add (local.get 1) (i64.rotl (local.get 0) (i64.const {rest}))))
                (br_if $l (i64.ne (i64.const 0)
                    (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
                (i64.add (local.get 1) (i64.const {n})))\n"
        )
    };
    let new: String = (0..1000).map(|n| one('f', n)).collect();
    let hot: String = (0..20).map(|n| one('h', n)).collect();
    let names: String = (0..1000).map(|n| format!(" $f{n}")).collect();
    let hot_names: String = (0..20).map(|n| format!(" $h{n}")).collect();
    format!(
        r#"(module
        (import "wasix_32v1" "proc_fork" (func $fork (param i32 i32) (result i32)))
        (import "wasix_32v1" "proc_join" (func $join (param i32 i32 i32) (result i32)))
        (import "wasix_32v1" "proc_exit2" (func $exit (param i32)))
        (memory (export "memory") 1)
        (type $t (func (param i64) (result i64)))
        (table 1020 funcref) (elem (i32.const 0){names}{hot_names})
        {new}{hot}
        (func $call (param $from i32) (param $to i32) (param $rounds i64) (result i64)
            (local $sum i64)
            (loop $l
                (local.set $sum (i64.add (local.get $sum)
                    (call_indirect (type $t) (local.get $rounds) (local.get $from))))
                (br_if $l (i32.lt_u
                    (local.tee $from (i32.add (local.get $from) (i32.const 1))) (local.get $to))))
            (local.get $sum))
        (func $hot (drop (call $call (i32.const 1000) (i32.const 1020) (i64.const 1000000))))
        (func $new (result i32)
            (i32.and (i32.const 63)
                (i32.wrap_i64 (call $call (i32.const 0) (i32.const 1000) (i64.const 50)))))
        (func (export "run") (result i32) (local $new i32)
            (call $hot)
            (drop (call $fork (i32.const 1) (i32.const 16)))
            (local.set $new (call $new))
            (if (i32.eqz (i32.load (i32.const 16))) (then
                (call $hot)
                (call $exit (i32.add (i32.const 1) (local.get $new)))))
            (i64.store (i32.const 24) (i64.const 0))
            (drop (call $join (i32.const 24) (i32.const 0) (i32.const 32)))
            ;; 1: both sides computed the same.
            (i32.sub (i32.load16_u (i32.const 34)) (local.get $new)))
        (func (export "spin") (result i32)
            (drop (call $fork (i32.const 1) (i32.const 16)))
            (if (i32.eqz (i32.load (i32.const 16))) (then (loop $l (br $l))))
            (drop (call $join (i32.const 24) (i32.const 0) (i32.const 32)))
            ;; Its time may be up a moment later than that of the child.
            (loop $l (br $l))
            (i32.const 0)))"#
    )
}

#[test]
fn children_compile_on_their_own_and_their_time_is_up_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let module = folder.path().join("many.wasm");
    std::fs::write(&module, wat::parse_str(many_functions())?)?;
    let run = |tier: &str, options: &[&str]| {
        let mut command = Command::new(wasmoor());
        command.args(["run", "--tier", tier]).args(options).arg(&module);
        finish(command, b"", LIMIT)
    };
    for tier in TIERS {
        let run = run(tier, &["--invoke", "run"])?;
        ensure!(run.stdout() == "1\n", "{tier}: {} {}", run.stdout(), run.stderr);
    }
    for tier in TIERS {
        // Standard error ends when both have ended.
        let run = run(tier, &["--timeout", "500ms", "--invoke", "spin"])?;
        ensure!(run.status.code() == Some(134), "{tier}: {}", run.status);
        let ended = run.stderr.matches("deadline exceeded").count();
        ensure!(ended == 2, "{tier}: {}", run.stderr);
    }
    Ok(())
}

/// Threads whose third instance waits for ever in its start function, and a fork that waits for it.
const ENDLESS_START: &str = r#"(module
    (import "wasix_32v1" "thread_spawn_v2" (func $spawn (param i32 i32) (result i32)))
    (import "wasix_32v1" "thread_sleep" (func $sleep (param i64) (result i32)))
    (import "wasix_32v1" "proc_fork" (func $fork (param i32 i32) (result i32)))
    (import "env" "memory" (memory 1 1 shared))
    (export "memory" (memory 0))
    (start $start)
    (func $start
        (if (i32.eq (i32.atomic.rmw.add (i32.const 512) (i32.const 1)) (i32.const 2))
            (then (drop (memory.atomic.wait32 (i32.const 600) (i32.const 0) (i64.const -1))))))
    (func (export "wasi_thread_start") (param i32 i32)
        (drop (call $spawn (i32.const 64) (i32.const 516))))
    (func $main (export "_start")
        (drop (call $spawn (i32.const 64) (i32.const 520)))
        (drop (call $sleep (i64.const 300_000_000)))
        (drop (call $fork (i32.const 0) (i32.const 700)))))"#;

#[test]
fn a_fork_that_waits_for_a_thread_hears_the_deadline() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("endless.wat");
    std::fs::write(&path, ENDLESS_START)?;
    for tier in TIERS {
        let mut command = Command::new(wasmoor());
        command.args(["run", "--no-cache", "--tier", tier, "--timeout", "800ms"]).arg(&path);
        let text = finish(command, b"", LIMIT)?.stderr;
        ensure!(text.contains("deadline exceeded"), "{tier}: {text}");
        // Otherwise it was ended from outside.
        ensure!(text.contains("main"), "{tier}: no backtrace: {text}");
    }
    Ok(())
}
