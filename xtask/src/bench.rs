//! `cargo xtask bench`: run times of the kernels in steady state, beside the peers that are there.
//!
//! Each kernel prints the time between its `bench.start` and `bench.end` itself, so neither start-up
//! nor compilation counts. The contenders take turns, kernel by kernel; each figure is a median, and
//! the ratio is our time over the peer's (below 1: we are faster).

use crate::corpus::{self, Kernel};
use crate::process;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A runtime that takes part.
struct Contender {
    name: &'static str,
    program: PathBuf,
    args: &'static [&'static str],
}

/// Peers looked for in `$PEERS/bin`: name of the binary and how it runs a module in `.`.
const PEERS: &[(&str, &[&str])] = &[
    ("wasmtime", &["run", "--dir", "."]),
    ("wasmer", &["run", "--cranelift", "--volume", ".:/"]),
    ("wasmi", &["--dir", "."]),
];

#[derive(Default)]
struct Options {
    runs: usize,
    out: Option<PathBuf>,
    kernels: Vec<String>,
}

/// Measures and prints the table.
///
/// # Errors
/// An option is wrong, the kernels are missing, or ours fails on one of them.
pub fn run(args: &[String]) -> Result<()> {
    let options = options(args)?;
    process::run(process::cargo().args(["build", "--quiet", "--release", "--bin", "wasmoor"]))?;
    let contenders = contenders()?;
    let mut table = header(&contenders);
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for kernel in corpus::kernels()? {
        if !options.kernels.is_empty() && !options.kernels.contains(&kernel.name) {
            continue;
        }
        let times = measure(&kernel, &contenders, options.runs)?;
        let row = row(&kernel.name, &times, &mut ratios);
        print!("{row}");
        table.push_str(&row);
    }
    table.push_str(&geomeans(&ratios));
    println!("\n{table}");
    match options.out {
        Some(path) => {
            std::fs::write(&path, table).with_context(|| format!("cannot write {}", path.display()))
        }
        None => Ok(()),
    }
}

fn options(args: &[String]) -> Result<Options> {
    let mut options = Options { runs: 5, ..Options::default() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--runs" => {
                let runs = args.next().context("--runs needs a number")?;
                options.runs = runs.parse().with_context(|| format!("--runs {runs}"))?;
            }
            "--out" => options.out = Some(args.next().context("--out needs a file")?.into()),
            flag if flag.starts_with('-') => bail!("unknown option {flag}"),
            kernel => options.kernels.push(kernel.to_owned()),
        }
    }
    if options.runs == 0 {
        bail!("--runs must be at least 1");
    }
    Ok(options)
}

/// Ours first, then the peers that are installed.
fn contenders() -> Result<Vec<Contender>> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| process::workspace_root().join("target"));
    let mut contenders = vec![Contender {
        name: "wasmoor",
        program: target.join("release/wasmoor"),
        args: &["run", "--eager", "--dir", "."],
    }];
    let peers = std::env::var_os("PEERS").map(PathBuf::from);
    let Some(peers) = peers else {
        println!("PEERS is not set: measuring without a peer");
        return Ok(contenders);
    };
    for &(name, args) in PEERS {
        let program = peers.join("bin").join(name);
        if program.is_file() {
            contenders.push(Contender { name, program, args });
        } else {
            println!("left out: {name} is not in {}", peers.join("bin").display());
        }
    }
    Ok(contenders)
}

/// Median seconds of each contender; `None` for a peer that fails.
fn measure(kernel: &Kernel, contenders: &[Contender], runs: usize) -> Result<Vec<Option<f64>>> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..runs {
        for (contender, times) in contenders.iter().zip(&mut times) {
            match once(kernel, contender) {
                Ok(seconds) => times.push(seconds),
                Err(error) if contender.name == "wasmoor" => return Err(error),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}

fn once(kernel: &Kernel, contender: &Contender) -> Result<f64> {
    let output = Command::new(&contender.program)
        .args(contender.args)
        .arg(format!("{}.wasm", kernel.name))
        .current_dir(&kernel.folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", contender.name))?;
    let printed = String::from_utf8_lossy(&output.stderr);
    let time = printed
        .lines()
        .find_map(|line| line.strip_prefix("bench_ns="))
        .and_then(|digits| digits.trim().parse::<u64>().ok());
    match time {
        Some(ns) if output.status.success() => Ok(ns as f64 / 1e9),
        _ => bail!("{} on {}: {} {printed}", contender.name, kernel.name, output.status),
    }
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    match times.len() {
        0 => None,
        n if n % 2 == 1 => Some(times[n / 2]),
        n => Some((times[n / 2 - 1] + times[n / 2]) / 2.0),
    }
}

fn header(contenders: &[Contender]) -> String {
    let mut text = String::from("| kernel | wasmoor ms |");
    for contender in &contenders[1..] {
        let _ = write!(text, " {0} ms | wasmoor / {0} |", contender.name);
    }
    let columns = 2 * contenders.len();
    text + "\n|" + &"---|".repeat(columns) + "\n"
}

fn row(name: &str, times: &[Option<f64>], ratios: &mut [Vec<f64>]) -> String {
    let ours = times.first().copied().flatten();
    let mut text = format!("| {name} | {} |", cell(ours.map(|seconds| seconds * 1e3), 2));
    for (peer, ratios) in times.iter().zip(ratios).skip(1) {
        let ratio = ours.zip(*peer).map(|(ours, peer)| ours / peer);
        ratios.extend(ratio);
        let _ = write!(text, " {} | {} |", cell(peer.map(|s| s * 1e3), 2), cell(ratio, 3));
    }
    text + "\n"
}

fn geomeans(ratios: &[Vec<f64>]) -> String {
    let mut text = String::from("| **geomean** | |");
    for ratios in ratios.iter().skip(1) {
        let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
        let mean = (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp());
        let _ = write!(text, " | {} |", cell(mean, 3));
    }
    text + "\n"
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_tables() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let mut ratios = vec![vec![], vec![]];
        let text = row("fib2", &[Some(0.002), Some(0.004)], &mut ratios);
        assert_eq!(text, "| fib2 | 2.00 | 4.00 | 0.500 |\n");
        row("sieve", &[Some(0.004), Some(0.002)], &mut ratios);
        assert_eq!(geomeans(&ratios), "| **geomean** | | | 1.000 |\n");
    }
}
