//! `poll_oneoff` of preview 1, where the kernel keeps long lists from call to call.

use super::Result;
use crate::link::{Offers, offer_in_preview1};
use crate::program::Guest;
use crate::thread::Thread;
use wasmoor_host::GuestMemory;
use wasmoor_wasi_p1::calls::poll_oneoff_kept;

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer_in_preview1!(offers,
        poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32);
    );
    Ok(())
}

/// Waits until one of `count` subscriptions comes true.
fn poll_oneoff(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Result {
    thread.with_polled(|kept| {
        Ok(poll_oneoff_kept(thread.wasi(), memory, kept, subscriptions, events, count, out)?)
    })
}
