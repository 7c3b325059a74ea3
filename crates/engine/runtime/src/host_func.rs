//! Host functions: Rust code that wasm calls.
//!
//! A definition belongs to no store and may be shared by many; a store makes a context from it,
//! whose address wasm passes back to [`HostEntry`].
//!
//! # Safety
//! The definition promises that its entry is sound for its type and data.

#![allow(unsafe_code)]

use crate::arch;
use crate::backtrace::Backtrace;
use crate::context::{Address, HostContext, HostEntry, Registers, StoreContext};
use crate::error::Error;
use crate::poll::serve_at_return;
use crate::store::{Pending, StoreInner};
use crate::unwind::{STATUS_LEAVE, throw_error};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use wasmoor_abi::FuncType;
use wasmoor_abi::call::CallShape;
use wasmoor_abi::vmctx::HOST_FUNC_MAGIC_VALUE;

/// A panic on its way through wasm.
pub struct Panic(pub Box<dyn Any + Send>);

impl std::fmt::Debug for Panic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Panic")
    }
}

/// A host function, not yet in a store.
pub struct HostFuncDefinition {
    ty: FuncType,
    stack_bytes: u32,
    /// Address of the stub that wasm calls.
    stub: Address,
    entry: HostEntry,
    data: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for HostFuncDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostFuncDefinition").field("ty", &self.ty).finish_non_exhaustive()
    }
}

impl HostFuncDefinition {
    /// A host function of this type. `entry` receives `data`'s address in its context.
    ///
    /// # Safety
    /// `entry` reads arguments and writes results as `CallShape` of `ty` says, treats `data` as
    /// the type that is in the box, and follows the contract of [`HostEntry`]: [`host_call`] does
    /// that for the usual case.
    #[must_use]
    pub unsafe fn new(ty: FuncType, entry: HostEntry, data: Box<dyn Any + Send + Sync>) -> Self {
        let stack_bytes = CallShape::new(&arch::CONVENTION, &ty).stack_bytes;
        let stub: unsafe extern "C" fn() =
            if is_integers(&ty) { arch::host_call_integers } else { arch::host_call };
        HostFuncDefinition { stub: stub as *const () as Address, ty, stack_bytes, entry, data }
    }

    /// The same function, in which checkpoints can be made ([`StoreInner::checkpoint`]).
    ///
    /// # Panics
    /// When it has parameters or results that are floats or vectors, more parameters than there are
    /// registers, or more than one result.
    #[must_use]
    pub fn capturing(mut self) -> Self {
        assert!(
            is_integers(&self.ty) && self.stack_bytes == 0,
            "a function in which checkpoints are made has few integers as parameters"
        );
        let stub: unsafe extern "C" fn() = arch::host_call_capturing;
        self.stub = stub as *const () as Address;
        self
    }

    /// The type.
    #[must_use]
    pub fn ty(&self) -> &FuncType {
        &self.ty
    }

    pub(crate) fn context(&self, store: *mut StoreContext) -> HostContext {
        HostContext {
            magic: HOST_FUNC_MAGIC_VALUE,
            stack_bytes: self.stack_bytes,
            store,
            entry: self.entry,
            data: (&raw const *self.data).cast(),
            slot: AtomicUsize::new(self.stub),
        }
    }
}

/// Whether the short stubs serve a type: no floats and vectors, at most one result.
fn is_integers(ty: &FuncType) -> bool {
    let mut types = ty.params.iter().chain(&ty.results);
    ty.results.len() <= 1 && !types.any(|ty| ty.is_float_or_vector())
}

/// What a [`HostEntry`] does around the function proper: hands `f` the store, its data and the
/// registers, and turns an error or a panic into a status.
///
/// # Safety
/// Called by a [`HostEntry`] with its own arguments, `D` being the type in the definition's box.
pub unsafe fn host_call<D: 'static>(
    context: *mut HostContext,
    registers: *mut Registers,
    f: impl FnOnce(*mut StoreInner, &D, &mut Registers) -> Result<(), Error>,
) -> u32 {
    // SAFETY: the stub passes a live context and the registers it has spilled; data lives as long
    // as the context.
    let (store, data, registers) = unsafe {
        let context = &*context;
        ((*context.store).store, &*context.data.cast::<D>(), &mut *registers)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `f` is done, so nothing else refers to the store.
        let serve = || unsafe { serve_at_return(store) };
        match f(store, data, registers) {
            Ok(()) => serve(),
            Err(error) => {
                // A guest that goes from checkpoint to checkpoint must be stopped, too.
                if error.is_restore() {
                    serve()?;
                }
                Err(error)
            }
        }
    }));
    let pending = match outcome {
        Ok(Ok(())) => return 0,
        // SAFETY: wasm called this host function, which is done.
        Ok(Err(error)) => return unsafe { throw_error(store, error) },
        Err(panic) => Pending::Panic(Panic(panic)),
    };
    // SAFETY: `f` is done, so nothing else refers to the store.
    unsafe { (*store).set_pending(pending) };
    STATUS_LEAVE
}

/// Adds the backtrace from the last exit to an error that has none.
///
/// # Safety
/// The store's wasm frames are on this thread's stack.
pub(crate) unsafe fn with_backtrace(store: *mut StoreInner, mut error: Error) -> Error {
    if let Some(backtrace) = error.backtrace_mut()
        && backtrace.is_empty()
    {
        // SAFETY: the caller's promise.
        *backtrace = unsafe { Backtrace::from_exit(&raw const (*store).context) };
    }
    error
}
