//! Operators: one short method or one line of a list per operator.
//!
//! `visitor` covers everything but vectors, `simd` those, and `dead` what cannot be reached.

mod atomic;
mod dead;
mod relaxed;
mod simd;
mod visitor;
mod wide;

pub(crate) use dead::DeadCode;

use crate::translate::Translator;

/// Translates reachable operators.
pub(crate) struct Operators<'t, 'a>(pub(crate) &'t mut Translator<'a>);
