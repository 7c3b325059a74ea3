//! `poll_oneoff`: clocks, descriptors and both layouts.

use super::guest::{CREATE, Guest, OUT};
use crate::calls::{self, Result};
use crate::{Errno, Input, Output, unstable};
use std::io::Write;
use std::time::{Duration, Instant};
use wasmoor_host::FixedClocks;

const SUBSCRIPTIONS: u32 = 0x6000;
const EVENTS: u32 = 0x8000;

#[derive(Clone, Copy)]
enum Want {
    Clock { id: u32, ns: u64, flags: u16 },
    Read(u32),
    Write(u32),
    Unknown,
}

/// User data, error, kind, bytes, flags.
type Event = (u64, u16, u8, u64, u16);

fn subscribe(guest: &mut Guest, size: u32, clock_at: u32, wants: &[Want]) {
    for (index, want) in (0u32..).zip(wants) {
        let at = SUBSCRIPTIONS + index * size;
        guest.put(at, &u64::from(index + 100).to_le_bytes());
        let tag = match *want {
            Want::Clock { id, ns, flags } => {
                guest.put(at + clock_at, &id.to_le_bytes());
                guest.put(at + clock_at + 8, &ns.to_le_bytes());
                guest.put(at + clock_at + 24, &flags.to_le_bytes());
                0
            }
            Want::Read(fd) => {
                guest.put(at + 16, &fd.to_le_bytes());
                1
            }
            Want::Write(fd) => {
                guest.put(at + 16, &fd.to_le_bytes());
                2
            }
            Want::Unknown => 3,
        };
        guest.put(at + 8, &[tag]);
    }
}

fn events(guest: &Guest) -> Vec<Event> {
    (0..guest.u32_at(OUT))
        .map(|index| {
            let at = EVENTS + index * 32;
            let short = |at| u16::from_le_bytes(guest.bytes(at, 2).try_into().unwrap());
            let kind = guest.memory[at as usize + 10];
            (guest.u64_at(at), short(at + 8), kind, guest.u64_at(at + 16), short(at + 24))
        })
        .collect()
}

fn poll(guest: &mut Guest, wants: &[Want]) -> Result<Vec<Event>> {
    subscribe(guest, 48, 16, wants);
    let count = wants.len() as u32;
    guest.call(|c, m| calls::poll_oneoff(c, m, SUBSCRIPTIONS, EVENTS, count, OUT))?;
    Ok(events(guest))
}

const MONOTONIC: u32 = 1;

fn after(ns: u64) -> Want {
    Want::Clock { id: MONOTONIC, ns, flags: 0 }
}

#[test]
fn the_earliest_clock_wins() {
    let mut guest = Guest::with(|builder| {
        builder.clocks(FixedClocks::new(1000));
    });
    assert_eq!(poll(&mut guest, &[after(500), after(200)]), Ok(vec![(101, 0, 0, 0, 0)]));
    assert_eq!(guest.call(|c, m| calls::clock_time_get(c, m, 1, 0, OUT)), Ok(()));
    assert_eq!(guest.u64_at(OUT), 1200);
    let absolute = |id, ns| Want::Clock { id, ns, flags: 1 };
    let both = [absolute(0, 1100), absolute(1, 1200), absolute(1, u64::MAX)];
    assert_eq!(poll(&mut guest, &both), Ok(vec![(100, 0, 0, 0, 0), (101, 0, 0, 0, 0)]));
    assert_eq!(poll(&mut guest, &[after(u64::MAX)]), Ok(vec![(100, 0, 0, 0, 0)]));
}

#[test]
fn the_real_clock_waits() {
    let mut guest = Guest::new();
    let start = Instant::now();
    poll(&mut guest, &[after(30_000_000)]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn what_is_wrong_is_an_event() {
    let mut guest = Guest::new();
    let wrong = [
        Want::Clock { id: 9, ns: 0, flags: 0 },
        Want::Clock { id: 3, ns: 0, flags: 0 },
        Want::Clock { id: 1, ns: 0, flags: 6 },
        Want::Read(99),
        Want::Write(u32::MAX),
    ];
    let errors = [Errno::Inval, Errno::NotSup, Errno::Inval, Errno::Badf, Errno::Badf];
    let found: Vec<u16> = poll(&mut guest, &wrong).unwrap().iter().map(|event| event.1).collect();
    assert_eq!(found, errors.map(Errno::raw));
    assert_eq!(poll(&mut guest, &[]), Err(Errno::Inval));
    assert_eq!(poll(&mut guest, &[Want::Unknown]), Err(Errno::Inval));
}

#[test]
fn files_and_streams_in_memory_are_ready() {
    let mut guest = Guest::with(|builder| {
        builder.stdin(Input::bytes("x"));
    });
    let fd = guest.open("file", CREATE).unwrap();
    guest.write(fd, b"12345").unwrap();
    guest.call(|c, m| calls::fd_seek(c, m, fd, 2, 0, OUT)).unwrap();
    let wants = [Want::Read(0), Want::Write(1), Want::Read(fd), Want::Write(fd), after(1 << 40)];
    let found = poll(&mut guest, &wants).unwrap();
    let expect = vec![(100, 0, 1, 0, 0), (101, 0, 2, 0, 0), (102, 0, 1, 3, 0), (103, 0, 2, 0, 0)];
    assert_eq!(found, expect);
}

#[test]
fn pipes_are_waited_for() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (other_reader, other_writer) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| {
        builder.stdin(Input::File(reader.into())).stdout(Output::File(other_writer.into()));
    });
    let wants = [Want::Read(0), after(20_000_000)];
    assert_eq!(poll(&mut guest, &wants), Ok(vec![(101, 0, 0, 0, 0)]));
    let waker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        writer.write_all(b"hello").unwrap();
        writer
    });
    let long = [Want::Read(0), after(20_000_000_000)];
    assert_eq!(poll(&mut guest, &long), Ok(vec![(100, 0, 1, 5, 0)]));
    drop(waker.join().unwrap());
    guest.read(0, 5).unwrap();
    assert_eq!(poll(&mut guest, &[Want::Read(0)]), Ok(vec![(100, 0, 1, 0, 1)]));
    assert_eq!(poll(&mut guest, &[Want::Write(1)]), Ok(vec![(100, 0, 2, 0, 0)]));
    drop(other_reader);
    // A write would fail at once: that is ready too.
    assert_eq!(poll(&mut guest, &[Want::Write(1)]).unwrap().len(), 1);
}

#[test]
fn the_old_layout() {
    let mut guest = Guest::with(|builder| {
        builder.clocks(FixedClocks::new(0));
    });
    subscribe(&mut guest, 56, 24, &[after(70), Want::Read(99)]);
    guest.call(|c, m| unstable::poll_oneoff(c, m, SUBSCRIPTIONS, EVENTS, 1, OUT)).unwrap();
    assert_eq!(events(&guest), [(100, 0, 0, 0, 0)]);
    guest.call(|c, m| unstable::poll_oneoff(c, m, SUBSCRIPTIONS, EVENTS, 2, OUT)).unwrap();
    assert_eq!(events(&guest), [(101, Errno::Badf.raw(), 1, 0, 0)]);
}

#[test]
fn places_are_checked_before_waiting() {
    let mut guest = Guest::new();
    subscribe(&mut guest, 48, 16, &[after(u64::MAX)]);
    for (subscriptions, events, count, out) in [
        (0xffe0, EVENTS, 1, OUT),
        (SUBSCRIPTIONS, 0xffe1, 1, OUT),
        (SUBSCRIPTIONS, EVENTS, 1, 0xfffd),
        (SUBSCRIPTIONS, EVENTS, 10_000_000, OUT),
        (SUBSCRIPTIONS, EVENTS, u32::MAX, OUT),
    ] {
        let result = guest.call(|c, m| calls::poll_oneoff(c, m, subscriptions, events, count, out));
        assert_eq!(result, Err(Errno::Fault), "{subscriptions} {events} {count} {out}");
    }
}
