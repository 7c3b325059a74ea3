//! What every world of host functions shares: descriptors, mounts, paths, clocks, random, limits.
//!
//! A *world* (WASI preview 1, WASIX, ...) is a thin adapter: it decodes the arguments of a guest's
//! call, asks this crate to do the work on real kernel objects, and encodes the answer. Here live
//! - [`GuestMemory`]: the checked view of a linear memory, and [`IoVecs`] over it for the kernel;
//! - [`DescriptorTable`] and [`Descriptor`]: what the guest's small numbers stand for;
//! - [`Mount`], [`Resolver`] and [`files`]: paths that never leave the directory they start from;
//! - [`charge`]: the operations of [`files`] that create something, charged;
//! - [`Clocks`], [`Random`], [`Meter`], [`Interrupt`]: traits that an embedder or a test replaces.
//!
//! Invariants:
//! - nothing is reachable that was not put into the table or mounted by the embedder;
//! - no size, count or path of a guest leads to an allocation that the meter did not grant or that
//!   a constant of [`limits`] does not bound;
//! - a guest's bytes are never seen as a Rust slice, for other threads may write them.
//!
//! Errors of system calls are [`rustix::io::Errno`]; each world has its own numbers for them.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

pub mod channel;
pub mod charge;
pub mod clock;
pub mod core;
pub mod descriptor;
pub mod directory;
pub mod epoll;
pub mod files;
mod forked;
pub mod interrupt;
pub mod limits;
pub mod memory;
pub mod meter;
pub mod mount;
pub mod names;
#[cfg(feature = "net")]
pub mod net;
mod overlap;
pub mod path;
pub mod poll;
pub mod random;
pub mod resolve;
pub mod rights;
pub mod stat;
pub mod stream;
pub mod table;
pub mod vectored;
pub mod working_dir;

pub use self::clock::{ClockId, Clocks, FixedClocks, SystemClocks};
pub use self::core::{Core, Guard};
pub use self::descriptor::{Descriptor, Handed, Object, StatusFlags};
pub use self::directory::DirectoryStream;
pub use self::epoll::Epoll;
pub use self::interrupt::Interrupt;
pub use self::memory::{Fault, GuestMemory, GuestSlice};
pub use self::meter::{Limits, Meter, Permit, Resource, Unlimited};
pub use self::mount::{Mount, MountError, Node};
pub use self::overlap::check_overlaps;
pub use self::path::GuestPath;
pub use self::random::{Random, SeededRandom, SharedRandom, SystemRandom};
pub use self::resolve::{Resolver, Strategy};
pub use self::rights::Rights;
pub use self::stat::{FileKind, FileStat};
pub use self::stream::{MemoryInput, MemoryOutput, ReadFn, WriteFn};
pub use self::table::DescriptorTable;
pub use self::vectored::IoVecs;
pub use self::working_dir::WorkingDir;

/// The errors and results of system calls, as every function here returns them.
pub use rustix::io::{Errno, Result};
