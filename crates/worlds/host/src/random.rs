//! Random bytes for guests.

use crate::interrupt::Interrupt;
use crate::limits::{COPY_BYTES_MAX, RANDOM_CHUNK_BYTES};
use crate::memory::GuestSlice;
use crate::vectored;
use rustix::io::Result;
use std::fmt::Debug;

/// Where a guest's random bytes come from.
pub trait Random: Debug + Send {
    /// Fills the start of `target` and returns how many bytes; at least one unless it is empty.
    ///
    /// # Errors
    /// Whatever the source reports; `EINTR` is repeated by the caller.
    fn fill(&mut self, target: GuestSlice<'_>) -> Result<usize>;
}

/// Fills all of `target`, in chunks between which the guest can be stopped.
///
/// # Errors
/// Those of the source; `EINTR` when the guest must stop.
pub fn fill(
    random: &mut dyn Random,
    interrupt: &Interrupt,
    mut target: GuestSlice<'_>,
) -> Result<()> {
    while !target.is_empty() {
        let (chunk, _) = target.split_at(RANDOM_CHUNK_BYTES);
        let filled = interrupt.retry(|| random.fill(chunk))?;
        target = target.split_at(filled).1;
        if !target.is_empty() && interrupt.is_pending() {
            return Err(rustix::io::Errno::INTR);
        }
    }
    Ok(())
}

/// The kernel's generator, writing straight into guest memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, target: GuestSlice<'_>) -> Result<usize> {
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
        fill(random, &Interrupt::default(), target).unwrap();
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
        let bytes = filled(&mut SystemRandom, 3 * RANDOM_CHUNK_BYTES + 5);
        for chunk in bytes.chunks(RANDOM_CHUNK_BYTES / 2).filter(|chunk| chunk.len() > 64) {
            assert!(chunk.iter().any(|byte| *byte != 0));
        }
        assert!(filled(&mut SystemRandom, 0).is_empty());
    }
}
