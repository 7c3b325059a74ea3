//! How much compile time and memory one function may take.
//!
//! The backend cannot be interrupted, so the budget is stated in sizes that predict its time:
//! about 1 us per body byte and 1.5 us per CLIF instruction with optimization. Two things make
//! it grow faster than the function: blocks (the optimizer's bookkeeping) and block parameters
//! (register allocation), of which a few kilobytes of wasm can make very many: one per local and
//! loop that it is changed in. Functions over the budget are compiled in linear time.

/// Size limits of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Bytes of body up to which a function is optimized. The largest interpreter loops seen in
    /// real modules have about 300 KiB.
    pub optimized_body_bytes_max: usize,
    /// CLIF instructions up to which a function is optimized; 130,000 were seen.
    pub optimized_insts_max: usize,
    /// Basic blocks up to which a function is optimized; 22,000 were seen. The default takes 5
    /// seconds at worst (loops nested in each other).
    pub optimized_blocks_max: usize,
    /// Block parameters up to which a function is optimized; 29,000 were seen. The default takes
    /// 2 to 4 seconds at worst, four times as many take a minute.
    pub optimized_block_params_max: usize,
    /// Operands and results of calls, those of each call beyond the first 32, up to which a
    /// function is optimized: register allocation moves each of them around every call. 100 calls
    /// of 1,000 parameters and results took 5 seconds.
    pub optimized_wide_operands_max: usize,
    /// CLIF instructions above which a function is refused as too large. The backend's own
    /// limits (about 2 million virtual registers) refuse others below this.
    pub insts_max: usize,
    /// CLIF values (results and block parameters) above which a function is refused; 430,000
    /// were seen. The default bounds a function's code to about 130 MB.
    pub values_max: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            optimized_body_bytes_max: 1 << 20,
            optimized_insts_max: 1_000_000,
            optimized_blocks_max: 40_000,
            optimized_block_params_max: 60_000,
            optimized_wide_operands_max: 20_000,
            insts_max: 4_000_000,
            values_max: 4_000_000,
        }
    }
}
