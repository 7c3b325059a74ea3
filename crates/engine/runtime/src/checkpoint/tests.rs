//! What copies share, what they are charged with, and what is refused: on stacks that are made up.

use super::*;
use std::cell::Cell;
use std::collections::BTreeSet;

thread_local! {
    /// Copies of stacks that were made.
    pub(super) static COPIES: Cell<usize> = const { Cell::new(0) };
}

const ENTRY: Address = 0x7000_0000;

/// The words of a stack from `at` to the entry. Those of different depth share what lies higher up.
fn stack(at: Address, seed: u64) -> Vec<u64> {
    let word = |word| if word < 4 { seed } else { (at + 8 * word) as u64 };
    (0..(ENTRY - at) / 8).map(word).collect()
}

fn checkpoint(sp: Address, place: Address) -> Checkpoint {
    Checkpoint {
        number: 0,
        data: 0,
        entry_fp: ENTRY,
        place: Place { fp: place, pc: 1, inner_pc: 2 },
        resumption: Resumption { sp, ..Resumption::default() },
        copy: StackCopy::default(),
        globals: Box::default(),
    }
}

#[test]
fn copies_are_whole_and_share_what_is_the_same() {
    for below in [8, 2040, 2048, 2056, 10_000, 100_000] {
        let at = ENTRY - 64 - below;
        let words = &stack(at, 1)[..below / 8];
        let bytes = StackCopy::bytes_beside(at, words, None);
        let first = StackCopy::new(at, words, None);
        assert_eq!(first.words().flatten().copied().collect::<Vec<_>>(), words, "{below}");
        assert_eq!(bytes, first.own_bytes());
        // The first words differ, which are one chunk.
        let other = &stack(at, 2)[..below / 8];
        let bytes = StackCopy::bytes_beside(at, other, Some(&first));
        let second = StackCopy::new(at, other, Some(&first));
        assert_eq!(bytes, second.own_bytes());
        assert_eq!(second.words().flatten().copied().collect::<Vec<_>>(), other, "{below}");
        assert!(bytes <= (CHUNK_BYTES + size_of_val(&second.0[..])) as u64, "{below}: {bytes}");
    }
}

#[test]
fn what_was_charged_is_given_back() {
    let (mut checkpoints, mut meter) = (Checkpoints::default(), Meter::default());
    let mut state = 1u64;
    for round in 0..2000usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let sp = ENTRY - 64 - 8 * (state >> 52) as usize;
        let words = &stack(sp, state)[..(ENTRY - 64 - sp) / 8];
        let made = checkpoint(sp, ENTRY - 16 * (round % 5));
        checkpoints.add(&mut meter, made, words).expect("there is room");
        if round % 7 == 0 {
            checkpoints.retain(&mut meter, |checkpoint| checkpoint.number % 3 != 0);
        }
        let sum: u64 = checkpoints.list.iter().map(Checkpoint::other_bytes).sum();
        assert!(sum <= checkpoints.bytes && checkpoints.bytes == meter.host_bytes);
    }
    assert!(checkpoints.list.len() <= 5 * SAME_PLACE_MAX);
    checkpoints.retain(&mut meter, |_| false);
    assert_eq!((checkpoints.bytes, meter.host_bytes), (0, 0));
}

#[test]
fn old_ones_of_the_same_place_make_room_and_others_do_not() {
    let (mut checkpoints, mut meter) = (Checkpoints::default(), Meter::default());
    let words = vec![7; 1000];
    let sp = ENTRY - 8000;
    meter.limits.host_bytes_max = 30_000;
    let outer = checkpoints.add(&mut meter, checkpoint(sp, 16), &words).expect("room");
    for seed in 0..100 {
        let words = vec![seed; 1000];
        checkpoints.add(&mut meter, checkpoint(sp, 32), &words).expect("old ones go");
    }
    assert!(checkpoints.find(outer).is_some());
    // Nothing of this place can go.
    meter.limits.host_bytes_max = meter.host_bytes;
    let refused = checkpoints.add(&mut meter, checkpoint(sp, 48), &[1; 1000]);
    assert_eq!(refused, Err(NoCheckpoint::Limit));
    assert!(checkpoints.find(outer).is_some());
}

/// Words of registers that come with each.
fn register_words() -> usize {
    Resumption::default().registers.len()
}

#[test]
fn words_that_are_shared_come_once() {
    let (mut checkpoints, mut meter) = (Checkpoints::default(), Meter::default());
    let sp = ENTRY - 100 * CHUNK_BYTES;
    for seed in 0..60u64 {
        // Every one has a lowest chunk of its own, and every tenth another one higher up.
        let mut words = stack(sp, seed);
        words[50 * CHUNK_BYTES / 8] = seed / 10;
        checkpoints.add(&mut meter, checkpoint(sp, 16), &words).expect("there is room");
    }
    let chunk = CHUNK_BYTES / 8;
    let distinct = (98 + 60 + 6) * chunk;
    assert_eq!(checkpoints.words().count(), distinct + 60 * register_words());
    // The same when some have gone: first, last, and between.
    checkpoints.retain(&mut meter, |checkpoint| checkpoint.number % 10 == 5);
    assert_eq!(checkpoints.list.len(), 6);
    let distinct = (98 + 6 + 6) * chunk;
    assert_eq!(checkpoints.words().count(), distinct + 6 * register_words());
    let every = checkpoints.list.iter().flat_map(|checkpoint| checkpoint.copy.words()).flatten();
    let every: BTreeSet<u64> = every.copied().collect();
    assert!(every.is_subset(&checkpoints.words().collect()));
}

#[test]
fn words_of_stacks_that_get_longer_and_shorter_come_once() {
    let (mut checkpoints, mut meter) = (Checkpoints::default(), Meter::default());
    let mut state = 1u64;
    for round in 0..200usize {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let sp = ENTRY - 8 - 8 * (state >> 52) as usize;
        let words = stack(sp, state);
        checkpoints.add(&mut meter, checkpoint(sp, 16 * (round % 7)), &words).expect("room");
        if round % 5 == 0 {
            checkpoints.retain(&mut meter, |checkpoint| checkpoint.number % 4 != 0);
        }
        let list = &checkpoints.list;
        let chunks = list.iter().flat_map(|checkpoint| &checkpoint.copy.0);
        let distinct: BTreeSet<_> = chunks.map(|chunk| (chunk.as_ptr(), chunk.len())).collect();
        let words: usize = distinct.iter().map(|(_, len)| len).sum();
        assert_eq!(checkpoints.words().count(), words + list.len() * register_words());
    }
}

#[test]
fn what_cannot_be_kept_is_refused_before_anything_is_copied_or_dropped() {
    let (mut checkpoints, mut meter) = (Checkpoints::default(), Meter::default());
    for seed in 0..10 {
        checkpoints.add(&mut meter, checkpoint(ENTRY - 8000, 16), &[seed; 1000]).expect("room");
    }
    let (kept, copies) = ((checkpoints.list.len(), checkpoints.bytes), COPIES.get());
    // More than any store may have, and more than this one may.
    for (host_bytes_max, bytes) in [(1 << 30, BYTES_MAX as usize), (200_000, 200_000)] {
        meter.limits.host_bytes_max = host_bytes_max;
        let refused =
            checkpoints.add(&mut meter, checkpoint(ENTRY - bytes, 16), &vec![1; bytes / 8]);
        assert_eq!(refused, Err(NoCheckpoint::Limit), "{bytes}");
        assert_eq!((checkpoints.list.len(), checkpoints.bytes), kept, "{bytes}");
    }
    // What another place keeps leaves no room.
    meter.limits.host_bytes_max = meter.host_bytes + 5000;
    let refused = checkpoints.add(&mut meter, checkpoint(ENTRY - 8000, 32), &[77; 1000]);
    assert_eq!(refused, Err(NoCheckpoint::Limit));
    assert_eq!(COPIES.get(), copies);
    // Old ones that have to go are no reason to copy more than once.
    checkpoints.add(&mut meter, checkpoint(ENTRY - 24_000, 16), &[5; 3000]).expect("old ones go");
    assert_eq!(COPIES.get(), copies + 1);
    assert!(checkpoints.list.len() < 10);
}

#[test]
fn their_number_is_bounded() {
    let (mut checkpoints, mut meter) = (Checkpoints::default(), Meter::default());
    for place in 0..COUNT_MAX {
        let made = checkpoint(ENTRY - 64, 16 * place);
        checkpoints.add(&mut meter, made, &[1; 8]).expect("there is room");
    }
    let bytes = meter.host_bytes;
    let refused = checkpoints.add(&mut meter, checkpoint(ENTRY - 64, 1 << 20), &[1; 8]);
    assert_eq!(refused, Err(NoCheckpoint::Limit));
    // A place that has one gives up its oldest.
    let newest =
        checkpoints.add(&mut meter, checkpoint(ENTRY - 64, 0), &[1; 8]).expect("the first went");
    assert_eq!((checkpoints.list.len(), meter.host_bytes), (COUNT_MAX, bytes));
    assert!(checkpoints.find(1).is_none() && checkpoints.find(newest).is_some());
}
