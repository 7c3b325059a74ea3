//! The meter: what a guest may make the host spend, asked before it is spent.
//!
//! Whoever is about to spend asks for a grant; a grant may be smaller than the wish, or nothing.
//! What is freed later is given back with [`Meter::release`]. The default, [`Limits`], is a set of
//! counters; an embedder may put its own meter there, shared by as many guests as it likes.

use crate::limits;
use rustix::io::{Errno, Result};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is metered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Descriptors in the guest's table, and those that the host keeps open for its sockets and for
    /// what it waits for; given back when closed.
    OpenFiles,
    /// Sockets that the guest opened or accepted; given back when closed.
    Sockets,
    /// Bytes that the guest writes to files, streams and sockets, and what else it puts on the disk
    /// ([`crate::charge`] says how that counts); never given back.
    OutputBytes,
    /// Bytes that the host allocates for calls of the guest; given back when freed.
    HostBytes,
}

/// Decides how much of a resource a guest gets.
pub trait Meter: Debug + Send + Sync {
    /// Grants at most `wanted` and counts what it granted.
    fn grant(&self, resource: Resource, wanted: u64) -> u64;

    /// Takes back what was granted and is not, or no longer, used.
    fn release(&self, resource: Resource, amount: u64);

    /// Whether there is a limit at all: work that only serves to know what to charge is left out
    /// where there is none.
    fn is_limited(&self, _: Resource) -> bool {
        true
    }

    /// Grants all of `wanted` or nothing; true when granted.
    fn grant_all(&self, resource: Resource, wanted: u64) -> bool {
        let granted = self.grant(resource, wanted);
        if granted < wanted {
            self.release(resource, granted);
        }
        granted >= wanted
    }
}

/// Some of a resource, granted by a meter until this is dropped.
#[derive(Debug)]
pub struct Permit {
    meter: Arc<dyn Meter>,
    resource: Resource,
    amount: u64,
}

impl Permit {
    /// Asks for one more.
    pub(crate) fn ask(meter: &Arc<dyn Meter>, resource: Resource) -> Option<Self> {
        Self::ask_for(meter, resource, 1)
    }

    /// Asks for all of `amount`.
    #[must_use]
    pub fn ask_for(meter: &Arc<dyn Meter>, resource: Resource, amount: u64) -> Option<Self> {
        let permit = || Permit { meter: meter.clone(), resource, amount };
        meter.grant_all(resource, amount).then(permit)
    }

    /// How much it is.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Asks for a socket.
    ///
    /// # Errors
    /// `ENOBUFS` when the meter refuses.
    pub(crate) fn socket(meter: &Arc<dyn Meter>) -> Result<Self> {
        Self::ask(meter, Resource::Sockets).ok_or(Errno::NOBUFS)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.meter.release(self.resource, self.amount);
    }
}

/// Grants everything. For hosts that limit their guests from outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Meter for Unlimited {
    fn grant(&self, _: Resource, wanted: u64) -> u64 {
        wanted
    }

    fn release(&self, _: Resource, _: u64) {}

    fn is_limited(&self, _: Resource) -> bool {
        false
    }
}

/// A fixed maximum for each resource; `u64::MAX` is none, and then nothing is counted.
#[derive(Debug)]
pub struct Limits {
    open_files: Counter,
    sockets: Counter,
    output_bytes: Counter,
    host_bytes: Counter,
}

#[derive(Debug)]
struct Counter {
    left: AtomicU64,
}

impl Counter {
    fn new(max: u64) -> Self {
        Counter { left: AtomicU64::new(max) }
    }

    fn take(&self, wanted: u64) -> u64 {
        let take = |left: u64| (left != u64::MAX).then(|| left - left.min(wanted));
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(left) | Err(left) => left.min(wanted),
        }
    }

    fn give(&self, amount: u64) {
        let give = |left: u64| Some(left.saturating_add(amount));
        // The closure never refuses.
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, give);
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            open_files: Counter::new(limits::OPEN_FILES_DEFAULT),
            // The open files bound them too.
            sockets: Counter::new(u64::MAX),
            output_bytes: Counter::new(u64::MAX),
            host_bytes: Counter::new(limits::HOST_BYTES_DEFAULT),
        }
    }
}

impl Limits {
    /// The default maxima: 4096 open files, any output, 64 MiB of host memory.
    #[must_use]
    pub fn new() -> Self {
        Limits::default()
    }

    /// The same with another maximum for one resource.
    #[must_use]
    pub fn with(mut self, resource: Resource, max: u64) -> Self {
        *match resource {
            Resource::OpenFiles => &mut self.open_files,
            Resource::Sockets => &mut self.sockets,
            Resource::OutputBytes => &mut self.output_bytes,
            Resource::HostBytes => &mut self.host_bytes,
        } = Counter::new(max);
        self
    }

    /// What may still be granted.
    #[must_use]
    pub fn left(&self, resource: Resource) -> u64 {
        self.counter(resource).left.load(Ordering::Relaxed)
    }

    fn counter(&self, resource: Resource) -> &Counter {
        match resource {
            Resource::OpenFiles => &self.open_files,
            Resource::Sockets => &self.sockets,
            Resource::OutputBytes => &self.output_bytes,
            Resource::HostBytes => &self.host_bytes,
        }
    }
}

impl Meter for Limits {
    fn grant(&self, resource: Resource, wanted: u64) -> u64 {
        self.counter(resource).take(wanted)
    }

    fn release(&self, resource: Resource, amount: u64) {
        self.counter(resource).give(amount);
    }

    fn is_limited(&self, resource: Resource) -> bool {
        self.left(resource) != u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_what_is_left() {
        let limits = Limits::new().with(Resource::OutputBytes, 10);
        assert_eq!(limits.grant(Resource::OutputBytes, 7), 7);
        assert_eq!(limits.grant(Resource::OutputBytes, 7), 3);
        assert_eq!(limits.grant(Resource::OutputBytes, 7), 0);
        limits.release(Resource::OutputBytes, 4);
        assert_eq!(limits.left(Resource::OutputBytes), 4);
        assert!(!limits.grant_all(Resource::OutputBytes, 5));
        assert_eq!(limits.left(Resource::OutputBytes), 4);
        assert!(limits.grant_all(Resource::OutputBytes, 4));
        assert_eq!(limits.left(Resource::OpenFiles), limits::OPEN_FILES_DEFAULT);
    }

    #[test]
    fn no_limit_is_not_counted() {
        let limits = Limits::new();
        assert!(!limits.is_limited(Resource::OutputBytes));
        assert_eq!(limits.grant(Resource::OutputBytes, u64::MAX), u64::MAX);
        assert_eq!(limits.grant(Resource::OutputBytes, 9), 9);
        assert_eq!(limits.left(Resource::OutputBytes), u64::MAX);
        let limits = limits.with(Resource::OutputBytes, 0);
        assert!(
            limits.is_limited(Resource::OutputBytes) && !Unlimited.is_limited(Resource::HostBytes)
        );
    }
}
