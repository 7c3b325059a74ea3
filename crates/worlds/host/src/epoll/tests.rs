//! The rules of Linux, as far as they could be broken here.

use super::*;
use crate::channel::{CounterFlags, counter, pipe};
use crate::clock::FixedClocks;
use crate::interrupt::Interrupt;
use crate::memory::GuestMemory;
use crate::meter::Limits;
use crate::vectored::IoVecs;
use std::time::{Duration, Instant};

const IN: EventFlags = EventFlags::IN;
const OUT: EventFlags = EventFlags::OUT;

/// A guest with a set as its descriptor 0.
fn guest() -> (Core, Arc<Descriptor>) {
    let core = Core::default();
    let set = create(&core.guard).unwrap();
    core.table.push(set).unwrap();
    let set = core.table.get(0).unwrap();
    (core, set)
}

/// A pipe's two numbers.
fn new_pipe(core: &Core) -> [u32; 2] {
    pipe(&core.guard).unwrap().map(|end| core.table.push(end).unwrap())
}

fn write(core: &Core, fd: u32, bytes: &[u8]) -> Result<usize> {
    let mut bytes = bytes.to_vec();
    let len = bytes.len() as u64;
    let memory = GuestMemory::from_slice(&mut bytes);
    let mut vecs = IoVecs::one(memory.slice(0u32, len).unwrap());
    core.table.get(fd)?.write(&core.guard, &mut vecs)
}

fn read(core: &Core, fd: u32, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let memory = GuestMemory::from_slice(&mut bytes);
    let vecs = IoVecs::one(memory.slice(0u32, len as u64).unwrap());
    let got = core.table.get(fd)?.read(&core.guard, &vecs)?;
    bytes.truncate(got);
    Ok(bytes)
}

fn add(core: &Core, set: &Descriptor, fd: u32, events: EventFlags) -> Result<()> {
    of(set)?.add(fd, &core.table.get(fd)?, events, [fd.into(), 0, 0])
}

/// What is ready now, by the first word of its data.
fn ready(core: &Core, set: &Descriptor) -> Vec<(u64, EventFlags)> {
    let mut all = Vec::new();
    let report = |_, events, data: &Data| -> Result<()> {
        all.push((data[0], events));
        Ok(())
    };
    let count = wait(core, set, 64, Some(0), report).unwrap();
    assert_eq!(count as usize, all.len());
    all.sort_by_key(|(data, _)| *data);
    all
}

#[test]
fn level_edge_and_once() {
    for (mode, expect) in [
        (EventFlags::empty(), [true, true, true]),
        (EventFlags::ET, [true, false, true]),
        (EventFlags::ONESHOT, [true, false, false]),
    ] {
        let (core, set) = guest();
        let [reader, writer] = new_pipe(&core);
        add(&core, &set, reader, IN | mode).unwrap();
        assert!(ready(&core, &set).is_empty());
        write(&core, writer, b"ab").unwrap();
        assert_eq!(!ready(&core, &set).is_empty(), expect[0], "{mode:?}");
        // A byte is left: a level stays.
        read(&core, reader, 1).unwrap();
        assert_eq!(!ready(&core, &set).is_empty(), expect[1], "{mode:?}");
        write(&core, writer, b"c").unwrap();
        assert_eq!(!ready(&core, &set).is_empty(), expect[2], "{mode:?}");
        let descriptor = core.table.get(reader).unwrap();
        of(&set).unwrap().modify(reader, &descriptor, IN | mode, [7, 8, 9]).unwrap();
        assert_eq!(ready(&core, &set), [(7, IN)], "{mode:?}");
    }
}

#[test]
fn errors_of_control() {
    let (core, set) = guest();
    let [reader, writer] = new_pipe(&core);
    let file = tempfile::tempfile().unwrap();
    let file = Descriptor::new(Object::Kernel(Handed::owned(file.into()).unwrap()));
    let file = core.table.push(file).unwrap();
    let null = core.table.push(Descriptor::new(Object::Null)).unwrap();
    assert_eq!(add(&core, &set, 77, IN), Err(Errno::BADF));
    assert_eq!(add(&core, &set, file, IN), Err(Errno::PERM));
    assert_eq!(add(&core, &set, null, IN), Err(Errno::PERM));
    assert_eq!(add(&core, &set, 0, IN), Err(Errno::INVAL));
    assert_eq!(add(&core, &core.table.get(reader).unwrap(), writer, IN), Err(Errno::INVAL));
    assert_eq!(add(&core, &set, reader, IN), Ok(()));
    assert_eq!(add(&core, &set, reader, IN), Err(Errno::EXIST));
    let writing = core.table.get(writer).unwrap();
    let epoll = of(&set).unwrap();
    assert_eq!(epoll.modify(writer, &writing, IN, [0; 3]), Err(Errno::NOENT));
    assert_eq!(epoll.remove(writer, &writing), Err(Errno::NOENT));
    assert_eq!(epoll.remove(reader, &core.table.get(reader).unwrap()), Ok(()));
    assert_eq!(add(&core, &set, reader, IN), Ok(()));
    let none = |_, _, _: &Data| Ok::<(), Errno>(());
    assert_eq!(wait(&core, &set, 0, Some(0), none), Err(Errno::INVAL));
    assert_eq!(wait(&core, &writing, 1, Some(0), none), Err(Errno::INVAL));
}

#[test]
fn numbers_for_one_thing_have_entries_of_their_own() {
    let (core, set) = guest();
    let [reader, writer] = new_pipe(&core);
    let other = core.table.duplicate(reader, 0, false).unwrap();
    add(&core, &set, reader, IN).unwrap();
    add(&core, &set, other, IN).unwrap();
    write(&core, writer, b"x").unwrap();
    assert_eq!(ready(&core, &set), [(reader.into(), IN), (other.into(), IN)]);
    // As in Linux, both stay while one number is open; the one that is closed cannot be named.
    core.table.remove(reader).unwrap();
    assert_eq!(ready(&core, &set), [(reader.into(), IN), (other.into(), IN)]);
    core.table.remove(other).unwrap();
    assert!(ready(&core, &set).is_empty());
    assert_eq!(write(&core, writer, b"x"), Err(Errno::PIPE));
}

#[test]
fn nothing_is_told_of_what_is_closed() {
    let (core, set) = guest();
    let [reader, writer] = new_pipe(&core);
    add(&core, &set, reader, IN).unwrap();
    write(&core, writer, b"x").unwrap();
    core.table.remove(reader).unwrap();
    assert!(ready(&core, &set).is_empty());
    // Its number is another thing now, which is not in the set.
    let [again, writer] = new_pipe(&core);
    assert_eq!(again, reader);
    write(&core, writer, b"x").unwrap();
    assert!(ready(&core, &set).is_empty());
    add(&core, &set, again, IN).unwrap();
    assert_eq!(ready(&core, &set), [(again.into(), IN)]);
}

#[test]
fn all_that_is_ready_of_one_is_one_event() {
    let (core, set) = guest();
    let fd = counter(&core.guard, 1, CounterFlags::default()).unwrap();
    let fd = core.table.push(fd).unwrap();
    add(&core, &set, fd, IN | OUT).unwrap();
    assert_eq!(ready(&core, &set), [(fd.into(), IN | OUT)]);
    read(&core, fd, 8).unwrap();
    assert_eq!(ready(&core, &set), [(fd.into(), OUT)]);
}

#[test]
fn sets_in_sets() {
    let (core, set) = guest();
    let inner = core.table.push(create(&core.guard).unwrap()).unwrap();
    let inside = core.table.get(inner).unwrap();
    let [reader, writer] = new_pipe(&core);
    add(&core, &inside, reader, IN).unwrap();
    add(&core, &set, inner, IN).unwrap();
    assert!(ready(&core, &set).is_empty());
    write(&core, writer, b"x").unwrap();
    assert_eq!(ready(&core, &set), [(inner.into(), IN)]);
    // A loop of sets.
    assert_eq!(add(&core, &inside, 0, IN), Err(Errno::LOOP));
}

#[test]
fn two_sets_and_a_read_do_not_disturb_each_other() {
    let (core, set) = guest();
    let other = create(&core.guard).unwrap();
    let [reader, writer] = new_pipe(&core);
    add(&core, &set, reader, IN).unwrap();
    add(&core, &other, reader, IN).unwrap();
    write(&core, writer, b"ab").unwrap();
    assert_eq!(ready(&core, &set).len(), 1);
    assert_eq!(ready(&core, &other).len(), 1);
    read(&core, reader, 1).unwrap();
    assert_eq!(ready(&core, &set).len(), 1);
    assert_eq!(ready(&core, &other).len(), 1);
    drop(other);
    assert_eq!(ready(&core, &set).len(), 1);
}

#[test]
fn other_threads_may_change_a_set_that_is_waited_for() {
    let (core, set) = guest();
    let [reader, writer] = new_pipe(&core);
    write(&core, writer, b"x").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&core, &set, 1, None, |_, _, _| Ok::<(), Errno>(())));
        std::thread::sleep(Duration::from_millis(30));
        add(&core, &set, reader, IN).unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(1));
    });
}

#[test]
fn as_many_events_as_wanted() {
    let (core, set) = guest();
    for _ in 0..EVENTS_MAX + 10 {
        let fd = counter(&core.guard, 1, CounterFlags::default()).unwrap();
        let fd = core.table.push(fd).unwrap();
        add(&core, &set, fd, IN).unwrap();
    }
    for (max, got) in [(1, 1), (100, 100), (1024, 1024), (u32::MAX, 1024)] {
        let counted = wait(&core, &set, max, None, |_, _, _| Ok::<(), Errno>(()));
        assert_eq!(counted, Ok(got), "{max}");
    }
}

#[test]
fn time_outs_are_to_the_nanosecond_and_end() {
    let (core, set) = guest();
    let start = Instant::now();
    for ns in [0, 1, 200_000, 20_000_000] {
        let count = wait(&core, &set, 1, Some(ns), |_, _, _| Ok::<(), Errno>(()));
        assert_eq!(count, Ok(0));
    }
    assert!(start.elapsed() >= Duration::from_micros(20_200));
    // By the guest's clock, whatever that is.
    let core = Core { clocks: Arc::new(FixedClocks::new(0)), ..core };
    let hour_ns = 3_600_000_000_000;
    let count = wait(&core, &set, 1, Some(hour_ns), |_, _, _| Ok::<(), Errno>(()));
    assert_eq!((count, core.clocks.now(ClockId::Monotonic)), (Ok(0), Ok(hour_ns)));
}

#[test]
fn signals_end_waiting_only_if_the_guest_must_stop() {
    let (mut core, set) = guest();
    let start = Instant::now();
    let wait_for = |core: &Core, ns| wait(core, &set, 1, ns, |_, _, _| Ok::<(), Errno>(()));
    let ended = crate::interrupt::tests::interrupted(|| wait_for(&core, Some(50_000_000)));
    assert_eq!(ended, Ok(0));
    assert!(start.elapsed() >= Duration::from_millis(50));
    core.guard.interrupt = Interrupt::new(|| true);
    let ended = crate::interrupt::tests::interrupted(|| wait_for(&core, None));
    assert_eq!(ended, Err(Errno::INTR));
}

#[test]
fn entries_are_charged() {
    let limits = Arc::new(Limits::new().with(Resource::HostBytes, 3 * CHARGE));
    let guard = Guard { meter: limits.clone(), ..Guard::default() };
    let core = Core::new(guard);
    let set = core.table.push(create(&core.guard).unwrap()).unwrap();
    let set_fd = set;
    let set = core.table.get(set).unwrap();
    let counters: Vec<u32> = (0..4)
        .map(|_| counter(&core.guard, 0, CounterFlags::default()).unwrap())
        .map(|one| core.table.push(one).unwrap())
        .collect();
    for fd in &counters[..3] {
        add(&core, &set, *fd, IN).unwrap();
    }
    assert_eq!(add(&core, &set, counters[3], IN), Err(Errno::NOSPC));
    core.table.remove(counters[0]).unwrap();
    assert_eq!(add(&core, &set, counters[3], IN), Ok(()));
    of(&set).unwrap().remove(counters[1], &core.table.get(counters[1]).unwrap()).unwrap();
    assert_eq!(limits.left(Resource::HostBytes), CHARGE);
    drop(set);
    core.table.remove(set_fd).unwrap();
    assert_eq!(limits.left(Resource::HostBytes), 3 * CHARGE);
}

#[test]
fn private_duplicates_are_open_files() {
    let limits = Arc::new(Limits::new().with(Resource::OpenFiles, 6));
    let core = Core::new(Guard { meter: limits.clone(), ..Guard::default() });
    let [reader, _] = new_pipe(&core);
    let numbers = [0, 0].map(|min| core.table.duplicate(reader, min, false).unwrap());
    let set_fd = core.table.push(create(&core.guard).unwrap()).unwrap();
    let set = core.table.get(set_fd).unwrap();
    add(&core, &set, reader, IN).unwrap();
    assert_eq!(limits.left(Resource::OpenFiles), 1);
    add(&core, &set, numbers[0], IN).unwrap();
    assert_eq!(limits.left(Resource::OpenFiles), 0);
    assert_eq!(add(&core, &set, numbers[1], IN), Err(Errno::NOSPC));
    of(&set).unwrap().remove(numbers[0], &core.table.get(reader).unwrap()).unwrap();
    assert_eq!(limits.left(Resource::OpenFiles), 1);
    add(&core, &set, numbers[1], IN).unwrap();
    assert_eq!(limits.left(Resource::OpenFiles), 0);
    drop(set);
    core.table.remove(set_fd).unwrap();
    assert_eq!(limits.left(Resource::OpenFiles), 2);
}

#[test]
fn what_is_watched_forgets_sets_that_are_closed() {
    let (core, _) = guest();
    let [reader, _] = new_pipe(&core);
    let other = core.table.duplicate(reader, 0, false).unwrap();
    let descriptor = core.table.get(reader).unwrap();
    for alive in [0, 1, 100] {
        let sets: Vec<_> = (0..alive).map(|_| create(&core.guard).unwrap()).collect();
        for set in &sets {
            add(&core, set, reader, IN).unwrap();
        }
        for _ in 0..1_000 {
            let number = core.table.push(create(&core.guard).unwrap()).unwrap();
            let set = core.table.get(number).unwrap();
            add(&core, &set, reader, IN).unwrap();
            add(&core, &set, other, IN).unwrap();
            core.table.remove(number).unwrap();
        }
        assert_eq!(descriptor.watchers().lock().len(), alive);
    }
    assert!(descriptor.watchers().lock().is_empty());
    // Nor does the room stay that the list once took.
    assert!(descriptor.watchers().lock().capacity() <= 4 * KEPT);
}

/// The most that a set ever had is not what it takes for ever.
#[test]
fn a_set_shrinks() {
    let (core, set) = guest();
    let numbers: Vec<u32> = (0..1_000)
        .map(|_| counter(&core.guard, 0, CounterFlags::default()).unwrap())
        .map(|one| core.table.push(one).unwrap())
        .collect();
    let places = || {
        let entries = of(&set).unwrap().set.lock();
        (entries.all.capacity(), entries.keys.capacity())
    };
    for fd in &numbers {
        add(&core, &set, *fd, IN).unwrap();
    }
    assert!(places().0 >= 1_000);
    // By each of the two ways, down to the last one that was added.
    for (index, fd) in numbers[..999].iter().enumerate() {
        let descriptor = core.table.get(*fd).unwrap();
        match index % 2 {
            0 => of(&set).unwrap().remove(*fd, &descriptor).unwrap(),
            _ => drop(core.table.remove(*fd)),
        }
    }
    let (all, keys) = places();
    assert!(all <= 4 * KEPT && keys <= 4 * KEPT, "{all} {keys}");
    let last = core.table.get(numbers[999]).unwrap();
    of(&set).unwrap().modify(numbers[999], &last, OUT, [7, 0, 0]).unwrap();
    assert_eq!(ready(&core, &set), [(7, OUT)]);
}

/// Forks; the child does `work` with the same set, ends, and is waited for.
fn in_a_child(work: impl FnOnce()) {
    match wasmoor_sys::fork::fork().unwrap() {
        wasmoor_sys::fork::Fork::Child => {
            work();
            std::process::exit(0);
        }
        wasmoor_sys::fork::Fork::Parent(child) => {
            let child = rustix::process::Pid::from_raw(child);
            rustix::process::waitpid(child, rustix::process::WaitOptions::empty()).unwrap();
        }
    }
}

#[test]
fn a_set_after_a_fork() {
    let (core, set) = guest();
    let [reader, writer] = new_pipe(&core);
    add(&core, &set, reader, IN).unwrap();
    write(&core, writer, b"x").unwrap();
    // A child that closes what it does not need takes nothing from its parent.
    in_a_child(|| drop(core.table.remove(reader)));
    assert_eq!(ready(&core, &set), [(reader.into(), IN)]);
    // What is open elsewhere is gone here when it is closed here.
    let elsewhere = {
        let descriptor = core.table.get(reader).unwrap();
        fcntl_dupfd_cloexec(descriptor.kernel_fd().unwrap().unwrap(), 0).unwrap()
    };
    core.table.remove(reader).unwrap();
    assert!(ready(&core, &set).is_empty());
    drop(elsewhere);
    // What a child adds is no event of ours, and nothing waits for it without end.
    let [other, writer] = new_pipe(&core);
    write(&core, writer, b"x").unwrap();
    in_a_child(|| add(&core, &set, other, IN).unwrap());
    assert!(ready(&core, &set).is_empty());
    let waited = wait(&core, &set, 1, Some(5_000_000), |_, _, _| Ok::<(), Errno>(()));
    assert_eq!(waited, Ok(0));
    let mut core = core;
    core.guard.interrupt = Interrupt::new(|| true);
    let waited = wait(&core, &set, 1, None, |_, _, _| Ok::<(), Errno>(()));
    assert_eq!(waited, Err(Errno::INTR));
}
