//! Instances.
//!
//! # Safety
//! Instantiation enters wasm through a raw pointer to the store.

#![allow(unsafe_code)]

use crate::entities::{Extern, Global, Memory, Table};
use crate::exception::Tag;
use crate::func::Func;
use crate::func_types::{WasmParams, WasmResults};
use crate::handle::{Handle, check, expect};
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
    pub(crate) store: StoreId,
    pub(crate) id: InstanceId,
}

impl Instance {
    /// Instantiates a module with imports in the order of [`Module::imports`]. A [`crate::Linker`]
    /// finds them by name.
    ///
    /// # Errors
    /// Imports that do not fit or were freed, limits, or a trap of a segment or the start function.
    /// What was made by then goes back, unless a segment or the start function has handed it to
    /// others.
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

    /// Lets the instance go: the store keeps it no longer for the host's sake. It is freed, with the
    /// memories, tables, globals and tags that it defines, as soon as nothing in the store needs it:
    /// the store's meter is given back what they took, and a pool what they were made of.
    ///
    /// What needs an instance are other instances that import anything of it, and any reference to a
    /// function of it, or to an exception that leads to it, in a table or global, in an exception that
    /// is kept (see [`crate::ExnRef`]), or in an instance that is needed itself. Handles of the host do
    /// not: those of what was freed answer errors, or panic where no error can be answered. Until
    /// then they can be used as before.
    ///
    /// This is looked for at once, unless the store is running a guest, as in a host function. Then,
    /// and while something needs it, the instance waits for the next time that one is let go, that
    /// one cannot be made because of a limit, or for [`crate::Store::free_released`]. Looking takes
    /// time for everything in the store that may hold references.
    ///
    /// ```
    /// use wasmoor::*;
    ///
    /// # fn main() -> Result<()> {
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (memory (export "m") 1))"#)?;
    /// let mut store = Store::new(&engine, ())?;
    /// for _ in 0..1000 {
    ///     let instance = Instance::new(&mut store, &module, &[])?;
    ///     let memory = instance.get_memory(&store, "m").unwrap();
    ///     memory.write(&mut store, 0, b"a request")?;
    ///     instance.release(&mut store)?;
    ///     assert!(memory.write(&mut store, 0, b"too late").is_err());
    /// }
    /// assert_eq!(store.meter().memory_bytes, 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the instance was freed already.
    ///
    /// # Panics
    /// With another store than the instance's.
    pub fn release(self, mut store: impl AsContextMut) -> Result<()> {
        let mut store = store.as_context_mut();
        check(&self, store.inner())?;
        store.inner().release(self.id);
        Ok(())
    }

    /// Whether the instance has not been freed.
    ///
    /// # Panics
    /// With another store than the instance's.
    pub fn is_alive(&self, store: impl AsContext) -> bool {
        let store = store.as_context();
        check_store(self.store, store.inner());
        Handle::is_alive(self, store.inner())
    }

    /// An export.
    ///
    /// # Panics
    /// As all that answers no error: with another store, and when the instance was freed.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        let store = store.as_context();
        expect(self, store.inner());
        let external = store.inner().instance(self.id).export(name)?;
        Some(Extern::from_runtime(store.inner(), external))
    }

    /// All exports, in the module's order.
    pub fn exports(&self, store: impl AsContext) -> Vec<(String, Extern)> {
        let store = store.as_context();
        expect(self, store.inner());
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
    /// When there is no such function or its type is another, or the instance was freed.
    pub fn get_typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        check(self, store.as_context().inner())?;
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
