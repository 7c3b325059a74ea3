//! Operators: one short method or one line of a list per operator.
//!
//! `visitor` covers everything but vectors, `simd` those, and `dead` what cannot be reached.

mod dead;
mod simd;
mod visitor;

pub(crate) use dead::DeadCode;

use crate::translate::Translator;

/// Translates reachable operators.
pub(crate) struct Operators<'t, 'a>(pub(crate) &'t mut Translator<'a>);
