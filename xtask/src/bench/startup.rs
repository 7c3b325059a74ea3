//! From the start of the process to its end: small and large programs without any cache, and the
//! CPU time of compiling a large module whole.

use super::{Contender, Options, cell, median};
use crate::process;
use crate::programs::{self, Program};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took, in seconds.
#[derive(Clone, Copy)]
struct Times {
    wall: f64,
    cpu: f64,
}

/// Something to measure.
struct Case {
    name: &'static str,
    module: PathBuf,
    args: &'static [&'static str],
    /// CPU time of compiling the module whole, rather than the time until the program has ended.
    compile: bool,
}

/// Runs the cases and returns the table.
///
/// # Errors
/// A program cannot be fetched, or ours fails.
pub(super) fn run(options: &Options, contenders: &[Contender]) -> Result<String> {
    let mut table = String::from("| case | time |");
    for contender in contenders {
        let _ = write!(table, " {} ms |", contender.name);
    }
    table += &format!("\n|{}\n", "---|".repeat(contenders.len() + 2));
    for case in cases()? {
        if !options.names.is_empty() && !options.names.iter().any(|name| name == case.name) {
            continue;
        }
        let row = row(&case, contenders, options.runs)?;
        print!("{row}");
        table += &row;
    }
    Ok(table)
}

fn cases() -> Result<Vec<Case>> {
    let manifest = programs::manifest()?;
    let module = |name: &str| -> Result<PathBuf> {
        let program: Option<&Program> = manifest.program.iter().find(|p| p.name == name);
        let program = program.with_context(|| format!("{name} is not in the manifest"))?;
        Ok(programs::fetch(program)?.join(&program.file))
    };
    let esbuild = module("esbuild")?;
    let python = module("python-3.12")?;
    let hello = process::workspace_root().join("tests/guests/hello.wat");
    let case = |name, module: &PathBuf, args, compile| Case {
        name,
        module: module.clone(),
        args,
        compile,
    };
    Ok(vec![
        case("hello", &hello, &[], false),
        case("esbuild --version", &esbuild, &["--version"], false),
        case("python -c pass", &python, &["-c", "pass"], false),
        case("compile esbuild", &esbuild, &["--version"], true),
        case("compile python", &python, &["--version"], true),
    ])
}

fn row(case: &Case, contenders: &[Contender], runs: usize) -> Result<String> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..runs {
        for (contender, times) in contenders.iter().zip(&mut times) {
            match once(case, contender) {
                Ok(Some(time)) => times.push(if case.compile { time.cpu } else { time.wall }),
                Ok(None) => {}
                Err(error) if contender.is_ours() => return Err(error),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }
    let kind = if case.compile { "CPU" } else { "wall" };
    let mut row = format!("| {} | {kind} |", case.name);
    for times in times {
        let _ = write!(row, " {} |", cell(median(times).map(|seconds| seconds * 1e3), 1));
    }
    Ok(row + "\n")
}

/// `None`: this contender has no way to do it.
fn once(case: &Case, contender: &Contender) -> Result<Option<Times>> {
    let mut command = Command::new(&contender.program);
    if case.compile {
        // We have no command that only compiles yet: the short run is counted against us.
        let Some(args) = contender.compile else { return Ok(None) };
        command.args(args).arg(&case.module);
        if contender.is_ours() {
            command.args(case.args);
        }
    } else {
        command.args(contender.start).arg(&case.module).args(case.args);
    }
    let cpu = children_cpu_seconds();
    let start = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", contender.name))?;
    let wall = start.elapsed().as_secs_f64();
    if !output.status.success() {
        let printed = String::from_utf8_lossy(&output.stderr);
        bail!("{} on {}: {} {printed}", contender.name, case.name, output.status);
    }
    Ok(Some(Times { wall, cpu: children_cpu_seconds() - cpu }))
}

/// CPU seconds of the processes that this one has waited for; whole ticks of 10 ms. 0 where the
/// system does not tell.
fn children_cpu_seconds() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return 0.0 };
    // The name, in brackets, may hold anything; user and system time of children are the 14th and
    // 15th field behind it.
    let Some((_, fields)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks = |at: usize| fields.split_whitespace().nth(at).and_then(|text| text.parse().ok());
    ticks(13).zip(ticks(14)).map_or(0.0, |(user, system): (f64, f64)| (user + system) / 100.0)
}
