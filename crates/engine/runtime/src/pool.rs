//! The pool: what instances leave behind, for the next ones.
//!
//! A *slot* holds what an instance is made of: its memories, its tables' cells, its context block
//! and function references. A new instance of the module that used a slot last finds everything in
//! place and as it began; one of another module takes over the address space. Which slot it is
//! decides [`wasmoor_memory::slots`].
//!
//! Slots are divided among *shards*, one per thread that can run, so that threads do not meet: a
//! thread goes to its own shard, and to others only when that has no slot left. No system call is
//! made while a shard is locked.
//!
//! Everything of an instance is reset when it is dropped, before its slot is given back; a slot
//! whose reset failed is emptied. What is in an unused slot belongs to nobody: it holds no module
//! and no engine alive.
//!
//! A child of a fork has copies of the slots, but what other threads had is lost with them, and
//! may be locked: it leaves the pool of its parent alone, and its instances get memory on demand.

use crate::instance::InstanceParts;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use wasmoor_memory::slots::{Affinity, Former, SlotIndex, SlotPolicy};
use wasmoor_memory::{DenseArena, LinearMemory, ResetDone, ResetMethod, TableStorage};
use wasmoor_sys::fork::Hooks;

/// How a pool is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Instances that can be in slots at once.
    pub slots_max: u32,
    /// Unused slots that may stay affine to modules before one of them is given to another module
    /// rather than a new one; `None`: any number, and no module loses a slot to another.
    pub warm_max: Option<u32>,
    /// How memories are reset.
    pub reset: ResetMethod,
    /// Bytes of a memory in a common mapping; `None`: every memory has address space of its own.
    pub dense_bytes: Option<usize>,
    /// Whether an instance that finds no slot is refused, rather than made without the pool.
    pub is_strict: bool,
    /// Shards, at least 1.
    pub shards: u32,
    /// Where more slots than this are unused in a shard, memories that are reset keep no pages.
    pub kept_per_shard_max: u32,
}

/// What a pool does and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Slots that instances use now.
    pub used: u64,
    /// Unused slots that are ready for another instance of the module they had.
    pub warm: u64,
    /// Instances that got a slot of their module's.
    pub reused: u64,
    /// Instances that got a slot that nobody had before, or whose content was lost.
    pub cold: u64,
    /// Instances that got a slot of another module's.
    pub evicted: u64,
    /// Instances that found no slot.
    pub exhausted: u64,
    /// Memories that needed no reset.
    pub untouched: u64,
    /// Memories reset by comparing all pages.
    pub copied: u64,
    /// Memories reset by comparing the pages that were written to.
    pub scanned: u64,
    /// Memories reset by dropping the pages that were written to.
    pub decommitted: u64,
    /// Slots emptied because a reset failed, or the instance could not be finished.
    pub lost: u64,
}

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Pool {
    config: PoolConfig,
    shards: Box<[Shard]>,
    arena: Option<Arc<DenseArena>>,
    /// Number of forks before it was made: a pool of the parent is no use to a child.
    generation: u64,
}

/// Apart from others in the caches.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    state: Mutex<ShardState>,
    /// As the policy says; may be old.
    warm: AtomicU32,
}

#[derive(Debug)]
struct ShardState {
    policy: SlotPolicy,
    contents: Vec<Content>,
    stats: PoolStats,
}

/// What is in a slot.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) parts: Option<InstanceParts>,
    pub(crate) memories: VecDeque<LinearMemory>,
    pub(crate) tables: VecDeque<TableStorage>,
}

/// The right to a slot, and what was in it. Dropped, the slot is empty.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    shard: u32,
    slot: SlotIndex,
    former: Former,
    pub(crate) content: Content,
    is_given_back: bool,
}

impl Pool {
    pub(crate) fn new(config: PoolConfig) -> std::io::Result<Arc<Self>> {
        register_fork_hooks();
        let arena = config.dense_bytes.map(DenseArena::new).transpose()?;
        let shards = config.shards.clamp(1, config.slots_max.max(1));
        // The first shards get what cannot be divided.
        let part = |all: u32, shard: u32| all / shards + u32::from(shard < all % shards);
        let shard = |shard| {
            let warm_max = config.warm_max.map(|max| part(max, shard));
            let policy = SlotPolicy::new(part(config.slots_max, shard), warm_max);
            let state = ShardState { policy, contents: Vec::new(), stats: PoolStats::default() };
            Shard { state: Mutex::new(state), warm: AtomicU32::new(0) }
        };
        let shards = (0..shards).map(shard).collect();
        let generation = FORKS.load(Ordering::Relaxed);
        Ok(Arc::new(Pool { config, shards, arena, generation }))
    }

    pub(crate) fn config(&self) -> &PoolConfig {
        &self.config
    }

    pub(crate) fn arena(&self) -> Option<&Arc<DenseArena>> {
        self.arena.as_ref()
    }

    /// A slot for an instance of a module; `None`: all are in use. Not in a forked child.
    pub(crate) fn take(self: &Arc<Self>, affinity: Affinity) -> Option<Lease> {
        let own = thread_number() % self.shards.len();
        let others = (0..self.shards.len()).filter(|&shard| shard != own);
        let lease = std::iter::once(own).chain(others).find_map(|at| self.take_in(at, affinity));
        if lease.is_none() {
            lock(&self.shards[own].state).stats.exhausted += 1;
        }
        lease
    }

    fn take_in(self: &Arc<Self>, at: usize, affinity: Affinity) -> Option<Lease> {
        let shard = &self.shards[at];
        let mut state = lock(&shard.state);
        let choice = state.policy.take(affinity)?;
        let count = match choice.former {
            Former::Same => &mut state.stats.reused,
            Former::Other(_) => &mut state.stats.evicted,
            Former::Nothing => &mut state.stats.cold,
        };
        *count += 1;
        let index = choice.slot.0 as usize;
        if state.contents.len() <= index {
            state.contents.resize_with(index + 1, Content::default);
        }
        let content = std::mem::take(&mut state.contents[index]);
        shard.warm.store(state.policy.warm(), Ordering::Relaxed);
        drop(state);
        Some(Lease {
            pool: self.clone(),
            shard: at as u32,
            slot: choice.slot,
            former: choice.former,
            content,
            is_given_back: false,
        })
    }

    /// Drops what is kept for a module.
    pub(crate) fn forget(&self, affinity: Affinity) {
        self.empty(|policy| policy.forget(affinity));
    }

    /// Drops everything in unused slots, so that the system has memory, address space and mappings
    /// for others.
    pub(crate) fn shrink(&self) {
        self.empty(SlotPolicy::forget_all);
    }

    fn empty(&self, forget: impl Fn(&mut SlotPolicy) -> Vec<SlotIndex>) {
        if self.is_parents() {
            return;
        }
        for shard in &self.shards {
            let mut state = lock(&shard.state);
            let slots = forget(&mut state.policy);
            shard.warm.store(state.policy.warm(), Ordering::Relaxed);
            let take = |slot: SlotIndex| std::mem::take(&mut state.contents[slot.0 as usize]);
            let contents: Vec<_> = slots.into_iter().map(take).collect();
            drop(state);
            drop(contents);
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let mut sum = PoolStats::default();
        if self.is_parents() {
            return sum;
        }
        for shard in &self.shards {
            let state = lock(&shard.state);
            let stats = &state.stats;
            sum.used += u64::from(state.policy.used());
            sum.warm += u64::from(state.policy.warm());
            for (sum, part) in [
                (&mut sum.reused, stats.reused),
                (&mut sum.cold, stats.cold),
                (&mut sum.evicted, stats.evicted),
                (&mut sum.exhausted, stats.exhausted),
                (&mut sum.untouched, stats.untouched),
                (&mut sum.copied, stats.copied),
                (&mut sum.scanned, stats.scanned),
                (&mut sum.decommitted, stats.decommitted),
                (&mut sum.lost, stats.lost),
            ] {
                *sum += part;
            }
        }
        sum
    }

    /// Whether this is a forked child, whose pool is its parent's: nothing is taken or given back.
    pub(crate) fn is_parents(&self) -> bool {
        self.generation != FORKS.load(Ordering::Relaxed)
    }
}

impl Lease {
    /// Whether the content was left by an instance of the same module.
    pub(crate) fn is_warm(&self) -> bool {
        self.former == Former::Same
    }

    /// The context block and references that an instance of the same module left.
    pub(crate) fn take_parts(&mut self) -> Option<InstanceParts> {
        let parts = self.content.parts.take();
        parts.filter(|_| self.former == Former::Same)
    }

    /// Resets the memories among the content and gives the slot back with it. `is_touched`: whether
    /// somebody may have written to the memories.
    pub(crate) fn give_back(mut self, affinity: Affinity, is_touched: bool) {
        if self.pool.is_parents() {
            return;
        }
        let mut counts = [0; 4];
        let method = self.reset_method();
        for memory in &mut self.content.memories {
            match memory.reset(method, is_touched) {
                Ok(done) => counts[done as usize] += 1,
                // The slot is given back empty.
                Err(_) => return,
            }
        }
        let content = std::mem::take(&mut self.content);
        let shard = &self.pool.shards[self.shard as usize];
        let mut state = lock(&shard.state);
        state.stats.untouched += counts[ResetDone::Untouched as usize];
        state.stats.copied += counts[ResetDone::Copied as usize];
        state.stats.scanned += counts[ResetDone::Scanned as usize];
        state.stats.decommitted += counts[ResetDone::Decommitted as usize];
        state.contents[self.slot.0 as usize] = content;
        state.policy.give(self.slot, Some(affinity));
        shard.warm.store(state.policy.warm(), Ordering::Relaxed);
        drop(state);
        self.is_given_back = true;
    }

    /// Where many slots are unused, they keep no pages.
    fn reset_method(&self) -> ResetMethod {
        let kept_max = self.pool.config.kept_per_shard_max;
        let warm = self.pool.shards[self.shard as usize].warm.load(Ordering::Relaxed);
        match self.pool.config.reset {
            ResetMethod::Auto if warm >= kept_max => ResetMethod::Decommit,
            method => method,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.is_given_back || self.pool.is_parents() {
            return;
        }
        drop(std::mem::take(&mut self.content));
        let mut state = lock(&self.pool.shards[self.shard as usize].state);
        state.stats.lost += 1;
        state.policy.give(self.slot, None);
    }
}

/// A small number for each thread, so that few threads share one modulo anything.
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    match NUMBER.get() {
        usize::MAX => {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1);
            NUMBER.set(number);
            number
        }
        number => number,
    }
}

/// Forks that lead to this process.
static FORKS: AtomicU64 = AtomicU64::new(0);

fn register_fork_hooks() {
    static ONCE: Once = Once::new();
    static HOOKS: Hooks = Hooks { prepare: || {}, parent: || {}, child: forked };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}

fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
