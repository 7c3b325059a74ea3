//! The types of an engine, and those of a module in it.

mod module;
mod registry;
#[cfg(test)]
mod tests;

pub use module::ModuleTypes;
pub use registry::{RegisteredType, TypeRegistry, UnknownType};

/// The registry's locks; a model checker's in the test that compiles it once more.
mod sync {
    pub(super) use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
}
