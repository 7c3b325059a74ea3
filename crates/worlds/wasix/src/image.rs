//! Programs in the guest's files, and becoming one.
//!
//! A file is a module, or a script that names in its first line (`#!`) the program that reads it. It
//! is found as the guest finds its files, and nothing changes for the guest before the program is
//! known to be one.

use crate::errno::Errno;
use crate::modules::LoadedModule;
use crate::thread::Thread;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::{Errno as Host, fcntl_dupfd_cloexec};
use std::fs::File;
use std::sync::Arc;
use wasmoor::cache::Cache;
use wasmoor::{Engine, Error};
use wasmoor_abi::limits::MODULE_BYTES_MAX;
use wasmoor_host::files::{self, At};
use wasmoor_host::{Permit, Resource, Rights};

/// Errors that say nothing about the file.
const SHORTAGES: [Host; 4] = [Host::INTR, Host::MFILE, Host::NFILE, Host::NOMEM];
/// Where programs are looked for without a list of directories.
const DIRECTORIES: &[u8] = b"/bin:/usr/bin";
/// Scripts whose programs are scripts.
const SCRIPTS_MAX: usize = 4;
/// The longest first line of a script.
const FIRST_LINE_BYTES_MAX: usize = 256;
/// The first bytes of a module.
const MAGIC: &[u8] = b"\0asm";

/// The guest has become another program: the error by which the old one is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the guest has become another program")]
pub struct Replaced;

/// Where a name without a slash is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Where the guest is.
    Here,
    /// In directories.
    Directories,
    /// Where the guest is, then in directories: the forms of 2023 name commands so.
    Both,
}

/// What a guest asks for.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The program's name or path.
    pub(crate) name: Vec<u8>,
    /// Its arguments, the first of which is its own name.
    pub(crate) args: Vec<Vec<u8>>,
    /// Its environment; `None`: that of the caller.
    pub(crate) env: Option<Vec<Vec<u8>>>,
    /// Whether a name without a slash is looked for in directories.
    pub(crate) search: Search,
    /// Those directories; `None`: those of the environment.
    pub(crate) directories: Option<Vec<u8>>,
}

/// A program that is ready to begin.
#[derive(Debug)]
pub(crate) struct Image {
    program: LoadedModule,
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
}

impl Image {
    /// # Errors
    /// `noent` where there is no such file, `acces` for what is no file, `noexec` for what is no
    /// module, and those of reading it.
    pub(crate) fn find(thread: &Thread, engine: &Engine, wish: Wish) -> Result<Image, Errno> {
        let env = wish.env.clone().unwrap_or_else(|| thread.wasi().env().to_vec());
        let mut path = wish.name.clone();
        let mut file = look_for(thread, &wish, &env, &mut path)?;
        let mut args = wish.args;
        for _ in 0..=SCRIPTS_MAX {
            let (program, argument) = match read_program(thread, engine, &file)? {
                Read::Module(program) => return Ok(Image { program, args, env }),
                Read::Script(program, argument) => (program, argument),
            };
            let own = std::mem::replace(&mut path, program.clone());
            args = [program]
                .into_iter()
                .chain(argument)
                .chain([own])
                .chain(args.into_iter().skip(1))
                .collect();
            file = open(thread, &path)?;
        }
        Err(no_exec())
    }

    /// Has the process go on as this program: what is closed then is closed, and the embedder finds
    /// the program's main thread in [`crate::Process::take_successor`]. The caller leaves the old
    /// one by the error.
    pub(crate) fn begin(self, thread: &Thread, ignored: &[(u32, bool)]) -> Error {
        thread.core().table.close_for_exec();
        let process = thread.process().successor(ignored);
        let next = Thread::new(
            process,
            thread.process().pid(),
            thread.wasi().for_program(self.args, self.env),
        );
        thread.process().set_successor(self.program, next);
        Error::host(Replaced)
    }
}

fn no_exec() -> Errno {
    Host::NOEXEC.into()
}

/// What a program's file holds.
enum Read {
    Module(LoadedModule),
    /// The program that reads it, and an argument for that.
    Script(Vec<u8>, Option<Vec<u8>>),
}

fn read_program(thread: &Thread, engine: &Engine, file: &File) -> Result<Read, Errno> {
    let modules = &thread.process().options().modules;
    if let Some(known) = modules.find(engine, file) {
        return Ok(Read::Module(known));
    }
    let before = Cache::state_of(file);
    let (bytes, charge) = read(thread, file)?;
    if let Some((program, argument)) = script(&bytes) {
        return Ok(Read::Script(program, argument));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(no_exec());
    }
    // A file that changed while it was read is not recognised later.
    let state = before.filter(|before| Cache::state_of(file).as_ref() == Some(before));
    let module = modules.load(engine, bytes, charge, state).map_err(|_| no_exec())?;
    Ok(Read::Module(module))
}

/// The file of the program that is meant; its path is put in `path`.
fn look_for(
    thread: &Thread,
    wish: &Wish,
    env: &[Vec<u8>],
    path: &mut Vec<u8>,
) -> Result<File, Errno> {
    if wish.search == Search::Here || wish.name.contains(&b'/') {
        return open(thread, path);
    }
    if wish.search == Search::Both {
        match open(thread, path) {
            Err(error) if error == Errno::from(Host::NOENT) => {}
            result => return result,
        }
    }
    let of_env = || env.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
    let directories = wish.directories.as_deref().or_else(of_env).unwrap_or(DIRECTORIES);
    let mut error = Errno::from(Host::NOENT);
    for directory in directories.split(|&byte| byte == b':') {
        // There may be hundreds of thousands.
        if thread.core().guard.interrupt.is_pending() {
            return Err(Host::INTR.into());
        }
        let directory = if directory.is_empty() { b"." } else { directory };
        *path = [directory, b"/", &wish.name].concat();
        match open(thread, path) {
            Ok(file) => return Ok(file),
            Err(other) if [Host::NOENT, Host::NOTDIR].map(Errno::from).contains(&other) => {}
            // Whether it lies here is not known: another one of the name would be the wrong one.
            Err(other) if SHORTAGES.map(Errno::from).contains(&other) => return Err(other),
            Err(other) => error = other,
        }
    }
    Err(error)
}

/// Opens a file of the guest that may be a program.
fn open(thread: &Thread, path: &[u8]) -> Result<File, Errno> {
    let core = thread.core();
    let (directory, rest) = thread.wasi().locate(path, Rights::PATH_OPEN)?;
    let at = At { node: directory.node()?, path: &rest };
    // Without waiting for what is no file.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let node = core.on_paths(|resolver| files::open(resolver, at, flags, true))?;
    let file = node.opened().ok_or(Errno::from(Host::ACCESS))?;
    let about = fstat(file)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(Host::ACCESS.into());
    }
    Ok(fcntl_dupfd_cloexec(file, 0)?.into())
}

/// The bytes of a file, and what they are charged to the guest.
fn read(thread: &Thread, file: &File) -> Result<(Arc<[u8]>, Permit), Errno> {
    let len = usize::try_from(fstat(file)?.st_size).unwrap_or(usize::MAX);
    if len > MODULE_BYTES_MAX {
        return Err(no_exec());
    }
    let meter = &thread.core().guard.meter;
    let ask = || Permit::ask_for(meter, Resource::HostBytes, len as u64);
    let make_room = || {
        thread.process().options().modules.forget();
        ask()
    };
    let charge = ask().or_else(make_room).ok_or(Errno::from(Host::NOMEM))?;
    let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
    let filled = fill(file, Arc::make_mut(&mut bytes))?;
    // It may have become shorter.
    Ok((if filled < len { bytes[..filled].into() } else { bytes }, charge))
}

/// Reads a file from its beginning on; how many bytes there were.
fn fill(file: &File, bytes: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(file, &mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Host::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// The program that a script names, and an argument for it.
fn script(bytes: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let bytes = bytes.strip_prefix(b"#!")?;
    let line = bytes.iter().take(FIRST_LINE_BYTES_MAX).position(|&byte| byte == b'\n');
    let line = bytes.get(..line.unwrap_or(bytes.len().min(FIRST_LINE_BYTES_MAX)))?.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (program, argument) = line.split_at(end);
    let argument = argument.trim_ascii();
    let argument = (!argument.is_empty()).then(|| argument.to_vec());
    (!program.is_empty()).then(|| (program.to_vec(), argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_programs() {
        let named = |program: &str, argument: Option<&str>| {
            Some((program.as_bytes().to_vec(), argument.map(|text| text.as_bytes().to_vec())))
        };
        for (text, expected) in [
            ("#!/bin/sh\necho", named("/bin/sh", None)),
            ("#! /bin/sh  -e x \n", named("/bin/sh", Some("-e x"))),
            ("#!/bin/sh", named("/bin/sh", None)),
            ("#!\n/bin/sh", None),
            ("#", None),
            ("\0asm", None),
        ] {
            assert_eq!(script(text.as_bytes()), expected, "{text:?}");
        }
        let long = format!("#!/{}", "x".repeat(1000));
        assert_eq!(script(long.as_bytes()).map(|(program, _)| program.len()), Some(256));
    }
}
