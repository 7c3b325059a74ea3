//! The stubs between host and wasm code, one file per architecture.
//!
//! A port provides: `enter` (host to wasm), `host_call` (wasm to host function, also one that captures
//! registers, and what goes on at a checkpoint), `lazy_stub` and the thunks that lead to it, the same
//! for mixed modules, `poll_stub`, a shim per libcall, `unwind_to_entry`, and `CONVENTION`.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("Wasmoor runs on x86-64 so far; a port begins with a file here");
