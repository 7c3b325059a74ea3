//! Modules of the programs that a guest runs. One that was loaded serves all later children, as long as
//! its file is as it was.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmoor::cache::{Cache, CacheEntry, ModuleFileState};
use wasmoor::{Engine, Module, Result};
use wasmoor_host::Permit;
use wasmoor_host::limits::HOST_BYTES_DEFAULT;

/// Modules that are kept for later children.
const KEPT_MAX: usize = 16;
/// Bytes of those, unless the latest alone has more: the other half is for what else is charged so.
const KEPT_BYTES_MAX: u64 = HOST_BYTES_DEFAULT / 2;

/// The module of a program that a guest has become.
#[derive(Clone, Debug)]
pub struct LoadedModule {
    /// The module.
    pub module: Module,
    /// Its place in the cache, where there is one.
    pub entry: Option<Arc<CacheEntry>>,
    /// Whether the cache has nothing better, now or later.
    is_final: bool,
}

/// The modules of one guest process.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    cache: Option<Cache>,
    /// The latest first.
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    state: ModuleFileState,
    module: LoadedModule,
    /// What the guest is charged for its bytes, if they are in memory.
    charge: Option<Permit>,
}

impl Modules {
    /// With the cache in which they are looked for, and from which they have their code.
    pub(crate) fn new(cache: Option<Cache>) -> Self {
        Modules { cache, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The module in a file that was loaded before.
    pub(crate) fn find(&self, engine: &Engine, file: &File) -> Option<LoadedModule> {
        let state = Cache::state_of(file)?;
        let kept = self.kept().iter().find(|kept| kept.state == state).map(|k| k.module.clone());
        if kept.as_ref().is_some_and(|kept| kept.is_final) {
            return kept;
        }
        let found = self.cache.as_ref().and_then(|cache| cache.find(engine, file));
        let Some((module, entry)) = found else { return kept };
        let found = LoadedModule { module, entry: Some(Arc::new(entry)), is_final: true };
        self.keep(state, &found, None);
        Some(found)
    }

    /// The module of a file's bytes, read since the file was in this state. They are charged as long as
    /// the module is kept here.
    ///
    /// # Errors
    /// It is none, or too large.
    pub(crate) fn load(
        &self,
        engine: &Engine,
        bytes: Arc<[u8]>,
        charge: Permit,
        state: Option<ModuleFileState>,
    ) -> Result<LoadedModule> {
        let progress = |_, _| {};
        let loaded = match &self.cache {
            None => {
                let module = Module::from_shared(engine, bytes, &progress)?;
                LoadedModule { module, entry: None, is_final: true }
            }
            Some(cache) => {
                let (module, entry) = cache.load(engine, bytes, state, &progress)?;
                // Its code is there once a child has stored it.
                LoadedModule { module, entry: Some(Arc::new(entry)), is_final: false }
            }
        };
        if let Some(state) = state {
            self.keep(state, &loaded, Some(charge));
        }
        Ok(loaded)
    }

    /// Keeps none any more.
    pub(crate) fn forget(&self) {
        let kept = std::mem::take(&mut *self.kept());
        drop(kept);
    }

    fn keep(&self, state: ModuleFileState, module: &LoadedModule, charge: Option<Permit>) {
        // Later changes might not show.
        if !state.is_settled() {
            return;
        }
        let mut kept = self.kept();
        kept.retain(|other| other.state != state);
        kept.push_front(Kept { state, module: module.clone(), charge });
        let mut bytes = 0;
        let fits = |&(at, kept): &(usize, &Kept)| {
            bytes += kept.charge.as_ref().map_or(0, Permit::amount);
            at == 0 || (at < KEPT_MAX && bytes <= KEPT_BYTES_MAX)
        };
        let count = kept.iter().enumerate().take_while(fits).count();
        let last = kept.split_off(count);
        drop(kept);
        drop(last);
    }

    /// Nothing else may hold the lock across a fork.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.kept()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use wasmoor::{Config, Tier};
    use wasmoor_host::{Limits, Meter, Resource, Unlimited};

    /// An empty module.
    const BYTES: &[u8] = b"\0asm\x01\0\0\0";

    fn engine() -> Engine {
        Engine::new(Config::new().tier(Tier::Baseline)).expect("an engine")
    }

    fn charge(bytes: u64) -> Permit {
        let meter: Arc<dyn Meter> = Arc::new(Unlimited);
        Permit::ask_for(&meter, Resource::HostBytes, bytes).expect("there is no limit")
    }

    /// Files that nobody has changed for a while.
    fn files() -> Vec<File> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let entries = std::fs::read_dir(folder).expect("the folder").flatten();
        let paths = entries.map(|entry| entry.path()).filter(|path| path.is_file());
        paths.map(|path| File::open(path).expect("the file")).collect()
    }

    #[test]
    fn what_the_cache_has_takes_the_place_of_what_is_kept() {
        /// A function that does nothing, `f`.
        const BYTES: &[u8] =
            b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("code");
        let cache = Cache::open(&path, Cache::BYTES_MAX, "").expect("a cache");
        let engine = Engine::new(Config::new().tier(Tier::Baseline).eager(true));
        let engine = engine.expect("an engine");
        let (modules, file) = (Modules::new(Some(cache)), &files()[0]);
        let is_final = || modules.find(&engine, file).map(|found| found.is_final);
        assert_eq!(is_final(), None);
        let state = Cache::state_of(file);
        let loaded = modules.load(&engine, BYTES.into(), charge(26), state).expect("a module");
        assert_eq!((loaded.is_final, is_final()), (false, Some(false)));
        let entry = loaded.entry.as_ref().expect("a cache");
        assert!(entry.store(&loaded.module).expect("it is stored"));
        assert_eq!(is_final(), Some(true));
        drop(folder);
        assert!(!path.exists());
        assert_eq!(is_final(), Some(true), "not looked for any more");
    }

    #[test]
    fn the_latest_are_kept() {
        let (engine, modules, files) = (engine(), Modules::default(), files());
        assert!(files.len() > KEPT_MAX);
        for file in &files {
            modules
                .load(&engine, BYTES.into(), charge(8), Cache::state_of(file))
                .expect("a module");
        }
        let kept = |file: &&File| modules.find(&engine, file).is_some();
        assert_eq!(files.iter().filter(kept).count(), KEPT_MAX);
        assert_eq!(files.iter().rev().take(KEPT_MAX).filter(kept).count(), KEPT_MAX);
    }

    #[test]
    fn what_is_kept_is_charged_and_bounded() {
        const HALF: u64 = KEPT_BYTES_MAX / 2;
        let (engine, modules, files) = (engine(), Modules::default(), files());
        let limits = Arc::new(Limits::new());
        let meter: Arc<dyn Meter> = limits.clone();
        let charged_now = || HOST_BYTES_DEFAULT - limits.left(Resource::HostBytes);
        for (at, bytes, charged) in [
            (0, HALF, HALF),
            (1, HALF, 2 * HALF),
            // The first has to go.
            (2, 1, HALF + 1),
            // Its own charge takes the place of the old one.
            (2, 2, HALF + 2),
            // Alone it may have more.
            (3, 2 * HALF + 1, 2 * HALF + 1),
            (4, HALF, HALF),
        ] {
            let charge = Permit::ask_for(&meter, Resource::HostBytes, bytes).expect("enough");
            let state = Cache::state_of(&files[at]);
            modules.load(&engine, BYTES.into(), charge, state).expect("a module");
            assert!(modules.find(&engine, &files[at]).is_some(), "{at}");
            assert_eq!(charged_now(), charged, "{at} {bytes}");
        }
        modules.forget();
        assert!(files.iter().all(|file| modules.find(&engine, file).is_none()));
        assert_eq!(charged_now(), 0);
        // What is not kept is not charged any longer than it takes.
        let charge = Permit::ask_for(&meter, Resource::HostBytes, HALF).expect("enough");
        modules.load(&engine, BYTES.into(), charge, None).expect("a module");
        assert_eq!(charged_now(), 0);
    }

    #[test]
    fn a_file_that_was_changed_just_now_is_not_recognised() {
        let (engine, modules) = (engine(), Modules::default());
        let file = tempfile::tempfile().expect("a file");
        modules.load(&engine, BYTES.into(), charge(8), Cache::state_of(&file)).expect("a module");
        assert!(modules.find(&engine, &file).is_none());
    }
}
