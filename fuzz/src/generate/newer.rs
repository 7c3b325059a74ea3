//! Modules with what wasmi does not know, for which Wasmoor's tiers are compared with each other:
//! exceptions in both forms, atomic accesses, relaxed vectors and wide arithmetic, between tail
//! calls that leave a `try` and calls that throw.
//!
//! Functions call earlier ones only, so that every call ends. Relaxed multiplications with
//! additions are left out: their results depend on the CPU, and some tiers are for older ones.

use super::body::Body;
use super::numeric::Kind;
use crate::random::Random;
use wasm_encoder::{
    BlockType, Catch, CodeSection, ConstExpr, DataSection, ElementSection, Elements, ExportKind,
    ExportSection, FunctionSection, GlobalSection, GlobalType, Instruction as I, MemArg,
    MemArgTarget, MemorySection, MemoryType, Module, Ordering, TagKind, TagSection, TagType,
    TypeSection, ValType,
};

/// What exceptions carry, tag by tag.
const TAGS: &[&[ValType]] = &[
    &[ValType::I32],
    &[],
    &[ValType::I64, ValType::F64],
    &[ValType::V128, ValType::I32],
    &[ValType::F64, ValType::I64, ValType::I32, ValType::I64, ValType::F64],
];
const PARAMS: [ValType; 4] = [ValType::I32, ValType::I64, ValType::F64, ValType::V128];
const RESULTS: [ValType; 2] = [ValType::I32, ValType::I64];
const FUNCTIONS: u32 = 8;
/// Calls of one function: a call of the last one makes some hundreds.
const CALLS_MAX: u32 = 2;

// Types: functions', then for each tag what it carries, and blocks that give that without and with
// a reference.
const FUNCTION: u32 = 0;

const fn tag_type(tag: usize) -> u32 {
    1 + 3 * tag as u32
}

fn block_type(tag: usize, with_reference: bool) -> BlockType {
    BlockType::FunctionType(tag_type(tag) + 1 + u32::from(with_reference))
}

type Access = (fn(MemArg) -> I<'static>, u32, &'static [Kind], Option<Kind>);

macro_rules! atomics {
    ($( $params:tt => $result:tt { $($op:ident($bytes_log2:literal))* } )*) => {
        const ATOMICS: &[Access] = &[$( $(
            (I::$op, $bytes_log2, atomics!(@params $params), atomics!(@result $result)),
        )* )*];
    };
    (@params [$($kind:ident)*]) => { &[$(Kind::$kind),*] };
    (@result []) => { None };
    (@result [$kind:ident]) => { Some(Kind::$kind) };
}

atomics! {
    [] => [I32] { I32AtomicLoad(2) I32AtomicLoad8U(0) I32AtomicLoad16U(1) }
    [] => [I64] { I64AtomicLoad(3) I64AtomicLoad8U(0) I64AtomicLoad16U(1) I64AtomicLoad32U(2) }
    [I32] => [] { I32AtomicStore(2) I32AtomicStore8(0) I32AtomicStore16(1) }
    [I64] => [] { I64AtomicStore(3) I64AtomicStore8(0) I64AtomicStore16(1) I64AtomicStore32(2) }
    [I32] => [I32] {
        I32AtomicRmwAdd(2) I32AtomicRmw8AddU(0) I32AtomicRmw16AddU(1)
        I32AtomicRmwSub(2) I32AtomicRmw8SubU(0) I32AtomicRmw16SubU(1)
        I32AtomicRmwAnd(2) I32AtomicRmw8AndU(0) I32AtomicRmw16AndU(1)
        I32AtomicRmwOr(2) I32AtomicRmw8OrU(0) I32AtomicRmw16OrU(1)
        I32AtomicRmwXor(2) I32AtomicRmw8XorU(0) I32AtomicRmw16XorU(1)
        I32AtomicRmwXchg(2) I32AtomicRmw8XchgU(0) I32AtomicRmw16XchgU(1)
        MemoryAtomicNotify(2)
    }
    [I64] => [I64] {
        I64AtomicRmwAdd(3) I64AtomicRmw8AddU(0) I64AtomicRmw16AddU(1) I64AtomicRmw32AddU(2)
        I64AtomicRmwSub(3) I64AtomicRmw8SubU(0) I64AtomicRmw16SubU(1) I64AtomicRmw32SubU(2)
        I64AtomicRmwAnd(3) I64AtomicRmw8AndU(0) I64AtomicRmw16AndU(1) I64AtomicRmw32AndU(2)
        I64AtomicRmwOr(3) I64AtomicRmw8OrU(0) I64AtomicRmw16OrU(1) I64AtomicRmw32OrU(2)
        I64AtomicRmwXor(3) I64AtomicRmw8XorU(0) I64AtomicRmw16XorU(1) I64AtomicRmw32XorU(2)
        I64AtomicRmwXchg(3) I64AtomicRmw8XchgU(0) I64AtomicRmw16XchgU(1) I64AtomicRmw32XchgU(2)
    }
    [I32 I32] => [I32] {
        I32AtomicRmwCmpxchg(2) I32AtomicRmw8CmpxchgU(0) I32AtomicRmw16CmpxchgU(1)
    }
    [I64 I64] => [I64] {
        I64AtomicRmwCmpxchg(3) I64AtomicRmw8CmpxchgU(0) I64AtomicRmw16CmpxchgU(1)
        I64AtomicRmw32CmpxchgU(2)
    }
}

type Relaxed = (I<'static>, &'static [Kind], Kind);

const RELAXED: &[Relaxed] = &[
    (I::I8x16RelaxedSwizzle, &[Kind::V128; 2], Kind::V128),
    (I::I32x4RelaxedTruncF32x4S, &[Kind::F32x4], Kind::V128),
    (I::I32x4RelaxedTruncF32x4U, &[Kind::F32x4], Kind::V128),
    (I::I32x4RelaxedTruncF64x2SZero, &[Kind::F64x2], Kind::V128),
    (I::I32x4RelaxedTruncF64x2UZero, &[Kind::F64x2], Kind::V128),
    (I::I8x16RelaxedLaneselect, &[Kind::V128; 3], Kind::V128),
    (I::I16x8RelaxedLaneselect, &[Kind::V128; 3], Kind::V128),
    (I::I32x4RelaxedLaneselect, &[Kind::V128; 3], Kind::V128),
    (I::I64x2RelaxedLaneselect, &[Kind::V128; 3], Kind::V128),
    (I::F32x4RelaxedMin, &[Kind::F32x4; 2], Kind::F32x4),
    (I::F32x4RelaxedMax, &[Kind::F32x4; 2], Kind::F32x4),
    (I::F64x2RelaxedMin, &[Kind::F64x2; 2], Kind::F64x2),
    (I::F64x2RelaxedMax, &[Kind::F64x2; 2], Kind::F64x2),
    (I::I16x8RelaxedQ15mulrS, &[Kind::V128; 2], Kind::V128),
    (I::I16x8RelaxedDotI8x16I7x16S, &[Kind::V128; 2], Kind::V128),
    (I::I32x4RelaxedDotI8x16I7x16AddS, &[Kind::V128; 3], Kind::V128),
];

const WIDE: &[(I<'static>, usize)] =
    &[(I::I64Add128, 4), (I::I64Sub128, 4), (I::I64MulWideS, 2), (I::I64MulWideU, 2)];

pub(super) fn module(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let shared = random.chance(1, 4);
    let mut code = CodeSection::new();
    for index in 0..FUNCTIONS {
        let mut body = Body::new(&PARAMS, &mut random);
        PARAMS.into_iter().for_each(|ty| body.add_local(ty));
        let exception = body.reserve(ValType::EXNREF);
        let mut function = Builder { body, earlier: index, calls: 0, exception };
        for _ in 0..function.body.random.between(2, 5) {
            function.statement(3);
        }
        function.results();
        code.function(&function.body.finish());
    }
    assemble(shared, &code, &mut random)
}

struct Builder<'r> {
    body: Body<'r>,
    /// Functions that may be called: those before.
    earlier: u32,
    calls: u32,
    exception: u32,
}

impl Builder<'_> {
    fn results(&mut self) {
        RESULTS.iter().for_each(|&ty| self.body.expression(Kind::of(ty), 1));
    }

    fn values(&mut self, types: &[ValType]) {
        for &ty in types {
            // Whoever is given a float sees its bits.
            let kind = if ty == ValType::F64 { Kind::F64Bits } else { Kind::of(ty) };
            self.body.expression(kind, 1);
        }
    }

    /// Puts what is on the stack into locals, the last value first.
    fn take(&mut self, types: &[ValType]) {
        for &ty in types.iter().rev() {
            let set = self.body.local(ty).map_or(I::Drop, I::LocalSet);
            self.body.emit([set]);
        }
    }

    fn statements(&mut self, depth: usize) {
        for _ in 0..self.body.random.between(1, 3) {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: usize) {
        match self.body.random.below(if depth == 0 { 8 } else { 13 }) {
            0 => self.note(),
            1 | 2 => self.atomic(),
            3 => self.relaxed(),
            4 => self.wide(),
            5 => self.call(),
            6 => self.sometimes(Self::throw),
            7 => self.sometimes(Self::leave),
            8..=10 => self.try_table(depth - 1),
            _ => self.older_try(depth - 1),
        }
    }

    /// Adds to the global, so that it shows which way was taken.
    fn note(&mut self) {
        let number = self.body.random.below(1000) as i64;
        self.body.emit([I::GlobalGet(0), I::I64Const(7), I::I64Mul, I::I64Const(number)]);
        self.body.emit([I::I64Add, I::GlobalSet(0)]);
    }

    fn sometimes(&mut self, what: fn(&mut Self)) {
        self.body.expression(Kind::I32, 1);
        if self.body.random.chance(1, 2) {
            self.body.emit([I::I32Const(3), I::I32And]);
        }
        self.body.emit([I::If(BlockType::Empty)]);
        what(self);
        self.body.emit([I::End]);
    }

    fn throw(&mut self) {
        if self.body.random.chance(1, 6) {
            // Of an exception that was caught, or of null.
            return self.body.emit([I::LocalGet(self.exception), I::ThrowRef]);
        }
        let tag = self.body.random.below(TAGS.len());
        self.values(TAGS[tag]);
        self.body.emit([I::Throw(tag as u32)]);
    }

    fn callee(&mut self) -> Option<u32> {
        if self.earlier == 0 || self.calls == CALLS_MAX {
            return None;
        }
        self.calls += 1;
        Some(self.body.random.below(self.earlier as usize) as u32)
    }

    /// Returns, or is replaced by another function: either leaves all `try`s.
    fn leave(&mut self) {
        let Some(callee) = self.callee() else {
            self.results();
            return self.body.emit([I::Return]);
        };
        self.values(&PARAMS);
        let tail_call = match self.body.random.below(2) {
            0 => I::ReturnCall(callee),
            _ => {
                self.body.emit([I::RefFunc(callee)]);
                I::ReturnCallRef(FUNCTION)
            }
        };
        self.body.emit([tail_call]);
    }

    fn call(&mut self) {
        let Some(callee) = self.callee() else { return self.note() };
        self.values(&PARAMS);
        match self.body.random.below(2) {
            0 => self.body.emit([I::Call(callee)]),
            _ => self.body.emit([I::RefFunc(callee), I::CallRef(FUNCTION)]),
        }
        self.take(&RESULTS);
    }

    fn atomic(&mut self) {
        let (make, bytes_log2, params, result) = *self.body.random.pick(ATOMICS);
        self.body.expression(Kind::I32, 1);
        // Mostly aligned and in the first page.
        if self.body.random.chance(15, 16) {
            self.body.emit([I::I32Const(0xfff8), I::I32And]);
        }
        params.iter().for_each(|&kind| self.body.expression(kind, 1));
        let offset = if self.body.random.chance(1, 2) { 0 } else { 8 << bytes_log2 };
        let target = MemArgTarget::Memory(0);
        self.body.emit([make(MemArg { offset, align: bytes_log2, target, ordering: None })]);
        if let Some(kind) = result {
            self.take(&[kind.ty()]);
        }
        if self.body.random.chance(1, 8) {
            self.body.emit([I::AtomicFence(Ordering::SeqCst)]);
        }
    }

    fn relaxed(&mut self) {
        let (instruction, params, result) = self.body.random.pick(RELAXED).clone();
        params.iter().for_each(|&kind| self.body.expression(kind, 1));
        self.body.emit([instruction]);
        self.body.coerce(result, Kind::V128);
        self.take(&[ValType::V128]);
    }

    fn wide(&mut self) {
        let (instruction, params) = self.body.random.pick(WIDE).clone();
        (0..params).for_each(|_| self.body.expression(Kind::I64, 1));
        self.body.emit([instruction]);
        self.take(&[ValType::I64, ValType::I64]);
    }

    /// ```text
    /// block end { block n .. block 1 { try_table (catch ..) { .. } br end } take 1; br end .. }
    /// ```
    fn try_table(&mut self, depth: usize) {
        let clauses: Vec<(Option<usize>, bool)> = (0..self.body.random.between(1, 3))
            .map(|_| {
                let all = self.body.random.chance(1, 4);
                let tag = (!all).then(|| self.body.random.below(TAGS.len()));
                (tag, self.body.random.chance(1, 3))
            })
            .collect();
        self.body.emit([I::Block(BlockType::Empty)]);
        for &(tag, with_reference) in clauses.iter().rev() {
            self.body.emit([I::Block(match (tag, with_reference) {
                (Some(tag), _) => block_type(tag, with_reference),
                (None, true) => BlockType::Result(ValType::EXNREF),
                (None, false) => BlockType::Empty,
            })]);
        }
        let catches = clauses.iter().zip(0..).map(|(clause, label)| match *clause {
            (Some(tag), false) => Catch::One { tag: tag as u32, label },
            (Some(tag), true) => Catch::OneRef { tag: tag as u32, label },
            (None, false) => Catch::All { label },
            (None, true) => Catch::AllRef { label },
        });
        let catches: Vec<Catch> = catches.collect();
        self.body.emit([I::TryTable(BlockType::Empty, catches.into())]);
        self.statements(depth);
        self.body.emit([I::End, I::Br(clauses.len() as u32)]);
        for (number, &(tag, with_reference)) in clauses.iter().enumerate() {
            self.body.emit([I::End]);
            if with_reference {
                self.body.emit([I::LocalSet(self.exception)]);
            }
            self.take(tag.map_or(&[], |tag| TAGS[tag]));
            self.note();
            if with_reference && self.body.random.chance(1, 3) {
                self.body.emit([I::LocalGet(self.exception), I::ThrowRef]);
            } else {
                self.body.emit([I::Br((clauses.len() - 1 - number) as u32)]);
            }
        }
        self.body.emit([I::End]);
    }

    fn older_try(&mut self, depth: usize) {
        self.body.emit([I::Try(BlockType::Empty)]);
        self.statements(depth);
        if self.body.random.chance(1, 5) {
            // To whatever is around it.
            return self.body.emit([I::Delegate(0)]);
        }
        for _ in 0..self.body.random.between(0, 2) {
            let tag = self.body.random.below(TAGS.len());
            self.body.emit([I::Catch(tag as u32)]);
            self.take(TAGS[tag]);
            self.handler();
        }
        if self.body.random.chance(1, 2) {
            self.body.emit([I::CatchAll]);
            self.handler();
        }
        self.body.emit([I::End]);
    }

    fn handler(&mut self) {
        self.note();
        if self.body.random.chance(1, 3) {
            self.body.expression(Kind::I32, 1);
            self.body.emit([I::If(BlockType::Empty), I::Rethrow(1), I::End]);
        }
    }
}

/// All functions, the memory (if the host may look at it) and the global are exported.
fn assemble(shared: bool, code: &CodeSection, random: &mut Random) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function(PARAMS, RESULTS);
    let mut tags = TagSection::new();
    for (tag, values) in TAGS.iter().enumerate() {
        types.ty().function(values.iter().copied(), []);
        types.ty().function([], values.iter().copied());
        types.ty().function([], [*values, &[ValType::EXNREF]].concat());
        tags.tag(TagType { kind: TagKind::Exception, func_type_idx: tag_type(tag) });
    }
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    for index in 0..FUNCTIONS {
        functions.function(FUNCTION);
        exports.export(&format!("f{index}"), ExportKind::Func, index);
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(2),
        memory64: false,
        shared,
        page_size_log2: None,
    });
    if !shared {
        exports.export("m0", ExportKind::Memory, 0);
    }
    let mut globals = GlobalSection::new();
    let ty = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
    globals.global(ty, &ConstExpr::i64_const(1));
    exports.export("g0", ExportKind::Global, 0);
    let mut elements = ElementSection::new();
    elements.declared(Elements::Functions((0..FUNCTIONS).collect::<Vec<_>>().into()));
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(0), random.bytes(64));
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&tags);
    module.section(&globals).section(&exports).section(&elements).section(code).section(&data);
    module.finish()
}

#[cfg(test)]
mod tests {
    use crate::operators;
    use crate::rewrite::Parts;
    use std::collections::BTreeSet;

    /// Whatever wasmi does not know is generated, but for what the head of this file leaves out.
    #[test]
    fn every_operator_is_generated() {
        let mut seen = BTreeSet::new();
        for seed in 0..400 {
            let wasm = super::module(seed);
            for body in Parts::read(&wasm).expect("a module").bodies {
                seen.extend(body.operators.iter().map(operators::id));
            }
        }
        let proposals =
            ["threads", "exceptions", "legacy_exceptions", "relaxed_simd", "wide_arithmetic"];
        let wanted = operators::of_proposals(&proposals).filter(|id| !seen.contains(id));
        let missing: Vec<_> = wanted.map(operators::name).collect();
        let left_out = |name: &&str| name.contains("madd") || name.contains("wait");
        let others: Vec<_> = missing.iter().filter(|name| !left_out(name)).collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(missing.len(), 4 + 2, "{missing:?}");
    }
}
