//! Numeric, vector and reference operators.

mod atomic;
mod convert;
pub(crate) mod float;
mod int;
mod lanes;
mod reference;
mod relaxed;
mod vector;
mod vector_float;
mod vector_int;
mod wide;

pub(crate) use atomic::{Access, Rmw};
pub(crate) use float::{FloatCompare, Rounding};
pub(crate) use int::Division;
pub(crate) use lanes::Lanes;
pub(crate) use vector_int::{Half, Side};
