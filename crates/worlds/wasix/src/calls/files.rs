//! Files: the current directory, and opening with more flags.
//!
//! With the current directory comes a meaning for absolute paths and for `./`; see
//! [`wasmoor_host::WorkingDir`].

use super::Result;
use super::descriptors::CLOSE_ON_EXEC;
use crate::abi::{Out, text};
use crate::errno::Errno;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor_host::limits::PATH_BYTES_MAX;
use wasmoor_host::{GuestMemory, WorkingDir};
use wasmoor_wasi_p1::calls::{self, Opening};

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        chdir(path: u32, path_len: u32);
        getcwd(path: u32, path_len: u32);
        path_open2(
            fd: u32, lookup: u32, path: u32, path_len: u32, open_flags: u32, rights: u64,
            inheriting: u64, status: u32, extended: u32, out: u32
        );
    );
    Ok(())
}

/// Where the guest is. Processes always have one.
fn working_dir(thread: &Thread) -> Result<&WorkingDir> {
    thread.core().working_dir.as_deref().ok_or(Errno::from(rustix::io::Errno::NOENT))
}

/// Goes to a directory.
fn chdir(thread: &Thread, memory: &GuestMemory<'_>, path: u32, path_len: u32) -> Result {
    let path = text(memory, path, path_len, PATH_BYTES_MAX as u32)?;
    let here = working_dir(thread)?;
    Ok(thread.core().on_paths(|resolver| here.change(resolver, &path))?)
}

/// The path of the current directory, with a NUL if there is room. The number at `path_len` is the
/// room and then what is needed, also when the room is too small.
fn getcwd(thread: &Thread, memory: &GuestMemory<'_>, path: u32, path_len: u32) -> Result {
    let len = Out::for_u32(memory, path_len)?;
    let room = memory.slice(path, memory.read_u32(path_len)?)?;
    let text = working_dir(thread)?.path();
    // Paths have at most 4096 bytes.
    len.put_u32(text.len() as u32);
    if room.len() < text.len() {
        return Err(Errno::from(rustix::io::Errno::RANGE));
    }
    room.copy_from(&text);
    room.split_at(text.len()).1.copy_from(&[0]);
    Ok(())
}

/// As `path_open` of preview 1, with a flag to close it when the guest becomes another program.
#[expect(clippy::too_many_arguments, reason = "the interface has as many")]
fn path_open2(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    path_len: u32,
    open_flags: u32,
    rights: u64,
    inheriting: u64,
    status: u32,
    extended: u32,
    out: u32,
) -> Result {
    if extended & !CLOSE_ON_EXEC != 0 {
        return Err(Errno::from(rustix::io::Errno::INVAL));
    }
    let close_on_exec = extended & CLOSE_ON_EXEC != 0;
    let opening = Opening { lookup, open_flags, status, rights, inheriting, close_on_exec };
    let opened = calls::open(thread.wasi(), memory, [fd, path, path_len], opening, out);
    opened.map_err(|errno| match errno {
        wasmoor_wasi_p1::Errno::Fault => Errno::MEMORY_VIOLATION,
        other => other.into(),
    })
}
