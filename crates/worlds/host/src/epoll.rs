//! Sets of descriptors to wait for: the kernel's `epoll`, on the calling thread.
//!
//! What makes a descriptor ready, and how often that is told, is the kernel's business; here only
//! stands what the guest wants to be told. The rules of Linux hold: an entry belongs to a number
//! *and* to what that number stood for, it goes when the last number for that is closed, and each
//! number for the same thing may have an entry of its own.
//!
//! ```text
//! guest's number, descriptor --keys--> mark --> entry: data    kernel's entry: host descriptor
//!                                       ^------------------------------- in its 64 bits
//! ```
//!
//! The kernel knows an entry by the host descriptor. All numbers of a guest for one descriptor have
//! one host descriptor, so the second one that is added gets a private duplicate. No two entries of a
//! set ever have one mark, so an event whose mark is unknown is of an entry that was just removed, and
//! is dropped.
//!
//! Before a fork the kernel removes what is closed by itself. After one, the other process may keep
//! it open, so it is removed at the last close here; but not by a child, whose parent has the same
//! set in the kernel.

#[cfg(test)]
mod tests;

use crate::clock::ClockId;
use crate::core::{Core, Guard};
use crate::descriptor::{Descriptor, Handed, Object, Readiness};
use crate::forked;
use crate::meter::{Meter, Permit, Resource};
use crate::stat::FileKind;
use crate::table::Descriptors;
use rustix::event::epoll;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, Result, fcntl_dupfd_cloexec};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub use rustix::event::epoll::EventFlags;

/// Events that one call reports.
pub const EVENTS_MAX: usize = 1024;

/// Host bytes per entry: itself, its key, its place among the descriptor's watchers.
const CHARGE: u64 = 256;

/// What the guest wants to see with an event, whatever its world's layout.
pub type Data = [u64; 3];

/// The set behind a descriptor that is one.
#[derive(Debug)]
pub struct Epoll {
    set: Arc<Set>,
}

#[derive(Debug)]
struct Set {
    /// The kernel's set, which the guest's descriptor has too.
    kernel: Arc<OwnedFd>,
    meter: Arc<dyn Meter>,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// By their marks.
    all: HashMap<u64, Entry>,
    keys: HashMap<Key, u64>,
    /// The mark of the next one.
    next: u64,
}

/// A guest's number and the [`Descriptor::id`] of what it stood for.
type Key = (u32, u64);

#[derive(Debug)]
struct Entry {
    data: Data,
    /// The host descriptor, where it is not the guest's descriptor itself.
    alias: Option<Alias>,
    /// What it is for, which is told when the set is closed first.
    watched: Weak<Descriptor>,
    /// The process that added it.
    process: u32,
}

/// A private duplicate, which counts as an open file.
#[derive(Debug)]
struct Alias {
    fd: OwnedFd,
    _permit: Permit,
}

impl AsFd for Alias {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The sets that a descriptor is in. It changes together with their entries, whose lock is taken
/// first.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<(Weak<Set>, Key)>>);

/// Entries or watchers whose room is kept when there are fewer.
const KEPT: usize = 16;

/// To what `capacity` shrinks when `len` of it are left: what is not charged any more must not stay.
fn room_for(len: usize, capacity: usize) -> Option<usize> {
    (capacity > 4 * len.max(KEPT)).then(|| 2 * len.max(KEPT))
}

impl Watchers {
    /// Leaves all sets, because the descriptor is about to be closed.
    pub(crate) fn leave(&mut self, fd: Option<BorrowedFd<'_>>) {
        let watchers = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (set, key) in watchers.drain(..) {
            if let Some(set) = set.upgrade() {
                set.forget(key, fd);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Weak<Set>, Key)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets those of a set that are `gone`.
    fn forget(&self, set: &Set, gone: impl Fn(Key) -> bool) {
        let mut watchers = self.lock();
        watchers.retain(|(other, key)| !(std::ptr::eq(other.as_ptr(), set) && gone(*key)));
        if let Some(room) = room_for(watchers.len(), watchers.capacity()) {
            watchers.shrink_to(room);
        }
    }
}

impl Entries {
    fn insert(&mut self, key: Key, mark: u64, entry: Entry) {
        self.keys.insert(key, mark);
        self.all.insert(mark, entry);
    }

    fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.all.remove(&self.keys.remove(&key)?);
        let len = self.all.len();
        if let Some(room) = room_for(len, self.all.capacity().min(self.keys.capacity())) {
            self.all.shrink_to(room);
            self.keys.shrink_to(room);
        }
        entry
    }

    /// An entry and its mark.
    fn get_mut(&mut self, key: Key) -> Result<(u64, &mut Entry)> {
        let mark = *self.keys.get(&key).ok_or(Errno::NOENT)?;
        Ok((mark, self.all.get_mut(&mark).ok_or(Errno::NOENT)?))
    }
}

impl Set {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frees the entry of what is about to be closed; `fd` is its host descriptor.
    fn forget(&self, key: Key, fd: Option<BorrowedFd<'_>>) {
        let Some(entry) = self.lock().remove(key) else { return };
        self.meter.release(Resource::HostBytes, CHARGE);
        let Some(fd) = fd else { return };
        if forked::shares() && entry.process == forked::generation() {
            let target = entry.alias.as_ref().map_or(fd, AsFd::as_fd);
            // If it is not there any more, so much the better.
            let _ = epoll::delete(&self.kernel, target);
        }
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let entries = self.entries.get_mut().unwrap_or_else(PoisonError::into_inner);
        let entries = std::mem::take(&mut entries.all);
        let charged = entries.len() as u64 * CHARGE;
        let mut told = HashSet::new();
        for entry in entries.into_values() {
            // Else a guest that makes one set after the other has the list of a descriptor that it
            // puts into each grow without end.
            if let Some(descriptor) = entry.watched.upgrade()
                && told.insert(descriptor.id())
            {
                descriptor.watchers().forget(self, |_| true);
            }
        }
        self.meter.release(Resource::HostBytes, charged);
    }
}

/// Runs `work` while no other thread changes sets that have to do with these descriptors.
pub(crate) fn hold<R>(descriptors: &Descriptors, work: impl FnOnce() -> R) -> R {
    // Dropped last: what is closed meanwhile is closed when nothing is held.
    let mut all = descriptors.clone();
    let mut sets = BTreeMap::new();
    for descriptor in descriptors.values() {
        let own = descriptor.companion::<Epoll>().map(|epoll| Arc::clone(&epoll.set));
        let watchers = descriptor.watchers().lock();
        let others = watchers.iter().filter_map(|(set, _)| set.upgrade());
        sets.extend(others.chain(own).map(|set| (Arc::as_ptr(&set), set)));
    }
    let entries: Vec<_> = sets.values().map(|set| set.lock()).collect();
    // A set may have what is in no table any more.
    for entry in entries.iter().flat_map(|entries| entries.all.values()) {
        if let Some(watched) = entry.watched.upgrade() {
            all.insert(watched.id(), watched);
        }
    }
    let watchers: Vec<_> = all.values().map(|descriptor| descriptor.watchers().lock()).collect();
    let result = work();
    drop(watchers);
    drop(entries);
    result
}

/// A new empty set.
///
/// # Errors
/// Those of `epoll_create`.
pub fn create(guard: &Guard) -> Result<Descriptor> {
    forked::watch();
    let fd = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
    let kernel = Arc::clone(&fd);
    let set = Set { kernel, meter: guard.meter.clone(), entries: Mutex::default() };
    let companion = Box::new(Epoll { set: Arc::new(set) });
    Ok(Descriptor::new(Object::Kernel(Handed::with_companion(fd, FileKind::Unknown, companion))))
}

/// The set behind a descriptor.
///
/// # Errors
/// `EINVAL` for anything else.
pub fn of(descriptor: &Descriptor) -> Result<&Epoll> {
    descriptor.companion::<Epoll>().ok_or(Errno::INVAL)
}

/// What the kernel would wait for.
fn target(descriptor: &Descriptor) -> Result<BorrowedFd<'_>> {
    match descriptor.readiness() {
        Ok(Readiness::Ask(fd)) => Ok(fd),
        // Files are always ready, and the kernel refuses them with this.
        Ok(Readiness::Always) | Err(Errno::BADF) => Err(Errno::PERM),
        Err(error) => Err(error),
    }
}

impl Epoll {
    /// Whether the guest's number has an entry for this descriptor.
    #[must_use]
    pub fn has(&self, fd: u32, descriptor: &Descriptor) -> bool {
        self.set.lock().keys.contains_key(&(fd, descriptor.id()))
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// `EEXIST` when there is one, `EPERM` for a file, `ENOSPC` when the meter refuses, `EINVAL` for
    /// the set itself, else those of `epoll_ctl`.
    pub fn add(
        &self,
        fd: u32,
        descriptor: &Arc<Descriptor>,
        events: EventFlags,
        data: Data,
    ) -> Result<()> {
        let (set, key) = (&self.set, (fd, descriptor.id()));
        let target = target(descriptor)?;
        let mut entries = set.lock();
        if entries.keys.contains_key(&key) {
            return Err(Errno::EXIST);
        }
        if !set.meter.grant_all(Resource::HostBytes, CHARGE) {
            return Err(Errno::NOSPC);
        }
        let mark = entries.next;
        entries.next += 1;
        let result = add_to_kernel(set, target, mark, events).map(|alias| {
            let (watched, process) = (Arc::downgrade(descriptor), forked::generation());
            entries.insert(key, mark, Entry { data, alias, watched, process });
        });
        match result {
            Ok(()) => descriptor.watchers().lock().push((Arc::downgrade(set), key)),
            Err(_) => set.meter.release(Resource::HostBytes, CHARGE),
        }
        result
    }

    /// Changes what an entry waits for and reports; it is told of again, even if it was to be told
    /// of once.
    ///
    /// # Errors
    /// `ENOENT` when there is none, else those of `epoll_ctl`.
    pub fn modify(
        &self,
        fd: u32,
        descriptor: &Descriptor,
        events: EventFlags,
        data: Data,
    ) -> Result<()> {
        let target = target(descriptor)?;
        let mut entries = self.set.lock();
        let (mark, entry) = entries.get_mut((fd, descriptor.id()))?;
        let target = entry.alias.as_ref().map_or(target, AsFd::as_fd);
        epoll::modify(&self.set.kernel, target, epoll::EventData::new_u64(mark), events)?;
        entry.data = data;
        Ok(())
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// `ENOENT` when there is none, else those of `epoll_ctl`.
    pub fn remove(&self, fd: u32, descriptor: &Descriptor) -> Result<()> {
        let target = target(descriptor)?;
        let key = (fd, descriptor.id());
        let mut entries = self.set.lock();
        let (_, entry) = entries.get_mut(key)?;
        let target = entry.alias.as_ref().map_or(target, AsFd::as_fd);
        epoll::delete(&self.set.kernel, target)?;
        descriptor.watchers().forget(&self.set, |other| other == key);
        // Its duplicate is closed when nobody waits for the lock.
        let gone = entries.remove(key);
        drop(entries);
        drop(gone);
        self.set.meter.release(Resource::HostBytes, CHARGE);
        Ok(())
    }
}

/// Adds `target`, or a duplicate of it when the kernel has it already.
fn add_to_kernel(
    set: &Set,
    target: BorrowedFd<'_>,
    mark: u64,
    events: EventFlags,
) -> Result<Option<Alias>> {
    let data = epoll::EventData::new_u64(mark);
    match epoll::add(&set.kernel, target, data, events) {
        Err(Errno::EXIST) => {
            let permit = Permit::ask(&set.meter, Resource::OpenFiles).ok_or(Errno::NOSPC)?;
            let alias = Alias { fd: fcntl_dupfd_cloexec(target, 0)?, _permit: permit };
            epoll::add(&set.kernel, &alias, data, events)?;
            Ok(Some(alias))
        }
        result => result.map(|()| None),
    }
}

/// Waits until something in a set is ready, or `timeout_ns` have passed (`None`: for ever), and
/// reports at most `max` events; returns how many.
///
/// # Errors
/// `EINVAL` for anything but a set, or for no event at all; `EINTR` when the guest must stop; those of
/// `report`, which end the call.
pub fn wait<E: From<Errno>>(
    core: &Core,
    epoll: &Descriptor,
    max: u32,
    timeout_ns: Option<u64>,
    mut report: impl FnMut(u32, EventFlags, &Data) -> std::result::Result<(), E>,
) -> std::result::Result<u32, E> {
    let set = &of(epoll)?.set;
    let max = usize::try_from(max).unwrap_or(usize::MAX).min(EVENTS_MAX);
    if max == 0 {
        return Err(Errno::INVAL.into());
    }
    let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); EVENTS_MAX];
    let deadline = Deadline::new(core, timeout_ns)?;
    let mut left_ns = timeout_ns;
    loop {
        match listen_once(core, &set.kernel, &mut buffer[..max], left_ns)? {
            None => {}
            Some([]) => return Ok(0),
            Some(got) => {
                let reported = report_each(set, got, &mut report)?;
                if reported > 0 || left_ns == Some(0) {
                    return Ok(reported);
                }
                // What another process added after a fork is told here again and again, at once.
                if core.guard.interrupt.is_pending() {
                    return Err(Errno::INTR.into());
                }
            }
        }
        left_ns = deadline.left(core)?;
    }
}

/// Waits for the events of a kernel's set by the guest's clock; `None` when a signal ended that which
/// is not for the guest.
///
/// # Errors
/// `EINTR` when the guest must stop.
pub(crate) fn listen_once<'b>(
    core: &Core,
    kernel: &OwnedFd,
    room: &'b mut [MaybeUninit<epoll::Event>],
    timeout_ns: Option<u64>,
) -> Result<Option<&'b [epoll::Event]>> {
    let mut got: &'b [epoll::Event] = &[];
    let mut room = Some(room);
    let waited = core.clocks.wait_by(timeout_ns, &mut |timeout_ns| {
        let Some(room) = room.take() else { return Ok(0) };
        let timeout = timeout_ns.map(crate::clock::timespec);
        let (ready, _) = epoll::wait(kernel, room, timeout.as_ref())?;
        got = ready;
        Ok(ready.len())
    });
    match waited {
        Err(Errno::INTR) if !core.guard.interrupt.is_pending() => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Ok(Some(got)),
    }
}

fn report_each<E>(
    set: &Set,
    events: &[epoll::Event],
    report: &mut impl FnMut(u32, EventFlags, &Data) -> std::result::Result<(), E>,
) -> std::result::Result<u32, E> {
    let entries = set.lock();
    let mut reported = 0;
    for event in events {
        // Fields of a packed structure.
        let (flags, data) = (event.flags, event.data);
        if let Some(entry) = entries.all.get(&data.u64()) {
            report(reported, flags, &entry.data)?;
            reported += 1;
        }
    }
    Ok(reported)
}

/// When a wait ends; the clock is only asked when that is neither now nor never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<u64>, bool);

impl Deadline {
    pub(crate) fn new(core: &Core, timeout_ns: Option<u64>) -> Result<Self> {
        Ok(match timeout_ns {
            None | Some(0) => Deadline(None, timeout_ns.is_none()),
            Some(ns) => {
                let now = core.clocks.now(ClockId::Monotonic)?;
                Deadline(Some(now.saturating_add(ns)), false)
            }
        })
    }

    /// Nanoseconds that are left; `None` when there is no end.
    pub(crate) fn left(self, core: &Core) -> Result<Option<u64>> {
        match self {
            Deadline(None, true) => Ok(None),
            Deadline(None, false) => Ok(Some(0)),
            Deadline(Some(end), _) => {
                Ok(Some(end.saturating_sub(core.clocks.now(ClockId::Monotonic)?)))
            }
        }
    }
}
