//! Modules whose functions pass many values of all types to each other, by every kind of call.
//!
//! Registers, stack arguments and return areas are where calling conventions go wrong, and tail
//! calls whose callee has more stack arguments than the caller most of all. Functions call earlier
//! ones only, so that every call ends.

use super::body::Body;
use super::numeric::Kind;
use crate::random::Random;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection,
    FunctionSection, HeapType, Instruction as I, Module, RefType, TableSection, TableType,
    TypeSection, ValType,
};

const TYPES: &[ValType] = &[ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];
/// Functions of a module. Each makes at most two calls, so a call of the last makes thousands.
const FUNCTIONS: u32 = 10;

pub(super) fn module(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let results_max = *random.pick(&[1, 3, 12, 24]);
    let params_max = *random.pick(&[3, 10, 30]);
    // Tail calls need callees with the caller's results: there are two lists to choose from.
    let results = [types(&mut random, results_max), types(&mut random, results_max)];
    let signatures: Vec<(Vec<ValType>, usize)> = (0..FUNCTIONS)
        .map(|_| (types(&mut random, params_max), random.below(results.len())))
        .collect();
    let mut code = CodeSection::new();
    for (index, (params, list)) in signatures.iter().enumerate() {
        let mut body = Body::new(params, &mut random);
        let earlier = &signatures[..index];
        if body.random.chance(3, 4) {
            call(&mut body, earlier, &results);
        }
        match pick_callee(&mut body, earlier, Some(*list)) {
            Some(callee) if body.random.chance(1, 2) => tail_call(&mut body, earlier, callee),
            _ => results[*list].iter().for_each(|&ty| body.expression(Kind::of(ty), 1)),
        }
        code.function(&body.finish());
    }
    assemble(&signatures, &results, &code)
}

fn types(random: &mut Random, max: usize) -> Vec<ValType> {
    // Lists of one type fill its registers; mixed ones use all kinds a little.
    let only = random.chance(1, 4).then(|| *random.pick(TYPES));
    (0..random.between(0, max)).map(|_| only.unwrap_or(*random.pick(TYPES))).collect()
}

type Signature = (Vec<ValType>, usize);

/// An earlier function, with this list of results if one is given.
fn pick_callee(body: &mut Body<'_>, earlier: &[Signature], list: Option<usize>) -> Option<u32> {
    let fits = |index: &u32| list.is_none_or(|list| earlier[*index as usize].1 == list);
    let all: Vec<u32> = (0..earlier.len() as u32).filter(fits).collect();
    (!all.is_empty()).then(|| *body.random.pick(&all))
}

/// Leaves arguments for the callee on the stack. Callees take bits as fixed.
fn arguments(body: &mut Body<'_>, params: &[ValType]) {
    for &ty in params {
        let kind = match ty {
            ValType::F32 => Kind::F32Bits,
            ValType::F64 => Kind::F64Bits,
            _ => Kind::of(ty),
        };
        body.expression(kind, 1);
    }
}

/// Calls an earlier function, directly or through the table, and puts its results into locals.
fn call(body: &mut Body<'_>, earlier: &[Signature], results: &[Vec<ValType>; 2]) {
    let Some(callee) = pick_callee(body, earlier, None) else { return };
    let (params, list) = &earlier[callee as usize];
    if body.random.chance(1, 4) {
        branch_on_reference(body, callee);
    }
    arguments(body, params);
    match body.random.below(3) {
        0 => body.emit([I::Call(callee)]),
        1 => {
            let indirect = I::CallIndirect { type_index: callee, table_index: 0 };
            body.emit([I::I32Const(callee as i32), indirect]);
        }
        _ => {
            reference(body, callee);
            body.emit([I::CallRef(callee)]);
        }
    }
    for &ty in results[*list].iter().rev() {
        let set = body.local(ty).map_or(I::Drop, I::LocalSet);
        body.emit([set]);
    }
}

fn tail_call(body: &mut Body<'_>, earlier: &[Signature], callee: u32) {
    arguments(body, &earlier[callee as usize].0);
    match body.random.below(3) {
        0 => body.emit([I::ReturnCall(callee)]),
        1 => {
            let indirect = I::ReturnCallIndirect { type_index: callee, table_index: 0 };
            body.emit([I::I32Const(callee as i32), indirect]);
        }
        _ => {
            reference(body, callee);
            body.emit([I::ReturnCallRef(callee)]);
        }
    }
}

/// Leaves a reference to a function on the stack, or seldom null, at whose call the guest traps.
fn reference(body: &mut Body<'_>, func: u32) {
    if body.random.chance(1, 16) {
        return body.emit([I::RefNull(HeapType::Concrete(func))]);
    }
    body.emit([I::RefFunc(func)]);
    if body.random.chance(1, 4) {
        body.emit([I::RefAsNonNull]);
    }
}

/// Goes one of two ways, as a reference is null or not, with values on the stack below.
fn branch_on_reference(body: &mut Body<'_>, func: u32) {
    let Some(seen) = body.local(ValType::I32) else { return };
    let is_null = body.random.chance(1, 2);
    let null = I::RefNull(HeapType::Concrete(func));
    let value = if is_null { null } else { I::RefFunc(func) };
    let block = body.random.chance(1, 2);
    body.emit([I::LocalGet(seen)]);
    if block {
        body.emit([I::Block(BlockType::Empty), value, I::BrOnNull(0), I::Drop]);
        body.emit([I::I32Const(5), I::LocalSet(seen), I::End]);
    } else {
        let result = BlockType::Result(ValType::FUNCREF);
        body.emit([I::Block(result), value, I::BrOnNonNull(0)]);
        body.emit([I::I32Const(9), I::LocalSet(seen), I::RefNull(HeapType::FUNC), I::End]);
        body.emit([I::RefIsNull, I::LocalGet(seen), I::I32Add, I::LocalSet(seen)]);
    }
    body.emit([I::LocalGet(seen), I::I32Add, I::LocalSet(seen)]);
}

/// All functions are exported, and in the table at their own index; each has its own type.
fn assemble(signatures: &[Signature], results: &[Vec<ValType>; 2], code: &CodeSection) -> Vec<u8> {
    let mut types = TypeSection::new();
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    for (index, (params, list)) in (0..).zip(signatures) {
        types.ty().function(params.iter().copied(), results[*list].iter().copied());
        functions.function(index);
        exports.export(&format!("f{index}"), ExportKind::Func, index);
    }
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: FUNCTIONS.into(),
        maximum: Some(FUNCTIONS.into()),
        shared: false,
    });
    let mut elements = ElementSection::new();
    let all: Vec<u32> = (0..FUNCTIONS).collect();
    elements.active(None, &ConstExpr::i32_const(0), Elements::Functions(all.into()));
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables);
    module.section(&exports).section(&elements).section(code);
    module.finish()
}
