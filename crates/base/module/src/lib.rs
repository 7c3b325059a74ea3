//! Decodes and validates WebAssembly modules into a description that compilers and the runtime
//! share.
//!
//! Loading validates every function body and compiles none. The description holds typed indices,
//! owned strings and types; function bodies and data stay ranges over a private copy of the
//! module's bytes ([`Module::bytes`]), so that what was validated is what is compiled later,
//! whatever happens to the file it came from.

mod description;
mod facts;

pub use description::*;
pub use facts::FuncFacts;
