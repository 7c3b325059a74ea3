//! Functions at the limits of validation: the time and the memory for them are bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};
use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, Instruction, Module as Encoder, TypeSection,
    ValType,
};
use wasmoor_abi::Tunables;
use wasmoor_baseline::BaselineCompiler;
use wasmoor_codegen::{CallMode, CompileJob, CompiledFunction, FunctionCompiler};
use wasmoor_module::{Features, Module};

/// Much more than any of these takes, much less than anything quadratic would.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Compiles the one function of type `[i32] -> [i32]` with these locals and this body.
fn compile(locals: &[(u32, ValType)], body: impl FnOnce(&mut Function)) -> CompiledFunction {
    let (mut types, mut functions, mut code) =
        (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([ValType::I32], [ValType::I32]);
    functions.function(0);
    let mut function = Function::new(locals.iter().copied());
    body(&mut function);
    code.function(&function);
    let mut module = Encoder::new();
    module.section(&types).section(&functions).section(&code);
    let bytes: Arc<[u8]> = module.finish().into();
    let module = Module::parse(bytes, &Features::IMPLEMENTED, 1).expect("a valid module");
    let module = Arc::new(module);
    let func = module.bodies.keys().next().expect("a function");
    let tunables = Tunables { fuel: true, ..Tunables::default() };
    let job = CompileJob { module: &module, func, tunables: &tunables, calls: CallMode::Slots };
    let mut worker = BaselineCompiler::new().expect("x86-64").worker();
    let start = Instant::now();
    let compiled = worker.compile(&job).expect("what validates compiles");
    assert!(start.elapsed() < TIME_MAX, "{:?}", start.elapsed());
    assert!(compiled.traps.is_sorted_by_key(|trap| trap.code_offset));
    assert!(compiled.addresses.is_sorted_by_key(|entry| entry.code_offset));
    assert!(compiled.relocations.is_sorted_by_key(|relocation| relocation.offset));
    compiled
}

#[test]
fn five_megabytes_of_operators() {
    let compiled = compile(&[(3, ValType::I32)], |body| {
        for i in 0..600_000u32 {
            body.instruction(&Instruction::LocalGet(i % 4));
            body.instruction(&Instruction::LocalGet(0));
            body.instruction(&Instruction::I32Add);
            body.instruction(&Instruction::LocalSet((i + 1) % 4));
        }
        body.instruction(&Instruction::LocalGet(3));
        body.instruction(&Instruction::End);
    });
    assert!(compiled.code.len() > 1_000_000);
}

/// Values that read locals lie deep in the stack when the locals change.
#[test]
fn a_deep_stack_of_locals_that_change() {
    compile(&[(49_000, ValType::I32)], |body| {
        for i in 0..49_000 {
            body.instruction(&Instruction::LocalGet(i));
        }
        for _ in 0..500_000 {
            body.instruction(&Instruction::I32Const(1));
        }
        for i in 0..49_000 {
            body.instruction(&Instruction::I32Const(2));
            body.instruction(&Instruction::LocalSet(i));
        }
        for _ in 1..549_000 {
            body.instruction(&Instruction::I32Xor);
        }
        body.instruction(&Instruction::End);
    });
}

#[test]
fn fifty_thousand_locals() {
    let kinds = [ValType::I64, ValType::F32, ValType::V128, ValType::FUNCREF];
    let locals: Vec<_> = (0..49_999).map(|i| (1, kinds[i % 4])).collect();
    let compiled = compile(&locals, |body| {
        body.instruction(&Instruction::LocalGet(0));
        body.instruction(&Instruction::End);
    });
    // Zeroed by a loop.
    assert!(compiled.code.len() < 1000, "{} bytes", compiled.code.len());
}

#[test]
fn nested_blocks_with_values() {
    const DEPTH: u32 = 20_000;
    compile(&[], |body| {
        for i in 0..DEPTH {
            let ty = BlockType::Result(ValType::I32);
            match i % 3 {
                0 => body.instruction(&Instruction::Block(ty)),
                1 => body.instruction(&Instruction::Loop(ty)),
                _ => {
                    body.instruction(&Instruction::LocalGet(0));
                    body.instruction(&Instruction::If(ty))
                }
            };
            body.instruction(&Instruction::I32Const(1));
            body.instruction(&Instruction::Drop);
        }
        body.instruction(&Instruction::LocalGet(0));
        for i in (0..DEPTH).rev() {
            if i % 3 == 2 {
                body.instruction(&Instruction::Else);
                body.instruction(&Instruction::I32Const(7));
            }
            body.instruction(&Instruction::End);
        }
        body.instruction(&Instruction::End);
    });
}

#[test]
fn tables_of_a_hundred_thousand_targets() {
    const DEPTH: u32 = 1000;
    for values in [false, true] {
        compile(&[], |body| {
            let ty = if values { BlockType::Result(ValType::I32) } else { BlockType::Empty };
            for _ in 0..DEPTH {
                body.instruction(&Instruction::Block(ty));
            }
            if values {
                body.instruction(&Instruction::I32Const(5));
            }
            body.instruction(&Instruction::LocalGet(0));
            let targets: Vec<u32> = (0..100_000).map(|i| i % DEPTH).collect();
            body.instruction(&Instruction::BrTable(targets.into(), 0));
            for _ in 0..DEPTH {
                body.instruction(&Instruction::End);
            }
            if !values {
                body.instruction(&Instruction::LocalGet(0));
            }
            body.instruction(&Instruction::End);
        });
    }
}
