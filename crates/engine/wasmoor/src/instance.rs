//! Instances.
//!
//! # Safety
//! Instantiation enters wasm through a raw pointer to the store.

#![allow(unsafe_code)]

use crate::entities::{Extern, Global, Memory, Table};
use crate::exception::Tag;
use crate::func::Func;
use crate::func_types::{WasmParams, WasmResults};
use crate::module::Module;
use crate::shared::SharedMemory;
use crate::store::{AsContext, AsContextMut, check_store};
use crate::typed::TypedFunc;
use crate::{Error, Result};
use wasmoor_runtime::store::StoreId;
use wasmoor_runtime::{InstanceId, StoreInner};

/// An instance of a module in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    store: StoreId,
    id: InstanceId,
}

impl Instance {
    /// Instantiates a module with imports in the order of [`Module::imports`]. A [`crate::Linker`]
    /// finds them by name.
    ///
    /// # Errors
    /// Imports that do not fit, limits, or a trap of a segment or the start function.
    ///
    /// # Panics
    /// When an import belongs to another store.
    pub fn new(
        mut store: impl AsContextMut,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance> {
        let mut store = store.as_context_mut();
        let id = store.inner().id();
        let imports = imports
            .iter()
            .map(|import| import.to_runtime(store.inner()))
            .collect::<Result<Vec<_>>>()?;
        let inner = store.inner_ptr();
        // SAFETY: the imports belong to the store, which is bound and borrowed exclusively.
        let instance = unsafe { StoreInner::instantiate(inner, &module.inner, &imports) }?;
        Ok(Instance { store: id, id: instance })
    }

    /// An export.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        let store = store.as_context();
        check_store(self.store, store.inner());
        let external = store.inner().instance(self.id).export(name)?;
        Some(Extern::from_runtime(store.inner(), external))
    }

    /// All exports, in the module's order.
    pub fn exports(&self, store: impl AsContext) -> Vec<(String, Extern)> {
        let store = store.as_context();
        check_store(self.store, store.inner());
        let instance = store.inner().instance(self.id);
        let exports = &instance.module().exports;
        exports
            .iter()
            .filter_map(|export| {
                let external = instance.external(export.entity)?;
                Some((export.name.clone(), Extern::from_runtime(store.inner(), external)))
            })
            .collect()
    }

    /// An exported function.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// An exported function with its Rust type.
    ///
    /// # Errors
    /// When there is no such function or its type is another.
    pub fn get_typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        let func = self
            .get_func(&store, name)
            .ok_or_else(|| Error::usage(format!("no function is exported as \"{name}\"")))?;
        func.typed(store)
    }

    /// An exported memory of the store's own.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// An exported memory that threads share.
    pub fn get_shared_memory(&self, store: impl AsContext, name: &str) -> Option<SharedMemory> {
        self.get_export(store, name)?.into_shared_memory()
    }

    /// An exported table.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// An exported global.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// An exported tag.
    pub fn get_tag(&self, store: impl AsContext, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }
}
