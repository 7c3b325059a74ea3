//! Whether this process forked, or was forked.
//!
//! After a fork parent and child have the same kernel objects: what one takes out of a set of
//! descriptors is gone for the other, and closing a descriptor does not end what it stands for.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use wasmoor_sys::fork::{Hooks, register};

/// Forks between the first process and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Whether there may be another process with our kernel objects.
static SHARES: AtomicBool = AtomicBool::new(false);

fn nothing() {}

fn parent() {
    SHARES.store(true, Ordering::Relaxed);
}

fn child() {
    SHARES.store(true, Ordering::Relaxed);
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

static HOOKS: Hooks = Hooks { prepare: nothing, parent, child };

/// A number that differs in a process and each of its children, from the first call on.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Whether other processes may have the kernel objects that this one has.
pub(crate) fn shares() -> bool {
    SHARES.load(Ordering::Relaxed)
}

/// To be called before the first object is made that depends on the above.
pub(crate) fn watch() {
    register(&HOOKS);
}
