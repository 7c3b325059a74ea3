//! Wasmoor: a WebAssembly runtime. This crate is its embedding API.
//!
//! ```
//! use wasmoor::*;
//!
//! # fn main() -> Result<(), Error> {
//! let engine = Engine::default();
//! let module = Module::new(&engine, r#"(module
//!     (import "host" "double" (func $double (param i32) (result i32)))
//!     (func (export "run") (param i32) (result i32)
//!         (i32.add (call $double (local.get 0)) (i32.const 1))))"#)?;
//! let mut linker = Linker::new(&engine);
//! linker.func_wrap("host", "double", |x: i32| x * 2)?;
//! let mut store = Store::new(&engine, ())?;
//! let instance = linker.instantiate(&mut store, &module)?;
//! let run = instance.get_typed_func::<i32, i32>(&store, "run")?;
//! assert_eq!(run.call(&mut store, 20)?, 41);
//! # Ok(()) }
//! ```
//!
//! An [`Engine`] holds a configuration and is shared by threads. A [`Module`] is loaded by
//! validating it; its functions are compiled when they are first called (or all at once with
//! [`Config::eager`]). A [`Store`] owns instances and everything they are linked to; handles such
//! as [`Func`] and [`Memory`] are small, copyable, and valid with their store only: using one
//! with another store panics. An instance lives until its store is dropped or until it is let go
//! ([`Instance::release`]) and nothing needs it any more; handles of what was freed with it answer
//! an error, or panic where no error can be answered. Guests get nothing that is not given to them through imports.
//!
//! This crate does not know WASI: the world crates (`wasmoor-wasi-p1`) add it to a [`Linker`].

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod artifact;
#[cfg(unix)]
pub mod cache;
mod checkpoint;
mod config;
mod creators;
mod entities;
mod exception;
mod func;
mod func_types;
mod handle;
mod instance;
mod linker;
mod module;
mod shared;
mod source;
mod store;
#[cfg(unix)]
mod trust;
mod typed;
mod types;
mod val;

pub use artifact::ARTIFACT_MAGIC;
pub use config::{Allocation, Config, Engine, MemoryChoice, Pool, Tier};
pub use entities::{Extern, Global, Memory, Table};
pub use exception::{ExnRef, Tag};
pub use func::{Func, HostResult, IntoFunc};
pub use func_types::{V128, WasmParams, WasmResults, WasmTy};
pub use instance::Instance;
pub use linker::{InstancePre, Linker};
pub use module::{ExportType, ExternType, ImportType, Module, ModuleOptions};
pub use shared::{OutOfBounds, SharedMemory, Waited};
pub use source::{SourceLocation, locate};
pub use store::{AsContext, AsContextMut, Caller, RawMemory, Store, StoreContext, StoreContextMut};
pub use typed::TypedFunc;
pub use types::RegisteredType;
pub use val::{AnyRef, ExternRef, Val};
pub use wasmoor_abi::{
    CompositeKind, ConcreteType, DefinedType, FuncType, GlobalType, HeapType, MemoryType,
    RefFamily, RefType, TableType, TrapCode, TypeUse, ValType,
};
pub use wasmoor_memory::{
    CreatedMemory, CreatedTable, CreatorError, CreatorFailure, MemoryCreator, MemoryRequest,
    TableCreator, TableRequest,
};
pub use wasmoor_module::{Feature, Features, LoadError};
pub use wasmoor_runtime::{
    Backtrace, CompileStats, Deadline, EngineStats, Error, ErrorKind, Exception, Frame,
    HostFailure, ImportError, InterruptHandle, Meter, PoolStats, ResetMethod, StoreLimits,
    TierUpBudget, TierUpLimit, Trap, UnknownType,
};

/// A result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The runtime's inside, for worlds that need more than the safe API (processes, signals, stack
/// capture). Not covered by any promise of stability.
pub mod raw {
    pub use wasmoor_codegen as codegen;
    pub use wasmoor_runtime as runtime;

    pub use crate::checkpoint::{Capturing, checkpoint, checkpoints_kept, restore};
    pub use wasmoor_runtime::{CheckpointKey, NoCheckpoint};

    /// The tier of tests in which every call runs code of either compiler, as a generator that
    /// starts from the seed decides anew each time. A guest on one thread sees the same choices
    /// whenever the seed and the engine's earlier modules are the same.
    #[must_use]
    pub fn mixed_tier(seed: u64) -> crate::Tier {
        crate::Tier::Mixed { seed }
    }

    /// A seed for tests: `$WASMOOR_SEED` if that is a number, else another one each time.
    #[must_use]
    pub fn seed() -> u64 {
        use std::hash::{BuildHasher, RandomState};
        let wanted = std::env::var("WASMOOR_SEED").ok().and_then(|seed| seed.parse().ok());
        wanted.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32)
    }

    /// An engine whose compilers the caller made, with options that [`crate::Config`] has not.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub fn engine(config: runtime::EngineConfig) -> std::io::Result<crate::Engine> {
        Ok(crate::Engine { inner: runtime::Engine::new(config)? })
    }
}
