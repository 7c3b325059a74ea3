//! The `wasmoor` binary under test, and one run of it.
//!
//! `$WASMOOR_BIN` names the binary; else `cargo build` makes it, which does nothing when it is up to
//! date. It is the one built for development: its checks of overflow and its assertions find more,
//! and its dependencies, Cranelift above all, are optimized there too.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use xtask::process;

/// Path of the binary; built at the first call.
///
/// # Panics
/// It cannot be built: no test of it can pass.
#[must_use]
pub fn wasmoor() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("WASMOOR_BIN") {
        Some(path) => path.into(),
        None => {
            let made = build(&["--bin", "wasmoor"]).expect("the binary under test can be built");
            made.into_iter().next_back().expect("cargo names no executable")
        }
    })
}

/// Builds programs, and answers where they are.
///
/// # Errors
/// They cannot be built.
pub fn build(what: &[&str]) -> Result<Vec<PathBuf>> {
    let mut cargo = process::cargo();
    cargo.args(["build", "--quiet", "--message-format", "json"]).args(what);
    let messages = String::from_utf8(process::output(&mut cargo)?)?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    };
    Ok(messages.lines().filter_map(executable).collect())
}

/// What a process left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, as text.
    pub stderr: String,
}

impl Finished {
    /// Standard output as text.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The variable that names the directory of the cache.
pub const CACHE_VARIABLE: &str = "WASMOOR_CACHE_DIR";

/// Runs a command to its end and collects its output. The binary has no cache unless the command
/// names one: tests are of what is built now, and leave nothing behind.
///
/// # Errors
/// It cannot be started, or runs longer than `limit`; it is killed then.
pub fn finish(command: Command, stdin: &[u8], limit: Duration) -> Result<Finished> {
    run(command, Some(stdin), limit, drop).map(|(finished, ())| finished)
}

/// As [`finish`] with an input that never comes to anything, nor to its end.
///
/// # Errors
/// As [`finish`].
pub fn finish_with_open_stdin(command: Command, limit: Duration) -> Result<Finished> {
    run(command, None, limit, drop).map(|(finished, ())| finished)
}

/// As [`finish`] without input; `during` gets the number of the process when it has begun.
///
/// # Errors
/// As [`finish`].
pub fn finish_during<T>(
    command: Command,
    limit: Duration,
    during: impl FnOnce(u32) -> T,
) -> Result<(Finished, T)> {
    run(command, Some(b""), limit, during)
}

fn run<T>(
    mut command: Command,
    stdin: Option<&[u8]>,
    limit: Duration,
    during: impl FnOnce(u32) -> T,
) -> Result<(Finished, T)> {
    if !command.get_envs().any(|(name, _)| name == CACHE_VARIABLE) {
        command.env(CACHE_VARIABLE, "off");
    }
    let shown = format!("{command:?}");
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
    let begun = during(child.id());
    let mut input = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (status, stdout, stderr) = std::thread::scope(|scope| {
        // A program may end without reading its input.
        if let Some(stdin) = stdin {
            let input = input.take();
            scope.spawn(move || input.map(|mut input| input.write_all(stdin)));
        }
        let stdout = scope.spawn(move || drain(stdout));
        let stderr = scope.spawn(move || drain(stderr));
        let status = wait(&mut child, limit);
        (status, stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default())
    });
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    match status? {
        Some(status) => Ok((Finished { status, stdout, stderr }, begun)),
        None => bail!("{shown} ran longer than {limit:?}; it printed: {stderr}"),
    }
}

fn drain(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A broken pipe ends the output like its end does.
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

/// `None` if the limit passed; the child, which leads its own group, is dead then.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            // With its children, which would keep its output open.
            kill_process_group(Pid::from_child(child), Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
