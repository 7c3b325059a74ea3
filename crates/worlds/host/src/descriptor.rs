//! A guest's descriptor: an object of the host, and what the guest may do with it.
//!
//! Whatever can be a kernel object is one; reading and writing are then one system call on guest
//! memory. A descriptor that the embedder inherited (a terminal, a pipe to its parent) shares its
//! state with other processes, so flags that a guest sets on it are kept here and not in the kernel.

use crate::charge;
use crate::core::Guard;
use crate::directory::{DirectoryStream, Entry};
use crate::epoll::Watchers;
use crate::meter::Permit;
use crate::mount::Node;
use crate::rights::{AtomicRights, Rights};
use crate::stat::{FileKind, FileStat};
use crate::stream;
use crate::vectored::{self, IoVecs, ReceiveFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    Advice, FallocateFlags, OFlags, SeekFrom, Timestamps, fadvise, fallocate, fcntl_getfl,
    fcntl_setfl, fdatasync, fstat, fsync, ftruncate, futimens, seek,
};
use rustix::io::{Errno, Result};
use rustix::net::{Shutdown, SocketFlags, SocketType, accept_with, shutdown, sockopt};
use std::any::Any;
use std::fmt;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

bitflags::bitflags! {
    /// Status flags of an open file; the bits are those of preview 1.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct StatusFlags: u16 {
        /// Writes go to the end.
        const APPEND = 1 << 0;
        /// Data is on the disk when a write returns.
        const DSYNC = 1 << 1;
        /// Calls fail rather than wait.
        const NONBLOCK = 1 << 2;
        /// Reads wait for writes under way; Linux makes no difference from [`StatusFlags::SYNC`].
        const RSYNC = 1 << 3;
        /// Data and attributes are on the disk when a write returns.
        const SYNC = 1 << 4;
    }
}

/// Each flag with what the kernel calls it.
const KERNEL_FLAGS: &[(StatusFlags, OFlags)] = &[
    (StatusFlags::APPEND, OFlags::APPEND),
    (StatusFlags::DSYNC, OFlags::DSYNC),
    (StatusFlags::NONBLOCK, OFlags::NONBLOCK),
    (StatusFlags::RSYNC, OFlags::RSYNC),
    (StatusFlags::SYNC, OFlags::SYNC),
];

impl StatusFlags {
    /// The flags for `open`.
    #[must_use]
    pub fn to_kernel(self) -> OFlags {
        let set = KERNEL_FLAGS.iter().filter(|(flag, _)| self.contains(*flag));
        set.fold(OFlags::empty(), |flags, (_, kernel)| flags | *kernel)
    }

    /// The flags that the kernel reports.
    #[must_use]
    pub fn from_kernel(flags: OFlags) -> Self {
        let set = KERNEL_FLAGS.iter().filter(|(_, kernel)| flags.contains(*kernel));
        set.fold(StatusFlags::empty(), |flags, (flag, _)| flags | *flag)
    }
}

/// What a descriptor stands for.
pub enum Object {
    /// Something opened through a mount.
    Node(Node),
    /// A kernel object handed over by the embedder: a standard stream, a socket.
    Kernel(Handed),
    /// Bytes from the embedder's memory or code.
    Input(Mutex<Box<dyn Read + Send>>),
    /// Bytes to the embedder's memory or code.
    Output(Mutex<Box<dyn Write + Send>>),
    /// Always at its end; takes anything.
    Null,
}

impl Object {
    /// What an embedder's reader yields.
    #[must_use]
    pub fn input(reader: Box<dyn Read + Send>) -> Self {
        Object::Input(Mutex::new(reader))
    }

    /// What goes to an embedder's writer.
    #[must_use]
    pub fn output(writer: Box<dyn Write + Send>) -> Self {
        Object::Output(Mutex::new(writer))
    }
}

/// A stream of the embedder, which one thread at a time uses.
fn lock<T: ?Sized>(stream: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whether it can be used after a panic is the stream's own matter.
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Node(node) => f.debug_tuple("Node").field(node).finish(),
            Object::Kernel(handed) => f.debug_tuple("Kernel").field(handed).finish(),
            Object::Input(_) => f.write_str("Input"),
            Object::Output(_) => f.write_str("Output"),
            Object::Null => f.write_str("Null"),
        }
    }
}

/// A kernel object that did not come through a mount; paths never start at it.
#[derive(Debug)]
pub struct Handed {
    /// What is kept beside it may have a share in it.
    fd: Arc<OwnedFd>,
    kind: FileKind,
    is_terminal: bool,
    /// Other processes use the same open file: its flags are not ours to change.
    is_shared: bool,
    /// Flags of a shared one.
    flags: AtomicU16,
    /// Called when a write finds that nobody reads any more.
    on_broken_pipe: Option<fn()>,
    /// What another module keeps beside it.
    companion: Option<Box<dyn Any + Send + Sync>>,
}

impl Handed {
    /// A kernel object that belongs to the guest alone.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn owned(fd: OwnedFd) -> Result<Self> {
        Self::new(fd, false)
    }

    /// One whose open file other processes use too, as inherited standard streams.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn shared(fd: OwnedFd) -> Result<Self> {
        Self::new(fd, true)
    }

    /// Has `call` called when a write finds that nobody reads any more. The guest then gets `EPIPE`,
    /// unless `call` ends the process, as SIGPIPE ends that of a native program.
    ///
    /// No write of this crate is safe from SIGPIPE but those to sockets: a process with such guests
    /// ignores the signal, as every Rust program does unless it is told otherwise.
    #[must_use]
    pub fn on_broken_pipe(mut self, call: fn()) -> Self {
        self.on_broken_pipe = Some(call);
        self
    }

    fn new(fd: OwnedFd, is_shared: bool) -> Result<Self> {
        let mut kind = FileStat::from(fstat(&fd)?).kind;
        if kind == FileKind::SocketStream && sockopt::socket_type(&fd)? == SocketType::DGRAM {
            kind = FileKind::SocketDatagram;
        }
        let is_terminal = rustix::termios::isatty(&fd);
        Ok(Handed { is_terminal, is_shared, ..Handed::plain(fd, kind) })
    }

    /// A kernel object of a known kind that belongs to the guest alone.
    pub(crate) fn plain(fd: impl Into<Arc<OwnedFd>>, kind: FileKind) -> Self {
        Handed {
            fd: fd.into(),
            kind,
            is_terminal: false,
            is_shared: false,
            flags: AtomicU16::new(0),
            on_broken_pipe: None,
            companion: None,
        }
    }

    /// A kernel object of a known kind that belongs to the guest alone, with what another module
    /// keeps beside it.
    pub(crate) fn with_companion(
        fd: impl Into<Arc<OwnedFd>>,
        kind: FileKind,
        companion: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Handed { companion: Some(companion), ..Handed::plain(fd, kind) }
    }

    /// What is kept beside it, if it is a `T`.
    pub(crate) fn companion<T: 'static>(&self) -> Option<&T> {
        self.companion.as_deref()?.downcast_ref()
    }

    /// The kernel object.
    #[cfg(feature = "net")]
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn is_socket(&self) -> bool {
        matches!(self.kind, FileKind::SocketStream | FileKind::SocketDatagram)
    }

    /// The flags that are kept here.
    fn own_flags(&self) -> StatusFlags {
        StatusFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    /// Before a call that might wait on a shared open file which the guest made non-blocking.
    fn check_ready(&self, wanted: PollFlags) -> Result<()> {
        if !self.own_flags().contains(StatusFlags::NONBLOCK) {
            return Ok(());
        }
        let at_once = crate::clock::timespec(0);
        let ready = poll(&mut [PollFd::new(&self.fd, wanted)], Some(&at_once))?;
        if ready == 0 { Err(Errno::AGAIN) } else { Ok(()) }
    }

    /// Runs a write to what is no file.
    fn write(
        &self,
        guard: &Guard,
        write: impl Fn(BorrowedFd<'_>) -> Result<usize>,
    ) -> Result<usize> {
        self.check_ready(PollFlags::OUT)?;
        let result = guard.interrupt.retry(|| write(self.fd.as_fd()));
        if let (Err(Errno::PIPE), Some(call)) = (result, self.on_broken_pipe) {
            call();
        }
        result
    }

    fn status_flags(&self) -> Result<StatusFlags> {
        if self.is_shared {
            return Ok(self.own_flags());
        }
        Ok(StatusFlags::from_kernel(fcntl_getfl(&self.fd)?))
    }

    fn set_status_flags(&self, flags: StatusFlags) -> Result<()> {
        if !self.is_shared {
            return set_kernel_flags(self.fd.as_fd(), flags);
        }
        if !StatusFlags::NONBLOCK.contains(flags) {
            return Err(Errno::NOTSUP);
        }
        self.flags.store(flags.bits(), Ordering::Relaxed);
        Ok(())
    }
}

/// The kernel only changes these two; asking for others would be ignored silently.
fn set_kernel_flags(fd: BorrowedFd<'_>, flags: StatusFlags) -> Result<()> {
    let changeable = StatusFlags::APPEND | StatusFlags::NONBLOCK;
    let kernel = fcntl_getfl(fd)?;
    let fixed = StatusFlags::from_kernel(kernel) - changeable;
    if !fixed.contains(flags - changeable) {
        return Err(Errno::NOTSUP);
    }
    let kept = kernel - changeable.to_kernel();
    fcntl_setfl(fd, kept | (flags & changeable).to_kernel())
}

/// How to learn whether a descriptor is ready.
#[derive(Clone, Copy, Debug)]
pub enum Readiness<'a> {
    /// It always is.
    Always,
    /// The kernel knows.
    Ask(BorrowedFd<'a>),
}

/// What an entry of a guest's table stands for, used by all its threads at once.
#[derive(Debug)]
pub struct Descriptor {
    /// A number that no other descriptor of the process ever has.
    id: u64,
    /// The sets that it is in.
    watchers: Watchers,
    object: Object,
    rights: AtomicRights,
    inheriting: AtomicRights,
    /// Rights given up for good.
    dropped: AtomicRights,
    /// Rights given up for whatever is opened from here.
    dropped_inheriting: AtomicRights,
    listing: Mutex<DirectoryStream>,
    /// The guest's name of a mount.
    mount_name: Option<String>,
    flags: KnownFlags,
}

/// The status flags of a [`Node`] once they were asked for. Nobody else has its open file, so
/// only [`Descriptor::set_status_flags`] changes them; libraries ask before each `openat`.
#[derive(Debug)]
struct KnownFlags {
    /// Bits, or [`KnownFlags::UNKNOWN`].
    bits: AtomicU32,
    /// Held while they are set, so that what is noted is what the kernel has.
    setting: Mutex<()>,
}

impl KnownFlags {
    /// No bits of flags.
    const UNKNOWN: u32 = u32::MAX;

    fn new() -> Self {
        KnownFlags { bits: AtomicU32::new(Self::UNKNOWN), setting: Mutex::new(()) }
    }

    fn get(&self, fd: BorrowedFd<'_>) -> Result<StatusFlags> {
        let known = self.bits.load(Ordering::Acquire);
        if let Ok(bits) = u16::try_from(known) {
            return Ok(StatusFlags::from_bits_truncate(bits));
        }
        let _setting = lock(&self.setting);
        let flags = StatusFlags::from_kernel(fcntl_getfl(fd)?);
        self.bits.store(flags.bits().into(), Ordering::Release);
        Ok(flags)
    }

    fn set(&self, fd: BorrowedFd<'_>, flags: StatusFlags) -> Result<()> {
        let _setting = lock(&self.setting);
        self.bits.store(Self::UNKNOWN, Ordering::Release);
        set_kernel_flags(fd, flags)
    }
}

impl Descriptor {
    /// A descriptor with all rights that make sense for its object.
    #[must_use]
    pub fn new(object: Object) -> Self {
        let rights = rights_of(&object);
        Self::with_rights(object, rights, rights)
    }

    fn with_rights(object: Object, rights: Rights, inheriting: Rights) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Descriptor {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            watchers: Watchers::default(),
            object,
            rights: AtomicRights::new(rights),
            inheriting: AtomicRights::new(inheriting),
            dropped: AtomicRights::default(),
            dropped_inheriting: AtomicRights::default(),
            listing: Mutex::default(),
            mount_name: None,
            flags: KnownFlags::new(),
        }
    }

    /// The descriptor of a mount.
    #[must_use]
    pub fn mount(name: String, node: Node) -> Self {
        // Also of a read-only mount everything is passed on: libraries ask for no more than that,
        // and a wish to write that does not arrive cannot be refused.
        let inheriting = Rights::DIRECTORY | Rights::FILE;
        let rights = Rights::DIRECTORY - missing(&node);
        let mut descriptor = Self::with_rights(Object::Node(node), rights, inheriting);
        descriptor.mount_name = Some(name);
        descriptor
    }

    /// The descriptor of what was opened through `parent`, with the rights that were asked for as
    /// far as the parent passes them on.
    #[must_use]
    pub fn opened(parent: &Descriptor, node: Node, rights: Rights, inheriting: Rights) -> Self {
        let passed_on = parent.inheriting.get();
        let rights = (rights & passed_on) - missing(&node);
        Self::with_rights(Object::Node(node), rights, inheriting & passed_on).inherit_from(parent)
    }

    /// The same without what is given up for whatever comes from `parent`.
    pub(crate) fn inherit_from(self, parent: &Descriptor) -> Self {
        let given_up = parent.dropped_inheriting.get();
        self.dropped.add(given_up);
        self.dropped_inheriting.add(given_up);
        self
    }

    /// A number that no other descriptor of the process ever has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The sets that it is in.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// What is kept beside a kernel object, if that is a `T`.
    pub(crate) fn companion<T: 'static>(&self) -> Option<&T> {
        match &self.object {
            Object::Kernel(handed) => handed.companion(),
            _ => None,
        }
    }

    /// Keeps other threads from calls that change what is kept here until the guard is dropped; but
    /// not from those on streams of the embedder, which may last for ever.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        #[cfg(feature = "net")]
        let socket = self.companion::<crate::net::socket::Socket>().map(|socket| socket.hold());
        #[cfg(not(feature = "net"))]
        let socket = ();
        (lock(&self.listing), lock(&self.flags.setting), socket)
    }

    /// What it stands for.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The guest's name, if it is a mount.
    #[must_use]
    pub fn mount_name(&self) -> Option<&str> {
        self.mount_name.as_deref()
    }

    /// The terminal that it is.
    #[must_use]
    pub fn terminal(&self) -> Option<BorrowedFd<'_>> {
        match &self.object {
            Object::Kernel(handed) if handed.is_terminal => Some(handed.fd.as_fd()),
            _ => None,
        }
    }

    /// Whether it is a mount.
    #[must_use]
    pub fn is_mount(&self) -> bool {
        self.mount_name.is_some()
    }

    /// The rights as the guest sees them: its own, as far as they make sense for what it is, and
    /// those of whatever it opens from here.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn rights(&self) -> Result<(Rights, Rights)> {
        let sensible = match &self.object {
            Object::Node(_) if self.kind()? == FileKind::Directory => Rights::DIRECTORY,
            Object::Node(_) => Rights::FILE,
            _ => Rights::all(),
        };
        Ok((self.rights.get() & sensible, self.inheriting.get()))
    }

    /// Gives rights up; to be called through the table, see [`DescriptorTable::limit_rights`].
    ///
    /// [`DescriptorTable::limit_rights`]: crate::DescriptorTable::limit_rights
    pub(crate) fn limit_rights(&self, rights: Rights, inheriting: Rights) -> Result<()> {
        let (had, had_inheriting) = (self.rights.get(), self.inheriting.get());
        if !had.contains(rights) || !had_inheriting.contains(inheriting) {
            return Err(Errno::ACCESS);
        }
        // Two threads that give up different rights both do.
        self.dropped.add(had - rights);
        self.dropped_inheriting.add(had_inheriting - inheriting);
        self.rights.keep(rights);
        self.inheriting.keep(inheriting);
        Ok(())
    }

    /// Whether all of `rights` are still there, that is, were not given up.
    #[must_use]
    pub fn allows(&self, rights: Rights) -> bool {
        !self.dropped.get().intersects(rights)
    }

    /// Where a path starts.
    ///
    /// # Errors
    /// `ENOTDIR` for anything that was not opened through a mount.
    pub fn node(&self) -> Result<&Node> {
        match &self.object {
            Object::Node(node) => Ok(node),
            _ => Err(Errno::NOTDIR),
        }
    }

    /// What it is.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn kind(&self) -> Result<FileKind> {
        match &self.object {
            // Also a mounted file: programs look for directories among their mounts.
            Object::Node(_) if self.mount_name.is_some() => Ok(FileKind::Directory),
            Object::Node(node) => node.kind(),
            Object::Kernel(handed) => Ok(handed.kind),
            Object::Input(_) | Object::Output(_) => Ok(FileKind::Pipe),
            Object::Null => Ok(FileKind::Unknown),
        }
    }

    /// Its attributes.
    ///
    /// # Errors
    /// Those of `fstat`.
    pub fn stat(&self) -> Result<FileStat> {
        match &self.object {
            Object::Node(node) => node.stat(),
            Object::Kernel(handed) => Ok(fstat(&handed.fd)?.into()),
            _ => Ok(FileStat::of_kind(self.kind()?)),
        }
    }

    /// Its status flags.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn status_flags(&self) -> Result<StatusFlags> {
        match &self.object {
            Object::Node(node) => match node.fd() {
                Ok(fd) => self.flags.get(fd),
                // A mounted file is not open.
                Err(_) => Ok(StatusFlags::empty()),
            },
            Object::Kernel(handed) => handed.status_flags(),
            _ => Ok(StatusFlags::empty()),
        }
    }

    /// Changes its status flags.
    ///
    /// # Errors
    /// `ENOTSUP` for flags that cannot change after opening, else those of `fcntl`.
    pub fn set_status_flags(&self, flags: StatusFlags) -> Result<()> {
        match &self.object {
            Object::Node(node) => self.flags.set(node.fd()?, flags),
            Object::Kernel(handed) => handed.set_status_flags(flags),
            // These never wait.
            _ if StatusFlags::NONBLOCK.contains(flags) => Ok(()),
            _ => Err(Errno::NOTSUP),
        }
    }

    /// Reads at the position.
    ///
    /// # Errors
    /// `EBADF` for something to write only, else those of `readv`.
    pub fn read(&self, guard: &Guard, vecs: &IoVecs<'_>) -> Result<usize> {
        match &self.object {
            Object::Node(node) => {
                let fd = node.fd()?;
                guard.interrupt.retry(|| vectored::readv(fd, vecs))
            }
            Object::Kernel(handed) => {
                handed.check_ready(PollFlags::IN)?;
                guard.interrupt.retry(|| vectored::readv(handed.fd.as_fd(), vecs))
            }
            Object::Input(input) => {
                guard.interrupt.retry(|| stream::read(lock(input).as_mut(), vecs))
            }
            Object::Null => Ok(0),
            Object::Output(_) => Err(Errno::BADF),
        }
    }

    /// Writes at the position; `vecs` is cut down to what the meter grants.
    ///
    /// # Errors
    /// `ENOSPC` when the meter grants no more output, `EBADF` for something to read only, else
    /// those of `writev`.
    pub fn write(&self, guard: &Guard, vecs: &mut IoVecs<'_>) -> Result<usize> {
        if let Some(fd) = self.file_to_write()? {
            let write = |vecs: &IoVecs<'_>| guard.interrupt.retry(|| vectored::writev(fd, vecs));
            return charge::write(guard, vecs, Some((fd, None)), write);
        }
        charge::write(guard, vecs, None, |vecs| match &self.object {
            Object::Kernel(handed) => {
                // A closed connection is an error here and never a signal to the host.
                let write = if handed.is_socket() { vectored::send } else { vectored::writev };
                handed.write(guard, |fd| write(fd, vecs))
            }
            Object::Output(output) => {
                guard.interrupt.retry(|| stream::write(lock(output).as_mut(), vecs))
            }
            Object::Null => Ok(vecs.bytes()),
            Object::Input(_) | Object::Node(_) => Err(Errno::BADF),
        })
    }

    /// Writes at the position by a call of the kernel that is not for vectors: `write` is told where
    /// to and how many bytes at most.
    ///
    /// # Errors
    /// As [`Descriptor::write`]; `EINVAL` for what is no kernel object.
    pub(crate) fn write_by(
        &self,
        guard: &Guard,
        wanted: usize,
        write: impl Fn(BorrowedFd<'_>, usize) -> Result<usize>,
    ) -> Result<usize> {
        let file = self.file_to_write()?;
        charge::output(&*guard.meter, wanted, file.map(|fd| (fd, None)), |granted| {
            match (&self.object, file) {
                (_, Some(fd)) => guard.interrupt.retry(|| write(fd, granted)),
                (Object::Kernel(handed), None) => handed.write(guard, |fd| write(fd, granted)),
                _ => Err(Errno::INVAL),
            }
        })
    }

    /// What may be a file, where a write may leave a gap.
    fn file_to_write(&self) -> Result<Option<BorrowedFd<'_>>> {
        match &self.object {
            Object::Node(node) => node.fd_to_change().map(Some),
            Object::Kernel(handed) if handed.kind == FileKind::Regular => {
                Ok(Some(handed.fd.as_fd()))
            }
            _ => Ok(None),
        }
    }

    /// Reads at `offset`.
    ///
    /// # Errors
    /// `ESPIPE` for a stream, else those of `preadv`.
    pub fn read_at(&self, guard: &Guard, vecs: &IoVecs<'_>, offset: u64) -> Result<usize> {
        let fd = self.seekable()?;
        guard.interrupt.retry(|| vectored::preadv(fd, vecs, offset))
    }

    /// Writes at `offset`.
    ///
    /// # Errors
    /// As [`Descriptor::write`]; `ESPIPE` for a stream.
    pub fn write_at(&self, guard: &Guard, vecs: &mut IoVecs<'_>, offset: u64) -> Result<usize> {
        let fd = self.seekable()?;
        if let Object::Node(node) = &self.object {
            node.check_writable()?;
        }
        let write =
            |vecs: &IoVecs<'_>| guard.interrupt.retry(|| vectored::pwritev(fd, vecs, offset));
        charge::write(guard, vecs, Some((fd, Some(offset))), write)
    }

    /// Moves the position; returns the new one.
    ///
    /// # Errors
    /// `ESPIPE` for a stream, `EBADF` for a directory, `EINVAL` for a position before the start.
    pub fn seek(&self, to: SeekFrom) -> Result<u64> {
        if let Object::Null = self.object {
            return Ok(0);
        }
        let fd = self.seekable()?;
        if self.kind()? == FileKind::Directory {
            return Err(Errno::BADF);
        }
        seek(fd, to)
    }

    /// The kernel object, if there is one that may have a position.
    fn seekable(&self) -> Result<BorrowedFd<'_>> {
        self.kernel_fd().ok_or(Errno::SPIPE)?
    }

    /// The kernel object, if there is one.
    pub(crate) fn kernel_fd(&self) -> Option<Result<BorrowedFd<'_>>> {
        match &self.object {
            Object::Node(node) => Some(node.fd()),
            Object::Kernel(handed) => Some(Ok(handed.fd.as_fd())),
            _ => None,
        }
    }

    /// The open file of a mount, to change it.
    fn file_to_change(&self) -> Result<BorrowedFd<'_>> {
        match &self.object {
            Object::Node(node) => node.fd_to_change(),
            Object::Kernel(handed) => Ok(handed.fd.as_fd()),
            _ => Err(Errno::INVAL),
        }
    }

    /// Sets the size.
    ///
    /// # Errors
    /// `EROFS` through a read-only mount, `ENOSPC` when the meter refuses the growth, else those of
    /// `ftruncate`.
    pub fn set_size(&self, guard: &Guard, bytes: u64) -> Result<()> {
        let fd = self.file_to_change()?;
        if i64::try_from(bytes).is_err() {
            return Err(Errno::FBIG);
        }
        let cost = |size| bytes.saturating_sub(size);
        let cut = || guard.interrupt.retry(|| ftruncate(fd, bytes));
        charge::growth(&*guard.meter, fd, cost, cut)
    }

    /// Reserves space, growing the file if needed.
    ///
    /// # Errors
    /// `EROFS` through a read-only mount, `ENOSPC` when the meter refuses, `ENOTSUP` when the file
    /// system cannot, else those of `fallocate`.
    pub fn allocate(&self, guard: &Guard, offset: u64, bytes: u64) -> Result<()> {
        let fd = self.file_to_change()?;
        if bytes == 0 {
            return Err(Errno::INVAL);
        }
        let end = offset.checked_add(bytes).ok_or(Errno::FBIG)?;
        if i64::try_from(end).is_err() {
            return Err(Errno::FBIG);
        }
        let cost = |size| bytes.max(end.saturating_sub(size));
        let reserve = || fallocate(fd, FallocateFlags::empty(), offset, bytes);
        charge::growth(&*guard.meter, fd, cost, || guard.interrupt.retry(reserve))
    }

    /// Tells the kernel what will be needed.
    ///
    /// # Errors
    /// `EBADF` for a directory, `ESPIPE` for a stream, else those of `posix_fadvise`.
    pub fn advise(&self, offset: u64, bytes: u64, advice: Advice) -> Result<()> {
        let fd = self.seekable()?;
        if self.kind()? == FileKind::Directory {
            return Err(Errno::BADF);
        }
        if i64::try_from(offset).is_err() || i64::try_from(bytes).is_err() {
            return Err(Errno::INVAL);
        }
        fadvise(fd, offset, NonZeroU64::new(bytes), advice)
    }

    /// Sets the times.
    ///
    /// # Errors
    /// `EROFS` through a read-only mount, else those of `futimens`.
    pub fn set_times(&self, times: &Timestamps) -> Result<()> {
        futimens(self.file_to_change()?, times)
    }

    /// Waits until data, and with `attributes` also size and times, are on the disk.
    ///
    /// # Errors
    /// Those of `fsync`; those of the embedder's stream when it is flushed.
    pub fn sync(&self, guard: &Guard, attributes: bool) -> Result<()> {
        if let Object::Output(output) = &self.object {
            return lock(output).flush().map_err(|error| stream::errno(&error));
        }
        let Some(fd) = self.kernel_fd() else { return Ok(()) };
        let fd = fd?;
        guard.interrupt.retry(|| if attributes { fsync(fd) } else { fdatasync(fd) })
    }

    /// Visits the entries of a directory, see [`DirectoryStream::visit`].
    ///
    /// # Errors
    /// `ENOTDIR` for anything else.
    pub fn visit_entries(
        &self,
        guard: &Guard,
        cookie: u64,
        visit: impl FnMut(&Entry) -> ControlFlow<()>,
    ) -> Result<()> {
        let Object::Node(node) = &self.object else { return Err(Errno::NOTDIR) };
        if node.kind()? != FileKind::Directory {
            return Err(Errno::NOTDIR);
        }
        lock(&self.listing).visit(node.fd()?, &guard.meter, cookie, visit)
    }

    /// How to learn whether it is ready.
    ///
    /// # Errors
    /// Those of `fstat`; `EBADF` for a mounted file.
    pub fn readiness(&self) -> Result<Readiness<'_>> {
        let Some(fd) = self.kernel_fd() else { return Ok(Readiness::Always) };
        Ok(match self.kind()? {
            FileKind::Regular | FileKind::Directory => Readiness::Always,
            _ => Readiness::Ask(fd?),
        })
    }

    /// Bytes that can be read without waiting, where that is known; else 0.
    #[must_use]
    pub fn readable_bytes(&self) -> u64 {
        let Some(Ok(fd)) = self.kernel_fd() else { return 0 };
        // The kernel answers with an `int` that is negative when the position is past the end.
        rustix::io::ioctl_fionread(fd)
            .ok()
            .filter(|bytes| *bytes <= u64::from(u32::MAX))
            .unwrap_or(0)
    }

    /// The socket.
    ///
    /// # Errors
    /// `ENOTSOCK` for anything else.
    pub(crate) fn socket(&self) -> Result<&Handed> {
        match &self.object {
            Object::Kernel(handed) if handed.is_socket() => Ok(handed),
            _ => Err(Errno::NOTSOCK),
        }
    }

    /// The kernel's socket.
    ///
    /// # Errors
    /// `ENOTSOCK` for anything else.
    #[cfg(feature = "net")]
    pub fn socket_fd(&self) -> Result<BorrowedFd<'_>> {
        Ok(self.socket()?.fd())
    }

    /// Accepts a connection.
    ///
    /// # Errors
    /// `ENOTSOCK` for anything but a socket, `ENOBUFS` when the meter refuses another one, else those
    /// of `accept`.
    pub fn accept(&self, guard: &Guard, nonblock: bool) -> Result<Descriptor> {
        let socket = self.socket()?;
        let permit = Permit::socket(&guard.meter)?;
        let mut flags = SocketFlags::CLOEXEC;
        flags.set(SocketFlags::NONBLOCK, nonblock);
        let fd = guard.interrupt.retry(|| accept_with(&socket.fd, flags))?;
        let handed = Handed { companion: Some(Box::new(permit)), ..Handed::owned(fd)? };
        let accepted = Descriptor::new(Object::Kernel(handed));
        Ok(accepted.inherit_from(self))
    }

    /// Receives; also says whether a message was cut short to fit.
    ///
    /// # Errors
    /// `ENOTSOCK` for anything but a socket, else those of `recvmsg`.
    pub fn receive(
        &self,
        guard: &Guard,
        vecs: &IoVecs<'_>,
        flags: ReceiveFlags,
    ) -> Result<(usize, bool)> {
        let fd = self.socket()?.fd.as_fd();
        guard.interrupt.retry(|| vectored::receive(fd, vecs, flags))
    }

    /// Sends.
    ///
    /// # Errors
    /// `ENOTSOCK` for anything but a socket, `ENOSPC` when the meter grants no more output, else
    /// those of `sendmsg`.
    pub fn send(&self, guard: &Guard, vecs: &mut IoVecs<'_>) -> Result<usize> {
        let fd = self.socket()?.fd.as_fd();
        let send = |vecs: &IoVecs<'_>| guard.interrupt.retry(|| vectored::send(fd, vecs));
        charge::write(guard, vecs, None, send)
    }

    /// Ends one or both directions of a connection.
    ///
    /// # Errors
    /// `ENOTSOCK` for anything but a socket, else those of `shutdown`.
    pub fn shut_down(&self, how: Shutdown) -> Result<()> {
        shutdown(&self.socket()?.fd, how)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.leave(self.kernel_fd().and_then(Result::ok));
    }
}

/// What a descriptor of a node never has.
fn missing(node: &Node) -> Rights {
    if node.is_read_only() { Rights::CHANGES } else { Rights::empty() }
}

fn rights_of(object: &Object) -> Rights {
    match object {
        Object::Node(_) => Rights::DIRECTORY | Rights::FILE,
        Object::Kernel(handed) if handed.is_socket() => Rights::SOCKET,
        // Without the right to seek: this is how programs know a terminal.
        Object::Kernel(handed) if handed.is_terminal => Rights::STREAM,
        Object::Kernel(handed) if handed.kind == FileKind::Pipe => Rights::STREAM,
        Object::Kernel(_) | Object::Null => Rights::FILE,
        Object::Input(_) => Rights::STREAM - Rights::FD_WRITE,
        Object::Output(_) => Rights::STREAM - Rights::FD_READ,
    }
}
