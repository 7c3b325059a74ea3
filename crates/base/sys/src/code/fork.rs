//! Code regions and forks: the list of all regions, and a gate that a fork closes.
//!
//! Whatever takes a region's lock or the list's passes the gate first, so that a closed gate means
//! that nobody holds them, and the child finds them free.

use super::{Inner, Writer};
use crate::vm;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

static GATE: RwLock<()> = RwLock::new(());
/// By id.
static REGIONS: Mutex<BTreeMap<u64, Weak<Inner>>> = Mutex::new(BTreeMap::new());

pub(super) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// While the answer lives, the process does not fork. Do not pass it twice at a time.
pub(super) fn pass_gate() -> RwLockReadGuard<'static, ()> {
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn register(region: Inner) -> Arc<Inner> {
    let region = Arc::new(region);
    let _gate = pass_gate();
    regions().insert(region.id, Arc::downgrade(&region));
    region
}

pub(super) fn unregister(id: u64) {
    let _gate = pass_gate();
    regions().remove(&id);
}

fn regions() -> MutexGuard<'static, BTreeMap<u64, Weak<Inner>>> {
    REGIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn for_each_region(each: impl Fn(&Inner)) {
    for region in regions().values() {
        if let Some(region) = region.upgrade() {
            each(&region);
        }
    }
}

/// A closed gate.
pub(crate) struct PreparedFork {
    _gate: RwLockWriteGuard<'static, ()>,
}

/// Closes the gate, and sees to it that no page will hold code of both sides.
pub(crate) fn prepare_fork() -> PreparedFork {
    let gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
    for_each_region(|region| {
        let mut state = region.lock();
        // The code range is whole pages, so this stays within it.
        state.next = state.next.next_multiple_of(vm::page_bytes());
    });
    PreparedFork { _gate: gate }
}

impl PreparedFork {
    /// Opens the gate in the parent.
    pub(crate) fn parent(self) {}

    /// Takes the right to write the parent's memory files away from the child, and opens the gate.
    pub(crate) fn child(self) {
        for_each_region(|region| {
            let mut state = region.lock();
            if matches!(state.writer, Writer::DualMapped(_)) {
                state.writer = Writer::Inherited;
            }
        });
    }
}
