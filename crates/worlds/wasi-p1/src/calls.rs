//! The functions of `wasi_snapshot_preview1`, one Rust function each.
//!
//! Parameters are those of the interface in its lowered form: pointers and lengths are `u32`, and
//! results are places in guest memory. `path` and `path_len` are one parameter there and two here.
#![allow(clippy::too_many_arguments, reason = "the interface has as many")]

mod args;
mod clocks;
mod directories;
mod fd_attributes;
mod fd_data;
mod opening;
mod paths;
mod polling;
mod process;
mod sockets;

pub use self::args::{args_get, args_sizes_get, environ_get, environ_sizes_get};
pub use self::clocks::{clock_res_get, clock_time_get, random_get};
pub use self::directories::{fd_prestat_dir_name, fd_prestat_get, fd_readdir};
pub use self::fd_attributes::{
    fd_advise, fd_allocate, fd_close, fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights,
    fd_filestat_get, fd_filestat_set_size, fd_filestat_set_times, fd_renumber,
};
pub use self::fd_data::{
    fd_datasync, fd_pread, fd_pwrite, fd_read, fd_seek, fd_sync, fd_tell, fd_write,
};
pub use self::opening::{Opening, open, open_here, path_open};
pub use self::paths::{
    path_create_directory, path_filestat_get, path_filestat_set_times, path_link, path_readlink,
    path_remove_directory, path_rename, path_symlink, path_unlink_file,
};
pub use self::polling::{poll_oneoff, poll_oneoff_kept};
pub use self::process::{proc_exit, proc_raise, sched_yield};
pub use self::sockets::{sock_accept, sock_recv, sock_send, sock_shutdown};

pub(crate) use self::fd_attributes::filestat_of_fd;
pub(crate) use self::fd_data::seek_in_version;
pub(crate) use self::paths::filestat_of_path;
pub(crate) use self::polling::poll_in_version;

use crate::context::WasiCtx;
use crate::errno::Errno;
use std::sync::Arc;
use wasmoor_host::{Descriptor, Rights};

/// The result of a call that only fails with a number.
pub type Result<T = ()> = std::result::Result<T, Errno>;

/// The descriptor `fd`, if it did not give up `rights`.
fn descriptor(ctx: &WasiCtx, fd: u32, rights: Rights) -> Result<Arc<Descriptor>> {
    let descriptor = ctx.core.table.get(fd)?;
    if descriptor.allows(rights) { Ok(descriptor) } else { Err(Errno::NotCapable) }
}
