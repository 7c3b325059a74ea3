//! Modules with their machine code as bytes or files: made ahead of time, or kept from run to run.
//!
//! # Safety
//! Nothing in here is an unsafe operation. [`Module::deserialize`] is an unsafe function because
//! the bytes that it is given become machine code.

#![allow(unsafe_code)]

use crate::{Engine, Error, Module, Result};
use std::ops::Range;
use std::sync::Arc;
use wasmoor_codegen::StoredFunction;
use wasmoor_codegen::container::{
    Container, ContainerError, Contents, HashedModule, Identity, ModuleHash, ReadModule,
};
use wasmoor_module::{Module as Description, Parts, Source};
use wasmoor_runtime::{CompiledModule, fold_images};

pub use wasmoor_codegen::container::MAGIC as ARTIFACT_MAGIC;

impl Module {
    /// The module and its machine code as bytes, for [`Module::deserialize`] or a file
    /// (`.wcode`). What has not been compiled yet is compiled first, by the optimizing compiler
    /// where the engine has one.
    ///
    /// # Errors
    /// A function cannot be compiled, or the engine cannot compile and not all code is there.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        self.serialize_with_progress(&|_, _| {})
    }

    /// As [`Module::serialize`]; calls `progress(done, all)` for each function that is compiled,
    /// from any of its threads.
    ///
    /// # Errors
    /// As [`Module::serialize`].
    pub fn serialize_with_progress(
        &self,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Vec<u8>> {
        let description = self.description();
        let all = description.bodies.len();
        self.inner.compile_to_store(&|done| progress(done, all))?;
        description.require_bodies().map_err(|error| Error::usage(error.to_string()))?;
        let code: Option<Vec<StoredFunction>> =
            description.bodies.keys().map(|func| self.inner.code().stored(func)).collect();
        let code = code.ok_or_else(|| Error::usage("the module's code is bound to its place"))?;
        let wasm = description.bytes();
        let mut out = Vec::new();
        write(self, &ModuleHash::of(wasm), &code, Some(wasm), &mut out).map_err(stored)?;
        Ok(out)
    }

    /// The present code of a function, for tests of what is stored.
    #[doc(hidden)]
    #[must_use]
    pub fn stored_code(&self, func: wasmoor_abi::DefinedFuncIndex) -> Option<StoredFunction> {
        self.inner.code().stored(func)
    }

    /// A module from what [`Module::serialize`] made. Functions that have no code in it are
    /// compiled when they are called, if the engine has a compiler.
    ///
    /// # Errors
    /// The bytes are damaged, or the code was made for another engine, CPU or version.
    ///
    /// # Safety
    /// The bytes contain machine code, which is run: they must come from [`Module::serialize`],
    /// unchanged. Checksums find accidents, not malice.
    pub unsafe fn deserialize(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        let bytes: Arc<[u8]> = bytes.into();
        let container = Container::open(Box::new(bytes), &identity(engine)).map_err(stored)?;
        from_container(engine, container)
    }

    /// A module from a file that holds what [`Module::serialize`] made (`wasmoor compile`).
    ///
    /// The file is machine code, as a shared library is, so it must be as trustworthy as one: it
    /// is refused unless it is a regular file (no symbolic link) of this user or root that nobody
    /// else may write, in a directory that nobody else may write either. Whoever can write as
    /// this user can run code anyway. Changes to the file while the module lives are found: each
    /// function's code is copied when it is first called, and the copy is compared with a SHA-256
    /// that was read here.
    ///
    /// # Errors
    /// The file cannot be read, is not to be trusted or damaged, or the code was made for another
    /// engine, CPU or version.
    #[cfg(unix)]
    pub fn deserialize_file(engine: &Engine, path: impl AsRef<std::path::Path>) -> Result<Module> {
        let file = crate::trust::open_artifact(path.as_ref()).map_err(Error::usage)?;
        let container = Container::open(Box::new(file), &identity(engine)).map_err(stored)?;
        from_container(engine, container)
    }
}

/// A container with everything in it, as a module.
fn from_container(engine: &Engine, container: Container) -> Result<Module> {
    if !container.has_wasm() {
        return Err(stored(ContainerError::Damaged("the module")));
    }
    let container = Arc::new(container);
    let wasm = container.clone();
    let read = Box::new(move |buffer: &mut [u8], at| wasm.read_wasm(buffer, at));
    let source = source(container.hash(), read);
    match restore(engine, &container, source)? {
        Some(module) => Ok(module),
        None => Err(stored(ContainerError::Damaged("the description of the module"))),
    }
}

/// Where a restored module's bytes come from: each is checked before it is used.
pub(crate) fn source(hash: &ModuleHash, read: ReadModule) -> Box<dyn Source> {
    struct Checked(HashedModule);
    impl Source for Checked {
        fn whole(&self) -> std::result::Result<Arc<[u8]>, String> {
            self.0.whole()
        }

        fn part(&self, range: Range<u32>) -> std::result::Result<Box<[u8]>, String> {
            self.0.part(range)
        }
    }
    Box::new(Checked(HashedModule::new(hash.clone(), read)))
}

/// A module from a container that belongs to it; `None`: the description is damaged.
pub(crate) fn restore(
    engine: &Engine,
    container: &Arc<Container>,
    source: Box<dyn Source>,
) -> Result<Option<Module>> {
    let header = container.header();
    let Ok(wasm_bytes) = u32::try_from(header.wasm_bytes) else { return Ok(None) };
    let parts = Parts {
        description: container.description().clone(),
        skeleton: container.skeleton().clone(),
        facts: container.facts().clone(),
        wasm_bytes,
    };
    let Some(description) = Description::restore(parts, engine.features(), source) else {
        return Ok(None);
    };
    if description.bodies.len() != header.functions as usize {
        return Ok(None);
    }
    let inner = CompiledModule::new(&engine.inner, Arc::new(description))?;
    attach(&inner, container);
    container.check().map_err(stored)?;
    if !container.images().is_empty() {
        inner.set_stored_images(Arc::clone(container));
    }
    Ok(Some(Module::from_inner(inner, engine)))
}

/// Gives a module the code of a container.
pub(crate) fn attach(module: &CompiledModule, container: &Arc<Container>) {
    // Without all of it at once, each function is loaded when it is called.
    let all = container.all_if_small();
    if all.is_none_or(|all| module.publish_all_stored(&all).is_err()) {
        module.set_stored(container.clone());
    }
}

/// Writes a container with this code of a module.
pub(crate) fn write(
    module: &Module,
    hash: &ModuleHash,
    code: &[StoredFunction],
    wasm: Option<&[u8]>,
    out: &mut dyn std::io::Write,
) -> Result<(), ContainerError> {
    let description = module.description();
    let images = match module.inner.stored_images() {
        Some(container) => Some(container.copy_images()?),
        None if description.is_restored() => None,
        None => fold_images(description),
    };
    let parts = description.parts(images.is_some());
    let mut identity = identity(module.engine());
    if !description.memories.values().any(|ty| ty.index64) {
        identity.clamped64 = None;
    }
    let contents = Contents {
        identity,
        hash,
        functions: u32::try_from(description.bodies.len()).map_err(|_| ContainerError::TooLarge)?,
        description: &parts.description,
        skeleton: &parts.skeleton,
        facts: &parts.facts,
        code,
        images: images.as_deref().unwrap_or_default(),
        wasm,
    };
    contents.write(out)
}

/// What code that the engine makes can run with.
pub(crate) fn identity(engine: &Engine) -> Identity {
    Identity::here(&engine.inner.config().tunables, engine.features().bits())
}

fn stored(error: ContainerError) -> Error {
    wasmoor_runtime::ErrorKind::StoredCode(error.to_string()).into()
}
