//! The disk cache: what one run compiled is there in the next.
//!
//! ```text
//! DIRECTORY          this user's alone (0700); nothing in it is edited, only replaced by rename
//!   KEY.wcode        container: KEY is the SHA-256 of the module, compilers, CPU, settings
//!   FILE.ref         SHA-256 of a module file: FILE is its device, inode, size and times
//! ```
//!
//! A module file that has been seen is recognised by its `.ref` without being read. An entry is
//! only trusted where no later change of the file can have gone unnoticed: if the file had been
//! left alone for [`SETTLED`] when it was hashed. Everything else is hashed, beside validation.
//!
//! Whatever goes wrong in here (no space, damage, a foreign owner) costs time and nothing else:
//! the module is compiled. An eager engine uses only what has code of all functions, and stores that;
//! where it would bind functions together, which stored code cannot be, it takes no part. Only a directory that cannot be trusted is an error, of [`Cache::open`].

mod directory;
mod entry;
mod key;

pub use entry::CacheEntry;

use crate::artifact;
use crate::{Engine, Error, Module, ModuleOptions, Result};
use directory::Directory;
use key::{FileState, Hash};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wasmoor_codegen::container::{Container, ModuleHash};

/// A file changed later than this before it was hashed may change again with the same times.
const SETTLED: Duration = Duration::from_secs(2);

/// A directory of stored code; see the head of this module. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: Directory,
    bytes_max: u64,
    salt: String,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Modules with stored code.
    pub modules: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The most that is kept.
    pub bytes_max: u64,
}

impl Cache {
    /// Bytes that are kept unless [`Cache::open`] is told otherwise.
    pub const BYTES_MAX: u64 = 1 << 30;

    /// Opens a directory, which is made if there is none, private to this user.
    ///
    /// Of what exceeds `bytes_max`, the modules used longest ago are removed. `salt` is part of
    /// every key: two builds of a program with different salts do not see each other's code.
    ///
    /// # Errors
    /// The directory cannot be made or read, is a symbolic link, or others have rights to it.
    pub fn open(path: &Path, bytes_max: u64, salt: &str) -> std::io::Result<Cache> {
        let directory = Directory::open(path)?;
        Ok(Cache { inner: Arc::new(Inner { directory, bytes_max, salt: salt.to_owned() }) })
    }

    /// `wasmoor/code` in the user's directory for caches: `$XDG_CACHE_HOME` or `~/.cache`. (A directory
    /// of its own: it must be private, while others may look at what else is kept there.)
    #[must_use]
    pub fn default_path() -> Option<PathBuf> {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let caches = absolute("XDG_CACHE_HOME");
        Some(caches.or_else(|| Some(absolute("HOME")?.join(".cache")))?.join("wasmoor/code"))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.directory.path()
    }

    /// The module in a file that was loaded before, without reading the file. `None`: it was not,
    /// or has changed, or its code is not there any more.
    #[must_use]
    pub fn find(&self, engine: &Engine, file: &File) -> Option<(Module, CacheEntry)> {
        let state = FileState::of(file)?;
        let hash = self.inner.directory.read_reference(&state)?;
        let container = Arc::new(self.container(engine, &hash)?);
        let module_hash = container.hash().clone();
        let (reopened, len) = (file.try_clone().ok()?, module_hash.len());
        let read = move |buffer: &mut [u8], at| key::read_again(&reopened, len, buffer, at);
        let source = artifact::source(&module_hash, Box::new(read));
        let module = artifact::restore(engine, &container, source).ok()??;
        let entry = CacheEntry::known(self.clone(), module_hash, &module, false);
        Some((module, entry))
    }

    /// Loads a module from bytes, as [`Module::from_shared`] does, with the code that earlier
    /// runs made of the same bytes. `file` is where the bytes come from, read since `state`.
    ///
    /// # Errors
    /// As [`Module::from_shared`].
    pub fn load(
        &self,
        engine: &Engine,
        bytes: Arc<[u8]>,
        state: Option<FileState>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<(Module, CacheEntry)> {
        std::thread::scope(|scope| {
            let hashing = scope.spawn(|| ModuleHash::of(&bytes));
            // What an eager engine compiles may be there.
            let mut options = ModuleOptions::new();
            options.eager(false);
            let module = Module::load(engine, bytes.clone(), &options, progress);
            let hash = hashing.join().map_err(|_| Error::usage("hashing has panicked"))?;
            let module = module?;
            let container = self.container(engine, hash.root());
            let is_new = container.is_none();
            if is_new && engine.inner.config().eager {
                let all = module.description().bodies.len();
                module.inner.compile_all(&|done| progress(done, all))?;
            }
            if let Some(container) = container
                && container.header().functions as usize == module.description().bodies.len()
            {
                artifact::attach(&module.inner, &Arc::new(container));
            }
            let entry = CacheEntry::known(self.clone(), hash, &module, is_new);
            if let Some(state) = state {
                self.inner.directory.write_reference(&state, entry.hash());
            }
            Ok((module, entry))
        })
    }

    /// The state of a file, to be taken before it is read for [`Cache::load`].
    #[must_use]
    pub fn state_of(file: &File) -> Option<FileState> {
        FileState::of(file)
    }

    fn container(&self, engine: &Engine, hash: &Hash) -> Option<Container> {
        let is_eager = engine.inner.config().eager;
        let file = self.inner.directory.open_entry(&self.entry_name(engine, hash))?;
        let container = Container::open(Box::new(file), &artifact::identity(engine)).ok()?;
        let is_complete = !is_eager || container.is_complete();
        (is_complete && container.header().wasm_hash == *hash).then_some(container)
    }

    fn entry_name(&self, engine: &Engine, hash: &Hash) -> String {
        key::entry_name(hash, engine, &self.inner.salt)
    }

    /// What the cache holds.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn status(&self) -> std::io::Result<CacheStatus> {
        let files = self.inner.directory.files()?;
        Ok(CacheStatus {
            modules: files.iter().filter(|file| file.is_module()).count() as u64,
            bytes: files.iter().map(|file| file.bytes).sum(),
            bytes_max: self.inner.bytes_max,
        })
    }

    /// Removes what was used longest ago until at most `bytes` are left. Returns the bytes that
    /// were removed.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn shrink(&self, bytes: u64) -> std::io::Result<u64> {
        self.inner.directory.shrink(bytes)
    }
}

pub use key::FileState as ModuleFileState;
