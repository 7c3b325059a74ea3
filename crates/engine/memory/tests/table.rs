//! Tables against a model, at their limits, and without memory.

#![cfg(target_os = "linux")]

mod common;

use common::{Random, with_address_space};
use wasmoor_abi::limits::TABLE_ELEMENTS_MAX;
use wasmoor_memory::{TableError, TableOutOfBounds, TableStorage};

fn contents(table: &TableStorage) -> Vec<u64> {
    (0..table.len()).map(|index| table.get(index).unwrap()).collect()
}

/// The range as `usize`, if it is within `len`.
fn range(start: u64, len: u64, of: usize) -> Option<std::ops::Range<usize>> {
    let end = start.checked_add(len)?;
    (end <= of as u64).then_some(start as usize..end as usize)
}

/// Random operations with indices in and out of bounds on two tables and two vectors.
#[test]
fn tables_behave_like_vectors() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let fill = random.below(3);
        let lens = [random.below(20), random.below(20)];
        let mut tables = lens.map(|len| TableStorage::new(len, fill).unwrap());
        let mut models = lens.map(|len| vec![fill; len as usize]);
        for _ in 0..200 {
            step(&mut random, &mut tables, &mut models);
            tables.swap(0, 1);
            models.swap(0, 1);
            assert_eq!(contents(&tables[0]), models[0], "seed {seed}");
            assert_eq!(contents(&tables[1]), models[1], "seed {seed}");
        }
    }
}

fn step(random: &mut Random, tables: &mut [TableStorage; 2], models: &mut [Vec<u64>; 2]) {
    let ([table, other], [model, other_model]) = (tables, models);
    let value = random.below(4);
    let mut index = || match random.below(12) {
        0 => u64::MAX - random.below(3),
        _ => random.below(model.len() as u64 + 3),
    };
    let (a, b, c) = (index(), index(), index() / 2);
    let done = |result: Result<(), TableOutOfBounds>| result.is_ok();
    match random.below(6) {
        0 => {
            let delta = random.below(4);
            assert_eq!(table.grow(delta, value).unwrap(), model.len() as u64);
            model.resize(model.len() + delta as usize, value);
        }
        1 => assert_eq!(table.get(a), range(a, 1, model.len()).map(|at| model[at.start])),
        2 => {
            let at = range(a, 1, model.len());
            assert_eq!(done(table.set(a, value)), at.is_some());
            at.into_iter().for_each(|at| model[at.start] = value);
        }
        3 => {
            let at = range(a, c, model.len());
            assert_eq!(done(table.fill(a, value, c)), at.is_some());
            at.into_iter().for_each(|at| model[at].fill(value));
        }
        4 => {
            let ranges = range(a, c, model.len()).zip(range(b, c, model.len()));
            assert_eq!(done(table.copy_within(a, b, c)), ranges.is_some());
            ranges.into_iter().for_each(|(dst, src)| model.copy_within(src, dst.start));
        }
        _ => {
            let ranges = range(a, c, model.len()).zip(range(b, c, other_model.len()));
            assert_eq!(done(table.copy_from(a, other, b, c)), ranges.is_some());
            ranges.into_iter().for_each(|(dst, src)| model[dst].copy_from_slice(&other_model[src]));
        }
    }
}

#[test]
fn no_table_exceeds_the_limit() {
    for elements in [TABLE_ELEMENTS_MAX + 1, u64::MAX] {
        let error = TableStorage::new(elements, 0).unwrap_err();
        assert_eq!(error, TableError::TooLarge { elements });
    }
    let mut table = TableStorage::new(TABLE_ELEMENTS_MAX - 1, 0).unwrap();
    assert_eq!(table.grow(1, 3).unwrap(), TABLE_ELEMENTS_MAX - 1);
    assert_eq!(table.grow(0, 3).unwrap(), TABLE_ELEMENTS_MAX);
    for delta in [1, u64::MAX, u64::MAX - TABLE_ELEMENTS_MAX] {
        assert!(matches!(table.grow(delta, 0), Err(TableError::TooLarge { .. })), "{delta}");
    }
    assert_eq!(table.get(TABLE_ELEMENTS_MAX - 1), Some(3));
    assert_eq!(table.get(TABLE_ELEMENTS_MAX), None);
}

#[test]
fn an_empty_table_has_a_base() {
    let table = TableStorage::new(0, 1).unwrap();
    assert!(table.is_empty() && !table.base().is_null() && table.base().is_aligned());
}

#[test]
fn zeros_take_no_memory_until_used() {
    let before = common::resident_bytes();
    let mut table = TableStorage::new(TABLE_ELEMENTS_MAX / 2, 0).unwrap();
    table.set(0, 1).unwrap();
    let after = common::resident_bytes();
    assert!(after < before + (8 << 20), "{before} -> {after}");
    // A table that grew out of little, too.
    let mut table = TableStorage::new(1, 0).unwrap();
    table.grow(TABLE_ELEMENTS_MAX / 2, 0).unwrap();
    let after = common::resident_bytes();
    assert!(after < before + (8 << 20), "{before} -> {after}");
}

#[test]
fn missing_memory_is_an_error_that_leaves_the_table_whole() {
    let test = "missing_memory_is_an_error_that_leaves_the_table_whole";
    with_address_space(test, 64 << 20, || {
        let error = TableStorage::new(TABLE_ELEMENTS_MAX, 0).unwrap_err();
        assert_eq!(error, TableError::OutOfMemory { elements: TABLE_ELEMENTS_MAX });
        // 24 MiB, so that 48 cannot be had beside them, but 32 can.
        let mut table = TableStorage::new(3 << 20, 9).unwrap();
        assert!(matches!(table.grow(6 << 20, 1), Err(TableError::OutOfMemory { .. })));
        assert_eq!((table.len(), table.get((3 << 20) - 1)), (3 << 20, Some(9)));
        table.grow(1 << 20, 1).unwrap();
        assert_eq!((table.get((3 << 20) - 1), table.get(3 << 20)), (Some(9), Some(1)));
    });
}
