//! The repository's own tools, run as `cargo xtask COMMAND`.
//!
//! What more than one tool or test needs is a module here: the graph of crates and its floors, the
//! manifest of real programs and their fetching, running other commands. Tools are written in Rust
//! rather than as scripts so that they run wherever the workspace builds.

pub mod bench;
pub mod corpus;
pub mod demo;
pub mod floors;
pub mod guests;
pub mod metadata;
pub mod process;
pub mod programs;
pub mod test;
pub mod tidy;
