//! Where `run` gets its module from: a file made by `compile`, the cache, or the module itself.
//!
//! ```text
//! FILE is a container    its code is run as it is
//! seen before            the cache knows the file: neither read nor validated
//! otherwise              read and validated; hashed meanwhile, for what the cache has of it
//! ```
//! What is compiled while the guest runs is stored at its end, and now and then before, by the
//! main thread, which has nothing else to do.

use crate::args::Run;
use crate::mounts::Mount;
use crate::progress::Progress;
use crate::report::{self, Failure, printable};
use crate::stats::Stats;
use crate::{input, units, world};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wasmoor::cache::{Cache, CacheEntry};
use wasmoor::{ARTIFACT_MAGIC, Engine, Module};

/// The directory of the cache, or `off`.
const DIRECTORY_VARIABLE: &str = "WASMOOR_CACHE_DIR";
/// The most bytes that it keeps.
const SIZE_VARIABLE: &str = "WASMOOR_CACHE_SIZE";

/// A module that is ready to run.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) module: Module,
    /// Where what is compiled now is stored.
    pub(crate) entry: Option<CacheEntry>,
    /// The cache that this run uses.
    pub(crate) cache: Option<Cache>,
}

/// Loads the module that `run` was given.
///
/// # Errors
/// It cannot be read, is no valid module, or (a container) cannot be trusted or does not fit.
pub(crate) fn load(args: &Run, engine: &Engine, stats: &mut Stats) -> Result<Loaded, Failure> {
    let path = args.file_and_args.first().map_or(Path::new(""), Path::new);
    let shown = printable(&path.display().to_string());
    let in_file = |error| Failure::error(error).context(format_args!("`{shown}`"));
    let start = Instant::now();
    let file = if path == Path::new("-") { None } else { File::open(path).ok() };
    if let Some(file) = &file
        && is_container(file)
    {
        let module = Module::deserialize_file(engine, path).map_err(in_file)?;
        stats.read = start.elapsed();
        stats.origin = "an ahead-of-time file";
        return Ok(Loaded { module, entry: None, cache: None });
    }
    if args.no_jit {
        let what = "it holds no stored code, and --no-jit runs only what `wasmoor compile` made";
        return Err(Failure::error(what).context(format_args!("`{shown}`")));
    }
    let cache = if args.no_cache { None } else { open_cache(args) };
    if let (Some(cache), Some(file)) = (&cache, &file)
        && let Some((module, entry)) = cache.find(engine, file)
    {
        stats.read = start.elapsed();
        stats.origin = "the cache";
        return Ok(Loaded { module, entry: Some(entry), cache: Some(cache.clone()) });
    }
    let state = file.as_ref().and_then(Cache::state_of);
    let (bytes, is_text) = input::read_module(path)?;
    // A file that changed while it was read, or that is not what was hashed, is not recognised.
    let state = state.filter(|state| {
        !is_text && file.as_ref().and_then(Cache::state_of).as_ref() == Some(state)
    });
    stats.read = start.elapsed();
    stats.module_bytes = bytes.len();
    let start = Instant::now();
    let progress = Progress::new();
    let report = |done, all| progress.report(done, all);
    let loaded = match &cache {
        Some(cache) => {
            let loaded = cache.load(engine, bytes, state, &report);
            loaded.map(|(module, entry)| (module, Some(entry)))
        }
        None => Module::from_shared(engine, bytes, &report).map(|module| (module, None)),
    };
    let first = progress.finish();
    let all = start.elapsed();
    stats.validate = first.unwrap_or(all).min(all);
    stats.compile = all - stats.validate;
    let (module, entry) = loaded.map_err(in_file)?;
    Ok(Loaded { module, entry, cache })
}

fn is_container(file: &File) -> bool {
    let mut magic = [0; ARTIFACT_MAGIC.len()];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == ARTIFACT_MAGIC
}

/// The cache that this run may use; one note if it must not be used.
fn open_cache(args: &Run) -> Option<Cache> {
    let cache = match directory()? {
        Ok(cache) => cache,
        Err(why) => {
            report::note(why);
            return None;
        }
    };
    match world::mounts(args).find(|mount| guest_may_write(mount, cache.path())) {
        Some(mount) => {
            let (shown, path) = (mount.host.display(), cache.path().display());
            report::note(format_args!(
                "no cache: the guest may write to `{path}`, which is in the granted `{shown}`"
            ));
            None
        }
        None => Some(cache),
    }
}

/// Whether a mount is, or is in, the cache: everything above is the user's own decision, as it
/// holds the user's programs and settings too.
fn guest_may_write(mount: &Mount, cache: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    !mount.read_only
        && real(&mount.host).zip(real(cache)).is_some_and(|(host, cache)| host.starts_with(cache))
}

/// Opens the cache's directory; `None`: it is switched off, or there is no home for it.
pub(crate) fn directory() -> Option<Result<Cache, String>> {
    let path = match std::env::var_os(DIRECTORY_VARIABLE) {
        Some(value) if value == "off" || value.is_empty() => return None,
        Some(value) => PathBuf::from(value),
        None => Cache::default_path()?,
    };
    let bytes_max = match std::env::var(SIZE_VARIABLE) {
        Err(_) => Cache::BYTES_MAX,
        Ok(text) => match units::parse_size(&text) {
            Ok(bytes) => bytes,
            Err(why) => return Some(Err(format!("no cache: {SIZE_VARIABLE}: {why}"))),
        },
    };
    Some(Cache::open(&path, bytes_max, &build_identity()).map_err(|error| {
        format!("no cache: `{}` cannot be used: {error}", printable(&path.display().to_string()))
    }))
}

/// Tells builds of this program apart: code of one is not for another.
fn build_identity() -> String {
    let about = std::env::current_exe().and_then(std::fs::metadata);
    about.map_or_else(
        |_| String::new(),
        |about| format!("{} {} {}", about.len(), about.mtime(), about.mtime_nsec()),
    )
}

/// Looks after a running module.
#[derive(Debug)]
pub(crate) struct Keeper {
    loaded: Loaded,
    /// When to do something next.
    due: Option<Instant>,
    rounds: u32,
    started: Instant,
    /// Why nothing more is stored.
    pub(crate) failed: Option<std::io::Error>,
}

/// After this time bodies are read that may be needed, before their file changes.
const READ_BODIES: Duration = Duration::from_millis(100);
/// After this time from the start or the last time, what has been compiled is stored.
const STORE: [Duration; 3] =
    [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(60)];

impl Keeper {
    pub(crate) fn new(loaded: Loaded) -> Keeper {
        // A file made ahead of time has its bodies in itself, and what it has not cannot be kept.
        let due = loaded.entry.as_ref().and_then(|_| Instant::now().checked_add(READ_BODIES));
        Keeper { loaded, due, rounds: 0, started: Instant::now(), failed: None }
    }

    /// When to call [`Keeper::work`] next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Does what is due.
    pub(crate) fn work(&mut self) {
        if self.rounds == 0 {
            // Without them, only what is not stored cannot be compiled; the guest will be told.
            let _ = self.loaded.module.description().require_bodies();
        } else {
            self.store();
        }
        let pause = STORE.get(self.rounds as usize).or(STORE.last()).copied();
        self.rounds = self.rounds.saturating_add(1);
        let more = self.loaded.entry.is_some() && self.failed.is_none();
        self.due = pause.filter(|_| more).and_then(|pause| Instant::now().checked_add(pause));
    }

    /// Stores what has been compiled while the guest ran on.
    fn store(&mut self) {
        self.store_by(CacheEntry::store);
    }

    /// Stores what has been compiled, at the end.
    pub(crate) fn store_at_exit(&mut self) {
        let ran = self.started.elapsed();
        self.store_by(|entry, module| entry.store_at_exit(module, ran));
    }

    fn store_by(&mut self, store: impl Fn(&CacheEntry, &Module) -> std::io::Result<bool>) {
        if let Some(entry) = &self.loaded.entry
            && let Err(error) = store(entry, &self.loaded.module)
        {
            self.failed = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grants_inside_the_cache_are_in_the_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("cache");
        std::fs::create_dir_all(cache.join("in")).expect("a folder");
        let mount = |host: &Path, read_only| Mount {
            host: host.to_owned(),
            guest: "/".to_owned(),
            read_only,
        };
        assert!(guest_may_write(&mount(&cache, false), &cache));
        assert!(guest_may_write(&mount(&cache.join("in"), false), &cache));
        assert!(!guest_may_write(&mount(&cache, true), &cache));
        assert!(!guest_may_write(&mount(folder.path(), false), &cache));
    }
}
