//! `cargo xtask guests`: rebuilds the guest modules whose sources are in the tree.
//!
//! A guest that needs a toolchain most machines lack is committed as `NAME.wasm` beside its source,
//! with the source's hash in `guests.lock`; `tidy` fails when a source changed and its module did
//! not. Guests in the text format need no toolchain and are never committed in binary form.
//!
//! A source with a script of the same name beside it (`NAME.sh`) is built by that: its first lines
//! say what it needs. Guests in Rust are one package in `rust`, with a script of its own.

use crate::process;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = "tests/guests";
const LOCK: &str = "tests/guests/guests.lock";
/// The package of guests in Rust, within the folder.
const PACKAGE: &str = "rust";

/// Compilers to try, the newest first: program and Debian packages.
const COMPILERS: &[(&str, &str)] = &[
    ("clang-22", "clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32"),
    ("clang-19", "clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"),
    ("clang", "clang lld wasi-libc libclang-rt-dev-wasm32"),
];

/// Rebuilds every `tests/guests/*.c` and `*.cpp` and the package in Rust, and rewrites the lock.
///
/// # Errors
/// A compiler is missing (the message names it) or fails.
pub fn run() -> Result<()> {
    let sources = sources()?;
    if sources.is_empty() {
        println!("no guest needs a toolchain: all are in the text format");
        return Ok(());
    }
    process::run(&mut Command::new(
        process::workspace_root().join(FOLDER).join(PACKAGE).join("build.sh"),
    ))?;
    for source in sources.iter().filter(|source| is_guest(source) && !is_rust(source)) {
        let script = source.with_extension("sh");
        if script.is_file() {
            process::run(&mut Command::new(script))?;
        } else {
            compile(source)?;
        }
        println!("built {}", source.with_extension("wasm").display());
    }
    std::fs::write(process::workspace_root().join(LOCK), lock(&sources)?)?;
    Ok(())
}

fn compile(source: &Path) -> Result<()> {
    let Some((compiler, _)) = COMPILERS.iter().find(|(program, _)| process::exists(program)) else {
        bail!("no C compiler for wasm32-wasi: apt-get install {}", COMPILERS[0].1);
    };
    let mut command = Command::new(compiler);
    command.args(["--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-Wl,--strip-all", "-o"]);
    process::run(command.arg(source.with_extension("wasm")).arg(source))
}

/// Whether a file becomes a module: each in C, and each program in Rust.
fn is_guest(path: &Path) -> bool {
    let is_program = || {
        std::fs::read_to_string(path)
            .is_ok_and(|text| text.lines().any(|l| l.starts_with("fn main(")))
    };
    path.extension().is_some_and(|extension| {
        extension == "c" || extension == "cpp" || (extension == "rs" && is_program())
    })
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Where the module of a source lies: beside it, or beside the package.
fn module(source: &Path) -> PathBuf {
    let name = source.with_extension("wasm");
    let name = name.file_name().unwrap_or_default();
    process::workspace_root().join(FOLDER).join(name)
}

/// What is stale: sources whose hash differs from the lock's, and missing modules.
///
/// # Errors
/// A file cannot be read.
pub fn stale() -> Result<Vec<String>> {
    let sources = sources()?;
    let mut wrong: Vec<String> = sources
        .iter()
        .filter(|source| is_guest(source) && !module(source).is_file())
        .map(|source| format!("{} has no module: run cargo xtask guests", source.display()))
        .collect();
    let recorded =
        std::fs::read_to_string(process::workspace_root().join(LOCK)).unwrap_or_default();
    if recorded != lock(&sources)? {
        wrong.push(format!("{LOCK} does not match the sources: run cargo xtask guests"));
    }
    Ok(wrong)
}

/// Sources, what they include, and the scripts that build them.
fn sources() -> Result<Vec<PathBuf>> {
    let folder = process::workspace_root().join(FOLDER);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut sources = files(&folder, &["c", "cpp", "h", "s", "sh"])?;
    sources.extend(files(&folder.join(PACKAGE), &["rs", "toml", "lock", "sh"])?);
    Ok(sources)
}

fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| {
        path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
    });
    files.sort();
    Ok(files)
}

fn lock(sources: &[PathBuf]) -> Result<String> {
    let folder = process::workspace_root().join(FOLDER);
    let mut text = String::new();
    for source in sources {
        let name = source.strip_prefix(&folder).unwrap_or(source).display();
        writeln!(text, "{:016x} {name}", hash(source)?)?;
    }
    Ok(text)
}

/// FNV-1a: enough to notice a change, and the same on every machine.
fn hash(path: &Path) -> Result<u64> {
    struct Fnv(u64);
    impl Hasher for Fnv {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for &byte in bytes {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    hasher.write(&bytes);
    Ok(hasher.finish())
}
