//! Opening files, by the call of preview 1 and for worlds that have more of them.

use super::Result;
use super::fd_attributes::status_flags;
use super::paths::{Start, directory, follows};
use crate::abi::Out;
use crate::context::WasiCtx;
use crate::errno::Errno;
use rustix::fs::OFlags;
use wasmoor_host::{Descriptor, GuestMemory, Rights, charge};

/// Bits of `oflags` with the flag of `open` and the right that a directory may have given up.
const OPEN_FLAGS: &[(u32, OFlags, Rights)] = &[
    (1 << 0, OFlags::CREATE, Rights::PATH_CREATE_FILE),
    (1 << 1, OFlags::DIRECTORY, Rights::empty()),
    (1 << 2, OFlags::EXCL, Rights::empty()),
    (1 << 3, OFlags::TRUNC, Rights::PATH_FILESTAT_SET_SIZE),
];

/// How a file is opened, in the numbers of `path_open`.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// `lookupflags`: whether a link in the last place is followed.
    pub lookup: u32,
    /// `oflags`: whether it is made, or emptied, and whether it must be a directory.
    pub open_flags: u32,
    /// `fdflags` of the new descriptor.
    pub status: u32,
    /// The rights that are asked for.
    pub rights: u64,
    /// Those of what is opened from there.
    pub inheriting: u64,
    /// Whether it is closed when the guest becomes another program.
    pub close_on_exec: bool,
}

/// Opens a file or directory.
///
/// The kernel's access mode follows the rights that are asked for: reading unless only writing
/// (`fd_write`) is. Whatever else is asked for is reported back but not needed.
///
/// # Errors
/// `rofs` for anything that could change a read-only mount, `perm` for a path that leaves, `mfile`
/// when the guest has too many open files, else those of `openat`.
pub fn path_open(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    path_len: u32,
    open_flags: u32,
    rights: u64,
    inheriting: u64,
    status: u32,
    out: u32,
) -> Result {
    let opening = Opening { lookup, open_flags, status, rights, inheriting, close_on_exec: false };
    open(ctx, memory, [fd, path, path_len], opening, out)
}

/// [`path_open`] for worlds in which there is more to say about a descriptor.
///
/// # Errors
/// As [`path_open`].
pub fn open(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    [fd, path, path_len]: [u32; 3],
    opening: Opening,
    out: u32,
) -> Result {
    let opening = Checked::new(opening)?;
    let start = directory(ctx, fd, opening.needed)?;
    let out = Out::for_u32(memory, out)?;
    let start = start.path(ctx, memory, [path, path_len])?;
    let table = &ctx.core.table;
    let place = table.reserve()?;
    let opened = opening.open(ctx, &start)?;
    let fd = table.insert_from(0, place, opened, opening.close_on_exec)?;
    out.put(&fd.to_le_bytes());
    Ok(())
}

/// The same for a path that is absolute or relative to where the guest is, as the descriptor `fd`,
/// which is closed first.
///
/// # Errors
/// As [`path_open`]; `badf` when there is no such number.
pub fn open_here(ctx: &WasiCtx, path: &[u8], opening: Opening, fd: u32) -> Result {
    let opening = Checked::new(opening)?;
    let start = Start::here(ctx, path, opening.needed)?;
    let table = &ctx.core.table;
    let place = table.vacate(fd)?;
    let opened = opening.open(ctx, &start)?;
    Ok(table.insert_at(fd, place, opened, opening.close_on_exec)?)
}

/// An [`Opening`] without flags that are unknown.
struct Checked {
    flags: OFlags,
    follow: bool,
    /// The rights that the directory must not have given up.
    needed: Rights,
    wanted: Rights,
    inheriting: Rights,
    close_on_exec: bool,
}

impl Checked {
    fn new(opening: Opening) -> Result<Self> {
        let wanted = Rights::from_bits_truncate(opening.rights);
        let (flags, needed) = kernel_flags(opening.open_flags, wanted)?;
        Ok(Checked {
            flags: flags | status_flags(opening.status)?.to_kernel(),
            follow: follows(opening.lookup)?,
            needed,
            wanted,
            inheriting: Rights::from_bits_truncate(opening.inheriting),
            close_on_exec: opening.close_on_exec,
        })
    }

    fn open(&self, ctx: &WasiCtx, start: &Start) -> Result<Descriptor> {
        let core = &ctx.core;
        let at = start.at()?;
        let meter = &*core.guard.meter;
        let open = |resolver: &_| charge::open(meter, resolver, at, self.flags, self.follow);
        let opened = core.on_paths(open)?;
        Ok(Descriptor::opened(&start.directory, opened, self.wanted, self.inheriting))
    }
}

/// The flags for `open`, and the rights that the directory must not have given up.
fn kernel_flags(open_flags: u32, wanted: Rights) -> Result<(OFlags, Rights)> {
    let known = OPEN_FLAGS.iter().fold(0, |bits, (bit, ..)| bits | bit);
    if open_flags & !known != 0 {
        return Err(Errno::Inval);
    }
    let (mut flags, mut needed) = (OFlags::empty(), Rights::PATH_OPEN);
    for (_, flag, right) in OPEN_FLAGS.iter().filter(|(bit, ..)| open_flags & bit != 0) {
        flags |= *flag;
        needed |= *right;
    }
    let reads = wanted.intersects(Rights::FD_READ | Rights::FD_READDIR);
    let writes = wanted.contains(Rights::FD_WRITE);
    flags |= match (reads, writes) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    Ok((flags, needed))
}
