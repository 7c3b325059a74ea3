//! Modules of the programs that a guest runs. One that was loaded serves all later children, as long as
//! its file is as it was.

use std::any::Any;
use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmoor::cache::{Cache, ModuleFileState};
use wasmoor::{Engine, Module, Result};
use wasmoor_host::Permit;
use wasmoor_host::limits::HOST_BYTES_DEFAULT;

/// Modules that are kept for later children.
const KEPT_MAX: usize = 16;
/// Bytes of those, unless the latest alone has more: the other half is for what else is charged so.
const KEPT_BYTES_MAX: u64 = HOST_BYTES_DEFAULT / 2;

/// Where the modules of a guest's programs come from; by default each is read and validated.
pub trait ModuleSource: std::fmt::Debug + Send + Sync {
    /// The module in a file that was loaded at another time, without reading the file.
    fn find(&self, engine: &Engine, file: &File) -> Option<LoadedModule>;

    /// The module of a file's bytes, read since the file was in this state.
    ///
    /// # Errors
    /// It is none, or too large.
    fn load(
        &self,
        engine: &Engine,
        bytes: Arc<[u8]>,
        state: Option<ModuleFileState>,
    ) -> Result<LoadedModule>;
}

/// A module of a [`ModuleSource`].
#[derive(Clone, Debug)]
pub struct LoadedModule {
    /// The module.
    pub module: Module,
    /// What whoever runs it finds beside it.
    pub entry: Option<Arc<dyn Any + Send + Sync>>,
    /// Whether [`ModuleSource::find`] has nothing better, now or later.
    pub is_final: bool,
}

#[derive(Debug)]
struct Validated;

impl ModuleSource for Validated {
    fn find(&self, _: &Engine, _: &File) -> Option<LoadedModule> {
        None
    }

    fn load(
        &self,
        engine: &Engine,
        bytes: Arc<[u8]>,
        _: Option<ModuleFileState>,
    ) -> Result<LoadedModule> {
        let module = Module::from_shared(engine, bytes, &|_, _| {})?;
        Ok(LoadedModule { module, entry: None, is_final: true })
    }
}

/// The modules of one guest process.
#[derive(Debug)]
pub(crate) struct Modules {
    source: Box<dyn ModuleSource>,
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

impl Default for Modules {
    fn default() -> Self {
        Modules::new(Box::new(Validated))
    }
}

impl Modules {
    pub(crate) fn new(source: Box<dyn ModuleSource>) -> Self {
        Modules { source, kept: Mutex::default() }
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
        let Some(found) = self.source.find(engine, file) else { return kept };
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
        let loaded = self.source.load(engine, bytes, state)?;
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use wasmoor::{Config, Tier};
    use wasmoor_host::{Limits, Meter, Resource, Unlimited};

    /// An empty module.
    const BYTES: &[u8] = b"\0asm\x01\0\0\0";

    /// Has modules from the second time on, and counts how often it is asked.
    #[derive(Debug, Default)]
    struct Second(Arc<AtomicUsize>);

    impl ModuleSource for Second {
        fn find(&self, engine: &Engine, _: &File) -> Option<LoadedModule> {
            (self.0.fetch_add(1, Ordering::Relaxed) >= 2).then(|| LoadedModule {
                is_final: true,
                ..self.load(engine, BYTES.into(), None).expect("a module")
            })
        }

        fn load(
            &self,
            engine: &Engine,
            bytes: Arc<[u8]>,
            _: Option<ModuleFileState>,
        ) -> Result<LoadedModule> {
            let module = Module::from_shared(engine, bytes, &|_, _| {})?;
            Ok(LoadedModule { module, entry: None, is_final: false })
        }
    }

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
    fn a_better_module_takes_the_place_of_one_that_is_kept() {
        let (engine, asked) = (engine(), Arc::<AtomicUsize>::default());
        let modules = Modules::new(Box::new(Second(Arc::clone(&asked))));
        let file = &files()[0];
        let is_final = || modules.find(&engine, file).map(|found| found.is_final);
        assert_eq!(is_final(), None);
        let loaded = modules.load(&engine, BYTES.into(), charge(8), Cache::state_of(file));
        assert!(loaded.is_ok_and(|loaded| !loaded.is_final));
        assert_eq!([is_final(), is_final(), is_final()], [Some(false), Some(true), Some(true)]);
        assert_eq!(asked.load(Ordering::Relaxed), 3, "not asked for what is final");
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
