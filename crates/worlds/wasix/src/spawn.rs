//! What is done for a child before it becomes a program.

use crate::errno::Errno;
use crate::thread::Thread;
use rustix::io::Errno as Host;
use wasmoor_host::GuestMemory;
use wasmoor_host::limits::PATH_BYTES_MAX;
use wasmoor_wasi_p1::calls::{self, Opening};

/// Bytes of a `proc_spawn_fd_op`.
const FD_OP_BYTES: u64 = 56;
/// The flag of a descriptor that the program does not get.
const CLOSE_ON_EXEC: u16 = 1;

/// One step.
#[derive(Debug)]
pub(crate) enum FdOp {
    Close(u32),
    Duplicate { from: u32, to: u32 },
    Open(Box<Open>),
    ChangeDir(Vec<u8>),
    ChangeToDir(u32),
    Unknown,
}

/// What is opened, and as which number.
#[derive(Debug)]
pub(crate) struct Open {
    fd: u32,
    path: Vec<u8>,
    opening: Opening,
    extended: u16,
}

impl FdOp {
    /// The step at a place in a list, of whose paths so many more bytes are taken.
    ///
    /// # Errors
    /// A pointer leads out of the memory, the path is too long, or `2big` for all paths together.
    pub(crate) fn read(
        memory: &GuestMemory<'_>,
        list: u32,
        at: u32,
        path_bytes_left: &mut u32,
    ) -> Result<FdOp, Errno> {
        let base = u64::from(list) + u64::from(at) * FD_OP_BYTES;
        memory.slice(base, FD_OP_BYTES)?;
        let word = |offset: u64| memory.read_u32(base + offset);
        let mut path = || -> Result<Vec<u8>, Errno> {
            let path = crate::abi::text(memory, word(12)?, word(16)?, PATH_BYTES_MAX as u32)?;
            let left = path_bytes_left.checked_sub(path.len() as u32).ok_or(Host::TOOBIG)?;
            *path_bytes_left = left;
            Ok(path)
        };
        Ok(match memory.read_u8(base)? {
            0 => FdOp::Close(word(4)?),
            1 => FdOp::Duplicate { from: word(8)?, to: word(4)? },
            2 => FdOp::Open(Box::new(Open {
                fd: word(4)?,
                path: path()?,
                opening: Opening {
                    lookup: word(20)?,
                    open_flags: memory.read_u16(base + 24)?.into(),
                    status: memory.read_u16(base + 48)?.into(),
                    rights: memory.read_u64(base + 32)?,
                    inheriting: memory.read_u64(base + 40)?,
                    close_on_exec: memory.read_u16(base + 50)? & CLOSE_ON_EXEC != 0,
                },
                extended: memory.read_u16(base + 50)?,
            })),
            3 => FdOp::ChangeDir(path()?),
            4 => FdOp::ChangeToDir(word(4)?),
            _ => FdOp::Unknown,
        })
    }

    /// Does the step.
    ///
    /// # Errors
    /// As the calls that do the same; `notsup` for what is unknown.
    pub(crate) fn apply(&self, thread: &Thread) -> Result<(), Errno> {
        let core = thread.core();
        match self {
            FdOp::Close(fd) => {
                // What is not open is closed already, and mounts stay: files are found by them.
                if !core.table.get(*fd).is_ok_and(|descriptor| descriptor.is_mount()) {
                    let _ = core.table.remove(*fd);
                }
                Ok(())
            }
            FdOp::Duplicate { from, to } if from == to => {
                // It is meant to be kept.
                Ok(core.table.set_close_on_exec(*from, false)?)
            }
            FdOp::Duplicate { from, to } => Ok(core.table.duplicate_to(*from, *to, false)?),
            FdOp::Open(open) => open.apply(thread),
            FdOp::ChangeDir(path) => {
                let dir = core.working_dir.as_deref().ok_or(Errno::from(Host::NOENT))?;
                Ok(core.on_paths(|resolver| dir.change(resolver, path))?)
            }
            FdOp::ChangeToDir(fd) => {
                let dir = core.working_dir.as_deref().ok_or(Errno::from(Host::NOENT))?;
                let to = core.table.get(*fd)?;
                Ok(core.on_paths(|resolver| dir.change_to(resolver, &to))?)
            }
            FdOp::Unknown => Err(Host::NOTSUP.into()),
        }
    }
}

impl Open {
    fn apply(&self, thread: &Thread) -> Result<(), Errno> {
        if self.extended & !CLOSE_ON_EXEC != 0 {
            return Err(Host::INVAL.into());
        }
        Ok(calls::open_here(thread.wasi(), &self.path, self.opening, self.fd)?)
    }
}
