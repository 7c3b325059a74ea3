//! Runs `.wast` scripts, the format of the official test suite, on the public embedding API.
//!
//! A [`Runner`] has an engine made from [`RunOptions`]. It runs each script in a store of its
//! own, counts every directive as passed, failed or skipped, and never stops at a failure unless
//! asked to. A [`Report`] collects scripts and prints them as a table.
//!
//! ```
//! use wasmoor_wast::{Report, RunOptions, Runner};
//!
//! # fn main() -> Result<(), wasmoor::Error> {
//! let runner = Runner::new(&RunOptions::default())?;
//! let mut report = Report::new(runner.options());
//! report.add(runner.run("demo.wast", r#"
//!     (module (func (export "one") (result i32) (i32.const 1)))
//!     (assert_return (invoke "one") (i32.const 1))
//! "#));
//! assert!(report.is_success(), "{report}");
//! # Ok(()) }
//! ```
//!
//! What it does not do: directives of components, threads and stack switching, and the assertions
//! about custom sections, are skipped and counted as such. The words of `assert_invalid` and
//! `assert_malformed` are not compared, only the kind of failure: validators word their errors
//! freely.

mod directive;
mod expect;
mod options;
mod report;
mod runner;
mod spectest;
mod threads;
mod value;

pub use directive::DirectiveKind;
pub use options::{Allocator, RunOptions};
pub use report::{Failure, Report, ScriptReport, Skip, Tally};
pub use runner::Runner;
