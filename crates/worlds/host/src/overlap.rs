//! Grants that contradict each other.
//!
//! A read-only mark belongs to the way by which something is reached. A host directory that is
//! granted read-only and also lies in a directory that is granted for writing could be reached both
//! ways, and guests choose: by `/a//in` or `/a/./in` their libraries go through the mount on `/a`
//! although another is on `/a/in`. Marking the way through the outer mount cannot be made tight (the
//! inner directory could be renamed, its files linked elsewhere first), so such grants are refused.
//! The reverse, a writable mount inside a read-only one, means what it says.
//!
//! Directories are the same if their device and inode are, so names and links do not matter. What
//! an administrator has bound to several places (`mount --bind`) is only found at its root.

use crate::mount::{Mount, MountError};
use std::os::unix::fs::MetadataExt;

/// Device and inode.
type Identity = (u64, u64);

/// Refuses a read-only mount that could be changed through a writable one.
///
/// # Errors
/// [`MountError::Overlap`] names both; [`MountError::Host`] when a mount is gone meanwhile.
pub fn check_overlaps(mounts: &[Mount]) -> Result<(), MountError> {
    let (read_only, writable): (Vec<_>, Vec<_>) =
        mounts.iter().partition(|mount| mount.is_read_only());
    if read_only.is_empty() || writable.is_empty() {
        return Ok(());
    }
    let writable = writable
        .into_iter()
        .map(|mount| Ok((mount, identity(mount)?)))
        .collect::<Result<Vec<_>, MountError>>()?;
    for inner in read_only {
        let around = with_ancestors(inner)?;
        let outer = writable.iter().find(|(_, identity)| around.contains(identity));
        if let Some((outer, _)) = outer {
            return Err(MountError::Overlap {
                read_only: inner.guest().to_owned(),
                writable: outer.guest().to_owned(),
            });
        }
    }
    Ok(())
}

fn identity(mount: &Mount) -> Result<Identity, MountError> {
    let failed = |source| MountError::Host { path: mount.host().to_owned(), source };
    let stat = mount.node().stat().map_err(|error| failed(error.into()))?;
    Ok((stat.device, stat.inode))
}

/// What is mounted and all directories around it.
fn with_ancestors(mount: &Mount) -> Result<Vec<Identity>, MountError> {
    let mut all = vec![identity(mount)?];
    for path in mount.host().ancestors().skip(1) {
        let failed = |source| MountError::Host { path: path.to_owned(), source };
        let stat = path.metadata().map_err(failed)?;
        all.push((stat.dev(), stat.ino()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Each mount as `HOST` or `HOST:ro`; the overlap that is found.
    fn check(root: &Path, mounts: &[&str]) -> Option<String> {
        let open = |text: &&str| {
            let host = text.strip_suffix(":ro");
            Mount::open(root.join(host.unwrap_or(text)), *text, host.is_some()).unwrap()
        };
        let mounts: Vec<Mount> = mounts.iter().map(open).collect();
        check_overlaps(&mounts).err().map(|error| error.to_string())
    }

    #[test]
    fn a_read_only_mount_in_a_writable_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("a/in/deep")).unwrap();
        std::fs::create_dir(root.path().join("b")).unwrap();
        std::fs::write(root.path().join("a/file"), "").unwrap();
        std::fs::hard_link(root.path().join("a/file"), root.path().join("b/linked")).unwrap();
        std::os::unix::fs::symlink("a/in", root.path().join("link")).unwrap();
        for (mounts, refused) in [
            (&["a", "a/in:ro"][..], true),
            (&["a/in:ro", "a"], true),
            (&["a", "a/in/deep:ro"], true),
            (&["a", "link:ro"], true),
            (&["link", "a/in/deep:ro"], true),
            (&["a", "a:ro"], true),
            (&["a", "a/file:ro"], true),
            (&["a/file", "b/linked:ro"], true),
            (&["b", "a", "a/in:ro"], true),
            (&["a", "b:ro"], false),
            (&["a:ro", "a/in"], false),
            (&["a:ro", "a/file"], false),
            (&["a:ro", "a/in:ro"], false),
            (&["a", "a/in"], false),
            (&["b", "a/in:ro"], false),
        ] {
            let found = check(root.path(), mounts);
            assert_eq!(found.is_some(), refused, "{mounts:?}: {found:?}");
        }
        let text = check(root.path(), &["a", "a/in:ro"]).unwrap();
        assert!(text.contains("`a/in:ro`") && text.contains("`a`"), "{text}");
    }
}
