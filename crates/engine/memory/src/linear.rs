//! Linear memories.
//!
//! ```text
//! base                bytes            committed          reservation
//! [ the guest's bytes | zeros to the page's end | inaccessible      ]
//! ```
//!
//! In `Guard` and `Clamped` mode `bytes` is a multiple of the host's page, so that the first inaccessible byte is
//! the first one out of bounds; a memory whose pages are smaller (custom page sizes) must be
//! `Checked`, and so must its code. In `Checked` mode the code compares with `bytes` exactly, so the
//! zeros behind them are out of reach; they are what growth adds.
//!
//! A memory may begin with the contents of an image, mapped copy-on-write. `reset` brings a memory
//! back to how it began, whatever its guest did: see there.
//!
//! # Safety
//! `base..base + bytes` is mapped and writable while the value lives or until it moves by growing
//! (`&mut self`). Bytes are only touched here when moving, with `&mut self`; guests and hosts touch
//! them through raw pointers under the rules of the store.

#![allow(unsafe_code)]

use crate::created::CreatedSpace;
use crate::creator::{CreatorError, MemoryCreator};
use crate::dense::DenseArena;
use crate::image::MemoryImage;
use crate::plan::{MemoryPlan, Size, Wanted, clamp_reach, clamp_room, request, reservation};
use crate::space::{Own, Space};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use wasmoor_abi::{MemoryMode, MemoryType};
use wasmoor_sys::file_image::FileMapping;
use wasmoor_sys::vm::{self, Access};

/// Why a memory could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// The minimum exceeds what the type allows or the host can address.
    #[error(
        "a memory of {pages} pages of {page_bytes} bytes is out of range (at most {pages_max} pages)"
    )]
    TooLarge {
        /// Pages asked for.
        pages: u64,
        /// Bytes in a page.
        page_bytes: u64,
        /// Pages that the type allows and the host can address.
        pages_max: u64,
    },
    /// The plan says `Guard` or `Clamped`, which this type does not allow; a bug of who made the plan.
    #[error("a memory of type `{0}` cannot be kept in bounds by guards")]
    Guard(MemoryType),
    /// The system refuses address space or memory.
    #[error("the system refuses a memory of {bytes} bytes (reserving {reservation}): {error}")]
    System {
        /// Bytes of the memory.
        bytes: usize,
        /// Bytes of address space.
        reservation: usize,
        /// What the system said.
        error: io::Error,
    },
    /// The embedder's creator made none, or none that can be used.
    #[error("the creator of memories made none of type `{ty}` that can be used: {error}")]
    Creator {
        /// Type of the memory.
        ty: MemoryType,
        /// Why.
        error: CreatorError,
    },
}

/// Why a memory could not grow. It is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrowError {
    /// The type's maximum, the index or the host's addresses do not allow it.
    #[error("{delta} more pages are out of range: there are {pages}, and {pages_max} at most")]
    TooLarge {
        /// Pages at present.
        pages: u64,
        /// Pages asked for in addition.
        delta: u64,
        /// Pages that the type allows and the host can address.
        pages_max: u64,
    },
    /// The system refuses address space or memory.
    #[error("the system refuses to grow a memory to {bytes} bytes: {error}")]
    System {
        /// Bytes that the memory would have.
        bytes: usize,
        /// What the system said.
        error: io::Error,
    },
    /// The embedder who provides the memory refuses.
    #[error("a memory cannot be made to grow to {bytes} bytes: {error}")]
    Creator {
        /// Bytes that the memory would have.
        bytes: usize,
        /// Why.
        error: CreatorError,
    },
}

/// A linear memory; see the head of this module.
#[derive(Debug)]
pub struct LinearMemory {
    /// Dropped before the address space that it speaks of.
    pub(crate) initial: Initial,
    pub(crate) reservation: Space,
    pub(crate) bytes: usize,
    /// Bytes that are read-write, from the first one on: whole pages.
    pub(crate) accessible: usize,
    /// Resets in a row that found most pages unchanged; see `reset`.
    pub(crate) wasted_resets: u8,
    size: Size,
    mode: MemoryMode,
    shared: bool,
}

/// How a memory began.
#[derive(Debug)]
pub(crate) struct Initial {
    pub(crate) bytes: usize,
    pub(crate) image: Option<Arc<MemoryImage>>,
    /// The image or file is mapped, rather than copied; it is until the memory moves.
    pub(crate) is_mapped: bool,
    /// There is something in it that no image holds, so it cannot be made as it began.
    pub(crate) is_unrepeatable: bool,
    /// What is mapped from a file is, as long as this lives.
    pub(crate) file: Option<FileMapping>,
}

impl Initial {
    fn zeros(bytes: usize) -> Self {
        Initial { bytes, image: None, is_mapped: false, is_unrepeatable: false, file: None }
    }
}

impl LinearMemory {
    /// A memory of the type's minimum, all zeros.
    ///
    /// # Errors
    /// See [`MemoryError`].
    pub fn new(ty: &MemoryType, plan: &MemoryPlan) -> Result<Self, MemoryError> {
        Self::with_image(ty, plan, None)
    }

    /// A memory of the type's minimum that begins with an image made for this type.
    ///
    /// # Errors
    /// See [`MemoryError`].
    ///
    /// # Panics
    /// When the image is larger than the memory.
    pub fn with_image(
        ty: &MemoryType,
        plan: &MemoryPlan,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<Self, MemoryError> {
        let bytes = initial_bytes(ty)?;
        let wanted = reservation(plan, ty, bytes)?;
        let failed = |error| MemoryError::System { bytes, reservation: wanted.least, error };
        let space = whole_pages(bytes).and_then(|len| Own::new(wanted, len)).map_err(failed)?;
        Self::in_space(Space::Own(space), ty, plan, bytes, image).map_err(failed)
    }

    /// As [`LinearMemory::with_image`], in a piece of an arena; only for a `Checked` plan.
    ///
    /// # Errors
    /// As [`LinearMemory::with_image`], and when the memory needs more than a piece.
    pub fn in_arena(
        arena: &Arc<DenseArena>,
        ty: &MemoryType,
        plan: &MemoryPlan,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<Self, MemoryError> {
        let bytes = initial_bytes(ty)?;
        let piece_bytes = arena.piece_bytes();
        let failed = |error| MemoryError::System { bytes, reservation: piece_bytes, error };
        if bytes > piece_bytes || plan.mode != MemoryMode::Checked || ty.shared {
            return Err(failed(io::ErrorKind::InvalidInput.into()));
        }
        let piece = arena.piece().map_err(failed)?;
        Self::in_space(Space::Dense(piece), ty, plan, bytes, image).map_err(failed)
    }

    /// A memory of the type's minimum, all zeros, whose storage an embedder provides. It cannot be
    /// reset, and must not be shared.
    ///
    /// # Errors
    /// See [`MemoryError`].
    pub fn created(
        creator: &dyn MemoryCreator,
        ty: &MemoryType,
        plan: &MemoryPlan,
    ) -> Result<Self, MemoryError> {
        debug_assert!(!ty.shared, "what threads share is the engine's");
        let bytes = initial_bytes(ty)?;
        let space = CreatedSpace::new(creator, &request(plan, ty, bytes)?)
            .map_err(|error| MemoryError::Creator { ty: *ty, error })?;
        let failed = |error| MemoryError::System { bytes, reservation: bytes, error };
        let mut memory =
            Self::in_space(Space::Created(space), ty, plan, bytes, None).map_err(failed)?;
        memory.accessible = bytes;
        memory.initial.is_unrepeatable = true;
        Ok(memory)
    }

    fn in_space(
        reservation: Space,
        ty: &MemoryType,
        plan: &MemoryPlan,
        bytes: usize,
        image: Option<&Arc<MemoryImage>>,
    ) -> io::Result<Self> {
        let mut memory = LinearMemory {
            reservation,
            bytes,
            initial: Initial::zeros(bytes),
            accessible: whole_pages(bytes)?,
            wasted_resets: 0,
            size: Size::of(ty),
            mode: plan.mode,
            shared: ty.shared,
        };
        if let Some(image) = image {
            memory.begin_with(image);
        }
        Ok(memory)
    }

    /// Begins anew as another memory, of zeros.
    pub(crate) fn begin(&mut self, ty: &MemoryType, bytes: usize, accessible: usize) {
        self.initial = Initial::zeros(bytes);
        (self.bytes, self.accessible, self.size) = (bytes, accessible, Size::of(ty));
        self.wasted_resets = 0;
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Maps the image, or copies it where the system has no mappings left, to a memory of zeros.
    pub(crate) fn begin_with(&mut self, image: &Arc<MemoryImage>) {
        assert!(image.end() <= self.accessible, "the image was made for another memory");
        self.initial.is_mapped = self.reservation.map_image(image.start(), image.image()).is_ok();
        if !self.initial.is_mapped {
            let bytes = NonNull::from(image.bytes());
            // SAFETY: the range is accessible (checked above), zero, and apart from the image's
            // view, which is whole pages; `&mut self` keeps others out.
            unsafe {
                let to = self.reservation.base().add(image.start());
                copy_pages(bytes.cast(), to, bytes.len());
            }
        }
        self.initial.image = Some(image.clone());
    }

    /// Lets a memory that nobody has used yet begin with `len` bytes of a file, from `offset` on, at
    /// byte `at`: mapped where that is possible, else read. Such a memory cannot be reset.
    ///
    /// # Errors
    /// They leave the memory, or `read` says so; the memory must not be used then.
    pub fn begin_with_stored(
        &mut self,
        at: usize,
        len: usize,
        file: Option<(&File, u64)>,
        read: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if at.checked_add(len).is_none_or(|end| end > self.bytes) {
            return Err(io::Error::other("the stored contents leave their memory"));
        }
        self.initial.is_unrepeatable = true;
        if let Some((file, offset)) = file
            && at.is_multiple_of(vm::page_bytes())
            // Else something else of the file would be behind it.
            && len.is_multiple_of(vm::page_bytes())
            && let Ok(mapping) = self.reservation.map_file(at, file, offset, len)
        {
            self.initial.is_mapped = true;
            self.initial.file = Some(mapping);
            return Ok(());
        }
        // SAFETY: the range is accessible (checked above), and `&mut self` keeps others out.
        read(unsafe { std::slice::from_raw_parts_mut(self.base().add(at), len) })
    }

    /// The first byte; never null, also when there are no bytes. Moves only when growing, and
    /// only under `MemoryMode::Checked`, unless the memory is shared.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.reservation.base().as_ptr()
    }

    /// The length in bytes, exactly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The length in pages of the memory's type.
    #[must_use]
    pub fn pages(&self) -> u64 {
        (self.bytes as u64) >> self.size.page_size_log2
    }

    /// What code clamps larger indices to; 0: it compares them otherwise.
    #[must_use]
    pub fn reach(&self) -> u64 {
        self.room().map_or(0, |room| clamp_reach(room) as u64)
    }

    /// Bytes that a `Clamped` memory may have, since it cannot move and what is behind them must
    /// stay inaccessible.
    fn room(&self) -> Option<usize> {
        (self.mode == MemoryMode::Clamped).then(|| clamp_room(self.reservation.len()))
    }

    /// The mode of the plan that the memory was made under.
    #[must_use]
    pub fn mode(&self) -> MemoryMode {
        self.mode
    }

    /// All addresses that belong to the memory, accessible or not. What faults in here while code
    /// of the memory's instance runs is an access out of bounds.
    #[must_use]
    pub fn addresses(&self) -> Range<usize> {
        self.reservation.addresses()
    }

    /// Whether it began with an image.
    #[must_use]
    pub fn has_image(&self) -> bool {
        self.initial.image.is_some()
    }

    /// Adds `delta` pages of zeros and answers the number of pages before. The limits of the
    /// store are the caller's business.
    ///
    /// # Errors
    /// See [`GrowError`]; the memory is unchanged, but one that an embedder provides may lie
    /// elsewhere.
    pub fn grow(&mut self, delta: u64) -> Result<u64, GrowError> {
        let pages = self.pages();
        let bytes = pages
            .checked_add(delta)
            .filter(|&pages| pages <= self.size.pages_max)
            .and_then(|pages| self.size.bytes(pages))
            .ok_or(GrowError::TooLarge { pages, delta, pages_max: self.size.pages_at_most() })?;
        match &mut self.reservation {
            Space::Created(created) => {
                if delta > 0 {
                    let grown = created.grow(self.bytes, bytes);
                    grown.map_err(|error| GrowError::Creator { bytes, error })?;
                    self.accessible = bytes;
                }
            }
            _ => self.grow_to(bytes).map_err(|error| GrowError::System { bytes, error })?,
        }
        self.bytes = bytes;
        Ok(pages)
    }

    /// Whether the first byte would (or may) lie elsewhere after growing by pages.
    #[must_use]
    pub fn moves_when_grown(&self, delta: u64) -> bool {
        if let Space::Created(created) = &self.reservation {
            return delta > 0 && !created.is_guarded();
        }
        let bytes = self.pages().checked_add(delta).and_then(|pages| self.size.bytes(pages));
        // What cannot be does not move.
        let wanted = bytes.and_then(|bytes| whole_pages(bytes).ok()).unwrap_or(0);
        self.room().is_none() && wanted > self.accessible.max(self.reservation.len())
    }

    fn grow_to(&mut self, bytes: usize) -> io::Result<()> {
        let wanted = whole_pages(bytes)?;
        if wanted <= self.accessible {
            return Ok(());
        }
        if self.room().is_some_and(|room| wanted > room) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        if wanted <= self.reservation.len() {
            self.reservation.protect(self.accessible..wanted, Access::ReadWrite)?;
        } else {
            self.move_to_larger(bytes)?;
        }
        self.accessible = wanted;
        Ok(())
    }

    /// Doubles the reservation if there is address space for it, so that growing step by step
    /// moves the memory rarely.
    fn move_to_larger(&mut self, bytes: usize) -> io::Result<()> {
        debug_assert!(self.mode == MemoryMode::Checked && !self.shared, "reserved in full");
        let doubled = self.reservation.len().saturating_mul(2).min(self.size.bytes_max());
        let wanted = Wanted { best: doubled.max(bytes), least: bytes, front: 0 };
        let (kept, accessible) = (whole_pages(self.bytes)?, whole_pages(bytes)?);
        // What is mapped from an image cannot be moved together with the rest.
        let lengths: &[usize] =
            if self.initial.is_mapped { &[] } else { &[wanted.best, wanted.least] };
        for &len in lengths {
            if self.reservation.enlarge(kept, accessible, whole_pages(len)?).is_ok() {
                return Ok(());
            }
        }
        // The system may see several pieces here, as it does in the child of a fork.
        let new = Own::new(wanted, accessible)?;
        // SAFETY: the old bytes are readable, the new ones writable and at least as many, both up
        // to whole pages; two reservations do not overlap; `&mut self` keeps others out.
        unsafe { copy_pages(self.reservation.base(), new.base(), kept) };
        self.initial.is_mapped = false;
        self.initial.file = None;
        self.reservation = Space::Own(new);
        Ok(())
    }
}

/// Bytes of the type's minimum.
fn initial_bytes(ty: &MemoryType) -> Result<usize, MemoryError> {
    let size = Size::of(ty);
    size.bytes(ty.minimum).filter(|_| ty.minimum <= size.pages_max).ok_or(MemoryError::TooLarge {
        pages: ty.minimum,
        page_bytes: ty.page_bytes(),
        pages_max: size.pages_at_most(),
    })
}

pub(crate) fn whole_pages(bytes: usize) -> io::Result<usize> {
    vm::round_up_to_pages(bytes).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Copies whole pages to zeroed ones, leaving pages of zeros alone: reading a page that was never
/// written takes no memory, writing one does.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`, page-aligned, not overlapping, and
/// used by nobody else meanwhile.
pub(crate) unsafe fn copy_pages(from: NonNull<u8>, to: NonNull<u8>, len: usize) {
    let page = vm::page_bytes();
    for at in (0..len).step_by(page) {
        // SAFETY: `at..at + page` is within `len`; pages are aligned for words.
        unsafe {
            let words = from.add(at).cast::<u64>();
            let words = std::slice::from_raw_parts(words.as_ptr(), page / size_of::<u64>());
            if words.iter().any(|&word| word != 0) {
                to.add(at).cast().copy_from_nonoverlapping(NonNull::from(&words[0]), words.len());
            }
        }
    }
}
