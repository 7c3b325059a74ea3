//! Random bytes for guests.

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod vdso;

use crate::interrupt::Interrupt;
use crate::limits::{COPY_BYTES_MAX, RANDOM_CHUNK_BYTES};
use crate::memory::GuestSlice;
use crate::vectored;
use rustix::io::Result;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a guest's random bytes come from.
pub trait Random: Debug + Send {
    /// Fills the start of `target` and returns how many bytes; at least one unless it is empty.
    ///
    /// # Errors
    /// Whatever the source reports; `EINTR` is repeated by the caller.
    fn fill(&mut self, target: GuestSlice<'_>) -> Result<usize>;
}

/// A source that the threads of a guest share.
#[derive(Clone, Debug)]
pub struct SharedRandom(Arc<Mutex<dyn Random>>);

impl SharedRandom {
    /// Shares a source.
    #[must_use]
    pub fn new(random: impl Random + 'static) -> Self {
        SharedRandom(Arc::new(Mutex::new(random)))
    }

    /// Keeps other threads from using it until the guard is dropped.
    pub(crate) fn hold(&self) -> impl Sized + use<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills all of `target`, in chunks between which the guest can be stopped.
    ///
    /// # Errors
    /// Those of the source; `EINTR` when the guest must stop.
    pub fn fill(&self, interrupt: &Interrupt, target: GuestSlice<'_>) -> Result<()> {
        // A source that panicked has at worst given the same bytes twice.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        fill(|chunk| lock().fill(chunk), interrupt, target)
    }
}

fn fill(
    mut source: impl FnMut(GuestSlice<'_>) -> Result<usize>,
    interrupt: &Interrupt,
    mut target: GuestSlice<'_>,
) -> Result<()> {
    while !target.is_empty() {
        let (chunk, _) = target.split_at(RANDOM_CHUNK_BYTES);
        let filled = interrupt.retry(|| source(chunk))?;
        target = target.split_at(filled).1;
        if !target.is_empty() && interrupt.is_pending() {
            return Err(rustix::io::Errno::INTR);
        }
    }
    Ok(())
}

/// The kernel's generator, writing straight into guest memory. Whoever asks often is served without
/// system calls where the kernel offers that.
#[derive(Debug, Default)]
pub struct SystemRandom {
    way: Way,
}

/// How the kernel is asked.
#[derive(Debug)]
enum Way {
    /// By a system call, so many times: the state of the other way costs as much as a few of these,
    /// and most programs ask once or twice.
    Calls(u32),
    /// By a system call for ever: there is no other way.
    OnlyCalls,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    State(vdso::State),
}

impl Default for Way {
    fn default() -> Self {
        Way::Calls(CALLS_BEFORE_STATE)
    }
}

/// Calls after which a guest is held to ask often: the next one makes the state.
const CALLS_BEFORE_STATE: u32 = 8;

impl Way {
    /// What follows when the first calls are used up.
    fn after_calls() -> Self {
        #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
        if let Some(state) = vdso::State::new() {
            return Way::State(state);
        }
        Way::OnlyCalls
    }
}

impl Random for SystemRandom {
    fn fill(&mut self, target: GuestSlice<'_>) -> Result<usize> {
        match &mut self.way {
            Way::Calls(0) => self.way = Way::after_calls(),
            Way::Calls(left) => *left -= 1,
            Way::OnlyCalls => {}
            #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
            Way::State(state) => return state.fill(target),
        }
        vectored::random(target)
    }
}

/// The same bytes in every run, for tests (SplitMix64, which is not secret).
#[derive(Clone, Copy, Debug)]
pub struct SeededRandom {
    state: u64,
}

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        SeededRandom { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Random for SeededRandom {
    fn fill(&mut self, target: GuestSlice<'_>) -> Result<usize> {
        let mut rest = target.split_at(COPY_BYTES_MAX).0;
        let filled = rest.len();
        while !rest.is_empty() {
            let copied = rest.copy_from(&self.next().to_le_bytes());
            rest = rest.split_at(copied).1;
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestMemory;

    fn filled(random: &mut dyn Random, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let memory = GuestMemory::from_slice(&mut bytes);
        let target = memory.slice(0u32, len as u64).unwrap();
        fill(|chunk| random.fill(chunk), &Interrupt::default(), target).unwrap();
        bytes
    }

    #[test]
    fn seeded_bytes_repeat() {
        let first = filled(&mut SeededRandom::new(7), 200_001);
        assert_eq!(first, filled(&mut SeededRandom::new(7), 200_001));
        assert_ne!(first[..16], filled(&mut SeededRandom::new(8), 16));
    }

    #[test]
    fn system_bytes_reach_the_last_chunk() {
        let mut random = SystemRandom::default();
        // By both ways: the first rounds are system calls.
        for _ in 0..2 * CALLS_BEFORE_STATE {
            let bytes = filled(&mut random, 3 * RANDOM_CHUNK_BYTES + 5);
            for chunk in bytes.chunks(RANDOM_CHUNK_BYTES / 2).filter(|chunk| chunk.len() > 64) {
                assert!(chunk.iter().any(|byte| *byte != 0));
            }
            assert!(filled(&mut random, 0).is_empty());
        }
    }

    #[test]
    fn system_bytes_never_repeat() {
        let mut seen = std::collections::HashSet::new();
        let mut two = [SystemRandom::default(), SystemRandom::default()];
        for _ in 0..1000 {
            for random in &mut two {
                assert!(seen.insert(filled(random, 16)), "two of 2000 are the same");
            }
        }
        let bytes: Vec<u8> = seen.into_iter().flatten().collect();
        // Each value is expected 125 times of 32000, with a deviation of 11.
        for value in 0..=u8::MAX {
            let count = bytes.iter().filter(|byte| **byte == value).count();
            assert!((50..220).contains(&count), "{value} {count} times");
        }
    }

    /// A kernel that has the function must be found to have it, or the fast way is lost unseen.
    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
    fn often_means_without_system_calls_on_new_kernels() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let version = (numbers.next().unwrap().unwrap(), numbers.next().unwrap().unwrap());
        let mut random = SystemRandom::default();
        for _ in 0..=CALLS_BEFORE_STATE {
            filled(&mut random, 16);
        }
        let fast = matches!(random.way, Way::State(_));
        assert_eq!(fast, version >= (6, 11), "{release}: {random:?}");
    }
}
