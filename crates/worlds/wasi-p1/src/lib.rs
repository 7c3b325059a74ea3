//! WASI preview 1 and its elder, `wasi_unstable`, over the host core.
//!
//! [`WasiCtx`] is what one guest has, made by [`WasiCtxBuilder`]: exactly what is given to it and
//! nothing else. [`add_to_linker`] offers the functions to guests under both module names.
//!
//! ```
//! use wasmoor_host::MemoryOutput;
//! use wasmoor_wasi_p1::{Output, WasiCtx};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let printed = MemoryOutput::new(1 << 20);
//! let mut builder = WasiCtx::builder();
//! builder.arg("program").env("LANG", "C").stdout(Output::memory(&printed));
//! builder.preopen_dir(std::env::temp_dir(), "/tmp", true)?;
//! let context: WasiCtx = builder.build()?;
//! # let _ = context; Ok(())
//! # }
//! ```
//!
//! By default a guest has standard streams that are empty and take anything, and nothing more. The
//! builder's methods, each with what it grants:
//!
//! | | methods |
//! |---|---|
//! | strings | `arg`, `args`, `env`, `envs` |
//! | streams from buffers, functions, files or the host | `stdin`, `stdout`, `stderr`, `inherit_stdio` |
//! | directories, single files, listening sockets | `preopen_dir`, `mount`, `preopen_socket` |
//! | limits and the end of waiting | `meter`, `interrupt` |
//! | what a test replaces | `clocks`, `random`, `resolver` |
//!
//! The example `plugins` is an application whose plug-ins are guests with different grants.
//!
//! Each function of the interface is a plain Rust function in [`calls`] (or [`unstable`], where the
//! older interface differs): it decodes, lets the host core do the work, and encodes. There is no
//! other state, no thread and no copy of the guest's data on the way.
//!
//! Invariants:
//! - places for results are checked before anything is done;
//! - every byte of a structure in guest memory is written, padding as zeros;
//! - [`Errno`] is the only way in which a call fails, but for [`Exit`].

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod abi;
pub mod calls;
mod context;
mod errno;
mod functions;
mod link;
mod missed;
mod process;
#[cfg(test)]
mod tests;
pub mod unstable;

pub use self::context::{BuildError, Input, Output, WasiCtx, WasiCtxBuilder};
pub use self::errno::Errno;
pub use self::link::{PREVIEW1, UNSTABLE, add_to_linker, with_memory};
pub use self::missed::Missed;
pub use self::process::Exit;
