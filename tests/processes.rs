//! Signals and processes of WASIX: guests with one function per case, whose answer is what it prints.

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use wasmoor_tests::binary::{CACHE_VARIABLE, Finished, finish, wasmoor};

const LIMIT: Duration = Duration::from_secs(60);
const TIERS: [&str; 4] = ["auto", "baseline", "optimizing", "mixed:7"];

fn guest(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wasix").join(name)
}

fn command(tier: &str, root: Option<&Path>, guest_name: &str, function: &str) -> Command {
    let options = ["--tier", tier, "--max-processes", "5"];
    command_with(&options, root, guest_name, function)
}

fn command_with(
    options: &[&str],
    root: Option<&Path>,
    guest_name: &str,
    function: &str,
) -> Command {
    let mut command = Command::new(wasmoor());
    command.arg("run").args(options).args(["--invoke", function]);
    if let Some(root) = root {
        command.arg("--dir").arg(format!("{}::/", root.display()));
    }
    command.arg(guest(guest_name)).env(CACHE_VARIABLE, "off");
    command
}

/// How a case ends.
#[derive(Clone, Copy)]
enum End {
    /// It answers a number.
    Answer(i32),
    /// It ends with this status.
    Status(i32),
}
use End::{Answer, Status};

fn check(guest_name: &str, cases: &[(&str, End)]) -> Result<()> {
    check_in(None, guest_name, cases)
}

/// The same with a folder of the host as the guest's root.
fn check_in(root: Option<&Path>, guest_name: &str, cases: &[(&str, End)]) -> Result<()> {
    for tier in TIERS {
        for &(function, end) in cases {
            let run = finish(command(tier, root, guest_name, function), b"", LIMIT)?;
            ensure_ends(&format!("{tier} {function}"), &run, end)?;
        }
    }
    Ok(())
}

fn ensure_ends(what: &str, run: &Finished, end: End) -> Result<()> {
    let shown = format!("{what}: {} {}", run.status, run.stderr);
    match end {
        Answer(number) => {
            ensure!(run.status.success(), "{shown}");
            ensure!(run.stdout() == format!("{number}\n"), "{shown}{}", run.stdout());
        }
        Status(status) => ensure!(run.status.code() == Some(status), "{shown}"),
    }
    Ok(())
}

#[test]
fn signals() -> Result<()> {
    check(
        "signals.wat",
        &[
            ("nested", Answer(32)),
            ("raise_default", Status(143)),
            ("raise_default_preview1", Answer(0)),
            ("raise_ignored", Answer(0)),
            ("raise_unknown", Answer(28)),
            ("raise_nothing", Answer(0)),
            ("kill_handled", Status(137)),
            ("handler_not_exported", Status(130)),
            ("handler_out_of_memory", Status(130)),
            ("thread_own", Answer(12)),
            ("thread_probe", Answer(0)),
            ("thread_missing", Answer(71)),
            ("thread_missing_probe", Answer(71)),
            ("thread_unknown", Answer(28)),
            ("process_own", Answer(12)),
            ("process_probe", Answer(0)),
            ("process_missing", Answer(71)),
            ("process_missing_probe", Answer(71)),
            ("process_unknown", Answer(28)),
            ("stack_pointer", Answer(11000)),
            ("timer_in_a_loop", Answer(14)),
            ("timer_again", Answer(1)),
            ("timer_unknown", Answer(28)),
            ("timer_ends", Status(142)),
            ("timer_in_a_sleep", Answer(271)),
            ("inherited", Answer(0)),
            ("inherited_at_the_end", Answer(78)),
        ],
    )
}

#[test]
fn checkpoints() -> Result<()> {
    check(
        "checkpoints.wat",
        &[
            ("twice", Answer(5)),
            ("zero_is_one", Answer(1)),
            ("copied", Answer(43)),
            ("depths", Answer(1000)),
            ("snapshot_outside", Answer(78)),
            ("value_outside", Answer(78)),
            ("at_the_end", Answer(10)),
            ("restore_outside", Status(134)),
            ("never_saved", Status(1)),
            ("changed", Status(1)),
            ("other_half_changed", Status(1)),
            ("user_changed", Answer(6)),
            ("out_of_a_raise", Answer(13)),
            ("out_of_a_loop", Answer(17)),
            ("out_of_a_sleep", Answer(17)),
            ("after_a_fork", Answer(43042)),
        ],
    )?;
    check("checkpoints_threads.wat", &[("own", Answer(42)), ("of_another", Status(1))])?;
    for (module, function) in
        [("checkpoints.wat", "never_saved"), ("checkpoints_threads.wat", "of_another")]
    {
        let run = finish(command("auto", None, module, function), b"", LIMIT)?;
        let says = "got a snapshot that this thread did not make, or whose function has returned";
        ensure!(
            run.stderr.contains(says) && run.stderr.contains("wasm backtrace"),
            "{}",
            run.stderr
        );
    }
    Ok(())
}

#[test]
fn processes() -> Result<()> {
    check(
        "processes.wat",
        &[
            ("status", Answer(1042)),
            ("any", Answer(1044)),
            ("own_memory", Answer(56)),
            ("numbers", Answer(57171)),
            ("parent_of_first", Answer(0)),
            ("without_waiting", Answer(3)),
            ("killed", Answer(2009)),
            ("ended_by_default", Answer(2015)),
            ("trapped", Answer(1134)),
            ("stopped", Answer(3197)),
            ("handled_in_the_child", Answer(111)),
            ("timers", Answer(7)),
            ("grandchild", Answer(21)),
            ("vfork", Answer(6)),
            ("no_child", Answer(12)),
            ("no_child_yet", Answer(12)),
            ("stranger", Answer(12)),
            ("flags_unknown", Answer(28)),
            ("fork_at_the_end", Answer(78)),
            ("join_at_the_end", Answer(78)),
            ("join_status_at_the_end", Answer(78)),
            ("parent_at_the_end", Answer(78)),
            ("parent_of_stranger", Answer(71)),
            ("limit", Answer(506)),
        ],
    )
}

#[test]
fn programs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    std::fs::write(root.join("child.wasm"), wat::parse_file(guest("child.wat"))?)?;
    std::fs::write(root.join("text"), "no module")?;
    std::fs::write(root.join("script"), "#!/child.wasm -x\nwhatever")?;
    std::fs::write(root.join("loop"), "#!/loop\n")?;
    std::fs::create_dir(root.join("dir"))?;
    check_in(
        Some(root),
        "programs.wat",
        &[
            ("exec", Status(30)),
            ("exec_missing", Status(127)),
            ("exec2", Status(32)),
            ("exec_at_the_end", Status(127)),
            ("exec2_missing", Status(127)),
            ("exec2_at_the_end", Status(127)),
            ("exec3", Status(32)),
            ("exec3_missing", Answer(44)),
            ("exec3_text", Answer(45)),
            ("exec3_dir", Answer(2)),
            ("exec3_script", Status(52)),
            ("exec3_loop", Answer(45)),
            ("exec3_search", Status(32)),
            ("exec3_here", Status(32)),
            ("exec3_search_missing", Answer(44)),
            ("exec3_at_the_end", Answer(78)),
            ("exec3_many_lines", Answer(1)),
            ("exec4", Status(31)),
            ("exec4_at_the_end", Answer(78)),
            ("kept", Status(132)),
            ("closed", Status(32)),
            ("spawn2", Answer(32)),
            ("spawn3", Answer(31)),
            ("spawn3_at_the_end", Answer(78)),
            ("spawn2_missing", Answer(441_012)),
            ("spawn2_at_the_end", Answer(78)),
            ("spawn2_steps", Answer(132)),
            ("spawn2_elsewhere", Answer(44)),
            ("spawn2_apart", Status(32)),
            ("spawn2_long_steps", Answer(1)),
            ("spawn2_in", Answer(32)),
            ("spawn2_in_bad", Answer(8)),
            ("spawn2_in_no_directory", Answer(54)),
            ("spawn2_unknown_step", Answer(58)),
            ("exec3_given_up", Answer(76)),
            ("spawn2_given_up", Answer(76)),
            ("spawn2_unknown_lookup", Answer(28)),
            ("spawn2_unknown_opening", Answer(28)),
            ("spawn2_unknown_status", Answer(28)),
            ("spawn2_unknown_extended", Answer(28)),
            ("spawn2_bad_step", Answer(81_012)),
        ],
    )?;
    assert!(!root.join("made").exists());
    assert_eq!(std::fs::read_to_string(root.join("out"))?.replace("child\n", ""), "");
    assert!(std::fs::metadata(root.join("out"))?.len() > 0);
    Ok(())
}

#[test]
fn children_that_are_made_when_their_program_begins() -> Result<()> {
    let folder = folder_with_child(&std::fs::read_to_string(guest("child.wat"))?)?;
    let spins = r#"(module (func (export "_start") (loop $l (br $l))))"#;
    std::fs::write(folder.path().join("spin.wasm"), wat::parse_str(spins)?)?;
    std::fs::create_dir(folder.path().join("dir"))?;
    check_in(
        Some(folder.path()),
        "vfork.wat",
        &[
            ("exec", Answer(1032)),
            ("exec_cannot_fail", Answer(1030)),
            ("exec_cannot_fail_missing", Answer(1127)),
            ("exec_missing", Answer(1126)),
            ("exit", Answer(9012)),
            ("numbers", Answer(1032)),
            ("killed", Answer(2137)),
            ("twice", Answer(1005)),
            ("limit", Answer(506)),
            ("pipe", Answer(61_032)),
            ("pipe_that_was_closed", Answer(2137)),
            ("at_the_end", Answer(78)),
        ],
    )
}

#[test]
fn the_first_form_of_spawn() -> Result<()> {
    let folder = folder_with_child(&std::fs::read_to_string(guest("child.wat"))?)?;
    std::fs::write(folder.path().join("cat.wasm"), wat::parse_file(guest("cat.wat"))?)?;
    std::fs::create_dir(folder.path().join("dir"))?;
    check_in(
        Some(folder.path()),
        "proc_spawn.wat",
        &[
            ("inherits", Answer(1030)),
            ("pipes", Answer(61_006)),
            ("nothing", Answer(1000)),
            ("elsewhere", Answer(1030)),
            ("nowhere", Answer(44)),
            ("missing", Answer(4404)),
            ("log", Answer(58)),
            ("own_root", Answer(58)),
            ("own_directories", Answer(58)),
            ("at_the_end", Answer(78)),
        ],
    )
}

#[test]
fn a_step_that_waits_ends_with_the_time() -> Result<()> {
    let folder = folder_with_child(r#"(module (func (export "_start")))"#)?;
    let directory = std::fs::File::open(folder.path())?;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(&directory, "fifo", rustix::fs::FileType::Fifo, mode, 0)?;
    for tier in TIERS {
        let options = ["--tier", tier, "--timeout", "500ms"];
        let root = Some(folder.path());
        // Standard error ends when all processes have.
        let run = finish(command_with(&options, root, "programs.wat", "spawn2_fifo"), b"", LIMIT)?;
        ensure!(run.status.code() == Some(134), "{tier}: {}", run.status);
        ensure!(run.stderr.matches("deadline exceeded").count() == 1, "{tier}: {}", run.stderr);
    }
    Ok(())
}

/// A folder with `child.wasm`, as `programs.wat` runs it.
fn folder_with_child(child: &str) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("child.wasm"), wat::parse_str(child)?)?;
    Ok(folder)
}

#[test]
fn programs_have_the_fuel_that_is_left() -> Result<()> {
    let folder = folder_with_child(&std::fs::read_to_string(guest("child.wat"))?)?;
    for tier in TIERS {
        let run = |fuel: u64| {
            let options = ["--tier", tier, "--fuel", &fuel.to_string(), "--stats"];
            let root = Some(folder.path());
            finish(command_with(&options, root, "programs.wat", "exec"), b"", LIMIT)
        };
        let enough = run(1_000_000)?;
        let used = enough.stderr.lines().find_map(|line| line.strip_prefix("fuel "));
        let used = used
            .and_then(|line| line.trim_start().split(' ').next())
            .context(enough.stderr.clone())?;
        let used: u64 = used.parse()?;
        for (fuel, status) in [(1_000_000, 30), (used, 30), (used - 1, 134)] {
            let run = run(fuel)?;
            ensure!(run.status.code() == Some(status), "{tier} {fuel}: {}", run.stderr);
        }
    }
    Ok(())
}

#[test]
fn fuel_is_for_one_process_unless_more_are_allowed() -> Result<()> {
    const AGAIN: i32 = 6;
    for (options, end) in [
        (&["--fuel", "1000000"][..], Answer(AGAIN)),
        (&["--fuel", "1000000", "--max-processes", "1"], Answer(106)),
        (&["--max-processes", "0"], Answer(AGAIN)),
    ] {
        let run = finish(command_with(options, None, "vfork.wat", "limit"), b"", LIMIT)?;
        ensure_ends(&format!("{options:?}"), &run, end)?;
    }
    Ok(())
}

#[test]
fn what_a_child_compiles_is_stored() -> Result<()> {
    let folder = folder_with_child(&std::fs::read_to_string(guest("child.wat"))?)?;
    for function in ["exec", "spawn2"] {
        let cache = tempfile::tempdir()?;
        // The program that runs the other is one of them.
        for expected in [2, 2] {
            let options = ["--tier", "auto"];
            let root = Some(folder.path());
            let mut command = command_with(&options, root, "programs.wat", function);
            command.env(CACHE_VARIABLE, cache.path().join("code"));
            let run = finish(command, b"", LIMIT)?;
            ensure!(!run.stderr.contains("error"), "{function}: {}", run.stderr);
            let stored = std::fs::read_dir(cache.path().join("code"))?.flatten();
            let is_module = |name: std::ffi::OsString| name.to_string_lossy().ends_with(".wcode");
            let stored = stored.filter(|entry| is_module(entry.file_name())).count();
            ensure!(stored == expected, "{function}: {stored} modules");
        }
    }
    Ok(())
}

#[test]
fn programs_have_the_time_that_is_left() -> Result<()> {
    let spins = r#"(module (func (export "_start") (loop $l (br $l))))"#;
    let folder = folder_with_child(spins)?;
    for tier in TIERS {
        let options = ["--tier", tier, "--timeout", "500ms"];
        let root = Some(folder.path());
        let run = finish(command_with(&options, root, "programs.wat", "exec"), b"", LIMIT)?;
        ensure!(run.status.code() == Some(134), "{tier}: {}", run.status);
        ensure!(run.stderr.contains("deadline exceeded"), "{tier}: {}", run.stderr);
    }
    Ok(())
}

#[test]
fn what_a_later_program_lacks_is_said_too() -> Result<()> {
    let lacks = r#"(module
        (import "wasix_32v1" "dlsym" (func (param i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")))"#;
    let folder = folder_with_child(lacks)?;
    let run = finish(command("auto", Some(folder.path()), "programs.wat", "exec"), b"", LIMIT)?;
    ensure!(run.status.success(), "{}", run.status);
    ensure!(
        run.stderr.contains("not supported, calls fail with ENOSYS: `dlsym`"),
        "{}",
        run.stderr
    );
    Ok(())
}

#[test]
fn a_blocking_read_ends_for_a_signal() -> Result<()> {
    for tier in TIERS {
        let mut command = command(tier, None, "signals.wat", "timer_in_a_read");
        // The other end stays open, so that nothing comes.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut child = Kept(child);
        let mut answer = String::new();
        child.0.stdout.take().context("a pipe")?.read_to_string(&mut answer)?;
        ensure!(answer == "271\n", "{tier}: {answer}");
    }
    Ok(())
}

/// A child that does not outlive the test.
struct Kept(std::process::Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a guest, waits until it says that it is ready, signals it; what it prints then, and how it
/// ends.
fn signalled(
    tier: &str,
    function: &str,
    signal: Signal,
) -> Result<(String, std::process::ExitStatus)> {
    let mut command = command(tier, None, "signals.wat", function);
    let mut child = Kept(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let mut stdout = BufReader::new(child.0.stdout.take().context("a pipe")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    ensure!(line == "ready\n", "{tier} {function}: {line}");
    kill_process(Pid::from_child(&child.0), signal)?;
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    Ok((rest, child.0.wait()?))
}

#[test]
fn signals_of_the_host_reach_guests_that_handle_them() -> Result<()> {
    for tier in TIERS {
        for function in ["of_the_host_in_a_loop", "of_the_host_in_a_sleep"] {
            for signal in [
                Signal::HUP,
                Signal::INT,
                Signal::USR1,
                Signal::USR2,
                Signal::ALARM,
                Signal::TERM,
                Signal::CHILD,
                Signal::WINCH,
            ] {
                let (answer, status) = signalled(tier, function, signal)?;
                let number = signal.as_raw();
                ensure!(answer == format!("{number}\n"), "{tier} {function} {number}: {answer}");
                ensure!(status.success(), "{tier} {function} {number}: {status}");
            }
        }
    }
    Ok(())
}

#[test]
fn without_a_handler_signals_of_the_host_do_what_they_do() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM, Signal::USR1] {
        let (_, status) = signalled("auto", "of_the_host_without_handler", signal)?;
        ensure!(status.signal() == Some(signal.as_raw()), "{status}");
    }
    Ok(())
}

/// Programs of 2023, by their own libraries; without them the test says so.
fn legacy() -> Option<PathBuf> {
    let folder = xtask::corpus::testdata().join("wasix/legacy-2023");
    if folder.is_dir() {
        return Some(folder);
    }
    wasmoor_tests::guest::left_out(&folder.display().to_string(), &"set WASMOOR_TESTDATA");
    None
}

#[test]
fn programs_of_2023_fork_and_run_others() -> Result<()> {
    let Some(modules) = legacy() else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("bin"))?;
    std::fs::write(folder.path().join("bin/echo"), wat::parse_file(guest("echo.wat"))?)?;
    for tier in TIERS {
        for (module, expected) in [
            ("example-fork.wasm", &["Parent has x = 0", "Child has x = 2", ") exited with 0"][..]),
            ("example-execve.wasm", &["Main program started", "hi-from-child", "hi-from-parent"]),
            ("crate-example-spawn.wasm", &["Child pid: ", "Child status 0"]),
            (
                "example-fork-longjmp.wasm",
                &["Parent has x = 0", "Child has x = 2", ") exited with 5"],
            ),
        ] {
            let mut command = Command::new(wasmoor());
            command.args(["run", "--tier", tier, "--dir"]);
            command.arg(format!("{}::/", folder.path().display())).arg(modules.join(module));
            let run = finish(command, b"", LIMIT)?;
            let stdout = run.stdout();
            for text in expected {
                ensure!(stdout.contains(text), "{tier} {module}: {stdout:?} {}", run.stderr);
            }
            ensure!(run.status.success(), "{tier} {module}: {} {}", run.status, run.stderr);
        }
    }
    Ok(())
}
