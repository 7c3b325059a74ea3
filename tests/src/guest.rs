//! Guests of tests: text modules in `tests/guests`, and what is left out where something is missing.

use std::path::PathBuf;
use xtask::process;

/// Path of `tests/guests/NAME`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    process::workspace_root().join("tests/guests").join(name)
}

/// The binary form of `tests/guests/NAME`.
///
/// # Panics
/// The file is missing or no module: a mistake in the tree.
#[must_use]
pub fn binary(name: &str) -> Vec<u8> {
    wat::parse_file(path(name)).expect("the guest is a module")
}

/// Says that a test was left out; in continuous integration that is a failure.
///
/// # Panics
/// `CI=true`.
pub fn left_out(what: &str, reason: &dyn std::fmt::Display) {
    let line = format!("left out: {what}: {reason:#}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
    println!("{line}");
}
