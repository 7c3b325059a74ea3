//! `cargo xtask test`: everything that must pass before a change lands, cheapest first.

use crate::{process, tidy};
use anyhow::Result;
use std::process::Command;
use std::time::Instant;

/// A named step.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("formatting", formatting),
    ("tidy", tidy::run),
    ("clippy", clippy),
    ("without networking", without_networking),
    ("the command line", build_cli),
    ("tests", tests),
    ("doc tests", doc_tests),
    ("real programs", programs),
];

/// Runs all steps; stops at the first that fails.
///
/// # Errors
/// A step fails.
pub fn run() -> Result<()> {
    let start = Instant::now();
    for (name, step) in STEPS {
        println!("== {name} (at {:.0} s)", start.elapsed().as_secs_f64());
        step()?;
    }
    println!("== all passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn formatting() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let mut command = process::cargo();
    command.args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    process::run(&mut command)
}

/// An embedder of preview 1 need not have networking in the program.
fn without_networking() -> Result<()> {
    let mut command = process::cargo();
    command.args(["clippy", "--package", "wasmoor-wasi-p1", "--package", "wasmoor-host"]);
    process::run(command.args(["--quiet", "--", "-D", "warnings"]))
}

/// The tests of the command run it as built for development, with all its checks.
fn build_cli() -> Result<()> {
    process::run(process::cargo().args(["build", "--bin", "wasmoor"]))
}

fn nextest_exists() -> bool {
    process::output(process::cargo().args(["nextest", "--version"])).is_ok()
}

fn tests() -> Result<()> {
    let mut command = process::cargo();
    if nextest_exists() {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        command.args(["-E", "not binary(programs)"]);
    } else {
        println!("cargo-nextest is not installed; cargo test does the same, slower");
        command.args(["test", "--workspace", "--all-targets", "--no-fail-fast"]);
        command.args(["--", "--skip", "program_"]);
    }
    process::run(&mut command)
}

fn doc_tests() -> Result<()> {
    process::run(process::cargo().args(["test", "--workspace", "--doc", "--quiet"]))
}

fn programs() -> Result<()> {
    let mut command: Command = process::cargo();
    command.args(["test", "--package", "wasmoor-tests", "--test", "programs"]);
    process::run(command.args(["--", "--nocapture", "--test-threads=1"]))
}
