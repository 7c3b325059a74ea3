//! `wasmoor compile`: machine code ahead of time.

use crate::args::Compile;
use crate::progress::Progress;
use crate::report::{Failure, printable};
use crate::{input, validate};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wasmoor::{Config, Engine, Module};

/// Rights of the file: nobody else may write what will be run.
const RIGHTS: u32 = 0o644;

/// Compiles a module and writes it with its code.
///
/// # Errors
/// The module cannot be read or compiled, or the file cannot be written.
pub(crate) fn run(args: &Compile) -> Result<(), Failure> {
    let (bytes, _) = input::read_module(&args.file)?;
    let mut config = Config::new();
    config.tier(args.tier).fuel(args.fuel).threads(validate::threads());
    let engine = Engine::new(&config).map_err(Failure::error)?;
    let shown = printable(&args.file.display().to_string());
    let in_file = |error| Failure::error(error).context(format_args!("`{shown}`"));
    let module = Module::from_shared(&engine, bytes, &|_, _| {}).map_err(in_file)?;
    let progress = Progress::new();
    let code = module.serialize_with_progress(&|done, all| progress.report(done, all));
    progress.finish();
    let code = code.map_err(in_file)?;
    let shown = printable(&args.output.display().to_string());
    replace(&args.output, &code)
        .map_err(|error| Failure::error(error).context(format_args!("cannot write `{shown}`")))
}

/// Writes a file beside the one meant, and puts it in its place: whoever runs the old one goes on
/// undisturbed.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = temporary(path);
    let mut options = OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(RIGHTS)
        .open(&temporary)
        .and_then(|mut file: File| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}
