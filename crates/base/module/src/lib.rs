//! Decodes and validates WebAssembly modules into a description that compilers and the runtime
//! share.
//!
//! Loading validates every function body and compiles none. The description holds typed indices,
//! owned strings and types; function bodies and data stay ranges over a private copy of the
//! module's bytes ([`Module::bytes`]), so that what was validated is what is compiled later,
//! whatever happens to the file it came from.
//!
//! The text format and components are recognised only to be refused with a clear message.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod bodies;
mod collect;
mod convert;
mod description;
mod error;
mod facts;
mod features;
mod header;
mod hints;
mod load;
mod malformed;
mod missing;
mod names;
mod restore;

pub use description::*;
pub use error::{Fault, FaultyFunc, LoadError, NotModule};
pub use facts::FuncFacts;
pub use features::{Feature, Features};
pub use hints::BranchHint;
pub use restore::{Parts, Source, SourceError};
