//! One module's place in the cache, and storing what a run has made.

use super::Cache;
use super::key::Hash;
use crate::{Module, artifact};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use wasmoor_codegen::container::{Container, ContainerError, ModuleHash};
use wasmoor_codegen::{CodeTier, StoredCode, StoredFunction};

/// A run longer than this stores all it has made: writing a large file takes tens of milliseconds.
const LONG_RUN: Duration = Duration::from_secs(1);
/// For each function compiled again, short runs write files with this many bytes of code: that one
/// function is faster by a millisecond or so in later runs, and a megabyte takes 5 to write.
const CODE_BYTES_WORTH_WRITING: usize = 256 << 10;

/// One module's place in a [`Cache`].
#[derive(Debug)]
pub struct CacheEntry {
    cache: Cache,
    hash: ModuleHash,
    /// Pieces of code that the module had when it was last stored or loaded.
    pieces: AtomicUsize,
    /// Those that were loaded: they are no news.
    loaded: AtomicUsize,
}

impl CacheEntry {
    /// `is_new`: nothing of what the module has is stored yet.
    pub(super) fn known(cache: Cache, hash: ModuleHash, module: &Module, is_new: bool) -> Self {
        if is_new {
            let (pieces, loaded) = (AtomicUsize::new(0), AtomicUsize::new(0));
            return CacheEntry { cache, hash, pieces, loaded };
        }
        let pieces = AtomicUsize::new(module.inner.code().published());
        let loaded = AtomicUsize::new(module.compile_stats().functions_loaded);
        CacheEntry { cache, hash, pieces, loaded }
    }

    pub(super) fn hash(&self) -> &Hash {
        self.hash.root()
    }

    /// Stores code that the module has got since it was loaded or last stored, together with what
    /// other processes have stored meanwhile. Returns whether there was anything to store.
    ///
    /// # Errors
    /// It cannot be written: there is no space, or no right. Nothing has changed then.
    pub fn store(&self, module: &Module) -> std::io::Result<bool> {
        let code = module.inner.code();
        let (pieces, loaded) = (code.published(), module.compile_stats().functions_loaded);
        let new = pieces - self.pieces.load(Ordering::Relaxed).min(pieces);
        if new <= loaded - self.loaded.load(Ordering::Relaxed).min(loaded) {
            return Ok(false);
        }
        let functions = self.gather(module);
        let is_eager = module.engine().inner.config().eager;
        if functions.is_empty() || (is_eager && functions.len() < module.description().bodies.len())
        {
            return Ok(false);
        }
        let name = self.cache.entry_name(module.engine(), self.hash());
        let directory = &self.cache.inner.directory;
        directory.replace(&name, |out| {
            artifact::write(module, &self.hash, &functions, None, out).map_err(
                |error| match error {
                    ContainerError::Io(error) => error,
                    other => std::io::Error::other(other.to_string()),
                },
            )
        })?;
        self.pieces.store(pieces, Ordering::Relaxed);
        self.loaded.store(loaded, Ordering::Relaxed);
        directory.shrink(self.cache.inner.bytes_max)?;
        Ok(true)
    }

    /// As [`CacheEntry::store`], at the end of a run that has taken this long: not if functions have
    /// only been compiled again, and too few of them to make up for writing the file.
    ///
    /// # Errors
    /// As [`CacheEntry::store`].
    pub fn store_at_exit(&self, module: &Module, ran: Duration) -> std::io::Result<bool> {
        let stats = module.compile_stats();
        let is_short = ran < LONG_RUN && stats.functions == 0 && stats.functions_damaged == 0;
        if is_short && stats.functions_optimized * CODE_BYTES_WORTH_WRITING < stats.code_bytes {
            return Ok(false);
        }
        self.store(module)
    }

    /// The module's code and that of the stored container, the better of both.
    fn gather(&self, module: &Module) -> Vec<StoredFunction> {
        let bodies = &module.description().bodies;
        let there = self.cache.container(module.engine(), self.hash());
        let there = there.filter(|there| there.header().functions as usize == bodies.len());
        let merge = |func| {
            let own = module.inner.code().stored(func);
            match there.as_ref().and_then(|there| there.tier_of(func)) {
                Some(tier) if own.as_ref().is_none_or(|own| own.tier < tier) => {
                    load(there.as_ref()?, func).or(own)
                }
                _ => own,
            }
        };
        bodies.keys().filter_map(merge).collect()
    }
}

fn load(container: &Container, func: wasmoor_abi::DefinedFuncIndex) -> Option<StoredFunction> {
    container.load(func).ok()?
}

const _: () = assert!(CodeTier::First as u8 == 0 && CodeTier::Second as u8 == 1);
