//! What a guest looked for in vain: grants and paths that it does not have.
//!
//! A guest's own message for that is its library's, and seldom says what to grant. Whoever started
//! it may ask here, once it has ended, and say it better. Kept per guest, in a few bits.

use crate::Errno;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a guest looked for in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// It asked for its grants and met the end of their list, as libraries do before they look for
    /// a path: without a grant they look no further.
    pub grants: bool,
    /// It asked for a path that leads out of its grants, or that starts at no directory.
    pub paths: bool,
}

const GRANTS: u8 = 1;
const PATHS: u8 = 2;

/// The bits, shared by the threads of a guest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    bits: Arc<AtomicU8>,
}

impl Record {
    /// Looks at the answer to a call: `raw` is 0 or an error number.
    #[inline]
    pub(crate) fn look(&self, name: &str, raw: i32) {
        if raw != 0 {
            self.look_at_error(name, raw);
        }
    }

    #[cold]
    fn look_at_error(&self, name: &str, raw: i32) {
        let is = |errno: Errno| raw == i32::from(errno.raw());
        let bit = match name {
            "fd_prestat_get" if is(Errno::Badf) => GRANTS,
            "path_open" | "path_filestat_get" | "path_readlink"
                if is(Errno::Perm) || is(Errno::Badf) =>
            {
                PATHS
            }
            _ => return,
        };
        self.bits.fetch_or(bit, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Missed {
        let bits = self.bits.load(Ordering::Relaxed);
        Missed { grants: bits & GRANTS != 0, paths: bits & PATHS != 0 }
    }
}
