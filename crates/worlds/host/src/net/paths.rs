//! What the guest calls the files that its sockets are.
//!
//! The kernel knows such a socket by the path that it was bound with, which goes by way of a
//! descriptor of ours and would mean nothing to the guest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

type Names = Mutex<HashMap<Vec<u8>, Vec<u8>>>;

/// From the kernel's paths to the guest's.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths(Arc<Names>);

/// One path, forgotten when dropped.
#[derive(Debug)]
pub(super) struct Noted {
    all: Arc<Names>,
    place: Vec<u8>,
}

impl Paths {
    /// Notes that the guest calls `place` `path`.
    pub(super) fn note(&self, place: Vec<u8>, path: &[u8]) -> Noted {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(place.clone(), path.to_vec());
        Noted { all: self.0.clone(), place }
    }

    /// Keeps other threads from it until the guard is dropped.
    pub(super) fn hold(&self) -> impl Sized + use<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the guest calls `place`; nothing for what is not the guest's.
    pub(super) fn of(&self, place: &[u8]) -> Vec<u8> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(place).cloned().unwrap_or_default()
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_when_dropped() {
        let paths = Paths::default();
        let noted = paths.note(b"/proc/self/fd/9/a".to_vec(), b"/run/a");
        assert_eq!(paths.of(b"/proc/self/fd/9/a"), b"/run/a");
        assert_eq!(paths.of(b"/run/secret"), b"");
        drop(noted);
        assert_eq!(paths.of(b"/proc/self/fd/9/a"), b"");
    }
}
