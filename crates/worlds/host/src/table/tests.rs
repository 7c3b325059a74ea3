//! The table: its numbers, what is charged, copies.

use super::*;
use crate::descriptor::Object;
use crate::meter::Limits;

fn table(open_files_max: u64) -> (Arc<Limits>, Arc<DescriptorTable>) {
    let limits = Arc::new(Limits::new().with(Resource::OpenFiles, open_files_max));
    (limits.clone(), Arc::new(DescriptorTable::new(limits)))
}

fn null() -> Descriptor {
    Descriptor::new(Object::Null)
}

#[test]
fn lowest_number_first() {
    let (limits, table) = table(10);
    for expect in 0..4 {
        assert_eq!(table.push(null()), Ok(expect));
    }
    table.remove(2).unwrap();
    table.remove(0).unwrap();
    assert_eq!(table.push(null()), Ok(0));
    assert_eq!(table.push(null()), Ok(2));
    assert_eq!(table.push(null()), Ok(4));
    assert_eq!((table.len(), limits.left(Resource::OpenFiles)), (5, 5));
    drop(table);
    assert_eq!(limits.left(Resource::OpenFiles), 10);
}

#[test]
fn the_meter_bounds_it() {
    let (_, table) = table(2);
    table.push(null()).unwrap();
    let reservation = table.reserve().unwrap();
    assert_eq!(table.push(null()), Err(Errno::MFILE));
    drop(reservation);
    assert_eq!(table.push(null()), Ok(1));
    assert_eq!(table.push(null()), Err(Errno::MFILE));
}

#[test]
fn renumber_all_pairs() {
    let numbers = [0u32, 1, 2, 3, 4, 100, 1 << 31, u32::MAX];
    for from in numbers {
        for to in numbers {
            let (limits, table) = table(10);
            table.skip();
            for _ in 0..4 {
                table.push(null()).unwrap();
            }
            table.remove(3).unwrap();
            // 0, 1 and 2 are open.
            let both = from < 3 && to < 3;
            let result = table.renumber(from, to);
            assert_eq!(result, if both { Ok(()) } else { Err(Errno::BADF) }, "{from} {to}");
            let moved = both && from != to;
            assert_eq!(table.len(), if moved { 2 } else { 3 }, "{from} {to}");
            assert_eq!(limits.left(Resource::OpenFiles), 10 - table.len() as u64);
            assert_eq!(table.get(from).is_ok(), from < 3 && !moved, "{from} {to}");
            if moved {
                assert_eq!(table.push(null()), Ok(from), "{from} {to}");
            }
        }
    }
}

#[test]
fn skipped_numbers_are_closed() {
    let (_, table) = table(3);
    table.skip();
    assert!(table.get(0).is_err() && table.remove(0).is_err());
    assert_eq!(table.push(null()), Ok(0));
}

#[test]
fn duplicates_share_and_are_charged() {
    let (limits, table) = table(5);
    for _ in 0..2 {
        table.push(null()).unwrap();
    }
    assert_eq!(table.duplicate(0, 0, false), Ok(2));
    assert_eq!(table.duplicate(0, 7, true), Ok(7));
    assert!(Arc::ptr_eq(&table.get(0).unwrap(), &table.get(7).unwrap()));
    assert_eq!((table.close_on_exec(7), table.close_on_exec(2)), (Ok(true), Ok(false)));
    table.set_close_on_exec(7, false).unwrap();
    assert_eq!(table.close_on_exec(7), Ok(false));
    // In the gap, lowest first.
    assert_eq!(table.duplicate(1, 4, false), Ok(4));
    assert_eq!(limits.left(Resource::OpenFiles), 0);
    assert_eq!(table.duplicate(0, 0, false), Err(Errno::MFILE));
    table.remove(1).unwrap();
    assert_eq!(table.push(null()), Ok(1));
    for fd in [3, 8, u32::MAX] {
        assert_eq!(table.duplicate(fd, 0, false), Err(Errno::BADF));
        assert_eq!(table.close_on_exec(fd), Err(Errno::BADF));
        assert_eq!(table.set_close_on_exec(fd, true), Err(Errno::BADF));
    }
    assert_eq!(table.duplicate(0, DESCRIPTOR_NUMBERS_MAX, false), Err(Errno::INVAL));
    drop(table);
    assert_eq!(limits.left(Resource::OpenFiles), 5);
}

#[test]
fn programs_begin_without_what_is_closed_for_them() {
    let (limits, table) = table(5);
    for _ in 0..3 {
        table.push(null()).unwrap();
    }
    table.set_close_on_exec(1, true).unwrap();
    assert_eq!(table.duplicate(1, 0, false), Ok(3));
    table.close_for_exec();
    assert_eq!([0, 1, 2, 3].map(|fd| table.get(fd).is_ok()), [true, false, true, true]);
    assert_eq!(limits.left(Resource::OpenFiles), 2);
    table.close_for_exec();
    assert_eq!((table.len(), table.push(null())), (3, Ok(1)));
}

/// Of ten that may be open.
fn table_of_four_and_copy() -> (Arc<Limits>, Arc<DescriptorTable>, Arc<DescriptorTable>) {
    let (limits, table) = table(10);
    for _ in 0..4 {
        table.push(null()).unwrap();
    }
    let copy = table.copy();
    (limits, table, copy)
}

#[test]
fn a_copy_is_charged_for_what_it_opens() {
    for takes_over in [false, true] {
        let (limits, table, copy) = table_of_four_and_copy();
        let left = || limits.left(Resource::OpenFiles);
        assert_eq!((copy.len(), left()), (4, 6));
        // What it closes is the other's still; what it opens is its own, but for a number that is
        // open in both.
        copy.remove(1).unwrap();
        copy.set_close_on_exec(2, true).unwrap();
        copy.close_for_exec();
        assert_eq!((copy.len(), table.len(), left()), (2, 4, 6));
        assert_eq!((copy.push(null()), left()), (Ok(1), 5));
        assert_eq!((copy.duplicate_to(1, 3, false), left()), (Ok(()), 5));
        assert_eq!((copy.renumber(1, 0), left()), (Ok(()), 5));
        assert_eq!((copy.len(), table.close_on_exec(2)), (2, Ok(false)));
        if takes_over {
            table.take_over(&copy);
            assert_eq!([0, 1, 2, 3].map(|fd| table.get(fd).is_ok()), [true, false, false, true]);
            assert_eq!((table.len(), left()), (2, 8));
        }
        drop(copy);
        assert_eq!(left(), if takes_over { 8 } else { 6 });
        drop(table);
        assert_eq!(left(), 10);
    }
}

#[test]
fn what_either_has_is_charged() {
    for takes_over in [false, true] {
        let (limits, table, copy) = table_of_four_and_copy();
        let left = || limits.left(Resource::OpenFiles);
        // Closed by another thread, while the copy has them.
        for fd in 0..3 {
            table.remove(fd).unwrap();
        }
        assert_eq!((table.len(), copy.len(), left()), (1, 4, 6));
        if takes_over {
            table.take_over(&copy);
            assert_eq!((table.len(), copy.len(), left()), (4, 0, 6));
        }
        drop(copy);
        assert_eq!(left(), if takes_over { 6 } else { 9 });
        drop(table);
        assert_eq!(left(), 10);
    }
}

#[test]
fn a_full_copy_replaces_what_it_has() {
    let (limits, table) = table(3);
    for _ in 0..3 {
        table.push(null()).unwrap();
    }
    let copy = table.copy();
    assert_eq!(copy.push(null()), Err(Errno::MFILE));
    assert_eq!(copy.duplicate_to(0, 1, false), Ok(()));
    let place = copy.vacate(2).unwrap();
    assert_eq!((copy.len(), table.len()), (2, 3));
    assert_eq!(copy.insert_at(2, place, null(), true), Ok(()));
    assert_eq!(
        (copy.len(), copy.close_on_exec(2), table.close_on_exec(2)),
        (3, Ok(true), Ok(false))
    );
    assert_eq!(copy.vacate(3).err(), Some(Errno::MFILE));
    assert_eq!(copy.vacate(DESCRIPTOR_NUMBERS_MAX).err(), Some(Errno::BADF));
    drop(table);
    assert_eq!(limits.left(Resource::OpenFiles), 0, "the copy has all of them");
    drop(copy);
    assert_eq!(limits.left(Resource::OpenFiles), 3);
}

#[test]
fn copies_are_closed_together() {
    let (limits, table) = table(10);
    for _ in 0..3 {
        table.push(null()).unwrap();
    }
    drop(table.copy());
    let (one, other) = (table.copy(), table.copy());
    one.push(null()).unwrap();
    let seen = table.remove(1).unwrap();
    // The table's, both copies', and one that is in none.
    assert_eq!(one.hold(|all| all.len()), 4);
    assert_eq!(table.hold(|all| all.len()), 4);
    table.close_copies();
    assert_eq!((table.len(), one.len(), other.len()), (2, 0, 0));
    assert_eq!((Arc::strong_count(&seen), limits.left(Resource::OpenFiles)), (1, 8));
}

#[test]
fn duplicate_to_any_number() {
    let (limits, table) = table(3);
    table.push(null()).unwrap();
    table.push(null()).unwrap();
    assert_eq!(table.duplicate_to(0, 1, true), Ok(()));
    assert!(Arc::ptr_eq(&table.get(0).unwrap(), &table.get(1).unwrap()));
    assert_eq!((table.len(), limits.left(Resource::OpenFiles)), (2, 1));
    assert_eq!(table.duplicate_to(0, 9, false), Ok(()));
    assert_eq!((table.len(), limits.left(Resource::OpenFiles)), (3, 0));
    assert_eq!(table.duplicate_to(0, 5, false), Err(Errno::MFILE));
    assert_eq!(table.duplicate_to(1, 9, false), Ok(()), "what is replaced makes room");
    assert_eq!(table.duplicate_to(0, 0, false), Ok(()));
    assert_eq!(table.duplicate_to(4, 4, false), Err(Errno::BADF));
    assert_eq!(table.duplicate_to(0, DESCRIPTOR_NUMBERS_MAX, false), Err(Errno::BADF));
    table.remove(9).unwrap();
    assert_eq!(table.push(null()), Ok(2));
}

#[test]
fn threads_open_and_close_at_once() {
    let (limits, table) = table(64);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let fd = table.push(null()).unwrap();
                    let copy = table.duplicate(fd, 10, false).unwrap();
                    assert!(table.get(fd).is_ok() && copy >= 10);
                    table.remove(copy).unwrap();
                    table.remove(fd).unwrap();
                }
            });
        }
    });
    assert!(table.is_empty());
    assert_eq!(limits.left(Resource::OpenFiles), 64);
}
