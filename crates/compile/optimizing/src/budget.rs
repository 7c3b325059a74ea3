//! How much compile time and memory one function may take.
//!
//! The backend cannot be interrupted, so the budget is stated in sizes that predict its time:
//! about 1 us per body byte and 1.5 us per CLIF instruction with optimization, growing faster
//! than linearly for very large functions (register allocation).

/// Size limits of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Bytes of body up to which a function is optimized. The largest interpreter loops seen in
    /// real modules have about 300 KiB.
    pub optimized_body_bytes_max: usize,
    /// CLIF instructions up to which a function is optimized.
    pub optimized_insts_max: usize,
    /// CLIF instructions above which a function is refused as too large. The backend's own
    /// limits (about 2 million virtual registers) refuse others below this.
    pub insts_max: usize,
    /// CLIF values (results and block parameters) above which a function is refused.
    pub values_max: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            optimized_body_bytes_max: 1 << 20,
            optimized_insts_max: 1_000_000,
            insts_max: 4_000_000,
            values_max: 8_000_000,
        }
    }
}
