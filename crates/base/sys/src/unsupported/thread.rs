//! Priorities.

pub(crate) fn lower_priority() {}
