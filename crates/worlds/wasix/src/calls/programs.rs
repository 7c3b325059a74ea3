//! Becoming another program, and starting one in a child.

use super::Result;
use super::processes::end_child;
use crate::abi::{Out, text};
use crate::apart::Apart;
use crate::errno::Errno;
use crate::family::{self, Forked};
use crate::image::{Image, Search, Wish};
use crate::link::{Offers, number};
use crate::program::{self, Guest};
use crate::spawn::FdOp;
use crate::thread::Thread;
use rustix::io::Errno as Host;
use wasmoor::{Caller, Engine, Error};
use wasmoor_host::GuestMemory;
use wasmoor_host::limits::PATH_BYTES_MAX;
use wasmoor_wasi_p1::{Exit, with_memory};

/// Bytes of all arguments, of all variables, and of the paths of all steps, together.
const LIST_BYTES_MAX: u32 = 1 << 20;
/// Arguments, or variables, or steps.
const LIST_MAX: u32 = 1 << 16;
/// Bytes of a disposition: the signal and what is done with it.
const DISPOSITION_BYTES: u32 = 2;
/// The status of a guest that wanted to be a program that is not there, as of shells.
const STATUS_MISSING: u32 = 127;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offers.define(
        "proc_exec",
        |caller: Caller<'_, T>, name: u32, name_len: u32, args: u32, args_len: u32| {
            exec_or_end(caller, [name, name_len], [args, args_len], [0, 0])
        },
    )?;
    offers.define(
        "proc_exec2",
        |caller: Caller<'_, T>,
         name: u32,
         name_len: u32,
         args: u32,
         args_len: u32,
         envs: u32,
         envs_len: u32| {
            exec_or_end(caller, [name, name_len], [args, args_len], [envs, envs_len])
        },
    )?;
    for (call, lists) in [("proc_exec3", List::Lines), ("proc_exec4", List::Pointers)] {
        offers.define(
            call,
            move |caller: Caller<'_, T>,
                  name: u32,
                  name_len: u32,
                  args: u32,
                  args_len: u32,
                  envs: u32,
                  envs_len: u32,
                  search: u32,
                  path: u32,
                  path_len: u32| {
                let named = Named::new([name, name_len], [args, args_len], lists)
                    .with_env([envs, envs_len])
                    .searching(search, [path, path_len]);
                exec(caller, named)
            },
        )?;
    }
    for (call, lists) in [("proc_spawn2", List::Lines), ("proc_spawn3", List::Pointers)] {
        offers.define(
            call,
            move |caller: Caller<'_, T>,
                  name: u32,
                  name_len: u32,
                  args: u32,
                  args_len: u32,
                  envs: u32,
                  envs_len: u32,
                  ops: u32,
                  ops_n: u32,
                  signals: u32,
                  signals_n: u32,
                  search: u32,
                  path: u32,
                  path_len: u32,
                  out: u32| {
                let named = Named::new([name, name_len], [args, args_len], lists)
                    .with_env([envs, envs_len])
                    .searching(search, [path, path_len]);
                spawn(caller, named, [ops, ops_n], [signals, signals_n], out)
            },
        )?;
    }
    Ok(())
}

/// How a list of strings lies in memory.
#[derive(Clone, Copy)]
pub(super) enum List {
    /// Lines of one text.
    Lines,
    /// Pointers to strings that end with a NUL.
    Pointers,
}

/// Where a wish lies in memory: pairs of an address and a length.
pub(super) struct Named {
    name: [u32; 2],
    args: [u32; 2],
    envs: [u32; 2],
    search: Search,
    path: [u32; 2],
    lists: List,
}

impl Named {
    /// A program by its name, here or in the directories of the variable, with the variables that there are.
    pub(super) fn new(name: [u32; 2], args: [u32; 2], lists: List) -> Self {
        Named { name, args, envs: [0, 0], search: Search::Both, path: [0, 0], lists }
    }

    /// With variables of its own.
    fn with_env(self, envs: [u32; 2]) -> Self {
        Named { envs, ..self }
    }

    /// Searched for as the flag of the call says, in these directories where there are any.
    fn searching(self, flag: u32, path: [u32; 2]) -> Self {
        let search = if flag == 0 { Search::Here } else { Search::Directories };
        Named { search, path, ..self }
    }

    pub(super) fn read(&self, memory: &GuestMemory<'_>) -> Result<Wish> {
        let [path, path_len] = self.path;
        Ok(Wish {
            name: text(memory, self.name[0], self.name[1], PATH_BYTES_MAX as u32)?,
            args: list(memory, self.args, self.lists)?,
            env: if self.envs[0] == 0 { None } else { Some(list(memory, self.envs, self.lists)?) },
            search: self.search,
            directories: if path == 0 {
                None
            } else {
                Some(text(memory, path, path_len, LIST_BYTES_MAX)?)
            },
        })
    }
}

fn list(memory: &GuestMemory<'_>, [addr, len]: [u32; 2], form: List) -> Result<Vec<Vec<u8>>> {
    let too_big = || Errno::from(Host::TOOBIG);
    match form {
        List::Lines => {
            if len > LIST_BYTES_MAX {
                return Err(too_big());
            }
            let text = text(memory, addr, len, LIST_BYTES_MAX)?;
            let text = text.strip_suffix(b"\n").unwrap_or(&text);
            if text.is_empty() {
                return Ok(Vec::new());
            }
            let lines = || text.split(|&byte| byte == b'\n');
            if lines().nth(LIST_MAX as usize).is_some() {
                return Err(too_big());
            }
            Ok(lines().map(<[u8]>::to_vec).collect())
        }
        List::Pointers => {
            if len > LIST_MAX {
                return Err(too_big());
            }
            let mut left = LIST_BYTES_MAX;
            let string = |at: u32| {
                let pointer = memory.read_u32(u64::from(addr) + u64::from(at) * 4)?;
                let string = string(memory, pointer, left).ok_or_else(too_big)??;
                left -= string.len() as u32;
                Ok(string)
            };
            (0..len).map(string).collect()
        }
    }
}

/// The bytes up to a NUL; `None`: there are more than `max`.
fn string(memory: &GuestMemory<'_>, addr: u32, max: u32) -> Option<Result<Vec<u8>>> {
    let mut bytes = Vec::new();
    for at in 0..max {
        match memory.read_u8(u64::from(addr) + u64::from(at)) {
            Ok(0) => return Some(Ok(bytes)),
            Ok(byte) => bytes.push(byte),
            Err(fault) => return Some(Err(fault.into())),
        }
    }
    None
}

/// What code of other programs is for.
///
/// # Errors
/// `notsup` for a guest that may run none: before it can have anything copied for that.
pub(super) fn engine_of_programs<T: Guest>(thread: &Thread) -> Result<Engine> {
    let process = thread.process();
    let engine = process.options().is_host_process.then(|| program::engine::<T>(process));
    engine.flatten().ok_or(Host::NOTSUP.into())
}

/// Becomes another program, or has the child become it that the thread acts for: then it returns in
/// the parent.
fn become_program<T: Guest>(caller: &mut Caller<'_, T>, named: &Named) -> Result<(), Leave> {
    let image = with_memory(caller, |data, memory| {
        let thread = data.thread();
        let engine = engine_of_programs::<T>(thread)?;
        Image::find(thread, &engine, named.read(memory)?)
    })?;
    let thread = caller.data_mut().thread();
    let Some(mut apart) = thread.take_apart() else { return Err(image.begin(thread, &[]).into()) };
    match family::fork_apart(thread, &mut apart) {
        Ok(Forked::Parent(_)) => apart.rejoin(thread),
        Ok(Forked::Child) => return Err(image.begin(thread, &[]).into()),
        Err(errno) => {
            thread.set_apart(apart);
            return Err(Errno::from(errno).into());
        }
    }
    Ok(())
}

/// Why there is no new program in this process, or the way out of the old one.
pub(super) enum Leave {
    Stay(Errno),
    Leave(Error),
}

impl From<Errno> for Leave {
    fn from(errno: Errno) -> Self {
        Leave::Stay(errno)
    }
}

impl From<Error> for Leave {
    fn from(error: Error) -> Self {
        Leave::Leave(error)
    }
}

/// As a guest's call returns it.
pub(super) fn answer(result: Result<(), Leave>) -> Result<i32, Error> {
    match result {
        Ok(()) => Ok(0),
        Err(Leave::Stay(errno)) => Ok(number(Err(errno))),
        Err(Leave::Leave(error)) => Err(error),
    }
}

fn exec<T: Guest>(mut caller: Caller<'_, T>, named: Named) -> Result<i32, Error> {
    answer(become_program(&mut caller, &named))
}

/// The forms that cannot fail: the process ends instead.
fn exec_or_end<T: Guest>(
    mut caller: Caller<'_, T>,
    name: [u32; 2],
    args: [u32; 2],
    envs: [u32; 2],
) -> Result<(), Error> {
    let named = Named::new(name, args, List::Lines).with_env(envs);
    match become_program(&mut caller, &named) {
        Ok(()) => Ok(()),
        Err(Leave::Leave(error)) => Err(error),
        Err(Leave::Stay(_)) => {
            let thread = caller.data_mut().thread();
            let Some(apart) = thread.take_apart() else {
                return Err(Error::host(Exit { code: STATUS_MISSING }));
            };
            end_child(thread, apart, STATUS_MISSING);
            Ok(())
        }
    }
}

/// Starts a program in a child, after these steps for it; puts the child's number.
fn spawn<T: Guest>(
    mut caller: Caller<'_, T>,
    named: Named,
    [ops, ops_n]: [u32; 2],
    [signals, signals_n]: [u32; 2],
    out: u32,
) -> Result<i32, Error> {
    let spawned = with_memory(&mut caller, |data, memory| -> Result<(), Leave> {
        let out = Out::for_u32(memory, out)?;
        let thread = data.thread();
        let engine = engine_of_programs::<T>(thread)?;
        let wish = named.read(memory)?;
        let ops = steps(memory, ops, ops_n)?;
        let signals = dispositions(memory, signals, signals_n)?;
        let prepare = |thread: &Thread| {
            ops.iter().try_for_each(|op| op.apply(thread))?;
            Image::find(thread, &engine, wish)
        };
        out.put_u32(start_child(thread, prepare, &signals)?);
        Ok(())
    });
    answer(spawned)
}

/// Has a child become the program that is found for it; its number.
pub(super) fn start_child(
    thread: &mut Thread,
    find: impl FnOnce(&Thread) -> Result<Image>,
    signals: &[(u32, bool)],
) -> Result<u32, Leave> {
    thread.check_not_apart()?;
    let process = thread.process();
    let admitted = process.family.admit(process.options()).map_err(Errno::from)?;
    let mut apart = Apart::part(thread, admitted, None);
    let forked = find(thread).and_then(|image| {
        let forked = family::fork_apart(thread, &mut apart)?;
        Ok((forked, image))
    });
    let child = match forked {
        Ok((Forked::Child, image)) => return Err(image.begin(thread, signals).into()),
        Ok((Forked::Parent(child), _)) => Ok(child),
        Err(errno) => Err(errno.into()),
    };
    apart.rejoin(thread);
    child
}

/// What is done in the child first.
fn steps(memory: &GuestMemory<'_>, addr: u32, count: u32) -> Result<Vec<FdOp>> {
    if count > LIST_MAX {
        return Err(Host::TOOBIG.into());
    }
    let mut path_bytes_left = LIST_BYTES_MAX;
    (0..count).map(|at| FdOp::read(memory, addr, at, &mut path_bytes_left)).collect()
}

/// Signals with whether they are ignored.
fn dispositions(memory: &GuestMemory<'_>, addr: u32, count: u32) -> Result<Vec<(u32, bool)>> {
    if count > LIST_MAX {
        return Err(Host::TOOBIG.into());
    }
    let read = |at: u32| {
        let at = u64::from(addr) + u64::from(at) * u64::from(DISPOSITION_BYTES);
        Ok((u32::from(memory.read_u8(at)?), memory.read_u8(at + 1)? != 0))
    };
    (0..count).map(read).collect()
}
