//! `cargo xtask bench`: our times, beside those of the peers that are installed.
//!
//! The contenders take turns, case by case; each figure is a median, and a ratio is our time over
//! the peer's (below 1: we are faster). `$PEERS` names the folder whose `bin` has the peers.

mod startup;
mod steady;

use crate::process;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// A runtime that takes part.
struct Contender {
    name: &'static str,
    program: PathBuf,
    /// How it runs a module in `.`, compiled whole with its best compiler.
    steady: &'static [&'static str],
    /// How it runs a module as users do, without a cache on disk.
    start: &'static [&'static str],
    /// How it compiles a module whole.
    compile: Option<&'static [&'static str]>,
}

impl Contender {
    fn is_ours(&self) -> bool {
        self.name == "wasmoor"
    }
}

fn ours(program: PathBuf) -> Contender {
    Contender {
        name: "wasmoor",
        program,
        steady: &["run", "--tier", "optimizing", "--eager", "--dir", "."],
        start: &["run", "--no-cache"],
        compile: Some(&["run", "--tier", "optimizing", "--eager"]),
    }
}

fn peers() -> [Contender; 3] {
    let peer = |name, steady, start, compile| Contender {
        name,
        program: PathBuf::from(name),
        steady,
        start,
        compile,
    };
    [
        peer(
            "wasmtime",
            &["run", "-C", "cache=n", "--dir", "."],
            &["run", "-C", "cache=n"],
            Some(&["compile", "-C", "cache=n", "-o", "/dev/null"]),
        ),
        peer("wasmer", &["run", "--cranelift", "--volume", ".:/"], &["run", "--cranelift"], None),
        peer("wasmi", &["--dir", "."], &[], None),
    ]
}

#[derive(Default)]
struct Options {
    steady: bool,
    startup: bool,
    runs: usize,
    out: Option<PathBuf>,
    binary: Option<PathBuf>,
    names: Vec<String>,
}

/// Measures and prints the tables.
///
/// # Errors
/// An option is wrong, what is to be run is missing, or ours fails on it.
pub fn run(args: &[String]) -> Result<()> {
    let options = options(args)?;
    let contenders = contenders(&options)?;
    let mut tables = Vec::new();
    if options.startup {
        tables.push(startup::run(&options, &contenders)?);
    }
    if options.steady {
        tables.push(steady::run(&options, &contenders)?);
    }
    let text = tables.join("\n");
    println!("\n{text}");
    match options.out {
        Some(path) => {
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
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
            "--binary" => {
                options.binary = Some(args.next().context("--binary needs a file")?.into());
            }
            "steady" => options.steady = true,
            "startup" => options.startup = true,
            flag if flag.starts_with('-') => bail!("unknown option {flag}"),
            name => options.names.push(name.to_owned()),
        }
    }
    if options.runs == 0 {
        bail!("--runs must be at least 1");
    }
    if !options.steady && !options.startup {
        (options.steady, options.startup) = (true, true);
    }
    Ok(options)
}

/// Ours first, then the peers that are installed.
fn contenders(options: &Options) -> Result<Vec<Contender>> {
    let mut contenders = vec![ours(binary(options)?)];
    let Some(folder) = std::env::var_os("PEERS").map(PathBuf::from) else {
        println!("PEERS is not set: measuring without a peer");
        return Ok(contenders);
    };
    for peer in peers() {
        let program = folder.join("bin").join(&peer.program);
        if program.is_file() {
            contenders.push(Contender { program, ..peer });
        } else {
            println!("left out: {} is not in {}", peer.name, folder.join("bin").display());
        }
    }
    Ok(contenders)
}

/// `--binary`, else what `cargo build --release` makes.
fn binary(options: &Options) -> Result<PathBuf> {
    if let Some(path) = &options.binary {
        return std::path::absolute(path).context("--binary");
    }
    process::run(process::cargo().args(["build", "--quiet", "--release", "--bin", "wasmoor"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(target.unwrap_or_else(|| process::workspace_root().join("target")).join("release/wasmoor"))
}

fn median(mut times: Vec<f64>) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    match times.len() {
        0 => None,
        n if n % 2 == 1 => Some(times[n / 2]),
        n => Some((times[n / 2 - 1] + times[n / 2]) / 2.0),
    }
}

fn geomean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(geomean(&[]), None);
        assert_eq!(geomean(&[2.0, 0.5]), Some(1.0));
    }

    #[test]
    fn options_are_read() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let read = |line: &str| options(&words(line));
        let some = read("steady --runs 3 fib2").expect("options");
        assert!(some.steady && !some.startup && some.runs == 3 && some.names == ["fib2"]);
        assert!(read("fib2").is_ok_and(|all| all.steady && all.startup));
        for wrong in ["--runs 0", "--runs x", "--runs", "--fast"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
