//! A memory as it began, for the next guest.
//!
//! Whatever the former guest did, after a reset the memory has its first length, what lies behind
//! is inaccessible again, and every byte is what it was: the image's, or zero. A memory that
//! nobody could write to is left alone. Otherwise there are three ways:
//!
//! * *copy*: every page is compared with what it should be and written where it differs. For
//!   memories of a few pages, and where the system cannot do what follows.
//! * *page scan*: the system tells which pages have been written to since they were mapped; only
//!   these are compared and written. They stay the memory's own, so that the next guest need not
//!   fault them in again, and so each later scan finds them. Of a guest with many pages only the
//!   first `OWN_PAGES_MAX` are kept; and when resets keep finding most of them unchanged, all are
//!   given up.
//! * *decommit*: the system drops all pages that have been written to. The next guest pays a page
//!   fault for each.
//!
//! # Safety
//! No guest runs and nobody else uses the memory while it is reset (`&mut self`).

#![allow(unsafe_code)]

use crate::image::MemoryImage;
use crate::linear::{LinearMemory, copy_pages, whole_pages};
use crate::plan::{MemoryPlan, reservation};
use crate::space::Space;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmoor_abi::MemoryType;
use wasmoor_sys::pagemap::{OwnPages, own_pages};
use wasmoor_sys::vm::{self, Access};

/// How memories are brought back to how they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetMethod {
    /// What takes the least time here.
    #[default]
    Auto,
    /// All pages are compared.
    Copy,
    /// Pages that were written to are found and compared; where they cannot be found, as `Copy`.
    PageScan,
    /// Pages that were written to are dropped.
    Decommit,
}

/// What a reset did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetDone {
    /// Nothing had to be done.
    Untouched,
    /// All pages were compared.
    Copied,
    /// Pages that were written to were found and compared.
    Scanned,
    /// Pages that were written to were dropped.
    Decommitted,
}

/// Memories up to this length are compared as a whole: a scan takes as long.
const COPY_BYTES_MAX: usize = 16 << 10;
/// ... or up to this length where pages cannot be found.
const COPY_UNSCANNED_BYTES_MAX: usize = 256 << 10;
/// Pages that a memory keeps.
pub(crate) const OWN_PAGES_MAX: usize = 512;
/// Below this number it does not matter that most are unchanged.
const OWN_PAGES_FEW: usize = 32;
/// So many resets in a row must find most pages unchanged before they are given up.
const WASTED_RESETS_MAX: u8 = 8;

impl LinearMemory {
    /// Makes the memory what it was when it began. `is_touched`: somebody may have written to it.
    ///
    /// # Errors
    /// When the system refuses, or the memory began with stored contents, or is an embedder's. The memory must not be used again then.
    pub fn reset(&mut self, method: ResetMethod, is_touched: bool) -> io::Result<ResetDone> {
        if self.initial.is_unrepeatable {
            return Err(io::Error::other("nobody keeps what the memory began with"));
        }
        let initial = whole_pages(self.initial.bytes)?;
        if self.accessible > initial {
            self.reservation.decommit(initial..self.accessible)?;
            self.reservation.protect(initial..self.accessible, Access::None)?;
            self.accessible = initial;
        }
        self.bytes = self.initial.bytes;
        if !is_touched || initial == 0 {
            return Ok(ResetDone::Untouched);
        }
        match method {
            ResetMethod::Auto if initial <= COPY_BYTES_MAX => self.reset_by_copy(),
            ResetMethod::Auto => match self.reset_by_scan() {
                Err(_) if initial <= COPY_UNSCANNED_BYTES_MAX => self.reset_by_copy(),
                Err(_) => self.reset_by_decommit(0..initial),
                done => done,
            },
            ResetMethod::Copy => self.reset_by_copy(),
            ResetMethod::PageScan => self.reset_by_scan().or_else(|_| self.reset_by_copy()),
            ResetMethod::Decommit => self.reset_by_decommit(0..initial),
        }
    }

    /// Takes the memory's address space for a memory of another type or image. False: it does not
    /// fit, and the memory is unchanged.
    ///
    /// # Errors
    /// When the system refuses. The memory must not be used again then.
    pub fn reuse(
        &mut self,
        ty: &MemoryType,
        plan: &MemoryPlan,
        image: Option<&Arc<MemoryImage>>,
    ) -> io::Result<bool> {
        let Some(bytes) = self.fits(ty, plan) else { return Ok(false) };
        let accessible = whole_pages(bytes)?;
        self.reservation.clear(0..self.accessible)?;
        self.reservation.protect(0..accessible, Access::ReadWrite)?;
        self.begin(ty, bytes, accessible);
        if let Some(image) = image {
            self.begin_with(image);
        }
        Ok(true)
    }

    /// Bytes of a memory of the type, if this one's address space will do.
    fn fits(&self, ty: &MemoryType, plan: &MemoryPlan) -> Option<usize> {
        let is_created = matches!(self.reservation, Space::Created(_));
        if plan.mode != self.mode() || ty.shared || self.is_shared() || is_created {
            return None;
        }
        let size = crate::plan::Size::of(ty);
        let bytes = size.bytes(ty.minimum).filter(|_| ty.minimum <= size.pages_max)?;
        let wanted = reservation(plan, ty, bytes).ok()?;
        let needed = if self.reservation.is_dense() { wanted.least } else { wanted.best };
        let large = wanted.best.max(plan.reservation_bytes_max).saturating_mul(2);
        (needed <= self.reservation.len() && self.reservation.len() <= large).then_some(bytes)
    }

    fn reset_by_copy(&mut self) -> io::Result<ResetDone> {
        for at in (0..self.accessible).step_by(vm::page_bytes()) {
            self.restore_page(at);
        }
        Ok(ResetDone::Copied)
    }

    fn reset_by_decommit(&mut self, range: Range<usize>) -> io::Result<ResetDone> {
        self.reservation.decommit(range.clone())?;
        if let Some(image) = self.initial.image.clone()
            && !self.initial.is_mapped
        {
            let start = range.start.max(image.start());
            let end = range.end.min(image.end());
            if start < end {
                let bytes =
                    NonNull::from(&image.bytes()[start - image.start()..end - image.start()]);
                // SAFETY: whole pages of the memory, accessible and zero now, which nobody else
                // uses (the head of this module), and of the image, which is elsewhere.
                unsafe {
                    copy_pages(bytes.cast(), self.reservation.base().add(start), bytes.len());
                }
            }
        }
        Ok(ResetDone::Decommitted)
    }

    fn reset_by_scan(&mut self) -> io::Result<ResetDone> {
        let base = self.reservation.base().addr().get();
        let end = base + self.accessible;
        let mut found = [OwnPages::default(); 64];
        let (mut at, mut kept, mut changed) = (base, 0, 0);
        while at < end {
            let (count, searched) = own_pages(at..end, &mut found)?;
            for own in &found[..count] {
                for page in (own.start as usize..own.end as usize).step_by(vm::page_bytes()) {
                    if kept == OWN_PAGES_MAX {
                        self.reset_by_decommit(page - base..self.accessible)?;
                        return Ok(ResetDone::Scanned);
                    }
                    kept += 1;
                    changed += usize::from(self.restore_page(page - base));
                }
            }
            if searched <= at {
                return Err(io::Error::other("the search for written pages does not go on"));
            }
            at = searched;
        }
        self.give_up_unchanged(kept, changed)?;
        Ok(ResetDone::Scanned)
    }

    /// Learns from what a reset found whether keeping the pages is worth it.
    fn give_up_unchanged(&mut self, kept: usize, changed: usize) -> io::Result<()> {
        let is_wasted = kept > OWN_PAGES_FEW && changed * 8 < kept;
        self.wasted_resets = if is_wasted { self.wasted_resets + 1 } else { 0 };
        if self.wasted_resets == WASTED_RESETS_MAX {
            self.wasted_resets = 0;
            self.reset_by_decommit(0..self.accessible)?;
        }
        Ok(())
    }

    /// Makes the page at this offset what it was; whether it was anything else.
    fn restore_page(&mut self, at: usize) -> bool {
        let len = vm::page_bytes();
        debug_assert!(at + len <= self.accessible);
        // SAFETY: the page is accessible (the caller's offset is below `accessible`), and nobody
        // else uses it: see the head of this module.
        let page = unsafe {
            std::slice::from_raw_parts_mut(self.reservation.base().add(at).as_ptr(), len)
        };
        let image = self.initial.image.as_ref().filter(|it| (it.start()..it.end()).contains(&at));
        match image {
            Some(image) => {
                let first = &image.bytes()[at - image.start()..][..len];
                let is_changed = *page != *first;
                if is_changed {
                    page.copy_from_slice(first);
                }
                is_changed
            }
            None => {
                let (words, _) = page.as_chunks::<32>();
                let is_changed = words.iter().any(|word| *word != [0; 32]);
                if is_changed {
                    page.fill(0);
                }
                is_changed
            }
        }
    }
}
