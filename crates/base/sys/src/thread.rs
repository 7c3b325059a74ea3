//! The calling thread.

use crate::port;

/// Gives the calling thread a lower share of the processors than others. Best effort: a system
/// that refuses leaves it as it is.
pub fn lower_priority() {
    port::thread::lower_priority();
}
