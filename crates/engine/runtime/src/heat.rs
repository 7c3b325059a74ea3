//! Which functions of a module are worth compiling a second time, and what may be spent on it.

use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use wasmoor_abi::DefinedFuncIndex;

/// Time that the optimizing compiler takes for a byte of a function body; measured 0.8 to 1.4 us.
const COMPILE_NS_PER_BYTE: u64 = 1_000;
/// A function is compiled again when it has run this many times as long as that takes.
const PAYS_OFF: u64 = 2;

/// What compiling functions of one module a second time may take, in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierUpBudget {
    /// Time of the background thread, all functions together; a function that is begun is
    /// finished. A minute by default: as much as 60 MB of function bodies take.
    pub time_max: Duration,
    /// Bytes of machine code, all functions together. 128 MiB by default.
    pub code_bytes_max: usize,
    /// Bytes of the largest function body that is tried. The compiler's memory while it works
    /// grows with it: 130 bytes for each byte were measured on straight code, more with many
    /// branches. 512 KiB by default.
    pub body_bytes_max: usize,
}

impl Default for TierUpBudget {
    fn default() -> Self {
        TierUpBudget {
            time_max: Duration::from_secs(60),
            code_bytes_max: 128 << 20,
            body_bytes_max: 512 << 10,
        }
    }
}

/// Which part of a [`TierUpBudget`] is used up: no more functions are compiled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TierUpLimit {
    /// [`TierUpBudget::time_max`].
    Time,
    /// [`TierUpBudget::code_bytes_max`].
    CodeBytes,
}

/// Samples of a module's functions, and what has been spent.
#[derive(Debug)]
pub(crate) struct Heat {
    samples: Box<[AtomicU16]>,
    budget: TierUpBudget,
    spent_ns: AtomicU64,
    code_bytes: AtomicUsize,
    /// Functions that stay as they are: too large, or refused by the compiler.
    left: AtomicUsize,
}

/// The function has been queued or given up, and is never queued again.
const SETTLED: u16 = u16::MAX;
/// Samples are counted up to this; a function that gets there is hot, whatever its size.
const SAMPLES_MAX: u16 = SETTLED - 1;

impl Heat {
    pub(crate) fn new(functions: usize, budget: TierUpBudget) -> Self {
        Heat {
            samples: (0..functions).map(|_| AtomicU16::new(0)).collect(),
            budget,
            spent_ns: AtomicU64::new(0),
            code_bytes: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
        }
    }

    /// Notes a sample. When the function has become worth it, `enqueue` is called with its number
    /// of samples, for one of the threads that note samples at the same time; if it refuses, the
    /// next sample tries again. Answers whether the function has been given up now: it is too
    /// large.
    pub(crate) fn add(
        &self,
        func: DefinedFuncIndex,
        body_bytes: usize,
        interval: Duration,
        enqueue: impl FnOnce(u16) -> bool,
    ) -> bool {
        let Some(cell) = self.samples.get(func.as_u32() as usize) else { return false };
        let count = |samples| (samples != SETTLED).then(|| SAMPLES_MAX.min(samples + 1));
        let Ok(before) = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) else {
            return false;
        };
        let samples = SAMPLES_MAX.min(before + 1);
        let worth_ns = PAYS_OFF * COMPILE_NS_PER_BYTE * body_bytes as u64;
        let ran_ns = u64::from(samples) * interval.as_nanos() as u64;
        let hot = ran_ns >= worth_ns || samples == SAMPLES_MAX;
        // Of threads that find this at the same time, one settles the function.
        if !hot || self.limit().is_some() || cell.swap(SETTLED, Ordering::Relaxed) == SETTLED {
            return false;
        }
        let is_too_large = body_bytes > self.budget.body_bytes_max;
        if is_too_large {
            self.leave();
        } else if !enqueue(samples) {
            cell.store(samples, Ordering::Relaxed);
        }
        is_too_large
    }

    /// What of the budget is used up.
    pub(crate) fn limit(&self) -> Option<TierUpLimit> {
        if Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed)) >= self.budget.time_max {
            return Some(TierUpLimit::Time);
        }
        let code_bytes = self.code_bytes.load(Ordering::Relaxed);
        (code_bytes >= self.budget.code_bytes_max).then_some(TierUpLimit::CodeBytes)
    }

    /// Notes what a function took.
    pub(crate) fn spend(&self, ns: u64, code_bytes: usize) {
        self.spent_ns.fetch_add(ns, Ordering::Relaxed);
        self.code_bytes.fetch_add(code_bytes, Ordering::Relaxed);
    }

    /// Notes that a hot function stays as it is.
    pub(crate) fn leave(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Hot functions that stay as they are.
    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(1);
    fn func() -> DefinedFuncIndex {
        DefinedFuncIndex::from_u32(0)
    }

    fn heat(budget: TierUpBudget) -> Heat {
        Heat::new(1, budget)
    }

    /// Samples of a function of 5,000 bytes, which takes 5 ms to compile, until it is queued.
    fn samples_until_queued(heat: &Heat, accept: bool) -> Option<u16> {
        let mut queued = None;
        for _ in 0..100 {
            heat.add(func(), 5_000, INTERVAL, |samples| {
                queued.get_or_insert(samples);
                accept
            });
        }
        queued
    }

    #[test]
    fn a_function_is_queued_when_it_pays_off() {
        let heat = heat(TierUpBudget::default());
        assert_eq!(samples_until_queued(&heat, true), Some(10));
        assert_eq!(samples_until_queued(&heat, true), None, "it is queued once");
    }

    #[test]
    fn what_a_full_queue_refuses_is_offered_again() {
        let heat = heat(TierUpBudget::default());
        assert_eq!(samples_until_queued(&heat, false), Some(10));
        assert_eq!(samples_until_queued(&heat, true), Some(101));
        assert_eq!(samples_until_queued(&heat, true), None);
    }

    #[test]
    fn many_threads_queue_a_function_once() {
        for _ in 0..200 {
            let heat = heat(TierUpBudget::default());
            let queued = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            heat.add(func(), 5_000, INTERVAL, |_| {
                                queued.fetch_add(1, Ordering::Relaxed);
                                true
                            });
                        }
                    });
                }
            });
            assert_eq!(queued.into_inner(), 1);
        }
    }

    #[test]
    fn a_huge_function_is_hot_in_the_end() {
        let heat = heat(TierUpBudget { body_bytes_max: usize::MAX, ..TierUpBudget::default() });
        let mut queued = 0;
        for _ in 0..100_000 {
            heat.add(func(), 1 << 40, INTERVAL, |_| {
                queued += 1;
                true
            });
        }
        assert_eq!(queued, 1);
    }

    #[test]
    fn nothing_is_queued_beyond_the_budget() {
        let budget = TierUpBudget {
            time_max: Duration::from_nanos(10),
            code_bytes_max: 100,
            body_bytes_max: 4_999,
        };
        let large = heat(budget);
        let given_up = (0..100).filter(|_| large.add(func(), 5_000, INTERVAL, |_| true)).count();
        assert_eq!((given_up, large.left(), large.limit()), (1, 1, None), "left, once");
        for (ns, code_bytes, limit) in
            [(10, 0, TierUpLimit::Time), (9, 100, TierUpLimit::CodeBytes)]
        {
            let heat = heat(TierUpBudget { body_bytes_max: 5_000, ..budget });
            heat.spend(ns, code_bytes);
            assert_eq!(heat.limit(), Some(limit));
            assert_eq!(samples_until_queued(&heat, true), None);
        }
    }
}
