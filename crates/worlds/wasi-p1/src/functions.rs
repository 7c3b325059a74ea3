//! The list of functions with their parameters: whatever offers them to guests derives from it.

/// Calls `$offer!` with `$($args)*` and the functions that both interfaces have.
///
/// The results are those of [`crate::calls`]: `errno` unless the line says otherwise.
macro_rules! for_each_function {
    ($offer:ident!($($args:tt)*)) => { $offer! { $($args)*
        args_get(argv: u32, buf: u32);
        args_sizes_get(count: u32, bytes: u32);
        clock_res_get(id: u32, out: u32);
        clock_time_get(id: u32, precision: u64, out: u32);
        environ_get(environ: u32, buf: u32);
        environ_sizes_get(count: u32, bytes: u32);
        fd_advise(fd: u32, offset: u64, len: u64, how: u32);
        fd_allocate(fd: u32, offset: u64, len: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_fdstat_get(fd: u32, out: u32);
        fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_fdstat_set_rights(fd: u32, rights: u64, inheriting: u64);
        fd_filestat_get(fd: u32, out: u32);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, flags: u32);
        fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32);
        fd_prestat_dir_name(fd: u32, path: u32, path_len: u32);
        fd_prestat_get(fd: u32, out: u32);
        fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32);
        fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32);
        fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, used: u32);
        fd_renumber(fd: u32, to: u32);
        fd_seek(fd: u32, offset: u64, whence: u32, out: u32);
        fd_sync(fd: u32);
        fd_tell(fd: u32, out: u32);
        fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32);
        path_create_directory(fd: u32, path: u32, path_len: u32);
        path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, out: u32);
        path_filestat_set_times(
            fd: u32, flags: u32, path: u32, path_len: u32, accessed: u64, modified: u64,
            time_flags: u32
        );
        path_link(
            old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32, new_fd: u32,
            new_path: u32, new_path_len: u32
        );
        path_open(
            fd: u32, flags: u32, path: u32, path_len: u32, open_flags: u32, rights: u64,
            inheriting: u64, status: u32, out: u32
        );
        path_readlink(fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, used: u32);
        path_remove_directory(fd: u32, path: u32, path_len: u32);
        path_rename(
            fd: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32,
            new_path_len: u32
        );
        path_symlink(
            old_path: u32, old_path_len: u32, fd: u32, new_path: u32, new_path_len: u32
        );
        path_unlink_file(fd: u32, path: u32, path_len: u32);
        poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32);
        proc_raise(signal: u32);
        random_get(buf: u32, len: u32);
        sched_yield();
        sock_recv(
            fd: u32, iovs: u32, iovs_len: u32, flags: u32, nread: u32, out_flags: u32
        );
        sock_send(fd: u32, iovs: u32, iovs_len: u32, flags: u32, nwritten: u32);
        sock_shutdown(fd: u32, how: u32);
    } };
}

pub(crate) use for_each_function;

use crate::calls::Result;
use crate::process::Exit;

/// What a function of [`crate::calls`] returns, in the guest's terms.
pub(crate) trait Outcome {
    /// The number for the guest, or its end.
    fn into_guest(self) -> std::result::Result<i32, Exit>;
}

impl Outcome for Result {
    fn into_guest(self) -> std::result::Result<i32, Exit> {
        Ok(self.map_or_else(|errno| i32::from(errno.raw().cast_signed()), |()| 0))
    }
}

impl Outcome for std::result::Result<Result, Exit> {
    fn into_guest(self) -> std::result::Result<i32, Exit> {
        self.and_then(Outcome::into_guest)
    }
}
