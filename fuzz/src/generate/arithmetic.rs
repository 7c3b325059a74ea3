//! Modules that compute: single operators on corner cases, and larger functions of expressions,
//! branches, loops and calls.

use super::body::Body;
use super::numeric::{Kind, numeric};
use crate::random::Random;
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, FunctionSection, Instruction as I, Module,
    TypeSection, ValType,
};

const TYPES: &[ValType] = &[ValType::I32, ValType::I64, ValType::F32, ValType::F64, ValType::V128];

pub(super) fn module(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut functions = Functions::default();
    for _ in 0..40 {
        functions.operator(&mut random);
    }
    for _ in 0..random.between(1, 3) {
        functions.statements(&mut random);
    }
    functions.finish()
}

/// Functions that grow into a module; each has a type of its own and is exported.
#[derive(Default)]
struct Functions {
    types: TypeSection,
    functions: FunctionSection,
    exports: ExportSection,
    code: CodeSection,
    signatures: Vec<(Vec<ValType>, Vec<ValType>)>,
}

impl Functions {
    fn add(&mut self, params: Vec<ValType>, results: Vec<ValType>, body: Body<'_>) {
        let index = self.signatures.len() as u32;
        self.types.ty().function(params.iter().copied(), results.iter().copied());
        self.functions.function(index);
        self.exports.export(&format!("f{index}"), ExportKind::Func, index);
        self.code.function(&body.finish());
        self.signatures.push((params, results));
    }

    /// A function of one operator, whose operands are parameters or constants.
    fn operator(&mut self, random: &mut Random) {
        let operator = *random.pick(numeric());
        let params: Vec<ValType> = operator.params.iter().map(|kind| kind.ty()).collect();
        let mut body = Body::new(&params, random);
        for (index, &kind) in operator.params.iter().enumerate() {
            if body.random.chance(1, 4) {
                body.constant(kind);
            } else {
                // Bits of arguments are fixed: they come from the host.
                body.code.push(I::LocalGet(index as u32));
            }
        }
        body.apply(&operator);
        let result = exposed(operator.result.ty());
        body.coerce(operator.result, result);
        self.add(params, vec![result.ty()], body);
    }

    /// A function of some statements.
    fn statements(&mut self, random: &mut Random) {
        let params: Vec<ValType> = types(random, 6);
        let results: Vec<ValType> = types(random, 4);
        let locals: Vec<ValType> = types(random, 6);
        let mut body = Body::new(&params, random);
        locals.into_iter().for_each(|ty| body.add_local(ty));
        for _ in 0..body.random.between(1, 5) {
            self.statement(&mut body);
        }
        for &ty in &results {
            body.expression(exposed(ty), 3);
        }
        self.add(params, results, body);
    }

    fn statement(&self, body: &mut Body<'_>) {
        match body.random.below(8) {
            0 => {
                body.expression(Kind::I32, 2);
                body.emit([I::If(BlockType::Empty)]);
                assignment(body, 3);
                body.emit([I::Else]);
                assignment(body, 3);
                body.emit([I::End]);
            }
            1 => {
                body.emit([I::Block(BlockType::Empty)]);
                assignment(body, 2);
                body.expression(Kind::I32, 2);
                body.emit([I::BrIf(0)]);
                assignment(body, 3);
                body.emit([I::End]);
            }
            2 => bounded_loop(body),
            3 => self.call(body),
            _ => assignment(body, 4),
        }
    }

    /// Calls an earlier function; its results go to locals, or nowhere.
    fn call(&self, body: &mut Body<'_>) {
        if self.signatures.is_empty() {
            return;
        }
        let callee = body.random.below(self.signatures.len());
        let (params, results) = &self.signatures[callee];
        for &ty in params {
            // A callee takes the bits of its arguments as fixed.
            body.expression(fixed(ty), 2);
        }
        body.emit([I::Call(callee as u32)]);
        for &ty in results.iter().rev() {
            let set = body.local(ty).map_or(I::Drop, I::LocalSet);
            body.emit([set]);
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types).section(&self.functions);
        module.section(&self.exports).section(&self.code);
        module.finish()
    }
}

/// The kind that a value of this type has where the host sees it: NaNs in floats are all one to
/// the comparison, those in vectors are not.
const fn exposed(ty: ValType) -> Kind {
    Kind::of(ty)
}

/// The kind of this type whose bits are fixed.
const fn fixed(ty: ValType) -> Kind {
    match ty {
        ValType::F32 => Kind::F32Bits,
        ValType::F64 => Kind::F64Bits,
        _ => Kind::of(ty),
    }
}

fn types(random: &mut Random, max: usize) -> Vec<ValType> {
    (0..random.between(1, max)).map(|_| *random.pick(TYPES)).collect()
}

/// Sets a local to an expression.
fn assignment(body: &mut Body<'_>, depth: usize) {
    if let Some((local, ty)) = body.any_local() {
        body.expression(Kind::of(ty), depth);
        body.emit([I::LocalSet(local)]);
    }
}

/// A loop of a few rounds.
fn bounded_loop(body: &mut Body<'_>) {
    let counter = body.reserve(ValType::I32);
    let rounds = body.random.between(1, 9) as i32;
    body.emit([I::I32Const(rounds), I::LocalSet(counter), I::Loop(BlockType::Empty)]);
    assignment(body, 3);
    assignment(body, 3);
    body.emit([
        I::LocalGet(counter),
        I::I32Const(1),
        I::I32Sub,
        I::LocalTee(counter),
        I::BrIf(0),
        I::End,
    ]);
}
