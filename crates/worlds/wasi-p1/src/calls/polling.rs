//! Waiting for clocks and descriptors.

use super::Result;
use crate::abi::{Bytes, EVENT_BYTES, Out, Version, clock_id};
use crate::context::WasiCtx;
use crate::errno::Errno;
use wasmoor_host::poll::{Event, Interest, PollSet, poll};
use wasmoor_host::{ClockId, Core, GuestMemory};

/// Kinds of subscriptions and events.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

/// Flag of an event: the other side is gone.
const HANGUP: u16 = 1;
/// Flag of a clock's subscription: the time is absolute.
const ABSOLUTE: u16 = 1;

/// Waits until one of `count` subscriptions at `subscriptions` comes true and writes an event for
/// each that did.
///
/// # Errors
/// `inval` for none at all or one of an unknown kind, `nomem` when they are more than the meter
/// allows, `intr` when the guest must stop.
pub fn poll_oneoff(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Result {
    let to = [subscriptions, events, count, out];
    poll_in_version(Version::Preview1, ctx, memory, to, None)
}

/// As [`poll_oneoff`], for worlds that keep what a thread waits for from call to call. Bytes that
/// can be read are not counted: where there are some the answer is 1.
///
/// # Errors
/// As there.
pub fn poll_oneoff_kept(
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    kept: &mut PollSet,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Result {
    let to = [subscriptions, events, count, out];
    poll_in_version(Version::Preview1, ctx, memory, to, Some(kept))
}

/// `poll_oneoff` of either version.
pub(crate) fn poll_in_version(
    version: Version,
    ctx: &WasiCtx,
    memory: &GuestMemory<'_>,
    [subscriptions, events, count, out]: [u32; 4],
    kept: Option<&mut PollSet>,
) -> Result {
    let out = Out::for_u32(memory, out)?;
    let places = u64::from(count) * u64::from(EVENT_BYTES);
    memory.slice(events, places)?;
    memory.slice(subscriptions, u64::from(count) * u64::from(version.subscription_bytes()))?;
    let core = &ctx.core;
    let start = u64::from(subscriptions);
    let at = |index| start + u64::from(index) * u64::from(version.subscription_bytes());
    let mut reported = 0u32;
    let interest = |index| interest(version, core, memory, at(index));
    let report = |index: u32, event: Event| -> Result {
        let place = u64::from(events) + u64::from(reported) * u64::from(EVENT_BYTES);
        put_event(memory, at(index), place, event)?;
        reported += 1;
        Ok(())
    };
    match kept {
        None => poll(core, count, interest, report)?,
        Some(kept) => kept.poll(core, count, interest, report)?,
    }
    out.put(&reported.to_le_bytes());
    Ok(())
}

/// The subscription at `at`.
fn interest(version: Version, core: &Core, memory: &GuestMemory<'_>, at: u64) -> Result<Interest> {
    let fd = || memory.read_u32(at + 16);
    match memory.read_u8(at + 8)? {
        CLOCK => {
            let at = at + u64::from(version.subscription_clock_at());
            let (id, time_ns) = (memory.read_u32(at)?, memory.read_u64(at + 8)?);
            Ok(deadline(core, id, time_ns, memory.read_u16(at + 24)?))
        }
        FD_READ => Ok(Interest::Read(fd()?)),
        FD_WRITE => Ok(Interest::Write(fd()?)),
        _ => Err(Errno::Inval),
    }
}

/// A wrong clock is the answer of its own subscription, not of all.
fn deadline(core: &Core, id: u32, time_ns: u64, flags: u16) -> Interest {
    let clock = match clock_id(id) {
        Ok(clock @ (ClockId::Realtime | ClockId::Monotonic)) => clock,
        // Processor time stands still while the guest waits for it.
        Ok(_) => return Interest::Wrong(wasmoor_host::Errno::NOTSUP),
        Err(_) => return Interest::Wrong(wasmoor_host::Errno::INVAL),
    };
    match flags {
        ABSOLUTE => Interest::Clock { clock, deadline_ns: time_ns },
        // How long a wait lasts does not depend on what time it is.
        0 => match core.clocks.now(ClockId::Monotonic) {
            Ok(now) => Interest::Clock {
                clock: ClockId::Monotonic,
                deadline_ns: now.saturating_add(time_ns),
            },
            Err(error) => Interest::Wrong(error),
        },
        _ => Interest::Wrong(wasmoor_host::Errno::INVAL),
    }
}

/// Writes the event of the subscription at `at` to `place`.
fn put_event(memory: &GuestMemory<'_>, at: u64, place: u64, event: Event) -> Result {
    let (user_data, kind) = (memory.read_u64(at)?, memory.read_u8(at + 8)?);
    let head = Bytes::<{ EVENT_BYTES as usize }>::new().u64(0, user_data).u8(10, kind);
    let event = match event {
        Event::Failed(wasmoor_host::Errno::ACCESS) => head.u16(8, Errno::NotCapable.raw()),
        Event::Failed(error) => head.u16(8, Errno::from(error).raw()),
        Event::Ready { bytes, hangup } => {
            head.u64(16, bytes).u16(24, if hangup { HANGUP } else { 0 })
        }
    };
    memory.write_bytes(place, event.bytes())?;
    Ok(())
}
