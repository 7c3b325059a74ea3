//! The examples of the embedding API run and succeed.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use wasmoor_tests::binary::{build, finish};
use xtask::process;

/// Names of the examples: the files in the crate's folder.
fn examples() -> Vec<String> {
    let folder = process::workspace_root().join("crates/engine/wasmoor/examples");
    let files = std::fs::read_dir(folder).expect("the folder of the examples");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

#[test]
fn examples_succeed() {
    let names = examples();
    assert!(names.len() >= 6, "{names:?}");
    // Of the whole workspace, as the tests are: with other features all dependencies are built anew.
    let programs = build(&["--workspace", "--examples"]).expect("the examples can be built");
    for name in names {
        let is_it = |program: &&PathBuf| program.file_stem().is_some_and(|stem| *stem == *name);
        let program = programs.iter().find(is_it).unwrap_or_else(|| panic!("no {name}"));
        let limit = Duration::from_secs(600);
        let finished = finish(Command::new(program), b"", limit).expect("it ends in time");
        assert!(finished.status.success(), "{name}: {finished:?}");
        assert!(!finished.stdout.is_empty(), "{name} shows nothing");
    }
}
