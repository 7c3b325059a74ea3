//! The command with code of earlier runs: `compile`, the cache, `--no-jit`. Nothing that others
//! could have written, or that is damaged, is run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use wasmoor_tests::binary::{CACHE_VARIABLE, Finished, finish, wasmoor};
use wasmoor_tests::guest;

const LIMIT: Duration = Duration::from_secs(60);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Runs `wasmoor` with a cache, in the folder of the guests.
fn run(cache: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(wasmoor());
    command.args(args).current_dir(guest::path("")).env(CACHE_VARIABLE, cache);
    finish(command, b"", LIMIT).expect("the command ends in time")
}

fn off(args: &[&str]) -> Finished {
    run(Path::new("off"), args)
}

/// Compiles `add.wat` into a folder.
fn compiled(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("add.wcode");
    let finished = off(&["compile", "add.wat", "-o", path.to_str().expect("a name")]);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    path
}

fn add(path: &Path, flags: &[&str]) -> Finished {
    let file = path.to_str().expect("a name");
    let args = [&["run", "--invoke", "add"], flags, &[file, "2", "40"]].concat();
    off(&args)
}

#[track_caller]
fn refused(finished: &Finished, words: &str) {
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stdout.is_empty(), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    assert!(finished.stderr.contains(words), "no {words:?} in: {}", finished.stderr);
}

#[track_caller]
fn prints(finished: &Finished, stdout: &str) {
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert_eq!(finished.stdout(), stdout, "{finished:?}");
}

#[test]
fn compiled_files_run_with_and_without_a_compiler() {
    let folder = folder();
    let path = compiled(&folder);
    prints(&add(&path, &[]), "42\n");
    prints(&add(&path, &["--no-jit"]), "42\n");
    prints(&add(&path, &["--tier", "baseline"]), "42\n");
    let stats = add(&path, &["--no-jit", "--stats"]);
    assert!(stats.stderr.contains("from an ahead-of-time file"), "{}", stats.stderr);
    assert!(stats.stderr.contains("0 of "), "{}", stats.stderr);
    let files: Vec<_> = fs::read_dir(folder.path()).expect("there").collect();
    assert_eq!(files.len(), 1, "no temporary file is left: {files:?}");
}

#[test]
fn without_a_compiler_only_compiled_files_run() {
    refused(&off(&["run", "--no-jit", "--invoke", "add", "add.wat", "1", "2"]), "--no-jit");
}

#[test]
fn files_that_cannot_be_trusted_or_are_damaged_are_refused_by_name() {
    let folder = folder();
    let path = compiled(&folder);
    let good = fs::read(&path).expect("read");
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("own file");
    };
    set_mode(&path, 0o664);
    refused(&add(&path, &[]), "may be written by others");
    set_mode(&path, 0o644);
    set_mode(folder.path(), 0o777);
    refused(&add(&path, &[]), "its directory may be written by others");
    set_mode(folder.path(), 0o700);
    let link = folder.path().join("link.wcode");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    refused(&add(&link, &[]), "symbolic link");
    refused(&add(&path, &["--fuel", "1000"]), "does not count fuel");
    for (name, bytes) in [
        ("the header", [&good[..100], &[good[100] ^ 1], &good[101..]].concat()),
        ("the skeleton", {
            let mut bytes = good.clone();
            let at = bytes.windows(4).position(|window| window == b"\0asm").expect("a module");
            bytes[at + 20] ^= 1;
            bytes
        }),
        ("but says", good[..good.len() - 1].to_vec()),
        ("version", [&good[..8], &[9, 0, 0, 0], &good[12..]].concat()),
    ] {
        fs::write(&path, bytes).expect("written");
        refused(&add(&path, &[]), name);
    }
}

#[test]
fn the_output_of_compile_replaces_a_file_in_one_step() {
    let folder = folder();
    let path = compiled(&folder);
    let before = fs::metadata(&path).expect("there");
    assert_eq!(before.permissions().mode() & 0o022, 0, "nobody else may write it");
    let old = fs::File::open(&path).expect("opened");
    compiled(&folder);
    assert_eq!(old.metadata().expect("there").len(), before.len(), "the old file is as it was");
    let nowhere = folder.path().join("none/add.wcode");
    let args = ["compile", "add.wat", "-o", nowhere.to_str().expect("a name")];
    refused(&off(&args), "cannot write");
    refused(&off(&["compile", "none.wat", "-o", "x.wcode"]), "cannot read");
}

/// What a run with the cache says about functions loaded and compiled.
fn with_cache(cache: &Path, flags: &[&str], function: &str) -> String {
    let finished = run(
        cache,
        &[&["run", "--stats", "--invoke", function], flags, &["add.wat", "2", "40"]].concat(),
    );
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(!finished.stdout.is_empty(), "{finished:?}");
    finished.stderr
}

#[test]
fn the_second_run_compiles_nothing_and_the_cache_can_be_emptied() {
    let folder = folder();
    let cache = folder.path().join("cache");
    assert!(with_cache(&cache, &[], "add").contains("1 of "));
    let second = with_cache(&cache, &[], "add");
    assert!(second.contains("1 functions compiled earlier, 0 damaged"), "{second}");
    assert!(second.contains("0 of "), "{second}");
    for flags in [&["--no-cache"][..], &["--eager"], &["--tier", "optimizing"]] {
        let other = with_cache(&cache, flags, "add");
        assert!(other.contains("0 functions compiled earlier"), "{flags:?}: {other}");
    }
    let eager = with_cache(&cache, &["--eager"], "add");
    assert!(!eager.contains("loaded       0 functions") && eager.contains("0 of "), "{eager}");
    let status = run(&cache, &["cache", "status"]).stdout();
    assert!(status.contains("modules      3\n"), "{status}");
    prints(&run(&cache, &["cache", "clean", "--keep", "1G"]), "removed 0 B\n");
    assert!(run(&cache, &["cache", "clean"]).stdout().starts_with("removed "));
    let status = run(&cache, &["cache", "status"]).stdout();
    assert!(status.contains("modules      0\n"), "{status}");
    refused(&off(&["cache", "status"]), "switched off");
}

#[test]
fn others_may_look_at_what_lies_beside_the_default_cache() {
    let caches = folder();
    let beside = caches.path().join("wasmoor/programs");
    fs::create_dir_all(&beside).expect("a folder");
    fs::set_permissions(beside.parent().expect("it has one"), Permissions::from_mode(0o755))
        .expect("permissions");
    let mut command = Command::new(wasmoor());
    command.args(["run", "--invoke", "add", "add.wat", "2", "40"]).current_dir(guest::path(""));
    command.env_remove(CACHE_VARIABLE).env("XDG_CACHE_HOME", caches.path());
    let finished = finish(command, b"", LIMIT).expect("the command ends in time");
    prints(&finished, "42\n");
    assert!(finished.stderr.is_empty(), "{}", finished.stderr);
    let kept = fs::read_dir(caches.path().join("wasmoor/code")).expect("a cache").count();
    assert!(kept > 0, "nothing is kept");
}

#[test]
fn a_cache_that_cannot_be_trusted_is_named_once_and_not_used() {
    let folder = folder();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).expect("made");
    fs::set_permissions(&cache, Permissions::from_mode(0o770)).expect("own");
    let stderr = with_cache(&cache, &[], "add");
    let notes: Vec<&str> = stderr.lines().filter(|line| line.starts_with("note: ")).collect();
    assert_eq!(notes.len(), 1, "{stderr}");
    assert!(notes[0].contains("others have rights to it"), "{stderr}");
    assert_eq!(fs::read_dir(&cache).expect("there").count(), 0, "nothing is written to it");
    fs::set_permissions(&cache, Permissions::from_mode(0o700)).expect("own");
    let grant = cache.to_str().expect("a name");
    let stderr = with_cache(&cache, &["--dir", grant], "add");
    assert!(stderr.contains("the guest may write to"), "{stderr}");
    assert_eq!(fs::read_dir(&cache).expect("there").count(), 0, "nothing is written to it");
    // A file in the place of the directory.
    let file = folder.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(with_cache(&file, &[], "add").contains("note: no cache: "));
}

#[test]
fn two_processes_at_a_time_share_a_cache() {
    let folder = folder();
    let cache = folder.path().join("cache");
    std::thread::scope(|scope| {
        for function in ["add", "swap", "add", "swap"] {
            let cache = &cache;
            let args: &'static [&'static str] = match function {
                "add" => &["run", "--invoke", "add", "add.wat", "2", "40"],
                _ => &["run", "--invoke", "swap", "add.wat", "-7", "1.5"],
            };
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(run(cache, args).status.code(), Some(0));
                }
            });
        }
    });
    let stats = with_cache(&cache, &[], "add");
    assert!(stats.contains(" 0 damaged"), "{stats}");
    let left = fs::read_dir(&cache).expect("there").map(|file| file.expect("a file").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("tmp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A damaged entry costs a compilation, whatever is damaged.
#[test]
fn damaged_entries_do_not_show() {
    let folder = folder();
    let cache = folder.path().join("cache");
    with_cache(&cache, &[], "add");
    let entries = fs::read_dir(&cache).expect("there").map(|file| file.expect("a file").path());
    let is_code = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "wcode");
    let entry = entries.into_iter().find(is_code).expect("an entry");
    let good = fs::read(&entry).expect("read");
    for at in (0..good.len()).step_by(good.len() / 40 + 1) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x10;
        fs::write(&entry, damaged).expect("written");
        let args = ["run", "--invoke", "add", "add.wat", "2", "40"];
        prints(&run(&cache, &args), "42\n");
    }
}
