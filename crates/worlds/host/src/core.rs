//! What one guest has: its descriptors and where its time, randomness and allowance come from.

#[cfg(test)]
mod tests;

use crate::clock::{Clocks, SystemClocks};
use crate::epoll;
use crate::interrupt::Interrupt;
use crate::meter::{Limits, Meter};
use crate::random::{SharedRandom, SystemRandom};
use crate::resolve::Resolver;
use crate::table::DescriptorTable;
use crate::working_dir::WorkingDir;
use rustix::io::Result;
use std::sync::Arc;

/// The host's side of a guest.
///
/// Calls need only a shared reference. A clone is for another thread of the same guest: it shares
/// everything, but has an [`Interrupt`] to be set of its own.
#[derive(Clone, Debug)]
pub struct Core {
    /// The guest's descriptors.
    pub table: Arc<DescriptorTable>,
    /// What limits and stops it.
    pub guard: Guard,
    /// Its time.
    pub clocks: Arc<dyn Clocks>,
    /// Its random bytes.
    pub random: SharedRandom,
    /// How its paths are resolved.
    pub resolver: Resolver,
    /// Where it is, in a world in which absolute paths and `./` mean something.
    pub working_dir: Option<Arc<WorkingDir>>,
}

/// What limits and stops a guest.
#[derive(Clone, Debug)]
pub struct Guard {
    /// What it may spend.
    pub meter: Arc<dyn Meter>,
    /// Whether it must stop.
    pub interrupt: Interrupt,
}

impl Default for Guard {
    fn default() -> Self {
        Guard { meter: Arc::new(Limits::default()), interrupt: Interrupt::default() }
    }
}

impl Core {
    /// No descriptors, the system's clocks and random bytes.
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Core {
            table: Arc::new(DescriptorTable::new(guard.meter.clone())),
            guard,
            clocks: Arc::new(SystemClocks),
            random: SharedRandom::new(SystemRandom::default()),
            resolver: Resolver::new(),
            working_dir: None,
        }
    }
}

impl Core {
    /// Runs a call on paths, and again where a signal broke it off that is not for the guest: some
    /// file systems wait for others. Such a call has done nothing.
    ///
    /// # Errors
    /// Those of `call`; `EINTR` only when the guest must stop.
    pub fn on_paths<T>(&self, mut call: impl FnMut(&Resolver) -> Result<T>) -> Result<T> {
        self.guard.interrupt.retry(|| call(&self.resolver))
    }

    /// Runs `work`, which forks, while no other thread changes what the child goes on with: what
    /// another thread holds at that moment stays held there for ever.
    pub fn hold<R>(&self, work: impl FnOnce() -> R) -> R {
        let _random = self.random.hold();
        let _working_dir = self.working_dir.as_ref().map(|dir| dir.hold());
        self.table.hold(|descriptors| {
            let _each: Vec<_> = descriptors.values().map(|descriptor| descriptor.hold()).collect();
            epoll::hold(descriptors, work)
        })
    }
}

impl Default for Core {
    fn default() -> Self {
        Core::new(Guard::default())
    }
}
