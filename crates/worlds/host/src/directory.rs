//! Directory listings that can be resumed anywhere.
//!
//! A cookie is the kernel's own position in the directory, so it stays valid whatever happens to
//! other entries, and nothing need be kept for it. What a guest's buffer could not take is kept, so
//! that reading a large directory through small buffers asks the kernel for each entry once.

use crate::limits::READDIR_BYTES;
use crate::meter::{Meter, Resource};
use crate::stat::FileKind;
use rustix::fd::BorrowedFd;
use rustix::fs::{RawDir, SeekFrom, fstat, seek};
use rustix::io::{Errno, Result};
use std::collections::VecDeque;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Name within the directory.
    pub name: CString,
    /// Number of the file; for `..` that of the directory itself, since the parent may lie outside
    /// the mount.
    pub inode: u64,
    /// What it is, if the file system tells.
    pub kind: FileKind,
    /// Where to resume behind this entry.
    pub next_cookie: u64,
}

/// The listing of one open directory.
#[derive(Debug, Default)]
pub struct DirectoryStream {
    /// Fetched but not yet taken, in order.
    fetched: VecDeque<Entry>,
    /// The cookie of the first fetched entry, or of the next one that the kernel would give.
    position: u64,
}

/// Host bytes charged while entries are kept: the names and what surrounds each (the shortest
/// kernel entry is 24 bytes, ours with its allocation at most 88).
const CHARGE: u64 = READDIR_BYTES as u64 * 4;

impl DirectoryStream {
    /// Visits the entries from `cookie` on (0: from the start) until `visit` breaks. The entry at
    /// which it broke is not consumed: its cookie leads to it again.
    ///
    /// # Errors
    /// `ENOMEM` when the meter refuses, `ENOTDIR` for anything but a directory, else those of
    /// `lseek` and `getdents`.
    pub fn visit(
        &mut self,
        fd: BorrowedFd<'_>,
        meter: &dyn Meter,
        cookie: u64,
        mut visit: impl FnMut(&Entry) -> ControlFlow<()>,
    ) -> Result<()> {
        if cookie == 0 || cookie != self.position || self.fetched.is_empty() {
            self.forget(meter);
            seek(fd, SeekFrom::Start(cookie))?;
            self.position = cookie;
        }
        loop {
            while let Some(entry) = self.fetched.front() {
                if visit(entry).is_break() {
                    return Ok(());
                }
                self.position = entry.next_cookie;
                self.fetched.pop_front();
            }
            self.forget(meter);
            match self.fetch(fd, meter) {
                Ok(()) if self.fetched.is_empty() => {
                    self.forget(meter);
                    return Ok(());
                }
                Ok(()) => {}
                Err(error) => {
                    self.forget(meter);
                    return Err(error);
                }
            }
        }
    }

    /// Drops what is kept and gives its charge back.
    pub fn forget(&mut self, meter: &dyn Meter) {
        if self.fetched.capacity() > 0 {
            self.fetched = VecDeque::new();
            meter.release(Resource::HostBytes, CHARGE);
        }
    }

    /// Asks the kernel once; nothing is fetched at the end. On failure the caller forgets.
    fn fetch(&mut self, fd: BorrowedFd<'_>, meter: &dyn Meter) -> Result<()> {
        if !meter.grant_all(Resource::HostBytes, CHARGE) {
            return Err(Errno::NOMEM);
        }
        // Some room from the first moment, so that `forget` knows of the charge.
        self.fetched.reserve(8);
        let mut buffer = [MaybeUninit::uninit(); READDIR_BYTES];
        let mut listing = RawDir::new(fd, &mut buffer);
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let is_parent = entry.file_name() == c"..";
            let inode = if is_parent { fstat(fd)?.st_ino } else { entry.ino() };
            self.fetched.push_back(Entry {
                name: entry.file_name().to_owned(),
                inode,
                kind: entry.file_type().into(),
                next_cookie: entry.next_entry_cookie(),
            });
            if listing.is_buffer_empty() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Limits;
    use rustix::fd::AsFd;
    use std::collections::BTreeSet;

    fn names(
        stream: &mut DirectoryStream,
        fd: BorrowedFd<'_>,
        limits: &Limits,
        chunk: usize,
    ) -> Vec<String> {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let mut taken = Vec::new();
            let visit = |entry: &Entry| {
                if taken.len() == chunk {
                    return ControlFlow::Break(());
                }
                taken.push(entry.clone());
                ControlFlow::Continue(())
            };
            stream.visit(fd, limits, cookie, visit).unwrap();
            let Some(last) = taken.last() else { return names };
            cookie = last.next_cookie;
            names.extend(taken.iter().map(|entry| entry.name.to_str().unwrap().to_owned()));
        }
    }

    #[test]
    fn every_entry_once_in_chunks_of_any_size() {
        let root = tempfile::tempdir().unwrap();
        let mut expect = BTreeSet::from([".".to_owned(), "..".to_owned()]);
        for index in 0..2000 {
            let name = format!("entry-number-{index}");
            std::fs::write(root.path().join(&name), "").unwrap();
            expect.insert(name);
        }
        let directory = std::fs::File::open(root.path()).unwrap();
        let limits = Limits::new();
        let left = limits.left(Resource::HostBytes);
        for chunk in [1, 7, 1999, 10_000] {
            let mut stream = DirectoryStream::default();
            let found = names(&mut stream, directory.as_fd(), &limits, chunk);
            assert_eq!(found.len(), expect.len(), "chunks of {chunk}");
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expect);
            assert_eq!(limits.left(Resource::HostBytes), left);
        }
    }

    #[test]
    fn a_cookie_leads_back() {
        let root = tempfile::tempdir().unwrap();
        for index in 0..50 {
            std::fs::write(root.path().join(format!("f{index}")), "").unwrap();
        }
        let directory = std::fs::File::open(root.path()).unwrap();
        let (limits, mut stream) = (Limits::new(), DirectoryStream::default());
        let mut all = Vec::new();
        let mut keep = |entry: &Entry| {
            all.push(entry.clone());
            ControlFlow::Continue(())
        };
        stream.visit(directory.as_fd(), &limits, 0, &mut keep).unwrap();
        for (index, entry) in all.iter().enumerate() {
            let mut next = None;
            let first = |entry: &Entry| {
                next = Some(entry.clone());
                ControlFlow::Break(())
            };
            stream.visit(directory.as_fd(), &limits, entry.next_cookie, first).unwrap();
            assert_eq!(next.as_ref(), all.get(index + 1));
        }
    }

    #[test]
    fn the_parent_outside_is_not_told() {
        let root = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(root.path()).unwrap();
        let mut inodes = Vec::new();
        let visit = |entry: &Entry| {
            inodes.push(entry.inode);
            ControlFlow::Continue(())
        };
        DirectoryStream::default().visit(directory.as_fd(), &Limits::new(), 0, visit).unwrap();
        assert_eq!(inodes.len(), 2);
        assert_eq!(inodes[0], inodes[1]);
    }

    #[test]
    fn errors_end_it() {
        let root = tempfile::tempdir().unwrap();
        let gone = root.path().join("gone");
        std::fs::create_dir(&gone).unwrap();
        let directory = std::fs::File::open(&gone).unwrap();
        std::fs::remove_dir(&gone).unwrap();
        let file = tempfile::tempfile().unwrap();
        let none = Limits::new().with(Resource::HostBytes, 0);
        let visit = |_: &Entry| ControlFlow::Continue(());
        let mut stream = DirectoryStream::default();
        let limits = Limits::new();
        let ended = stream.visit(directory.as_fd(), &limits, 0, visit);
        assert!(matches!(ended, Ok(()) | Err(Errno::NOENT)), "{ended:?}");
        assert_eq!(stream.visit(file.as_fd(), &limits, 0, visit), Err(Errno::NOTDIR));
        assert_eq!(limits.left(Resource::HostBytes), Limits::new().left(Resource::HostBytes));
        let here = std::fs::File::open(root.path()).unwrap();
        assert_eq!(stream.visit(here.as_fd(), &none, 0, visit), Err(Errno::NOMEM));
    }
}
