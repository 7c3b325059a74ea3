//! Polling the same long list again and again: the kernel keeps what it waits for.
//!
//! The list of the last call stays in a kernel's `epoll` set. The next call compares its wishes with
//! the last ones, tells the kernel what differs, and waits: one system call when nothing does. A
//! wish for a descriptor stands for the descriptor, not for its number, so a table that changed is
//! looked at again (its [version](crate::DescriptorTable::version) tells).
//!
//! ```text
//! wishes   [ read 5 | write 5 | clock | read 7 | ... ]     as the guest gave them
//! places   [   0    |    0    |  NONE |   1    | ... ]     which entry each wish is about
//! entries  [ { descriptor of 5, 1 read, 1 write, in the kernel as IN|OUT }, ... ]
//! ```
//!
//! An event of an entry that is no more means that a descriptor was closed here but stays open
//! elsewhere, as after a fork: then the kernel's set is made anew, since nothing else gets rid of
//! it. In a forked child it is made anew too, for the parent's is the same kernel object.

#[cfg(test)]
mod tests;

use super::{Bytes, Event, Interest, earlier, poll_counting};
use crate::core::Core;
use crate::descriptor::{Descriptor, Readiness};
use crate::epoll::{EVENTS_MAX, listen_once};
use crate::forked;
use crate::meter::{Meter, Permit, Resource};
use crate::rights::Rights;
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, Result};
use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::sync::{Arc, Weak};

/// Wishes from which on a list is kept in the kernel: below, to hand it over costs less than to
/// compare it.
const KEPT_MIN: u32 = 32;

/// Host bytes per wish: itself, its place, and an entry with its key.
const CHARGE: u64 = 128;

/// No entry: a clock, or what is ready at once.
const NONE: u32 = u32::MAX;

/// What one thread polled last. To be kept from call to call.
#[derive(Debug)]
pub struct PollSet {
    meter: Arc<dyn Meter>,
    charged: u64,
    kernel: Option<OwnedFd>,
    /// The open file that `kernel` counts as.
    permit: Option<Permit>,
    /// The process that made `kernel`.
    process: u32,
    /// The version of the table that descriptors were looked up in.
    version: u64,
    wishes: Vec<Interest>,
    places: Vec<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_id: HashMap<u64, u32>,
    /// Entries that the kernel has to be told about.
    changed: Vec<u32>,
    /// Wishes that are true at once: files, and what cannot be granted.
    at_once: u32,
    /// Entries that the kernel did not take.
    refused: u32,
}

#[derive(Debug)]
struct Entry {
    descriptor: Weak<Descriptor>,
    id: u64,
    /// Wishes to read and to write.
    wanted: [u32; 2],
    /// What the kernel waits for; `None` when it does not have it.
    kernel: Option<EventFlags>,
    /// Marks the kernel's events, so that those of an earlier entry are known.
    generation: u32,
    is_changed: bool,
    ready: EventFlags,
    /// Why the kernel did not take it.
    refused: Option<Errno>,
}

/// What the kernel told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// Only of what is in the list.
    Here,
    /// Also of what is not in it any more.
    Stale,
}

impl PollSet {
    /// Nothing polled yet.
    #[must_use]
    pub fn new(meter: Arc<dyn Meter>) -> Self {
        forked::watch();
        PollSet {
            meter,
            charged: 0,
            kernel: None,
            permit: None,
            process: forked::generation(),
            version: 0,
            wishes: Vec::new(),
            places: Vec::new(),
            entries: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            changed: Vec::new(),
            at_once: 0,
            refused: 0,
        }
    }

    /// As [`poll`](super::poll()), for any number of wishes; a long list that comes again is quick.
    /// How many bytes can be read is not asked for each: it is 1 where there are some.
    ///
    /// # Errors
    /// As there.
    pub fn poll<E: From<Errno>>(
        &mut self,
        core: &Core,
        count: u32,
        interest: impl Fn(u32) -> std::result::Result<Interest, E>,
        mut report: impl FnMut(u32, Event) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        if count < KEPT_MIN || !self.may_keep() {
            return poll_counting(Bytes::Some, core, count, interest, report);
        }
        self.charge(count)?;
        if self.process != forked::generation() {
            self.start_anew();
        }
        let version = core.table.version();
        let same_table = version == self.version;
        self.shorten(count as usize);
        let mut earliest_ns = None;
        for index in 0..count {
            let wish = interest(index)?;
            earliest_ns = earlier(core, earliest_ns, &wish)?;
            let at = index as usize;
            if !same_table || self.wishes.get(at) != Some(&wish) {
                self.put(core, at, wish);
            }
        }
        self.version = version;
        if self.tell_kernel().is_ok() && self.wait(core, earliest_ns, &mut report)? {
            return Ok(());
        }
        // To wait needs neither a descriptor nor memory: only to be quick the next time does.
        self.start_anew();
        poll_counting(Bytes::Some, core, count, interest, report)
    }

    /// Whether the meter grants the open file that the kernel's set is.
    fn may_keep(&mut self) -> bool {
        if self.permit.is_none() {
            self.permit = Permit::ask(&self.meter, Resource::OpenFiles);
        }
        self.permit.is_some()
    }

    fn charge(&mut self, count: u32) -> Result<()> {
        let wanted = u64::from(count) * CHARGE;
        if wanted > self.charged {
            if !self.meter.grant_all(Resource::HostBytes, wanted - self.charged) {
                return Err(Errno::NOMEM);
            }
            self.charged = wanted;
        }
        Ok(())
    }

    /// Drops the kernel's set; all entries go into the next one.
    fn start_anew(&mut self) {
        self.kernel = None;
        self.process = forked::generation();
        for index in 0..self.entries.len() {
            self.entries[index].kernel = None;
            self.change(index as u32);
        }
    }

    /// Removes the wishes from `len` on.
    fn shorten(&mut self, len: usize) {
        for at in len..self.wishes.len() {
            self.take(at);
        }
        self.wishes.truncate(len);
        self.places.truncate(len);
    }

    /// Takes back what the wish at `at` is counted for.
    fn take(&mut self, at: usize) {
        let (wish, place) = (self.wishes[at], self.places[at]);
        if place == NONE {
            self.at_once -= u32::from(!matches!(wish, Interest::Clock { .. }));
            return;
        }
        self.entries[place as usize].wanted[direction(&wish)] -= 1;
        self.change(place);
    }

    /// Puts a wish at `at`, which is at most one behind the last.
    fn put(&mut self, core: &Core, at: usize, wish: Interest) {
        if self.is_the_same(core, at, &wish) {
            return;
        }
        let (wish, place) = self.find(core, wish);
        if at < self.wishes.len() {
            self.take(at);
            self.wishes[at] = wish;
            self.places[at] = place;
        } else {
            self.wishes.push(wish);
            self.places.push(place);
        }
        if place == NONE {
            self.at_once += u32::from(!matches!(wish, Interest::Clock { .. }));
        } else {
            self.entries[place as usize].wanted[direction(&wish)] += 1;
            self.change(place);
        }
    }

    /// Whether the wish at `at` is this one, about the same descriptor.
    fn is_the_same(&self, core: &Core, at: usize, wish: &Interest) -> bool {
        let (Interest::Read(fd) | Interest::Write(fd)) = wish else { return false };
        match self.places.get(at) {
            None | Some(&NONE) => false,
            Some(&place) => {
                self.wishes[at] == *wish
                    && core.table.pollable_id(*fd) == Some(self.entries[place as usize].id)
            }
        }
    }

    /// The entry that a wish is about; a wish that cannot be granted becomes one that says so.
    fn find(&mut self, core: &Core, wish: Interest) -> (Interest, u32) {
        let (Interest::Read(fd) | Interest::Write(fd)) = wish else { return (wish, NONE) };
        let descriptor = match core.table.get(fd) {
            Ok(descriptor) => descriptor,
            Err(error) => return (Interest::Wrong(error), NONE),
        };
        if !descriptor.allows(Rights::POLL_FD_READWRITE) {
            return (Interest::Wrong(Errno::ACCESS), NONE);
        }
        if let Some(&place) = self.by_id.get(&descriptor.id()) {
            return (wish, place);
        }
        match descriptor.readiness() {
            Err(error) => (Interest::Wrong(error), NONE),
            Ok(Readiness::Always) => (wish, NONE),
            Ok(Readiness::Ask(_)) => (wish, self.insert(&descriptor)),
        }
    }

    fn insert(&mut self, descriptor: &Arc<Descriptor>) -> u32 {
        let index = self.free.pop();
        let generation =
            index.map_or(0, |index| self.entries[index as usize].generation.wrapping_add(1));
        let entry = Entry {
            descriptor: Arc::downgrade(descriptor),
            id: descriptor.id(),
            wanted: [0, 0],
            kernel: None,
            generation,
            is_changed: false,
            ready: EventFlags::empty(),
            refused: None,
        };
        let index = match index {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                // No truncation: there are at most as many entries as wishes in two lists.
                (self.entries.len() - 1) as u32
            }
        };
        self.by_id.insert(descriptor.id(), index);
        index
    }

    fn change(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        if !entry.is_changed {
            entry.is_changed = true;
            self.changed.push(index);
        }
    }

    /// Tells the kernel what differs: removals first, so that nothing new is taken for what goes.
    fn tell_kernel(&mut self) -> Result<()> {
        if self.changed.is_empty() && self.kernel.is_some() {
            return Ok(());
        }
        let kernel = match self.kernel.take() {
            Some(kernel) => kernel,
            None => epoll::create(epoll::CreateFlags::CLOEXEC)?,
        };
        let changed = std::mem::take(&mut self.changed);
        let (gone, kept): (Vec<u32>, Vec<u32>) =
            changed.into_iter().partition(|index| self.entries[*index as usize].wanted == [0, 0]);
        for index in gone {
            let entry = &mut self.entries[index as usize];
            entry.is_changed = false;
            if self.by_id.get(&entry.id) != Some(&index) {
                // It is free already.
                continue;
            }
            self.by_id.remove(&entry.id);
            self.refused -= u32::from(entry.refused.is_some());
            entry.unregister(&kernel);
            self.free.push(index);
        }
        let mut is_short = false;
        for index in kept {
            let entry = &mut self.entries[index as usize];
            self.refused -= u32::from(entry.refused.is_some());
            entry.register(&kernel, index);
            self.refused += u32::from(entry.refused.is_some());
            // As many entries as there may be, or no memory: that is not about the descriptor.
            is_short |= matches!(entry.refused, Some(Errno::NOMEM | Errno::NOSPC));
        }
        self.kernel = Some(kernel);
        if is_short { Err(Errno::NOMEM) } else { Ok(()) }
    }

    /// Waits and reports; false, and nothing is reported: the kernel had to be told anew, and could
    /// not be.
    fn wait<E: From<Errno>>(
        &mut self,
        core: &Core,
        earliest_ns: Option<u64>,
        report: &mut impl FnMut(u32, Event) -> std::result::Result<(), E>,
    ) -> std::result::Result<bool, E> {
        let mut left_ns = earliest_ns;
        loop {
            let timeout_ns = if self.at_once + self.refused > 0 { Some(0) } else { left_ns };
            let looked = self.listen(core, timeout_ns)?;
            if looked == Some(Looked::Stale) {
                self.start_anew();
                if self.tell_kernel().is_err() {
                    return Ok(false);
                }
            }
            // Where nobody has looked, what is ready may be there although the time is over.
            if looked.is_some() && self.report_all(core, report)? > 0 {
                return Ok(true);
            }
            left_ns = self.clocks_left(core)?;
        }
    }

    /// Nanoseconds until the first clock.
    fn clocks_left(&self, core: &Core) -> Result<Option<u64>> {
        self.wishes.iter().try_fold(None, |earliest_ns, wish| earlier(core, earliest_ns, wish))
    }

    /// Waits once and notes what is ready; `None` when a signal ended that which is not for the guest.
    fn listen(&mut self, core: &Core, timeout_ns: Option<u64>) -> Result<Option<Looked>> {
        let Some(kernel) = &self.kernel else { return Err(Errno::IO) };
        let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); EVENTS_MAX];
        let Some(got) = listen_once(core, kernel, &mut buffer, timeout_ns)? else {
            return Ok(None);
        };
        let mut looked = Looked::Here;
        for event in got {
            let (flags, data) = (event.flags, event.data);
            // Truncation splits the mark.
            let (index, generation) = (data.u64() as u32, (data.u64() >> 32) as u32);
            match self.entries.get_mut(index as usize) {
                Some(entry) if entry.generation == generation && entry.kernel.is_some() => {
                    entry.ready = flags;
                }
                _ => looked = Looked::Stale,
            }
        }
        Ok(Some(looked))
    }

    /// Reports each wish that came true, in order; returns how many.
    fn report_all<E: From<Errno>>(
        &mut self,
        core: &Core,
        report: &mut impl FnMut(u32, Event) -> std::result::Result<(), E>,
    ) -> std::result::Result<u32, E> {
        let mut reported = 0;
        let mut result = Ok(());
        for (index, (wish, place)) in (0u32..).zip(self.wishes.iter().zip(&self.places)) {
            let event = match (wish, *place) {
                (Interest::Wrong(error), _) => Some(Event::Failed(*error)),
                (Interest::Clock { clock, deadline_ns }, _) => {
                    let is_due = core.clocks.now(*clock)? >= *deadline_ns;
                    is_due.then_some(Event::Ready { bytes: 0, hangup: false })
                }
                (_, NONE) => Some(Event::Ready { bytes: 1, hangup: false }),
                (wish, place) => self.entries[place as usize].event(wish),
            };
            let Some(event) = event else { continue };
            result = report(index, event);
            if result.is_err() {
                break;
            }
            reported += 1;
        }
        for entry in &mut self.entries {
            entry.ready = EventFlags::empty();
        }
        result.map(|()| reported)
    }
}

impl Drop for PollSet {
    fn drop(&mut self) {
        self.meter.release(Resource::HostBytes, self.charged);
    }
}

/// Where the wishes of this kind are counted.
fn direction(wish: &Interest) -> usize {
    usize::from(matches!(wish, Interest::Write(_)))
}

impl Entry {
    fn unregister(&mut self, kernel: &OwnedFd) {
        let descriptor = self.descriptor.upgrade();
        if let (Some(_), Some(descriptor)) = (self.kernel.take(), descriptor)
            && let Ok(Readiness::Ask(fd)) = descriptor.readiness()
        {
            // If it is not there any more, so much the better.
            let _ = epoll::delete(kernel, fd);
        }
    }

    fn register(&mut self, kernel: &OwnedFd, index: u32) {
        self.is_changed = false;
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.wanted[0] > 0);
        flags.set(EventFlags::OUT, self.wanted[1] > 0);
        if self.kernel == Some(flags) {
            return;
        }
        let mark = u64::from(self.generation) << 32 | u64::from(index);
        let data = epoll::EventData::new_u64(mark);
        let descriptor = self.descriptor.upgrade();
        let result = match descriptor.as_ref().map(|descriptor| descriptor.readiness()) {
            Some(Ok(Readiness::Ask(fd))) if self.kernel.is_some() => {
                epoll::modify(kernel, fd, data, flags)
            }
            Some(Ok(Readiness::Ask(fd))) => epoll::add(kernel, fd, data, flags),
            _ => Err(Errno::BADF),
        };
        self.refused = result.err();
        self.kernel = result.is_ok().then_some(flags);
    }

    fn event(&self, wish: &Interest) -> Option<Event> {
        match self.refused {
            None => {}
            // What it has nothing to ask of is always ready, such as `/dev/null`.
            Some(Errno::PERM) => return Some(Event::Ready { bytes: 1, hangup: false }),
            Some(error) => return Some(Event::Failed(error)),
        }
        let wanted = match wish {
            Interest::Write(_) => EventFlags::OUT,
            _ => EventFlags::IN,
        };
        let always = EventFlags::ERR | EventFlags::HUP;
        if !self.ready.intersects(wanted | always) {
            return None;
        }
        let hangup = self.ready.contains(EventFlags::HUP);
        let bytes = match wish {
            Interest::Read(_) if hangup => {
                self.descriptor.upgrade().map_or(0, |descriptor| descriptor.readable_bytes())
            }
            Interest::Read(_) => u64::from(self.ready.contains(EventFlags::IN)),
            _ => 0,
        };
        Some(Event::Ready { bytes, hangup })
    }
}
