//! Real programs out of package registries: the manifest, the cache, and how each is fetched.
//!
//! Nothing of the programs is kept in the repository. `tests/programs/programs.toml` names package,
//! version and file; the registry's own client (`npm pack`, `pip download --no-deps`) downloads the
//! package into a folder of the cache, which appears under its final name only when it is complete.

use crate::process;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The programs, in order.
    pub program: Vec<Program>,
}

/// A program, where it comes from and one run of it.
///
/// In `files`, `dirs` and `unpack`, `{tmp}` stands for a fresh folder and `{pkg}` for the package.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Name in reports.
    pub name: String,
    /// Which client fetches it.
    pub registry: Registry,
    /// Package in the registry.
    pub package: String,
    /// Exact version of the package.
    pub version: String,
    /// Licence of package and program, for readers.
    pub licence: String,
    /// The module, inside the package.
    pub file: String,
    /// Bytes of the module.
    pub size: u64,
    /// Arguments after the program's name.
    #[serde(default)]
    pub args: Vec<String>,
    /// Standard input.
    #[serde(default)]
    pub stdin: String,
    /// Environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Files to write beforehand: path and content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Archives (.tar.gz) of the package to unpack: archive and folder.
    #[serde(default)]
    pub unpack: BTreeMap<String, String>,
    /// Directories to grant, each `HOST:GUEST`.
    #[serde(default)]
    pub dirs: Vec<String>,
    /// Exact standard output.
    pub stdout: Option<String>,
    /// Texts that standard output contains.
    #[serde(default)]
    pub stdout_contains: Vec<String>,
    /// Files that are there afterwards, and a text in each.
    #[serde(default)]
    pub writes: BTreeMap<String, String>,
    /// Exit status.
    #[serde(default)]
    pub status: i32,
}

/// A package registry, by its client.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    /// `npm pack`.
    Npm,
    /// `pip download --no-deps`.
    Pypi,
}

impl Registry {
    /// As in the manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Registry::Npm => "npm",
            Registry::Pypi => "pypi",
        }
    }
}

/// The manifest of this repository.
///
/// # Errors
/// The file cannot be read or does not have the form.
pub fn manifest() -> Result<Manifest> {
    let path = process::workspace_root().join("tests/programs/programs.toml");
    let text =
        std::fs::read_to_string(&path).context("cannot read tests/programs/programs.toml")?;
    toml::from_str(&text).context("tests/programs/programs.toml")
}

/// `$WASMOOR_PROGRAMS`, else the `programs` folder of the user's cache for Wasmoor.
///
/// # Errors
/// There is no home folder.
pub fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("WASMOOR_PROGRAMS") {
        return Ok(folder.into());
    }
    Ok(user_cache()?.join("programs"))
}

/// The user's cache folder for Wasmoor, outside the repository.
///
/// # Errors
/// There is no home folder.
pub fn user_cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder).join("wasmoor"));
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(PathBuf::from(home).join(".cache/wasmoor"))
}

/// The folder of a program's package, downloaded if it is not there yet.
///
/// # Errors
/// The client or the network is missing, or the module has another size than the manifest says.
pub fn fetch(program: &Program) -> Result<PathBuf> {
    let cache = cache_folder()?;
    let folder = cache.join(format!(
        "{}-{}@{}",
        program.registry.name(),
        program.package.replace(['/', '@'], "_"),
        program.version
    ));
    if !folder.is_dir() {
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("cannot create {}", cache.display()))?;
        download(program, &cache, &folder)?;
    }
    let module = folder.join(&program.file);
    let size = std::fs::metadata(&module)
        .with_context(|| format!("{}: no {} in the package", program.name, program.file))?
        .len();
    if size != program.size {
        bail!("{}: {} has {size} bytes, not {}", program.name, program.file, program.size);
    }
    Ok(folder)
}

fn download(program: &Program, cache: &Path, folder: &Path) -> Result<()> {
    let partial = cache.join(format!(".partial-{}-{}", std::process::id(), program.name));
    std::fs::create_dir_all(&partial)?;
    let result = match program.registry {
        Registry::Npm => npm(program, &partial),
        Registry::Pypi => pip(program, &partial),
    };
    // Another process may have been faster; either copy is complete.
    let result = result.and_then(|()| match std::fs::rename(&partial, folder) {
        Err(_) if folder.is_dir() => Ok(()),
        other => other.with_context(|| format!("cannot create {}", folder.display())),
    });
    if partial.exists() {
        let _ = std::fs::remove_dir_all(&partial);
    }
    result
}

fn npm(program: &Program, folder: &Path) -> Result<()> {
    let package = format!("{}@{}", program.package, program.version);
    process::output(Command::new("npm").args(["pack", "--silent", &package]).current_dir(folder))
        .context("fetching from npm")?;
    let archive = only_file(folder)?;
    untar(&archive, folder)?;
    std::fs::remove_file(archive).context("removing the archive")
}

fn pip(program: &Program, folder: &Path) -> Result<()> {
    let package = format!("{}=={}", program.package, program.version);
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", &package]);
    process::output(command.current_dir(folder)).context("fetching from PyPI")?;
    let wheel = only_file(folder)?;
    let mut unzip = Command::new("python3");
    unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder);
    process::output(&mut unzip)?;
    std::fs::remove_file(wheel).context("removing the wheel")
}

/// Unpacks a `.tar.gz` into a folder, which is created.
///
/// # Errors
/// `tar` is missing or fails.
pub fn untar(archive: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    process::output(Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(folder)).map(drop)
}

fn only_file(folder: &Path) -> Result<PathBuf> {
    let mut files = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    match (files.pop(), files.len()) {
        (Some(file), 0) => Ok(file.path()),
        (_, others) => bail!("expected one downloaded file, found {}", others),
    }
}

/// `cargo xtask fetch [NAME...]`.
///
/// # Errors
/// A name is unknown, or a program cannot be fetched.
pub fn run(names: &[String]) -> Result<()> {
    let manifest = manifest()?;
    for name in names {
        if !manifest.program.iter().any(|program| program.name == *name) {
            let known: Vec<&str> = manifest.program.iter().map(|p| p.name.as_str()).collect();
            bail!("no program `{name}`; there are: {}", known.join(", "));
        }
    }
    for program in &manifest.program {
        if names.is_empty() || names.contains(&program.name) {
            let folder = fetch(program)?;
            println!("{:14} {}", program.name, folder.join(&program.file).display());
        }
    }
    Ok(())
}
