//! Memories after a reset are what they were: nothing of a guest stays, whatever it did, whatever
//! the memory began with, and however it is reset.
//!
//! # Safety
//! Bytes of memories are touched through their base after a check of the bounds.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "reads and writes memories through their base")]

mod common;

use common::{Random, rights};
use std::sync::Arc;
use wasmoor_abi::{MemoryMode, MemoryType};
use wasmoor_memory::{DenseArena, LinearMemory, MemoryImage, MemoryPlan, ResetDone, ResetMethod};

const GUARD: MemoryMode = MemoryMode::Guard { guard_bytes: 32 << 20 };
const METHODS: [ResetMethod; 4] =
    [ResetMethod::Auto, ResetMethod::Copy, ResetMethod::PageScan, ResetMethod::Decommit];

fn ty(minimum: u64, page_size_log2: u8) -> MemoryType {
    MemoryType { minimum, maximum: None, index64: false, shared: false, page_size_log2 }
}

fn bytes(memory: &LinearMemory) -> &[u8] {
    // SAFETY: mapped and, in these tests, used by nobody else.
    unsafe { std::slice::from_raw_parts(memory.base(), memory.bytes()) }
}

fn write(memory: &mut LinearMemory, at: usize, value: u8) {
    assert!(at < memory.bytes());
    // SAFETY: in bounds.
    unsafe { memory.base().add(at).write_volatile(value) }
}

/// Where a memory is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Guarded,
    Clamped,
    Checked,
    Dense,
}

struct Setup {
    place: Place,
    arena: Arc<DenseArena>,
}

impl Setup {
    fn plan(&self) -> MemoryPlan {
        let mode = match self.place {
            Place::Guarded => GUARD,
            Place::Clamped => MemoryMode::Clamped,
            Place::Checked | Place::Dense => MemoryMode::Checked,
        };
        MemoryPlan { mode, reservation_bytes_max: 4 << 20 }
    }

    /// The type as a memory in this place may have it.
    fn ty(&self, ty: &MemoryType) -> MemoryType {
        MemoryType { index64: self.place == Place::Clamped, ..*ty }
    }

    fn memory(&self, ty: &MemoryType, image: Option<&Arc<MemoryImage>>) -> LinearMemory {
        let ty = &self.ty(ty);
        match self.place {
            Place::Dense => LinearMemory::in_arena(&self.arena, ty, &self.plan(), image),
            _ => LinearMemory::with_image(ty, &self.plan(), image),
        }
        .unwrap()
    }
}

fn setups() -> [Setup; 4] {
    [Place::Guarded, Place::Clamped, Place::Checked, Place::Dense]
        .map(|place| Setup { place, arena: DenseArena::new(4 << 20).unwrap() })
}

/// Types with what they begin with: nothing, all, a little in the middle, and an odd end.
fn beginnings() -> Vec<(MemoryType, Option<Arc<MemoryImage>>)> {
    let image = |ty: MemoryType, pieces: &[(u64, &[u8])]| {
        (ty, Some(Arc::new(MemoryImage::new(&ty, pieces).unwrap())))
    };
    vec![
        (ty(0, 16), None),
        (ty(1, 16), None),
        (ty(20, 16), None),
        image(ty(1, 16), &[(0, &[0xAA; 65536])]),
        image(ty(20, 16), &[(70_000, &[0xBB; 9000])]),
        image(ty(40, 16), &[(70_000, &[0xCC; 9000]), (2_000_000, b"end")]),
    ]
}

fn first_bytes(ty: &MemoryType, image: Option<&Arc<MemoryImage>>) -> Vec<u8> {
    let mut first = vec![0; (ty.minimum << ty.page_size_log2) as usize];
    if let Some(image) = image {
        let len = image.bytes().len().min(first.len() - image.start());
        first[image.start()..][..len].copy_from_slice(&image.bytes()[..len]);
    }
    first
}

/// What a guest does: writes, a lot or a little, and grows.
fn use_it(memory: &mut LinearMemory, random: &mut Random) {
    if random.below(3) == 0 {
        _ = memory.grow(random.one_of(&[1, 7, 40, 100]));
    }
    let len = memory.bytes() as u64;
    if len == 0 {
        return;
    }
    match random.below(4) {
        0 => (0..len as usize).step_by(4096).for_each(|at| write(memory, at, 0xAA)),
        1 => {
            _ = bytes(memory).iter().map(|&byte| u64::from(byte)).sum::<u64>();
        }
        _ => {
            for _ in 0..random.below(40) {
                write(memory, random.below(len) as usize, random.below(256) as u8);
            }
            write(memory, len as usize - 1, 0x55);
        }
    }
}

#[test]
fn nothing_stays_of_what_a_guest_did() {
    for setup in setups() {
        for method in METHODS {
            for (seed, (ty, image)) in beginnings().into_iter().enumerate() {
                let first = first_bytes(&ty, image.as_ref());
                let mut random = Random::new(seed as u64);
                let mut memory = setup.memory(&ty, image.as_ref());
                for round in 0..30 {
                    let name = format!("{:?} {method:?} {ty} round {round}", setup.place);
                    assert!(bytes(&memory) == first, "{name}");
                    use_it(&mut memory, &mut random);
                    memory.reset(method, true).unwrap();
                    if setup.place == Place::Guarded {
                        let end = memory.base() as usize + memory.bytes();
                        assert_eq!(rights(end), "---p", "{name}");
                    }
                }
                assert!(memory.grow(30).is_ok());
                assert!(bytes(&memory)[first.len()..].iter().all(|&byte| byte == 0));
            }
        }
    }
}

#[test]
fn address_space_goes_from_one_kind_of_memory_to_another() {
    for setup in setups() {
        for method in METHODS {
            let beginnings = beginnings();
            let mut random = Random::new(7);
            let mut memory = setup.memory(&beginnings[1].0, None);
            let mut reused = 0;
            for _ in 0..60 {
                use_it(&mut memory, &mut random);
                memory.reset(method, true).unwrap();
                let (ty, image) = &beginnings[random.below(6) as usize];
                match memory.reuse(&setup.ty(ty), &setup.plan(), image.as_ref()) {
                    Ok(true) => reused += 1,
                    // It has moved to a place that is too large by now.
                    Ok(false) => memory = setup.memory(ty, image.as_ref()),
                    Err(error) => panic!("{error}"),
                }
                let first = first_bytes(ty, image.as_ref());
                assert!(bytes(&memory) == first, "{:?} {method:?} {ty}", setup.place);
            }
            assert!(reused > 20, "{:?}: {reused}", setup.place);
        }
    }
}

#[test]
fn what_nobody_wrote_to_is_left_alone() {
    let ty = ty(20, 16);
    let image = Arc::new(MemoryImage::new(&ty, &[(0, b"data")]).unwrap());
    let mut memory = LinearMemory::with_image(&ty, &MemoryPlan::new(GUARD), Some(&image)).unwrap();
    for method in METHODS {
        assert_eq!(memory.reset(method, false).unwrap(), ResetDone::Untouched);
    }
    write(&mut memory, 0, 1);
    assert_eq!(memory.reset(ResetMethod::Copy, true).unwrap(), ResetDone::Copied);
    assert_eq!(memory.reset(ResetMethod::Decommit, true).unwrap(), ResetDone::Decommitted);
    assert_eq!(bytes(&memory)[0], b'd');
}

/// A guest that wrote to much is followed by ones that write to little: its pages are given up.
#[test]
fn pages_that_nobody_needs_are_given_up() {
    let ty = ty(30, 16);
    let mut memory = LinearMemory::new(&ty, &MemoryPlan::new(GUARD)).unwrap();
    let own = |memory: &LinearMemory| {
        let mut found = [wasmoor_sys::pagemap::OwnPages::default(); 600];
        let start = memory.addresses().start;
        let all = start..start + (30 << 16);
        let (count, _) = wasmoor_sys::pagemap::own_pages(all, &mut found).ok()?;
        Some(found[..count].iter().map(|own| (own.end - own.start) / 4096).sum::<u64>())
    };
    if own(&memory).is_none() {
        eprintln!("this system cannot tell which pages have been written to");
        return;
    }
    (0..200).for_each(|page| write(&mut memory, page * 4096, 1));
    memory.reset(ResetMethod::Auto, true).unwrap();
    assert_eq!(own(&memory), Some(200));
    for _ in 0..20 {
        write(&mut memory, 0, 1);
        memory.reset(ResetMethod::Auto, true).unwrap();
    }
    assert!(own(&memory).unwrap() < 10, "{:?}", own(&memory));
}

#[test]
fn pieces_of_an_arena_are_clean_for_whoever_comes_next() {
    let arena = DenseArena::new(1 << 20).unwrap();
    let plan = MemoryPlan::new(MemoryMode::Checked);
    for _ in 0..3 {
        let mut memories: Vec<_> = (0..300)
            .map(|_| LinearMemory::in_arena(&arena, &ty(1, 16), &plan, None).unwrap())
            .collect();
        for memory in &mut memories {
            assert!(bytes(memory).iter().all(|&byte| byte == 0));
            memory.grow(1).unwrap();
            write(memory, 0, 1);
            write(memory, (2 << 16) - 1, 1);
        }
        // One that outgrows its piece moves, with its contents.
        memories[0].grow(30).unwrap();
        assert_eq!(bytes(&memories[0])[(2 << 16) - 1], 1);
    }
    assert!(LinearMemory::in_arena(&arena, &ty(17, 16), &plan, None).is_err());
    assert!(LinearMemory::in_arena(&arena, &ty(1, 16), &MemoryPlan::new(GUARD), None).is_err());
}
