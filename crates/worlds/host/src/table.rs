//! The table from a guest's numbers to its descriptors.
//!
//! New descriptors get the lowest free number, as POSIX programs expect. The table is charged to
//! the meter by entry, so its size is bounded by what the meter grants.
//!
//! Invariants: `free` holds exactly the numbers below `entries.len()` whose entry is `None`.

use crate::descriptor::Descriptor;
use crate::meter::{Meter, Resource};
use rustix::io::{Errno, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// The descriptors of one guest.
#[derive(Debug)]
pub struct DescriptorTable {
    entries: Vec<Option<Descriptor>>,
    /// The lowest comes out first.
    free: BinaryHeap<Reverse<u32>>,
    meter: Arc<dyn Meter>,
}

impl DescriptorTable {
    /// An empty table whose entries are charged to `meter`.
    #[must_use]
    pub fn new(meter: Arc<dyn Meter>) -> Self {
        DescriptorTable { entries: Vec::new(), free: BinaryHeap::new(), meter }
    }

    /// Descriptors in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
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
    pub fn get(&self, fd: u32) -> Result<&Descriptor> {
        self.entries.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    /// The descriptor with this number.
    ///
    /// # Errors
    /// `EBADF` when there is none.
    pub fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor> {
        self.entries.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// Asks the meter for one more entry. To be called before the work of opening is done; what is
    /// not inserted after all goes back with the [`Reservation`].
    ///
    /// # Errors
    /// `EMFILE` when the meter refuses.
    pub fn reserve(&self) -> Result<Reservation> {
        if !self.meter.grant_all(Resource::OpenFiles, 1) {
            return Err(Errno::MFILE);
        }
        Ok(Reservation { meter: Some(self.meter.clone()) })
    }

    /// Puts a descriptor under the lowest free number.
    ///
    /// # Errors
    /// `EMFILE` when the numbers are used up.
    pub fn insert(&mut self, reservation: Reservation, descriptor: Descriptor) -> Result<u32> {
        let fd = match self.free.pop() {
            Some(Reverse(fd)) => {
                self.entries[fd as usize] = Some(descriptor);
                fd
            }
            None => {
                let fd = u32::try_from(self.entries.len()).map_err(|_| Errno::MFILE)?;
                self.entries.push(Some(descriptor));
                fd
            }
        };
        reservation.keep();
        Ok(fd)
    }

    /// Reserves and inserts.
    ///
    /// # Errors
    /// `EMFILE` when the meter refuses.
    pub fn push(&mut self, descriptor: Descriptor) -> Result<u32> {
        let reservation = self.reserve()?;
        self.insert(reservation, descriptor)
    }

    /// Puts a descriptor behind all numbers there are, for what an embedder gives in order.
    ///
    /// # Errors
    /// `EMFILE` when the meter refuses.
    pub fn push_at_end(&mut self, descriptor: Descriptor) -> Result<u32> {
        let reservation = self.reserve()?;
        let fd = u32::try_from(self.entries.len()).map_err(|_| Errno::MFILE)?;
        self.entries.push(Some(descriptor));
        reservation.keep();
        Ok(fd)
    }

    /// Adds a free number at the end: a standard stream that is closed. As in POSIX the next
    /// descriptor that is opened gets it.
    pub fn skip(&mut self) {
        if let Ok(fd) = u32::try_from(self.entries.len()) {
            self.entries.push(None);
            self.free.push(Reverse(fd));
        }
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    /// `EBADF` when there is none.
    pub fn remove(&mut self, fd: u32) -> Result<Descriptor> {
        let descriptor = self.take(fd)?;
        self.free.push(Reverse(fd));
        Ok(descriptor)
    }

    /// Empties an entry and gives back what it was charged; the caller makes its number free or
    /// fills it again.
    fn take(&mut self, fd: u32) -> Result<Descriptor> {
        let entry = self.entries.get_mut(fd as usize).ok_or(Errno::BADF)?;
        let mut descriptor = entry.take().ok_or(Errno::BADF)?;
        descriptor.release(&*self.meter);
        self.meter.release(Resource::OpenFiles, 1);
        Ok(descriptor)
    }

    /// Moves the descriptor `from` to the number `to`, whose descriptor is closed. Nothing happens
    /// when both are the same.
    ///
    /// # Errors
    /// `EBADF` when either is not open; then nothing changes.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<()> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(());
        }
        drop(self.take(to)?);
        self.entries.swap(from as usize, to as usize);
        self.free.push(Reverse(from));
        Ok(())
    }
}

impl Drop for DescriptorTable {
    fn drop(&mut self) {
        for descriptor in self.entries.iter_mut().flatten() {
            descriptor.release(&*self.meter);
            self.meter.release(Resource::OpenFiles, 1);
        }
    }
}

/// One granted entry that is not in the table yet.
#[derive(Debug)]
pub struct Reservation {
    meter: Option<Arc<dyn Meter>>,
}

impl Reservation {
    fn keep(mut self) {
        self.meter = None;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.release(Resource::OpenFiles, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Object;
    use crate::meter::Limits;

    fn table(open_files_max: u64) -> (Arc<Limits>, DescriptorTable) {
        let limits = Arc::new(Limits::new().with(Resource::OpenFiles, open_files_max));
        (limits.clone(), DescriptorTable::new(limits))
    }

    fn null() -> Descriptor {
        Descriptor::new(Object::Null)
    }

    #[test]
    fn lowest_number_first() {
        let (limits, mut table) = table(10);
        for expect in 0..4 {
            assert_eq!(table.push(null()), Ok(expect));
        }
        table.remove(2).unwrap();
        table.remove(0).unwrap();
        assert_eq!(table.push(null()), Ok(0));
        assert_eq!(table.push(null()), Ok(2));
        assert_eq!(table.push(null()), Ok(4));
        assert_eq!((table.len(), limits.left(Resource::OpenFiles)), (5, 5));
        drop(table);
        assert_eq!(limits.left(Resource::OpenFiles), 10);
    }

    #[test]
    fn the_meter_bounds_it() {
        let (_, mut table) = table(2);
        table.push(null()).unwrap();
        let reservation = table.reserve().unwrap();
        assert_eq!(table.push(null()), Err(Errno::MFILE));
        drop(reservation);
        assert_eq!(table.push(null()), Ok(1));
        assert_eq!(table.push(null()), Err(Errno::MFILE));
    }

    #[test]
    fn renumber_all_pairs() {
        let numbers = [0u32, 1, 2, 3, 4, 100, 1 << 31, u32::MAX];
        for from in numbers {
            for to in numbers {
                let (limits, mut table) = table(10);
                table.skip();
                for _ in 0..4 {
                    table.push(null()).unwrap();
                }
                table.remove(3).unwrap();
                // 0, 1 and 2 are open.
                let both = from < 3 && to < 3;
                let result = table.renumber(from, to);
                assert_eq!(result, if both { Ok(()) } else { Err(Errno::BADF) }, "{from} {to}");
                let moved = both && from != to;
                assert_eq!(table.len(), if moved { 2 } else { 3 }, "{from} {to}");
                assert_eq!(limits.left(Resource::OpenFiles), 10 - table.len() as u64);
                assert_eq!(table.get(from).is_ok(), from < 3 && !moved, "{from} {to}");
                if moved {
                    assert_eq!(table.push(null()), Ok(from), "{from} {to}");
                }
            }
        }
    }

    #[test]
    fn skipped_numbers_are_closed() {
        let (_, mut table) = table(3);
        table.skip();
        assert!(table.get(0).is_err() && table.remove(0).is_err());
        assert_eq!(table.push(null()), Ok(0));
    }
}
