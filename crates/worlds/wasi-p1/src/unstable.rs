//! The functions of `wasi_unstable`, of which old programs are made.
//!
//! They are those of preview 1 but for the layouts of `filestat` and `subscription`, the order of
//! `whence`, and `sock_accept`, which came later.

pub use crate::calls::{
    args_get, args_sizes_get, clock_res_get, clock_time_get, environ_get, environ_sizes_get,
    fd_advise, fd_allocate, fd_close, fd_datasync, fd_fdstat_get, fd_fdstat_set_flags,
    fd_fdstat_set_rights, fd_filestat_set_size, fd_filestat_set_times, fd_pread,
    fd_prestat_dir_name, fd_prestat_get, fd_pwrite, fd_read, fd_readdir, fd_renumber, fd_sync,
    fd_tell, fd_write, path_create_directory, path_filestat_set_times, path_link, path_open,
    path_readlink, path_remove_directory, path_rename, path_symlink, path_unlink_file, proc_exit,
    proc_raise, random_get, sched_yield, sock_recv, sock_send, sock_shutdown,
};

use crate::abi::Version;
use crate::calls::{self, Result};
use crate::context::WasiCtx;
use wasmoor_host::GuestMemory;

/// Moves the position; `whence` is 0 for the position, 1 for the end, 2 for the start.
///
/// # Errors
/// As [`calls::fd_seek`].
pub fn fd_seek(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    offset: u64,
    whence: u32,
    out: u32,
) -> Result {
    calls::seek_in_version(Version::Unstable, ctx, memory, [fd, whence, out], offset)
}

/// The attributes of the file, in 56 bytes.
///
/// # Errors
/// As [`calls::fd_filestat_get`].
pub fn fd_filestat_get(ctx: &WasiCtx, memory: &GuestMemory<'_>, fd: u32, out: u32) -> Result {
    calls::filestat_of_fd(Version::Unstable, ctx, memory, fd, out)
}

/// The attributes of a file, in 56 bytes.
///
/// # Errors
/// As [`calls::path_filestat_get`].
pub fn path_filestat_get(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    flags: u32,
    path: u32,
    path_len: u32,
    out: u32,
) -> Result {
    calls::filestat_of_path(Version::Unstable, ctx, memory, [fd, flags, path, path_len, out])
}

/// Waits; a subscription has 56 bytes.
///
/// # Errors
/// As [`calls::poll_oneoff`].
pub fn poll_oneoff(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Result {
    calls::poll_in_version(
        Version::Unstable,
        ctx,
        memory,
        [subscriptions, events, count, out],
        None,
    )
}
