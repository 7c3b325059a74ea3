//! The runtime core: stores, instances, functions and traps.
//!
//! Everything that is mutually recursive stands here in one crate: a store owns instances,
//! memories, tables, globals and host functions; machine code runs in them through the stubs in
//! `arch`; libcalls and host functions come back; traps unwind to the innermost entry. Compilers
//! arrive as boxed `FunctionCompiler`s: this crate never names one. The safe, typed API is the
//! crate `wasmoor`, the only intended user of this one.
//!
//! Addresses of the specification are `...Id`s here: indices into the store's lists.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

pub mod arch;
mod backtrace;
mod checkpoint;
mod compiled;
mod const_eval;
pub mod context;
mod deadline;
mod engine;
mod entities;
mod error;
mod exception;
mod fault;
mod heat;
mod host_func;
mod host_funcs;
mod ids;
mod initial;
mod instance;
mod instantiate;
mod invoke;
pub mod lazy;
mod libcalls;
mod limits;
mod mixed;
pub mod poll;
mod pool;
mod reach;
mod resources;
mod slab;
mod stats;
pub mod store;
mod stored;
mod stored_images;
mod threads;
mod tier;
mod types;
mod unwind;
mod value;

pub use backtrace::{Backtrace, Frame};
pub use checkpoint::{CheckpointKey, NoCheckpoint, Restore};
pub use compiled::{CompileStats, CompiledModule};
pub use deadline::Deadline;
pub use engine::{Compilers, Engine, EngineConfig, Plan};
pub use entities::*;
pub use error::*;
pub use exception::TagEntity;
pub use heat::{TierUpBudget, TierUpLimit};
pub use host_func::{HostFuncDefinition, Panic, host_call};
pub use instance::Instance;
pub use instantiate::{describe_entity, unknown_imports};
pub use invoke::{invoke, invoke_integers};
pub use limits::{Meter, StoreLimits};
pub use poll::InterruptHandle;
pub use pool::{PoolConfig, PoolStats};
pub use stats::EngineStats;
pub use store::StoreInner;
pub use stored_images::fold_images;
pub use threads::wait_in_host;
pub use types::{ModuleTypes, RegisteredType, TypeRegistry, UnknownType};
pub use value::{AnyRefId, ExnRefId, ExternRefId, FuncPtr, Val};
pub use wasmoor_memory::{CreatorError, Creators, ResetMethod};
