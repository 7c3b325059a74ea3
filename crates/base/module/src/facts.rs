//! What validation learns about a function body, for compilers.

/// Facts about one function body, collected while it is validated.
///
/// They are hints and sizes, never a licence to skip a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FuncFacts {
    /// Declared locals, parameters included.
    pub locals: u32,
    /// Operators in the body, the final `end` included.
    pub operators: u32,
    /// `loop` operators.
    pub loops: u32,
    /// Deepest nesting of control operators; the body itself counts 1.
    pub control_depth_max: u32,
    /// Most values on the operand stack at any point.
    pub stack_height_max: u32,
    /// Whether the body calls anything (directly, indirectly or by tail call) or throws.
    pub has_call: bool,
    /// `try` operators of all kinds.
    pub tries: u32,
    /// Whether the body accesses any linear memory.
    pub uses_memory: bool,
    /// Whether the body uses 128-bit vectors.
    pub uses_simd: bool,
    /// Uses (`get`, `set`, `tee`) of the first [`FuncFacts::WEIGHED_LOCALS`] locals, each
    /// weighted with 8 to the power of its loop depth (at most 8^6), saturating.
    pub local_weights: Box<[u32]>,
}

impl FuncFacts {
    /// Locals whose weight is kept; compilers leave later ones in memory.
    pub const WEIGHED_LOCALS: usize = 256;
}
