//! Checkpoints: where a guest was, so that it can go on there once more (`setjmp`, `longjmp`).
//!
//! After a call of the host, wasm code needs its frames and the registers that calls keep. Frames
//! that have gone on since are not what they were: a compiler that knows nothing of second returns
//! uses registers and spill slots again. So a checkpoint is a copy: of the registers, and of the
//! stack from the frame that called up to the entry from the host. Going on there writes the copy
//! back to where it was taken from.
//!
//! ```text
//! checkpoint  a host function that was called through `arch::host_call_capturing` takes the copy
//! restore     makes an error of another host function, which leaves that, and every activation
//!             between, by Rust's rules. Where it reaches the activation of the checkpoint, the
//!             stub gets `STATUS_RESUME`, and `arch::resume` writes the copy back and goes on
//! ```
//!
//! Invariants:
//! - a key only names a checkpoint of this store; nothing in it is an address, and it is never used again;
//! - checkpoints are dropped where their activation ends, so addresses in them are those of an
//!   activation that is still there;
//! - between the stub that called the host and the entry lie wasm frames alone: nothing that is
//!   left or written back needs dropping.
//!
//! What is kept is bounded. A checkpoint goes when the caller of the function that asked for it has
//! returned (which is seen when the next one is made), and of those that were asked for at one place
//! of one frame only the newest stay. Copies share what they have in common, in chunks: nested calls,
//! each with a checkpoint, keep little more than the stack once.
//!
//! # Safety
//! Frames are read by the frame-pointer chain, as for backtraces.

#![allow(unsafe_code)]

use crate::arch;
use crate::context::{Address, Resumption};
use crate::entities::GlobalId;
use crate::error::{Error, ErrorKind};
use crate::limits::Meter;
use crate::store::{StoreId, StoreInner};
use crate::unwind::STATUS_RESUME;
use crate::value::Val;
use std::sync::Arc;
use wasmoor_abi::{TrapCode, ValType};

/// Bytes of a chunk, at a multiple of which each begins.
const CHUNK_BYTES: usize = 2048;
/// Checkpoints that one place of one frame may have.
const SAME_PLACE_MAX: usize = 64;
/// Bytes of all checkpoints of a store.
const BYTES_MAX: u64 = 64 << 20;
/// Second half of every key, mixed with the store's number: memory that was never set is no key.
const KEY_MARK: u64 = u64::from_be_bytes(*b"wmrCheck");

/// Names a checkpoint. For guests to keep: whatever they make of it, it names a checkpoint of their own
/// store or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointKey(pub [u64; 2]);

/// Why there is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCheckpoint {
    /// The host function was not called by wasm, or is not one that captures.
    NotCapturing,
    /// The store's limits, or those of checkpoints, are reached.
    Limit,
}

/// On its way to a checkpoint, as an error that leaves the frames between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restore {
    store: StoreId,
    number: u64,
}

/// The place that asked for a checkpoint: a frame, and where it called the function that called the
/// host. In C that is the frame that called `setjmp`, which must live while the checkpoint is used,
/// or the one above where compilers have put `setjmp` into its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    fp: Address,
    pc: Address,
    /// Where that function called the host.
    inner_pc: Address,
}

#[derive(Debug)]
struct Checkpoint {
    number: u64,
    /// What the host wants to know again.
    data: u64,
    /// Its activation.
    entry_fp: Address,
    place: Place,
    /// Without the bytes, which are put together when they are needed.
    resumption: Resumption,
    copy: StackCopy,
    globals: Box<[(GlobalId, Val)]>,
}

/// The checkpoints of a store, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    list: Vec<Checkpoint>,
    /// The number given last.
    last: u64,
    /// What they are charged with.
    bytes: u64,
    /// The bytes that are written back next.
    whole: Vec<u64>,
}

/// Words of a stack, in chunks from its upper end down.
#[derive(Debug, Default)]
struct StackCopy(Vec<Arc<[u64]>>);

impl StackCopy {
    /// Copies words that lie at an address; what `other` has at the same place is shared. The bytes
    /// that are not.
    fn new(at: Address, words: &[u64], other: Option<&StackCopy>) -> (StackCopy, u64) {
        let (mut chunks, mut rest, mut bytes) = (Vec::new(), words, 0);
        while !rest.is_empty() {
            let end = at + size_of_val(rest);
            let start = at.max((end - 1) / CHUNK_BYTES * CHUNK_BYTES);
            let (lower, chunk) = rest.split_at((start - at) / size_of::<u64>());
            rest = lower;
            let same = other.and_then(|other| other.0.get(chunks.len()));
            chunks.push(match same.filter(|same| same[..] == *chunk) {
                Some(same) => Arc::clone(same),
                None => {
                    bytes += size_of_val(chunk) as u64;
                    Arc::from(chunk)
                }
            });
        }
        bytes += size_of_val(&chunks[..]) as u64;
        (StackCopy(chunks), bytes)
    }

    /// Bytes that nobody has when this is dropped.
    fn own_bytes(&self) -> u64 {
        let own = self.0.iter().filter(|chunk| Arc::strong_count(chunk) == 1);
        own.map(|chunk| size_of_val(&chunk[..]) as u64).sum::<u64>()
            + size_of_val(&self.0[..]) as u64
    }

    fn words(&self) -> impl Iterator<Item = &[u64]> {
        self.0.iter().rev().map(|chunk| &chunk[..])
    }
}

impl Checkpoint {
    /// Bytes beside the copy.
    fn other_bytes(&self) -> u64 {
        (size_of::<Checkpoint>() + size_of_val(&self.globals[..])) as u64
    }
}

impl Checkpoints {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every word of every copy, registers included, for whoever searches the stack.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.list.iter().flat_map(|checkpoint| {
            let registers = std::iter::once(&checkpoint.resumption.registers[..]);
            registers.chain(checkpoint.copy.words()).flatten().copied()
        })
    }

    fn find(&self, number: u64) -> Option<&Checkpoint> {
        let at = self.list.binary_search_by_key(&number, |checkpoint| checkpoint.number).ok()?;
        self.list.get(at)
    }

    /// Drops those that are not wanted.
    fn retain(&mut self, meter: &mut Meter, is_wanted: impl Fn(&Checkpoint) -> bool) {
        let before = self.bytes;
        let bytes = &mut self.bytes;
        self.list.retain_mut(|checkpoint| {
            let keep = is_wanted(checkpoint);
            if !keep {
                let copy = std::mem::take(&mut checkpoint.copy);
                *bytes = bytes.saturating_sub(copy.own_bytes() + checkpoint.other_bytes());
            }
            keep
        });
        meter.refund_host(before - self.bytes);
    }

    /// Drops the oldest of those that were asked for at a place; false: there is none.
    fn drop_oldest(&mut self, meter: &mut Meter, entry_fp: Address, place: Place) -> bool {
        let is_there = |other: &&Checkpoint| other.entry_fp == entry_fp && other.place == place;
        let Some(number) = self.list.iter().find(is_there).map(|found| found.number) else {
            return false;
        };
        self.retain(meter, |other| other.number != number);
        true
    }

    /// Makes room for one more at a place.
    fn limit(&mut self, meter: &mut Meter, entry_fp: Address, place: Place) {
        let is_there = |other: &&Checkpoint| other.entry_fp == entry_fp && other.place == place;
        if self.list.iter().filter(is_there).count() >= SAME_PLACE_MAX {
            self.drop_oldest(meter, entry_fp, place);
        }
    }

    fn charge(&mut self, meter: &mut Meter, bytes: u64) -> bool {
        let fits = self.bytes.saturating_add(bytes) <= BYTES_MAX && meter.charge_host(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// Adds one whose copy is made of these words at `resumption.sp`.
    fn add(
        &mut self,
        meter: &mut Meter,
        mut checkpoint: Checkpoint,
        words: &[u64],
    ) -> Result<u64, NoCheckpoint> {
        let (entry_fp, place) = (checkpoint.entry_fp, checkpoint.place);
        self.limit(meter, entry_fp, place);
        loop {
            let newest = self.list.iter().rfind(|other| other.entry_fp == entry_fp);
            let newest = newest.map(|newest| &newest.copy);
            let (copy, bytes) = StackCopy::new(checkpoint.resumption.sp, words, newest);
            if self.charge(meter, bytes + checkpoint.other_bytes()) {
                checkpoint.copy = copy;
                break;
            }
            // What it shares counts as shared as long as it is there.
            drop(copy);
            if !self.drop_oldest(meter, entry_fp, place) {
                return Err(NoCheckpoint::Limit);
            }
        }
        self.last += 1;
        checkpoint.number = self.last;
        self.list.push(checkpoint);
        Ok(self.last)
    }
}

impl StoreInner {
    /// Notes where the guest is that called the host function at hand, and `data` with it. Once
    /// [`StoreInner::restore`] is asked for that, the call returns again: with 0, and with the
    /// guest's locals and globals (those that hold numbers) as they are now.
    ///
    /// # Errors
    /// See [`NoCheckpoint`].
    pub fn checkpoint(&mut self, data: u64) -> Result<CheckpointKey, NoCheckpoint> {
        let context = &self.context;
        let (stub_fp, entry_fp) = (context.captured.stub_fp, context.entry_fp);
        if stub_fp == 0 || stub_fp != context.exit_fp {
            return Err(NoCheckpoint::NotCapturing);
        }
        // SAFETY: the capturing stub clears its mark when the function returns. So it is active,
        // and everything from it up to the entry is a chain of frames.
        let (fp, pc) = unsafe { link(stub_fp) };
        let (sp, top) = (stub_fp + 2 * size_of::<Address>(), arch::entry_sp(entry_fp));
        if fp >= entry_fp || sp >= top {
            return Err(NoCheckpoint::NotCapturing);
        }
        // SAFETY: as above, `fp` being the frame that called the stub.
        let place = unsafe { link(fp) };
        // SAFETY: words of frames that wait for this call; nothing writes to them meanwhile.
        let words =
            unsafe { std::slice::from_raw_parts(sp as *const u64, (top - sp) / size_of::<u64>()) };
        let checkpoint = Checkpoint {
            number: 0,
            data,
            entry_fp,
            place: Place { fp: place.0, pc: place.1, inner_pc: pc },
            resumption: Resumption {
                pc,
                sp,
                fp,
                registers: context.captured.registers,
                ..Resumption::default()
            },
            copy: StackCopy::default(),
            globals: self.numbers_in_globals()?,
        };
        // SAFETY: as above.
        unsafe { self.forget_returned(fp) };
        let number = self.checkpoints.add(&mut self.meter, checkpoint, words)?;
        Ok(CheckpointKey([number, self.key_mark()]))
    }

    fn key_mark(&self) -> u64 {
        KEY_MARK ^ self.id().number()
    }

    /// Values of the calling instance's mutable globals that are numbers. References stay as they
    /// are: nothing would keep what they refer to.
    ///
    /// # Errors
    /// When the list alone would take more than the store has left.
    fn numbers_in_globals(&self) -> Result<Box<[(GlobalId, Val)]>, NoCheckpoint> {
        let Some(instance) = self.caller_instance() else { return Ok(Box::default()) };
        let is_number = |id: &GlobalId| {
            let ty = self.global(*id).ty;
            ty.mutable && !matches!(ty.content, ValType::Ref(_))
        };
        let globals = &self.instance(instance).parts.globals;
        let count = globals.values().filter(|id| is_number(id)).count() as u64;
        let left = self.meter.limits.host_bytes_max.saturating_sub(self.meter.host_bytes);
        if count * size_of::<(GlobalId, Val)>() as u64 > left {
            return Err(NoCheckpoint::Limit);
        }
        let numbers = globals.values().copied().filter(is_number);
        Ok(numbers.map(|id| (id, self.global(id).get())).collect())
    }

    /// Drops checkpoints of the activation at hand whose places have returned: their frames are not
    /// among those from `fp` up.
    ///
    /// # Safety
    /// `fp` is a frame of the innermost activation, which waits for the host.
    unsafe fn forget_returned(&mut self, mut fp: Address) {
        let entry_fp = self.context.entry_fp;
        let of_this = |checkpoint: &&Checkpoint| checkpoint.entry_fp == entry_fp;
        let Some(highest) = self.checkpoints.list.iter().filter(of_this).map(|c| c.place.fp).max()
        else {
            return;
        };
        let mut frames = vec![fp];
        while fp < highest && fp < entry_fp {
            // SAFETY: a link of the chain.
            (fp, _) = unsafe { link(fp) };
            frames.push(fp);
        }
        self.checkpoints.retain(&mut self.meter, |checkpoint| {
            checkpoint.entry_fp != entry_fp || frames.binary_search(&checkpoint.place.fp).is_ok()
        });
    }

    /// Drops checkpoints of activations that have ended, after one has.
    #[cold]
    pub(crate) fn forget_ended(&mut self) {
        let mut active = Vec::new();
        let mut entry_fp = self.context.entry_fp;
        while entry_fp != 0 {
            active.push(entry_fp);
            // SAFETY: a link of the chain of active entries.
            (entry_fp, _) = unsafe { arch::former_entry(entry_fp) };
        }
        let is_active = |checkpoint: &Checkpoint| active.contains(&checkpoint.entry_fp);
        self.checkpoints.retain(&mut self.meter, is_active);
        if self.checkpoints.is_empty() {
            self.checkpoints.whole = Vec::new();
        }
    }

    /// What was noted with a checkpoint, and the error that leads there when a host function returns
    /// it. `None`: the key names none, or one that is gone.
    ///
    /// It costs one unit of fuel where that is counted: code between a checkpoint and the call that
    /// goes back has paid already. Without fuel the error is the trap.
    #[must_use]
    pub fn restore(&mut self, key: CheckpointKey) -> Option<(u64, Error)> {
        let CheckpointKey([number, mark]) = key;
        let checkpoint = self.checkpoints.find(number).filter(|_| mark == self.key_mark())?;
        let data = checkpoint.data;
        if self.engine().config().tunables.fuel {
            self.context.fuel = self.context.fuel.saturating_sub(1);
            if self.context.fuel < 0 {
                return Some((data, Error::trap(TrapCode::OutOfFuel)));
            }
        }
        let restore = Restore { store: self.id(), number };
        Some((data, ErrorKind::Restore(restore).into()))
    }

    /// Checkpoints and the bytes that they are charged with.
    #[must_use]
    pub fn checkpoints_kept(&self) -> (usize, u64) {
        (self.checkpoints.list.len(), self.checkpoints.bytes)
    }

    /// If an error leads to a checkpoint of the innermost activation: notes for the stub where it
    /// goes on, and answers its status.
    pub(crate) fn resume(&mut self, error: &Error) -> Option<u32> {
        let ErrorKind::Restore(restore) = error.kind() else { return None };
        if restore.store != self.id() {
            return None;
        }
        let mut whole = std::mem::take(&mut self.checkpoints.whole);
        let checkpoint = self.checkpoints.find(restore.number)?;
        if checkpoint.entry_fp != self.context.entry_fp {
            return None;
        }
        whole.clear();
        checkpoint.copy.words().for_each(|chunk| whole.extend_from_slice(chunk));
        let mut resumption = checkpoint.resumption;
        (resumption.source, resumption.words) = (whole.as_ptr() as Address, whole.len());
        for (id, value) in &checkpoint.globals {
            self.globals[*id].set(*value);
        }
        self.context.resumption = resumption;
        self.checkpoints.whole = whole;
        Some(STATUS_RESUME)
    }
}

/// A link of the frame chain: the frame pointer of the caller, and the address in its code.
///
/// # Safety
/// `fp` is a frame of an activation on this thread's stack.
unsafe fn link(fp: Address) -> (Address, Address) {
    // SAFETY: the caller's promise.
    unsafe { ((fp as *const Address).read(), (fp as *const Address).add(1).read()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: Address = 0x7000_0000;

    /// The bytes of a stack from `at` to the entry.
    fn stack(at: Address, seed: u64) -> Vec<u64> {
        let word = |word| if word < 4 { seed } else { word as u64 };
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
            let (first, bytes) = StackCopy::new(at, words, None);
            assert_eq!(first.words().flatten().copied().collect::<Vec<_>>(), words, "{below}");
            assert_eq!(bytes, first.own_bytes());
            // The first words differ, which are one chunk.
            let other = &stack(at, 2)[..below / 8];
            let (second, bytes) = StackCopy::new(at, other, Some(&first));
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
}
