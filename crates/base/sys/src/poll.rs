//! The poll page: readable bytes that another thread makes unreadable to get a guest's attention.
//!
//! Compiled code makes dead loads from it (`wasmoor_abi::vmctx` says where); arming turns the next
//! one into a fault, whose handler finds out by [`PollRegion::contains`] what it means.
//!
//! Regions lie side by side in larger mappings: as long as none is armed, many of them are one
//! mapping, of which a process may have a limited number. What is not used any more is kept for the
//! next region, on whatever thread.

use crate::vm::{Access, Reservation};
use std::collections::HashMap;
use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

/// Bytes of the region: `wasmoor_abi::limits::POLL_SITES_MAX`, one per poll site of a function.
pub const POLL_REGION_BYTES: usize = 1 << 16;

/// Regions in one mapping.
const CHUNK_REGIONS: usize = 64;

/// Regions that nobody has, all readable. Never waited for: a forked child may find it locked.
static FREE: Mutex<Vec<Place>> = Mutex::new(Vec::new());

/// A piece of a mapping that lives as long as any of its pieces.
#[derive(Debug)]
struct Place {
    chunk: Arc<Reservation>,
    start: usize,
}

/// A poll page; readable when it is made. Its bytes are zero and take no memory of their own.
#[derive(Debug)]
pub struct PollRegion {
    /// `Some` as long as the region lives.
    place: Option<Place>,
    /// Its address.
    base: usize,
}

impl PollRegion {
    /// A region that is readable.
    ///
    /// # Errors
    /// When the system refuses the address space.
    pub fn new() -> io::Result<Self> {
        let free = FREE.try_lock().ok().and_then(|mut free| free.pop());
        let place = match free {
            Some(place) => place,
            None => new_chunk(CHUNK_REGIONS).or_else(|_| new_chunk(1))?,
        };
        let base = place.chunk.at(place.start).addr().get();
        Ok(PollRegion { place: Some(place), base })
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.place.as_ref().map_or(NonNull::dangling(), |place| place.chunk.at(place.start))
    }

    /// Whether an address lies in the region. Async-signal-safe.
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < POLL_REGION_BYTES
    }

    /// Makes every load from the region fault, on whatever thread. Async-signal-safe.
    ///
    /// # Errors
    /// When the system refuses, which it does not do for pages of one protection.
    pub fn arm(&self) -> io::Result<()> {
        self.protect(Access::None)
    }

    /// Makes the region readable again. Async-signal-safe.
    ///
    /// # Errors
    /// As [`PollRegion::arm`].
    pub fn disarm(&self) -> io::Result<()> {
        self.protect(Access::Read)
    }

    fn protect(&self, access: Access) -> io::Result<()> {
        let Some(Place { chunk, start }) = &self.place else { return Ok(()) };
        chunk.protect(*start..start + POLL_REGION_BYTES, access)
    }
}

impl Drop for PollRegion {
    /// Gives the place back. One that cannot be made readable is given to nobody.
    fn drop(&mut self) {
        if self.disarm().is_ok()
            && let Some(place) = self.place.take()
            && let Ok(mut free) = FREE.try_lock()
        {
            free.push(place);
            // Now and then, so that it takes no time on average.
            if free.len() > CHUNK_REGIONS && free.len().is_multiple_of(CHUNK_REGIONS) {
                let unused = take_unused(&mut free);
                drop(free);
                drop(unused);
            }
        }
    }
}

/// Takes the places of mappings of which nobody has any.
fn take_unused(free: &mut Vec<Place>) -> Vec<Place> {
    let mut counts = HashMap::new();
    for place in &*free {
        *counts.entry(Arc::as_ptr(&place.chunk)).or_insert(0) += 1;
    }
    let is_unused =
        |place: &mut Place| counts[&Arc::as_ptr(&place.chunk)] == Arc::strong_count(&place.chunk);
    free.extract_if(.., is_unused).collect()
}

/// The first place of a new mapping; the others are free.
fn new_chunk(regions: usize) -> io::Result<Place> {
    let chunk = Reservation::new(regions * POLL_REGION_BYTES)?;
    chunk.protect(0..chunk.len(), Access::Read)?;
    let chunk = Arc::new(chunk);
    if let Ok(mut free) = FREE.try_lock() {
        let starts = (1..regions).map(|at| at * POLL_REGION_BYTES);
        free.extend(starts.map(|start| Place { chunk: Arc::clone(&chunk), start }));
    }
    Ok(Place { chunk, start: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_poll_site_has_its_byte() {
        assert_eq!(POLL_REGION_BYTES, wasmoor_abi::limits::POLL_SITES_MAX as usize);
    }

    #[test]
    fn contains_exactly_its_bytes() {
        let region = PollRegion::new().unwrap();
        let base = region.base().addr().get();
        for (address, inside) in [
            (base - 1, false),
            (base, true),
            (base + POLL_REGION_BYTES - 1, true),
            (base + POLL_REGION_BYTES, false),
            (0, false),
            (usize::MAX, false),
        ] {
            assert_eq!(region.contains(address), inside, "{address:#x} of {base:#x}");
        }
    }

    #[test]
    fn places_do_not_overlap_and_are_used_again() {
        let regions: Vec<_> = (0..3 * CHUNK_REGIONS).map(|_| PollRegion::new().unwrap()).collect();
        let mut bases: Vec<_> = regions.iter().map(|region| region.base().addr()).collect();
        bases.sort_unstable();
        let apart = |pair: &[std::num::NonZeroUsize]| pair[1].get() - pair[0].get();
        assert!(bases.windows(2).all(|pair| apart(pair) >= POLL_REGION_BYTES));
        regions.iter().step_by(2).for_each(|region| region.arm().unwrap());
        drop(regions);
        for _ in 0..3 * CHUNK_REGIONS {
            let region = PollRegion::new().unwrap();
            assert!(region.contains(region.base().addr().get()));
        }
    }
}
