//! `cargo xtask tidy`: checks of the tree that no compiler makes.
//!
//! Each check looks at one file, or at the graph of crates, and answers with lines that name what is
//! wrong. Files are those that git knows or would add, so a forgotten file is checked too.

use crate::metadata::{self, Metadata};
use crate::{floors, guests, process};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;

/// Where files and guests reach the code of crates: it denies what panics, outside of its tests.
const GUESTS_REACH: [&str; 4] =
    ["crates/base/", "crates/compile/", "crates/engine/", "crates/worlds/"];
/// ... by these lints, where an exception has its reason.
const NO_PANICS: &str =
    "deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)";
/// The command reads files, too.
const COMMAND: &str = "crates/products/cli/src/main.rs";

/// Lines of a source file above which there are two nouns in it.
const LINES_MAX: usize = 2000;
/// Bytes of a source file; the tables of a compiler may be wide.
const SOURCE_BYTES_MAX: usize = 60 << 10;
/// Bytes of any file but the lock file: test data comes from registries.
const FILE_BYTES_MAX: usize = 1 << 20;
/// The files that may contain unsafe code.
const UNSAFE_LIST: &str = "xtask/unsafe-files.txt";

/// Runs all checks and prints what is wrong.
///
/// # Errors
/// Something is wrong, or a check cannot be made.
pub fn run() -> Result<()> {
    let mut wrong = Vec::new();
    let files = files()?;
    let mut with_unsafe = BTreeSet::new();
    for path in &files {
        let bytes = std::fs::read(process::workspace_root().join(path))
            .with_context(|| format!("cannot read {path}"))?;
        wrong.extend(check_file(path, &bytes));
        if path.ends_with(".rs") && allows_unsafe(&bytes) {
            with_unsafe.insert(path.clone());
        }
    }
    wrong.extend(unsafe_list(&with_unsafe)?);
    let workspace = metadata::workspace()?;
    wrong.extend(floors::violations(&floors::graph(&workspace)));
    wrong.extend(lints_inherited(&files)?);
    wrong.extend(guests::stale()?);
    let policy = std::fs::read_to_string(process::workspace_root().join("deny.toml"))?;
    wrong.extend(dependencies(&metadata::all()?, &Policy::parse(&policy)?));
    for line in &wrong {
        eprintln!("tidy: {line}");
    }
    if !wrong.is_empty() {
        bail!("{} things are untidy", wrong.len());
    }
    println!("tidy: {} files", files.len());
    Ok(())
}

/// Paths of all files that git tracks or would track, from the root.
fn files() -> Result<Vec<String>> {
    let mut git = std::process::Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = process::output(git.current_dir(process::workspace_root()))?;
    let root = process::workspace_root();
    let mut files: Vec<String> = String::from_utf8(listed)
        .context("a file name is not UTF-8")?
        .split('\0')
        .filter(|path| !path.is_empty() && root.join(path).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Checks the content of one file.
fn check_file(path: &str, bytes: &[u8]) -> Vec<String> {
    let mut wrong = Vec::new();
    if bytes.len() > FILE_BYTES_MAX && path != "Cargo.lock" {
        wrong.push(format!("{path} has {} bytes, at most {FILE_BYTES_MAX}", bytes.len()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return wrong };
    if text.contains('\0') {
        return wrong;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        wrong.push(format!("{path} does not end with a newline"));
    }
    // The licence is somebody else's text.
    if path != "LICENSE" {
        wrong.extend(lines(path, text));
    }
    if path.ends_with(".rs") {
        wrong.extend(source(path, text));
    }
    wrong
}

/// Checks that look at single lines.
fn lines(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.ends_with([' ', '\t', '\r']) {
            wrong.push(format!("{path}:{number}: trailing whitespace"));
        }
        if let Some(found) = machine_path(line) {
            wrong.push(format!("{path}:{number}: names a folder of one machine: {found}"));
        }
    }
    wrong
}

/// A path that exists on one machine only. Assembled here so that this file has none itself.
fn machine_path(line: &str) -> Option<String> {
    const FOLDERS: &[&str] = &["tmp", "work", "farm", "root", "home"];
    FOLDERS.iter().map(|folder| format!("/{folder}/")).find(|path| {
        line.match_indices(path.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + path.len()..].chars().next();
            // In `a/work/b` or `{tmp}/x` it is part of a longer, relative path.
            let starts = !before.is_some_and(|c| c.is_alphanumeric() || "}._-*)>".contains(c));
            starts && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
        })
    })
}

/// Checks of Rust files.
fn source(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.lines().count() > LINES_MAX || text.len() > SOURCE_BYTES_MAX {
        wrong.push(format!(
            "{path} has {} lines and {} bytes, at most {LINES_MAX} and {SOURCE_BYTES_MAX}: two nouns in one file?",
            text.lines().count(),
            text.len()
        ));
    }
    let first = text.trim_start();
    let generated_test = path.contains("/tests/") || path.starts_with("tests/");
    if !generated_test && !first.starts_with("//!") && !first.starts_with("#![") {
        wrong.push(format!("{path} has no head comment (//!)"));
    }
    for banned in ["todo", "unimplemented", "dbg"] {
        if text.contains(&format!("{banned}!(")) {
            wrong.push(format!("{path} contains {banned}!"));
        }
    }
    if text.contains(&format!("#[{}]", "ignore")) {
        wrong.push(format!("{path} ignores a test without a reason"));
    }
    let is_reached =
        path.ends_with("/src/lib.rs") && GUESTS_REACH.iter().any(|floor| path.starts_with(floor));
    if (is_reached || path == COMMAND) && !text.contains(NO_PANICS) {
        wrong.push(format!("{path} has no {NO_PANICS}"));
    }
    wrong
}

fn allows_unsafe(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.lines().any(|line| {
        let line = line.trim_start();
        (line.starts_with("#![allow(") || line.starts_with("#[allow("))
            && line.contains("unsafe_code")
    })
}

/// The list of files with unsafe code is the truth: both directions are checked.
fn unsafe_list(found: &BTreeSet<String>) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(process::workspace_root().join(UNSAFE_LIST))
        .with_context(|| format!("cannot read {UNSAFE_LIST}"))?;
    let listed: BTreeSet<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let mut wrong: Vec<String> = found
        .difference(&listed)
        .map(|path| format!("{path} allows unsafe code but is not in {UNSAFE_LIST}"))
        .collect();
    wrong.extend(
        listed
            .difference(found)
            .map(|path| format!("{UNSAFE_LIST} names {path}, which has no unsafe code")),
    );
    for path in found {
        let text = std::fs::read_to_string(process::workspace_root().join(path))?;
        if !text.contains("# Safety") {
            wrong.push(format!("{path} has no `# Safety` section in its head comment"));
        }
    }
    Ok(wrong)
}

/// Every package uses the workspace's lints.
fn lints_inherited(files: &[String]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for path in files.iter().filter(|path| path.ends_with("/Cargo.toml")) {
        let text = std::fs::read_to_string(process::workspace_root().join(path))?;
        let manifest: toml::Table = text.parse().with_context(|| path.clone())?;
        let inherited = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        let ours = manifest.get("package").and_then(|package| package.get("edition"));
        if inherited != Some(true) && ours.is_some() && !Path::new(path).starts_with("fuzz") {
            wrong.push(format!("{path} does not inherit the workspace's lints"));
        }
    }
    Ok(wrong)
}

/// Which crates and licences `deny.toml` allows.
struct Policy {
    licences: Vec<String>,
    banned: Vec<String>,
}

impl Policy {
    fn parse(text: &str) -> Result<Policy> {
        let table: toml::Table = text.parse().context("deny.toml")?;
        let list = |section: &str, key: &str| -> Result<Vec<toml::Value>> {
            let found = table.get(section).and_then(|section| section.get(key));
            let list = found.and_then(toml::Value::as_array);
            list.cloned().with_context(|| format!("deny.toml has no {section}.{key}"))
        };
        let licences = list("licenses", "allow")?;
        let banned = list("bans", "deny")?;
        Ok(Policy {
            licences: licences.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect(),
            banned: banned
                .iter()
                .filter_map(|value| value.get("name").and_then(toml::Value::as_str))
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Whether one alternative of an SPDX expression consists of allowed licences. Brackets are
    /// read as if they were not there, which can only refuse more.
    fn allows(&self, expression: &str) -> bool {
        let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
        plain.split(" OR ").any(|alternative| {
            alternative.split(" AND ").all(|licence| {
                let licence = licence.trim();
                self.licences.iter().any(|allowed| allowed == licence)
            })
        })
    }
}

fn dependencies(metadata: &Metadata, policy: &Policy) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let shown = format!("{} {}", package.name, package.version);
        if policy.banned.contains(&package.name) {
            wrong.push(format!("{shown} is banned by deny.toml"));
        }
        match &package.license {
            Some(licence) if policy.allows(licence) => {}
            Some(licence) => wrong.push(format!("{shown}: licence {licence} is not allowed")),
            None => wrong.push(format!("{shown} states no licence")),
        }
        let foreign = package.source.as_deref().is_some_and(|source| !source.contains("crates.io"));
        if foreign {
            wrong.push(format!("{shown} does not come from crates.io"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_untidy() {
        let path = |folder: &str| format!("see /{folder}/x.txt");
        let cases: &[(String, bool)] = &[
            ("plain".to_owned(), false),
            ("trailing ".to_owned(), true),
            (path("tmp"), true),
            (path("work"), true),
            ("tests/work/x and {tmp}/x".to_owned(), false),
        ];
        for (line, untidy) in cases {
            assert_eq!(!lines("f", line).is_empty(), *untidy, "{line}");
        }
    }

    #[test]
    fn sources_that_are_untidy() {
        let banned = format!("//! Head.\nfn f() {{ {}!() }}\n", "todo");
        let strict = format!("//! Head.\n#![{NO_PANICS}]\n");
        let lax = strict.replace("clippy::expect_used", "clippy::all");
        let allowed = strict.replace("deny", "allow");
        for (path, text, count) in [
            ("crates/a/b/src/lib.rs", "//! Head.\n", 0),
            ("crates/a/b/src/lib.rs", "fn f() {}\n", 1),
            ("crates/a/b/src/lib.rs", banned.as_str(), 1),
            ("crates/a/b/src/lib.rs", lax.as_str(), 0),
            ("crates/worlds/b/src/lib.rs", lax.as_str(), 1),
            ("crates/worlds/b/src/lib.rs", allowed.as_str(), 1),
            (COMMAND, lax.as_str(), 1),
            (COMMAND, strict.as_str(), 0),
            ("crates/engine/b/src/lib.rs", "//! Head.\n", 1),
            ("crates/worlds/b/src/lib.rs", strict.as_str(), 0),
        ] {
            assert_eq!(source(path, text).len(), count, "{path}: {text}");
        }
        let long = format!("//! Head.\n{}", "//\n".repeat(LINES_MAX));
        assert_eq!(source("crates/a/b/src/lib.rs", &long).len(), 1);
    }

    #[test]
    fn licences_and_bans() {
        let text = "[licenses]\nallow = [\"MIT\", \"ISC\"]\n[bans]\ndeny = [{ name = \"bad\" }]\n";
        let policy = Policy::parse(text).expect("the policy parses");
        for (expression, allowed) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND ISC", true),
        ] {
            assert_eq!(policy.allows(expression), allowed, "{expression}");
        }
        assert_eq!(policy.banned, ["bad"]);
    }
}
