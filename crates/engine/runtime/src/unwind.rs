//! Throwing: from a libcall or a host function to the handler of a wasm frame.
//!
//! The frames above the throwing code are walked by their frame pointers, from the last exit to
//! the host up to the entry stub. For each return address the function's handler table says
//! whether a `try` around the call catches the exception; the first that does gets control
//! ([`arch::depart`]). The frames in between are wasm frames: nothing in them needs dropping. If
//! none catches, wasm is left with an error that the host function which entered it may return:
//! then the walk goes on in the frames that called that host function.
//!
//! # Safety
//! As for backtraces: the frame chain is intact in all code. Handler tables state the frame's
//! size and where its vmctx lies.

#![allow(unsafe_code)]

use crate::backtrace::Backtrace;
use crate::context::{Address, Landing, StoreContext, VmctxHeader};
use crate::error::{Error, ErrorKind, Exception};
use crate::exception::TagIdentity;
use crate::host_func::{Panic, with_backtrace};
use crate::instance::Instance;
use crate::libcalls::Answer;
use crate::poll::serve_at_return;
use crate::store::{Pending, StoreInner};
use crate::value::{ExnRefId, Val};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmoor_abi::handlers::{Clause, Handlers};
use wasmoor_abi::{TagIndex, TrapCode};
use wasmoor_codegen::registry;

/// What a stub does when its call of the host does not return to wasm: leave it.
pub(crate) const STATUS_LEAVE: u32 = 1;
/// The same: go on at the store context's [`Landing`].
pub(crate) const STATUS_LAND: u32 = 2;
/// The same: go on at the store context's [`Resumption`](crate::context::Resumption).
pub(crate) const STATUS_RESUME: u32 = 3;

/// Values of an exception that its message shows.
const VALUES_SHOWN_MAX: usize = 4;

/// `Libcall::throw`.
///
/// # Safety
/// Called by a shim for compiled code of a living instance; `values` is the address of one cell
/// per parameter of the tag.
pub(crate) unsafe extern "C" fn throw(vmctx: Address, tag: u32, values: u64) -> Answer {
    let make = |store: &mut StoreInner| {
        // SAFETY: compiled code throws tags of its own module, whose fields are set.
        let (tag, count) = unsafe {
            let instance = Instance::from_vmctx(vmctx);
            let at = instance.module().layout.tag(TagIndex::from_u32(tag));
            let tag = store.tag_of(instance.field::<*const TagIdentity>(at).read());
            (tag, store.tag(tag).params().len())
        };
        // SAFETY: the caller's promise. The cells lie in the frame of the code that throws.
        let values = unsafe { std::slice::from_raw_parts(values as usize as *const u128, count) };
        // SAFETY: wasm of this store called.
        unsafe { store.sweep_exceptions(false) };
        store.throw_new(tag, values.iter().copied()).or_else(|_| {
            // SAFETY: as above.
            unsafe { store.sweep_exceptions(true) };
            store.throw_new(tag, values.iter().copied())
        })
    };
    // SAFETY: the caller's promise.
    unsafe { throw_with(vmctx, make) }
}

/// `Libcall::throw_ref`.
///
/// # Safety
/// As [`throw`]; `exception` is an exnref of the store.
pub(crate) unsafe extern "C" fn throw_ref(vmctx: Address, exception: u64) -> Answer {
    let make = |_: &mut StoreInner| ExnRefId::new(exception).ok_or(TrapCode::NullReference);
    // SAFETY: the caller's promise.
    unsafe { throw_with(vmctx, make) }
}

/// Throws what `make` gives.
///
/// # Safety
/// As [`throw`].
unsafe fn throw_with(
    vmctx: Address,
    make: impl FnOnce(&mut StoreInner) -> Result<ExnRefId, TrapCode>,
) -> Answer {
    // SAFETY: the caller's promise; nothing else refers to the store while the libcall runs.
    let store = unsafe { (*(*(vmctx as *const VmctxHeader)).store).store };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as above.
        unsafe {
            serve_at_return(store)?;
            let handle = make(&mut *store).map_err(Error::trap)?;
            Ok(match land(store, handle) {
                true => None,
                false => Some(uncaught(store, handle)),
            })
        }
    }));
    let pending = match outcome {
        Ok(Ok(None)) => return Answer { value: 0, status: STATUS_LAND.into() },
        Ok(Ok(Some(error))) => Pending::Error(error),
        Ok(Err(error)) => {
            // SAFETY: as above.
            return Answer { value: 0, status: unsafe { leave_with(store, error) }.into() };
        }
        Err(panic) => Pending::Panic(Panic(panic)),
    };
    // SAFETY: as above.
    unsafe { (*store).set_pending(pending) };
    Answer { value: 0, status: STATUS_LEAVE.into() }
}

/// Where an error of a host function goes: to a handler if it is an exception of this store that
/// is caught, else out of wasm with the error. Answers the stub's status.
///
/// # Safety
/// Wasm of this store called the host function, which is done; nothing else refers to the store.
pub(crate) unsafe fn throw_error(store: *mut StoreInner, error: Error) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        if let ErrorKind::Exception(exception) = error.kind()
            && exception.store() == (*store).id()
            && land(store, exception.handle())
        {
            return STATUS_LAND;
        }
        leave_with(store, error)
    }
}

/// Where an error that no wasm code catches goes: to a checkpoint of this activation if it leads
/// there, else out of wasm. Answers the stub's status.
///
/// # Safety
/// Wasm of this store called the host, which is done; nothing else refers to the store.
pub(crate) unsafe fn leave_with(store: *mut StoreInner, error: Error) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(status) = (&mut *store).resume(&error) {
            return status;
        }
        (*store).set_pending(Pending::Error(with_backtrace(store, error)));
    }
    STATUS_LEAVE
}

/// The error of an exception that nothing in wasm has caught.
///
/// # Safety
/// The store's wasm frames are on this thread's stack.
unsafe fn uncaught(store: *mut StoreInner, handle: ExnRefId) -> Error {
    // SAFETY: the caller's promise.
    unsafe {
        let mut error = (&mut *store).exception_error(handle);
        if let Some(backtrace) = error.backtrace_mut() {
            *backtrace = Backtrace::from_exit(&raw const (*store).context);
        }
        error
    }
}

impl StoreInner {
    /// An error that stands for an exception, still without backtrace: returned by a host
    /// function, it throws the exception.
    pub fn exception_error(&mut self, handle: ExnRefId) -> Error {
        let description = match self.exception_tag(handle) {
            None => "an exception that is gone".to_owned(),
            Some(tag) => {
                let values = self.exception_values(handle).unwrap_or_default();
                let mut shown: Vec<String> =
                    values.iter().take(VALUES_SHOWN_MAX).map(show).collect();
                if values.len() > VALUES_SHOWN_MAX {
                    shown.push("...".to_owned());
                }
                format!("{}({})", self.tag_name(tag), shown.join(", "))
            }
        };
        let root = self.root_exception(handle);
        ErrorKind::Exception(Exception::new(self.id(), handle, description, root)).into()
    }
}

/// A value in a message: numbers, and the types of everything else.
fn show(value: &Val) -> String {
    match *value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(bits).to_string(),
        Val::F64(bits) => f64::from_bits(bits).to_string(),
        other => other.ty().to_string(),
    }
}

/// Finds the frame that catches the exception and notes where it goes on; false: none does.
///
/// # Safety
/// Wasm of this store called the host, which has returned up to the stub; nothing else refers to
/// the store.
unsafe fn land(store: *mut StoreInner, handle: ExnRefId) -> bool {
    // SAFETY: the caller's promise.
    let store = unsafe { &mut *store };
    let Some(tag) = store.exception_tag(handle) else { return false };
    let Some(exception) = store.exception_address(handle) else { return false };
    let tag = store.tag(tag).identity();
    // SAFETY: the caller's promise.
    match unsafe { find(&store.context, tag) } {
        None => false,
        Some((pc, sp, fp)) => {
            store.context.landing = Landing { pc, sp, fp, handle: handle.get(), exception };
            true
        }
    }
}

/// Code address, stack pointer and frame pointer of the innermost handler for a tag, in the
/// activation that was left last.
///
/// # Safety
/// The activation's frames are on this thread's stack.
unsafe fn find(
    context: &StoreContext,
    tag: *const TagIdentity,
) -> Option<(Address, Address, Address)> {
    let mut stub_fp = context.exit_fp;
    // Callers lie at higher addresses; anything else would be a broken chain.
    while stub_fp != 0 && stub_fp < context.entry_fp {
        // SAFETY: a link of the chain: the caller's frame pointer, then the address in its code.
        let (fp, return_address) = unsafe {
            ((stub_fp as *const Address).read(), (stub_fp as *const Address).add(1).read())
        };
        // The byte before belongs to the call.
        let inside = return_address.wrapping_sub(1);
        let found = registry::with_code_at(inside, |_, blob, offset| {
            let handlers = blob.handlers();
            let site = handlers.site(offset + 1)?;
            let start = inside - offset as usize;
            // SAFETY: the table belongs to the code that this frame is of.
            unsafe { catches(handlers, site.region, fp, tag) }.then_some((
                start + site.landing_offset as usize,
                fp - site.frame_bytes as usize,
                fp,
            ))
        });
        if let Some(Some(landing)) = found {
            return Some(landing);
        }
        stub_fp = fp;
    }
    None
}

/// Whether a region of a frame catches a tag.
///
/// # Safety
/// `handlers` is the table of the frame's code.
unsafe fn catches(
    handlers: Handlers<'_>,
    region: u32,
    fp: Address,
    tag: *const TagIdentity,
) -> bool {
    let Some(below) = handlers.vmctx_below_fp() else { return false };
    // SAFETY: such a frame keeps its vmctx there.
    let instance = unsafe {
        let vmctx = ((fp - below as usize) as *const Address).read();
        Instance::from_vmctx(vmctx)
    };
    let module = instance.module();
    handlers.clauses(region).any(|clause| match clause {
        Clause::All => true,
        Clause::Tag(index) => {
            let at = module.layout.tag(index);
            // SAFETY: the module's compiled code names tags of the module, whose fields are set.
            unsafe { instance.field::<*const TagIdentity>(at).read() == tag }
        }
    })
}
