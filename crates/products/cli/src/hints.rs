//! Notes about grants: what a guest seems to have missed, and what it has beyond what was meant.
//!
//! The guest's own error is the guest's: its libraries know grants only by their absence, and what
//! they print ("failed to find a pre-opened file descriptor", "Bad file descriptor") names no option. So
//! when a guest fails, one line says which option would have granted what it asked for.

use crate::args::Run;
use crate::mounts::Mount;
use crate::report::{Failure, printable};
use crate::world::{mounts, names};
use std::path::{Path, PathBuf};
use wasmoor::Module;
use wasmoor_wasi_p1::Missed;

/// What to tell the user of a guest that ended itself without success and missed a directory.
pub(crate) fn missing_grant(
    args: &Run,
    module: &Module,
    missed: Missed,
    failure: &Failure,
) -> Option<String> {
    if !failure.by_guest || !module.imports().any(|import| import.name.starts_with("path_")) {
        return None;
    }
    let has_mounts = mounts(args).next().is_some();
    if let Some(path) = given_paths(args).find(|path| is_outside(args, path)) {
        return Some(about(args, &path));
    }
    match (has_mounts, missed) {
        (true, Missed { paths: true, .. }) => Some(
            "the guest asked for a path outside of what it was granted; `--dir DIR` before FILE \
             grants another directory"
                .to_owned(),
        ),
        (false, Missed { paths: true, .. } | Missed { grants: true, .. }) => Some(
            "no directory was granted to the guest, and it looked for one; `--dir .` before FILE \
             grants the current one"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Arguments that may be paths, also those behind `--option=`.
fn given_paths(args: &Run) -> impl Iterator<Item = PathBuf> {
    let texts = args.file_and_args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    texts.flat_map(|text| {
        let value = text.split_once('=').map(|(_, value)| PathBuf::from(value));
        [Some(PathBuf::from(text)), value].into_iter().flatten()
    })
}

/// Whether the host has something under this path and the guest has nothing.
fn is_outside(args: &Run, path: &Path) -> bool {
    let Some(text) = path.to_str().filter(|text| !text.is_empty()) else { return false };
    let from_cwd = args.cwd.as_deref().map(|cwd| names(cwd).join(names(text)));
    let known = [Some(names(text)), from_cwd.filter(|_| path.is_relative())];
    let has = |name: &PathBuf| mounts(args).any(|mount| host_path(mount, name).is_some());
    path.exists() && !known.iter().flatten().any(has)
}

/// Where the guest's path leads, if it lies in this mount and is there.
fn host_path(mount: &Mount, name: &Path) -> Option<PathBuf> {
    let rest = name.strip_prefix(names(&mount.guest)).ok()?;
    let host = if rest == Path::new("") { mount.host.clone() } else { mount.host.join(rest) };
    host.exists().then_some(host)
}

/// Names the option for a path of the host, or the guest's name for it.
fn about(args: &Run, path: &Path) -> String {
    let shown = printable(&path.display().to_string());
    let known_as = mounts(args).find_map(|mount| {
        let rest = path.canonicalize().ok()?;
        let rest = rest.strip_prefix(mount.host.canonicalize().ok()?).ok()?.to_owned();
        Some(if rest == Path::new("") {
            PathBuf::from(&mount.guest)
        } else {
            Path::new(&mount.guest).join(rest)
        })
    });
    if let Some(known_as) = known_as {
        let known_as = printable(&known_as.display().to_string());
        return format!("the guest has the host's `{shown}` under the path `{known_as}`");
    }
    let dir = if path.is_dir() { Some(path) } else { path.parent() };
    let dir = match dir {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let dir = printable(&dir.display().to_string());
    if mounts(args).next().is_some() {
        format!(
            "`{shown}` lies in no directory that was granted to the guest; `--dir {dir}` before \
             FILE grants it"
        )
    } else {
        format!(
            "no directory was granted to the guest; `--dir {dir}` before FILE grants the one of \
             `{shown}`"
        )
    }
}

/// Where the kernel shows processes, its settings and devices as files.
const KERNEL_TREES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A warning if a grant holds what the kernel shows as files, which few mean by `--dir /`.
pub(crate) fn kernel_trees<'a>(mut mounts: impl Iterator<Item = &'a Mount>) -> Option<String> {
    let (mount, trees) = mounts.find_map(|mount| {
        let host = mount.host.canonicalize().ok()?;
        let held = |tree: &&&str| Path::new(tree).starts_with(&host) && Path::new(tree).exists();
        let trees: Vec<String> =
            KERNEL_TREES.iter().filter(held).map(|tree| format!("`{tree}`")).collect();
        (!trees.is_empty()).then_some((mount, trees))
    })?;
    let host = printable(&mount.host.display().to_string());
    let (trees, change) = (trees.join(", "), if mount.read_only { "" } else { " and change" });
    Some(format!(
        "the grant of `{host}` includes {trees}: there a guest can read{change} other processes, \
         this one and devices, as far as your user can; grant the directories that it needs"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_of_the_kernels_trees_are_named() {
        for (host, read_only, expected) in [
            ("/", false, &["grant of `/`", "`/proc`, `/sys`, `/dev`", "read and change"][..]),
            ("/proc", true, &["grant of `/proc` includes `/proc`:", "can read other"]),
            ("/usr/..", false, &["grant of `/usr/..`", "`/proc`, "]),
            ("/usr", false, &[]),
            ("/dev/shm", false, &[]),
            ("/dev/null", false, &[]),
        ] {
            let mount = Mount { host: host.into(), guest: "/".to_owned(), read_only };
            let warning = kernel_trees([&mount].into_iter());
            assert_eq!(warning.is_some(), !expected.is_empty(), "{host}: {warning:?}");
            let warning = warning.unwrap_or_default();
            for text in expected {
                assert!(warning.contains(text), "{host}: {warning}");
            }
        }
    }
}
