//! Run times of the kernels in steady state.
//!
//! Each kernel prints the time between its `bench.start` and `bench.end` itself, so neither start-up
//! nor compilation counts.

use super::{Contender, Options, cell, geomean, median};
use crate::corpus::{self, Kernel};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::process::{Command, Stdio};

/// Runs the kernels and returns the table.
///
/// # Errors
/// The kernels are missing, or ours fails on one of them.
pub(super) fn run(options: &Options, contenders: &[Contender]) -> Result<String> {
    let mut table = header(contenders);
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for kernel in corpus::kernels()? {
        if !options.names.is_empty() && !options.names.contains(&kernel.name) {
            continue;
        }
        let times = measure(&kernel, contenders, options.runs)?;
        let row = row(&kernel.name, &times, &mut ratios);
        print!("{row}");
        table.push_str(&row);
    }
    table.push_str(&geomeans(&ratios));
    Ok(table)
}

/// Median seconds of each contender; `None` for a peer that fails.
fn measure(kernel: &Kernel, contenders: &[Contender], runs: usize) -> Result<Vec<Option<f64>>> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..runs {
        for (contender, times) in contenders.iter().zip(&mut times) {
            match once(kernel, contender) {
                Ok(seconds) => times.push(seconds),
                Err(error) if contender.is_ours() => return Err(error),
                Err(error) => eprintln!("{error:#}"),
            }
        }
    }
    Ok(times.into_iter().map(median).collect())
}

fn once(kernel: &Kernel, contender: &Contender) -> Result<f64> {
    let output = Command::new(&contender.program)
        .args(contender.steady)
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
        let _ = write!(text, " | {} |", cell(geomean(ratios), 3));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let mut ratios = vec![vec![], vec![]];
        let text = row("fib2", &[Some(0.002), Some(0.004)], &mut ratios);
        assert_eq!(text, "| fib2 | 2.00 | 4.00 | 0.500 |\n");
        row("sieve", &[Some(0.004), Some(0.002)], &mut ratios);
        assert_eq!(geomeans(&ratios), "| **geomean** | | | 1.000 |\n");
    }
}
