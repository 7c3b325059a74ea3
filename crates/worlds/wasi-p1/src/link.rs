//! Offers the functions to guests of the engine.
//!
//! # Safety
//! A call looks at the calling instance's memory by its raw parts. No wasm of the store runs and no
//! memory of it grows until the call returns, so they hold for the whole call; a memory that threads
//! share may grow meanwhile, but neither moves nor shrinks.
#![allow(unsafe_code)]

use crate::context::WasiCtx;
use crate::functions::{Outcome, for_each_function};
use crate::{calls, unstable};
use wasmoor::{Caller, Error, Linker};
use wasmoor_host::GuestMemory;

/// The module name of preview 1.
pub const PREVIEW1: &str = "wasi_snapshot_preview1";
/// The module name of its elder.
pub const UNSTABLE: &str = "wasi_unstable";

/// Where a store's data keep the context.
type Get<T> = fn(&mut T) -> &mut WasiCtx;

/// Calls a function with the store's data and the caller's memory, for other worlds that extend
/// this one. A caller without a memory has one of no bytes, in which every pointer is wrong.
pub fn with_memory<T, R>(
    caller: &mut Caller<'_, T>,
    call: impl FnOnce(&mut T, &GuestMemory<'_>) -> R,
) -> R {
    match caller.any_memory_and_data() {
        Some((memory, data)) => {
            // SAFETY: the parts of a live memory, which stays where it is during the call and never
            // shrinks; nothing in this process has a reference into it (module invariant). If
            // threads share it, `GuestMemory` only uses atomics.
            let memory = unsafe { GuestMemory::from_raw(memory.base, memory.len) };
            call(data, &memory)
        }
        None => call(caller.data_mut(), &GuestMemory::from_slice(&mut [])),
    }
}

macro_rules! offer {
    ($linker:ident, $get:ident, $module:expr, $calls:ident,
     $( $name:ident($($param:ident: $ty:ty),*); )*) => { $(
        $linker.func_wrap(
            $module,
            stringify!($name),
            move |mut caller: Caller<'_, T>, $($param: $ty),*| -> Result<i32, Error> {
                with_memory(&mut caller, |data, memory| {
                    let ctx = $get(data);
                    let answer = $calls::$name(ctx, memory, $($param),*).into_guest();
                    if let Ok(raw) = answer {
                        ctx.missed.look(stringify!($name), raw);
                    }
                    answer
                })
                .map_err(Error::host)
            },
        )?;
    )* };
}

/// Defines all functions of both interfaces.
///
/// A guest's end arrives as an [`Error`] around [`crate::Exit`].
///
/// # Errors
/// When a function of that name is defined already.
pub fn add_to_linker<T: 'static>(linker: &mut Linker<T>, get: Get<T>) -> Result<(), Error> {
    for_each_function!(offer!(linker, get, PREVIEW1, calls,));
    offer!(linker, get, PREVIEW1, calls, sock_accept(fd: u32, flags: u32, out: u32););
    for_each_function!(offer!(linker, get, UNSTABLE, unstable,));
    for module in [PREVIEW1, UNSTABLE] {
        linker.func_wrap(
            module,
            "proc_exit",
            move |mut caller: Caller<'_, T>, code: u32| -> Result<(), Error> {
                with_memory(&mut caller, |data, memory| calls::proc_exit(get(data), memory, code))
                    .map_err(Error::host)
            },
        )?;
    }
    Ok(())
}
