//! `wasmoor validate`: whether modules are valid, and if not, why and where.

use crate::args::Validate;
use crate::input;
use crate::report::{self, Failure, printable};
use std::path::Path;
use wasmoor_module::{Features, Module};

/// Checks every file, and says of each that is not valid why.
///
/// # Errors
/// The last file that cannot be read or is not valid; those before it are reported.
pub(crate) fn run(args: &Validate) -> Result<(), Failure> {
    let features = args.proposals.features(Features::default());
    let mut last = None;
    for file in &args.files {
        if let Err(failure) = check(file, features)
            && let Some(Failure { message: Some(message), .. }) = last.replace(failure)
        {
            report::error_line(&message);
        }
    }
    last.map_or(Ok(()), Err)
}

fn check(file: &Path, features: Features) -> Result<(), Failure> {
    load_with(file, features).map(drop)
}

/// Reads, decodes and validates a module with the proposals that the engine implements.
///
/// # Errors
/// The file cannot be read or is no valid module; the message names it.
pub(crate) fn load(file: &Path) -> Result<Module, Failure> {
    load_with(file, Features::default())
}

fn load_with(file: &Path, features: Features) -> Result<Module, Failure> {
    let (bytes, _) = input::read_module(file)?;
    let shown = printable(&file.display().to_string());
    Module::parse(bytes, &features, threads())
        .map_err(|error| Failure::error(error).context(format_args!("`{shown}`")))
}

/// Threads for work on one module.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
