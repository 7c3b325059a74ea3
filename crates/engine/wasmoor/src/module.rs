//! Modules.

use crate::config::plan;
use crate::{Engine, Error, FuncType, GlobalType, MemoryType, Result, TableType, Tier};
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use wasmoor_abi::limits::MODULE_BYTES_MAX;
use wasmoor_module::{EntityIndex, Module as Description};
use wasmoor_runtime::{CompileStats, CompiledModule};

/// A validated module, ready to be instantiated any number of times. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Module {
    pub(crate) inner: Arc<CompiledModule>,
    engine: Engine,
}

/// How a module is loaded, where that differs from what its engine does by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModuleOptions {
    tier: Option<Tier>,
    eager: Option<bool>,
}

impl ModuleOptions {
    /// As the engine does.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which compiler makes the module's code. Modules of all tiers call each other.
    pub fn tier(&mut self, tier: Tier) -> &mut Self {
        self.tier = Some(tier);
        self
    }

    /// Whether all of it is compiled at once: see [`crate::Config::eager`].
    pub fn eager(&mut self, eager: bool) -> &mut Self {
        self.eager = Some(eager);
        self
    }
}

/// The type of something imported or exported.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExternType {
    /// A function.
    Func(FuncType),
    /// A table.
    Table(TableType),
    /// A memory.
    Memory(MemoryType),
    /// A global.
    Global(GlobalType),
    /// An exception tag.
    Tag(FuncType),
}

impl std::fmt::Display for ExternType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExternType::Func(ty) => write!(f, "function {ty}"),
            ExternType::Table(ty) => ty.fmt(f),
            ExternType::Memory(ty) => ty.fmt(f),
            ExternType::Global(ty) => ty.fmt(f),
            ExternType::Tag(ty) => write!(f, "tag {ty}"),
        }
    }
}

/// An import of a module.
#[derive(Clone, Debug)]
pub struct ImportType<'a> {
    /// First part of the name.
    pub module: &'a str,
    /// Second part of the name.
    pub name: &'a str,
    /// What the module wants.
    pub ty: ExternType,
}

/// An export of a module.
#[derive(Clone, Debug)]
pub struct ExportType<'a> {
    /// The name.
    pub name: &'a str,
    /// What is exported.
    pub ty: ExternType,
}

impl Module {
    /// Loads a module from its binary form, or from text with the feature `wat`.
    ///
    /// Loading validates all of it; functions are compiled at their first call unless the engine
    /// is eager. The bytes are copied: changes to where they came from have no effect.
    ///
    /// # Errors
    /// When the module is malformed or invalid, too large, or (eager) cannot be compiled.
    pub fn new(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module> {
        Self::with_progress(engine, bytes, &|_, _| {})
    }

    /// Loads a module from a file, in either form.
    ///
    /// # Errors
    /// As [`Module::new`], and when the file cannot be read or is larger than 1 GiB.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        Self::new(engine, read_file(path.as_ref())?)
    }

    /// As [`Module::new`]; eager compilation calls `progress(done, all)` for each function, from
    /// any of its threads.
    ///
    /// # Errors
    /// As [`Module::new`].
    pub fn with_progress(
        engine: &Engine,
        bytes: impl AsRef<[u8]>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Module> {
        let binary = to_binary(bytes.as_ref())?;
        Self::from_shared(engine, binary.as_ref().into(), progress)
    }

    /// As [`Module::with_progress`] for a binary that is not copied: nobody can change it.
    ///
    /// # Errors
    /// As [`Module::new`].
    pub fn from_shared(
        engine: &Engine,
        bytes: Arc<[u8]>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Module> {
        Self::load(engine, bytes, &ModuleOptions::default(), progress)
    }

    /// As [`Module::new`], with options of the module's own.
    ///
    /// # Errors
    /// As [`Module::new`], and when this build lacks the compiler that is asked for.
    pub fn with_options(
        engine: &Engine,
        bytes: impl AsRef<[u8]>,
        options: &ModuleOptions,
    ) -> Result<Module> {
        let binary = to_binary(bytes.as_ref())?;
        Self::load(engine, binary.as_ref().into(), options, &|_, _| {})
    }

    pub(crate) fn load(
        engine: &Engine,
        bytes: Arc<[u8]>,
        options: &ModuleOptions,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Module> {
        let plan = options.tier.map_or(Ok(engine.inner.plan()), plan)?;
        let description = Arc::new(parse(engine, bytes)?);
        let inner = CompiledModule::with_plan(&engine.inner, description, plan)?;
        if options.eager.unwrap_or(engine.inner.config().eager) {
            let all = inner.module().bodies.len();
            inner.compile_all(&|done| progress(done, all))?;
        }
        Ok(Module { inner, engine: engine.clone() })
    }

    /// Checks that a module is valid, without preparing to run it.
    ///
    /// # Errors
    /// Why it is not.
    pub fn validate(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<()> {
        parse(engine, to_binary(bytes.as_ref())?.as_ref().into()).map(drop)
    }

    pub(crate) fn from_inner(inner: Arc<CompiledModule>, engine: &Engine) -> Module {
        Module { inner, engine: engine.clone() }
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Name from the name section.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.description().name.as_deref()
    }

    /// Imports, in order. Defined types that they mention are the engine's; the module keeps them.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportType<'_>> {
        let module = self.description();
        module.imports.iter().map(|import| ImportType {
            module: &import.module,
            name: &import.name,
            ty: extern_type(&self.inner, import.entity),
        })
    }

    /// Exports, in order. Defined types that they mention are the engine's; the module keeps them.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = ExportType<'_>> {
        let module = self.description();
        module.exports.iter().map(|export| ExportType {
            name: &export.name,
            ty: extern_type(&self.inner, export.entity),
        })
    }

    /// Type of the export with this name.
    #[must_use]
    pub fn get_export(&self, name: &str) -> Option<ExternType> {
        let module = self.description();
        module.export(name).map(|entity| extern_type(&self.inner, entity))
    }

    /// The description that validation made.
    #[must_use]
    pub fn description(&self) -> &Arc<Description> {
        self.inner.module()
    }

    /// What has been compiled so far.
    #[must_use]
    pub fn compile_stats(&self) -> CompileStats {
        self.inner.stats()
    }
}

fn extern_type(compiled: &CompiledModule, entity: EntityIndex) -> ExternType {
    let (module, types) = (compiled.module(), compiled.types());
    match entity {
        EntityIndex::Func(index) => ExternType::Func(types.func_type(module.func_type(index))),
        EntityIndex::Table(index) => ExternType::Table(types.table_type(module.tables[index])),
        EntityIndex::Memory(index) => ExternType::Memory(module.memories[index]),
        EntityIndex::Global(index) => ExternType::Global(types.global_type(module.globals[index])),
        EntityIndex::Tag(index) => {
            ExternType::Tag(types.func_type(module.signature(module.tags[index])))
        }
    }
}

fn parse(engine: &Engine, binary: Arc<[u8]>) -> Result<Description> {
    let config = engine.inner.config();
    Ok(Description::parse(binary, &config.features, config.threads)?)
}

/// The binary form of a module that may be text.
#[cfg(feature = "wat")]
fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    // What begins like a binary, or is no text at all, is for the decoder to judge.
    if bytes.starts_with(b"\0asm") || !looks_like_text(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    wat::parse_bytes(bytes).map_err(|error| Error::usage(error.to_string()))
}

#[cfg(not(feature = "wat"))]
fn to_binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    Ok(Cow::Borrowed(bytes))
}

#[cfg(feature = "wat")]
fn looks_like_text(bytes: &[u8]) -> bool {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(first, Some(b'(' | b';')) && std::str::from_utf8(bytes).is_ok()
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| {
        Error::usage(format!("cannot read \"{}\": {error}", path.display()))
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > MODULE_BYTES_MAX as u64 {
        return Err(Error::usage(format!(
            "\"{}\" has {length} bytes, the limit for a module is {MODULE_BYTES_MAX}",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    // A file that grows meanwhile (or a device without a length) is cut at the limit plus one
    // byte, which the decoder refuses.
    let mut file = std::io::Read::take(file, MODULE_BYTES_MAX as u64 + 1);
    std::io::Read::read_to_end(&mut file, &mut bytes).map_err(failed)?;
    Ok(bytes)
}
