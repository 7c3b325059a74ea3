//! What one guest has: its descriptors and where its time, randomness and allowance come from.

use crate::clock::{Clocks, SystemClocks};
use crate::interrupt::Interrupt;
use crate::meter::{Limits, Meter};
use crate::random::{Random, SystemRandom};
use crate::resolve::Resolver;
use crate::table::DescriptorTable;
use std::sync::Arc;

/// The host's side of a guest. The fields are independent, so that a call can hold a descriptor
/// and ask the meter.
#[derive(Debug)]
pub struct Core {
    /// The guest's descriptors.
    pub table: DescriptorTable,
    /// What limits and stops it.
    pub guard: Guard,
    /// Its time.
    pub clocks: Box<dyn Clocks>,
    /// Its random bytes.
    pub random: Box<dyn Random>,
    /// How its paths are resolved.
    pub resolver: Resolver,
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
            table: DescriptorTable::new(guard.meter.clone()),
            guard,
            clocks: Box::new(SystemClocks),
            random: Box::new(SystemRandom::default()),
            resolver: Resolver::new(),
        }
    }
}

impl Default for Core {
    fn default() -> Self {
        Core::new(Guard::default())
    }
}
