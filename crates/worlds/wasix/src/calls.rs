//! The functions of WASIX, one file per family.
//!
//! Each family has a function `offer` that defines its calls (see [`crate::link::Offers`]). Most are
//! plain functions of the thread and its memory; those that start or end threads take the caller.
#![allow(clippy::too_many_arguments, reason = "the interface has as many")]

pub(crate) mod channels;
pub(crate) mod clocks;
pub(crate) mod descriptors;
pub(crate) mod epoll;
pub(crate) mod files;
pub(crate) mod futex;
pub(crate) mod polling;
pub(crate) mod proc_spawn;
pub(crate) mod processes;
pub(crate) mod programs;
pub(crate) mod signals;
mod sock_paths;
pub(crate) mod socket_options;
pub(crate) mod sockets;
pub(crate) mod stack;
pub(crate) mod terminal;
pub(crate) mod thread_locals;
pub(crate) mod threads;
pub(crate) mod transfers;

use crate::errno::Errno;

/// The result of a call that only fails with a number.
pub(crate) type Result<T = (), E = Errno> = std::result::Result<T, E>;
