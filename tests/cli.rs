//! The command line meets bad input and bad luck: one clear message, the documented exit status, and
//! never a panic.

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasmoor_tests::binary::{CACHE_VARIABLE, Finished, finish, wasmoor};
use wasmoor_tests::guest;

const LIMIT: Duration = Duration::from_secs(60);

fn run_in(folder: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(wasmoor());
    command.args(args).current_dir(folder);
    finish(command, b"", LIMIT).expect("the command ends in time")
}

/// Runs `wasmoor` in the folder of the guests.
fn run(args: &[&str]) -> Finished {
    run_in(&guest::path(""), args)
}

/// Asserts the status and that standard error is one `error:` line that contains all the texts.
#[track_caller]
fn one_error(finished: &Finished, status: i32, texts: &[&str]) {
    assert_eq!(finished.status.code(), Some(status), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    errors(finished, status, texts);
}

#[track_caller]
fn errors(finished: &Finished, status: i32, texts: &[&str]) {
    assert_eq!(finished.status.code(), Some(status), "{finished:?}");
    assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    for text in texts {
        assert!(finished.stderr.contains(text), "no {text:?} in: {}", finished.stderr);
    }
}

#[test]
fn results_of_functions_are_printed() {
    for (args, stdout) in [
        (&["--invoke", "add", "add.wat", "2", "40"][..], "42\n"),
        (&["--invoke", "add", "add.wat", "-2", "0xff"], "253\n"),
        (&["--invoke", "swap", "add.wat", "-7", "1.5"], "1.5\n-7\n"),
        (&["--invoke", "nothing", "add.wat"], ""),
        (&["--eager", "--invoke", "add", "add.wat", "2", "40"], "42\n"),
        (&["--tier", "baseline", "--invoke", "add", "add.wat", "2", "40"], "42\n"),
        (&["--tier", "optimizing", "--invoke", "add", "add.wat", "2", "40"], "42\n"),
    ] {
        let finished = run(args);
        assert_eq!(finished.status.code(), Some(0), "{args:?}: {finished:?}");
        assert_eq!(finished.stdout(), stdout, "{args:?}");
    }
}

#[test]
fn a_function_that_ends_the_guest_has_no_results() {
    let folder = TempDir::new().expect("a folder");
    let ends = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "ends") (param i32) (result i32) (call $exit (local.get 0)) (i32.const 7)))"#;
    std::fs::write(folder.path().join("ends.wat"), ends).expect("the module");
    for (argument, status) in [("0", 0), ("256", 0), ("3", 3)] {
        let finished = run_in(folder.path(), &["--invoke", "ends", "ends.wat", argument]);
        assert_eq!((finished.status.code(), &*finished.stdout()), (Some(status), ""), "{argument}");
    }
}

#[test]
fn wrong_calls_are_explained() {
    for (args, texts) in [
        (&["--invoke", "ad", "add.wat", "1", "2"][..], &["no function `ad`", "`add`"][..]),
        (&["--invoke", "zzzzzz", "add.wat"], &["no function `zzzzzz`", "add"]),
        (&["--invoke", "store", "add.wat"], &["`store`", "memory 1"]),
        (&["--invoke", "add", "add.wat", "1"], &["`add`", "(i32, i32) -> i32", "1 was given"]),
        (&["--invoke", "add", "add.wat", "1", "x"], &["`x`", "i32"]),
        (&["--invoke", "add", "add.wat", "1", "4294967296"], &["`4294967296`", "i32"]),
    ] {
        one_error(&run(args), 1, texts);
    }
}

#[test]
fn the_guests_status_is_ours() {
    assert_eq!(run(&["exit.wat"]).status.code(), Some(7));
    assert_eq!(run(&["run", "exit.wat"]).stderr, "");
}

#[test]
fn traps_have_a_backtrace_with_names() {
    let finished = run(&["trap.wat"]);
    errors(&finished, 134, &["wasm trap: unreachable", "inner", "middle", "outer"]);
    let order = ["inner", "middle", "outer"].map(|name| finished.stderr.find(name));
    assert!(order.is_sorted(), "{}", finished.stderr);
    let finished = run(&["--invoke", "divide", "add.wat", "1", "0"]);
    errors(&finished, 134, &["wasm trap: integer divide by zero"]);
}

#[test]
fn every_missing_import_is_listed_with_its_type() {
    let finished = run(&["missing.wat"]);
    errors(
        &finished,
        1,
        &[
            "launch",
            "(i32, f64) -> i64",
            "space",
            "memory 3 9",
            "state",
            "(mut i64)",
            "calls",
            "table 4 funcref",
        ],
    );
}

#[test]
fn what_is_no_module_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
    };
    let module = guest::binary("wait.wat");
    write("empty.wasm", b"");
    write("picture.wasm", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    write("broken.wat", b"(module\n  (func i32.nonsense))\n");
    write("component.wasm", b"\0asm\x0d\0\x01\0");
    std::fs::create_dir(folder.path().join("folder.wasm")).expect("a folder");
    let zeroes = std::fs::File::create(folder.path().join("zeroes.wasm")).expect("a file");
    zeroes.set_len(1 << 30).expect("a sparse file");
    let huge = std::fs::File::create(folder.path().join("huge.wasm")).expect("a file");
    (&huge).write_all(&module).expect("a file");
    huge.set_len((1 << 30) + 1).expect("a sparse file");
    for command in ["run", "validate", "inspect"] {
        for (file, texts) in [
            ("empty.wasm", &["empty.wasm", "empty"][..]),
            ("picture.wasm", &["picture.wasm", "no WebAssembly module", "89 50 4e 47"]),
            ("broken.wat", &["broken.wat:2:9: ", "unknown operator"]),
            ("component.wasm", &["component.wasm", "component"]),
            ("folder.wasm", &["folder.wasm", "directory"]),
            ("zeroes.wasm", &["zeroes.wasm", "no WebAssembly module"]),
            ("huge.wasm", &["huge.wasm", "1073741825", "1073741824"]),
            ("absent.wasm", &["absent.wasm", "No such file"]),
        ] {
            one_error(&run_in(folder.path(), &[command, file]), 1, texts);
        }
    }
}

#[test]
fn a_module_cut_anywhere_is_refused() {
    let folder = TempDir::new().expect("a folder");
    let module = guest::binary("wait.wat");
    for len in (1..module.len()).step_by(7) {
        std::fs::write(folder.path().join("cut.wasm"), &module[..len]).expect("a file");
        let validated = run_in(folder.path(), &["validate", "cut.wasm"]);
        let ran = run_in(folder.path(), &["run", "cut.wasm"]);
        // Where a section ends, the rest may be missing without harm to the module's form.
        if validated.status.code() != Some(0) {
            one_error(&validated, 1, &["cut.wasm"]);
            one_error(&ran, 1, &["cut.wasm"]);
        }
        // Eight bytes are a sound module with nothing in it.
        assert!(ran.status.code() != Some(0) || len == 8, "{len}: {ran:?}");
    }
}

#[test]
fn usage_errors_have_status_2() {
    for (args, text) in [
        (&[][..], "Usage"),
        (&["--no-such-option", "a.wasm"], "--no-such-option"),
        (&["run", "--eagre", "trap.wat"], "--eager"),
        (&["run", "--timeout", "soon", "trap.wat"], "soon"),
        (&["completions", "tcsh"], "tcsh"),
    ] {
        let finished = run(args);
        assert_eq!(finished.status.code(), Some(2), "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(text), "{args:?}: {}", finished.stderr);
        assert_eq!(finished.stdout(), "");
    }
    one_error(&run(&["valdate", "trap.wat"]), 1, &["valdate", "validate"]);
    one_error(&run(&["run", "--dir", "no-such-folder", "exit.wat"]), 1, &["no-such-folder"]);
}

#[test]
fn help_goes_to_standard_output() {
    for args in [&["--help"][..], &["help", "run"], &["run", "--help"], &["--version"]] {
        let finished = run(args);
        assert_eq!(finished.status.code(), Some(0), "{args:?}: {finished:?}");
        let stdout = finished.stdout();
        assert!(stdout.contains("Usage: wasmoor") || stdout.contains("wasmoor 0."), "{args:?}");
        assert_eq!(finished.stderr, "");
    }
    let finished = run(&["completions", "bash"]);
    assert!(finished.stdout().contains("--max-memory"), "{finished:?}");
}

#[test]
fn memory_is_limited() {
    // 16 pages to begin with; 4 MiB are 64.
    assert_eq!(run(&["--max-memory", "4MiB", "memory.wat"]).status.code(), Some(48));
    let finished = run(&["--max-memory", "1000000", "memory.wat"]);
    one_error(&finished, 1, &["memory", "1048576", "1000000"]);
}

#[test]
fn time_is_limited() {
    for args in [&["--timeout", "1s", "spin.wat"][..], &["--eager", "--timeout", "1s", "spin.wat"]]
    {
        let start = Instant::now();
        errors(&run(args), 134, &["deadline exceeded"]);
        let elapsed = start.elapsed();
        assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
        assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    }
}

#[test]
fn a_guest_that_waits_is_limited_too() {
    let mut command = Command::new(wasmoor());
    command.args(["--timeout", "500ms", "wait.wat"]).current_dir(guest::path(""));
    let mut child = piped(&mut command);
    let start = Instant::now();
    // Standard input stays open and empty; waiting would close it.
    let _stdin = child.stdin.take();
    let status = child.wait().expect("the command ends");
    assert_eq!(status.code(), Some(134));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn fuel_is_limited() {
    errors(&run(&["--fuel", "100000", "spin.wat"]), 134, &["all fuel consumed"]);
    assert_eq!(run(&["--fuel", "100000", "exit.wat"]).status.code(), Some(7));
}

#[test]
fn endless_recursion_is_a_trap() {
    for args in [
        &["recurse.wat"][..],
        &["--eager", "recurse.wat"],
        &["--max-stack", "64KiB", "recurse.wat"],
        &["--max-stack", "64MiB", "recurse.wat"],
    ] {
        errors(&run(args), 134, &["call stack exhausted"]);
    }
}

/// Every call is a function's first, so the stack ends while a function is about to be compiled.
#[test]
fn endless_recursion_of_first_calls_is_a_trap() {
    let folder = TempDir::new().expect("a folder");
    let functions = 6000;
    let mut text = String::from("(module\n");
    for number in 0..functions {
        let next = (number + 1) % functions;
        let name = if number == 0 { "(export \"_start\")" } else { "" };
        text += &format!("(func $f{number} {name} (call $f{next}) (call $f{next}))\n");
    }
    text += ")\n";
    std::fs::write(folder.path().join("chain.wat"), text).expect("a file");
    for stack in ["64KiB", "100KiB", "128KiB"] {
        let finished = run_in(folder.path(), &["--max-stack", stack, "chain.wat"]);
        errors(&finished, 134, &["call stack exhausted"]);
    }
}

fn piped(command: &mut Command) -> Child {
    command
        .env(CACHE_VARIABLE, "off")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("standard output is a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    line
}

#[test]
fn closed_output_ends_a_guest_quietly() {
    let mut child = piped(Command::new(wasmoor()).arg(guest::path("yes.wat")));
    assert_eq!(first_line(&mut child), "y\n");
    drop(child.stdout.take());
    let status = child.wait().expect("the command ends");
    assert_eq!(status.signal(), Some(13), "{status:?}");
    let mut stderr = String::new();
    let pipe = child.stderr.as_mut().expect("standard error is a pipe");
    pipe.read_to_string(&mut stderr).expect("text");
    assert_eq!(stderr, "");
}

/// Under another number, on standard error, and for what the command itself prints.
#[test]
fn any_closed_output_ends_the_command_quietly() {
    let folder = TempDir::new().expect("a folder");
    let yes = std::fs::read_to_string(guest::path("yes.wat")).expect("the guest");
    let renumbered = yes
        .replace(
            "(memory",
            "(import \"wasi_snapshot_preview1\" \"fd_renumber\"
            (func $renumber (param i32 i32) (result i32))) (memory",
        )
        .replace("(loop $again", "(drop (call $renumber (i32.const 1) (i32.const 0))) (loop $again")
        .replace("(call $write (i32.const 1)", "(call $write (i32.const 0)");
    std::fs::write(folder.path().join("renumbered.wat"), renumbered).expect("a guest");
    let errors = yes.replace("(call $write (i32.const 1)", "(call $write (i32.const 2)");
    std::fs::write(folder.path().join("errors.wat"), errors).expect("a guest");
    for args in [&["renumbered.wat"][..], &["errors.wat"], &["config"], &["inspect", "errors.wat"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(wasmoor());
        command.args(args).current_dir(folder.path()).env(CACHE_VARIABLE, "off");
        let other = writer.try_clone().expect("a descriptor");
        command.stdin(Stdio::null()).stdout(writer).stderr(other);
        let status = command.status().expect("the command starts");
        assert_eq!(status.signal(), Some(13), "{args:?}: {status:?}");
    }
}

/// `errno` 64: the guest's to handle, as it is with sockets.
#[test]
fn a_pipe_in_a_mount_that_nobody_reads_is_an_error_of_the_call() {
    let folder = TempDir::new().expect("a folder");
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    let reader = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reader = rustix::fs::open(&fifo, reader, Mode::empty()).expect("its reader");
    let mut command = Command::new(wasmoor());
    command.args(["--dir", "."]).arg(guest::path("fifo.wat")).current_dir(folder.path());
    let mut child = piped(&mut command);
    assert_eq!(first_line(&mut child), "open\n");
    drop(reader);
    child.stdin.take().expect("a pipe").write_all(b"x").expect("a byte");
    let status = child.wait().expect("the command ends");
    assert_eq!(status.code(), Some(64), "{status:?}");
}

#[test]
fn an_interrupt_ends_a_guest() {
    let mut child = piped(Command::new(wasmoor()).arg(guest::path("spin.wat")));
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the signal is sent");
    let status = child.wait().expect("the command ends");
    assert_eq!(status.signal(), Some(2), "shells report 130: {status:?}");
}

#[test]
fn a_guest_may_overwrite_its_own_module() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("self.wasm"), guest::binary("overwrite.wat"))
        .expect("a file");
    let finished = run_in(folder.path(), &["--dir", ".", "self.wasm"]);
    assert_eq!(finished.status.code(), Some(9), "{finished:?}");
    let left = std::fs::read(folder.path().join("self.wasm")).expect("the file");
    assert_eq!(left, [0; 4096]);
}

#[test]
fn a_module_may_be_cut_while_it_runs() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("wait.wasm");
    std::fs::write(&path, guest::binary("wait.wat")).expect("a file");
    let mut child = piped(Command::new(wasmoor()).arg(&path));
    assert_eq!(first_line(&mut child), "ready\n");
    std::fs::File::create(&path).expect("the file is cut");
    child.stdin.take().expect("a pipe").write_all(b"x").expect("a byte");
    assert_eq!(first_line(&mut child), "done\n");
    assert!(child.wait().expect("the command ends").success());
}

#[test]
fn environment_and_arguments_reach_the_guest() {
    let folder = TempDir::new().expect("a folder");
    let vars = "# two\nB=2\n  C=three words\nWASMOOR_IS_NOT_SET\n";
    std::fs::write(folder.path().join("vars"), vars).expect("a file");
    std::fs::write(folder.path().join("echo.wasm"), guest::binary("echo.wat")).expect("a file");
    let args = ["--env", "A=1", "--env-file", "vars", "--argv0", "me", "echo.wasm", "--x", "y"];
    let finished = run_in(folder.path(), &args);
    assert_eq!(finished.stdout(), "me\0--x\0y\0B=2\0C=three words\0A=1\0", "{finished:?}");
    let finished = run_in(folder.path(), &["echo.wasm"]);
    assert_eq!(finished.stdout(), "echo.wasm\0", "nothing is granted by default");
}

#[test]
fn the_current_directory_is_granted_twice() {
    let folder = TempDir::new().expect("a folder");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    std::os::unix::fs::symlink("/", folder.path().join("out")).expect("a link");
    std::fs::write(inner.join("self.wasm"), b"old").expect("a file");
    let guest = folder.path().join("guest.wasm");
    std::fs::write(&guest, guest::binary("overwrite.wat")).expect("a file");
    // The guest opens self.wasm in its first directory: the grants come before the current one.
    let finished = run_in(&inner, &["--dir", ".::/w", "--cwd", "/w", "../guest.wasm"]);
    assert_eq!(finished.status.code(), Some(9), "{finished:?}");
    for (cwd, text) in [
        ("/elsewhere", "lies in no granted directory"),
        ("/w/../w", "contains `..`"),
        ("/w/out", "lies in no granted directory"),
        ("/w/absent", "absent"),
        ("/w/guest.wasm", "is no directory"),
    ] {
        let finished = run_in(folder.path(), &["--dir", ".::/w", "--cwd", cwd, "guest.wasm"]);
        one_error(&finished, 1, &[text]);
    }
    // A file and a link out of the grant, also where that has no name of its own.
    for grant in [".", "./", ".::/"] {
        for (cwd, text) in
            [("guest.wasm", "is no directory"), ("out", "lies in no granted directory")]
        {
            let finished = run_in(folder.path(), &["--dir", grant, "--cwd", cwd, "guest.wasm"]);
            one_error(&finished, 1, &[text]);
        }
    }
}

#[test]
fn the_current_directory_may_be_written_in_any_way() {
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir_all(folder.path().join("w/deep")).expect("a folder");
    std::fs::create_dir(folder.path().join("other")).expect("a folder");
    for grants in [&[".::."][..], &[".::/"], &["./::./"], &["w::w"], &["w::/w"], &["w::./w"]] {
        for cwd in ["w", "./w", "/w", "w/", "w/./deep", "/w//deep"] {
            let grants = grants.iter().flat_map(|grant| ["--dir", grant]);
            let mut args: Vec<&str> = grants.chain(["--cwd", cwd]).collect();
            let exit = guest::path("exit.wat");
            args.push(exit.to_str().expect("a path of text"));
            let finished = run_in(folder.path(), &args);
            assert_eq!(finished.stderr, "", "{args:?}: {finished:?}");
        }
    }
}

#[test]
fn a_read_only_grant_in_a_writable_one_is_refused() {
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir_all(folder.path().join("a/in")).expect("a folder");
    std::fs::create_dir(folder.path().join("b")).expect("a folder");
    let exit = guest::path("exit.wat");
    let exit = exit.to_str().expect("a path of text");
    let run =
        |grants: [&str; 2]| run_in(folder.path(), &["--dir", grants[0], "--dir", grants[1], exit]);
    for grants in [["a::/a", "a/in::/a/in:ro"], ["a/in::/a/in:ro", "a::/a"], ["a", "a::/b:ro"]] {
        one_error(&run(grants), 1, &["is read-only, but its host path lies in the one of `"]);
    }
    // Apart on the host, nested for the guest; and writable inside read-only.
    for grants in [["a::/a", "b::/a/in:ro"], ["a::/a:ro", "a/in::/a/in"]] {
        assert_eq!(run(grants).stderr, "", "{grants:?}");
    }
}

#[test]
fn a_read_only_grant_is_read_only() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("self.wasm"), guest::binary("overwrite.wat"))
        .expect("a file");
    let before = std::fs::read(folder.path().join("self.wasm")).expect("the file");
    for option in [["--dir", ".:ro"], ["--mapdir", "/w:.:ro"], ["--volume", ".:/w:ro"]] {
        let finished = run_in(folder.path(), &[option[0], option[1], "self.wasm"]);
        assert_eq!(finished.status.code(), Some(1), "{option:?}: {finished:?}");
        assert_eq!(finished.stderr, "", "the guest ends by itself");
    }
    assert_eq!(std::fs::read(folder.path().join("self.wasm")).expect("the file"), before);
}

#[test]
fn scripts_are_run_and_counted() {
    let folder = TempDir::new().expect("a folder");
    let module = "(module (func (export \"one\") (result i32) (i32.const 1)))";
    for (file, expected) in [("good.wast", 1), ("bad.wast", 2)] {
        let script = format!("{module}(assert_return (invoke \"one\") (i32.const {expected}))");
        std::fs::write(folder.path().join(file), script).expect("a file");
    }
    for more in [&[][..], &["--eager"], &["--tier", "optimizing", "--features", "wasm2"]] {
        let run = |file| run_in(folder.path(), &[&["wast"], more, &[file]].concat());
        let good = run("good.wast");
        assert_eq!(good.status.code(), Some(0), "{good:?}");
        assert!(good.stdout().contains("good.wast"), "{good:?}");
        let bad = run("bad.wast");
        one_error(&bad, 1, &["1 directives failed, 0 were skipped"]);
        assert!(bad.stdout().contains("expected i32 2"), "{bad:?}");
    }
    one_error(&run(&["wast", "absent.wast"]), 1, &["absent.wast"]);
}

#[test]
fn facts_and_summaries_are_printed() {
    let config = run(&["config"]);
    assert!(config.stdout().contains("proposals"), "{config:?}");
    // On a machine that has no room for them each access is compared.
    let memory64 =
        ["of 64 bits   clamped: 64.0 GiB or more and 6.0 GiB around", "of 64 bits   checked"];
    assert!(memory64.iter().any(|line| config.stdout().contains(line)), "{config:?}");
    let json = run(&["inspect", "--json", "add.wat"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["exports"][0]["name"], "add");
    assert!(run(&["inspect", "add.wat"]).stdout().contains("(i32, i32) -> i32"));
    assert_eq!(run(&["validate", "add.wat", "exit.wat"]).status.code(), Some(0));
    one_error(&run(&["validate", "add.wat", "absent.wat"]), 1, &["absent.wat"]);
}

#[test]
fn statistics_go_to_standard_error() {
    let finished = run(&["--stats", "exit.wat"]);
    assert_eq!(finished.status.code(), Some(7));
    for row in ["read", "validate", "compile", "instantiate", "run", "functions", "code", "memory"]
    {
        assert!(finished.stderr.contains(row), "no {row} in: {}", finished.stderr);
    }
}

/// A program that runs a function of some 80 KB for a time and leaves with status 7: the function
/// is hot after about 170 ms and compiled again for about half of that.
fn hot_program(milliseconds: u64) -> String {
    let step = "(local.set $x (i64.add (i64.mul (local.get $x) (i64.const 6364136223846793005))
        (i64.load8_u (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0xffff)))))";
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "clock_time_get"
                (func $clock (param i32 i64 i32) (result i32)))
            (memory (export "memory") 1)
            (func $hot (param $x i64) (result i64) {} (local.get $x))
            (func $now (result i64)
                (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 0)))
                (i64.load (i32.const 0)))
            (func (export "_start") (local $end i64)
                (local.set $end (i64.add (call $now) (i64.const {milliseconds}000000)))
                (loop $l
                    (drop (call $hot (i64.const 1)))
                    (br_if $l (i64.lt_u (call $now) (local.get $end))))
                (call $exit (i32.const 7))))"#,
        step.repeat(3_000)
    )
}

#[test]
fn a_program_may_end_while_its_code_is_made_anew() {
    let folder = TempDir::new().expect("a folder");
    for milliseconds in [100, 170, 190, 210, 230, 260, 300, 400] {
        let binary = wat::parse_str(hot_program(milliseconds)).expect("a module");
        std::fs::write(folder.path().join("hot.wasm"), binary).expect("the guest is written");
        let finished = run_in(folder.path(), &["hot.wasm"]);
        assert_eq!(finished.status.code(), Some(7), "after {milliseconds} ms: {finished:?}");
        assert_eq!(finished.stderr, "", "after {milliseconds} ms");
    }
}
