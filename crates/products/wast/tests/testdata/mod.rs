//! The folder of test data: that of `WASMOOR_TESTDATA`, else it is looked for beside the checkout.

use std::path::{Path, PathBuf};

/// A folder of the suite's newest state. `None`, with a line that says so: it is not there. In
/// continuous integration that is a failure.
pub(crate) fn spec(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("WASMOOR_TESTDATA").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/testdata")
    });
    let folder = data.join("spec").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let missing = format!("left out: {}; set WASMOOR_TESTDATA", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    println!("{missing}");
    None
}
