//! What `cargo metadata` says about the workspace, reduced to what the checks need.

use crate::process;
use anyhow::{Context, Result};
use serde::Deserialize;

/// The answer of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The packages: the workspace's own, or all of them.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression.
    pub license: Option<String>,
    /// Where it comes from; `None` for packages of the workspace.
    pub source: Option<String>,
    /// What it depends on.
    pub dependencies: Vec<Dependency>,
    /// The table `[package.metadata]`.
    #[serde(default)]
    pub metadata: serde_json::Value,
}

/// An edge of the graph.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package depended on.
    pub name: String,
    /// `None` for ordinary dependencies, else `dev` or `build`.
    pub kind: Option<String>,
}

impl Package {
    /// The floor that the package states in `[package.metadata.wasmoor]`.
    #[must_use]
    pub fn floor(&self) -> Option<u64> {
        self.metadata.get("wasmoor")?.get("floor")?.as_u64()
    }
}

/// The packages of the workspace. Needs no network.
///
/// # Errors
/// Cargo fails, or answers with something else.
pub fn workspace() -> Result<Metadata> {
    read(&["--no-deps", "--offline"])
}

/// Every package of the locked graph.
///
/// # Errors
/// As [`workspace`].
pub fn all() -> Result<Metadata> {
    read(&["--locked"])
}

fn read(options: &[&str]) -> Result<Metadata> {
    let mut command = process::cargo();
    command.args(["metadata", "--format-version", "1"]).args(options);
    let json = process::output(&mut command)?;
    serde_json::from_slice(&json).context("cannot read the answer of cargo metadata")
}
