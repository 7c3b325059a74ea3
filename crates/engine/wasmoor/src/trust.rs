//! Which files may hold machine code that is run.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Rights of group and others to write.
const WRITE_BY_OTHERS: u32 = 0o022;
/// All rights of group and others.
const ANY_BY_OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// Flags under which a file with code is opened: never through a symbolic link, and without
/// waiting for the writer of a pipe.
pub(crate) const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// Opens a file that a user names as code.
///
/// # Errors
/// Why it cannot be read or must not be trusted.
pub(crate) fn open_artifact(path: &Path) -> Result<File, String> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let file = match rustix::fs::openat(CWD, path, OPEN, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err("it is a symbolic link, which may lead anywhere".to_owned()),
        Err(error) => return Err(unreadable(error.into())),
    };
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err("it is no regular file".to_owned());
    }
    owned_and_unwritable(&about, "it", false)?;
    let about = std::fs::metadata(folder).map_err(unreadable)?;
    owned_and_unwritable(&about, "its directory", true)?;
    Ok(file)
}

fn owned_and_unwritable(about: &Metadata, what: &str, folder: bool) -> Result<(), String> {
    let sticky = folder && about.mode() & STICKY != 0;
    if !sticky && about.mode() & WRITE_BY_OTHERS != 0 {
        return Err(format!(
            "{what} may be written by others (mode {:03o}), so its code is not trusted",
            about.mode() & 0o777
        ));
    }
    if about.uid() != 0 && about.uid() != own_user() {
        return Err(format!(
            "{what} belongs to another user ({}), so its code is not trusted",
            about.uid()
        ));
    }
    Ok(())
}

/// Whether a file or directory is this user's alone.
///
/// # Errors
/// Why not.
pub(crate) fn private(about: &Metadata) -> Result<(), String> {
    if about.uid() != own_user() {
        return Err(format!("it belongs to another user ({})", about.uid()));
    }
    if about.mode() & ANY_BY_OTHERS != 0 {
        return Err(format!("others have rights to it (mode {:03o})", about.mode() & 0o777));
    }
    Ok(())
}

fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}
