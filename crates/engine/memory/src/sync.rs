//! The locks that [`crate::parking`] is written with: a model checker puts its own in their place.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
