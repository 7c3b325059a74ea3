//! The poll page: readable bytes that another thread makes unreadable to get a guest's attention.
//!
//! Compiled code makes dead loads from it (`wasmoor_abi::vmctx` says where); arming turns the next
//! one into a fault, whose handler finds out by [`PollRegion::contains`] what it means.

use crate::vm::{Access, Reservation};
use std::io;
use std::ptr::NonNull;

/// Bytes of the region: `wasmoor_abi::limits::POLL_SITES_MAX`, one per poll site of a function.
pub const POLL_REGION_BYTES: usize = 1 << 16;

/// A poll page; readable when it is made. Its bytes are zero and take no memory of their own.
#[derive(Debug)]
pub struct PollRegion {
    reservation: Reservation,
}

impl PollRegion {
    /// A region that is readable.
    ///
    /// # Errors
    /// When the system refuses the address space.
    pub fn new() -> io::Result<Self> {
        let region = PollRegion { reservation: Reservation::new(POLL_REGION_BYTES)? };
        region.disarm()?;
        Ok(region)
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> NonNull<u8> {
        self.reservation.base()
    }

    /// Whether an address lies in the region. Async-signal-safe.
    #[must_use]
    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base().addr().get()) < POLL_REGION_BYTES
    }

    /// Makes every load from the region fault, on whatever thread. Async-signal-safe.
    ///
    /// # Errors
    /// When the system refuses, which it does not do for pages of one protection.
    pub fn arm(&self) -> io::Result<()> {
        self.reservation.protect(0..self.reservation.len(), Access::None)
    }

    /// Makes the region readable again. Async-signal-safe.
    ///
    /// # Errors
    /// As [`PollRegion::arm`].
    pub fn disarm(&self) -> io::Result<()> {
        self.reservation.protect(0..self.reservation.len(), Access::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_poll_site_has_its_byte() {
        assert_eq!(POLL_REGION_BYTES, wasmoor_abi::limits::POLL_SITES_MAX as usize);
        assert_eq!(PollRegion::new().unwrap().reservation.len(), POLL_REGION_BYTES);
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
}
