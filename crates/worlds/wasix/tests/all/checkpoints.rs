//! `stack_checkpoint` and `stack_restore` for an embedder, who has no process for each guest.

use crate::common::{TIERS, engine, instantiate, store};
use wasmoor::raw;
use wasmoor::{Error, StoreLimits};

/// The guest of the tests of the command.
const TEXT: &str = include_str!("../../../../../tests/wasix/checkpoints.wat");

fn call(tier: wasmoor::Tier, limits: StoreLimits, function: &str) -> Result<i32, Error> {
    let (mut store, _folder) = store(&engine(tier));
    store.set_limits(limits);
    let instance = instantiate(&mut store, TEXT);
    let answer = instance.get_typed_func::<(), i32>(&store, function)?.call(&mut store, ());
    assert_eq!(raw::checkpoints_kept(&mut store), (0, 0), "{tier:?} {function}");
    assert_eq!(store.meter().host_bytes, 0, "{tier:?} {function}");
    answer
}

#[test]
fn guests_of_embedders_go_back() -> Result<(), Error> {
    for tier in TIERS {
        for (function, answer) in [
            ("twice", 5),
            ("copied", 43),
            ("depths", 1000),
            ("at_the_end", 10),
            ("out_of_a_raise", 13),
            ("out_of_a_loop", 17),
            ("out_of_a_sleep", 17),
        ] {
            let answered = call(tier, StoreLimits::default(), function)?;
            assert_eq!(answered, answer, "{tier:?} {function}");
        }
    }
    Ok(())
}

#[test]
fn errors_have_a_backtrace() {
    for tier in TIERS {
        for function in ["never_saved", "changed", "other_half_changed"] {
            let error = call(tier, StoreLimits::default(), function).expect_err("no snapshot");
            assert!(error.to_string().contains("got a snapshot that this thread did not make"));
            let frames = error.backtrace().map_or(0, |trace| trace.frames().len());
            assert_eq!(frames, 2, "{tier:?} {function}");
        }
    }
}

#[test]
fn without_room_the_call_says_so() -> Result<(), Error> {
    const NOMEM: i32 = 48;
    let limits = StoreLimits { host_bytes_max: 64, ..StoreLimits::default() };
    for tier in TIERS {
        assert_eq!(call(tier, StoreLimits::default(), "errno")?, 0, "{tier:?}");
        assert_eq!(call(tier, limits.clone(), "errno")?, NOMEM, "{tier:?}");
    }
    Ok(())
}
