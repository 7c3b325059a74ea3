//! Threads of a WASIX guest, of which one forks or acts for a child while the others go on.

use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use wasmoor_tests::binary::{finish, wasmoor};

const LIMIT: Duration = Duration::from_secs(60);
const TIERS: [&str; 4] = ["auto", "baseline", "optimizing", "mixed:7"];

/// What the guest's function answers in each tier.
fn check(options: &[&str], root: Option<&Path>, function: &str, expected: &str) -> Result<()> {
    for tier in TIERS {
        let mut command = Command::new(wasmoor());
        command.args(["run", "--tier", tier, "--invoke", function]).args(options);
        if let Some(root) = root {
            command.arg("--dir").arg(format!("{}::/", root.display()));
        }
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("wasix/apart.wat"));
        let run = finish(command, b"", LIMIT)?;
        let (stdout, stderr) = (run.stdout(), &run.stderr);
        ensure!(stdout == format!("{expected}\n"), "{tier} {function}: {stdout}{stderr}");
    }
    Ok(())
}

#[test]
fn a_fork_does_not_wait_for_itself_when_a_bound_socket_is_closed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ["--net=unix:*", "--max-open-files", "1000"];
    check(&options, Some(folder.path()), "sockets_that_go", "200")
}
