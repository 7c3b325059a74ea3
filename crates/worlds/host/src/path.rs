//! A path as a guest gives it: bounded, relative, without NUL, its trailing slashes understood.
//!
//! The classic escapes are trailing slashes, because `link/` follows a link where `link` would not.
//! So the slashes are taken off once, here, and become a fact about the path: it must name a
//! directory. No function of this crate ever hands a path with a trailing slash to the kernel.

use crate::limits::PATH_BYTES_MAX;
use crate::memory::GuestSlice;
use rustix::io::{Errno, Result};
use std::ffi::{CStr, CString};

/// A relative path of at least one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPath {
    text: CString,
    must_be_directory: bool,
}

impl GuestPath {
    /// Checks the bytes of a path.
    ///
    /// # Errors
    /// `ENOENT` for the empty path, `ENAMETOOLONG` from 4096 bytes on, `EPERM` for an absolute path
    /// (it leaves every directory), `EILSEQ` for a NUL.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        if bytes.len() >= PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        Self::from_short(bytes.to_vec())
    }

    /// The same of bytes that are few enough.
    fn from_short(mut bytes: Vec<u8>) -> Result<Self> {
        let first = *bytes.first().ok_or(Errno::NOENT)?;
        if first == b'/' {
            return Err(Errno::PERM);
        }
        let (len, stripped) = (bytes.len(), without_trailing_slashes(&bytes).len());
        bytes.truncate(stripped);
        let text = CString::new(bytes).map_err(|_| Errno::ILSEQ)?;
        Ok(GuestPath { text, must_be_directory: stripped < len })
    }

    /// Copies a path out of guest memory; its length is checked before anything is allocated.
    ///
    /// # Errors
    /// As [`GuestPath::new`].
    pub fn from_guest(slice: GuestSlice<'_>) -> Result<Self> {
        Self::from_short(text_from_guest(slice)?)
    }

    /// The whole path without trailing slashes.
    #[must_use]
    pub fn text(&self) -> &CStr {
        &self.text
    }

    /// Whether the path ended in a slash.
    #[must_use]
    pub fn must_be_directory(&self) -> bool {
        self.must_be_directory
    }

    /// Whether the path names the directory it starts from, in the simplest way.
    #[must_use]
    pub fn is_dot(&self) -> bool {
        self.text.to_bytes() == b"."
    }

    /// Everything before the last component, if there is more than one.
    #[must_use]
    pub fn prefix(&self) -> Option<GuestPath> {
        let slash = self.last_slash()?;
        let stripped = without_trailing_slashes(&self.text.to_bytes()[..slash]);
        let text = CString::new(stripped).ok()?;
        Some(GuestPath { text, must_be_directory: true })
    }

    /// The last component.
    #[must_use]
    pub fn last(&self) -> &CStr {
        let start = self.last_slash().map_or(0, |slash| slash + 1);
        // The tail of a C string is one.
        CStr::from_bytes_with_nul(&self.text.to_bytes_with_nul()[start..]).unwrap_or(c".")
    }

    /// Whether the last component is a name, neither `.` nor `..`.
    #[must_use]
    pub fn ends_in_name(&self) -> bool {
        !matches!(self.last().to_bytes(), b"." | b"..")
    }

    /// Whether the path is a single name.
    #[must_use]
    pub fn is_name(&self) -> bool {
        self.last_slash().is_none() && self.ends_in_name()
    }

    fn last_slash(&self) -> Option<usize> {
        self.text.to_bytes().iter().rposition(|byte| *byte == b'/')
    }
}

/// Copies a text of at most a path's length out of guest memory.
///
/// # Errors
/// `ENAMETOOLONG` from 4096 bytes on.
pub fn text_from_guest(slice: GuestSlice<'_>) -> Result<Vec<u8>> {
    if slice.len() >= PATH_BYTES_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    // With room for the NUL that makes a path of it.
    let mut bytes = Vec::with_capacity(slice.len() + 1);
    bytes.resize(slice.len(), 0);
    slice.copy_to(&mut bytes);
    Ok(bytes)
}

fn without_trailing_slashes(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths() {
        for (path, prefix, last, directory) in [
            ("a", None, "a", false),
            ("a/", None, "a", true),
            ("a//b///", Some("a"), "b", true),
            ("a/./..", Some("a/."), "..", false),
            (".", None, ".", false),
            ("./x", Some("."), "x", false),
        ] {
            let parsed = GuestPath::new(path.as_bytes()).unwrap();
            let found = parsed.prefix().map(|prefix| prefix.text().to_str().unwrap().to_owned());
            assert_eq!(found.as_deref(), prefix, "{path}");
            assert_eq!(parsed.last().to_str(), Ok(last), "{path}");
            assert_eq!(parsed.must_be_directory(), directory, "{path}");
        }
    }

    #[test]
    fn wrong_paths() {
        let long = vec![b'a'; PATH_BYTES_MAX];
        for (path, errno) in [
            (&b""[..], Errno::NOENT),
            (b"/", Errno::PERM),
            (b"//a", Errno::PERM),
            (b"a\0b", Errno::ILSEQ),
            (b"\0", Errno::ILSEQ),
            (&long, Errno::NAMETOOLONG),
        ] {
            assert_eq!(GuestPath::new(path), Err(errno), "{path:?}");
        }
        assert!(GuestPath::new(&long[1..]).is_ok());
    }
}
