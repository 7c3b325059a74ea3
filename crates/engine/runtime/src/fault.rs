//! From a hardware fault to a trap or a poll, and from a kick to a poll.
//!
//! The handler does little: it finds out whether the faulting instruction is one of ours that may
//! fault and what that means, and sends the thread on, to [`trap_landing`] or to the poll stub,
//! both of which are ordinary code on the guest's stack. Everything else goes to whoever handled
//! these signals before.
//!
//! # Safety
//! Runs in signal handlers: reads thread-local cells without destructors and immutable tables,
//! takes no lock and allocates nothing.

#![allow(unsafe_code)]

use crate::arch;
use crate::backtrace::Backtrace;
use crate::context::{Address, StoreContext};
use crate::error::{Error, ErrorKind, Trap};
use crate::invoke::current_store;
use crate::store::Pending;
use wasmoor_abi::TrapCode;
use wasmoor_abi::trap::FaultKind;
use wasmoor_codegen::registry;
use wasmoor_sys::fault::{FaultContext, Signal};
use wasmoor_sys::file_image::replace_lost_page;
use wasmoor_sys::kick::KickContext;

/// Installs the handlers, once per process.
pub(crate) fn install() -> std::io::Result<()> {
    wasmoor_sys::fault::install(on_fault)?;
    wasmoor_sys::kick::install(on_kick)
}

/// A thread was kicked: if it is in wasm code and something is asked of it, it serves the request
/// where it is. In host code the kick only ends blocking calls, and is repeated.
fn on_kick(kick: &mut KickContext<'_>) {
    let store = current_store();
    // SAFETY: the current store is alive while its code runs, and so are those that wait for it.
    if store.is_null() || !unsafe { has_request(store) } {
        return;
    }
    if registry::with_code_at(kick.pc(), |_, _, _| ()).is_some() {
        kick.inject_call(arch::poll_stub as *const () as usize);
    }
}

/// Whether something is asked of the store's guest, or of one that waits for it.
///
/// # Safety
/// The store runs on this thread.
unsafe fn has_request(store: *const StoreContext) -> bool {
    // SAFETY: the caller's promise; a store further out is alive while one is entered from it, and
    // each was entered before the next, so the chain ends.
    unsafe {
        let inner = &*(*store).store;
        let mut outer = inner.outer;
        while !outer.is_null() {
            let next = &*(*outer).store;
            inner.poll.hear_outer(&next.poll);
            outer = next.outer;
        }
        inner.poll.has_request()
    }
}

fn on_fault(fault: &mut FaultContext<'_>) -> bool {
    let store = current_store();
    if fault.signal() == Signal::Bus && replace_lost_page(fault.address()) {
        go_on_without_page(fault, store);
        return true;
    }
    if store.is_null() {
        return false;
    }
    let pc = fault.pc();
    let kind = registry::with_code_at(pc, |_, blob, offset| blob.fault_at(offset)).flatten();
    match kind {
        None => false,
        Some(FaultKind::Poll) => {
            // SAFETY: the current store is alive while its code runs.
            if !unsafe { (*(*store).store).poll.contains(fault.address()) } {
                return false;
            }
            fault.inject_call(arch::poll_stub as *const () as usize);
            true
        }
        Some(FaultKind::Trap(code)) => {
            let fp = fault.fp();
            // As if just called: the stack is 8 short of a multiple of 16.
            let sp = ((fault.sp() - 128) & !15) - 8;
            let landing = trap_landing as *const () as usize;
            fault.redirect(landing, sp, fp, [store as usize, pc, fp, usize::from(code as u8)]);
            true
        }
    }
}

/// A page of a memory is lost, because its file was cut, and is zero now. Whoever needed it goes
/// on; the guest is left as soon as that can be done.
fn go_on_without_page(fault: &mut FaultContext<'_>, store: *mut StoreContext) {
    if store.is_null() {
        return;
    }
    // SAFETY: the current store is alive while its code runs.
    unsafe { (*(*store).store).poll.page_is_lost() };
    if registry::with_code_at(fault.pc(), |_, _, _| ()).is_some() {
        fault.inject_call(arch::poll_stub as *const () as usize);
    }
}

/// Records the trap with its backtrace and leaves wasm.
extern "C" fn trap_landing(store: *mut StoreContext, pc: Address, fp: Address, code: usize) -> ! {
    let code = TrapCode::from_number(code as u8).unwrap_or(TrapCode::Unreachable);
    // SAFETY: the handler sends a thread here from wasm code of this store, whose frames are
    // intact above the stack pointer; nothing in this frame needs dropping at the unwinding.
    unsafe {
        let backtrace = Backtrace::from_fault(store, pc, fp);
        let error = Error::from(ErrorKind::Trap(Trap { code, backtrace }));
        (*(*store).store).set_pending(Pending::Error(error));
        arch::unwind_to_entry(store)
    }
}
