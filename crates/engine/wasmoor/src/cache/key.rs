//! Names of entries: what code depends on, and what a file is recognised by.

use super::SETTLED;
use crate::Engine;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{SystemTime, UNIX_EPOCH};
use wasmoor_codegen::container::CONTAINER_VERSION;

/// The root of a `ModuleHash`.
pub(crate) type Hash = [u8; 32];

const NAME_BYTES: usize = 20;

/// The name of a module's container: everything that decides which code it has.
pub(crate) fn entry_name(hash: &Hash, engine: &Engine, salt: &str) -> String {
    let config = engine.inner.config();
    let mut key = Sha256::new();
    key.update(hash);
    let identity = crate::artifact::identity(engine);
    key.update(format!(
        "{CONTAINER_VERSION} {identity:?} {}{:?} eager {} {salt}",
        engine.inner.compilers_identity(),
        engine.inner.plan(),
        config.eager,
    ));
    hex(&key.finalize()[..NAME_BYTES]) + ".wcode"
}

/// What tells that a file is the one that was there before, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    numbers: [u64; 7],
}

impl FileState {
    pub(crate) fn of(file: &File) -> Option<FileState> {
        let about = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let times = [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()];
        let [a, b, c, d] = times.map(i64::cast_unsigned);
        Some(FileState { numbers: [about.dev(), about.ino(), about.size(), a, b, c, d] })
    }

    /// The name of the file's reference.
    pub(crate) fn name(&self) -> String {
        let mut key = Sha256::new();
        self.numbers.iter().for_each(|number| key.update(number.to_le_bytes()));
        hex(&key.finalize()[..NAME_BYTES]) + ".ref"
    }

    /// Whether a change from now on shows in the times, whose clock is coarse: only then is a file in
    /// this state the same later.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let [_, _, _, _, _, changed, _] = self.numbers;
        let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { return false };
        changed.cast_signed() >= 0 && changed + SETTLED.as_secs() < now.as_secs()
    }
}

/// Reads a module's file again, which must have the same length.
pub(crate) fn read_again(file: &File, len: u64, buffer: &mut [u8], at: u64) -> io::Result<()> {
    if file.metadata()?.len() != len {
        return Err(io::Error::other("its file has changed since it was loaded"));
    }
    file.read_exact_at(buffer, at)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
