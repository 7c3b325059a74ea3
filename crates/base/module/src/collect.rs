//! Collects [`FuncFacts`] while operators are validated.
//!
//! [`FactsVisitor`] stands in front of the validator's visitor: each method, generated from the
//! validator's list of operators, notes what the operator tells and passes it on. All of it is
//! inlined into the decoder's one big `match`, so that an operator without facts costs an
//! increment.
//!
//! The facts are notes about operators that the validator then accepts or refuses; when it
//! refuses one, they are thrown away. So nothing here may rely on the body being valid.

use crate::facts::FuncFacts;
use wasmparser::{
    BlockType, Catch, FrameKind, FrameStack, TryTable, ValType, VisitOperator, VisitSimdOperator,
};

/// Loops deeper than this count like this deep ones: 8^6 uses.
const LOOP_DEPTH_WEIGHED_MAX: usize = 6;

/// The facts of the function at hand; its buffers serve one function after the other.
#[derive(Debug)]
pub(crate) struct Collector {
    facts: FuncFacts,
    /// Open control operators, the body itself first. The decoder asks for the innermost.
    frames: Vec<FrameKind>,
    /// How many of them are loops.
    open_loops: usize,
    /// Weight of a use here: 8 to the power of the number of open loops.
    weight: u32,
    weights: Box<[u32; FuncFacts::WEIGHED_LOCALS]>,
    /// The first operator that is not implemented.
    refused: Option<Refused>,
}

/// An operator that is valid but not implemented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    /// Its name in the validator's list.
    pub(crate) operator: &'static str,
    /// Bytes from the start of the module.
    pub(crate) offset: u64,
}

impl Default for Collector {
    fn default() -> Self {
        Collector {
            facts: FuncFacts::default(),
            frames: Vec::new(),
            open_loops: 0,
            weight: 1,
            weights: Box::new([0; FuncFacts::WEIGHED_LOCALS]),
            refused: None,
        }
    }
}

impl Collector {
    /// Starts with a function that has this many locals, parameters included.
    pub(crate) fn start(&mut self, locals: u32, vector_locals: bool) {
        self.facts = FuncFacts {
            locals,
            control_depth_max: 1,
            uses_simd: vector_locals,
            ..FuncFacts::default()
        };
        self.frames.clear();
        self.frames.push(FrameKind::Block);
        self.open_loops = 0;
        self.weight = 1;
        self.refused = None;
        let weighed = self.weighed();
        self.weights[..weighed].fill(0);
    }

    /// Notes an operator and the operand stack's height behind it.
    #[inline(always)]
    pub(crate) fn operator_done(&mut self, stack_height: u32) {
        self.facts.operators += 1;
        self.facts.stack_height_max = self.facts.stack_height_max.max(stack_height);
    }

    #[inline(always)]
    fn vector_seen(&mut self) {
        self.facts.uses_simd = true;
    }

    /// The first operator of the function that is not implemented.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    /// The facts of the function that was started last.
    pub(crate) fn finish(&mut self) -> FuncFacts {
        let weighed = self.weighed();
        let mut facts = std::mem::take(&mut self.facts);
        facts.local_weights = self.weights[..weighed].into();
        facts
    }

    fn weighed(&self) -> usize {
        (self.facts.locals as usize).min(FuncFacts::WEIGHED_LOCALS)
    }

    #[inline(always)]
    fn local_used(&mut self, index: u32) {
        if let Some(weight) = self.weights.get_mut(index as usize) {
            *weight = weight.saturating_add(self.weight);
        }
    }

    #[inline]
    fn open(&mut self, kind: FrameKind) {
        self.frames.push(kind);
        let depth = self.frames.len() as u32;
        self.facts.control_depth_max = self.facts.control_depth_max.max(depth);
        match kind {
            FrameKind::Loop => {
                self.facts.loops += 1;
                self.set_open_loops(self.open_loops + 1);
            }
            FrameKind::TryTable | FrameKind::LegacyTry => self.facts.tries += 1,
            _ => {}
        }
    }

    /// The innermost control operator goes on as another kind: `if` as `else`.
    fn turn_into(&mut self, kind: FrameKind) {
        if let Some(frame) = self.frames.last_mut() {
            *frame = kind;
        }
    }

    #[inline]
    fn close(&mut self) {
        if self.frames.pop() == Some(FrameKind::Loop) {
            self.set_open_loops(self.open_loops - 1);
        }
    }

    fn set_open_loops(&mut self, loops: usize) {
        self.open_loops = loops;
        self.weight = 1 << (3 * loops.min(LOOP_DEPTH_WEIGHED_MAX));
    }
}

/// Which entities of a module mention vectors; empty lists in a module without any.
#[derive(Debug, Default)]
pub(crate) struct VectorEntities {
    pub(crate) types: Box<[bool]>,
    pub(crate) funcs: Box<[bool]>,
    pub(crate) globals: Box<[bool]>,
    pub(crate) tags: Box<[bool]>,
}

/// The validator's visitor with a collector in front.
pub(crate) struct FactsVisitor<'c, V> {
    pub(crate) validator: V,
    pub(crate) collector: &'c mut Collector,
    pub(crate) vectors: &'c VectorEntities,
    /// Of the operator, in the module.
    pub(crate) offset: u64,
}

impl<V> FactsVisitor<'_, V> {
    fn note_call(&mut self, func: u32) {
        self.collector.facts.has_call = true;
        self.note_vector_if(&self.vectors.funcs, func);
    }

    fn note_typed_call(&mut self, ty: u32) {
        self.collector.facts.has_call = true;
        self.note_vector_if(&self.vectors.types, ty);
    }

    #[inline]
    fn note_block(&mut self, kind: FrameKind, ty: BlockType) {
        self.collector.open(kind);
        match ty {
            BlockType::Empty => {}
            BlockType::Type(ty) => self.note_type(ty),
            BlockType::FuncType(ty) => self.note_vector_if(&self.vectors.types, ty),
        }
    }

    /// A tag whose values are thrown or caught.
    fn note_tag(&mut self, tag: u32) {
        self.note_vector_if(&self.vectors.tags, tag);
    }

    #[inline]
    fn note_try_table(&mut self, table: &TryTable) {
        self.note_block(FrameKind::TryTable, table.ty);
        for clause in &table.catches {
            match clause {
                Catch::One { tag, .. } | Catch::OneRef { tag, .. } => self.note_tag(*tag),
                Catch::All { .. } | Catch::AllRef { .. } => {}
            }
        }
    }

    fn note_type(&mut self, ty: ValType) {
        if ty == ValType::V128 {
            self.collector.vector_seen();
        }
    }

    /// Notes an operator on objects, for which there is no collector yet.
    #[cold]
    fn note_refused(&mut self, operator: &'static str) {
        let refused = Refused { operator, offset: self.offset };
        self.collector.refused.get_or_insert(refused);
    }

    fn note_vector_if(&mut self, vectors: &[bool], index: u32) {
        if vectors.get(index as usize) == Some(&true) {
            self.collector.vector_seen();
        }
    }
}

/// Notes what one operator tells: first by its name, else by the kind of its immediates.
macro_rules! note {
    ($v:ident Block $ty:ident) => {
        $v.note_block(FrameKind::Block, $ty)
    };
    ($v:ident Loop $ty:ident) => {
        $v.note_block(FrameKind::Loop, $ty)
    };
    ($v:ident If $ty:ident) => {
        $v.note_block(FrameKind::If, $ty)
    };
    ($v:ident Else) => {
        $v.collector.turn_into(FrameKind::Else)
    };
    ($v:ident TryTable $table:ident) => {
        $v.note_try_table(&$table)
    };
    ($v:ident Try $ty:ident) => {
        $v.note_block(FrameKind::LegacyTry, $ty)
    };
    ($v:ident Catch $tag:ident) => {{
        $v.note_tag($tag);
        $v.collector.turn_into(FrameKind::LegacyCatch)
    }};
    ($v:ident Throw $tag:ident) => {{
        $v.collector.facts.has_call = true;
        $v.note_tag($tag)
    }};
    ($v:ident ThrowRef) => {
        $v.collector.facts.has_call = true
    };
    ($v:ident Rethrow $depth:ident) => {
        $v.collector.facts.has_call = true
    };
    ($v:ident CatchAll) => {
        $v.collector.turn_into(FrameKind::LegacyCatchAll)
    };
    ($v:ident Delegate $depth:ident) => {
        $v.collector.close()
    };
    ($v:ident End) => {
        $v.collector.close()
    };
    ($v:ident LocalGet $index:ident) => {
        $v.collector.local_used($index)
    };
    ($v:ident LocalSet $index:ident) => {
        $v.collector.local_used($index)
    };
    ($v:ident LocalTee $index:ident) => {
        $v.collector.local_used($index)
    };
    ($v:ident GlobalGet $index:ident) => {
        $v.note_vector_if(&$v.vectors.globals, $index)
    };
    ($v:ident TypedSelect $ty:ident) => {
        $v.note_type($ty)
    };
    ($v:ident Call $func:ident) => {
        $v.note_call($func)
    };
    ($v:ident ReturnCall $func:ident) => {
        $v.note_call($func)
    };
    ($v:ident CallIndirect $ty:ident $table:ident) => {
        $v.note_typed_call($ty)
    };
    ($v:ident ReturnCallIndirect $ty:ident $table:ident) => {
        $v.note_typed_call($ty)
    };
    ($v:ident CallRef $ty:ident) => {
        $v.note_typed_call($ty)
    };
    ($v:ident ReturnCallRef $ty:ident) => {
        $v.note_typed_call($ty)
    };
    ($v:ident MemorySize $($arg:ident)*) => {
        $v.collector.facts.uses_memory = true
    };
    ($v:ident MemoryGrow $($arg:ident)*) => {
        $v.collector.facts.uses_memory = true
    };
    ($v:ident MemoryInit $($arg:ident)*) => {
        $v.collector.facts.uses_memory = true
    };
    ($v:ident MemoryCopy $($arg:ident)*) => {
        $v.collector.facts.uses_memory = true
    };
    ($v:ident MemoryFill $($arg:ident)*) => {
        $v.collector.facts.uses_memory = true
    };
    ($v:ident MemoryDiscard $($arg:ident)*) => {
        $v.collector.facts.uses_memory = true
    };
    ($v:ident $op:ident memarg $($arg:ident)*) => {
        $v.collector.facts.uses_memory = true
    };
    ($v:ident $op:ident $($arg:ident)*) => {};
}

/// Notes operators of proposals whose types are known but whose operators are not implemented.
macro_rules! note_proposal {
    ($v:ident gc $op:ident) => {
        $v.note_refused(stringify!($op))
    };
    ($v:ident $proposal:ident $op:ident) => {};
}

macro_rules! note_and_validate {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })?
        => $visit:ident ($($ann:tt)*) )*) => { $(
        #[inline(always)]
        fn $visit(&mut self $($(, $arg: $argty)*)?) -> Self::Output {
            note_proposal!(self $proposal $op);
            note!(self $op $($($arg)*)?);
            self.validator.$visit($($($arg),*)?)
        }
    )* };
}

macro_rules! note_vector_and_validate {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })?
        => $visit:ident ($($ann:tt)*) )*) => { $(
        #[inline(always)]
        fn $visit(&mut self $($(, $arg: $argty)*)?) -> Self::Output {
            self.collector.vector_seen();
            note!(self $op $($($arg)*)?);
            self.validator.$visit($($($arg),*)?)
        }
    )* };
}

impl<'a, V> VisitOperator<'a> for FactsVisitor<'_, V>
where
    V: VisitSimdOperator<'a, Output = wasmparser::Result<()>>,
{
    type Output = wasmparser::Result<()>;

    fn simd_visitor(
        &mut self,
    ) -> Option<&mut dyn VisitSimdOperator<'a, Output = wasmparser::Result<()>>> {
        Some(self)
    }

    wasmparser::for_each_visit_operator!(note_and_validate);
}

impl<'a, V> VisitSimdOperator<'a> for FactsVisitor<'_, V>
where
    V: VisitSimdOperator<'a, Output = wasmparser::Result<()>>,
{
    wasmparser::for_each_visit_simd_operator!(note_vector_and_validate);
}

impl<V> FrameStack for FactsVisitor<'_, V> {
    #[inline(always)]
    fn current_frame(&self) -> Option<FrameKind> {
        self.collector.frames.last().copied()
    }
}
