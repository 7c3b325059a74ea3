//! The one difference between tiers that is meant: which of two stores traps.
//!
//! Where a store follows another to the same place and nothing between them could be observed,
//! the optimizing tier leaves out the first. If the place is outside the memory, the trap is the
//! same at the same time, but names the second store.

use crate::oracle::Frames;
use wasmparser::{BinaryReader, MemArg, MemArgTarget, Operator, OperatorsReader};

/// Whether two backtraces of a trap differ by nothing but that.
#[must_use]
pub fn explains(wasm: &[u8], ours: &Frames, theirs: &Frames) -> bool {
    let (Frames(ours), Frames(theirs)) = (ours, theirs);
    let (Some(((func, at), callers)), Some(((other, other_at), other_callers))) =
        (ours.split_first(), theirs.split_first())
    else {
        return false;
    };
    let same = |(at, other_at): (u32, u32)| {
        store_at(wasm, at).is_some_and(|store| Some(store) == store_at(wasm, other_at))
    };
    func == other && callers == other_callers && at.zip(*other_at).is_some_and(same)
}

/// The place that a store at an offset in the module writes to, as its operator says it, and the
/// number of bytes.
fn store_at(wasm: &[u8], at: u32) -> Option<(MemArgTarget, u64, u32)> {
    let bytes = wasm.get(at as usize..)?;
    let reader = BinaryReader::new(bytes, u64::from(at));
    let (memarg, width) = store(&OperatorsReader::new(reader).read().ok()?)?;
    Some((memarg.target, memarg.offset, width))
}

fn store(operator: &Operator<'_>) -> Option<(MemArg, u32)> {
    Some(match *operator {
        Operator::I32Store8 { memarg } | Operator::I64Store8 { memarg } => (memarg, 1),
        Operator::I32Store16 { memarg } | Operator::I64Store16 { memarg } => (memarg, 2),
        Operator::I32Store { memarg }
        | Operator::I64Store32 { memarg }
        | Operator::F32Store { memarg } => (memarg, 4),
        Operator::I64Store { memarg } | Operator::F64Store { memarg } => (memarg, 8),
        Operator::V128Store { memarg } => (memarg, 16),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_place_of_an_equal_store_may_differ() {
        let wasm = wat::parse_str(
            "(module (memory 1) (func (param i32)
                (i32.store (local.get 0) (i32.const 1))
                (i32.store (local.get 0) (i32.const 2))
                (i32.store offset=4 (local.get 0) (i32.const 3))
                (drop (i32.load (local.get 0)))))",
        )
        .expect("valid text");
        let at = |opcode: &[u8]| {
            wasm.windows(opcode.len()).position(|bytes| bytes == opcode).expect("the operator")
        };
        let first = at(&[0x36, 2, 0]) as u32;
        let second = first + 7;
        let (other, load) = (at(&[0x36, 2, 4]) as u32, at(&[0x28, 2, 0]) as u32);
        let frames = |func, offset| Frames(vec![(func, Some(offset)), (9, Some(1))]);
        assert!(explains(&wasm, &frames(0, first), &frames(0, second)));
        assert!(!explains(&wasm, &frames(0, first), &frames(1, second)), "another function");
        assert!(!explains(&wasm, &frames(0, first), &frames(0, other)), "another place");
        assert!(!explains(&wasm, &frames(0, first), &frames(0, load)), "a load");
        assert!(!explains(&wasm, &frames(0, load), &frames(0, load + 1)), "no store");
        let longer = Frames(vec![(0, Some(second))]);
        assert!(!explains(&wasm, &frames(0, first), &longer), "another caller");
    }
}
