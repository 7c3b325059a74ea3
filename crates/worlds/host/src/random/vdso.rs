//! The kernel's generator without a system call: `getrandom` of the vDSO (Linux 6.11 and later).
//!
//! The kernel maps the function into every process. It works on a state that the caller keeps in
//! memory which the kernel empties in a forked child and may drop at any time; it looks at the
//! kernel's own generation on each call, so that what it gives is as good as the system call's,
//! also after a fork, a reseed, or when a virtual machine goes on from a snapshot. That is what a
//! generator of our own would lack. C libraries use it themselves since glibc 2.41; older ones are
//! common. The protocol: `Documentation/ABI/stable/vdso` and `vdso(7)`.
//!
//! # Safety
//! - [`Function`] is what the vDSO exports as `__vdso_getrandom`; the vDSO stays mapped.
//! - A [`State`] owns a mapping of `bytes` bytes, made as the kernel asks for, that no other state
//!   uses; it is borrowed mutably for each call, so no two calls use it at once.
#![allow(unsafe_code)]

use crate::memory::GuestSlice;
use rustix::io::{Errno, Result};
use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

/// `getrandom(buffer, bytes, flags, state, bytes of the state)`.
type Function = unsafe extern "C" fn(*mut c_void, usize, u32, *mut c_void, usize) -> isize;

/// How the memory of states is to be made: `struct vgetrandom_opaque_params`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Parameters {
    state_bytes: u32,
    mmap_protection: u32,
    mmap_flags: u32,
    reserved: [u32; 13],
}

/// What the vDSO offers, found once.
#[derive(Clone, Copy, Debug)]
struct Offer {
    function: Function,
    parameters: Parameters,
}

/// One caller's state.
#[derive(Debug)]
pub(super) struct State {
    offer: Offer,
    memory: NonNull<c_void>,
    /// Of the mapping.
    bytes: usize,
}

// SAFETY: the mapping belongs to the state alone, and no part of the protocol is about threads.
unsafe impl Send for State {}

impl State {
    /// A new state; `None` where the kernel offers none or refuses the memory.
    pub(super) fn new() -> Option<Self> {
        static OFFER: OnceLock<Option<Offer>> = OnceLock::new();
        let offer = (*OFFER.get_or_init(Offer::find))?;
        let bytes = rustix::param::page_size();
        // A state must not lie across pages: it starts one and fits.
        if usize::try_from(offer.parameters.state_bytes).is_ok_and(|state| state > bytes) {
            return None;
        }
        let Parameters { mmap_protection, mmap_flags, .. } = offer.parameters;
        let (protection, flags) = (mmap_protection.cast_signed(), mmap_flags.cast_signed());
        // SAFETY: a new mapping at an address that the kernel chooses touches nothing else.
        let memory = unsafe { libc::mmap(null_mut(), bytes, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return None;
        }
        Some(State { offer, memory: NonNull::new(memory)?, bytes })
    }

    /// Fills the start of `slice`; returns how many bytes.
    ///
    /// # Errors
    /// Those of `getrandom`.
    pub(super) fn fill(&mut self, slice: GuestSlice<'_>) -> Result<usize> {
        let state_bytes = self.offer.parameters.state_bytes as usize;
        let (start, state) = (slice.as_mut_ptr().cast(), self.memory.as_ptr());
        // SAFETY: the function is the vDSO's, the state is ours and used by nobody else (module
        // invariants); the range is live and writable (type invariant of `GuestSlice`).
        let got = unsafe { (self.offer.function)(start, slice.len(), 0, state, state_bytes) };
        usize::try_from(got).map_err(|_| {
            let raw = got.checked_neg().and_then(|raw| i32::try_from(raw).ok());
            raw.map_or(Errno::IO, Errno::from_raw_os_error)
        })
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nothing uses it any more. What unmapping says
        // of a whole mapping of ours is of no interest.
        unsafe { libc::munmap(self.memory.as_ptr(), self.bytes) };
    }
}

impl Offer {
    fn find() -> Option<Self> {
        let function = function()?;
        let mut parameters = Parameters::default();
        let (place, ask) = ((&raw mut parameters).cast(), usize::MAX);
        // SAFETY: with this length of a state the function only writes the parameters.
        let answer = unsafe { function(null_mut(), 0, 0, place, ask) };
        (answer == 0 && parameters.state_bytes > 0).then_some(Offer { function, parameters })
    }
}

/// The vDSO's function, by way of the C library, which has the vDSO among its loaded objects.
fn function() -> Option<Function> {
    let flags = libc::RTLD_LAZY | libc::RTLD_LOCAL | libc::RTLD_NOLOAD;
    // SAFETY: the name is a C string, and nothing is loaded that is not loaded already.
    let vdso = unsafe { libc::dlopen(c"linux-vdso.so.1".as_ptr(), flags) };
    if vdso.is_null() {
        return None;
    }
    // SAFETY: the object is loaded (above) and the name is a C string.
    let symbol = unsafe { libc::dlsym(vdso, c"__vdso_getrandom".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: not null, and the kernel's promise of what lies under this name (module invariant).
    Some(unsafe { std::mem::transmute::<*mut c_void, Function>(symbol) })
}
