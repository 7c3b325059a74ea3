//! What compilers produce, where code lives and how it is published.
//!
//! A compiler implements [`FunctionCompiler`] and turns one function body into a
//! [`CompiledFunction`]: position-independent bytes, relocations and tables. [`ModuleCode`] owns
//! the code slots and the arena of one module; it links what compilers made and publishes it by
//! one store to the function's slot. [`registry`] finds code by address, also from signal
//! handlers. [`container`] is the file that code is kept in.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod blobs;
mod bytes;
mod compiler;
pub mod container;
mod link;
mod link_stored;
mod module_code;
pub mod registry;
mod stored;
mod unlinked;

pub use blobs::Blob;
pub use bytes::Bytes;
pub use compiler::*;
pub use link::LinkError;
pub use module_code::{ModuleCode, SampleHook};
pub use stored::{CodeTier, StoredCode, StoredFunction};
pub use unlinked::Unlinked;
