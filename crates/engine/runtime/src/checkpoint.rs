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
//! each with a checkpoint, keep little more than the stack once. Their number is bounded too, since
//! every one that is made looks at all. What cannot be kept is refused before it is copied.
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
/// Checkpoints of a store.
const COUNT_MAX: usize = 4096;
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
    /// The bytes that are written back next: at most [`BYTES_MAX`] beside what is charged.
    whole: Vec<u64>,
}

/// Words of a stack, in chunks from its upper end down.
#[derive(Debug, Default)]
struct StackCopy(Vec<Arc<[u64]>>);

impl StackCopy {
    /// Words that lie at an address as chunks, and whether `other` has the same at the same place.
    fn split<'a>(
        at: Address,
        words: &'a [u64],
        other: Option<&'a StackCopy>,
    ) -> impl Iterator<Item = (&'a [u64], Option<&'a Arc<[u64]>>)> {
        let mut rest = words;
        let mut others = other.into_iter().flat_map(|other| &other.0);
        std::iter::from_fn(move || {
            let end = at + size_of_val(rest);
            let start = at.max(end.checked_sub(1)? / CHUNK_BYTES * CHUNK_BYTES);
            let (lower, chunk) = rest.split_at((start - at) / size_of::<u64>());
            rest = lower;
            let same = others.next().filter(|same| same[..] == *chunk);
            (!chunk.is_empty()).then_some((chunk, same))
        })
    }

    /// Bytes that a copy of these words would take beside `other`.
    fn bytes_beside(at: Address, words: &[u64], other: Option<&StackCopy>) -> u64 {
        let bytes = |(chunk, same): (&[u64], Option<&Arc<[u64]>>)| {
            let own = if same.is_none() { size_of_val(chunk) } else { 0 };
            (own + size_of::<Arc<[u64]>>()) as u64
        };
        StackCopy::split(at, words, other).map(bytes).sum()
    }

    /// Copies words that lie at an address; what `other` has at the same place is shared.
    fn new(at: Address, words: &[u64], other: Option<&StackCopy>) -> StackCopy {
        #[cfg(test)]
        tests::COPIES.set(tests::COPIES.get() + 1);
        let chunks = StackCopy::split(at, words, other);
        StackCopy(
            chunks.map(|(chunk, same)| same.map_or_else(|| chunk.into(), Arc::clone)).collect(),
        )
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

    /// Chunks that `other` does not share.
    fn chunks_beside<'a>(
        &'a self,
        other: Option<&'a StackCopy>,
    ) -> impl Iterator<Item = &'a [u64]> {
        let others = other.into_iter().flat_map(|other| other.0.iter().map(Some));
        let pairs = self.0.iter().zip(others.chain(std::iter::repeat(None)));
        let own = pairs.filter(|(chunk, same)| !same.is_some_and(|same| Arc::ptr_eq(same, chunk)));
        own.map(|(chunk, _)| &chunk[..])
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

    /// Every word of the copies, registers included, for whoever searches the stack. What is shared
    /// comes once: those that share a chunk follow each other, and do so when some between have gone.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let mut former = None;
        self.list.iter().flat_map(move |checkpoint| {
            let registers = std::iter::once(&checkpoint.resumption.registers[..]);
            let chunks = checkpoint.copy.chunks_beside(former.replace(&checkpoint.copy));
            registers.chain(chunks).flatten().copied()
        })
    }

    /// The newest of an activation, with which the next shares what it can.
    fn newest(&self, entry_fp: Address) -> Option<&Checkpoint> {
        self.list.iter().rfind(|other| other.entry_fp == entry_fp)
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

    /// Makes room for one more at a place, as far as numbers go; false: there is none.
    fn limit(&mut self, meter: &mut Meter, entry_fp: Address, place: Place) -> bool {
        let is_there = |other: &&Checkpoint| other.entry_fp == entry_fp && other.place == place;
        let is_full = self.list.len() >= COUNT_MAX
            || self.list.iter().filter(is_there).count() >= SAME_PLACE_MAX;
        !is_full || self.drop_oldest(meter, entry_fp, place)
    }

    /// Whether one of so many bytes could be kept if all others went. What it shares with them is
    /// charged already, so one that could not has no room beside them either.
    fn could_keep(&self, meter: &Meter, bytes: u64) -> bool {
        let left = meter.limits.host_bytes_max.saturating_sub(meter.host_bytes);
        bytes <= BYTES_MAX.min(self.bytes.saturating_add(left))
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
        let (sp, other_bytes) = (checkpoint.resumption.sp, checkpoint.other_bytes());
        if !self.could_keep(meter, size_of_val(words) as u64 + other_bytes)
            || !self.limit(meter, entry_fp, place)
        {
            return Err(NoCheckpoint::Limit);
        }
        let mut newest = self.newest(entry_fp);
        let mut bytes = StackCopy::bytes_beside(sp, words, newest.map(|newest| &newest.copy));
        while !self.charge(meter, bytes + other_bytes) {
            let former = self.newest(entry_fp).map(|newest| newest.number);
            if !self.drop_oldest(meter, entry_fp, place) {
                return Err(NoCheckpoint::Limit);
            }
            newest = self.newest(entry_fp);
            // Looked at again only if what it shares has gone, which is the last that can go.
            if newest.map(|newest| newest.number) != former {
                bytes = StackCopy::bytes_beside(sp, words, newest.map(|newest| &newest.copy));
            }
        }
        let newest = self.newest(entry_fp).map(|newest| &newest.copy);
        checkpoint.copy = StackCopy::new(sp, words, newest);
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
        // SAFETY: as above.
        unsafe { self.forget_returned(fp) };
        let context = &self.context;
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
        let bytes =
            globals.values().filter(|id| is_number(id)).count() * size_of::<(GlobalId, Val)>();
        if !self.checkpoints.could_keep(&self.meter, bytes as u64) {
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
        let places = self.checkpoints.list.iter().filter(of_this);
        let mut places: Vec<Address> = places.map(|checkpoint| checkpoint.place.fp).collect();
        places.sort_unstable();
        places.dedup();
        let Some(&highest) = places.last() else { return };
        // Of the frames, which may be many, those that are places.
        let mut active = Vec::new();
        loop {
            if places.binary_search(&fp).is_ok() {
                active.push(fp);
            }
            if fp >= highest.min(entry_fp) {
                break;
            }
            // SAFETY: a link of the chain.
            (fp, _) = unsafe { link(fp) };
        }
        self.checkpoints.retain(&mut self.meter, |checkpoint| {
            checkpoint.entry_fp != entry_fp || active.binary_search(&checkpoint.place.fp).is_ok()
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
mod tests;
