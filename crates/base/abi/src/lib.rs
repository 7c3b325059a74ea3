//! The contract between Wasmoor's compilers and its runtime.
//!
//! Compilers never see the runtime and the runtime never names a compiler; what both must agree
//! on stands here, once: typed indices, WebAssembly types, trap codes, the libcall table, the
//! layout of the structures that machine code reads, where arguments and results travel, and the
//! encodings of the tables that accompany code. There is no unsafe code and no I/O in this crate.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

pub mod call;
pub mod composite;
pub mod fuel;
pub mod handlers;
pub mod index;
pub mod libcall;
pub mod limits;
pub mod reference;
pub mod tables;
pub mod trap;
pub mod tunables;
pub mod types;
pub mod vmctx;
pub mod wire;

pub use composite::{CompositeType, FieldType, StorageType, SubType};
pub use index::*;
pub use libcall::Libcall;
pub use reference::{
    CompositeKind, ConcreteType, DefinedType, HeapType, RefFamily, RefType, TypeUse,
};
pub use trap::TrapCode;
pub use tunables::{CLAMP_GUARD_BYTES, CLAMP_ROOM_BYTES_MIN, MemoryMode, Tunables};
pub use types::*;
pub use vmctx::VmctxLayout;

/// Maps and lists keyed by the typed indices of this crate.
pub use cranelift_entity as entity;

/// Changes whenever machine code made by an older build must not be run by this one.
///
/// It is part of the key of every stored piece of code.
pub const ABI_VERSION: u32 = 4;
