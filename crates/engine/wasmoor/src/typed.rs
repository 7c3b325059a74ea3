//! Functions whose type is known to Rust.
//!
//! # Safety
//! The type is checked when the `TypedFunc` is made; calls enter wasm through a raw pointer.

#![allow(unsafe_code)]

use crate::Result;
use crate::func::Func;
use crate::func_types::{HostCall, WasmParams, WasmResults, is_integers};
use crate::handle::check;
use crate::store::AsContextMut;
use std::marker::PhantomData;
use wasmoor_runtime as runtime;

/// A function with its Rust type: calls need no checks and no allocation.
pub struct TypedFunc<P, R> {
    func: Func,
    _type: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.func.fmt(f)
    }
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    pub(crate) fn new_unchecked(func: Func) -> Self {
        TypedFunc { func, _type: PhantomData }
    }

    /// The function without its Rust type.
    #[must_use]
    pub fn func(&self) -> Func {
        self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    /// A trap, or an error of a host function. When the function's instance was freed.
    ///
    /// # Panics
    /// With another store than the function's, and when a host function panics.
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R> {
        let mut store = store.as_context_mut();
        check(&self.func, store.inner())?;
        let mut call = HostCall::new();
        params.store(&mut call, store.inner(), R::NEEDS_AREA)?;
        let inner = store.inner_ptr();
        let frame = call.frame::<P, R>();
        // SAFETY: the function belongs to the store and has this type, which was checked.
        unsafe {
            if const { is_integers(P::TYPES, R::TYPES) } {
                runtime::invoke_integers(inner, self.func.ptr, frame)
            } else {
                runtime::invoke(inner, self.func.ptr, frame)
            }
        }?;
        // SAFETY: the call has returned.
        Ok(unsafe { R::load(&call, store.inner()) })
    }
}
