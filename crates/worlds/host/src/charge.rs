//! What a guest's output costs: asked of the meter before it is spent.
//!
//! ```text
//! a write          its bytes, and the gap that it leaves when it begins behind a file's end
//! a longer file    the bytes by which it grows without being written
//! a new name       NAME_BYTES, whether of a file, a directory or a link
//! a symbolic link  its text besides
//! ```
//! A gap costs what it spans although it takes no place on the disk yet: filling it later in steps of
//! a byte would take a block for each. Nothing is given back when files shrink or names go. Where
//! the meter has no limit nothing is counted, and the kernel is asked nothing for it.

use crate::core::Guard;
use crate::files::{self, At};
use crate::limits::NAME_BYTES;
use crate::meter::{Meter, Resource};
use crate::mount::Node;
use crate::resolve::Resolver;
use crate::stat::{FileKind, FileStat};
use crate::vectored::IoVecs;
use rustix::fd::BorrowedFd;
use rustix::fs::{OFlags, SeekFrom, fcntl_getfl, fstat, seek};
use rustix::io::{Errno, Result};

/// Runs `create`, which makes a new name, in a symbolic link's case with a text of `text_bytes`.
///
/// # Errors
/// `ENOSPC` when the meter refuses, else those of `create`; then nothing is charged.
pub fn creation<T>(
    meter: &dyn Meter,
    text_bytes: usize,
    create: impl FnOnce() -> Result<T>,
) -> Result<T> {
    charged(meter, || Ok(NAME_BYTES + text_bytes as u64), create)
}

/// [`files::open`], charged for a file that it creates.
///
/// # Errors
/// `ENOSPC` when the meter refuses, else those of [`files::open`].
pub fn open(
    meter: &dyn Meter,
    resolver: &Resolver,
    at: At<'_>,
    flags: OFlags,
    follow: bool,
) -> Result<Node> {
    let open = |flags| files::open(resolver, at, flags, follow);
    if !flags.contains(OFlags::CREATE) || !meter.is_limited(Resource::OutputBytes) {
        return open(flags);
    }
    // What exists is opened without leave to create it, so that nothing is created uncharged when
    // somebody removes it meanwhile; an opening that may create is charged.
    if !flags.contains(OFlags::EXCL)
        && files::stat(resolver, at, follow).is_ok_and(|stat| stat.kind != FileKind::Directory)
    {
        match open(flags - OFlags::CREATE) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
    }
    creation(meter, 0, || open(flags))
}

/// Runs `grow`, which may make a file longer: `cost` is what it costs at the file's present size.
///
/// # Errors
/// `ENOSPC` when the meter refuses, else those of `grow`; then nothing is charged.
pub(crate) fn growth(
    meter: &dyn Meter,
    fd: BorrowedFd<'_>,
    cost: impl FnOnce(u64) -> u64,
    grow: impl FnOnce() -> Result<()>,
) -> Result<()> {
    charged(meter, || Ok(cost(FileStat::from(fstat(fd)?).size)), grow)
}

/// Charges all of `cost`, unless there is no limit, and gives it back if `work` fails.
fn charged<T>(
    meter: &dyn Meter,
    cost: impl FnOnce() -> Result<u64>,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    if !meter.is_limited(Resource::OutputBytes) {
        return work();
    }
    let cost = cost()?;
    if !meter.grant_all(Resource::OutputBytes, cost) {
        return Err(Errno::NOSPC);
    }
    work().inspect_err(|_| meter.release(Resource::OutputBytes, cost))
}

/// [`output`] for a write of vectors, which are cut down to what the meter grants.
///
/// # Errors
/// Those of [`output`].
pub(crate) fn write<'a>(
    guard: &Guard,
    vecs: &mut IoVecs<'a>,
    file: Option<(BorrowedFd<'_>, Option<u64>)>,
    write: impl FnOnce(&IoVecs<'a>) -> Result<usize>,
) -> Result<usize> {
    let wanted = vecs.bytes();
    output(&*guard.meter, wanted, file, |granted| {
        if granted < wanted {
            vecs.truncate(granted);
        }
        write(vecs)
    })
}

/// Runs `write`, which puts out at most as many bytes as it is told and returns how many: as much of
/// `wanted` as the meter grants. The rest is given back. The write is at `position` of `file`, or
/// where the file's own position is.
///
/// # Errors
/// `ENOSPC` when the meter grants nothing, else those of `write`.
pub(crate) fn output(
    meter: &dyn Meter,
    wanted: usize,
    file: Option<(BorrowedFd<'_>, Option<u64>)>,
    write: impl FnOnce(usize) -> Result<usize>,
) -> Result<usize> {
    if wanted == 0 || !meter.is_limited(Resource::OutputBytes) {
        return write(wanted);
    }
    let gap = file.map_or(Ok(0), |(fd, position)| gap(fd, position))?;
    if !meter.grant_all(Resource::OutputBytes, gap) {
        return Err(Errno::NOSPC);
    }
    let granted = meter.grant(Resource::OutputBytes, wanted as u64);
    let room = usize::try_from(granted).unwrap_or(usize::MAX).min(wanted);
    let result = if room == 0 { Err(Errno::NOSPC) } else { write(room) };
    let spent = match result {
        Ok(written) if written > 0 => gap.saturating_add(written as u64),
        _ => 0,
    };
    let unused = gap.saturating_add(granted).saturating_sub(spent);
    if unused > 0 {
        meter.release(Resource::OutputBytes, unused);
    }
    result
}

/// Bytes between the end of a file and a write that begins behind it.
fn gap(fd: BorrowedFd<'_>, position: Option<u64>) -> Result<u64> {
    let stat = FileStat::from(fstat(fd)?);
    if stat.kind != FileKind::Regular || fcntl_getfl(fd)?.contains(OFlags::APPEND) {
        return Ok(0);
    }
    let position = match position {
        Some(position) => position,
        None => seek(fd, SeekFrom::Current(0))?,
    };
    // The kernel has no such position and will say so.
    let position = i64::try_from(position).map_or(0, i64::cast_unsigned);
    Ok(position.saturating_sub(stat.size))
}
