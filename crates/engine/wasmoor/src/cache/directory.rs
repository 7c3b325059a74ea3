//! The directory of a cache: every access goes through one opened, checked directory.

use super::key::{FileState, Hash};
use crate::trust;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wasmoor_abi::wire::checksum;

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// Bytes of a reference: hash and checksum.
const REFERENCE_BYTES: usize = 40;
const TEMPORARY: &str = ".tmp-";
/// A temporary file this old was left behind by a process that was killed.
const ABANDONED: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

/// A file of the cache.
#[derive(Clone, Debug)]
pub(super) struct CachedFile {
    name: String,
    pub(super) bytes: u64,
    /// Seconds and nanoseconds since 1970.
    used: (i64, i64),
}

impl CachedFile {
    pub(super) fn is_module(&self) -> bool {
        self.name.ends_with(".wcode")
    }
}

impl Directory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(PRIVATE_DIRECTORY).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(io::Error::other("it is a symbolic link, or no directory"));
            }
            other => other?,
        };
        let about = File::from(fd.try_clone()?).metadata()?;
        trust::private(&about).map_err(io::Error::other)?;
        Ok(Directory { path: path.to_owned(), fd })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A module's container, if it is there and this user's alone; notes that it was used.
    pub(super) fn open_entry(&self, name: &str) -> Option<File> {
        let file = self.open_private(name)?;
        let now = Timespec { tv_sec: since_1970()?.as_secs().cast_signed(), tv_nsec: 0 };
        let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let times = Timestamps { last_access: omit, last_modification: now };
        // Only the order of removal depends on it.
        let _ = rustix::fs::futimens(&file, &times);
        Some(file)
    }

    fn open_private(&self, name: &str) -> Option<File> {
        let file = rustix::fs::openat(&self.fd, name, trust::OPEN, Mode::empty()).ok()?;
        let file = File::from(file);
        let about = file.metadata().ok()?;
        (about.is_file() && about.nlink() == 1 && trust::private(&about).is_ok()).then_some(file)
    }

    /// The hash of the module in a file in this state, if it is known.
    pub(super) fn read_reference(&self, state: &FileState) -> Option<Hash> {
        let mut file = self.open_private(&state.name())?;
        let mut bytes = [0; REFERENCE_BYTES];
        file.read_exact(&mut bytes).ok()?;
        let (hash, sum) = bytes.split_first_chunk::<32>()?;
        (checksum(hash).to_le_bytes() == *sum).then_some(*hash)
    }

    /// Notes the hash of a file that was read in this state, if that can be relied on.
    pub(super) fn write_reference(&self, state: &FileState, hash: &Hash) {
        if state.is_settled() && self.read_reference(state).as_ref() != Some(hash) {
            // Without it the file is hashed the next time.
            let _ = self.replace(&state.name(), |out| {
                out.write_all(hash)?;
                out.write_all(&checksum(hash).to_le_bytes())
            });
        }
    }

    /// Writes a file under another name, then gives it its name in one step.
    pub(super) fn replace(
        &self,
        name: &str,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let nanos = since_1970().map_or(0, |now| now.subsec_nanos());
        let temporary = format!("{TEMPORARY}{}-{count}-{nanos}", std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(PRIVATE_FILE);
        let mut file = File::from(rustix::fs::openat(&self.fd, &*temporary, flags, mode)?);
        let result = write(&mut file).and_then(|()| {
            let named = rustix::fs::renameat_with(
                &self.fd,
                &*temporary,
                &self.fd,
                name,
                RenameFlags::empty(),
            );
            Ok(named?)
        });
        if result.is_err() {
            let _ = rustix::fs::unlinkat(&self.fd, &*temporary, AtFlags::empty());
        }
        result
    }

    /// All regular files.
    pub(super) fn files(&self) -> io::Result<Vec<CachedFile>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            // Another process may have removed it.
            let Ok(about) = rustix::fs::statat(&self.fd, name, flags) else { continue };
            if rustix::fs::FileType::from_raw_mode(about.st_mode).is_file() {
                files.push(CachedFile {
                    name: name.to_owned(),
                    bytes: about.st_size.cast_unsigned(),
                    used: (about.st_mtime, about.st_mtime_nsec.cast_signed()),
                });
            }
        }
        Ok(files)
    }

    /// Removes abandoned files, and what was used longest ago until at most `bytes_max` are left.
    pub(super) fn shrink(&self, bytes_max: u64) -> io::Result<u64> {
        let mut files = self.files()?;
        files.sort_unstable_by_key(|file| file.used);
        let now = since_1970().map_or(0, |now| now.as_secs().cast_signed());
        let abandoned = |file: &CachedFile| {
            file.name.starts_with(TEMPORARY)
                && file.used.0 + ABANDONED.as_secs().cast_signed() < now
        };
        let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let mut removed = 0;
        for file in files {
            let temporary = file.name.starts_with(TEMPORARY);
            if abandoned(&file) || (bytes > bytes_max && !temporary) {
                // Another process may have been faster.
                let _ = rustix::fs::unlinkat(&self.fd, &*file.name, AtFlags::empty());
                bytes -= file.bytes;
                removed += file.bytes;
            }
        }
        Ok(removed)
    }
}

fn since_1970() -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok()
}
