//! Helpers of the workspace's tests: the binary under test, and running it with a limit in time.

pub mod binary;
pub mod guest;
