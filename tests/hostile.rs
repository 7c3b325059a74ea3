//! Modules that are valid and as large, deep or wide as validation allows: every mode runs them in
//! bounded time and memory, and none crashes.
//!
//! Each test prints a line per mode with its time and peak memory. With `$WASMOOR_BIN` set to a
//! release build the lines are those of `benches/RESULTS.md`.

use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasm_encoder::{
    BlockType, CodeSection, ElementSection, Elements, ExportKind, ExportSection, Function,
    FunctionSection, Instruction, Module, RefType, TableSection, TableType, TypeSection, ValType,
};
use wasmoor_tests::binary::{Finished, finish, wasmoor};

/// For builds without optimization on a busy machine. Anything quadratic takes hours.
const TIME_MAX: Duration = Duration::from_secs(240);
/// Peak memory. The largest module has a few megabytes.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// Every way in which code is made.
const MODES: &[&[&str]] = &[
    &["--tier", "baseline"],
    &["--tier", "baseline", "--eager"],
    &["--tier", "optimizing"],
    &["--tier", "optimizing", "--eager"],
    &["--tier", "auto"],
    &["--tier", "auto", "--eager"],
];

/// A module under construction; function 0 has type `[] -> []` and is `_start`.
#[derive(Default)]
struct Builder {
    types: TypeSection,
    functions: FunctionSection,
    tables: TableSection,
    elements: ElementSection,
    code: CodeSection,
}

const START: u32 = 0;
const I32_TO_I32: u32 = 1;

impl Builder {
    fn new() -> Self {
        let mut builder = Builder::default();
        builder.types.ty().function([], []);
        builder.types.ty().function([ValType::I32], [ValType::I32]);
        builder
    }

    fn function(&mut self, ty: u32, locals: Vec<(u32, ValType)>, body: &[Instruction<'_>]) {
        let mut function = Function::new(locals);
        for instruction in body {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::End);
        self.functions.function(ty);
        self.code.function(&function);
    }

    fn finish(&self) -> Vec<u8> {
        let mut exports = ExportSection::new();
        exports.export("_start", ExportKind::Func, 0);
        let mut module = Module::new();
        module.section(&self.types).section(&self.functions);
        if !self.tables.is_empty() {
            module.section(&self.tables);
        }
        module.section(&exports);
        if !self.elements.is_empty() {
            module.section(&self.elements);
        }
        module.section(&self.code);
        module.finish()
    }
}

/// `_start` that calls function 1 with this argument, and traps unless that returns `expected`.
fn start(argument: i32, expected: i32) -> Vec<Instruction<'static>> {
    vec![
        Instruction::I32Const(argument),
        Instruction::Call(1),
        Instruction::I32Const(expected),
        Instruction::I32Ne,
        Instruction::If(BlockType::Empty),
        Instruction::Unreachable,
        Instruction::End,
    ]
}

/// Runs a module with these options; asserts that it took neither too long nor too much.
fn run(name: &str, wasm: &[u8], options: &[&str]) -> Finished {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("hostile.wasm");
    std::fs::write(&path, wasm).expect("a file");
    let mut command = Command::new(wasmoor());
    command.arg("run").arg("--stats").args(options).arg(&path);
    let start = Instant::now();
    let finished = finish(command, b"", TIME_MAX).unwrap_or_else(|error| panic!("{name}: {error}"));
    let time = start.elapsed();
    // There are no figures of a module that was refused before it ran.
    let is_refused = finished.stderr.starts_with("error: ");
    let memory = match peak(&finished.stderr) {
        None if is_refused => 0,
        memory => memory.unwrap_or_else(|| panic!("{name}: {}", finished.stderr)),
    };
    let (ms, mib) = (time.as_millis(), memory >> 20);
    println!("{name} | {} bytes | {} | {ms} ms | {mib} MiB", wasm.len(), options.join(" "));
    assert!(memory < MEMORY_BYTES_MAX, "{name} {options:?}: {mib} MiB");
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    finished
}

/// The peak of resident memory that `--stats` prints, in bytes.
fn peak(stats: &str) -> Option<u64> {
    let line = stats.lines().find_map(|line| line.strip_prefix("process "))?;
    let mut words = line.split_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()? {
        "GiB" => 1u64 << 30,
        "MiB" => 1 << 20,
        "KiB" => 1 << 10,
        _ => return None,
    };
    Some((number * unit as f64) as u64)
}

/// Runs a module in every mode; it must end well. Only the optimizing tier alone may refuse a
/// function, by name, and only if the test says so.
fn run_everywhere(name: &str, wasm: &[u8], may_be_too_large: bool) {
    for mode in MODES {
        let finished = run(name, wasm, mode);
        let is_refused = finished.stderr.contains("too large for the optimizing compiler");
        if may_be_too_large && mode.contains(&"optimizing") && is_refused {
            assert_eq!(finished.status.code(), Some(1), "{name} {mode:?}: {}", finished.stderr);
            assert!(finished.stderr.contains("function 1"), "{}", finished.stderr);
            println!("{name}: refused");
            continue;
        }
        assert_eq!(finished.status.code(), Some(0), "{name} {mode:?}: {}", finished.stderr);
    }
}

#[test]
fn a_hundred_thousand_functions() {
    const FUNCTIONS: u32 = 100_000;
    let mut builder = Builder::new();
    builder.tables.table(TableType {
        element_type: RefType::FUNCREF,
        minimum: u64::from(FUNCTIONS),
        maximum: None,
        table64: false,
        shared: false,
    });
    // Every function gets its first call: the sum of i * 3 over all i, in 32 bits.
    let expected = (0..FUNCTIONS).fold(0u32, |sum, i| sum.wrapping_add(i.wrapping_mul(3)));
    builder.function(START, vec![], &start(0, expected.cast_signed()));
    builder.function(
        I32_TO_I32,
        vec![(1, ValType::I32)],
        &[
            Instruction::Loop(BlockType::Empty),
            Instruction::LocalGet(1),
            Instruction::LocalGet(0),
            Instruction::LocalGet(0),
            Instruction::CallIndirect { type_index: I32_TO_I32, table_index: 0 },
            Instruction::I32Add,
            Instruction::LocalSet(1),
            Instruction::LocalGet(0),
            Instruction::I32Const(1),
            Instruction::I32Add,
            Instruction::LocalTee(0),
            Instruction::I32Const(FUNCTIONS.cast_signed()),
            Instruction::I32LtU,
            Instruction::BrIf(0),
            Instruction::End,
            Instruction::LocalGet(1),
        ],
    );
    for _ in 0..FUNCTIONS {
        let body = [Instruction::LocalGet(0), Instruction::I32Const(3), Instruction::I32Mul];
        builder.function(I32_TO_I32, vec![], &body);
    }
    let all: Vec<u32> = (2..FUNCTIONS + 2).collect();
    builder.elements.active(
        None,
        &wasm_encoder::ConstExpr::i32_const(0),
        Elements::Functions(all.into()),
    );
    run_everywhere("100,000 functions, all called", &builder.finish(), false);
}

#[test]
fn a_function_of_five_megabytes() {
    let mut builder = Builder::new();
    let mut body = Vec::new();
    let mut locals = [5u32, 0, 0, 0];
    for i in 0..640_000usize {
        let (from, to) = (i % 4, (i + 1) % 4);
        body.extend([
            Instruction::LocalGet(from as u32),
            Instruction::LocalGet(0),
            Instruction::I32Add,
            Instruction::LocalSet(to as u32),
        ]);
        locals[to] = locals[from].wrapping_add(locals[0]);
    }
    body.push(Instruction::LocalGet(3));
    builder.function(START, vec![], &start(5, locals[3].cast_signed()));
    builder.function(I32_TO_I32, vec![(3, ValType::I32)], &body);
    let wasm = builder.finish();
    assert!(wasm.len() > 4_400_000);
    run_everywhere("a function of 4.5 MB", &wasm, false);
}

#[test]
fn a_function_of_many_branches() {
    // Builds for development verify the optimizing compiler's work, for minutes here.
    let branches = if std::env::var_os("WASMOOR_BIN").is_some() { 400_000 } else { 25_000 };
    let mut builder = Builder::new();
    let mut body = Vec::new();
    for _ in 0..branches {
        body.extend([
            Instruction::LocalGet(0),
            Instruction::If(BlockType::Empty),
            Instruction::LocalGet(1),
            Instruction::I32Const(1),
            Instruction::I32Add,
            Instruction::LocalSet(1),
            Instruction::End,
        ]);
    }
    body.push(Instruction::LocalGet(1));
    builder.function(START, vec![], &start(1, branches));
    builder.function(I32_TO_I32, vec![(1, ValType::I32)], &body);
    run_everywhere(&format!("a function of {branches} branches"), &builder.finish(), true);
}

#[test]
fn fifty_thousand_locals() {
    const LOCALS: u32 = 49_990;
    let kinds = [ValType::I32, ValType::F64, ValType::V128, ValType::FUNCREF];
    let mut builder = Builder::new();
    builder.function(START, vec![], &start(7, 8));
    // All change in a loop, so that all are live around it.
    let mut body = vec![Instruction::Loop(BlockType::Empty)];
    for i in (0..LOCALS).step_by(4) {
        let local = 1 + i;
        body.extend([Instruction::LocalGet(0), Instruction::LocalSet(local)]);
    }
    body.extend([
        Instruction::LocalGet(0),
        Instruction::I32Const(1),
        Instruction::I32Add,
        Instruction::LocalTee(0),
        Instruction::I32Const(8),
        Instruction::I32LtU,
        Instruction::BrIf(0),
        Instruction::End,
        Instruction::LocalGet(0),
    ]);
    let locals = (0..LOCALS).map(|i| (1, kinds[i as usize % 4])).collect();
    builder.function(I32_TO_I32, locals, &body);
    run_everywhere("50,000 locals", &builder.finish(), false);
}

#[test]
fn nested_a_hundred_thousand_deep() {
    const DEPTH: u32 = 100_000;
    let mut builder = Builder::new();
    builder.function(START, vec![], &start(3, 3));
    let mut body = Vec::new();
    for i in 0..DEPTH {
        body.push(if i % 2 == 0 {
            Instruction::Block(BlockType::Empty)
        } else {
            Instruction::Loop(BlockType::Empty)
        });
    }
    body.extend([Instruction::LocalGet(0), Instruction::BrIf(DEPTH - 1)]);
    body.extend((0..DEPTH).map(|_| Instruction::End));
    body.push(Instruction::LocalGet(0));
    builder.function(I32_TO_I32, vec![], &body);
    run_everywhere("100,000 nested blocks", &builder.finish(), false);
}

#[test]
fn branch_tables_of_a_hundred_thousand_targets() {
    const DEPTH: u32 = 1000;
    let mut builder = Builder::new();
    builder.function(START, vec![], &start(77_777, 77_777));
    let targets: Vec<u32> = (0..100_000).map(|i| i % DEPTH).collect();
    let mut body: Vec<Instruction<'_>> =
        (0..DEPTH).map(|_| Instruction::Block(BlockType::Empty)).collect();
    body.extend([Instruction::LocalGet(0), Instruction::BrTable(targets.into(), 0)]);
    body.extend((0..DEPTH).map(|_| Instruction::End));
    body.push(Instruction::LocalGet(0));
    builder.function(I32_TO_I32, vec![], &body);
    run_everywhere("br_table, 100,000 targets, 1000 labels", &builder.finish(), false);
}

/// Every call is a function's first, at a little less of remaining stack each, down to the end.
/// Sizes of the stack shift where the end meets the frames.
#[test]
fn first_calls_at_every_remaining_depth() {
    const FUNCTIONS: u32 = 3000;
    let mut builder = Builder::new();
    for number in 0..FUNCTIONS {
        let next = (number + 1) % FUNCTIONS;
        let body = [Instruction::Call(next), Instruction::Call(next)];
        builder.function(START, vec![], &body);
    }
    let wasm = builder.finish();
    for mode in MODES {
        for stack in (65536..65536 + 128).step_by(16) {
            let stack = stack.to_string();
            let options = [*mode, &["--max-stack", &stack]].concat();
            let finished = run("first calls to the end of the stack", &wasm, &options);
            assert_eq!(finished.status.code(), Some(134), "{mode:?}: {}", finished.stderr);
            assert!(finished.stderr.contains("call stack exhausted"), "{}", finished.stderr);
        }
    }
}
