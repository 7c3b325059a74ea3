//! The kernels to measure: the modules of `testdata/bench` with a timer merged in.
//!
//! `benches/timer.wat` takes the place of their `bench` imports, so that every runtime runs the same
//! plain WASI files. Merging needs `wasm-merge`, fetched from npm once. The corpus lies in the
//! user's cache: `$CORPUS`, else the `corpus` folder of the cache for Wasmoor.

use crate::{process, programs};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules that need what no plain WASI runtime offers: components, garbage collection, a neural
/// network; and the many small ones of libsodium, whose times are all start-up.
const LEFT_OUT: &[&str] = &["kotlin", "cm-", "image-", "libsodium", "splay", "noop"];

const PROPOSALS: &[&str] = &[
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-call-indirect-overlong",
];

/// A kernel, ready to run with its folder as current folder.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its name; the module is `NAME.wasm`.
    pub name: String,
    /// Its folder, with its inputs.
    pub folder: PathBuf,
}

/// Where the test data of the project lies: `$WASMOOR_TESTDATA`, else beside the checkout.
#[must_use]
pub fn testdata() -> PathBuf {
    std::env::var_os("WASMOOR_TESTDATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| process::workspace_root().join("../shared/testdata"))
}

/// The kernels of the corpus, by name; makes what is missing.
///
/// # Errors
/// The test data or the tools are missing.
pub fn kernels() -> Result<Vec<Kernel>> {
    let corpus = match std::env::var_os("CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => programs::user_cache()?.join("corpus"),
    }
    .join("kernels");
    if !corpus.is_dir() {
        make(&corpus)?;
    }
    let mut kernels = Vec::new();
    for entry in std::fs::read_dir(&corpus)? {
        let folder = entry?.path();
        let name = file_stem(&folder);
        if folder.join(format!("{name}.wasm")).is_file() {
            kernels.push(Kernel { name, folder });
        }
    }
    kernels.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(kernels)
}

fn make(corpus: &Path) -> Result<()> {
    let bench = testdata().join("bench");
    if !bench.is_dir() {
        bail!("no kernels in {}: set WASMOOR_TESTDATA", bench.display());
    }
    let merge = merge_tool()?;
    for folder in folders(&bench)? {
        for module in folders_files(&folder, "wasm")? {
            let (folder_name, stem) = (file_stem(&folder), file_stem(&module));
            let name = match stem.as_str() {
                "benchmark" => folder_name,
                other => other.trim_start_matches("shootout-").to_owned(),
            };
            if LEFT_OUT.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            add(&merge, &module, &corpus.join(&name), &name)?;
        }
    }
    Ok(())
}

fn add(merge: &Path, module: &Path, target: &Path, name: &str) -> Result<()> {
    std::fs::create_dir_all(target)?;
    let timer = process::workspace_root().join("benches/timer.wat");
    let mut command = Command::new(merge);
    command.args(PROPOSALS).arg("--rename-export-conflicts");
    command.arg(module).arg("main").arg(timer).arg("bench");
    process::output(command.arg("-o").arg(target.join(format!("{name}.wasm"))))?;
    let source = module.parent().context("a module lies in a folder")?;
    for file in std::fs::read_dir(source)? {
        let file = file?.path();
        if file.file_name().is_some_and(|name| name.to_string_lossy().contains(".input")) {
            std::fs::copy(&file, target.join(file.file_name().unwrap_or_default()))?;
        }
    }
    let expected = source.join(format!("{}.stdout.expected", file_stem(module)));
    if expected.is_file() {
        std::fs::copy(expected, target.join("stdout.expected"))?;
    }
    Ok(())
}

/// `wasm-merge`, installed from npm into the cache if the machine has none.
fn merge_tool() -> Result<PathBuf> {
    if process::exists("wasm-merge") {
        return Ok("wasm-merge".into());
    }
    let folder = programs::user_cache()?.join("npm");
    let tool = folder.join("node_modules/.bin/wasm-merge");
    if !tool.is_file() {
        std::fs::create_dir_all(&folder)?;
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-fund", "--no-audit", "--silent", "binaryen@132.0.0"]);
        process::output(npm.current_dir(&folder)).context("installing wasm-merge from npm")?;
    }
    Ok(tool)
}

fn folders(parent: &Path) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(parent)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

fn folders_files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

fn file_stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
