//! What one guest of preview 1 has, and how an embedder gives it.

use crate::errno::Errno;
use crate::missed::{Missed, Record};
use rustix::fd::{BorrowedFd, OwnedFd};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;
use wasmoor_host::{
    Clocks, Core, Descriptor, Guard, GuestPath, Handed, Interrupt, Limits, MemoryOutput, Meter,
    Mount, MountError, Object, Random, ReadFn, Resolver, Rights, SharedRandom, WriteFn,
    check_overlaps,
};

/// The state behind the functions of preview 1: arguments, environment and the host core.
///
/// A clone is for another thread of the same guest: it shares all but what ends waiting, the
/// [`Guard::interrupt`] of its [`Core`].
#[derive(Clone, Debug)]
pub struct WasiCtx {
    pub(crate) args: Arc<[Vec<u8>]>,
    pub(crate) env: Arc<[Vec<u8>]>,
    pub(crate) core: Core,
    pub(crate) missed: Record,
}

impl WasiCtx {
    /// Starts to describe a guest that has nothing.
    #[must_use]
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }

    /// What the guest looked for in vain so far, for hints to whoever started it.
    #[must_use]
    pub fn missed(&self) -> Missed {
        self.missed.read()
    }

    /// The variables of the environment, as `NAME=VALUE`.
    #[must_use]
    pub fn env(&self) -> &[Vec<u8>] {
        &self.env
    }

    /// The same guest with other arguments and another environment: for a world in which a guest can
    /// become another program.
    #[must_use]
    pub fn for_program(&self, args: Vec<Vec<u8>>, env: Vec<Vec<u8>>) -> WasiCtx {
        WasiCtx { args: args.into(), env: env.into(), ..self.clone() }
    }

    /// The mount in which a path lies, absolute or relative to where the guest is, and the path from
    /// there on; for something that needs these rights of the mount.
    ///
    /// # Errors
    /// `notcapable` when the guest gave one of them up, `noent` in a world without such paths, else
    /// those of [`wasmoor_host::WorkingDir::locate`].
    pub fn locate(
        &self,
        path: &[u8],
        rights: Rights,
    ) -> Result<(Arc<Descriptor>, GuestPath), Errno> {
        let working_dir = self.core.working_dir.as_deref().ok_or(Errno::NoEnt)?;
        let (directory, path) = working_dir.locate(path)?;
        if directory.allows(rights) { Ok((directory, path)) } else { Err(Errno::NotCapable) }
    }

    /// The host core, for embedders and worlds that add to it.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The same, to be changed.
    #[must_use]
    pub fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }
}

/// What a guest reads as its standard input.
pub enum Input {
    /// Nothing: at its end from the start.
    Null,
    /// There is no such descriptor.
    Closed,
    /// The host's own, shared with it.
    Inherit,
    /// A file, pipe or socket that is given away.
    File(OwnedFd),
    /// What a reader yields.
    Reader(Box<dyn Read + Send>),
}

impl Input {
    /// These bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Input::Reader(Box::new(Cursor::new(bytes.into())))
    }

    /// What a function puts, called once per read; 0 is the end.
    pub fn function(
        read: impl FnMut(&mut [u8]) -> std::io::Result<usize> + Send + 'static,
    ) -> Self {
        Input::Reader(Box::new(ReadFn(read)))
    }
}

/// Where a guest's standard output or standard error goes.
pub enum Output {
    /// Nowhere.
    Null,
    /// There is no such descriptor.
    Closed,
    /// The host's own, shared with it.
    Inherit,
    /// A file, pipe or socket that is given away.
    File(OwnedFd),
    /// To a writer.
    Writer(Box<dyn Write + Send>),
}

impl Output {
    /// Into a buffer of which the embedder keeps a clone.
    #[must_use]
    pub fn memory(buffer: &MemoryOutput) -> Self {
        Output::Writer(Box::new(buffer.clone()))
    }

    /// To a function, called once per write; it returns how many bytes it took.
    pub fn function(write: impl FnMut(&[u8]) -> std::io::Result<usize> + Send + 'static) -> Self {
        Output::Writer(Box::new(WriteFn(write)))
    }
}

/// Why a guest's context could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An argument contains a NUL, which ends a guest's strings.
    #[error("argument {index} contains a NUL byte")]
    ArgumentNul {
        /// Which one, from 0.
        index: usize,
    },
    /// The name of a variable is empty or contains `=`, or name or value contain a NUL.
    #[error("the environment variable `{name}` cannot be passed: {reason}")]
    Environment {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A standard stream or socket cannot be used.
    #[error("cannot use the {what}: {source}")]
    Stream {
        /// Which one.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Mounts contradict each other.
    #[error(transparent)]
    Mounts(#[from] MountError),
    /// More descriptors are given than the meter allows.
    #[error(
        "the limit of open files does not leave room for the {given} descriptors that are given"
    )]
    OpenFiles {
        /// How many are given.
        given: usize,
    },
}

/// Describes a guest: it has exactly what is given here. By default that is no argument, no
/// variable, no file, and standard streams that are empty and take anything.
pub struct WasiCtxBuilder {
    args: Vec<Vec<u8>>,
    env: Vec<(String, Vec<u8>)>,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    mounts: Vec<Mount>,
    sockets: Vec<OwnedFd>,
    on_broken_output: Option<fn()>,
    guard: Guard,
    clocks: Option<Arc<dyn Clocks>>,
    random: Option<SharedRandom>,
    resolver: Resolver,
}

impl std::fmt::Debug for WasiCtxBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtxBuilder").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}

impl Default for WasiCtxBuilder {
    fn default() -> Self {
        WasiCtxBuilder::new()
    }
}

impl WasiCtxBuilder {
    /// A guest that has nothing.
    #[must_use]
    pub fn new() -> Self {
        WasiCtxBuilder {
            args: Vec::new(),
            env: Vec::new(),
            stdin: Input::Null,
            stdout: Output::Null,
            stderr: Output::Null,
            mounts: Vec::new(),
            sockets: Vec::new(),
            on_broken_output: None,
            guard: Guard { meter: Arc::new(Limits::default()), interrupt: Interrupt::default() },
            clocks: None,
            random: None,
            resolver: Resolver::new(),
        }
    }

    /// Adds an argument; the first is the program's name.
    pub fn arg(&mut self, arg: impl AsRef<[u8]>) -> &mut Self {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item: AsRef<[u8]>>) -> &mut Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_vec()));
        self
    }

    /// Sets a variable; a later value replaces an earlier one.
    pub fn env(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> &mut Self {
        let (name, value) = (name.into(), value.as_ref().to_vec());
        match self.env.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.env.push((name, value)),
        }
        self
    }

    /// Sets variables.
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl Into<String>, impl AsRef<[u8]>)>,
    ) -> &mut Self {
        for (name, value) in variables {
            self.env(name, value);
        }
        self
    }

    /// Sets the standard input.
    pub fn stdin(&mut self, input: Input) -> &mut Self {
        self.stdin = input;
        self
    }

    /// Sets the standard output.
    pub fn stdout(&mut self, output: Output) -> &mut Self {
        self.stdout = output;
        self
    }

    /// Sets the standard error.
    pub fn stderr(&mut self, output: Output) -> &mut Self {
        self.stderr = output;
        self
    }

    /// Shares all three standard streams of the host.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.stdin(Input::Inherit).stdout(Output::Inherit).stderr(Output::Inherit)
    }

    /// Has `call` called when the guest writes to an inherited standard output or error that nobody
    /// reads any more, before it gets `pipe`. The command ends the process there.
    pub fn on_broken_output(&mut self, call: fn()) -> &mut Self {
        self.on_broken_output = Some(call);
        self
    }

    /// Grants a host directory, or a single file, under the guest's name `guest`. With `read_only`
    /// nothing in it can be changed through any call, so it must not lie in a writable mount:
    /// [`WasiCtxBuilder::build`] would refuse both.
    ///
    /// # Errors
    /// The host path is missing or no such thing; the message names it.
    pub fn preopen_dir(
        &mut self,
        host: impl AsRef<Path>,
        guest: impl Into<String>,
        read_only: bool,
    ) -> Result<&mut Self, MountError> {
        let mount = Mount::open(host, guest, read_only)?;
        Ok(self.mount(mount))
    }

    /// Grants a mount that was opened before.
    pub fn mount(&mut self, mount: Mount) -> &mut Self {
        self.mounts.push(mount);
        self
    }

    /// Gives a socket away, such as a listener to accept from. Sockets get the numbers behind the
    /// mounts: the first is 3 plus the number of mounts.
    pub fn preopen_socket(&mut self, socket: impl Into<OwnedFd>) -> &mut Self {
        self.sockets.push(socket.into());
        self
    }

    /// Replaces the limits.
    pub fn meter(&mut self, meter: Arc<dyn Meter>) -> &mut Self {
        self.guard.meter = meter;
        self
    }

    /// Sets what is asked whether the guest must stop when a signal breaks off a blocking call.
    pub fn interrupt(&mut self, interrupt: Interrupt) -> &mut Self {
        self.guard.interrupt = interrupt;
        self
    }

    /// Replaces the clocks.
    pub fn clocks(&mut self, clocks: impl Clocks + 'static) -> &mut Self {
        self.clocks = Some(Arc::new(clocks));
        self
    }

    /// Replaces the source of random bytes.
    pub fn random(&mut self, random: impl Random + 'static) -> &mut Self {
        self.random = Some(SharedRandom::new(random));
        self
    }

    /// Replaces the way in which paths are resolved.
    pub fn resolver(&mut self, resolver: Resolver) -> &mut Self {
        self.resolver = resolver;
        self
    }

    /// Makes the context and leaves the builder empty.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(&mut self) -> Result<WasiCtx, BuildError> {
        let given = std::mem::take(self);
        let count = 3 + given.mounts.len() + given.sockets.len();
        let full = |_| BuildError::OpenFiles { given: count };
        check_overlaps(&given.mounts)?;
        let mut core = Core::new(given.guard);
        core.resolver = given.resolver;
        core.clocks = given.clocks.unwrap_or(core.clocks);
        core.random = given.random.unwrap_or(core.random);
        let broken = given.on_broken_output;
        for stream in [
            input(given.stdin)?,
            output(given.stdout, "standard output", rustix::stdio::stdout(), broken)?,
            output(given.stderr, "standard error", rustix::stdio::stderr(), broken)?,
        ] {
            match stream {
                Some(descriptor) => drop(core.table.push_at_end(descriptor).map_err(full)?),
                None => core.table.skip(),
            }
        }
        for mount in given.mounts {
            let (name, node) = mount.into_parts();
            core.table.push_at_end(Descriptor::mount(name, node)).map_err(full)?;
        }
        for socket in given.sockets {
            let handed = Handed::owned(socket).map_err(stream_error("socket"))?;
            let descriptor = Descriptor::new(Object::Kernel(handed));
            core.table.push_at_end(descriptor).map_err(full)?;
        }
        let (args, env) = (checked_args(given.args)?, checked_env(given.env)?);
        let missed = Record::default();
        Ok(WasiCtx { args: args.into(), env: env.into(), core, missed })
    }
}

fn checked_args(args: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, BuildError> {
    match args.iter().position(|arg| arg.contains(&0)) {
        Some(index) => Err(BuildError::ArgumentNul { index }),
        None => Ok(args),
    }
}

fn checked_env(env: Vec<(String, Vec<u8>)>) -> Result<Vec<Vec<u8>>, BuildError> {
    let check = |(name, value): (String, Vec<u8>)| {
        let reason = if name.is_empty() {
            "its name is empty"
        } else if name.contains('=') {
            "its name contains `=`"
        } else if name.contains('\0') || value.contains(&0) {
            "it contains a NUL byte"
        } else {
            return Ok([name.as_bytes(), b"=", &value].concat());
        };
        Err(BuildError::Environment { name, reason })
    };
    env.into_iter().map(check).collect()
}

fn stream_error(what: &'static str) -> impl Fn(rustix::io::Errno) -> BuildError {
    move |error| BuildError::Stream { what, source: error.into() }
}

fn input(input: Input) -> Result<Option<Descriptor>, BuildError> {
    let what = "standard input";
    Ok(Some(match input {
        Input::Closed => return Ok(None),
        Input::Null => Descriptor::new(Object::Null),
        Input::Inherit => return inherited(what, rustix::stdio::stdin(), None),
        Input::File(fd) => given(what, fd)?,
        Input::Reader(reader) => Descriptor::new(Object::input(reader)),
    }))
}

fn output(
    output: Output,
    what: &'static str,
    host: BorrowedFd<'_>,
    on_broken_pipe: Option<fn()>,
) -> Result<Option<Descriptor>, BuildError> {
    Ok(Some(match output {
        Output::Closed => return Ok(None),
        Output::Null => Descriptor::new(Object::Null),
        Output::Inherit => return inherited(what, host, on_broken_pipe),
        Output::File(fd) => given(what, fd)?,
        Output::Writer(writer) => Descriptor::new(Object::output(writer)),
    }))
}

fn given(what: &'static str, fd: OwnedFd) -> Result<Descriptor, BuildError> {
    let handed = Handed::owned(fd).map_err(stream_error(what))?;
    Ok(Descriptor::new(Object::Kernel(handed)))
}

/// A private number for the host's stream; a stream that the host has closed is closed here too.
fn inherited(
    what: &'static str,
    fd: BorrowedFd<'_>,
    on_broken_pipe: Option<fn()>,
) -> Result<Option<Descriptor>, BuildError> {
    match rustix::io::fcntl_dupfd_cloexec(fd, 3) {
        Err(rustix::io::Errno::BADF) => Ok(None),
        result => {
            let mut handed = result.and_then(Handed::shared).map_err(stream_error(what))?;
            if let Some(call) = on_broken_pipe {
                handed = handed.on_broken_pipe(call);
            }
            Ok(Some(Descriptor::new(Object::Kernel(handed))))
        }
    }
}
