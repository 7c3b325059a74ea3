//! Fuzzes for a while, prints what was done, and keeps what engines disagree about.
//!
//! ```text
//! cargo run -p wasmoor-fuzz --release -- --seconds 600 --seed 7
//! cargo run -p wasmoor-fuzz --release -- --only smith:123456
//! cargo run -p wasmoor-fuzz --release -- failing.wat
//! ```

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wasmoor_fuzz::campaign::{Breadth, Campaign, cases, on_large_stack};
use wasmoor_fuzz::differ::Mismatch;
use wasmoor_fuzz::generate::{Case, Source};
use wasmoor_fuzz::script::Plan;

/// Runs generated modules on Wasmoor's tiers and on wasmi, and compares.
#[derive(Debug, Parser)]
struct Arguments {
    /// Modules to run, in either form, instead of generated ones.
    files: Vec<PathBuf>,
    /// How long to go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where to begin; each case has the next number.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only the case with this source and seed, as reports name it.
    #[arg(long, value_name = "SOURCE:SEED")]
    only: Option<String>,
    /// Only modules of this source.
    #[arg(long, value_name = "SOURCE", conflicts_with = "only")]
    source: Option<String>,
    /// Folder for modules that engines disagree about.
    #[arg(long, default_value = "target/fuzz")]
    out: PathBuf,
    /// Ends after so many disagreements.
    #[arg(long, default_value_t = 20)]
    mismatches_max: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    on_large_stack(|| if arguments.files.is_empty() { run(&arguments) } else { files(&arguments) })
}

/// Runs given modules; prints where engines disagree.
fn files(arguments: &Arguments) -> Result<()> {
    let mut campaign = Campaign::new()?;
    let plan = Plan { instance_per_function: true, calls_per_function: 20, far_from_limits: false };
    let mut disagreements = 0;
    for path in &arguments.files {
        let report = campaign.check(&wat::parse_file(path)?, plan, arguments.seed);
        match (&report.refused, &report.mismatch) {
            (_, Some(mismatch)) => {
                println!("{}: {}: {}", path.display(), mismatch.subject, mismatch.what);
                disagreements += 1;
            }
            (Some(why), None) => println!("{}: refused by wasmi: {why}", path.display()),
            (None, None) => println!("{}: {} calls agree", path.display(), report.calls),
        }
    }
    if disagreements > 0 {
        bail!("engines disagree about {disagreements} modules");
    }
    Ok(())
}

fn run(arguments: &Arguments) -> Result<()> {
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make {}", arguments.out.display()))?;
    let mut campaign = Campaign::new()?;
    let start = Instant::now();
    let mut reported = start;
    for case in selected(arguments)? {
        // If a case kills the process, it lies here.
        std::fs::write(arguments.out.join("current.wasm"), &case.wasm)?;
        if let Some(mismatch) = campaign.run(&case, Breadth::All) {
            keep(&arguments.out, &mut campaign, &case, &mismatch)?;
        }
        if reported.elapsed() > Duration::from_secs(30) {
            reported = Instant::now();
            print(&campaign, start);
        }
        let over = start.elapsed() >= Duration::from_secs(arguments.seconds);
        if over || campaign.totals.mismatches >= arguments.mismatches_max {
            break;
        }
    }
    print(&campaign, start);
    if arguments.only.is_none() {
        println!("operators never executed: {}", campaign.coverage.missing().join(" "));
    }
    if campaign.totals.mismatches > 0 {
        bail!("engines disagree: see {}", arguments.out.display());
    }
    Ok(())
}

/// The cases that the arguments ask for.
fn selected(arguments: &Arguments) -> Result<Box<dyn Iterator<Item = Case>>> {
    if let Some(name) = &arguments.source {
        let (source, first) = (source(name)?, arguments.seed);
        return Ok(Box::new((first..).filter_map(move |seed| Case::new(source, seed))));
    }
    let Some(only) = &arguments.only else { return Ok(Box::new(cases(arguments.seed))) };
    let (name, seed) = only.split_once(':').context("--only wants SOURCE:SEED")?;
    let source = source(name)?;
    let case = Case::new(source, seed.parse()?).context("the seed makes no module")?;
    Ok(Box::new(std::iter::once(case)))
}

fn source(name: &str) -> Result<Source> {
    let source = Source::ALL.iter().find(|known| known.name() == name);
    source.copied().with_context(|| format!("no source is called {name}"))
}

fn print(campaign: &Campaign, start: Instant) {
    let totals = campaign.totals;
    let (executed, all) = campaign.coverage.counts();
    println!(
        "{:5.0} s: {} cases ({} refused), {} calls compared, {} traps, {} backtraces compared, {} disagreements, {executed} of {all} operators",
        start.elapsed().as_secs_f64(),
        totals.cases,
        totals.refused,
        totals.calls,
        totals.traps,
        totals.backtraces,
        totals.mismatches,
    );
}

/// Prints a disagreement and writes the case and its reduction to files.
fn keep(out: &Path, campaign: &mut Campaign, case: &Case, mismatch: &Mismatch) -> Result<()> {
    let name = format!("{}-{}", case.source.name(), case.seed);
    println!("{}:{}: {}: {}", case.source.name(), case.seed, mismatch.subject, mismatch.what);
    std::fs::write(out.join(format!("{name}.wasm")), &case.wasm)?;
    let small = campaign.reduce(case);
    let again = campaign.check(&small, case.source.plan(), case.seed).mismatch;
    let again = again.as_ref().unwrap_or(mismatch);
    let header = format!(";; {}: {}\n", again.subject, again.what);
    let text = wasmprinter::print_bytes(&small)?;
    let path = out.join(format!("{name}.wat"));
    std::fs::write(&path, header + &text)?;
    println!("  reduced to {}", path.display());
    Ok(())
}
