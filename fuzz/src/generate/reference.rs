//! Modules with tables: elements set, copied, grown and called through, and tail calls that are
//! deeper than any stack.

use super::body::Body;
use crate::random::Random;
use std::borrow::Cow;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection,
    FunctionSection, Instruction as I, Module, RefType, TableSection, TableType, TypeSection,
    ValType,
};

/// Types 0 to 3: what elements of the function table have.
const CALLEES: &[(&[ValType], &[ValType])] = &[
    (&[], &[ValType::I32]),
    (&[ValType::I32], &[ValType::I32]),
    (&[ValType::I64, ValType::F64], &[ValType::F64, ValType::I64]),
    (&[ValType::V128], &[ValType::V128]),
];
/// Functions in the tables, type by type.
const CALLEES_PER_TYPE: u32 = 2;
/// Tail calls in a row that would overflow the stack if they were none: a frame has 16 bytes at
/// least, and the stacks of the oracles 2 MiB at most.
const TAIL_ROUNDS: i32 = 150_000;

pub(super) fn module(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let tables =
        [table_type(RefType::FUNCREF, &mut random), table_type(RefType::EXTERNREF, &mut random)];
    let mut functions = Functions { tables, ..Functions::default() };
    for (ty, (params, results)) in (0..).zip(CALLEES) {
        functions.types.ty().function(params.iter().copied(), results.iter().copied());
        for number in 0..CALLEES_PER_TYPE {
            functions.callee(ty, params, results, number, &mut random);
        }
    }
    if random.chance(1, 4) {
        functions.tail_calls();
    }
    for operation in 0..OPERATIONS {
        functions.operation(operation, &mut random);
    }
    functions.finish(&mut random)
}

fn table_type(element_type: RefType, random: &mut Random) -> TableType {
    let minimum = random.between(4, 12) as u64;
    TableType {
        element_type,
        table64: random.chance(1, 4),
        minimum,
        maximum: Some(minimum + random.between(0, 30) as u64),
        shared: false,
    }
}

/// Kinds of functions that [`Functions::operation`] makes.
const OPERATIONS: u32 = 14;

struct Functions {
    tables: [TableType; 2],
    types: TypeSection,
    functions: FunctionSection,
    exports: ExportSection,
    code: CodeSection,
    types_count: u32,
    functions_count: u32,
}

impl Default for Functions {
    fn default() -> Self {
        let none = TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: 0,
            maximum: None,
            shared: false,
        };
        Functions {
            tables: [none, none],
            types: TypeSection::new(),
            functions: FunctionSection::new(),
            exports: ExportSection::new(),
            code: CodeSection::new(),
            types_count: CALLEES.len() as u32,
            functions_count: 0,
        }
    }
}

impl Functions {
    fn index_type(&self, table: u32) -> ValType {
        if self.tables[table as usize].table64 { ValType::I64 } else { ValType::I32 }
    }

    fn add(&mut self, ty: u32, body: Body<'_>) {
        let index = self.functions_count;
        self.functions.function(ty);
        self.exports.export(&format!("f{index}"), ExportKind::Func, index);
        self.code.function(&body.finish());
        self.functions_count += 1;
    }

    fn add_new(&mut self, params: &[ValType], results: &[ValType], body: Body<'_>) {
        self.types.ty().function(params.iter().copied(), results.iter().copied());
        self.types_count += 1;
        self.add(self.types_count - 1, body);
    }

    /// A function that tables hold: tells which it is by its results.
    fn callee(
        &mut self,
        ty: u32,
        params: &[ValType],
        results: &[ValType],
        number: u32,
        random: &mut Random,
    ) {
        let mut body = Body::new(params, random);
        for &result in results {
            match params.iter().position(|&param| param == result) {
                Some(param) => body.emit([I::LocalGet(param as u32)]),
                None => body.constant(super::numeric::Kind::of(result)),
            }
            if result == ValType::I32 {
                body.emit([I::I32Const((ty * 10 + number) as i32), I::I32Add]);
            }
        }
        self.add(ty, body);
    }

    /// `f(n) = { n %= TAIL_ROUNDS; if n == 0 { 7 } else { return f(n - 1) } }`.
    fn tail_calls(&mut self) {
        let mut random = Random::new(0);
        let function = self.functions_count;
        let mut body = Body::new(&[ValType::I32], &mut random);
        body.emit([I::LocalGet(0), I::I32Const(TAIL_ROUNDS), I::I32RemU, I::LocalTee(0)]);
        body.emit([I::I32Eqz, I::If(BlockType::Empty), I::I32Const(7), I::Return, I::End]);
        body.emit([I::LocalGet(0), I::I32Const(1), I::I32Sub, I::ReturnCall(function)]);
        // The type of the callees that take and give an `i32`.
        self.add(1, body);
    }

    /// A function around one operator on tables or references; its operands are parameters.
    fn operation(&mut self, operation: u32, random: &mut Random) {
        let table = random.below(2) as u32;
        let index = self.index_type(table);
        let (functions, externs) = (self.index_type(0), self.index_type(1));
        let element = ValType::Ref(self.tables[table as usize].element_type);
        let (callee_type, (callee_params, callee_results)) = {
            let ty = random.below(CALLEES.len());
            (ty as u32, CALLEES[ty])
        };
        let (params, results, code): (Vec<ValType>, Vec<ValType>, Vec<I<'static>>) = match operation
        {
            0 => (vec![externs], vec![ValType::EXTERNREF], vec![I::TableGet(1)]),
            1 => (vec![functions], vec![ValType::I32], vec![I::TableGet(0), I::RefIsNull]),
            2 => (vec![externs, ValType::EXTERNREF], vec![], vec![I::TableSet(1)]),
            3 => {
                let function = random.below(self.functions_count as usize) as u32;
                (vec![functions], vec![], vec![I::RefFunc(function), I::TableSet(0)])
            }
            4 => (vec![], vec![index], vec![I::TableSize(table)]),
            5 => (vec![element, index], vec![index], vec![I::TableGrow(table)]),
            6 => (vec![index, element, index], vec![], vec![I::TableFill(table)]),
            7 => (
                vec![index, index, index],
                vec![],
                vec![I::TableCopy { src_table: table, dst_table: table }],
            ),
            8 => (
                vec![functions, ValType::I32, ValType::I32],
                vec![],
                vec![I::TableInit { elem_index: 0, table: 0 }],
            ),
            9 => (vec![], vec![], if random.chance(1, 4) { vec![I::ElemDrop(0)] } else { vec![] }),
            10 => (
                vec![],
                vec![ValType::I32],
                vec![I::RefNull(wasm_encoder::HeapType::FUNC), I::RefIsNull],
            ),
            11 => (
                vec![ValType::EXTERNREF, ValType::EXTERNREF, ValType::I32],
                vec![ValType::EXTERNREF],
                vec![I::TypedSelect(ValType::EXTERNREF)],
            ),
            12 | 13 => {
                let params = [callee_params, &[functions]].concat();
                let call = if operation == 12 {
                    I::CallIndirect { type_index: callee_type, table_index: 0 }
                } else {
                    I::ReturnCallIndirect { type_index: callee_type, table_index: 0 }
                };
                (params, callee_results.to_vec(), vec![call])
            }
            _ => return,
        };
        let mut body = Body::new(&params, random);
        body.emit((0..params.len() as u32).map(I::LocalGet));
        body.emit(code);
        self.add_new(&params, &results, body);
    }

    fn finish(mut self, random: &mut Random) -> Vec<u8> {
        let mut tables = TableSection::new();
        for (index, ty) in (0..).zip(&self.tables) {
            tables.table(*ty);
            self.exports.export(&format!("t{index}"), ExportKind::Table, index);
        }
        let count = self.functions_count;
        let mut some = || -> Cow<'static, [u32]> {
            (0..4).map(|_| random.below(count as usize) as u32).collect::<Vec<_>>().into()
        };
        let mut elements = ElementSection::new();
        elements.passive(Elements::Functions(some()));
        let start =
            if self.tables[0].table64 { ConstExpr::i64_const(0) } else { ConstExpr::i32_const(0) };
        elements.active(Some(0), &start, Elements::Functions(some()));
        // Whatever `ref.func` names must be declared.
        elements.declared(Elements::Functions((0..count).collect::<Vec<_>>().into()));
        let mut module = Module::new();
        module.section(&self.types).section(&self.functions).section(&tables);
        module.section(&self.exports).section(&elements).section(&self.code);
        module.finish()
    }
}
