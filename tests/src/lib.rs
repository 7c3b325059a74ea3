//! Helpers of the workspace's tests: the binary under test, and running it with a limit in time.

pub mod binary;
pub mod guest;
pub mod server;
pub mod storm;

/// The README's example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
