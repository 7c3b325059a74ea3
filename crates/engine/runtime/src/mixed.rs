//! The chooser: which of two compilers' code runs is decided anew at every call. For tests.
//!
//! In a *mixed* module every slot points, for good, to a thunk of the module's own, which leads to
//! `arch::mixed_stub` with the address of the function's [`Choice`]. The stub draws a bit from a
//! generator, and jumps to that version of the function, or has it compiled at its first turn:
//!
//! ```text
//! one region: [ head | choice per function | thunk per function ]
//! call -> slot -> thunk: lea r11, choice; jmp [head.stub] -> mixed_stub: jmp choice.versions[bit]
//! ```
//!
//! So two calls of one function, in one loop even, run code of different tiers, with callers of
//! either kind; whatever the tiers do not agree on shows. The generator's state is the module's:
//! a guest of one thread sees the same choices whenever the seed is the same.
//!
//! # Safety
//! Choices lie in the region's data, which lives as long as the [`Chooser`]; machine code and Rust
//! access versions as aligned words, and the generator's state is machine code's alone.

#![allow(unsafe_code)]

use crate::arch::{self, THUNK_BYTES, write_mixed_thunk};
use crate::engine::Rank;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use wasmoor_abi::DefinedFuncIndex;
use wasmoor_sys::code::CodeRegion;

/// What the thunks of a module share: the first bytes of the region's data.
#[repr(C, align(32))]
struct Head {
    /// Address of the stub.
    stub: usize,
    /// State of the generator, a linear congruential one whose highest bit is used.
    state: AtomicU64,
}

/// One function, as the stub sees it.
#[repr(C, align(32))]
pub(crate) struct Choice {
    /// Code by either compiler, by rank; 0: not yet.
    versions: [AtomicUsize; 2],
    /// The function's index.
    func: u32,
    /// Address of [`Head::state`].
    state: usize,
}

/// Offset of [`Choice::func`], for the stub.
pub(crate) const CHOICE_FUNC: usize = offset_of!(Choice, func);
/// Offset of [`Choice::state`], for the stub.
pub(crate) const CHOICE_STATE: usize = offset_of!(Choice, state);

const _: () = {
    assert!(offset_of!(Choice, versions) == 0);
    assert!(Rank::First as usize == 0 && Rank::Second as usize == 1);
};

/// Thunks and choices of one module; see the head of this file.
#[derive(Debug)]
pub(crate) struct Chooser {
    region: CodeRegion,
    functions: usize,
}

impl Chooser {
    /// Thunks for a module's functions, and a generator that starts from `seed`.
    ///
    /// # Errors
    /// When the system refuses the memory.
    pub(crate) fn new(functions: usize, seed: u64) -> std::io::Result<Self> {
        let data_bytes = size_of::<Head>() + functions * size_of::<Choice>();
        let code_bytes = functions.max(1) * THUNK_BYTES;
        let region = CodeRegion::new(data_bytes, code_bytes)?;
        let chooser = Chooser { region, functions };
        chooser.write_data(seed);
        chooser.write_thunks(code_bytes)?;
        Ok(chooser)
    }

    fn head(&self) -> *mut Head {
        self.region.data().as_ptr().cast()
    }

    fn choices(&self) -> *mut Choice {
        // SAFETY: the data holds the head and, behind it, a choice per function.
        unsafe { self.head().add(1).cast() }
    }

    fn write_data(&self, seed: u64) {
        let stub = arch::mixed_stub as *const () as usize;
        // Neighbouring seeds give unlike sequences.
        let state = AtomicU64::new((seed ^ (seed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // SAFETY: the region is new and its data page-aligned and large enough for the head and
        // for a choice per function; nobody else uses it yet.
        unsafe {
            self.head().write(Head { stub, state });
            let state = &raw const (*self.head()).state as usize;
            for func in 0..self.functions {
                let versions = [const { AtomicUsize::new(0) }; 2];
                self.choices().add(func).write(Choice { versions, func: func as u32, state });
            }
        }
    }

    fn write_thunks(&self, code_bytes: usize) -> std::io::Result<()> {
        let span = self.region.allocate(code_bytes, THUNK_BYTES).map_err(std::io::Error::other)?;
        let start = self.region.address(&span);
        let mut code = vec![0; code_bytes];
        for (index, thunk) in code.as_chunks_mut().0.iter_mut().enumerate() {
            let end = (start + (index + 1) * THUNK_BYTES) as i64;
            // A region is smaller than 2 GiB, so distances fit.
            let choice = self.choices().wrapping_add(index) as i64 - end;
            write_mixed_thunk(thunk, choice as i32, (self.head() as i64 - end) as i32);
        }
        self.region.write(span, &code).map_err(std::io::Error::other)
    }

    /// What the function's slot holds.
    pub(crate) fn thunk(&self, func: DefinedFuncIndex) -> usize {
        self.region.code_range().start + func.as_u32() as usize * THUNK_BYTES
    }

    fn version(&self, rank: Rank, func: DefinedFuncIndex) -> &AtomicUsize {
        let at = func.as_u32() as usize;
        assert!(at < self.functions);
        // SAFETY: the choice was written when the chooser was made, and is only read, or accessed
        // as atomics, since.
        unsafe { &(*self.choices().add(at)).versions[rank as usize] }
    }

    /// Entry address of the function's code by this compiler, if it has been made.
    pub(crate) fn entry(&self, rank: Rank, func: DefinedFuncIndex) -> Option<usize> {
        Some(self.version(rank, func).load(Ordering::Acquire)).filter(|&address| address != 0)
    }

    /// Calls run this code whenever they draw `rank`.
    pub(crate) fn publish(&self, rank: Rank, func: DefinedFuncIndex, address: usize) {
        self.version(rank, func).store(address, Ordering::Release);
    }
}
