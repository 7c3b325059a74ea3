//! `wasmoor wast`: runs scripts of the official test suite and counts what came out.

use crate::args::{self, Wast};
use crate::report::{self, Failure, printable};
use wasmoor::MemoryChoice;
use wasmoor_wast::{Allocator, Report, RunOptions, Runner};

/// Runs all scripts and prints the table.
///
/// # Errors
/// A script cannot be read, or a directive failed or was skipped.
pub(crate) fn run(args: &Wast) -> Result<(), Failure> {
    let mut options = RunOptions::default();
    options.tier = args.tier;
    options.allocator = match args.allocator {
        args::Allocator::OnDemand => Allocator::OnDemand,
        args::Allocator::Pooling => Allocator::Pooling,
        args::Allocator::Dense => Allocator::Dense,
    };
    options.memory = match args.memory {
        args::MemoryMode::Auto => MemoryChoice::Auto,
        args::MemoryMode::Guard => MemoryChoice::Guard,
        args::MemoryMode::Checked => MemoryChoice::Checked,
    };
    options.eager = args.eager;
    options.features = args.proposals.features(args.features);
    options.relaxed_simd_deterministic = args.proposals.deterministic();
    let runner = Runner::new(&options).map_err(Failure::error)?;
    let mut table = Report::new(runner.options());
    for file in &args.files {
        let name = printable(&file.display().to_string());
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::error(format!("cannot read `{name}`: {error}")))?;
        table.add(runner.run(&name, &text));
    }
    report::print(&table.to_string())?;
    let total = table.total();
    if table.is_success() {
        return Ok(());
    }
    Err(Failure::error(format!(
        "{} directives failed, {} were skipped",
        total.failed, total.skipped
    )))
}
