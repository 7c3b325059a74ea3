//! Memory for machine code, next to the data that it reaches by short displacements.
//!
//! ```text
//! one reservation below 2 GiB
//! [ data: read-write, private | code: allocated, published | free                ]
//!                               0 ........................ next ......... code_len
//! ```
//!
//! Code is never writable and executable at one address, and a page that holds published code
//! never changes its protection. There are two ways:
//!
//! * [`WriteMode::DualMapped`]: the code range shows a memory file for reading and execution;
//!   writes go through a second, writable view of the file elsewhere. The file has its full length
//!   from the start: its pages come at their first touch, so that making a region takes the same
//!   30 to 50 microseconds for 1 MiB and for 1.9 GiB, and growing it in steps would gain nothing.
//!   Writing 512 bytes takes 0.8 microseconds, new pages included; in place it takes 15.
//! * [`WriteMode::ProtectOnce`]: fresh private pages are filled, then protected once. Every piece
//!   takes whole pages.
//!
//! **Fork.** The memory file is shared with a forked child, so before a fork the free part is
//! rounded up to whole pages; the child unmaps the writable view and, when it first needs room,
//! puts a file of its own in the place of its free part. Code from before stays executable in
//! both; neither writes where the other reads.
//!
//! # Safety
//! `base..next` of the code range is written once, by the holder of the one [`CodeSpan`] for those
//! bytes, under the lock of the region's state. Published bytes never change, so reading them is
//! always sound; what running them does is the business of who made them.

#![allow(unsafe_code)]

mod fork;
mod writer;

pub(crate) use fork::prepare_fork;

use crate::vm::{self, Access, Reservation};
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use writer::Writer;

/// Regions are below this, so that 32-bit displacements reach from every byte to every other.
const REGION_BYTES_MAX: usize = i32::MAX as usize;

/// How code gets into executable memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// A memory file is mapped twice: for execution in the region, for writing elsewhere.
    DualMapped,
    /// Fresh pages are filled and protected once.
    ProtectOnce,
}

/// Why code could not be placed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The region is used up.
    #[error("{wanted} bytes of machine code are wanted, {left} are left in the region")]
    Full {
        /// Bytes asked for, alignment included.
        wanted: usize,
        /// Bytes left.
        left: usize,
    },
    /// The alignment is not a power of two, or larger than a page.
    #[error("machine code cannot be aligned to {0} bytes")]
    Alignment(usize),
    /// More bytes than were allocated.
    #[error("{len} bytes of machine code were written to a span of {span}")]
    TooLong {
        /// Bytes to be written.
        len: usize,
        /// Bytes of the span.
        span: usize,
    },
    /// The span is of another region.
    #[error("the span belongs to another code region")]
    ForeignSpan,
    /// The span was allocated before a fork that made this process.
    #[error("the span was allocated before the process forked")]
    StaleSpan,
    /// The system refuses memory or rights.
    #[error("the system refuses memory for machine code: {0}")]
    System(#[from] io::Error),
}

/// Bytes of a region that are to be written once. Dropping it unwritten leaves them unused.
#[derive(Debug)]
pub struct CodeSpan {
    region: u64,
    offset: usize,
    len: usize,
}

impl CodeSpan {
    /// Bytes from the start of the region's code range.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "an empty span is of no interest")]
    pub fn len(&self) -> usize {
        self.len
    }
}

/// Memory for machine code and its data; see the head of this module.
#[derive(Debug)]
pub struct CodeRegion {
    inner: Arc<Inner>,
}

/// What the list of regions for `fork` shares with the owner.
#[derive(Debug)]
struct Inner {
    /// Never given to another region of the process.
    id: u64,
    reservation: Reservation,
    data_len: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Offset of the first free byte of the code range.
    next: usize,
    writer: Writer,
}

impl CodeRegion {
    /// A region for at most `code_bytes_max` bytes of code behind `data_bytes` bytes of data, both
    /// rounded up to pages. Where the system refuses a memory file or its second mapping, code is
    /// written as by [`WriteMode::ProtectOnce`].
    ///
    /// # Errors
    /// The region would be empty or exceed 2 GiB, or the system refuses the address space.
    pub fn new(data_bytes: usize, code_bytes_max: usize) -> io::Result<Self> {
        match Self::with_mode(data_bytes, code_bytes_max, WriteMode::DualMapped) {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Self::with_mode(data_bytes, code_bytes_max, WriteMode::ProtectOnce)
            }
            other => other,
        }
    }

    /// The same with a given way of writing.
    ///
    /// # Errors
    /// As [`CodeRegion::new`], or the system refuses this way.
    pub fn with_mode(
        data_bytes: usize,
        code_bytes_max: usize,
        mode: WriteMode,
    ) -> io::Result<Self> {
        let (data_len, code_len) = lengths(data_bytes, code_bytes_max)
            .ok_or_else(|| vm::invalid("the length of a code region is out of range"))?;
        let reservation = Reservation::new(data_len + code_len)?;
        reservation.protect(0..data_len, Access::ReadWrite)?;
        let writer = Writer::new(mode, &reservation, data_len)?;
        let state = Mutex::new(State { next: 0, writer });
        let inner = Inner { id: fork::new_id(), reservation, data_len, state };
        Ok(CodeRegion { inner: fork::register(inner) })
    }

    /// The first byte of the data, page-aligned and zero at first. A fork makes a copy of it.
    #[must_use]
    pub fn data(&self) -> NonNull<u8> {
        self.inner.reservation.base()
    }

    /// Bytes of data, a multiple of the page size.
    #[must_use]
    pub fn data_len(&self) -> usize {
        self.inner.data_len
    }

    /// Addresses of all code, allocated or not; starts right behind the data.
    #[must_use]
    pub fn code_range(&self) -> Range<usize> {
        let Range { start, end } = self.inner.reservation.addresses();
        start + self.inner.data_len..end
    }

    /// How code is written at present.
    #[must_use]
    pub fn write_mode(&self) -> WriteMode {
        self.inner.lock().writer.mode()
    }

    /// Takes room for `len` bytes of code at a multiple of `align`.
    ///
    /// # Errors
    /// The region is full, or `align` is not a power of two up to the page size. In a forked child
    /// also when the system refuses memory.
    pub fn allocate(&self, len: usize, align: usize) -> Result<CodeSpan, CodeError> {
        let _gate = fork::pass_gate();
        if !align.is_power_of_two() || align > vm::page_bytes() {
            return Err(CodeError::Alignment(align));
        }
        let mut state = self.inner.lock();
        if matches!(state.writer, Writer::Inherited) {
            state.writer = Writer::renew(&self.inner.reservation, self.inner.data_len, state.next)?;
        }
        let whole_pages = matches!(state.writer, Writer::ProtectOnce { .. });
        let (align, taken) = if whole_pages {
            (vm::page_bytes(), vm::round_up_to_pages(len))
        } else {
            (align, Some(len))
        };
        let offset = state.next.next_multiple_of(align);
        match taken.and_then(|taken| offset.checked_add(taken)) {
            Some(end) if end <= self.inner.code_len() => {
                state.next = end;
                Ok(CodeSpan { region: self.inner.id, offset, len })
            }
            _ => Err(CodeError::Full {
                wanted: len.saturating_add(offset - state.next),
                left: self.inner.code_len() - state.next,
            }),
        }
    }

    /// The address at which a span's first byte will be executed.
    ///
    /// # Panics
    /// When the span belongs to another region: a bug of the caller.
    #[must_use]
    pub fn address(&self, span: &CodeSpan) -> usize {
        assert_eq!(span.region, self.inner.id, "the span belongs to another code region");
        self.code_range().start + span.offset
    }

    /// Fills a span, whose remainder stays zero, and makes it executable on every core.
    ///
    /// # Errors
    /// The bytes are more than the span's, the span is of another region or process, or the system
    /// refuses to change rights. The span is lost then.
    pub fn write(&self, span: CodeSpan, bytes: &[u8]) -> Result<(), CodeError> {
        let _gate = fork::pass_gate();
        if span.region != self.inner.id {
            return Err(CodeError::ForeignSpan);
        }
        if bytes.len() > span.len {
            return Err(CodeError::TooLong { len: bytes.len(), span: span.len });
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let state = self.inner.lock();
        // SAFETY: the span was allocated from this region and is consumed here, so these bytes
        // are written once; they lie in the code range.
        unsafe {
            state.writer.write(&self.inner.reservation, self.inner.data_len, span.offset, bytes)
        }
    }

    /// Bytes of code allocated so far, with what alignment and page rounding take.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.inner.lock().next
    }
}

impl Drop for CodeRegion {
    fn drop(&mut self) {
        fork::unregister(self.inner.id);
    }
}

impl Inner {
    fn code_len(&self) -> usize {
        self.reservation.len() - self.data_len
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of data and code, in whole pages.
fn lengths(data_bytes: usize, code_bytes: usize) -> Option<(usize, usize)> {
    let data_len = vm::round_up_to_pages(data_bytes)?;
    let code_len = vm::round_up_to_pages(code_bytes)?;
    let total = data_len.checked_add(code_len)?;
    (code_len > 0 && total <= REGION_BYTES_MAX).then_some((data_len, code_len))
}
