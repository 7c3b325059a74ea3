//! One program, native and as a guest: bytes and errors are the same.
//!
//! `tests/guests/NAME_check.c` is both. What the native program prints is recorded in `NAME_check.out`,
//! so that a guest can be compared where there is no compiler. The command runs each guest as named:
//! tier by `--tier`, on demand; and again while signals break off whatever it waits in.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use wasmoor_tests::binary::{CACHE_VARIABLE, Finished, finish, finish_during, wasmoor};
use wasmoor_tests::guest::{self, left_out};
use wasmoor_tests::storm::Storm;

const TIERS: [&str; 3] = ["auto", "baseline", "optimizing"];
const LIMIT: Duration = Duration::from_secs(60);
const CHECKS: [&str; 7] = [
    "net_check",
    "file_check",
    "process_check",
    "signal_check",
    "thread_check",
    "limits_check",
    "fault_check",
];
/// Descriptors of `limits_check`, by the command for the guest and by the system for the native program.
const DESCRIPTORS: &str = "48";

/// Where a check runs: with itself as `program`, a text that is no program, and a directory.
fn folder(program: &Path) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(program, at("program")).expect("the program is there");
    std::fs::write(at("text"), "no program\n").expect("a file");
    let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(at("text"), may_run).expect("it is ours");
    std::fs::create_dir(at("dir")).expect("a folder");
    std::fs::write(at("dir/inner"), "inner").expect("a file");
    folder
}

fn record(check: &str) -> String {
    std::fs::read_to_string(guest::path(&format!("{check}.out"))).expect("it is in the tree")
}

/// `wasmoor run` of a check in its folder.
fn command(folder: &TempDir, options: &[&str]) -> Command {
    let mut command = Command::new(wasmoor());
    command.args(["run", "--net", "--dir", ".::/"]).args(options).args(["program", "./program"]);
    command.current_dir(folder.path()).env_clear().env(CACHE_VARIABLE, "off");
    command
}

fn compare(check: &str, how: &str, finished: &Finished) {
    assert_eq!(finished.stdout(), record(check), "{check}, {how}: {}", finished.stderr);
    assert!(finished.status.success(), "{check}, {how}: {}", finished.stderr);
}

/// The same for a check in a tier.
fn guest_command(check: &str, tier: &str, folder: &TempDir) -> Command {
    let limited = ["--tier", tier, "--max-open-files", DESCRIPTORS];
    command(folder, if check == "limits_check" { &limited } else { &limited[..2] })
}

fn check_in_each_tier(check: &str) {
    for tier in TIERS {
        let folder = folder(&guest::path(&format!("{check}.wasm")));
        let finished = finish(guest_command(check, tier, &folder), b"", LIMIT).expect("it ends");
        compare(check, tier, &finished);
    }
}

#[test]
fn sockets_and_sets() {
    check_in_each_tier("net_check");
}

#[test]
fn files_and_descriptors() {
    check_in_each_tier("file_check");
}

#[test]
fn processes() {
    check_in_each_tier("process_check");
}

#[test]
fn signals_and_timers() {
    check_in_each_tier("signal_check");
}

#[test]
fn threads_and_futexes() {
    check_in_each_tier("thread_check");
}

/// No descriptors left, and buffers that take next to nothing.
#[test]
fn limits_of_the_system() {
    check_in_each_tier("limits_check");
}

/// A program that goes on whatever the system answers; `injected.rs` has it answer all sorts of things.
#[test]
fn what_passes() {
    check_in_each_tier("fault_check");
}

/// Signals that are for the engine, and mean nothing now, end every call of the host that waits, in each
/// thread and each child: the guest sees none of it.
#[test]
fn calls_that_are_broken_off_go_on() {
    for (check, tier) in CHECKS.iter().zip(TIERS.iter().cycle()) {
        let folder = folder(&guest::path(&format!("{check}.wasm")));
        let command = guest_command(check, tier, &folder);
        let (finished, storm) = finish_during(command, LIMIT, Storm::over).expect("it ends");
        compare(check, &format!("{tier} in a storm"), &finished);
        assert!(storm.end() >= 10, "{check}: there was no storm");
    }
}

/// What is recorded is what this machine's own kernel and C library answer.
#[test]
fn the_records_are_the_native_programs() {
    let built = TempDir::new().expect("a folder");
    for check in CHECKS {
        let program = built.path().join(check);
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-w", "-pthread", "-o"]).arg(&program);
        compiler.arg(guest::path(&format!("{check}.c"))).stderr(Stdio::null());
        match compiler.status() {
            Ok(status) => assert!(status.success(), "{check} does not compile"),
            Err(error) => return left_out("the native programs", &error),
        }
        let folder = folder(&program);
        let mut native = Command::new("/bin/sh");
        let limit = if check == "limits_check" { DESCRIPTORS } else { "1000" };
        native.args(["-c", &format!("ulimit -n {limit}; exec ./program ./program")]);
        native.current_dir(folder.path()).env_clear();
        compare(check, "native", &finish(native, b"", LIMIT).expect("it ends"));
    }
}
