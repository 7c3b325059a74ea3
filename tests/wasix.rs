//! WASIX modules of others run as their authors say: the tests of the proposal for threads, modules of
//! 2023 and of today.
//!
//! They lie beside the checkout or in `$WASMOOR_TESTDATA`; without them the test says so, and fails in
//! continuous integration.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use wasmoor_tests::binary::{Finished, finish, finish_with_open_stdin, wasmoor};
use wasmoor_tests::guest::left_out;
use xtask::corpus;

const LIMIT: Duration = Duration::from_secs(60);
const TIERS: [&str; 4] = ["auto", "baseline", "optimizing", "mixed:7"];

/// The folder, if it is there.
fn folder(name: &str) -> Option<PathBuf> {
    let folder = corpus::testdata().join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    left_out(&folder.display().to_string(), &"set WASMOOR_TESTDATA");
    None
}

fn command(tier: &str, options: &[&str], module: &Path) -> Command {
    let mut command = Command::new(wasmoor());
    command.args(["run", "--tier", tier]).args(options).arg(module);
    command
}

/// The status that a test of the proposal wants, as the file beside it says.
fn wanted_status(module: &Path) -> i32 {
    let Ok(text) = std::fs::read_to_string(module.with_extension("json")) else { return 0 };
    let spec: serde_json::Value = serde_json::from_str(&text).expect("the file is JSON");
    spec.get("exit_code").and_then(serde_json::Value::as_i64).unwrap_or(0) as i32
}

#[test]
fn the_tests_of_the_threads_proposal_pass() {
    let Some(folder) = folder("wasi/threads") else { return };
    let mut modules: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    modules.sort();
    assert_eq!(modules.len(), 15, "{modules:?}");
    in_each_tier(|tier| {
        for module in &modules {
            // Some wait for their input, which must not end before they do.
            let finished = finish_with_open_stdin(command(tier, &[], module), LIMIT);
            let finished = finished.unwrap_or_else(|why| panic!("{module:?}, {tier}: {why}"));
            let status = finished.status.code();
            assert_eq!(status, Some(wanted_status(module)), "{module:?}, {tier}: {finished:?}");
        }
    });
}

/// Programs wait most of the time, so tiers need not.
fn in_each_tier(check: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for tier in TIERS {
            let check = &check;
            scope.spawn(move || check(tier));
        }
    });
}

/// A module with what it prints.
struct Case {
    module: &'static str,
    options: &'static [&'static str],
    stdin: &'static str,
    stdout: &'static str,
}

const CASES: &[Case] = &[
    Case { module: "own/threads.wasm", options: &[], stdin: "", stdout: "400000\n" },
    Case {
        module: "legacy-2023/example-condvar.wasm",
        options: &[],
        stdin: "",
        stdout: "condvar1 thread spawn\ncondvar1 thread started\n\
                 condvar1 thread sleep(1sec) start\ncondvar loop\ncondvar wait\n\
                 condvar1 thread sleep(1sec) end\ncondvar1 thread set condition\n\
                 condvar1 thread notify\ncondvar woken\ncondvar parent done\n\
                 condvar1 thread exit\nall done\n",
    },
    Case { module: "legacy-2023/example-sleep.wasm", options: &[], stdin: "", stdout: "" },
    Case {
        module: "legacy-2023/example-longjmp.wasm",
        options: &[],
        stdin: "",
        stdout: "(A1)\n(B1)\n(A2) r=10001\n(B2) r=20001\n(A3) r=10002\n(B3) r=20002\n\
                 (A4) r=10003\n",
    },
    Case {
        module: "legacy-2023/example-stack.wasm",
        options: &[],
        stdin: "",
        stdout: "before long jump\nafter long jump [val=10]\n\
                 before long jump\nafter long jump [val=20]\n",
    },
    Case { module: "legacy-2023/dash.wasm", options: &[], stdin: "echo 2", stdout: "2\n" },
    // Errors of a shell go back to where it reads the next command.
    Case {
        module: "legacy-2023/dash.wasm",
        options: &[],
        stdin: "f() { return 7; }; f; echo $?\ncommand shift 5; echo $?\n\
                x=$(echo sub; echo two); echo $x\n\
                for i in 1 2 3; do test $i = 2 && break; done; echo $i\ntrap 'echo bye' EXIT\n",
        stdout: "7\n2\nsub two\n2\nbye\n",
    },
];

/// Lines, sorted: threads print in any order.
fn lines(finished: &Finished) -> Vec<String> {
    sorted(&finished.stdout())
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn modules_of_both_ages_run() {
    let Some(folder) = folder("wasix") else { return };
    in_each_tier(|tier| {
        for case in CASES {
            let command = command(tier, case.options, &folder.join(case.module));
            let name = format!("{}, {tier}", case.module);
            let finished = finish(command, case.stdin.as_bytes(), LIMIT);
            let finished = finished.unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(finished.status.success(), "{name}: {finished:?}");
            assert_eq!(lines(&finished), sorted(case.stdout), "{name}");
        }
    });
}

/// Threads have values of their own: each sees what it set, and the main thread what it joined.
#[test]
fn values_of_threads_are_their_own() {
    let Some(folder) = folder("wasix/legacy-2023") else { return };
    in_each_tier(|tier| {
        let command = command(tier, &[], &folder.join("example-thread-local.wasm"));
        let finished = finish(command, b"", LIMIT).unwrap_or_else(|why| panic!("{tier}: {why}"));
        assert!(finished.status.success(), "{tier}: {finished:?}");
        let lines = lines(&finished);
        let count = |line: &str| lines.iter().filter(|other| *other == line).count();
        for (line, times) in [
            ("VAR1 in thread step 1: FirstEnum", 12),
            ("VAR1 in thread step 2: FirstEnum", 12),
            ("VAR1 in thread step 3: SecondEnum(4)", 12),
            ("VAR1 in thread step 4: SecondEnum(4)", 12),
            ("VAR1 in main after thread join: SecondEnum(998877)", 1),
        ] {
            assert_eq!(count(line), times, "{tier}: {line}: {lines:?}");
        }
    });
}

/// An editor of 2023 asks its terminal where the cursor is, and says that it was not told.
#[test]
fn an_editor_starts() {
    let Some(modules) = folder("wasix/legacy-2023") else { return };
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("dev")).expect("a folder");
    std::fs::write(folder.path().join("dev/tty"), "").expect("a file");
    let grant = format!("/:{}", folder.path().display());
    in_each_tier(|tier| {
        let command = command(tier, &["--mapdir", &grant], &modules.join("kibi.wasm"));
        let finished = finish(command, b"", LIMIT).unwrap_or_else(|why| panic!("{tier}: {why}"));
        assert!(finished.stdout().starts_with("\x1b[999C\x1b[999B\x1b[6n"), "{tier}: {finished:?}");
        assert!(finished.stderr.contains("UnexpectedEof"), "{tier}: {finished:?}");
    });
}

/// `--max-threads` and `--fuel` bound how many there are.
/// Starts threads that stay until it ends, and ends with the number of those that were started of four.
const STAYING_THREADS: &str = r#"(module
    (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "env" "memory" (memory 1 1 shared))
    (export "memory" (memory 0))
    (func (export "wasi_thread_start") (param i32 i32)
        (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
    (func (export "_start") (local $tries i32) (local $started i32)
        (loop $again
            (local.set $started (i32.add (local.get $started)
                (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))))
            (br_if $again (i32.lt_u
                (local.tee $tries (i32.add (local.get $tries) (i32.const 1))) (i32.const 4))))
        (call $exit (local.get $started))))"#;

#[test]
fn threads_of_a_guest_are_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("threads.wat");
    std::fs::write(&module, STAYING_THREADS).expect("written");
    for (options, started) in [
        (&["--max-threads", "4"][..], 4),
        (&["--max-threads", "2"], 2),
        // Each would have the fuel for itself.
        (&["--fuel", "99999"], 0),
    ] {
        let finished =
            finish(command("auto", options, &module), b"", LIMIT).expect("it ends in time");
        assert_eq!(finished.status.code(), Some(started), "{options:?}: {finished:?}");
    }
}
