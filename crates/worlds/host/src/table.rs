//! The table from a guest's numbers to its descriptors.
//!
//! New descriptors get the lowest free number, as POSIX programs expect. The table is charged to
//! the meter by entry, and high numbers alone do not make it large ([`slots`] says how), so its size is
//! bounded by what the meter grants.
//!
//! The threads of a guest share the table. Its lock is held while an entry is looked up or changed,
//! never across a system call: a call fetches the descriptor and works on that, as the kernel does,
//! so what is closed meanwhile is closed when the last call on it ends.

mod slots;

use self::slots::Slots;
use crate::descriptor::Descriptor;
use crate::limits::DESCRIPTOR_NUMBERS_MAX;
use crate::meter::{Meter, Permit, Resource};
use crate::rights::Rights;
use rustix::io::{Errno, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

/// Descriptors by [`Descriptor::id`].
pub(crate) type Descriptors = BTreeMap<u64, Arc<Descriptor>>;

/// The descriptors of one guest.
#[derive(Debug)]
pub struct DescriptorTable {
    /// See [`DescriptorTable::version`].
    version: AtomicU64,
    entries: RwLock<Entries>,
    meter: Arc<dyn Meter>,
    /// The table that this one is a copy of.
    original: Option<Arc<DescriptorTable>>,
    /// Copies of this one; the lock is taken before those of entries.
    copies: Mutex<Vec<Weak<DescriptorTable>>>,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    slots: Slots<Entry>,
    /// Above all numbers that there were.
    end: u32,
}

/// What a number stands for. Several numbers may share a descriptor, as after `dup`.
#[derive(Clone, Debug)]
struct Entry {
    descriptor: Arc<Descriptor>,
    close_on_exec: bool,
    /// What it is charged. Copies of a table share it, but it is in no table twice: none has more
    /// entries than the meter grants.
    place: Arc<Permit>,
}

impl Entries {
    fn get(&self, fd: u32) -> Result<&Entry> {
        self.slots.get(fd).ok_or(Errno::BADF)
    }

    /// Fills the lowest free slot from `min` on.
    fn insert(&mut self, min: u32, entry: Entry) -> Result<u32> {
        let fd = self.slots.lowest_free(min);
        self.put(fd, entry)?;
        Ok(fd)
    }

    /// Fills a slot; what was there comes back.
    fn put(&mut self, fd: u32, entry: Entry) -> Result<Option<Entry>> {
        if fd >= DESCRIPTOR_NUMBERS_MAX {
            return Err(Errno::MFILE);
        }
        self.end = self.end.max(fd + 1);
        Ok(self.slots.put(fd, entry))
    }

    fn take(&mut self, fd: u32) -> Result<Entry> {
        self.slots.take(fd).ok_or(Errno::BADF)
    }
}

fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl DescriptorTable {
    /// An empty table whose entries are charged to `meter`.
    #[must_use]
    pub fn new(meter: Arc<dyn Meter>) -> Self {
        DescriptorTable {
            version: AtomicU64::new(next_version()),
            entries: RwLock::default(),
            meter,
            original: None,
            copies: Mutex::default(),
        }
    }

    // Entries are whole whatever panicked elsewhere.
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        let entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever sees the new version waits for the change before it looks a number up.
        self.version.store(next_version(), Ordering::Release);
        entries
    }

    fn copies(&self) -> MutexGuard<'_, Vec<Weak<DescriptorTable>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no table of the process had before, taken with each change: numbers stand for
    /// the same descriptors, with the same rights, as long as it is the same.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Descriptors may have given up rights by another table: whoever keeps what numbers stand for
    /// looks again.
    pub fn note_change(&self) {
        drop(self.write());
    }

    /// The [`Descriptor::id`] of a number that is open and may be polled.
    pub(crate) fn pollable_id(&self, fd: u32) -> Option<u64> {
        let entries = self.read();
        let descriptor = &entries.get(fd).ok()?.descriptor;
        descriptor.allows(Rights::POLL_FD_READWRITE).then(|| descriptor.id())
    }

    /// Descriptors in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().slots.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The descriptor with this number.
    ///
    /// # Errors
    /// `EBADF` when there is none.
    #[inline]
    pub fn get(&self, fd: u32) -> Result<Arc<Descriptor>> {
        Ok(Arc::clone(&self.read().get(fd)?.descriptor))
    }

    /// Asks the meter for one more entry. To be called before the work of opening is done; what is
    /// not inserted after all goes back with the [`Place`].
    ///
    /// # Errors
    /// `EMFILE` when the meter refuses.
    pub fn reserve(&self) -> Result<Place> {
        let permit = Permit::ask(&self.meter, Resource::OpenFiles).ok_or(Errno::MFILE)?;
        Ok(Place(Arc::new(permit)))
    }

    /// Puts a descriptor under the lowest free number.
    ///
    /// # Errors
    /// `EMFILE` when the numbers are used up.
    pub fn insert(&self, place: Place, descriptor: Descriptor) -> Result<u32> {
        self.insert_from(0, place, descriptor, false)
    }

    /// Puts a descriptor under the lowest free number that is at least `min`.
    ///
    /// # Errors
    /// `EMFILE` when the numbers are used up.
    pub fn insert_from(
        &self,
        min: u32,
        place: Place,
        descriptor: impl Into<Arc<Descriptor>>,
        close_on_exec: bool,
    ) -> Result<u32> {
        let entry = Entry { descriptor: descriptor.into(), close_on_exec, place: place.0 };
        self.write().insert(min, entry)
    }

    /// Reserves and inserts.
    ///
    /// # Errors
    /// `EMFILE` when the meter refuses.
    pub fn push(&self, descriptor: Descriptor) -> Result<u32> {
        let place = self.reserve()?;
        self.insert(place, descriptor)
    }

    /// Puts a descriptor behind all numbers there are, for what an embedder gives in order.
    ///
    /// # Errors
    /// `EMFILE` when the meter refuses.
    pub fn push_at_end(&self, descriptor: Descriptor) -> Result<u32> {
        let place = self.reserve()?;
        let end = self.read().end;
        self.insert_from(end, place, descriptor, false)
    }

    /// Adds a free number at the end: a standard stream that is closed. As in POSIX the next
    /// descriptor that is opened gets it.
    pub fn skip(&self) {
        let mut entries = self.write();
        entries.end = entries.end.saturating_add(1);
    }

    /// Takes a descriptor out. It is closed when the last call that uses it ends.
    ///
    /// # Errors
    /// `EBADF` when there is none.
    pub fn remove(&self, fd: u32) -> Result<Arc<Descriptor>> {
        let entry = self.write().take(fd)?;
        Ok(entry.descriptor)
    }

    /// Moves the descriptor `from` to the number `to`, whose descriptor is closed. Nothing happens
    /// when both are the same.
    ///
    /// # Errors
    /// `EBADF` when either is not open; then nothing changes.
    pub fn renumber(&self, from: u32, to: u32) -> Result<()> {
        let mut entries = self.write();
        entries.get(to)?;
        entries.get(from)?;
        if from == to {
            return Ok(());
        }
        let entry = entries.take(from)?;
        let replaced = entries.put(to, entry)?;
        drop(entries);
        // Outside the lock: to close may take long.
        drop(replaced);
        Ok(())
    }

    /// A second number for a descriptor: the lowest free one that is at least `min`.
    ///
    /// # Errors
    /// `EBADF` when it is not open, `EINVAL` for a `min` that no number reaches, `EMFILE` when the
    /// meter refuses.
    pub fn duplicate(&self, fd: u32, min: u32, close_on_exec: bool) -> Result<u32> {
        let descriptor = self.get(fd)?;
        if min >= DESCRIPTOR_NUMBERS_MAX {
            return Err(Errno::INVAL);
        }
        let place = self.reserve()?;
        self.insert_from(min, place, descriptor, close_on_exec)
    }

    /// Makes `to` a second number for the descriptor `from`; what `to` was before is closed. Nothing
    /// happens when both are the same.
    ///
    /// # Errors
    /// `EBADF` when `from` is not open or there is no such number as `to`, `EMFILE` when the meter
    /// refuses.
    pub fn duplicate_to(&self, from: u32, to: u32, close_on_exec: bool) -> Result<()> {
        if to >= DESCRIPTOR_NUMBERS_MAX {
            return Err(Errno::BADF);
        }
        let descriptor = self.get(from)?;
        if from == to {
            return Ok(());
        }
        let mut entries = self.write();
        // What is replaced has its place already, also when there is no other left.
        let place = match entries.slots.get(to) {
            Some(replaced) => Arc::clone(&replaced.place),
            None => self.reserve()?.0,
        };
        let replaced = entries.put(to, Entry { descriptor, close_on_exec, place })?;
        drop(entries);
        drop(replaced);
        Ok(())
    }

    /// Closes a number if it is open, and hands out its place for what is to be there; else a new one.
    ///
    /// # Errors
    /// `EBADF` when there is no such number, `EMFILE` when it is not open and the meter refuses.
    pub fn vacate(&self, fd: u32) -> Result<Place> {
        if fd >= DESCRIPTOR_NUMBERS_MAX {
            return Err(Errno::BADF);
        }
        let closed = self.write().take(fd);
        closed.map_or_else(|_| self.reserve(), |entry| Ok(Place(entry.place)))
    }

    /// Has a number stand for a descriptor; what it was before is closed.
    ///
    /// # Errors
    /// `EMFILE` when there is no such number.
    pub fn insert_at(
        &self,
        fd: u32,
        place: Place,
        descriptor: Descriptor,
        close_on_exec: bool,
    ) -> Result<()> {
        let entry = Entry { descriptor: Arc::new(descriptor), close_on_exec, place: place.0 };
        let replaced = self.write().put(fd, entry)?;
        // Outside the lock, as above.
        drop(replaced);
        Ok(())
    }

    /// The mounts in the table, by number.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Descriptor>> {
        let entries = self.read();
        let all = entries.slots.iter().map(|(_, entry)| &entry.descriptor);
        all.filter(|descriptor| descriptor.is_mount()).map(Arc::clone).collect()
    }

    /// Runs `work`, which gets all descriptors by their ids, while no other thread uses the table, what
    /// it is a copy of, or another copy.
    pub(crate) fn hold<R>(&self, work: impl FnOnce(&Descriptors) -> R) -> R {
        // Dropped last: what is closed meanwhile is closed when nothing is held.
        let mut descriptors = Descriptors::new();
        let original = self.original.as_deref().unwrap_or(self);
        let copies = original.copies();
        let tables: Vec<_> = copies.iter().filter_map(Weak::upgrade).collect();
        let tables = || std::iter::once(original).chain(tables.iter().map(Arc::as_ref));
        let entries: Vec<_> = tables().map(DescriptorTable::write).collect();
        let all = entries.iter().flat_map(|entries| entries.slots.iter());
        let all = all.map(|(_, entry)| &entry.descriptor);
        descriptors.extend(all.map(|descriptor| (descriptor.id(), Arc::clone(descriptor))));
        let result = work(&descriptors);
        drop(entries);
        drop(copies);
        result
    }

    /// Has a descriptor give up all rights but these, for itself and for whatever is opened from it.
    ///
    /// # Errors
    /// `EBADF` when it is not open, `EACCES` when the new ones are not a subset; each world has a
    /// better name for it.
    pub fn limit_rights(&self, fd: u32, rights: Rights, inheriting: Rights) -> Result<()> {
        self.write().get(fd)?.descriptor.limit_rights(rights, inheriting)
    }

    /// Whether a number is closed when the guest becomes another program.
    ///
    /// # Errors
    /// `EBADF` when it is not open.
    pub fn close_on_exec(&self, fd: u32) -> Result<bool> {
        Ok(self.read().get(fd)?.close_on_exec)
    }

    /// Closes what is closed when the guest becomes another program.
    pub fn close_for_exec(&self) {
        let mut entries = self.write();
        let closes = entries.slots.iter().filter(|(_, entry)| entry.close_on_exec);
        let numbers: Vec<u32> = closes.map(|(fd, _)| fd).collect();
        let closed: Vec<Entry> = numbers.iter().filter_map(|&fd| entries.take(fd).ok()).collect();
        drop(entries);
        drop(closed);
    }

    /// A second table with the same numbers for the same descriptors, for a process to be. What one
    /// of them opens or closes the other does not; what they share is charged once, until both have
    /// closed it.
    #[must_use]
    pub fn copy(self: &Arc<Self>) -> Arc<DescriptorTable> {
        let original = self.original.as_ref().unwrap_or(self);
        let mut copies = original.copies();
        let copy = Arc::new(DescriptorTable {
            version: AtomicU64::new(next_version()),
            entries: RwLock::new(self.read().clone()),
            meter: self.meter.clone(),
            original: Some(Arc::clone(original)),
            copies: Mutex::default(),
        });
        copies.retain(|copy| copy.strong_count() > 0);
        copies.push(Arc::downgrade(&copy));
        copy
    }

    /// Closes all that is here, and has what is in a [`DescriptorTable::copy`] of this table instead,
    /// which is empty then: the process has become one.
    pub fn take_over(&self, copy: &DescriptorTable) {
        let new = std::mem::take(&mut *copy.write());
        let old = std::mem::replace(&mut *self.write(), new);
        drop(old);
    }

    /// Closes all that is here.
    pub fn close_all(&self) {
        let mut entries = self.write();
        // With the lock: what another thread that forks finds half closed stays open in the child.
        *entries = Entries::default();
    }

    /// Closes all that is in copies of this table: in the child of a fork, in which the threads are
    /// not there that made them.
    pub fn close_copies(&self) {
        let copies = std::mem::take(&mut *self.copies());
        copies.iter().filter_map(Weak::upgrade).for_each(|copy| copy.close_all());
    }

    /// Sets whether a number is closed when the guest becomes another program.
    ///
    /// # Errors
    /// `EBADF` when it is not open.
    pub fn set_close_on_exec(&self, fd: u32, close_on_exec: bool) -> Result<()> {
        let mut entries = self.write();
        entries.slots.get_mut(fd).ok_or(Errno::BADF)?.close_on_exec = close_on_exec;
        Ok(())
    }
}

/// One granted entry that is not in the table yet.
#[derive(Debug)]
pub struct Place(Arc<Permit>);

#[cfg(test)]
mod tests;
