//! Threads of a WASIX guest, of which one forks or acts for a child while the others go on.

use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use wasmoor_tests::binary::{finish, wasmoor};

const LIMIT: Duration = Duration::from_secs(60);
const TIERS: [&str; 4] = ["auto", "baseline", "optimizing", "mixed:7"];

/// What the guest's function answers in each tier.
fn check(options: &[&str], root: Option<&Path>, function: &str, expected: &str) -> Result<()> {
    for tier in TIERS {
        let mut command = Command::new(wasmoor());
        command.args(["run", "--tier", tier, "--invoke", function]).args(options);
        if let Some(root) = root {
            command.arg("--dir").arg(format!("{}::/", root.display()));
        }
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("wasix/apart.wat"));
        let run = finish(command, b"", LIMIT)?;
        let (stdout, stderr) = (run.stdout(), &run.stderr);
        ensure!(stdout == format!("{expected}\n"), "{tier} {function}: {stdout}{stderr}");
    }
    Ok(())
}

#[test]
fn a_fork_does_not_wait_for_itself_when_a_bound_socket_is_closed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ["--net=unix:*", "--max-open-files", "1000"];
    check(&options, Some(folder.path()), "sockets_that_go", "50")
}

#[test]
fn a_child_keeps_nothing_open_that_another_thread_has_for_its_own_child() -> Result<()> {
    check(&[], None, "pipe_of_a_fork", "2137")
}

/// Ends with the number of descriptors that it can open.
const OPENS: &str = r#"(module
    (import "wasix_32v1" "fd_event" (func $fd_event (param i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $count i32)
        (loop $l (if (i32.eqz (call $fd_event (i64.const 0) (i32.const 0) (i32.const 16))) (then
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br $l))))
        (call $exit (local.get $count))))"#;

#[test]
fn open_files_are_counted_where_threads_act_for_children() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("opens.wasm"), wat::parse_str(OPENS)?)?;
    let options = ["--max-open-files", "20"];
    check(&options, Some(folder.path()), "closed_meanwhile", "1000")?;
    check(&options, None, "dup2_at_the_limit", "0")
}

#[test]
fn a_thread_that_acts_for_a_child_starts_no_thread() -> Result<()> {
    check(&[], None, "thread_of_a_child", "58")
}

#[test]
fn a_thread_that_ends_while_it_acts_for_a_child_takes_no_process_with_it() -> Result<()> {
    check(&["--max-processes", "5"], None, "ended_apart", "0")
}
