//! Imports by name.

use crate::entities::Extern;
use crate::func::{Func, IntoFunc, untyped_definition};
use crate::handle::check;
use crate::instance::Instance;
use crate::module::Module;
use crate::shared::SharedMemory;
use crate::store::{AsContext, AsContextMut, Caller};
use crate::{Engine, Error, FuncType, Result, Val};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wasmoor_runtime::{HostFuncDefinition, RegisteredType};

/// Names definitions and satisfies modules' imports with them.
///
/// Host functions defined by [`Linker::func_wrap`] and [`Linker::func_new`] belong to no store:
/// one linker serves any number of stores with data `T`.
pub struct Linker<T> {
    engine: Engine,
    definitions: HashMap<String, HashMap<String, Definition>>,
    shadowing: bool,
    /// The names that are kept; `None`: all.
    wanted: Option<Arc<HashSet<String>>>,
    _data: std::marker::PhantomData<fn(T)>,
}

#[derive(Clone)]
enum Definition {
    Extern(Extern),
    /// With its type in the linker's engine.
    HostFunc(Arc<HostFuncDefinition>, RegisteredType),
}

impl<T> std::fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linker").field("modules", &self.definitions.keys()).finish_non_exhaustive()
    }
}

impl<T> Clone for Linker<T> {
    fn clone(&self) -> Self {
        Linker {
            engine: self.engine.clone(),
            definitions: self.definitions.clone(),
            shadowing: self.shadowing,
            wanted: self.wanted.clone(),
            _data: std::marker::PhantomData,
        }
    }
}

impl<T: 'static> Linker<T> {
    /// A linker without definitions.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        Linker {
            engine: engine.clone(),
            definitions: HashMap::new(),
            shadowing: false,
            wanted: None,
            _data: std::marker::PhantomData,
        }
    }

    /// A linker for one module, which is made sooner where a module imports a few of many functions: a
    /// definition by a name that the module does not import, from whatever module, is not kept, and
    /// not refused when there is one already.
    ///
    /// ```
    /// use wasmoor::*;
    ///
    /// # fn main() -> Result<()> {
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (import "host" "f" (func)))"#)?;
    /// let mut linker: Linker<()> = Linker::for_module(&module);
    /// linker.func_wrap("host", "f", || ())?.func_wrap("host", "g", || ())?;
    /// assert_eq!(linker.names().collect::<Vec<_>>(), [("host", "f")]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn for_module(module: &Module) -> Self {
        let names = module.description().imports.iter().map(|import| import.name.clone());
        let wanted = Some(Arc::new(names.collect()));
        Linker { wanted, ..Linker::new(module.engine()) }
    }

    /// Whether definitions by this name are kept.
    fn wants(&self, name: &str) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(name))
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a name may be defined again, which replaces it. Off by default.
    pub fn allow_shadowing(&mut self, allow: bool) -> &mut Self {
        self.shadowing = allow;
        self
    }

    /// Defines something of a store.
    ///
    /// # Errors
    /// When the name is defined already, or the item was freed.
    ///
    /// # Panics
    /// When the item belongs to another store.
    pub fn define(
        &mut self,
        store: impl AsContext<Data = T>,
        module: &str,
        name: &str,
        item: impl Into<Extern>,
    ) -> Result<&mut Self> {
        let item = item.into();
        item.check(store.as_context().inner())?;
        self.insert(module, name, Definition::Extern(item))
    }

    /// Defines a host function from a closure over native types: see [`IntoFunc`].
    ///
    /// # Errors
    /// When the name is defined already.
    pub fn func_wrap<P, R>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, P, R>,
    ) -> Result<&mut Self> {
        if !self.wants(name) {
            return Ok(self);
        }
        let definition = self.host_func(func.into_definition())?;
        self.insert(module, name, definition)
    }

    /// As [`Linker::func_wrap`]; what the name meant before is replaced.
    ///
    /// # Errors
    /// None that a closure over native types can cause.
    pub fn func_replace<P, R>(
        &mut self,
        module: &str,
        name: &str,
        func: impl IntoFunc<T, P, R>,
    ) -> Result<&mut Self> {
        if !self.wants(name) {
            return Ok(self);
        }
        let definition = self.host_func(func.into_definition())?;
        let names = self.definitions.entry(module.to_owned()).or_default();
        names.insert(name.to_owned(), definition);
        Ok(self)
    }

    /// Defines a memory that threads share, which belongs to no store.
    ///
    /// # Errors
    /// When the name is defined already.
    pub fn define_shared(
        &mut self,
        module: &str,
        name: &str,
        memory: SharedMemory,
    ) -> Result<&mut Self> {
        self.insert(module, name, Definition::Extern(memory.into()))
    }

    /// Defines a host function of a type known at run time.
    ///
    /// # Errors
    /// When the name is defined already, or the type mentions types that the linker's engine does
    /// not know.
    pub fn func_new(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        func: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static,
    ) -> Result<&mut Self> {
        if !self.wants(name) {
            return Ok(self);
        }
        let definition = self.host_func(untyped_definition(ty, func))?;
        self.insert(module, name, definition)
    }

    /// Defines all exports of an instance under a module name.
    ///
    /// # Errors
    /// When one of the names is defined already, or the instance was freed.
    pub fn instance(
        &mut self,
        store: impl AsContext<Data = T>,
        module: &str,
        instance: Instance,
    ) -> Result<&mut Self> {
        check(&instance, store.as_context().inner())?;
        for (name, item) in instance.exports(&store) {
            self.insert(module, &name, Definition::Extern(item))?;
        }
        Ok(self)
    }

    /// Defines everything that `module` defines under the name `alias` too.
    ///
    /// # Errors
    /// When one of the names is defined already.
    pub fn alias_module(&mut self, module: &str, alias: &str) -> Result<&mut Self> {
        for (name, definition) in self.definitions.get(module).cloned().unwrap_or_default() {
            self.insert(alias, &name, definition)?;
        }
        Ok(self)
    }

    fn host_func(&self, definition: HostFuncDefinition) -> Result<Definition> {
        let ty = self.engine.inner.types().register_func(definition.ty())?;
        Ok(Definition::HostFunc(Arc::new(definition), ty))
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition) -> Result<&mut Self> {
        if !self.wants(name) {
            return Ok(self);
        }
        let names = self.definitions.entry(module.to_owned()).or_default();
        if !self.shadowing && names.contains_key(name) {
            return Err(Error::usage(format!("\"{module}\" \"{name}\" is defined twice")));
        }
        names.insert(name.to_owned(), definition);
        Ok(self)
    }

    /// What is defined: names of modules with names in them, in no order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.definitions.iter().flat_map(|(module, definitions)| {
            definitions.keys().map(|name| (module.as_str(), name.as_str()))
        })
    }

    /// What a name stands for in a store.
    ///
    /// # Panics
    /// When the name is a host function and the store is of another engine than the linker.
    pub fn get(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &str,
        name: &str,
    ) -> Option<Extern> {
        let definition = self.definitions.get(module)?.get(name)?;
        Some(Self::realize(&mut store, definition))
    }

    fn realize(store: &mut impl AsContextMut<Data = T>, definition: &Definition) -> Extern {
        match definition {
            Definition::Extern(item) => item.clone(),
            Definition::HostFunc(func, ty) => {
                Extern::Func(Func::from_linked(store.as_context_mut().inner(), func, ty.clone()))
            }
        }
    }

    /// Instantiates a module with the definitions that its imports name.
    ///
    /// # Errors
    /// All imports that nobody defines, with their types; a store of another engine than the
    /// linker; otherwise as [`Instance::new`].
    ///
    /// # Panics
    /// When a definition belongs to another store.
    pub fn instantiate(
        &self,
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
    ) -> Result<Instance> {
        if !store.as_context_mut().inner().engine().same(&self.engine.inner) {
            return Err(Error::usage("the store is of another engine than the linker"));
        }
        let imports: Vec<Extern> = self
            .find_imports(module)?
            .into_iter()
            .map(|definition| Self::realize(&mut store, definition))
            .collect();
        Instance::new(store, module, &imports)
    }

    /// Looks up a module's imports once, for many instances.
    ///
    /// # Errors
    /// All imports that nobody defines, with their types; a module of another engine than the
    /// linker.
    pub fn instantiate_pre(&self, module: &Module) -> Result<InstancePre<T>> {
        if !module.engine().inner.same(&self.engine.inner) {
            return Err(Error::usage("the module is of another engine than the linker"));
        }
        let imports = self.find_imports(module)?.into_iter().cloned().collect();
        Ok(InstancePre { module: module.clone(), imports, _data: std::marker::PhantomData })
    }

    fn find_imports(&self, module: &Module) -> Result<Vec<&Definition>> {
        let description = module.description();
        let find = |import: &wasmoor_module::Import| {
            self.definitions.get(&import.module).and_then(|names| names.get(&import.name))
        };
        let missing: Vec<_> =
            description.imports.iter().filter(|import| find(import).is_none()).collect();
        if !missing.is_empty() {
            return Err(wasmoor_runtime::unknown_imports(description, missing));
        }
        Ok(description.imports.iter().filter_map(find).collect())
    }
}

/// A module with its imports found: makes instances without looking anything up by name.
///
/// ```
/// use wasmoor::*;
///
/// # fn main() -> Result<()> {
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (import "host" "f" (func)) (start 0))"#)?;
/// let mut linker = Linker::new(&engine);
/// linker.func_wrap("host", "f", |mut caller: Caller<'_, u32>| *caller.data_mut() += 1)?;
/// let pre = linker.instantiate_pre(&module)?;
/// for _ in 0..3 {
///     let mut store = Store::new(&engine, 0)?;
///     pre.instantiate(&mut store)?;
///     assert_eq!(*store.data(), 1);
/// }
/// # Ok(()) }
/// ```
pub struct InstancePre<T> {
    module: Module,
    imports: Vec<Definition>,
    _data: std::marker::PhantomData<fn(T)>,
}

impl<T> std::fmt::Debug for InstancePre<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InstancePre").field("module", &self.module).finish_non_exhaustive()
    }
}

impl<T> Clone for InstancePre<T> {
    fn clone(&self) -> Self {
        let (module, imports) = (self.module.clone(), self.imports.clone());
        InstancePre { module, imports, _data: std::marker::PhantomData }
    }
}

impl<T: 'static> InstancePre<T> {
    /// The module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// As [`Instance::new`].
    ///
    /// # Panics
    /// When a definition belongs to another store.
    pub fn instantiate(&self, mut store: impl AsContextMut<Data = T>) -> Result<Instance> {
        if !store.as_context_mut().inner().engine().same(&self.module.engine().inner) {
            return Err(Error::usage("the store is of another engine than the module"));
        }
        let realize = |definition| Linker::<T>::realize(&mut store, definition);
        let imports: Vec<Extern> = self.imports.iter().map(realize).collect();
        Instance::new(store, &self.module, &imports)
    }
}
