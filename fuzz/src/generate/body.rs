//! Code for one function, grown operator by operator.

use super::numeric::{Kind, Make, Numeric, numeric};
use crate::normal::Shape;
use crate::random::Random;
use crate::value::{Type, Value};
use wasm_encoder::{Function, Instruction as I, ValType};

/// A function under construction.
pub(super) struct Body<'r> {
    pub(super) random: &'r mut Random,
    pub(super) code: Vec<I<'static>>,
    /// Parameters first.
    locals: Vec<ValType>,
    params: usize,
    /// Locals that random code may read and write; the others have a purpose.
    open: usize,
    scratch: [Option<u32>; 3],
}

impl<'r> Body<'r> {
    pub(super) fn new(params: &[ValType], random: &'r mut Random) -> Self {
        Body {
            random,
            code: Vec::new(),
            locals: params.to_vec(),
            params: params.len(),
            open: params.len(),
            scratch: [None; 3],
        }
    }

    /// Adds a local that random code may use. Only before [`Body::reserve`].
    pub(super) fn add_local(&mut self, ty: ValType) {
        self.locals.push(ty);
        self.open = self.locals.len();
    }

    /// Adds a local for one purpose.
    pub(super) fn reserve(&mut self, ty: ValType) -> u32 {
        self.locals.push(ty);
        self.locals.len() as u32 - 1
    }

    pub(super) fn emit(&mut self, code: impl IntoIterator<Item = I<'static>>) {
        self.code.extend(code);
    }

    /// A random local of this type.
    pub(super) fn local(&mut self, ty: ValType) -> Option<u32> {
        let all: Vec<u32> =
            (0..self.open as u32).filter(|&index| self.locals[index as usize] == ty).collect();
        (!all.is_empty()).then(|| *self.random.pick(&all))
    }

    /// Some open local, with its type.
    pub(super) fn any_local(&mut self) -> Option<(u32, ValType)> {
        let index = self.random.below(self.open);
        self.locals[..self.open].get(index).map(|&ty| (index as u32, ty))
    }

    /// Leaves a corner case of this kind on the stack.
    pub(super) fn constant(&mut self, kind: Kind) {
        let ty = match kind.ty() {
            ValType::I32 => Type::I32,
            ValType::I64 => Type::I64,
            ValType::F32 => Type::F32,
            ValType::F64 => Type::F64,
            _ => Type::V128,
        };
        let instruction = match Value::interesting(ty, self.random) {
            Value::I32(value) => I::I32Const(value),
            Value::I64(value) => I::I64Const(value),
            Value::F32(bits) => I::F32Const(f32::from_bits(bits).into()),
            Value::F64(bits) => I::F64Const(f64::from_bits(bits).into()),
            Value::V128(bits) => I::V128Const(bits as i128),
            Value::FuncRef(_) | Value::ExternRef(_) => return,
        };
        self.code.push(instruction);
    }

    /// Leaves the result of a random expression of this kind on the stack.
    pub(super) fn expression(&mut self, kind: Kind, depth: usize) {
        match self.random.below(10) {
            _ if depth == 0 => self.leaf(kind),
            0 => self.leaf(kind),
            1 => self.choice(kind, depth),
            _ => self.operation(kind, depth),
        }
    }

    fn leaf(&mut self, kind: Kind) {
        match self.local(kind.ty()) {
            Some(local) if self.random.chance(3, 4) => {
                self.code.push(I::LocalGet(local));
                self.coerce(Kind::of(kind.ty()), kind);
            }
            _ => self.constant(kind),
        }
    }

    fn choice(&mut self, kind: Kind, depth: usize) {
        if self.random.chance(1, 2) {
            self.expression(kind, depth - 1);
            self.expression(kind, depth - 1);
            self.expression(Kind::I32, depth - 1);
            let typed = self.random.chance(1, 2);
            self.code.push(if typed { I::TypedSelect(kind.ty()) } else { I::Select });
        } else {
            self.expression(Kind::I32, depth - 1);
            self.code.push(I::If(wasm_encoder::BlockType::Result(kind.ty())));
            self.expression(kind, depth - 1);
            self.code.push(I::Else);
            self.expression(kind, depth - 1);
            self.code.push(I::End);
        }
    }

    fn operation(&mut self, kind: Kind, depth: usize) {
        // What traps ends the function: rarely.
        let trap = self.random.chance(1, 8);
        // Operators of one type in a row are what compilers combine.
        let plain = self.random.chance(1, 2);
        let is_plain = |it: &Numeric| it.params.iter().all(|param| param.ty() == it.result.ty());
        let same_type: Vec<&Numeric> = numeric()
            .iter()
            .filter(|it| it.result.ty() == kind.ty())
            .filter(|it| (trap || !it.traps) && (!plain || is_plain(it)))
            .collect();
        let numeric = **self.random.pick(&same_type);
        for &param in numeric.params {
            self.expression(param, depth - 1);
        }
        self.apply(&numeric);
        self.coerce(numeric.result, kind);
    }

    /// Appends the operator, with random immediates.
    pub(super) fn apply(&mut self, numeric: &Numeric) {
        let instruction = match numeric.make {
            Make::Plain(make) => make(),
            Make::Lane(make, lanes) => make(self.random.below(lanes.into()) as u8),
            Make::Lanes(make) => make(std::array::from_fn(|_| self.random.below(32) as u8)),
        };
        self.code.push(instruction);
    }

    /// Makes the value on top of the stack stand where another kind is wanted.
    pub(super) fn coerce(&mut self, from: Kind, to: Kind) {
        if !from.fits(to)
            && let Some(shape) = from.open()
        {
            let scratch = self.scratch(shape);
            shape.canonicalize(scratch, &mut self.code);
        }
    }

    fn scratch(&mut self, shape: Shape) -> u32 {
        let slot = match shape {
            Shape::F32 => 0,
            Shape::F64 => 1,
            Shape::F32x4 | Shape::F64x2 => 2,
        };
        match self.scratch[slot] {
            Some(local) => local,
            None => {
                let local = self.reserve(shape.local());
                self.scratch[slot] = Some(local);
                local
            }
        }
    }

    /// The function.
    pub(super) fn finish(self) -> Function {
        let mut function = Function::new_with_locals_types(self.locals[self.params..].to_vec());
        for instruction in &self.code {
            function.instruction(instruction);
        }
        function.instruction(&I::End);
        function
    }
}
