//! Code regions: both ways of writing, rights of pages, errors, limits, forks.
//!
//! # Safety
//! Only code that `returning` made is called, and data is touched within its length.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "tests of unsafe foundations run made-up machine code")]

mod common;

use common::{call, fork, in_own_process, limit, mappings, returning};
use rustix::process::Resource;
use std::sync::Arc;
use wasmoor_sys::code::{CodeError, CodeRegion, WriteMode};
use wasmoor_sys::vm::page_bytes;

const MODES: [WriteMode; 2] = [WriteMode::DualMapped, WriteMode::ProtectOnce];

/// Writes a function and answers its address.
fn place(region: &CodeRegion, value: u16) -> usize {
    let code = returning(value);
    let span = region.allocate(code.len(), 16).unwrap();
    let address = region.address(&span);
    region.write(span, &code).unwrap();
    address
}

#[test]
fn code_runs_and_data_is_next_to_it() {
    for mode in MODES {
        let region = CodeRegion::with_mode(10, 1 << 20, mode).unwrap();
        assert_eq!(region.write_mode(), mode);
        let data = region.data().addr().get();
        assert_eq!(region.data_len(), page_bytes());
        assert_eq!(region.code_range(), data + page_bytes()..data + page_bytes() + (1 << 20));
        // SAFETY: data is writable.
        unsafe { region.data().add(9).write(1) };
        let functions: Vec<_> = (0..200).map(|value| (place(&region, value), value)).collect();
        for (address, value) in functions {
            assert!(region.code_range().contains(&address) && address % 16 == 0);
            assert_eq!(call(address), value, "{mode:?}");
        }
        let each = if mode == WriteMode::DualMapped { 16 } else { page_bytes() };
        assert!((199 * each..=200 * each).contains(&region.allocated_bytes()), "{mode:?}");
    }
}

#[test]
fn no_page_is_writable_and_executable() {
    for mode in MODES {
        let region = CodeRegion::with_mode(1, 1 << 20, mode).unwrap();
        let published = place(&region, 1);
        for (rights, range) in mappings(0..usize::MAX) {
            assert!(!rights.starts_with("rwx"), "{rights} {range:x?} with {mode:?}");
        }
        let code = mappings(region.code_range());
        assert!(code.iter().all(|(rights, _)| !rights.contains('w')), "{code:x?}");
        let (rights, _) = &mappings(published..published + 1)[0];
        assert!(rights.starts_with("r-x"), "{rights} with {mode:?}");
        let data = region.data().addr().get();
        assert!(mappings(data..data + 1)[0].0.starts_with("rw-p"), "data is private");
    }
}

#[test]
fn misuse_and_exhaustion_are_errors() {
    for mode in MODES {
        let region = CodeRegion::with_mode(0, 2 * page_bytes(), mode).unwrap();
        let other = CodeRegion::with_mode(0, 2 * page_bytes(), mode).unwrap();
        for align in [0, 3, 2 * page_bytes(), usize::MAX] {
            assert!(matches!(region.allocate(1, align), Err(CodeError::Alignment(_))), "{align}");
        }
        let span = region.allocate(4, 4).unwrap();
        assert!(matches!(region.write(span, &[0; 5]), Err(CodeError::TooLong { len: 5, span: 4 })));
        let span = other.allocate(4, 4).unwrap();
        assert!(matches!(region.write(span, &[0]), Err(CodeError::ForeignSpan)));
        let span = region.allocate(0, 1).unwrap();
        region.write(span, &[]).unwrap();
        for len in [2 * page_bytes(), usize::MAX, usize::MAX - 8] {
            let error = region.allocate(len, 16).unwrap_err();
            assert!(matches!(error, CodeError::Full { .. }), "{error}");
        }
        let left = 2 * page_bytes() - region.allocated_bytes();
        let span = region.allocate(left, 1).unwrap();
        region.write(span, &vec![1; left]).unwrap();
        assert!(matches!(region.allocate(1, 1), Err(CodeError::Full { wanted: 1, left: 0 })));
    }
}

#[test]
fn regions_out_of_range_are_refused() {
    for (data, code) in [
        (0, 0),
        (1, 0),
        (1, i32::MAX as usize),
        (usize::MAX, 1),
        (1, usize::MAX),
        (1 << 63, 1 << 63),
    ] {
        let error = CodeRegion::new(data, code).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{data} {code}");
    }
}

#[test]
fn threads_write_at_the_same_time() {
    for mode in MODES {
        let region = Arc::new(CodeRegion::with_mode(8, 64 << 20, mode).unwrap());
        let threads: Vec<_> = (0..8u16)
            .map(|thread| {
                let region = Arc::clone(&region);
                std::thread::spawn(move || {
                    let place = |n| (place(&region, thread * 1000 + n), thread * 1000 + n);
                    (0..300).map(place).collect::<Vec<_>>()
                })
            })
            .collect();
        for thread in threads {
            for (address, value) in thread.join().unwrap() {
                assert_eq!(call(address), value);
            }
        }
    }
}

#[test]
fn after_a_fork_parent_and_child_compile_apart() {
    in_own_process("after_a_fork_parent_and_child_compile_apart", || {
        for mode in MODES {
            let region = CodeRegion::with_mode(8, 1 << 20, mode).unwrap();
            let before = place(&region, 1);
            let unwritten = region.allocate(16, 16).unwrap();
            let next = |value| {
                let address = place(&region, value);
                (address - region.code_range().start, address)
            };
            // SAFETY: data is writable.
            let write_data = |value| unsafe { region.data().write_volatile(value) };
            // SAFETY: data is readable.
            let read_data = || unsafe { region.data().read_volatile() };
            let mut offset = None;
            write_data(1);
            // The pipe makes the child go on only after the parent has written its code.
            let (mut reader, writer) = std::io::pipe().unwrap();
            let child = || {
                std::io::Read::read_exact(&mut reader, &mut [0]).unwrap();
                assert_eq!(read_data(), 1);
                write_data(2);
                let stale = region.write(unwritten, &returning(9));
                assert_eq!(stale.is_err(), mode == WriteMode::DualMapped);
                let (at, address) = next(200);
                assert_eq!((call(before), call(address)), (1, 200));
                // A child of the child, while both go on.
                let status = fork(
                    || {
                        let (_, inner) = next(201);
                        assert_eq!((call(before), call(address), call(inner)), (1, 200, 201));
                        0
                    },
                    || assert_eq!(call(next(202).1), 202),
                );
                assert_eq!((status, call(before), call(address)), (0, 1, 200));
                for (rights, range) in mappings(0..usize::MAX) {
                    assert!(!rights.starts_with("rwx"), "{rights} {range:x?}");
                }
                (at / page_bytes()) as i32
            };
            let parent = || {
                let (at, address) = next(100);
                std::io::Write::write_all(&mut &writer, &[0]).unwrap();
                assert_eq!((call(before), call(address)), (1, 100));
                offset = Some(at);
            };
            let status = fork(child, parent);
            // Both took the same place, and the parent's code is still its own.
            let at = offset.unwrap();
            assert_eq!(status as usize, at / page_bytes(), "{mode:?}");
            assert_eq!(call(region.code_range().start + at), 100);
            assert_eq!((call(before), read_data()), (1, 1));
        }
    });
}

#[test]
fn a_full_region_survives_a_fork() {
    in_own_process("a_full_region_survives_a_fork", || {
        let region = CodeRegion::with_mode(0, page_bytes(), WriteMode::DualMapped).unwrap();
        let address = place(&region, 7);
        region.allocate(page_bytes() - region.allocated_bytes(), 1).unwrap();
        let child = || {
            assert!(matches!(region.allocate(1, 1), Err(CodeError::Full { .. })));
            i32::from(call(address))
        };
        assert_eq!(fork(child, || ()), 7);
    });
}

#[test]
fn the_child_writes_in_place_where_memory_files_are_refused() {
    in_own_process("the_child_writes_in_place_where_memory_files_are_refused", || {
        let region = CodeRegion::new(0, 1 << 20).unwrap();
        let before = place(&region, 1);
        let child = || {
            limit(Resource::Fsize, 1 << 16);
            let address = place(&region, 2);
            assert_eq!(region.write_mode(), WriteMode::ProtectOnce);
            assert_eq!((call(before), call(address)), (1, 2));
            0
        };
        assert_eq!(fork(child, || ()), 0);
        assert_eq!(region.write_mode(), WriteMode::DualMapped);
    });
}

#[test]
fn a_limit_on_files_leads_to_writing_in_place() {
    in_own_process("a_limit_on_files_leads_to_writing_in_place", || {
        limit(Resource::Fsize, 1 << 16);
        assert!(CodeRegion::with_mode(1, 1 << 20, WriteMode::DualMapped).is_err());
        let region = CodeRegion::new(1, 1 << 20).unwrap();
        assert_eq!(region.write_mode(), WriteMode::ProtectOnce);
        assert_eq!(call(place(&region, 5)), 5);
    });
}

#[test]
fn short_address_space_is_an_error_or_leads_to_writing_in_place() {
    in_own_process("short_address_space_is_an_error_or_leads_to_writing_in_place", || {
        let code_bytes = 256 << 20;
        limit(Resource::As, common::address_space_bytes() + (384 << 20));
        assert!(CodeRegion::new(1, 2 * code_bytes).is_err());
        let region = CodeRegion::new(1, code_bytes).unwrap();
        assert_eq!(region.write_mode(), WriteMode::ProtectOnce);
        assert_eq!(call(place(&region, 5)), 5);
    });
}
