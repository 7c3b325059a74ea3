//! Everything Wasmoor asks of the operating system below files and sockets: address space, machine
//! code, hardware faults, stacks, `fork`, the poll page.
//!
//! The modules here are the same everywhere; what differs is in one folder per port. A port is a
//! module that provides, with the meanings documented in `linux`:
//!
//! ```text
//! vm     page_bytes() -> usize                    bytes in a page, a power of two
//!        reserve(len) -> address                  private, inaccessible, not accounted for
//!        protect(address, len, Access)            async-signal-safe
//!        decommit(address, len)                   contents become zero, memory is given back
//!        move_pages(address, len, new_len)       to a larger range without copying, or an error
//!        unmap(address, len)
//!        shared_word()                            shared with forked processes, for ever
//!        clear(address, len, Access)             private pages of zeros in the place of any others
//! image  ImageFile: new(len), write, seal, map_readable(), map_private_at(address); map_file_at(address)
//! pagemap own_pages(addresses, found)            pages of private mappings that were written to
//! code   SharedMemory: new(len), map_writable(), map_executable_at(address)
//!        replace_by_inaccessible(address, len)    private pages in the place of any others
//!        make_executable(address, len)            read and execute, no longer writable
//!        publish(written_at, executed_at, len)    instruction caches, on every core
//! fault  FaultContext, install(handler), prepare_thread()
//! thread lower_priority()
//! stack  current_thread() -> address range
//! memory_limit bytes()                          that the process may take, if any limit is known
//! kick   Thread, KickContext, install(handler), current_thread()
//! fork   fork() -> raw fork without hooks
//! signals forward(signals) -> pipe, restore(signals), end_by(signal), hold(signals) -> guard
//! ```
//!
//! `unsupported` is the template of the next port: it compiles, and every operation that needs the
//! system answers [`std::io::ErrorKind::Unsupported`].
//!
//! Not here: files, sockets, clocks, random numbers. Those are the host worlds' business.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

pub mod code;
pub mod counter;
pub mod fault;
pub mod file_image;
pub mod fork;
pub mod image;
pub mod kick;
pub mod memory_limit;
pub mod pagemap;
pub mod poll;
pub mod signals;
pub mod stack;
pub mod thread;
pub mod vm;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as port;

// Compiled with the tests everywhere, so that the template cannot rot.
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(
    target_os = "linux",
    allow(dead_code, unreachable_pub, reason = "only its compilation matters here")
)]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported as port;
