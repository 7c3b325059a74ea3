//! Helpers of the workspace's tests: the binary under test, and running it with a limit in time.

pub mod binary;
pub mod guest;
pub mod http;
#[cfg(target_arch = "x86_64")]
pub mod injection;
pub mod server;
pub mod storm;
#[cfg(target_arch = "x86_64")]
pub mod tracer;

/// The README's example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
