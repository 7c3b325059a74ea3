//! Waiting for descriptors and clocks at once.
//!
//! The caller's wishes are copied first, charged to the meter; then one `poll` waits for all
//! descriptors and the earliest clock. Regular files, directories and streams in memory are always
//! ready.

mod set;

pub use self::set::PollSet;

use crate::clock::ClockId;
use crate::core::Core;
use crate::descriptor::{Descriptor, Readiness};
use crate::meter::Resource;
use crate::rights::Rights;
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, Result};
use std::sync::Arc;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A clock that shows at least this time.
    Clock {
        /// Which one.
        clock: ClockId,
        /// Its time.
        deadline_ns: u64,
    },
    /// A descriptor that can be read without waiting.
    Read(u32),
    /// A descriptor that can be written without waiting.
    Write(u32),
    /// Nothing: answered with this error at once, as `EACCES` for a descriptor that gave up the
    /// right to be polled.
    Wrong(Errno),
}

/// Why a wish came true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time has come, or the descriptor is ready.
    Ready {
        /// Bytes that can be read at once, where that is known.
        bytes: u64,
        /// The other side is gone.
        hangup: bool,
    },
    /// The wish cannot be granted.
    Failed(Errno),
}

/// Host bytes per wish.
const CHARGE: u64 = (size_of::<Wish>() + size_of::<PollFd<'_>>()) as u64;

/// An interest with its descriptor, which stays open while it is waited for.
struct Wish {
    interest: Interest,
    descriptor: Option<Arc<Descriptor>>,
}

impl Wish {
    fn new(core: &Core, interest: Interest) -> Self {
        let (interest, descriptor) = match interest {
            Interest::Read(fd) | Interest::Write(fd) => match core.table.get(fd) {
                Ok(descriptor) if !descriptor.allows(Rights::POLL_FD_READWRITE) => {
                    (Interest::Wrong(Errno::ACCESS), None)
                }
                Ok(descriptor) => (interest, Some(descriptor)),
                Err(errno) => (Interest::Wrong(errno), None),
            },
            other => (other, None),
        };
        Wish { interest, descriptor }
    }
}

/// Waits until at least one of `count` wishes comes true, then reports each that did, in order.
///
/// # Errors
/// `EINVAL` for no wish at all, `ENOMEM` when the meter refuses, `EINTR` when the guest must stop;
/// those of `interest` and `report`.
pub fn poll<E: From<Errno>>(
    core: &Core,
    count: u32,
    interest: impl Fn(u32) -> std::result::Result<Interest, E>,
    report: impl FnMut(u32, Event) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    poll_counting(Bytes::All, core, count, interest, report)
}

/// What an event says of the bytes that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    /// How many there are: the kernel is asked for each.
    All,
    /// 1 when there are some.
    Some,
}

/// [`poll`] with a choice of what is told.
fn poll_counting<E: From<Errno>>(
    bytes: Bytes,
    core: &Core,
    count: u32,
    interest: impl Fn(u32) -> std::result::Result<Interest, E>,
    mut report: impl FnMut(u32, Event) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if count == 0 {
        return Err(Errno::INVAL.into());
    }
    let charge = u64::from(count) * CHARGE;
    if !core.guard.meter.grant_all(Resource::HostBytes, charge) {
        return Err(Errno::NOMEM.into());
    }
    let result = (0..count)
        .map(|index| interest(index).map(|interest| Wish::new(core, interest)))
        .collect::<std::result::Result<Vec<_>, E>>()
        .and_then(|wishes| wait(bytes, core, &wishes, &mut report));
    core.guard.meter.release(Resource::HostBytes, charge);
    result
}

fn wait<E: From<Errno>>(
    bytes: Bytes,
    core: &Core,
    wishes: &[Wish],
    report: &mut dyn FnMut(u32, Event) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut waiting = Waiting::new(wishes);
    loop {
        let timeout_ns = waiting.timeout_ns(core, wishes)?;
        match core.clocks.wait(&mut waiting.fds, timeout_ns) {
            // A signal that is not for the guest: nobody has looked, also where the time is over.
            Err(Errno::INTR) if !core.guard.interrupt.is_pending() => continue,
            result => result?,
        };
        let mut events = 0;
        let mut fds = waiting.fds.iter();
        for (index, wish) in (0u32..).zip(wishes) {
            if let Some(event) = event(bytes, core, wish, &mut fds)? {
                report(index, event)?;
                events += 1;
            }
        }
        if events > 0 {
            return Ok(());
        }
    }
}

struct Waiting<'a> {
    /// One for each wish that needs the kernel, in order.
    fds: Vec<PollFd<'a>>,
    /// Something is ready without waiting.
    at_once: bool,
}

impl<'a> Waiting<'a> {
    fn new(wishes: &'a [Wish]) -> Self {
        let mut waiting = Waiting { fds: Vec::new(), at_once: false };
        for wish in wishes {
            let flags = match wish.interest {
                Interest::Read(_) => PollFlags::IN,
                _ => PollFlags::OUT,
            };
            match wish.descriptor.as_deref().map(Descriptor::readiness) {
                Some(Ok(Readiness::Ask(fd))) => {
                    waiting.fds.push(PollFd::from_borrowed_fd(fd, flags));
                }
                Some(Ok(Readiness::Always) | Err(_)) => waiting.at_once = true,
                None => waiting.at_once |= matches!(wish.interest, Interest::Wrong(_)),
            }
        }
        waiting
    }

    fn timeout_ns(&self, core: &Core, wishes: &[Wish]) -> Result<Option<u64>> {
        if self.at_once {
            return Ok(Some(0));
        }
        wishes.iter().try_fold(None, |earliest, wish| earlier(core, earliest, &wish.interest))
    }
}

/// The nanoseconds until an interest's clock, if it is one and that is earlier than `earliest_ns`.
fn earlier(core: &Core, earliest_ns: Option<u64>, interest: &Interest) -> Result<Option<u64>> {
    let Interest::Clock { clock, deadline_ns } = interest else { return Ok(earliest_ns) };
    let left_ns = deadline_ns.saturating_sub(core.clocks.now(*clock)?);
    Ok(Some(earliest_ns.map_or(left_ns, |earliest_ns| earliest_ns.min(left_ns))))
}

fn event<'f, 'a: 'f>(
    counts: Bytes,
    core: &Core,
    wish: &Wish,
    fds: &mut impl Iterator<Item = &'f PollFd<'a>>,
) -> Result<Option<Event>> {
    match &wish.interest {
        Interest::Wrong(errno) => return Ok(Some(Event::Failed(*errno))),
        Interest::Clock { clock, deadline_ns } => {
            let come = core.clocks.now(*clock)? >= *deadline_ns;
            return Ok(come.then_some(Event::Ready { bytes: 0, hangup: false }));
        }
        Interest::Read(_) | Interest::Write(_) => {}
    }
    let reads = matches!(wish.interest, Interest::Read(_));
    let Some(descriptor) = &wish.descriptor else { return Ok(None) };
    let flags = match descriptor.readiness() {
        Err(errno) => return Ok(Some(Event::Failed(errno))),
        Ok(Readiness::Always) => PollFlags::empty(),
        Ok(Readiness::Ask(_)) => match fds.next().map(PollFd::revents) {
            None => return Ok(None),
            Some(flags) if flags.is_empty() => return Ok(None),
            Some(flags) => flags,
        },
    };
    if flags.contains(PollFlags::NVAL) {
        return Ok(Some(Event::Failed(Errno::BADF)));
    }
    let hangup = flags.intersects(PollFlags::HUP | PollFlags::RDHUP);
    let bytes = match counts {
        _ if !reads => 0,
        Bytes::Some if !hangup => u64::from(!flags.contains(PollFlags::ERR)),
        _ => descriptor.readable_bytes(),
    };
    Ok(Some(Event::Ready { bytes, hangup }))
}
