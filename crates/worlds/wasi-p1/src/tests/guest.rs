//! A guest without code: a memory, a context with one mount, and short forms of common calls.

use crate::calls::{self, Result};
use crate::{Errno, WasiCtx, WasiCtxBuilder};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wasmoor_host::{GuestMemory, Rights};

/// Where the short forms put paths, results and data.
pub(super) const PATH: u32 = 0x100;
pub(super) const OTHER_PATH: u32 = 0x1200;
pub(super) const OUT: u32 = 0x2300;
pub(super) const VECS: u32 = 0x2400;
pub(super) const DATA: u32 = 0x4000;

/// The number of the first mount.
pub(super) const ROOT: u32 = 3;

/// `lookupflags`.
pub(super) const FOLLOW: u32 = 1;
/// `oflags`.
pub(super) const CREATE: u32 = 1;
pub(super) const DIRECTORY: u32 = 2;
pub(super) const EXCLUSIVE: u32 = 4;
pub(super) const TRUNCATE: u32 = 8;

pub(super) struct Guest {
    pub(super) memory: Vec<u8>,
    pub(super) ctx: WasiCtx,
    pub(super) host: TempDir,
}

impl Guest {
    /// A guest with an empty folder mounted on `/`.
    pub(super) fn new() -> Guest {
        Guest::with(|_| {})
    }

    /// The same with more.
    pub(super) fn with(more: impl FnOnce(&mut WasiCtxBuilder)) -> Guest {
        Guest::on_mount(false, more)
    }

    pub(super) fn on_mount(read_only: bool, more: impl FnOnce(&mut WasiCtxBuilder)) -> Guest {
        let host = tempfile::tempdir().unwrap();
        let mut builder = WasiCtx::builder();
        builder.preopen_dir(host.path(), "/", read_only).unwrap();
        more(&mut builder);
        Guest { memory: vec![0; 1 << 16], ctx: builder.build().unwrap(), host }
    }

    pub(super) fn host_path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.host.path().join(path)
    }

    pub(super) fn call<R>(&mut self, call: impl FnOnce(&WasiCtx, &GuestMemory<'_>) -> R) -> R {
        call(&mut self.ctx, &GuestMemory::from_slice(&mut self.memory))
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> u32 {
        self.memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
        bytes.len() as u32
    }

    pub(super) fn bytes(&self, at: u32, len: u32) -> &[u8] {
        &self.memory[at as usize..][..len as usize]
    }

    pub(super) fn u32_at(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap())
    }

    pub(super) fn u64_at(&self, at: u32) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().unwrap())
    }

    /// Puts a list of one vector over `len` bytes of data.
    pub(super) fn put_vec(&mut self, len: u32) {
        self.put(VECS, &DATA.to_le_bytes());
        self.put(VECS + 4, &len.to_le_bytes());
    }

    pub(super) fn open_with(
        &mut self,
        fd: u32,
        path: &str,
        flags: [u32; 3],
        rights: Rights,
    ) -> Result<u32> {
        let len = self.put(PATH, path.as_bytes());
        let [lookup, open, status] = flags;
        self.call(|ctx, memory| {
            let (rights, inheriting) = (rights.bits(), Rights::all().bits());
            calls::path_open(
                ctx, memory, fd, lookup, PATH, len, open, rights, inheriting, status, OUT,
            )
        })?;
        Ok(self.u32_at(OUT))
    }

    /// Opens for reading and writing.
    pub(super) fn open(&mut self, path: &str, open_flags: u32) -> Result<u32> {
        let rights = Rights::FILE;
        self.open_with(ROOT, path, [FOLLOW, open_flags, 0], rights)
    }

    /// Opens a directory.
    pub(super) fn open_dir(&mut self, path: &str) -> Result<u32> {
        let rights = Rights::DIRECTORY;
        self.open_with(ROOT, path, [FOLLOW, DIRECTORY, 0], rights)
    }

    pub(super) fn write(&mut self, fd: u32, bytes: &[u8]) -> Result<u32> {
        let len = self.put(DATA, bytes);
        self.put_vec(len);
        self.call(|ctx, memory| calls::fd_write(ctx, memory, fd, VECS, 1, OUT))?;
        Ok(self.u32_at(OUT))
    }

    pub(super) fn read(&mut self, fd: u32, len: u32) -> Result<Vec<u8>> {
        self.put_vec(len);
        self.call(|ctx, memory| calls::fd_read(ctx, memory, fd, VECS, 1, OUT))?;
        Ok(self.bytes(DATA, self.u32_at(OUT)).to_vec())
    }

    pub(super) fn close(&mut self, fd: u32) -> Result {
        self.call(|ctx, memory| calls::fd_close(ctx, memory, fd))
    }

    /// Calls a function that takes a path.
    pub(super) fn on_path<R>(
        &mut self,
        path: &str,
        call: impl FnOnce(&WasiCtx, &GuestMemory<'_>, u32, u32) -> R,
    ) -> R {
        let len = self.put(PATH, path.as_bytes());
        self.call(|ctx, memory| call(ctx, memory, PATH, len))
    }

    /// Calls a function that takes two paths.
    pub(super) fn on_paths<R>(
        &mut self,
        [path, other]: [&str; 2],
        call: impl FnOnce(&WasiCtx, &GuestMemory<'_>, [u32; 4]) -> R,
    ) -> R {
        let len = self.put(PATH, path.as_bytes());
        let other_len = self.put(OTHER_PATH, other.as_bytes());
        self.call(|ctx, memory| call(ctx, memory, [PATH, len, OTHER_PATH, other_len]))
    }

    /// Kind, flags, rights and inherited rights of a descriptor.
    pub(super) fn fdstat(&mut self, fd: u32) -> Result<(u8, u16, Rights, Rights)> {
        self.call(|ctx, memory| calls::fd_fdstat_get(ctx, memory, fd, OUT))?;
        let flags = u16::from_le_bytes(self.bytes(OUT + 2, 2).try_into().unwrap());
        let rights = |at| Rights::from_bits(self.u64_at(at)).unwrap();
        Ok((self.memory[OUT as usize], flags, rights(OUT + 8), rights(OUT + 16)))
    }

    /// Size of a file by its path.
    pub(super) fn size(&mut self, path: &str) -> Result<u64> {
        self.on_path(path, |ctx, memory, path, len| {
            calls::path_filestat_get(ctx, memory, ROOT, FOLLOW, path, len, OUT)
        })?;
        Ok(self.u64_at(OUT + 32))
    }
}

/// Open descriptors of this process.
pub(super) fn host_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(super) const NOT_CAPABLE: Result = Err(Errno::NotCapable);
