//! What accompanies the code: traps, relocations, polls, addresses; and what is refused.

use crate::{aarch64, compile, compiler, module, unoptimized, x86_64};
use std::collections::BTreeSet;
use wasmoor_abi::tables::AddressEntry;
use wasmoor_abi::trap::FaultKind;
use wasmoor_abi::{DefinedFuncIndex, Tunables};
use wasmoor_codegen::{
    CallMode, CompileError, CompiledFunction, FunctionCompiler, RelocationKind, RelocationTarget,
};
use wasmoor_optimizing::{Budget, OptLevel, OptimizingCompiler, Options, SetupError, Target};

/// The first function of a module, for x86-64.
fn first(text: &str, tunables: &Tunables, calls: CallMode) -> CompiledFunction {
    let mut worker = compiler(&x86_64()).worker();
    compile(&mut *worker, &module(text), 0, tunables, calls).unwrap_or_else(|e| panic!("{e}"))
}

/// Kinds of faults, each once, in the order of their numbers.
fn faults(function: &CompiledFunction) -> Vec<&'static str> {
    let numbers: BTreeSet<u8> = function.traps.iter().map(|trap| trap.kind.number()).collect();
    numbers
        .into_iter()
        .filter_map(FaultKind::from_number)
        .map(|kind| match kind {
            FaultKind::Trap(code) => code.message(),
            FaultKind::Poll => "poll",
        })
        .collect()
}

/// A function body, the faults that its code has, and its polls.
const FAULTS: &[(&str, &[&str], u32)] = &[
    ("(result i32) i32.const 1", &[], 0),
    ("unreachable", &["unreachable"], 0),
    ("(param i32) (result i32) local.get 0 i32.load", &["out of bounds memory access"], 0),
    ("(param i32) local.get 0 i64.const 1 i64.store", &["out of bounds memory access"], 0),
    ("(param v128) i32.const 1 local.get 0 v128.store", &["out of bounds memory access"], 0),
    (
        "(param i32 i32) (result i32) local.get 0 local.get 1 i32.div_u",
        &["integer divide by zero"],
        0,
    ),
    (
        "(param i32 i32) (result i32) local.get 0 local.get 1 i32.div_s",
        &["integer overflow", "integer divide by zero"],
        0,
    ),
    (
        "(param f32) (result i32) local.get 0 i32.trunc_f32_s",
        &["integer overflow", "invalid conversion to integer"],
        0,
    ),
    ("(param f32) (result i32) local.get 0 i32.trunc_sat_f32_s", &[], 0),
    ("loop br 0 end", &["poll"], 1),
    ("loop loop br 1 end end", &["poll"], 2),
    ("(param i32) loop local.get 0 br_if 0 loop local.get 0 br_if 0 end end", &["poll"], 2),
    // Loops that nothing enters are gone, with their polls.
    ("return loop br 0 end", &[], 0),
    ("i32.const 0 if loop br 0 end end", &[], 0),
    ("i32.const 1 if return end loop br 0 end", &[], 0),
    ("call 0", &["call stack exhausted", "poll"], 1),
    (
        "(param i32) local.get 0 call_indirect (param) (result)",
        &[
            "undefined element",
            "uninitialized element",
            "indirect call type mismatch",
            "call stack exhausted",
            "poll",
        ],
        1,
    ),
    (
        "(result funcref) i32.const 0 table.get 0",
        &["out of bounds table access", "call stack exhausted"],
        0,
    ),
    (
        "i32.const 1 i32.const 2 i32.const 3 memory.fill",
        &["out of bounds memory access", "call stack exhausted"],
        0,
    ),
];

#[test]
fn code_has_the_faults_of_its_operators() {
    for (body, expected, polls) in FAULTS {
        let text = format!("(module (memory 1) (table 1 funcref) (func {body}))");
        let function = first(&text, &Tunables::default(), CallMode::Slots);
        assert_eq!(faults(&function), *expected, "{body}");
        assert_eq!(function.poll_sites, *polls, "{body}");
        let emitted = function.traps.iter().filter(|trap| trap.kind == FaultKind::Poll).count();
        assert_eq!(emitted as u32, *polls, "{body}");
        assert!(function.traps.is_sorted_by_key(|trap| trap.code_offset), "{body}");
    }
}

#[test]
fn more_loops_than_poll_sites_still_poll() {
    let loops = wasmoor_abi::limits::POLL_SITES_MAX as usize + 10;
    let text = format!("(module (func {} call 0))", "loop end ".repeat(loops));
    let options = Options { verify: false, ..unoptimized(x86_64()) };
    for options in [options.clone(), Options { opt_level: OptLevel::Speed, ..options }] {
        let mut worker = compiler(&options).worker();
        let function =
            compile(&mut *worker, &module(&text), 0, &Tunables::default(), CallMode::Slots)
                .unwrap_or_else(|error| panic!("{error}"));
        let polls = function.traps.iter().filter(|trap| trap.kind == FaultKind::Poll).count();
        assert_eq!((function.poll_sites as usize, polls), (loops + 1, loops + 1));
    }
}

#[test]
fn polls_are_left_out_when_nobody_asks() {
    let tunables = Tunables { poll: false, ..Tunables::default() };
    let function = first("(module (func loop br 0 end))", &tunables, CallMode::Slots);
    assert_eq!((function.poll_sites, faults(&function)), (0, vec![]));
}

const CALLS: &str = "(module
    (func $a (export \"a\") call $b call $c)
    (func $b return_call $c)
    (func $c))";

#[test]
fn calls_refer_to_slots_or_functions() {
    let slot = |index| RelocationTarget::Slot(DefinedFuncIndex::from_u32(index));
    let func = |index| RelocationTarget::Func(DefinedFuncIndex::from_u32(index));
    use RelocationKind::{Aarch64Call26, Aarch64PageHigh21, Aarch64PageLow12Load64, PcRelative32};
    let page = [Aarch64PageHigh21, Aarch64PageLow12Load64];
    let cases = [
        (x86_64(), CallMode::Slots, vec![(PcRelative32, slot(1)), (PcRelative32, slot(2))]),
        (x86_64(), CallMode::Direct, vec![(PcRelative32, func(1)), (PcRelative32, func(2))]),
        (aarch64(), CallMode::Direct, vec![(Aarch64Call26, func(1)), (Aarch64Call26, func(2))]),
        (
            aarch64(),
            CallMode::Slots,
            [1, 2].into_iter().flat_map(|i| page.map(|kind| (kind, slot(i)))).collect(),
        ),
    ];
    for (options, calls, expected) in cases {
        let mut worker = compiler(&options).worker();
        let module = module(CALLS);
        let function = compile(&mut *worker, &module, 0, &Tunables::default(), calls)
            .unwrap_or_else(|error| panic!("{error}"));
        let found: Vec<_> =
            function.relocations.iter().map(|reloc| (reloc.kind, reloc.target)).collect();
        assert_eq!(found, expected, "{:?} {calls:?}", options.target);
    }
}

/// Offset of the operator that the byte before `code_offset` belongs to.
fn operator_before(function: &CompiledFunction, code_offset: u32) -> u32 {
    let covers = |entry: &&AddressEntry| entry.code_offset < code_offset;
    function.addresses.iter().rfind(covers).map_or(u32::MAX, |e| e.wasm_offset)
}

#[test]
fn return_addresses_lead_to_the_call() {
    let module = module(CALLS);
    let mut worker = compiler(&x86_64()).worker();
    let function = compile(&mut *worker, &module, 0, &Tunables::default(), CallMode::Direct)
        .unwrap_or_else(|error| panic!("{error}"));
    let called: Vec<[u8; 2]> = function
        .relocations
        .iter()
        .map(|reloc| {
            // The field is the end of the call.
            let at = operator_before(&function, reloc.offset + 4) as usize;
            [module.bytes()[at], module.bytes()[at + 1]]
        })
        .collect();
    // `call 1` and `call 2`.
    assert_eq!(called, [[0x10, 1], [0x10, 2]]);
}

#[test]
fn faults_lead_to_their_operator() {
    for (body, opcode) in [
        ("(param i32) (result i32) local.get 0 i32.load", 0x28),
        ("(param i32 i32) (result i32) local.get 0 local.get 1 i32.rem_u", 0x70),
        ("(param f64) (result i64) local.get 0 i64.trunc_f64_u", 0xb1),
        ("unreachable", 0x00),
        ("(param i32) local.get 0 if unreachable end", 0x00),
        ("(param i32) block local.get 0 br_if 0 unreachable end", 0x00),
    ] {
        let text = format!("(module (memory 1) (func {body}))");
        let module = module(&text);
        let mut worker = compiler(&x86_64()).worker();
        let function = compile(&mut *worker, &module, 0, &Tunables::default(), CallMode::Slots)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(!function.traps.is_empty());
        for trap in &function.traps {
            let at = operator_before(&function, trap.code_offset + 1) as usize;
            assert_eq!(module.bytes()[at], opcode, "{body}: {trap:?}");
        }
    }
}

#[test]
fn equal_input_gives_equal_code() {
    let text = "(module (memory 1) (table 2 funcref) (global $g (mut i64) (i64.const 1))
        (func (param i32 f64) (result i64)
            loop local.get 0 i32.load offset=4 br_if 0 global.get $g global.set $g end
            local.get 0 call_indirect (result i64) global.get $g i64.add)
        (func (result i64) i64.const 1 i32.const 0 i32.const 3 call 0 drop
            i32.const 2 f64.const 1 call 0)
        (func $other (result funcref) i32.const 1 table.get 0))";
    let text = text.replace("i64.const 1 i32.const 0 i32.const 3 call 0 drop", "");
    let module = module(&text);
    let compiler = compiler(&x86_64());
    let code = |order: [u32; 3]| {
        let mut worker = compiler.worker();
        let mut functions: Vec<_> = order
            .into_iter()
            .map(|func| {
                let tunables = Tunables::default();
                let function = compile(&mut *worker, &module, func, &tunables, CallMode::Slots)
                    .unwrap_or_else(|error| panic!("{error}"));
                (func, function.code, function.relocations, function.addresses)
            })
            .collect();
        functions.sort_by_key(|function| function.0);
        functions
    };
    assert_eq!(code([0, 1, 2]), code([2, 0, 1]));
}

#[test]
fn functions_over_the_budget_are_not_optimized() {
    let text = "(module (func (param i32) (result i32)
        local.get 0 i32.const 3 i32.mul i32.const 0 i32.add))";
    let code = |options: &Options| {
        let mut worker = compiler(options).worker();
        compile(&mut *worker, &module(text), 0, &Tunables::default(), CallMode::Slots)
            .map(|function| function.code)
    };
    let with = |budget: Budget| Options { budget, ..x86_64() };
    let optimized = code(&x86_64()).expect("small");
    let linear = code(&with(Budget { optimized_body_bytes_max: 3, ..Budget::default() }));
    let linear = linear.expect("small");
    assert_ne!(optimized, linear);
    for budget in [
        Budget { optimized_insts_max: 2, ..Budget::default() },
        Budget { optimized_blocks_max: 0, ..Budget::default() },
        Budget { optimized_block_params_max: 1, ..Budget::default() },
    ] {
        assert_eq!(code(&with(budget)).as_ref(), Ok(&linear), "{budget:?}");
    }
    for (budget, what) in [
        (Budget { insts_max: 2, ..Budget::default() }, "2 instructions"),
        (Budget { values_max: 3, ..Budget::default() }, "3 values"),
    ] {
        let error = code(&with(budget)).expect_err("over the budget");
        assert!(matches!(&error, CompileError::TooLarge { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("function 0") && text.contains(what), "{text}");
    }
}

#[test]
fn functions_with_many_wide_calls_are_not_optimized() {
    let text = format!(
        "(module (func (param{0}) (result{0}) {1} call 0 call 0))",
        " i64".repeat(40),
        "local.get 0 i64.const 3 i64.mul ".repeat(40)
    );
    let code = |wide: usize| {
        let budget = Budget { optimized_wide_operands_max: wide, ..Budget::default() };
        let mut worker = compiler(&Options { budget, ..x86_64() }).worker();
        compile(&mut *worker, &module(&text), 0, &Tunables::default(), CallMode::Slots)
            .map(|function| function.code)
    };
    let optimized = code(Budget::default().optimized_wide_operands_max);
    assert!(optimized.is_ok());
    assert_ne!(code(0), optimized);
}

#[test]
fn a_refused_function_leaves_the_worker_usable() {
    let sums = "i32.const 3 local.get 0 i32.mul local.set 0 ".repeat(40);
    let text = format!("(module (func (param i32) {sums}) (func (result i32) i32.const 1))");
    let module = module(&text);
    let budget = Budget { insts_max: 30, ..Budget::default() };
    let mut worker = compiler(&Options { budget, ..x86_64() }).worker();
    for _ in 0..2 {
        let tunables = Tunables::default();
        let error = compile(&mut *worker, &module, 0, &tunables, CallMode::Slots)
            .expect_err("beyond the budget");
        assert!(matches!(&error, CompileError::TooLarge { .. }), "{error}");
        assert!(compile(&mut *worker, &module, 1, &tunables, CallMode::Slots).is_ok());
    }
}

#[test]
fn setup_errors_name_their_cause() {
    let named = |triple: &str, feature: &str| {
        let features = if feature.is_empty() { vec![] } else { vec![feature.into()] };
        let target = Target::Named { triple: triple.into(), features };
        OptimizingCompiler::new(&Options { target, ..Options::default() }).map(drop)
    };
    for (triple, feature, part) in [
        ("vax-dec-vms", "", "vax-dec-vms"),
        ("s390x-unknown-linux-gnu", "", "s390x-unknown-linux-gnu"),
        ("x86_64-unknown-linux-gnu", "has_wings", "has_wings"),
    ] {
        let error: SetupError = named(triple, feature).expect_err("refused");
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(named("x86_64-unknown-linux-gnu", "has_avx2"), Ok(()));
}

#[test]
fn what_changes_code_changes_the_fingerprint() {
    let fingerprint = |options: &Options| compiler(options).fingerprint();
    let base = fingerprint(&x86_64());
    assert_eq!(base, fingerprint(&Options { verify: false, ..x86_64() }));
    assert!(base.contains(cranelift_codegen::VERSION));
    let nans = Options { canonicalize_nans: true, ..x86_64() };
    let budget = Budget { optimized_insts_max: 7, ..Budget::default() };
    for other in [unoptimized(x86_64()), aarch64(), nans, Options { budget, ..x86_64() }] {
        assert_ne!(base, fingerprint(&other), "{other:?}");
    }
}
