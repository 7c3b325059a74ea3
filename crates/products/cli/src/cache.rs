//! `wasmoor cache`: what is kept of earlier runs.

use crate::args::CacheCommand;
use crate::load;
use crate::report::{self, Failure};
use crate::units::show_bytes;

/// Shows or removes what the cache holds.
///
/// # Errors
/// There is no cache, or its directory cannot be used.
pub(crate) fn run(command: &CacheCommand) -> Result<(), Failure> {
    let cache = match load::directory() {
        Some(cache) => cache.map_err(Failure::error)?,
        None => return Err(Failure::error("the cache is switched off, or has no home")),
    };
    match command {
        CacheCommand::Status => {
            let status = cache.status().map_err(Failure::error)?;
            report::print(&format!(
                "directory    {}\nmodules      {}\nsize         {} of at most {}\n",
                report::printable(&cache.path().display().to_string()),
                status.modules,
                show_bytes(status.bytes),
                show_bytes(status.bytes_max),
            ))
        }
        CacheCommand::Clean { keep } => {
            let removed = cache.shrink(keep.unwrap_or(0)).map_err(Failure::error)?;
            report::print(&format!("removed {}\n", show_bytes(removed)))
        }
    }
}
