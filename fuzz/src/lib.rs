//! Differential fuzzing: the same module, the same calls, on Wasmoor's tiers and on wasmi.
//!
//! ```text
//! seed -> generate -> module -> script -> calls -+-> wasmi ----------> transcript -+-> differ
//!                       |                        +-> Wasmoor, n tiers -> transcripts -+
//!                       +-> coverage: which operators ran
//! ```
//!
//! [`generate`] makes modules (`wasm-smith`, and three narrow generators of our own); [`script`]
//! chooses calls; each engine is an [`oracle`]; [`differ`] compares outcomes, traps, memories,
//! globals, tables and what the host was passed; [`coverage`] tells which operators were executed;
//! [`plant`] has miscompiles that must be found; [`mod@reduce`] shrinks what fails; [`campaign`] runs
//! many cases. Everything follows from seeds: a report names the one that makes it again.
//!
//! What it does not compare: bits of NaNs (see [`normal`]), how deep a stack or how much fuel an
//! engine grants, and texts of errors.

pub mod campaign;
pub mod coverage;
pub mod dead_store;
pub mod differ;
pub mod generate;
pub mod interface;
pub mod normal;
pub mod operators;
pub mod oracle;
pub mod plant;
pub mod random;
pub mod reduce;
pub mod rewrite;
pub mod script;
pub mod value;
