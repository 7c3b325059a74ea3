//! What other runtimes got wrong is right here: each fault that is known has a test.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use wasmoor_tests::guest;
use wasmoor_tests::server::command;

/// Whether a proof is there: `FILE.rs::TEST`, or `NAME_check.out: LINE`.
fn is_there(proof: &str) -> bool {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some((file, test)) = proof.split_once("::") {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        return text.contains(&format!("#[test]\nfn {test}()"));
    }
    let Some((record, line)) = proof.split_once(": ") else { return false };
    let Some(name) = record.strip_suffix(".out") else { return false };
    let is_run = fs::read_to_string(folder.join("alike.rs")).expect("it is in the tree");
    let text = fs::read_to_string(guest::path(record)).unwrap_or_default();
    is_run.contains(&format!("\"{name}\"")) && text.lines().any(|other| other == line)
}

#[test]
fn every_known_fault_has_its_test() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("wasix/faults.txt");
    let table = fs::read_to_string(table).expect("it is in the tree");
    let mut proofs = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let (fault, all) = line.split_once(" | ").expect("a fault and its proofs");
        for proof in all.split(" ; ") {
            assert!(is_there(proof), "{fault}: there is no `{proof}`");
            proofs += 1;
        }
    }
    assert!(proofs >= 28, "{proofs}");
}

/// There is no copy of the host's tree: names are those of the host, whatever the guest holds.
#[test]
fn what_the_host_does_to_names_is_seen() {
    for tier in ["auto", "baseline", "optimizing"] {
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("held"), "text").expect("a file");
        let dir = format!("{}::/", folder.path().display());
        let mut command = command(&["--tier", tier, "--dir", &dir, "held.wasm"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guest = command.spawn().expect("the command starts");
        let mut input = guest.stdin.take().expect("it is piped");
        let mut lines = BufReader::new(guest.stdout.take().expect("it is piped")).lines();
        let mut line = || lines.next().expect("it prints").expect("it prints text");
        assert_eq!(line(), "ready", "{tier}");
        let mut sees = |expect: &str| {
            input.write_all(b"x").expect("it reads");
            assert_eq!(line(), expect, "{tier}");
        };
        sees("has 4 bytes, 1 links, held 4, moved ENOENT");
        fs::rename(at("held"), at("moved")).expect("it is ours");
        sees("has 4 bytes, 1 links, held ENOENT, moved 4");
        fs::write(at("held"), "another").expect("a file");
        sees("has 4 bytes, 1 links, held 7, moved 4");
        fs::remove_file(at("moved")).expect("it is ours");
        sees("has 4 bytes, 0 links, held 7, moved ENOENT");
        fs::remove_file(at("held")).expect("it is ours");
        sees("has 4 bytes, 0 links, held ENOENT, moved ENOENT");
        drop(input);
        assert!(guest.wait().expect("it ends").success(), "{tier}");
    }
}
