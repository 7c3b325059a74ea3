//! Modules of the programs that a guest runs, by the cache of the command.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use wasmoor::cache::{Cache, CacheEntry, ModuleFileState};
use wasmoor::{Engine, Module, Result};
use wasmoor_wasix::{LoadedModule, ModuleSource};

/// Loads modules as the first one is loaded.
#[derive(Debug)]
pub(crate) struct Programs {
    cache: Option<Cache>,
}

impl Programs {
    pub(crate) fn new(cache: Option<Cache>) -> Self {
        Programs { cache }
    }
}

fn loaded((module, entry): (Module, CacheEntry), is_final: bool) -> LoadedModule {
    LoadedModule { module, entry: Some(Arc::new(entry)), is_final }
}

impl ModuleSource for Programs {
    fn find(&self, engine: &Engine, file: &File) -> Option<LoadedModule> {
        self.cache.as_ref()?.find(engine, file).map(|found| loaded(found, true))
    }

    fn load(
        &self,
        engine: &Engine,
        bytes: Arc<[u8]>,
        state: Option<ModuleFileState>,
    ) -> Result<LoadedModule> {
        let progress = |_, _| {};
        let Some(cache) = &self.cache else {
            let module = Module::from_shared(engine, bytes, &progress)?;
            return Ok(LoadedModule { module, entry: None, is_final: true });
        };
        // Its code is there once a child has stored it.
        cache.load(engine, bytes, state, &progress).map(|new| loaded(new, false))
    }
}

/// Stores what has been compiled of a program, which ran this long.
pub(crate) fn store(program: &LoadedModule, ran: Duration) {
    if let Some(entry) =
        program.entry.as_deref().and_then(|entry| entry.downcast_ref::<CacheEntry>())
    {
        // Without it the next one is compiled too.
        let _ = entry.store_at_exit(&program.module, ran);
    }
}
