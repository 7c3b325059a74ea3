//! What guests talk to themselves with: pipes and counters of events, the kernel's own; and files sent
//! into such things.

use crate::core::Guard;
use crate::descriptor::{Descriptor, Handed, Object};
use crate::stat::FileKind;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::sendfile;
use rustix::io::{Errno, Result, write};
use rustix::pipe::{PipeFlags, pipe_with};

/// A pipe: the end to read from and the end to write to. It holds 64 KiB, as the kernel's do.
///
/// # Errors
/// Those of `pipe2`.
pub fn pipe(_: &Guard) -> Result<[Descriptor; 2]> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let end = |fd| Descriptor::new(Object::Kernel(Handed::plain(fd, FileKind::Pipe)));
    Ok([end(read), end(write)])
}

/// How a counter of events is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterFlags {
    /// One at a time, rather than all at once.
    pub semaphore: bool,
    /// Fail rather than wait.
    pub nonblock: bool,
}

/// A counter of events that starts at `initial`.
///
/// # Errors
/// `EINVAL` for the one number that it cannot hold, else those of `eventfd`.
pub fn counter(_: &Guard, initial: u64, flags: CounterFlags) -> Result<Descriptor> {
    if initial == u64::MAX {
        return Err(Errno::INVAL);
    }
    let mut kernel = EventfdFlags::CLOEXEC;
    kernel.set(EventfdFlags::SEMAPHORE, flags.semaphore);
    kernel.set(EventfdFlags::NONBLOCK, flags.nonblock);
    let fd = match u32::try_from(initial) {
        Ok(initial) => eventfd(initial, kernel)?,
        Err(_) => {
            let fd = eventfd(0, kernel)?;
            // There is room for all of it.
            write(&fd, &initial.to_ne_bytes())?;
            fd
        }
    };
    Ok(Descriptor::new(Object::Kernel(Handed::plain(fd, FileKind::Unknown))))
}

/// Sends at most `bytes` bytes of a file from `offset` on, whose position stays; returns how many.
///
/// # Errors
/// `EINVAL` for what is no file of a mount or no kernel object, those of [`Descriptor::write`], else
/// those of `sendfile`.
pub fn send_file(
    guard: &Guard,
    out: &Descriptor,
    file: &Descriptor,
    offset: u64,
    bytes: u64,
) -> Result<usize> {
    let kernel = |descriptor| Descriptor::kernel_fd(descriptor).ok_or(Errno::INVAL)?;
    kernel(out)?;
    let from = kernel(file)?;
    if i64::try_from(offset).is_err() {
        return Err(Errno::INVAL);
    }
    // No truncation: below 2^31.
    let wanted = bytes.min(u64::from(u32::MAX >> 1)) as usize;
    out.write_by(guard, wanted, |to, bytes| sendfile(to, from, Some(&mut offset.clone()), bytes))
}
