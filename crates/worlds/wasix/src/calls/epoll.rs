//! Sets of descriptors to wait for: `epoll`.
//!
//! The numbers of operations come in two kinds: libraries in C pass those of Linux, the interface's
//! own description, and what was made from it, has others. 1 is "add" in one and "change" in the
//! other; what the libraries put into the event tells them apart.

use super::Result;
use super::sockets::descriptor;
use crate::abi::Out;
use crate::errno::Errno;
use crate::link::{Offers, offer};
use crate::program::Guest;
use crate::thread::Thread;
use rustix::io::Errno as Host;
use wasmoor_host::epoll::{self, Data, Epoll, EventFlags};
use wasmoor_host::{Descriptor, GuestMemory, Rights};

/// Defines the family.
pub(crate) fn offer<T: Guest>(offers: &mut Offers<'_, T>) -> wasmoor::Result<()> {
    offer!(offers,
        epoll_create(out: u32);
        epoll_ctl(epfd: u32, operation: u32, fd: u32, event: u32);
        epoll_wait(epfd: u32, events: u32, max: u32, timeout_ns: u64, out: u32);
    );
    Ok(())
}

/// Size of `epoll_event`: the events, and at 8 the data: `ptr` and `fd` of 32 bits, at 16 `data1` of
/// 32 bits, at 24 `data2` of 64.
const EVENT_BYTES: u32 = 32;

/// Bits of `epoll_type`, each with the kernel's.
const EVENTS: &[(u32, EventFlags)] = &[
    (1 << 0, EventFlags::IN),
    (1 << 1, EventFlags::OUT),
    (1 << 2, EventFlags::RDHUP),
    (1 << 3, EventFlags::PRI),
    (1 << 4, EventFlags::ERR),
    (1 << 5, EventFlags::HUP),
    (1 << 6, EventFlags::ET),
    (1 << 7, EventFlags::ONESHOT),
];

fn to_kernel(raw: u32) -> Result<EventFlags> {
    let known = EVENTS.iter().fold(0, |known, (bit, _)| known | bit);
    if raw & !known != 0 {
        return Err(Host::INVAL.into());
    }
    let set = EVENTS.iter().filter(|(bit, _)| raw & bit != 0);
    Ok(set.fold(EventFlags::empty(), |flags, (_, flag)| flags | *flag))
}

fn from_kernel(flags: EventFlags) -> u32 {
    let set = EVENTS.iter().filter(|(_, flag)| flags.contains(*flag));
    set.fold(0, |raw, (bit, _)| raw | bit)
}

/// Makes an empty set.
fn epoll_create(thread: &Thread, memory: &GuestMemory<'_>, out: u32) -> Result {
    let out = Out::for_u32(memory, out)?;
    let core = thread.core();
    let place = core.table.reserve()?;
    let set = epoll::create(&core.guard)?;
    out.put_u32(core.table.insert(place, set)?);
    Ok(())
}

/// What an event in guest memory says.
struct Wanted {
    events: u32,
    /// `ptr` and `fd` in one, `data1`, `data2`.
    data: Data,
}

impl Wanted {
    fn read(memory: &GuestMemory<'_>, at: u32) -> Result<Self> {
        if at == 0 {
            return Err(Host::INVAL.into());
        }
        memory.slice(at, EVENT_BYTES)?;
        let at = u64::from(at);
        let data =
            [memory.read_u64(at + 8)?, memory.read_u32(at + 16)?.into(), memory.read_u64(at + 24)?];
        Ok(Wanted { events: memory.read_u32(at)?, data })
    }
}

/// The pointer, and the low half of the 64 bits that are the user's.
fn pointer_and_low(data: &Data) -> (u32, u32) {
    // Truncation takes the low halves.
    (data[0] as u32, data[2] as u32)
}

enum Operation {
    Add,
    Modify,
    Delete,
}

/// The operation of a number. For 1 the C library's events have one value as pointer, as `data1`
/// and as the low half of `data2`; those of others leave the former two 0.
fn operation(raw: u32, data: &Data, is_known: impl FnOnce() -> bool) -> Result<Operation> {
    let (pointer, low) = pointer_and_low(data);
    Ok(match raw {
        0 => Operation::Add,
        1 if pointer == 0 && data[1] == 0 && (low != 0 || is_known()) => Operation::Modify,
        1 => Operation::Add,
        2 => Operation::Delete,
        3 => Operation::Modify,
        _ => return Err(Host::INVAL.into()),
    })
}

/// Adds, changes or removes an entry.
fn epoll_ctl(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    epfd: u32,
    operation: u32,
    fd: u32,
    event: u32,
) -> Result {
    let table = &thread.core().table;
    let (epoll, target) = (table.get(epfd)?, descriptor(thread, fd, Rights::POLL_FD_READWRITE)?);
    let set = epoll::of(&epoll)?;
    const DELETE: u32 = 2;
    if operation == DELETE {
        return Ok(set.remove(fd, &target)?);
    }
    let wanted = Wanted::read(memory, event)?;
    let events = to_kernel(wanted.events)?;
    change(set, fd, &target, operation, events, wanted.data)
}

fn change(
    set: &Epoll,
    fd: u32,
    target: &std::sync::Arc<Descriptor>,
    raw: u32,
    events: EventFlags,
    data: Data,
) -> Result<(), Errno> {
    match operation(raw, &data, || set.has(fd, target))? {
        Operation::Add => Ok(set.add(fd, target, events, data)?),
        Operation::Modify => Ok(set.modify(fd, target, events, data)?),
        Operation::Delete => Ok(set.remove(fd, target)?),
    }
}

/// What the guest reads of an event. The C library takes the first of `ptr`, `fd`, `data1` and
/// `data2` that is not 0 for the user's value; where all others are 0, `fd` must be too.
fn shown(data: &Data) -> Data {
    let (pointer, low) = pointer_and_low(data);
    let is_bare = pointer == 0 && data[1] == 0 && low == 0;
    if is_bare { [0, 0, data[2]] } else { *data }
}

/// Waits until something in a set is ready, and puts at most `max` events.
fn epoll_wait(
    thread: &Thread,
    memory: &GuestMemory<'_>,
    epfd: u32,
    events: u32,
    max: u32,
    timeout_ns: u64,
    out: u32,
) -> Result {
    let out = Out::for_u32(memory, out)?;
    let epoll = thread.core().table.get(epfd)?;
    epoll::of(&epoll)?;
    // The number is signed.
    if max.cast_signed() <= 0 {
        return Err(Host::INVAL.into());
    }
    let start = u64::from(events);
    memory.slice(start, u64::from(max) * u64::from(EVENT_BYTES))?;
    let timeout_ns = (timeout_ns != u64::MAX).then_some(timeout_ns);
    let report = |index: u32, flags: EventFlags, data: &Data| -> Result {
        let data = shown(data);
        let mut bytes = [0; EVENT_BYTES as usize];
        bytes[..4].copy_from_slice(&from_kernel(flags).to_le_bytes());
        bytes[8..16].copy_from_slice(&data[0].to_le_bytes());
        // Truncation: it was 32 bits when it was read.
        bytes[16..20].copy_from_slice(&(data[1] as u32).to_le_bytes());
        bytes[24..].copy_from_slice(&data[2].to_le_bytes());
        Ok(memory.write_bytes(start + u64::from(index) * u64::from(EVENT_BYTES), &bytes)?)
    };
    let count = epoll::wait(thread.core(), &epoll, max, timeout_ns, report)?;
    out.put_u32(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_those_of_the_kernel() {
        for (bit, _) in EVENTS {
            assert_eq!(from_kernel(to_kernel(*bit).unwrap()), *bit);
        }
        assert_eq!(to_kernel(0xff).map(from_kernel), Ok(0xff));
        assert!(to_kernel(0x100).is_err() && to_kernel(u32::MAX).is_err());
    }

    #[test]
    fn one_is_add_or_change_by_its_event() {
        let is_change =
            |data: Data, known| matches!(operation(1, &data, || known), Ok(Operation::Modify));
        let fd = 9 << 32;
        // The C library: pointer, `data1` and the low half are the user's value.
        assert!(!is_change([fd | 5, 5, 5], true));
        assert!(!is_change([fd, 0, 0], false));
        // Others: a token in `data2` only.
        assert!(is_change([fd, 0, 5], false));
        assert!(is_change([fd, 0, 0], true));
        assert!(!is_change([fd, 0, 1 << 40], false));
    }

    #[test]
    fn what_is_shown_leads_to_the_users_value() {
        assert_eq!(shown(&[9 << 32 | 5, 5, 5]), [9 << 32 | 5, 5, 5]);
        assert_eq!(shown(&[9 << 32, 0, 1 << 40]), [0, 0, 1 << 40]);
        assert_eq!(shown(&[9 << 32, 0, 0]), [0, 0, 0]);
        assert_eq!(shown(&[9 << 32, 0, 7]), [9 << 32, 0, 7]);
    }
}
