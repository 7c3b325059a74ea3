//! Numeric operators.

mod convert;
pub(crate) mod float;
mod int;

pub(crate) use float::{FloatCompare, Rounding};
pub(crate) use int::Division;
