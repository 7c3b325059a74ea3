//! Long lists of wishes: the same answers as `poll(2)` gives, and few system calls.

use super::*;
use crate::channel::{CounterFlags, counter, pipe};
use crate::clock::ClockId;
use crate::descriptor::Object;
use crate::meter::Limits;

fn core() -> Core {
    let limits = Limits::new().with(Resource::OpenFiles, 20_000);
    Core::new(crate::core::Guard { meter: Arc::new(limits), ..Default::default() })
}

/// `count` counters that are not ready to be read; the numbers start at 0.
fn counters(core: &Core, count: u32) {
    for fd in 0..count {
        let one = counter(&core.guard, 0, CounterFlags::default()).unwrap();
        assert_eq!(core.table.push(one), Ok(fd));
    }
}

fn signal(core: &Core, fd: u32, on: bool) {
    let descriptor = core.table.get(fd).unwrap();
    let kernel = descriptor.kernel_fd().unwrap().unwrap();
    if on {
        rustix::io::write(kernel, &1u64.to_ne_bytes()).unwrap();
    } else {
        rustix::io::read(kernel, &mut [0u8; 8]).unwrap();
    }
}

/// The indices of wishes that came true, with how.
fn polled(set: &mut PollSet, core: &Core, wishes: &[Interest]) -> Vec<(u32, Event)> {
    let mut events = Vec::new();
    let report = |index, event| -> Result<()> {
        events.push((index, event));
        Ok(())
    };
    set.poll(core, wishes.len() as u32, |index| Ok(wishes[index as usize]), report).unwrap();
    events
}

fn indices(set: &mut PollSet, core: &Core, wishes: &[Interest]) -> Vec<u32> {
    polled(set, core, wishes).into_iter().map(|(index, _)| index).collect()
}

const NOW: Interest = Interest::Clock { clock: ClockId::Monotonic, deadline_ns: 0 };

/// Reads of `count` counters, and a clock that is due.
fn reads(count: u32) -> Vec<Interest> {
    (0..count).map(Interest::Read).chain([NOW]).collect()
}

#[test]
fn ready_ones_in_order_as_long_as_they_are() {
    let core = core();
    let count = 2_000;
    counters(&core, count);
    let mut set = PollSet::new(core.guard.meter.clone());
    let wishes = reads(count);
    for round in 0..3 {
        assert_eq!(indices(&mut set, &core, &wishes), [count], "{round}");
        for fd in [1999, 5, 700] {
            signal(&core, fd, true);
        }
        for _ in 0..2 {
            assert_eq!(indices(&mut set, &core, &wishes), [5, 700, 1999, count], "{round}");
        }
        for fd in [1999, 5, 700] {
            signal(&core, fd, false);
        }
    }
}

/// Random changes of the list, the table and the counters: as asking each counter says.
#[test]
fn any_change_is_seen() {
    let core = core();
    let count = 100u32;
    counters(&core, count);
    let mut set = PollSet::new(core.guard.meter.clone());
    let mut wishes = reads(count);
    let mut on = vec![false; count as usize];
    let mut seed = 1u64;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as u32 % below
    };
    for step in 0..3_000 {
        let fd = random(count);
        let at = random(wishes.len() as u32) as usize;
        match random(7) {
            0 | 1 => {
                on[fd as usize] = !on[fd as usize];
                signal(&core, fd, on[fd as usize]);
            }
            2 => wishes[at] = Interest::Read(fd),
            3 => wishes[at] = Interest::Write(fd),
            4 => wishes.swap_remove(at).clone_into(&mut wishes[0]),
            5 => wishes.push(Interest::Read(fd)),
            _ => {
                // Another counter under the same number.
                core.table.remove(fd).unwrap();
                let one = counter(&core.guard, 0, CounterFlags::default()).unwrap();
                assert_eq!(core.table.push(one), Ok(fd));
                on[fd as usize] = false;
            }
        }
        wishes.push(NOW);
        let expect: Vec<u32> = (0u32..)
            .zip(&wishes)
            .filter(|(_, wish)| match wish {
                Interest::Read(fd) => on[*fd as usize],
                _ => true,
            })
            .map(|(index, _)| index)
            .collect();
        assert_eq!(indices(&mut set, &core, &wishes), expect, "step {step}");
        wishes.pop();
    }
}

#[test]
fn files_and_wrong_numbers_are_told_at_once() {
    let core = core();
    counters(&core, 40);
    let null = core.table.push(Descriptor::new(Object::Null)).unwrap();
    let device = std::fs::File::open("/dev/null").unwrap();
    let device = crate::descriptor::Handed::owned(device.into()).unwrap();
    let device = core.table.push(Descriptor::new(Object::Kernel(device))).unwrap();
    let mut set = PollSet::new(core.guard.meter.clone());
    let mut wishes: Vec<Interest> = (0..40).map(Interest::Read).collect();
    for (wish, event) in [
        (Interest::Read(null), Event::Ready { bytes: 1, hangup: false }),
        (Interest::Read(device), Event::Ready { bytes: 1, hangup: false }),
        (Interest::Read(999), Event::Failed(Errno::BADF)),
        (Interest::Wrong(Errno::INVAL), Event::Failed(Errno::INVAL)),
        (Interest::Write(3), Event::Ready { bytes: 0, hangup: false }),
    ] {
        wishes[7] = wish;
        for _ in 0..2 {
            assert_eq!(polled(&mut set, &core, &wishes), [(7, event)], "{wish:?}");
        }
    }
}

#[test]
fn what_may_not_be_polled_any_more_is_not() {
    let core = core();
    counters(&core, 40);
    let other = core.table.duplicate(7, 0, false).unwrap();
    signal(&core, 7, true);
    let mut set = PollSet::new(core.guard.meter.clone());
    let wishes: Vec<Interest> = (0..40).chain([other]).map(Interest::Read).collect();
    assert_eq!(indices(&mut set, &core, &wishes), [7, 40]);
    let (rights, inheriting) = core.table.get(7).unwrap().rights().unwrap();
    let fewer = rights - Rights::POLL_FD_READWRITE;
    core.table.limit_rights(7, fewer, inheriting).unwrap();
    let refused = Event::Failed(Errno::ACCESS);
    for _ in 0..2 {
        assert_eq!(polled(&mut set, &core, &wishes), [(7, refused), (40, refused)]);
    }
    // Nor under a number that is asked for only now, while the other wishes are known.
    let mut wishes = reads(40);
    wishes[3] = Interest::Read(other);
    assert_eq!(polled(&mut set, &core, &wishes)[..2], [(3, refused), (7, refused)]);
}

#[test]
fn the_other_side_is_gone() {
    let core = core();
    counters(&core, 40);
    let [reader, writer] = pipe(&core.guard).unwrap().map(|end| core.table.push(end).unwrap());
    let mut set = PollSet::new(core.guard.meter.clone());
    let wishes: Vec<Interest> = (0..40).chain([reader]).map(Interest::Read).collect();
    core.table.remove(writer).unwrap();
    let event = Event::Ready { bytes: 0, hangup: true };
    assert_eq!(polled(&mut set, &core, &wishes), [(40, event)]);
}

#[test]
fn the_kernel_is_only_told_what_differs() {
    let core = core();
    let count = 200;
    counters(&core, count);
    let mut set = PollSet::new(core.guard.meter.clone());
    let mut wishes = reads(count);
    indices(&mut set, &core, &wishes);
    assert!(set.changed.is_empty());
    let before = (set.entries.len(), set.by_id.len());
    indices(&mut set, &core, &wishes);
    assert!(set.changed.is_empty() && (set.entries.len(), set.by_id.len()) == before);
    // A shorter list, and nothing at all of the rest.
    wishes.truncate(50);
    wishes.push(NOW);
    indices(&mut set, &core, &wishes);
    assert_eq!((set.by_id.len(), set.free.len()), (50, 150));
    signal(&core, 100, true);
    assert_eq!(indices(&mut set, &core, &wishes), [50]);
}

#[test]
fn closed_here_and_open_elsewhere() {
    let core = core();
    counters(&core, 40);
    let mut set = PollSet::new(core.guard.meter.clone());
    let mut wishes = reads(40);
    indices(&mut set, &core, &wishes);
    // As a forked child would: the kernel's entry stays, and cannot be removed by its number.
    let elsewhere = {
        let descriptor = core.table.get(7).unwrap();
        rustix::io::dup(descriptor.kernel_fd().unwrap().unwrap()).unwrap()
    };
    rustix::io::write(&elsewhere, &1u64.to_ne_bytes()).unwrap();
    core.table.remove(7).unwrap();
    wishes[7] = Interest::Read(8);
    assert_eq!(indices(&mut set, &core, &wishes), [40]);
    signal(&core, 8, true);
    assert_eq!(indices(&mut set, &core, &wishes), [7, 8, 40]);
}

#[test]
fn charged_and_given_back() {
    let limits = Arc::new(Limits::new().with(Resource::HostBytes, 100 * CHARGE));
    let guard = crate::core::Guard { meter: limits.clone(), ..Default::default() };
    let core = Core::new(guard);
    counters(&core, 50);
    let mut set = PollSet::new(limits.clone());
    indices(&mut set, &core, &reads(50));
    assert_eq!(limits.left(Resource::HostBytes), 49 * CHARGE);
    let many = vec![NOW; 101];
    let refused = set.poll(&core, 101, |at| Ok(many[at as usize]), |_, _| Ok::<(), Errno>(()));
    assert_eq!(refused, Err(Errno::NOMEM));
    drop(set);
    assert_eq!(limits.left(Resource::HostBytes), 100 * CHARGE);
}

#[test]
fn the_kernels_set_is_an_open_file_or_there_is_none() {
    for (open_files, is_kept) in [(41, true), (40, false)] {
        let limits = Arc::new(Limits::new().with(Resource::OpenFiles, open_files));
        let guard = crate::core::Guard { meter: limits.clone(), ..Default::default() };
        let core = Core::new(guard);
        counters(&core, 40);
        signal(&core, 7, true);
        let mut set = PollSet::new(limits.clone());
        for _ in 0..2 {
            assert_eq!(indices(&mut set, &core, &reads(40)), [7, 40], "{open_files}");
        }
        assert_eq!((set.kernel.is_some(), limits.left(Resource::OpenFiles)), (is_kept, 0));
        drop(set);
        assert_eq!(limits.left(Resource::OpenFiles), open_files - 40);
    }
}
