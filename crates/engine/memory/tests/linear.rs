//! Linear memories against a model, at the edges of their ranges, and under short address space.
//!
//! # Safety
//! Bytes of memories are touched through their base after a check of the bounds.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "reads and writes memories through their base")]

mod common;

use common::{Random, rights, with_address_space};
use std::collections::BTreeMap;
use wasmoor_abi::{MemoryMode, MemoryType, Tunables};
use wasmoor_memory::{
    GrowError, LinearMemory, MemoryError, MemoryPlan, choose_clamped64, choose_memory_mode,
};

const GUARD: MemoryMode = MemoryMode::Guard { guard_bytes: 32 << 20 };
const PAGE: u64 = 1 << 16;

fn ty(minimum: u64, maximum: Option<u64>) -> MemoryType {
    MemoryType { minimum, maximum, index64: false, shared: false, page_size_log2: 16 }
}

fn ty64(minimum: u64, maximum: Option<u64>) -> MemoryType {
    MemoryType { index64: true, ..ty(minimum, maximum) }
}

fn bytewise(ty: MemoryType) -> MemoryType {
    MemoryType { page_size_log2: 0, ..ty }
}

fn read(memory: &LinearMemory, at: usize) -> u8 {
    assert!(at < memory.bytes());
    // SAFETY: in bounds.
    unsafe { memory.base().add(at).read_volatile() }
}

fn write(memory: &LinearMemory, at: usize, value: u8) {
    assert!(at < memory.bytes());
    // SAFETY: in bounds; the tests use memories on one thread.
    unsafe { memory.base().add(at).write_volatile(value) }
}

#[test]
fn a_memory_has_its_minimum_and_grows_to_its_maximum() {
    // (type, mode, pages per step, pages in the end)
    for (ty, mode, step, end) in [
        (ty(0, None), GUARD, 1000, 65000),
        (ty(1, Some(3)), GUARD, 1, 3),
        (ty(0, Some(0)), GUARD, 1, 0),
        (ty(65536, None), GUARD, 1, 65536),
        (ty(1, Some(u64::MAX)), GUARD, 65535, 65536),
        (ty(0, None), MemoryMode::Checked, 1000, 65000),
        (ty(0, Some(0)), MemoryMode::Checked, 1, 0),
        (ty(2, Some(70000)), MemoryMode::Checked, 65534, 65536),
        (ty64(0, Some(5)), MemoryMode::Checked, 2, 4),
        (bytewise(ty(0, Some(10000))), MemoryMode::Checked, 4095, 8190),
        (bytewise(ty64(1, None)), MemoryMode::Checked, 1 << 32, 0x3_0000_0001),
        (MemoryType { shared: true, ..ty(1, Some(300)) }, MemoryMode::Checked, 299, 300),
    ] {
        let what = format!("{ty} {mode:?}");
        let plan = MemoryPlan { mode, reservation_bytes_max: 1 << 20 };
        let mut memory = LinearMemory::new(&ty, &plan).unwrap();
        let mut pages = ty.minimum;
        assert!(!memory.base().is_null());
        while pages < end {
            assert_eq!(memory.grow(step).unwrap(), pages, "{what}");
            pages += step;
            assert_eq!(memory.bytes() as u64, pages * ty.page_bytes());
            assert_eq!(read(&memory, memory.bytes() - 1), 0);
            write(&memory, memory.bytes() - 1, 1);
            assert_eq!(memory.grow(0).unwrap(), pages);
        }
        assert_eq!(pages, end, "{what}");
        let pages_max = ty.maximum.unwrap_or(u64::MAX).min(ty.pages_max_by_index());
        let one_too_many = (pages_max - pages).saturating_add(1);
        for delta in [one_too_many, u64::MAX, u64::MAX - pages, u64::MAX / 2] {
            let error = memory.grow(delta).unwrap_err();
            assert!(matches!(error, GrowError::TooLarge { .. }), "{what} {delta}: {error}");
        }
        assert_eq!(memory.pages(), end);
    }
}

#[test]
fn sizes_out_of_range_are_errors() {
    for (ty, mode) in [
        (ty(65537, None), GUARD),
        (ty(u64::MAX, None), GUARD),
        (ty(2, Some(1)), GUARD),
        (ty(65537, None), MemoryMode::Checked),
        (ty64(u64::MAX, None), MemoryMode::Checked),
        (ty64(1 << 48, None), MemoryMode::Checked),
        (ty64(1 << 47, None), MemoryMode::Checked),
        (bytewise(ty64(u64::MAX, None)), MemoryMode::Checked),
        (bytewise(ty64(u64::MAX, Some(u64::MAX))), MemoryMode::Checked),
        (bytewise(ty((1 << 32) + 1, None)), MemoryMode::Checked),
    ] {
        let error = LinearMemory::new(&ty, &MemoryPlan::new(mode)).unwrap_err();
        let MemoryError::TooLarge { pages, pages_max, .. } = error else {
            panic!("{ty}: {error}");
        };
        assert!(pages > pages_max, "{ty}: {error}");
    }
    // Addressable for the type, but not for any machine.
    for ty in [ty64((1 << 47) - 1, None), bytewise(ty64(i64::MAX as u64, None))] {
        let error = LinearMemory::new(&ty, &MemoryPlan::new(MemoryMode::Checked)).unwrap_err();
        assert!(matches!(error, MemoryError::System { .. }), "{ty}: {error}");
    }
}

#[test]
fn guards_are_refused_where_they_cannot_do() {
    for ty in [ty64(1, None), bytewise(ty(1, None)), bytewise(ty(PAGE, Some(PAGE)))] {
        let error = LinearMemory::new(&ty, &MemoryPlan::new(GUARD)).unwrap_err();
        assert!(matches!(error, MemoryError::Guard(_)), "{ty}: {error}");
        let mode = Tunables { memory_mode: GUARD, ..Tunables::default() }.memory_mode_of(&ty);
        LinearMemory::new(&ty, &MemoryPlan::new(mode)).unwrap();
    }
}

#[test]
fn what_a_clamped_index_reaches_is_inaccessible_on_both_sides() {
    const GIB: usize = 1 << 30;
    let plan = MemoryPlan::new(MemoryMode::Clamped);
    for (ty, room) in [
        (ty64(0, None), 64 * GIB),
        (ty64(1, Some(3)), 64 * GIB),
        (ty64(1, Some(100 << 14)), 100 * GIB),
        (MemoryType { shared: true, ..ty64(1, Some(2)) }, 64 * GIB),
    ] {
        let mut memory = LinearMemory::new(&ty, &plan).unwrap();
        let base = memory.base().addr();
        assert_eq!(memory.reach() as usize, room + 2 * GIB, "{ty}");
        let addresses = memory.addresses();
        assert_eq!(addresses.start, base - 2 * GIB, "{ty}");
        assert!(addresses.end >= base + room + 4 * GIB + 16, "{ty}");
        for step in 0..2 {
            let end = base + memory.bytes();
            for at in [base - 2 * GIB, base - 1, end, base + room, addresses.end - 1] {
                assert_eq!(rights(at), "---p", "{ty}, byte {at:#x}, step {step}");
            }
            if memory.grow(1).is_ok() {
                assert_eq!(rights(end), "rw-p", "{ty}");
            }
            assert_eq!(memory.base().addr(), base, "{ty}");
        }
    }
}

#[test]
fn clamped_memories_leave_address_space_to_others() {
    // In a process of its own: what it takes is nobody else's.
    let status = common::fork(|| {
        let plan = MemoryPlan::new(MemoryMode::Clamped);
        let mut all = Vec::new();
        let error = loop {
            match LinearMemory::new(&ty64(1, None), &plan) {
                Ok(memory) => all.push(memory),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, MemoryError::System { .. }), "{error}");
        assert!((1000..1800).contains(&all.len()), "{}", all.len());
        // A terabyte is left for the host.
        drop(wasmoor_sys::vm::Reservation::new(1 << 40).unwrap());
        all.pop();
        LinearMemory::new(&ty64(1, None), &plan).unwrap();
        7
    });
    assert_eq!(status, 7);
}

#[test]
fn guards_surround_what_a_guest_can_reach() {
    for pages in [0, 1, 65536] {
        let memory = LinearMemory::new(&ty(pages, None), &MemoryPlan::new(GUARD)).unwrap();
        let base = memory.base().addr();
        assert_eq!(memory.addresses().start, base);
        let reach = (1usize << 32) + (32 << 20) + 16;
        assert!(memory.addresses().len() >= reach);
        for at in [memory.bytes(), (1 << 32) + 1, reach - 1] {
            assert_eq!(rights(base + at), "---p", "{pages} pages, byte {at:#x}");
        }
        if pages > 0 {
            assert_eq!(rights(base + memory.bytes() - 1), "rw-p");
        }
    }
}

#[test]
fn memories_that_must_not_move_do_not() {
    let small = MemoryPlan { mode: MemoryMode::Checked, reservation_bytes_max: 1 << 20 };
    for (ty, plan, steps) in [
        (ty(0, None), MemoryPlan::new(GUARD), 100),
        (ty(1, Some(16)), small, 15),
        (MemoryType { shared: true, ..ty(1, Some(200)) }, small, 199),
    ] {
        let mut memory = LinearMemory::new(&ty, &plan).unwrap();
        let base = memory.base();
        for _ in 0..steps {
            memory.grow(1).unwrap();
            assert_eq!(memory.base(), base, "{ty}");
        }
    }
}

/// Random growth and writes; every byte written so far and the bytes around every former end are
/// compared with a model after each step.
#[test]
fn memories_behave_like_a_growing_map_of_bytes() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let page_size_log2 = random.one_of(&[0, 16]);
        let ty = MemoryType {
            minimum: random.below(5),
            maximum: random.one_of(&[None, Some(40), Some(100_000)]),
            index64: random.below(2) == 1,
            shared: false,
            page_size_log2,
        };
        let tunables = Tunables {
            memory_mode: random.one_of(&[GUARD, MemoryMode::Checked]),
            clamped64: random.one_of(&[true, false]),
            ..Tunables::default()
        };
        let reservation_bytes_max = random.one_of(&[0, 1, 5000, 1 << 18]);
        let plan = MemoryPlan { mode: tunables.memory_mode_of(&ty), reservation_bytes_max };
        check_against_model(&ty, &plan, &mut random);
    }
}

fn check_against_model(ty: &MemoryType, plan: &MemoryPlan, random: &mut Random) {
    let mut memory = LinearMemory::new(ty, plan).unwrap();
    let mut model: BTreeMap<usize, u8> = BTreeMap::new();
    let mut pages = ty.minimum;
    let page_limit = ty.maximum.unwrap_or(u64::MAX).min(ty.pages_max_by_index());
    for step in 0..60 {
        let delta = random.one_of(&[0, 1, 2, 17, 3000]) * random.below(2);
        // What the model holds stays small: memories up to 256 MiB.
        let allowed = pages + delta <= page_limit;
        if allowed && (pages + delta) * ty.page_bytes() <= 256 << 20 {
            assert_eq!(memory.grow(delta).unwrap(), pages, "{ty} {plan:?}");
            let old_end = (pages * ty.page_bytes()) as usize;
            pages += delta;
            for at in old_end..(old_end + 2).min(memory.bytes()) {
                model.insert(at, 0);
            }
        } else if !allowed {
            assert!(memory.grow(delta).is_err(), "{ty} {plan:?}");
        }
        assert_eq!(memory.bytes() as u64, pages * ty.page_bytes());
        if memory.bytes() > 0 {
            let last = memory.bytes() - 1;
            let anywhere = random.below(last as u64 + 1) as usize;
            let at = random.one_of(&[0, last, anywhere]);
            write(&memory, at, step);
            model.insert(at, step);
        }
        for (&at, &value) in &model {
            assert_eq!(read(&memory, at), value, "byte {at}, {ty} {plan:?}");
        }
    }
}

#[test]
fn moving_takes_no_memory_for_pages_never_written() {
    let plan = MemoryPlan { mode: MemoryMode::Checked, reservation_bytes_max: 0 };
    let mut memory = LinearMemory::new(&ty64(16384, None), &plan).unwrap();
    write(&memory, 1 << 29, 5);
    let (base, before) = (memory.base(), common::resident_bytes());
    memory.grow(1).unwrap();
    assert_ne!(memory.base(), base);
    assert_eq!(read(&memory, 1 << 29), 5);
    let after = common::resident_bytes();
    assert!(after < before + (32 << 20), "{before} -> {after}");
}

/// In the child the kernel may not merge what is added to a mapping that both sides share.
#[test]
fn memories_grow_and_move_in_a_forked_child() {
    let plan = MemoryPlan { mode: MemoryMode::Checked, reservation_bytes_max: 1 << 20 };
    let mut memory = LinearMemory::new(&ty(4, None), &plan).unwrap();
    (0..4).for_each(|page| write(&memory, page << 16, 1 + page as u8));
    let grows = |memory: &mut LinearMemory| {
        for pages in 4..200 {
            assert_eq!(memory.grow(1).unwrap(), pages);
            write(memory, (pages as usize) << 16, 1 + pages as u8);
        }
        (0..200).all(|page| read(memory, page << 16) == 1 + page as u8)
    };
    let status = common::fork(|| i32::from(grows(&mut memory)));
    assert_eq!((status, memory.pages()), (1, 4));
    assert!(grows(&mut memory));
}

#[test]
fn the_mode_is_guard_where_there_is_room() {
    assert!(matches!(choose_memory_mode(), MemoryMode::Guard { .. }));
    assert!(choose_clamped64(None));
    assert!(choose_clamped64(Some(1000)), "the slots of a pool by default");
    assert!(!choose_clamped64(Some(10_000)), "more than there are addresses");
    assert!(!choose_clamped64(Some(usize::MAX)));
}

#[test]
fn short_address_space_leads_to_checks_and_errors_that_leave_memories_whole() {
    let test = "short_address_space_leads_to_checks_and_errors_that_leave_memories_whole";
    with_address_space(test, 200 << 20, || {
        let mode = choose_memory_mode();
        assert_eq!(mode, MemoryMode::Checked);
        assert!(!choose_clamped64(None));
        let error = LinearMemory::new(&ty(1, None), &MemoryPlan::new(GUARD)).unwrap_err();
        assert!(matches!(error, MemoryError::System { .. }), "{error}");
        // More than the preferred reservations leave room for: later ones get what they need.
        let plan = MemoryPlan::new(mode);
        let many: Vec<_> =
            (0..20).map(|_| LinearMemory::new(&ty(1, None), &plan).unwrap()).collect();
        drop(many);
        let mut memory = LinearMemory::new(&ty(1000, None), &plan).unwrap();
        write(&memory, 1000 * 65536 - 1, 7);
        let error = memory.grow(3000).unwrap_err();
        assert!(matches!(error, GrowError::System { .. }), "{error}");
        assert_eq!((memory.pages(), read(&memory, 1000 * 65536 - 1)), (1000, 7));
        // Doubling is refused, the exact size is not.
        memory.grow(500).unwrap();
        assert_eq!((memory.pages(), read(&memory, 1000 * 65536 - 1)), (1500, 7));
    });
}
