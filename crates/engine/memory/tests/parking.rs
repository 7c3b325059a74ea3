//! No wake-up is lost, in whatever order threads run: a model checker tries the orders. A lost one
//! would leave a thread asleep for ever, which the checker reports.
//!
//! The table is compiled here once more, with the checker's locks in place of the system's.

#[path = "../src/parking.rs"]
#[allow(dead_code, unreachable_pub, reason = "not everything is modelled; a module of the crate")]
mod parking;

mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;
use parking::{ParkingLot, Waited, Waiter};
use std::sync::Arc as StdArc;
use std::time::Instant;

const ADDRESS: usize = 64;
/// Times that a thread may be taken off the processor in the middle of something.
const PREEMPTIONS_MAX: usize = 3;

/// What the threads of a model share.
struct World {
    lot: ParkingLot,
    word: AtomicU32,
    asked: AtomicBool,
}

fn explore(model: impl Fn(Arc<World>) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(move || {
        model(Arc::new(World {
            lot: ParkingLot::new(1),
            word: AtomicU32::new(0),
            asked: AtomicBool::new(false),
        }));
    });
}

/// Waits while the word is 0; a request ends it if `stop`, else it is served.
fn wait(world: &World, waiter: &StdArc<Waiter>, stop: bool) -> Result<Waited, ()> {
    wait_until(world, waiter, stop, None)
}

/// A deadline that is over when it is looked at: the checker has no clock, but tries all that
/// others may do before and after.
fn now() -> Instant {
    Instant::now()
}

fn wait_until(
    world: &World,
    waiter: &StdArc<Waiter>,
    stop: bool,
    deadline: Option<Instant>,
) -> Result<Waited, ()> {
    let mut serve = || {
        world.asked.store(false, Ordering::SeqCst);
        if stop { Err(()) } else { Ok(()) }
    };
    let expected = || world.word.load(Ordering::SeqCst) == 0;
    let asked = || world.asked.load(Ordering::SeqCst);
    world.lot.wait(ADDRESS, waiter, expected, deadline, &asked, &mut serve)
}

fn change_and_notify(world: &World, count: u32) -> u32 {
    world.word.store(1, Ordering::SeqCst);
    world.lot.notify(ADDRESS, count)
}

#[test]
fn one_waits_and_one_wakes() {
    explore(|world| {
        let waiting = {
            let world = Arc::clone(&world);
            thread::spawn(move || wait(&world, &StdArc::default(), true))
        };
        let woken = change_and_notify(&world, 1);
        let waited = waiting.join().unwrap().unwrap();
        let expected = if woken == 1 { Waited::Woken } else { Waited::Changed };
        assert_eq!(waited, expected);
        assert_eq!(world.lot.notify(ADDRESS, u32::MAX), 0);
    });
}

#[test]
fn two_wait_and_one_wakes_each() {
    explore(|world| {
        let spawn = || {
            let world = Arc::clone(&world);
            thread::spawn(move || wait(&world, &StdArc::default(), true))
        };
        let waiting = [spawn(), spawn()];
        let first = change_and_notify(&world, 1);
        let second = world.lot.notify(ADDRESS, 1);
        let woken = waiting.map(|thread| thread.join().unwrap().unwrap());
        let woken = woken.into_iter().filter(|&waited| waited == Waited::Woken).count();
        assert_eq!(woken as u32, first + second);
    });
}

#[test]
fn one_waits_and_is_asked_to_stop() {
    explore(|world| {
        let waiter = StdArc::new(Waiter::default());
        let waiting = {
            let (world, waiter) = (Arc::clone(&world), StdArc::clone(&waiter));
            thread::spawn(move || wait(&world, &waiter, true))
        };
        world.asked.store(true, Ordering::SeqCst);
        waiter.wake();
        assert_eq!(waiting.join().unwrap(), Err(()));
        assert_eq!(world.lot.notify(ADDRESS, 1), 0, "it has left its queue");
    });
}

#[test]
fn one_serves_a_request_and_is_woken_all_the_same() {
    explore(|world| {
        let waiter = StdArc::new(Waiter::default());
        let waiting = {
            let (world, waiter) = (Arc::clone(&world), StdArc::clone(&waiter));
            thread::spawn(move || wait(&world, &waiter, false))
        };
        let waking = {
            let world = Arc::clone(&world);
            thread::spawn(move || change_and_notify(&world, 1))
        };
        world.asked.store(true, Ordering::SeqCst);
        waiter.wake();
        let woken = waking.join().unwrap();
        let expected = if woken == 1 { Waited::Woken } else { Waited::Changed };
        assert_eq!(waiting.join().unwrap(), Ok(expected));
    });
}

/// The clock and another thread are equally quick: either counts, and never both.
#[test]
fn one_runs_out_of_time_while_it_is_woken() {
    explore(|world| {
        let waiting = {
            let world = Arc::clone(&world);
            thread::spawn(move || wait_until(&world, &StdArc::default(), true, Some(now())))
        };
        let woken = change_and_notify(&world, 1);
        let waited = waiting.join().unwrap().unwrap();
        match woken {
            1 => assert_eq!(waited, Waited::Woken),
            _ => assert!(matches!(waited, Waited::TimedOut | Waited::Changed)),
        }
        assert_eq!(world.lot.notify(ADDRESS, u32::MAX), 0, "it has left its queue");
    });
}

/// A wake-up that is meant for one goes to one that still waits, not to one whose time is up.
#[test]
fn one_runs_out_of_time_and_the_other_is_woken() {
    explore(|world| {
        let spawn = |deadline| {
            let world = Arc::clone(&world);
            thread::spawn(move || wait_until(&world, &StdArc::default(), true, deadline))
        };
        let waiting = [spawn(Some(now())), spawn(None)];
        let mut woken = change_and_notify(&world, 1);
        woken += world.lot.notify(ADDRESS, 1);
        let waited = waiting.map(|thread| thread.join().unwrap().unwrap());
        let by_others = waited.iter().filter(|&&waited| waited == Waited::Woken).count();
        assert_eq!(by_others as u32, woken);
        assert_ne!(waited[1], Waited::TimedOut, "it had no deadline");
    });
}

/// Two addresses of one lock: a wake-up reaches its own address alone.
#[test]
fn each_address_has_its_own_queue() {
    explore(|world| {
        let waiting = {
            let world = Arc::clone(&world);
            thread::spawn(move || wait(&world, &StdArc::default(), true))
        };
        assert_eq!(world.lot.notify(ADDRESS + 4, u32::MAX), 0);
        let woken = change_and_notify(&world, u32::MAX);
        let expected = if woken == 1 { Waited::Woken } else { Waited::Changed };
        assert_eq!(waiting.join().unwrap().unwrap(), expected);
    });
}

/// A fork takes all locks while others wait, wake and are asked to stop: it gets them, and what
/// waits goes on when it lets go.
#[test]
fn a_fork_meets_nobody_in_the_middle() {
    explore(|world| {
        let waiter = StdArc::new(Waiter::default());
        let waiting = {
            let (world, waiter) = (Arc::clone(&world), StdArc::clone(&waiter));
            thread::spawn(move || wait(&world, &waiter, false))
        };
        let forking = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let queues = world.lot.lock_all();
                queues.iter().map(|queues| queues.values().map(|q| q.len()).sum::<usize>()).sum()
            })
        };
        let woken = change_and_notify(&world, 1);
        let queued: usize = forking.join().unwrap();
        assert!(queued <= 1);
        let expected = if woken == 1 { Waited::Woken } else { Waited::Changed };
        assert_eq!(waiting.join().unwrap(), Ok(expected));
    });
}
