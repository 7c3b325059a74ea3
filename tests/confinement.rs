//! Guests of the command against what tries to mislead them: another process that swaps folders, a
//! terminal that is shared.

use rustix::fs::{CWD, OFlags, RenameFlags, fcntl_getfl, renameat_with};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasmoor_tests::binary::wasmoor;
use wasmoor_tests::guest;

/// How long the race lasts; `RACE_SECONDS` makes it shorter or longer.
fn race_time() -> Duration {
    let seconds = std::env::var("RACE_SECONDS").ok().map(|text| text.parse().expect("seconds"));
    Duration::from_secs_f64(seconds.unwrap_or(30.0))
}

/// What nobody may change, and whether somebody did.
fn facts(folder: &Path) -> Vec<(String, u64, u64, i64, i64, Vec<u8>)> {
    let names = ["", "file", "SECRET"].map(|name| folder.join(name));
    let mut facts: Vec<_> = names
        .iter()
        .map(|path| {
            let stat = fs::metadata(path).expect("it is there");
            let content = if stat.is_dir() { Vec::new() } else { fs::read(path).expect("a file") };
            let shown = path.display().to_string();
            (shown, stat.ino(), stat.nlink(), stat.mtime(), stat.mtime_nsec(), content)
        })
        .collect();
    let entries = fs::read_dir(folder).expect("a folder");
    for name in entries.map(|entry| entry.expect("an entry").file_name()) {
        facts.push((name.to_string_lossy().into_owned(), 0, 0, 0, 0, Vec::new()));
    }
    facts.sort();
    facts
}

/// Guests of each tier run in processes of their own, and this one swaps their folder for a link that
/// leads out. They share the folder, which makes their race only wilder.
#[test]
fn another_process_that_swaps_folders_wins_no_race() {
    let root = TempDir::new().expect("a folder");
    let (mount, secret) = (root.path().join("mount"), root.path().join("secret"));
    fs::create_dir_all(mount.join("swap/a")).expect("a folder");
    fs::write(mount.join("swap/file"), "public").expect("a file");
    fs::create_dir(&secret).expect("a folder");
    fs::write(secret.join("file"), "SECRET").expect("a file");
    fs::write(secret.join("SECRET"), "SECRET").expect("a file");
    symlink("../secret", mount.join("other")).expect("a link");
    let before = facts(&secret);

    let mut guests = ["auto", "baseline", "optimizing"].map(|tier| {
        let mut command = Command::new(wasmoor());
        command.args(["--tier", tier, "--dir"]).arg(&mount).arg(guest::path("race.wat"));
        (tier, command.stdin(Stdio::null()).spawn().expect("the command starts"))
    });
    let (swap, other) = (mount.join("swap"), mount.join("other"));
    let start = Instant::now();
    let mut all_run = true;
    while all_run && start.elapsed() < race_time() {
        for _ in 0..1000 {
            renameat_with(CWD, &swap, CWD, &other, RenameFlags::EXCHANGE).expect("a swap");
        }
        all_run = guests.iter_mut().all(|(_, guest)| guest.try_wait().expect("a state").is_none());
    }
    fs::write(mount.join("stop"), "").expect("a file");
    for (tier, guest) in &mut guests {
        let status = guest.wait().expect("the command ends");
        assert_eq!(status.code(), Some(0), "{tier}: see race.wat for the meaning");
    }
    assert_eq!(before, facts(&secret));
}

/// A terminal is known as one, read by lines, and not changed for those who share it.
#[test]
fn a_terminal_stays_as_it_is() {
    let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&host).expect("its other side");
    unlockpt(&host).expect("its other side");
    let name = ptsname(&host, Vec::new()).expect("its name");
    let name = name.to_str().expect("a path of text");
    // Without O_NOCTTY it would become the terminal of this process if that has none.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = || rustix::fs::open(name, flags, rustix::fs::Mode::empty()).expect("the terminal");
    let mut command = Command::new(wasmoor());
    let terminal = open();
    let shared = terminal.try_clone().expect("a number");
    command.arg(guest::path("terminal.wat")).stdin(terminal).stdout(open());
    let mut child = command.spawn().expect("the command starts");
    drop(command);
    rustix::io::write(&host, b"moor\n").expect("it is typed");
    let mut printed = String::new();
    // What is typed is echoed by the terminal, then printed by the guest.
    while printed.matches("moor\r\n").count() < 2 {
        let mut bytes = [0; 100];
        let got = rustix::io::read(&host, &mut bytes).expect("output");
        assert!(got > 0, "{printed:?}");
        printed.push_str(&String::from_utf8_lossy(&bytes[..got]));
    }
    let status = child.wait().expect("the command ends");
    assert_eq!(status.code(), Some(0), "see terminal.wat for the meaning");
    let flags = fcntl_getfl(&shared).expect("its flags");
    assert!(!flags.contains(OFlags::NONBLOCK), "the guest changed the host's terminal");
}

/// Each test that the list of known attacks names is there, each case is listed, and one without a
/// test says why.
#[test]
fn known_attacks_have_their_tests() {
    let root = xtask::process::workspace_root();
    let list = fs::read_to_string(root.join("docs/known-attacks.md")).expect("the list");
    let families = [("FS-", 16), ("SK-", 1), ("CG-", 22), ("RT-", 26)];
    let mut cases = Vec::new();
    let is_case = |line: &&str| {
        let case = line.strip_prefix("| ").unwrap_or_default();
        families.iter().any(|(family, _)| case.starts_with(family))
    };
    for row in list.lines().filter(is_case) {
        let columns: Vec<_> = row.split('|').map(str::trim).collect();
        cases.extend(columns[1].split(", ").map(str::to_owned));
        let tests = columns[columns.len() - 2];
        let reason = if columns.len() == 6 { columns[3] } else { "" };
        assert!(!tests.is_empty() || !reason.is_empty(), "neither a test nor a reason: {row}");
        // Between backquotes.
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(has_test(&root, test), "no {test}");
        }
    }
    let numbered = |(family, count)| (1..=count).map(move |number| format!("{family}{number:02}"));
    let expected: Vec<_> = families.into_iter().flat_map(numbered).collect();
    assert_eq!(cases, expected);
}

/// Whether `file: name` is a test.
fn has_test(root: &Path, test: &str) -> bool {
    let (file, name) = test.split_once(": ").expect("a file and a test");
    let places =
        [root.join("crates/worlds").join(file), root.join("crates").join(file), root.join(file)];
    let Some(path) = places.iter().find(|path| path.exists()) else { return false };
    let text = fs::read_to_string(path).expect("a source");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let heads = ["", " -> Result<()>"].map(|result| format!("fn {name}(){result} {{"));
    // Between the two may be a line on when it is built.
    lines.iter().enumerate().any(|(at, line)| {
        *line == "#[test]"
            && lines[at + 1..].iter().take(2).any(|next| heads.iter().any(|head| next == head))
    })
}
