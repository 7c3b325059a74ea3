//! Error numbers: those of preview 1, and four more.

use wasmoor_host::{Errno as Host, Fault};
use wasmoor_wasi_p1 as p1;

/// An error number of WASIX. Success, 0, is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(u16);

impl Errno {
    /// A pointer lies outside the guest's memory. Preview 1 has another number for that, which its
    /// own calls keep.
    pub const MEMORY_VIOLATION: Errno = Errno(78);

    /// The same in a function of preview 1, which has another number for a bad pointer.
    pub(crate) fn in_preview1(self) -> Self {
        if self == Errno::MEMORY_VIOLATION { p1::Errno::Fault.into() } else { self }
    }

    /// The number.
    #[must_use]
    pub const fn raw(self) -> u16 {
        self.0
    }
}

impl From<p1::Errno> for Errno {
    fn from(errno: p1::Errno) -> Self {
        Errno(errno.raw())
    }
}

impl From<Host> for Errno {
    fn from(errno: Host) -> Self {
        p1::Errno::from(errno).into()
    }
}

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Errno::MEMORY_VIOLATION
    }
}
