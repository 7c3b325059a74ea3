//! What is known about a file, in host terms.

use rustix::fs::{FileType, Stat};

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// None of the others, or not known.
    Unknown,
    /// A block device.
    BlockDevice,
    /// A character device, terminals among them.
    CharacterDevice,
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A pipe, with or without a name.
    Pipe,
    /// A datagram socket.
    SocketDatagram,
    /// A stream socket.
    SocketStream,
    /// A symbolic link.
    Symlink,
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            FileType::Fifo => FileKind::Pipe,
            FileType::Socket => FileKind::SocketStream,
            FileType::CharacterDevice => FileKind::CharacterDevice,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::Unknown => FileKind::Unknown,
        }
    }
}

impl FileKind {
    /// The kind that a directory entry tells (`DT_...`, which are the types of file modes).
    pub(crate) fn of_entry(raw: u8) -> Self {
        FileType::from_raw_mode(u32::from(raw) << 12).into()
    }
}

/// The attributes of a file; times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Device that holds the file.
    pub device: u64,
    /// Number of the file on its device.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
    /// Hard links.
    pub links: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last access. Times before 1970 show as 0, times after 2554 as the largest number.
    pub accessed_ns: u64,
    /// Last change of the content.
    pub modified_ns: u64,
    /// Last change of content or attributes.
    pub changed_ns: u64,
}

impl FileStat {
    /// The attributes of something that is no file: everything zero.
    #[must_use]
    pub fn of_kind(kind: FileKind) -> Self {
        FileStat {
            device: 0,
            inode: 0,
            kind,
            links: 0,
            size: 0,
            accessed_ns: 0,
            modified_ns: 0,
            changed_ns: 0,
        }
    }
}

impl From<Stat> for FileStat {
    // The fields of `Stat` differ in width between architectures.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    fn from(stat: Stat) -> Self {
        FileStat {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            kind: FileType::from_raw_mode(stat.st_mode).into(),
            links: stat.st_nlink as u64,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            accessed_ns: nanoseconds(stat.st_atime as i64, stat.st_atime_nsec as u64),
            modified_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

/// Nanoseconds since 1970, at the nearest end of what fits.
fn nanoseconds(seconds: i64, rest: u64) -> u64 {
    match u64::try_from(seconds) {
        Ok(seconds) => seconds.saturating_mul(1_000_000_000).saturating_add(rest),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::nanoseconds;

    #[test]
    fn times_of_any_year_have_a_number() {
        for (seconds, rest, expect) in [
            (0, 0, 0),
            (1, 2, 1_000_000_002),
            (-1, 999_999_999, 0),
            (i64::MIN, 0, 0),
            (i64::MAX, 0, u64::MAX),
            (15_032_385_535, 1, 15_032_385_535_000_000_001),
        ] {
            assert_eq!(nanoseconds(seconds, rest), expect, "{seconds} {rest}");
        }
    }
}
