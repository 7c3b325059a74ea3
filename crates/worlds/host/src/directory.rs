//! Directory listings that can be resumed anywhere.
//!
//! A cookie is the kernel's own position in the directory, so it stays valid whatever happens to
//! other entries, and nothing need be kept for it. What a guest's buffer could not take is kept as
//! the kernel gave it, so that reading a large directory through small buffers asks the kernel for
//! each entry once, and nothing is allocated per entry.
//!
//! An entry of the kernel, `struct linux_dirent64`, in the machine's byte order:
//! ```text
//! 0 inode: u64   8 where to resume: u64   16 length of the entry: u16   18 kind: u8   19 name, NUL
//! ```

use crate::limits::READDIR_BYTES;
use crate::meter::{Meter, Resource};
use crate::stat::FileKind;
use crate::vectored;
use rustix::fd::BorrowedFd;
use rustix::fs::{SeekFrom, fstat, seek};
use rustix::io::{Errno, Result};
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::sync::Arc;

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Name within the directory.
    pub name: &'a CStr,
    /// Number of the file; for `..` that of the directory itself, since the parent may lie outside
    /// the mount.
    pub inode: u64,
    /// What it is, if the file system tells.
    pub kind: FileKind,
    /// Where to resume behind this entry.
    pub next_cookie: u64,
}

impl<'a> Entry<'a> {
    /// The first of the kernel's entries in `bytes`, and its length.
    fn parse(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (inode, rest) = bytes.split_first_chunk::<8>()?;
        let (next_cookie, rest) = rest.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<2>()?;
        let (kind, _) = rest.split_first()?;
        let len = usize::from(u16::from_ne_bytes(*len));
        let name = CStr::from_bytes_until_nul(bytes.get(NAME_AT..len)?).ok()?;
        let entry = Entry {
            name,
            inode: u64::from_ne_bytes(*inode),
            kind: FileKind::of_entry(*kind),
            next_cookie: u64::from_ne_bytes(*next_cookie),
        };
        Some((entry, len))
    }
}

/// Where the name of a kernel's entry starts.
const NAME_AT: usize = 19;

/// The listing of one open directory.
#[derive(Debug, Default)]
pub struct DirectoryStream {
    /// What the kernel gave last; allocated, and charged, only while something of it is kept.
    buffer: Option<Buffer>,
    /// The part of the buffer that was not taken yet.
    left: std::ops::Range<usize>,
    /// The cookie of the first entry that is left, or of the next one that the kernel would give.
    position: u64,
}

/// Host bytes charged while entries are kept.
const CHARGE: u64 = READDIR_BYTES as u64;

/// Entries as the kernel gave them, charged as long as they are kept.
#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    meter: Arc<dyn Meter>,
}

impl Buffer {
    /// # Errors
    /// `ENOMEM` when the meter refuses.
    fn new(meter: &Arc<dyn Meter>) -> Result<Self> {
        if !meter.grant_all(Resource::HostBytes, CHARGE) {
            return Err(Errno::NOMEM);
        }
        Ok(Buffer { bytes: vec![0; READDIR_BYTES].into_boxed_slice(), meter: Arc::clone(meter) })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.meter.release(Resource::HostBytes, CHARGE);
    }
}

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
        meter: &Arc<dyn Meter>,
        cookie: u64,
        mut visit: impl FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if cookie == 0 || cookie != self.position || self.left.is_empty() {
            self.forget();
            seek(fd, SeekFrom::Start(cookie))?;
            self.position = cookie;
        }
        loop {
            if self.visit_left(fd, &mut visit)?.is_break() {
                return Ok(());
            }
            let fetched = self.fetch(fd, meter);
            if self.left.is_empty() {
                self.forget();
                return fetched;
            }
        }
    }

    /// Visits what is left of the buffer.
    fn visit_left(
        &mut self,
        fd: BorrowedFd<'_>,
        visit: &mut impl FnMut(&Entry<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let Some(buffer) = &self.buffer else { return Ok(ControlFlow::Continue(())) };
        while !self.left.is_empty() {
            // A kernel that gives something else has no entries for us.
            let bytes = &buffer.bytes[self.left.clone()];
            let (mut entry, len) = Entry::parse(bytes).ok_or(Errno::IO)?;
            if entry.name == c".." {
                entry.inode = fstat(fd)?.st_ino;
            }
            if visit(&entry).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.position = entry.next_cookie;
            self.left.start += len;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Drops what is kept and gives its charge back.
    fn forget(&mut self) {
        self.left = 0..0;
        self.buffer = None;
    }

    /// Asks the kernel once; nothing is left at the end and on failure.
    fn fetch(&mut self, fd: BorrowedFd<'_>, meter: &Arc<dyn Meter>) -> Result<()> {
        self.left = 0..0;
        let buffer = match &mut self.buffer {
            Some(buffer) => buffer,
            empty => empty.insert(Buffer::new(meter)?),
        };
        self.left = 0..vectored::entries(fd, &mut buffer.bytes)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Limits;
    use rustix::fd::AsFd;
    use std::collections::BTreeSet;
    use std::ffi::CString;

    /// An entry that outlives its visit.
    #[derive(Debug, PartialEq, Eq)]
    struct Kept {
        name: CString,
        inode: u64,
        next_cookie: u64,
    }

    impl From<&Entry<'_>> for Kept {
        fn from(entry: &Entry<'_>) -> Self {
            let Entry { name, inode, next_cookie, .. } = *entry;
            Kept { name: name.to_owned(), inode, next_cookie }
        }
    }

    fn metered(limits: &Arc<Limits>) -> Arc<dyn Meter> {
        Arc::clone(limits) as _
    }

    fn names(
        stream: &mut DirectoryStream,
        fd: BorrowedFd<'_>,
        limits: &Arc<Limits>,
        chunk: usize,
    ) -> Vec<String> {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let mut taken = Vec::new();
            let visit = |entry: &Entry<'_>| {
                if taken.len() == chunk {
                    return ControlFlow::Break(());
                }
                taken.push(Kept::from(entry));
                ControlFlow::Continue(())
            };
            stream.visit(fd, &metered(limits), cookie, visit).unwrap();
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
        let limits = Arc::new(Limits::new());
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
        let (limits, mut stream) = (Arc::new(Limits::new()), DirectoryStream::default());
        let mut all = Vec::new();
        let mut keep = |entry: &Entry<'_>| {
            all.push(Kept::from(entry));
            ControlFlow::Continue(())
        };
        stream.visit(directory.as_fd(), &metered(&limits), 0, &mut keep).unwrap();
        for (index, entry) in all.iter().enumerate() {
            let mut next = None;
            let first = |entry: &Entry<'_>| {
                next = Some(Kept::from(entry));
                ControlFlow::Break(())
            };
            stream.visit(directory.as_fd(), &metered(&limits), entry.next_cookie, first).unwrap();
            assert_eq!(next.as_ref(), all.get(index + 1));
        }
    }

    #[test]
    fn the_parent_outside_is_not_told() {
        let root = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(root.path()).unwrap();
        let mut inodes = Vec::new();
        let visit = |entry: &Entry<'_>| {
            inodes.push(entry.inode);
            ControlFlow::Continue(())
        };
        DirectoryStream::default()
            .visit(directory.as_fd(), &metered(&Arc::default()), 0, visit)
            .unwrap();
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
        let none = Arc::new(Limits::new().with(Resource::HostBytes, 0));
        let visit = |_: &Entry<'_>| ControlFlow::Continue(());
        let mut stream = DirectoryStream::default();
        let limits = Arc::new(Limits::new());
        let ended = stream.visit(directory.as_fd(), &metered(&limits), 0, visit);
        assert!(matches!(ended, Ok(()) | Err(Errno::NOENT)), "{ended:?}");
        assert_eq!(stream.visit(file.as_fd(), &metered(&limits), 0, visit), Err(Errno::NOTDIR));
        assert_eq!(limits.left(Resource::HostBytes), Limits::new().left(Resource::HostBytes));
        let here = std::fs::File::open(root.path()).unwrap();
        assert_eq!(stream.visit(here.as_fd(), &metered(&none), 0, visit), Err(Errno::NOMEM));
    }

    #[test]
    fn what_is_no_entry_is_not_parsed() {
        let mut bytes = [0u8; 24];
        bytes[8] = 7;
        bytes[16] = 24;
        bytes[19..22].copy_from_slice(b"abc");
        let (entry, len) = Entry::parse(&bytes).unwrap();
        assert_eq!((entry.name, entry.next_cookie, len), (c"abc", 7, 24));
        // Cut short; longer than what is there; without an end of the name; shorter than a name.
        for (cut, len, last) in [(18, 24, 0), (23, 24, 0), (24, 25, 0), (24, 24, b'x'), (24, 18, 0)]
        {
            let mut bytes = bytes;
            bytes[16] = len;
            if last != 0 {
                bytes[19..].fill(last);
            }
            assert_eq!(Entry::parse(&bytes[..cut]), None, "{cut} {len} {last}");
        }
    }
}
