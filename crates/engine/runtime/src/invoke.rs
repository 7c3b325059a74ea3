//! Entering wasm.
//!
//! # Safety
//! The current store is a thread-local pointer, set while wasm of that store runs on the thread.

#![allow(unsafe_code)]

use crate::arch;
use crate::context::{Address, CallFrame, StoreContext};
use crate::error::{Error, ErrorKind};
use crate::store::{Pending, StoreInner};
use crate::tier;
use crate::value::FuncPtr;
use std::cell::{Cell, OnceCell};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::Ordering;
use wasmoor_abi::TrapCode;
use wasmoor_abi::limits::HOST_STACK_RESERVE_BYTES;
use wasmoor_sys::fork::Hooks;
use wasmoor_sys::kick;
use wasmoor_sys::stack::{self, HostStack};

/// Bytes of the stack on which the lazy stub compiles; committed by the system as it is used.
const COMPILE_STACK_BYTES: usize = 16 << 20;

thread_local! {
    static CURRENT: Cell<*mut StoreContext> = const { Cell::new(ptr::null_mut()) };
    static PREPARED: Cell<Option<Prepared>> = const { Cell::new(None) };
    static COMPILE_STACK: OnceCell<HostStack> = const { OnceCell::new() };
}

/// What entering wasm needs to know of a thread.
#[derive(Clone, Copy)]
struct Prepared {
    compile_stack_top: usize,
    /// Lowest usable address of the thread's own stack.
    stack_low: usize,
    /// For kicks; 0 where there are none.
    thread: u32,
}

/// Context of the store whose wasm runs on this thread; null: none. Async-signal-safe.
pub(crate) fn current_store() -> *mut StoreContext {
    CURRENT.get()
}

/// Calls a function of the store with the registers and stack arguments in `frame`, which then
/// holds the results.
///
/// # Errors
/// A trap, an error of a host function, or too little stack.
///
/// # Panics
/// With the payload of a host function that panicked.
///
/// # Safety
/// `store` is bound; `func` is a function of it; `frame` agrees with the function's type, and
/// references in it belong to the store. No Rust reference to the store is used across the call.
#[inline]
pub unsafe fn invoke(
    store: *mut StoreInner,
    func: FuncPtr,
    frame: &mut CallFrame,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { invoke_through(arch::enter, store, func, frame) }
}

/// As [`invoke`], for a type without floats and vectors and with at most one result.
///
/// # Errors
/// As [`invoke`].
///
/// # Safety
/// As [`invoke`].
#[inline]
pub unsafe fn invoke_integers(
    store: *mut StoreInner,
    func: FuncPtr,
    frame: &mut CallFrame,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { invoke_through(arch::enter_integers, store, func, frame) }
}

/// The entry stubs' type.
type EntryStub = unsafe extern "C" fn(*mut CallFrame, Address, Address, *mut StoreContext) -> u32;

/// # Safety
/// As [`invoke`]; `stub` serves the function's type.
#[inline(always)]
unsafe fn invoke_through(
    stub: EntryStub,
    store: *mut StoreInner,
    func: FuncPtr,
    frame: &mut CallFrame,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe {
        let context = &raw mut (*store).context;
        let outermost = (*context).entry_fp == 0;
        if outermost {
            prepare_entry(store)?;
            (*store).has_run = true;
        }
        let func = func.as_ref();
        let code = (*func.slot).load(Ordering::Acquire);
        let former = CURRENT.get();
        if outermost {
            (*store).outer = former;
        }
        CURRENT.set(context);
        let status = stub(frame, func.vmctx, code, context);
        CURRENT.set(former);
        if !(*store).checkpoints.is_empty() {
            (&mut *store).forget_ended();
        }
        if outermost {
            (*store).poll.set_running(0);
            if !former.is_null() {
                (*store).poll.forget_outer();
            }
        }
        if status == 0 { Ok(()) } else { Err(leave(store)) }
    }
}

/// Sets the stack limit and the compile stack for this thread.
///
/// # Safety
/// As for [`invoke`].
#[inline]
unsafe fn prepare_entry(store: *mut StoreInner) -> Result<(), Error> {
    let prepared = match PREPARED.get() {
        Some(prepared) => prepared,
        None => prepare_thread()?,
    };
    let here = &raw const prepared as usize;
    // SAFETY: the caller's promise.
    unsafe {
        let wanted = here.saturating_sub((*store).engine().config().stack_bytes_max);
        let limit = wanted.max(prepared.stack_low.saturating_add(HOST_STACK_RESERVE_BYTES));
        if here <= limit {
            return Err(Error::trap(TrapCode::StackOverflow));
        }
        (*store).context.stack_limit.store(limit, Ordering::Relaxed);
        (*store).context.compile_stack_top = prepared.compile_stack_top;
        (*store).poll.set_running(prepared.thread);
        if (&*store).engine().is_tiered() && !(*store).poll.is_sampled() {
            tier::register(&(*store).poll, (&*store).engine());
        }
    }
    Ok(())
}

#[cold]
fn prepare_thread() -> Result<Prepared, Error> {
    let system = |what| move |error| Error::from(ErrorKind::System { what, error });
    wasmoor_sys::fault::prepare_thread().map_err(system("allocate a signal stack"))?;
    let top = COMPILE_STACK.with(|cell| match cell.get() {
        Some(stack) => Ok(stack.top()),
        None => {
            let stack = HostStack::new(COMPILE_STACK_BYTES)?;
            Ok(cell.get_or_init(|| stack).top())
        }
    });
    let top = top.map_err(system("allocate a stack for compiling"))?;
    register_fork_hooks();
    let prepared = Prepared {
        compile_stack_top: top,
        stack_low: stack::current_thread_stack().start,
        thread: kick::current_thread().map_or(0, |thread| thread.number().get()),
    };
    PREPARED.set(Some(prepared));
    Ok(prepared)
}

/// A child's one thread has another number than it had in the parent.
fn register_fork_hooks() {
    static ONCE: Once = Once::new();
    static HOOKS: Hooks = Hooks { prepare: || {}, parent: || {}, child: fork_child };
    ONCE.call_once(|| wasmoor_sys::fork::register(&HOOKS));
}

fn fork_child() {
    PREPARED.set(None);
    let context = current_store();
    if !context.is_null() {
        let thread = kick::current_thread().map_or(0, |thread| thread.number().get());
        // SAFETY: wasm of this store called what forks, so the store is alive.
        unsafe { (&*(*context).store).poll.set_running(thread) };
    }
}

/// Why wasm was left.
///
/// # Safety
/// As for [`invoke`].
#[cold]
unsafe fn leave(store: *mut StoreInner) -> Error {
    // SAFETY: the caller's promise.
    match unsafe { (*store).pending.take() } {
        Some(Pending::Error(error)) => error,
        Some(Pending::Panic(panic)) => std::panic::resume_unwind(panic.0),
        None => Error::usage("internal error: wasm was left without a reason"),
    }
}
