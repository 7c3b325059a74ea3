//! The world that the command gives its guests: grants, limits, streams, sockets; and old programs
//! of others with what they print.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasmoor_tests::binary::{CACHE_VARIABLE, Finished, finish, wasmoor};
use wasmoor_tests::guest::{self, left_out};

const LIMIT: Duration = Duration::from_secs(60);
/// `errno` of preview 1.
const BADF: i32 = 8;
const NOSPC: i32 = 51;

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(wasmoor());
    command.args(args).current_dir(folder).env(CACHE_VARIABLE, "off");
    command
}

fn run_in(folder: &Path, args: &[&str]) -> Finished {
    finish(command(folder, args), b"", LIMIT).expect("the command ends in time")
}

fn run(args: &[&str]) -> Finished {
    run_in(&guest::path(""), args)
}

/// Runs with standard output going elsewhere; the status.
#[track_caller]
fn status_with_stdout(args: &[&str], stdout: Stdio) -> Option<i32> {
    let mut command = command(&guest::path(""), args);
    command.stdin(Stdio::null()).stdout(stdout);
    command.status().expect("the command starts").code()
}

#[test]
fn wrong_grants_are_explained() {
    for (args, status, texts) in [
        (&["--mapdir", "x"][..], 2, &["'x'", "expected GUEST:HOST[:ro]"][..]),
        (&["--volume", "/x"], 2, &["'/x'", "expected HOST:GUEST[:ro]"]),
        (&["--dir", "::"], 2, &["expected HOST[::GUEST][:ro]"]),
        (&["--tcplisten", "80"], 2, &["'80'", "expected HOST:PORT, such as 127.0.0.1:8080"]),
        (&["--max-open-files", "x"], 2, &["'x'", "--max-open-files"]),
        (&["--max-output", "x"], 2, &["`x` is no size; examples: 65536"]),
        (&["--dir", "absent"], 1, &["cannot mount the host path `absent`", "No such file"]),
        (&["--volume", "/absent:/x"], 1, &["`/absent`", "No such file"]),
        (&["--dir", "exit.wat/"], 1, &["`exit.wat/`", "Not a directory"]),
        (&["--dir", ".", "--cwd", "exit.wat"], 1, &["directory `exit.wat` is no directory"]),
        (&["--env-file", "absent"], 1, &["cannot read `absent`", "No such file"]),
        (&["--env-file", "hello.wat"], 1, &["`hello.wat`: line", "contains blanks"]),
        (&["--env", "WASMOOR_IS_NOT_SET"], 1, &["`WASMOOR_IS_NOT_SET` is not set"]),
        (&["--max-open-files", "2"], 1, &["the limit of open files", "3 descriptors"]),
    ] {
        let mut args = args.to_vec();
        args.push("exit.wat");
        let finished = run(&args);
        assert_eq!(finished.status.code(), Some(status), "{args:?}: {finished:?}");
        for text in texts {
            assert!(finished.stderr.contains(text), "{args:?}: no {text:?} in {finished:?}");
        }
    }
}

/// What a guest without a word of its own leaves to the command: the option that was missing.
#[test]
fn a_missing_grant_is_named_when_that_is_clear() {
    let open = |path: &str| {
        format!(
            r#"(module
                (import "wasi_snapshot_preview1" "path_open"
                    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (data (i32.const 16) "{path}")
                (func (export "_start")
                    (call $exit (call $open (i32.const 3) (i32.const 0) (i32.const 16)
                        (i32.const {}) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0)
                        (i32.const 8)))))"#,
            path.len()
        )
    };
    let folder = TempDir::new().expect("a folder");
    let put = |path: &str, text: &str| {
        std::fs::write(folder.path().join(path), text).expect("a file");
    };
    for name in ["in", "out", "in/deep"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    put("in/file", "");
    put("out/file", "");
    put("outside.wat", &open("../out/file"));
    put("inside.wat", &open("file"));
    put("absent.wat", &open("absent"));
    let none = "note: no directory was granted to the guest, and it looked for one; `--dir .` before \
                FILE grants the current one\n";
    let outside = "note: the guest asked for a path outside of what it was granted; `--dir DIR` \
                   before FILE grants another directory\n";
    let named = "note: `out/file` lies in no directory that was granted to the guest; `--dir out` \
                 before FILE grants it\n";
    let other = "note: the guest has the host's `in/file` under the path `/g/file`\n";
    for (args, stderr) in [
        (&["inside.wat"][..], none),
        (&["--dir", "in", "outside.wat"], outside),
        (&["--dir", "in", "absent.wat"], ""),
        (&["--dir", "in", "inside.wat"], ""),
        (&["--dir", "in", "inside.wat", "out/file"], ""),
        (&["--dir", "in", "absent.wat", "out/file"], named),
        (&["--dir", "in", "absent.wat", "--config=out/file"], named),
        (&["--dir", "in", "absent.wat", "in/file", "in/absent"], ""),
        (&["--dir", "in::/g", "absent.wat", "in/file"], other),
        (&["--dir", "in::/g", "absent.wat", "/g/file"], ""),
        (&["--dir", "in::/g", "--cwd", "/g", "absent.wat", "file", "deep"], ""),
        (&["--dir", ".", "absent.wat", "out/file"], ""),
    ] {
        assert_eq!(run_in(folder.path(), args).stderr, stderr, "{args:?}");
    }
}

#[test]
fn a_missing_grant_is_named_where_libraries_look_for_grants_only() {
    let finished = run(&["open_many.wat", "hello.wat"]);
    assert_eq!(finished.status.code(), Some(100));
    let note = "note: no directory was granted to the guest; `--dir .` before FILE grants the one \
                of `hello.wat`\n";
    assert_eq!(finished.stderr, note);
    let note = "note: no directory was granted to the guest, and it looked for one; `--dir .` before \
                FILE grants the current one\n";
    assert_eq!(run(&["open_many.wat", "absent"]).stderr, note);
    // A guest that opens nothing, and one that has what it needs.
    for args in [
        &["exit.wat", "hello.wat"][..],
        &["--max-open-files", "5", "--dir", ".", "open_many.wat", "hello.wat"],
    ] {
        assert_eq!(run(args).stderr, "", "{args:?}");
    }
}

#[test]
fn open_files_are_limited() {
    let folder = guest::path("");
    for max in ["4", "9", "50"] {
        let finished = run_in(&folder, &["--max-open-files", max, "--dir", ".", "open_many.wat"]);
        // Three streams and the grant are open from the start.
        let opened = max.parse::<i32>().expect("a number") - 4;
        assert_eq!(finished.status.code(), Some(opened), "{finished:?}");
    }
}

#[test]
fn output_is_limited() {
    let finished = run(&["--max-output", "2500", "fill.wat"]);
    assert_eq!(finished.status.code(), Some(NOSPC));
    assert_eq!(finished.stdout.len(), 2500);
    assert_eq!(finished.stderr, "");
}

#[test]
fn a_full_disk_and_a_closed_output_are_errors_of_the_guest() {
    let full = File::options().write(true).open("/dev/full").expect("a full device");
    assert_eq!(status_with_stdout(&["fill.wat"], full.into()), Some(NOSPC));
    let read_only = File::open("/dev/null").expect("a device");
    assert_eq!(status_with_stdout(&["fill.wat"], read_only.into()), Some(BADF));
}

/// The language's runtime puts `/dev/null` in place of streams that are closed when the command
/// starts, so nothing that is opened later gets their numbers, which is what matters.
#[test]
fn closed_streams_are_empty() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" --dir . \"$1\" <&- >&- 2>&-"]).arg(wasmoor());
    shell.arg("wait.wat").current_dir(guest::path(""));
    let finished = finish(shell, b"", LIMIT).expect("the command ends in time");
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

/// Deadlines end every call that waits, by the guest's own thread and not by the end of the process.
#[test]
fn waiting_ends_at_the_deadline() {
    for args in [&["wait.wat"][..], &["poll.wat", "s"], &["poll.wat", "i"], &["poll.wat", "b"]] {
        let args = [&["--timeout", "300ms"], args].concat();
        let mut command = command(&guest::path(""), &args);
        // A pipe that stays open and never delivers.
        let (reader, writer) = std::io::pipe().expect("a pipe");
        command.stdin(reader).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().expect("the command starts");
        let mut stderr = String::new();
        let pipe = child.stderr.as_mut().expect("a pipe");
        pipe.read_to_string(&mut stderr).expect("text");
        let status = child.wait().expect("the command ends");
        drop(writer);
        assert_eq!(status.code(), Some(134), "{args:?}: {stderr}");
        assert!(start.elapsed() >= Duration::from_millis(300), "{args:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "{args:?}");
        assert!(stderr.contains("deadline exceeded"), "{args:?}: {stderr}");
        assert!(stderr.contains("wasm backtrace"), "{args:?}: {stderr}");
    }
}

#[test]
fn accepting_ends_at_the_deadline() {
    let args = ["--timeout", "300ms", "--tcplisten", "127.0.0.1:0", "accept.wat"];
    let finished = run(&args);
    assert_eq!(finished.status.code(), Some(134), "{finished:?}");
    assert!(finished.stderr.contains("wasm backtrace"), "{finished:?}");
}

#[test]
fn a_guest_accepts_connections() {
    // Free a moment ago; another process could take it, so a few are tried.
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut command = command(&guest::path(""), &["--tcplisten", &address, "accept.wat"]);
        let mut child = command.spawn().expect("the command starts");
        let start = Instant::now();
        let connection = loop {
            match TcpStream::connect(&address) {
                Ok(connection) => break Some(connection),
                Err(_) if child.try_wait().expect("its state").is_some() => break None,
                Err(error) => assert!(start.elapsed() < LIMIT, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(mut connection) = connection {
            let mut text = String::new();
            connection.read_to_string(&mut text).expect("text");
            assert_eq!(text, "hello");
            assert!(child.wait().expect("the command ends").success());
            return;
        }
    }
    panic!("no port could be listened on");
}

#[test]
fn a_port_that_was_chosen_is_told() {
    let mut command = command(&guest::path(""), &["--tcplisten", "127.0.0.1:0", "accept.wat"]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the command starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("note: listening on ").expect("an address");
    let mut text = String::new();
    let mut connection = TcpStream::connect(address).expect("somebody listens");
    connection.read_to_string(&mut text).expect("text");
    assert_eq!(text, "hello");
    assert!(child.wait().expect("the command ends").success());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let finished = run(&["--tcplisten", &address, "exit.wat"]);
    assert_eq!(finished.status.code(), Some(1));
    let start = format!("error: cannot listen on `{address}`: ");
    assert!(finished.stderr.starts_with(&start), "{finished:?}");
}

/// A program of `wasix/wasi-snapshot` and what it does.
struct Program {
    args: &'static [&'static str],
    stdin: &'static str,
    status: i32,
    stdout: &'static str,
    /// Part of standard error.
    stderr: &'static str,
}

const PROGRAM: Program = Program { args: &[], stdin: "", status: 0, stdout: "", stderr: "" };

const PROGRAMS: &[Program] = &[
    Program { args: &["demo.wasm"], stdout: "hello world\n", ..PROGRAM },
    Program {
        args: &["cowsay.wasm", "moor"],
        stdout: " ______\n< moor >\n ------\n        \\   ^__^\n         \\  (oo)\\_______\n            \
                 (__)\\       )\\/\\\n               ||----w |\n                ||     ||\n",
        ..PROGRAM
    },
    Program {
        args: &["catsay.wasm", "moor"],
        stdout: " ______ \n< moor >\n ------ \n  \\                              _\n   \
                 \\                            | \\\n    \\                           | |\n     \
                 \\                          | |\n      \\    |\\                   | |\n       \
                 \\  /, ~\\                / /\n         X     `-.....-------./ /\n          \
                 ~-. ~  ~              |\n             \\             /    |\n              \
                 \\  /_     ___\\   /\n              | /\\ ~~~~~   \\ |\n              | | \
                 \\        || |\n              | |\\ \\       || )\n             (_/ (_/      \
                 ((_/\n",
        ..PROGRAM
    },
    Program {
        args: &["envvar.wasm"],
        stdout: "Env vars:\nDOG Err(NotPresent)\nDOG_TYPE Err(NotPresent)\nSET VAR Ok(\"HELLO\")\n",
        ..PROGRAM
    },
    Program {
        args: &["--env", "DOG=X", "--env", "TEST=VALUE", "--env", "DOG_TYPE=", "envvar.wasm"],
        stdout: "Env vars:\nDOG=X\nDOG_TYPE=\nTEST=VALUE\nDOG Ok(\"X\")\nDOG_TYPE Ok(\"\")\nSET VAR \
                 Ok(\"HELLO\")\n",
        ..PROGRAM
    },
    Program {
        args: &["mapdir.wasm"],
        status: 134,
        stderr: "failed to find a preopened file descriptor through which \\\".\\\" could be opened",
        ..PROGRAM
    },
    Program { args: &["pipe_reverse.wasm"], stdin: "moor\n", stdout: "\nroom\n", ..PROGRAM },
    Program { args: &["stdin-hello.wasm"], stdin: "Hello, stdin!\n", ..PROGRAM },
    Program {
        args: &["stdin-hello.wasm"],
        stdin: "Hello!\n",
        status: 134,
        stderr: "Assertion failed",
        ..PROGRAM
    },
    Program {
        args: &["qjs.wasm", "-e", "console.log([3, 1, 2].sort().map(x => x ** 40))"],
        stdout: "1,1099511627776,12157665459056929000\n",
        ..PROGRAM
    },
    Program { args: &["qjs.wasm", "-e", "std.exit(9)"], status: 9, ..PROGRAM },
    Program {
        args: &["test.wasm"],
        status: 1,
        stderr: "error: unknown import \"module\" \"external\": function ()",
        ..PROGRAM
    },
];

/// A link to each program in a fresh folder, so that grants of the current one are small.
fn snapshot() -> Option<TempDir> {
    let data = std::env::var_os("WASMOOR_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata"),
        Into::into,
    );
    let folder = data.join("wasix/wasi-snapshot");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            left_out(&format!("{}; set WASMOOR_TESTDATA", folder.display()), &error);
            return None;
        }
    };
    let copy = TempDir::new().expect("a folder");
    for entry in entries.map(|entry| entry.expect("an entry")) {
        std::os::unix::fs::symlink(entry.path(), copy.path().join(entry.file_name()))
            .expect("a link");
    }
    Some(copy)
}

/// `$WASMOOR_SEED` repeats a run of the mixed tier, whose name in a failure has the seed.
fn tiers() -> [String; 5] {
    let mixed = format!("--tier=mixed:{}", wasmoor::raw::seed());
    ["--tier=auto", "--eager", "--tier=baseline", "--tier=optimizing", &mixed].map(str::to_owned)
}

#[test]
fn old_programs_print_what_they_should() {
    let Some(folder) = snapshot() else { return };
    let mut wrong = Vec::new();
    for program in PROGRAMS {
        for tier in tiers() {
            let args = [&[tier.as_str()], program.args].concat();
            let command = command(folder.path(), &args);
            let finished = finish(command, program.stdin.as_bytes(), LIMIT).expect("it ends");
            if finished.status.code() != Some(program.status)
                || finished.stdout() != program.stdout
                || !finished.stderr.contains(program.stderr)
            {
                wrong.push(format!("{args:?}: {finished:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All forms of granting a folder as `.` and as `/` mean the same.
#[test]
fn a_folder_may_be_granted_in_any_form() {
    let Some(folder) = snapshot() else { return };
    let Some(expected) = folder.path().read_dir().ok().map(Iterator::count) else { return };
    for grant in [["--mapdir", ".:."], ["--dir", "."], ["--volume", ".:."], ["--dir", "./"]] {
        let finished = run_in(folder.path(), &[grant[0], grant[1], "mapdir.wasm"]);
        assert_eq!(finished.status.code(), Some(0), "{grant:?}: {finished:?}");
        let listed = finished.stdout().lines().filter(|line| line.contains(".wasm")).count();
        assert_eq!(listed, expected, "{grant:?}: {finished:?}");
    }
}

/// The benchmark's committed module is that of its source, and each of its loops works.
#[test]
fn the_benchmark_of_calls_runs() {
    let folder = xtask::process::workspace_root().join("benches/wasi");
    let mut sum = Command::new("sha256sum");
    sum.args(["--check", "bench.c.sha256"]).current_dir(&folder);
    let sum = finish(sum, b"", LIMIT).expect("it ends");
    assert!(sum.status.success(), "bench.c is newer than bench.wasm: run build.sh; {sum:?}");
    let data = TempDir::new().expect("a folder");
    std::fs::write(data.path().join("big"), vec![0; 1 << 20]).expect("a file");
    std::fs::create_dir(data.path().join("many")).expect("a folder");
    std::fs::write(data.path().join("many/0"), "").expect("a file");
    let module = folder.join("bench.wasm");
    let module = module.to_str().expect("a path of text");
    for bench in [
        "write_100",
        "pread_4k",
        "read_1g",
        "open_close",
        "readdir",
        "clock",
        "random_16",
        "random_256",
    ] {
        let finished = run_in(data.path(), &["--dir", ".::/data", module, bench, "/data", "1"]);
        assert!(finished.status.success(), "{bench}: {finished:?}");
        assert!(finished.stdout().starts_with(&format!("{bench} ")), "{finished:?}");
    }
    assert_eq!(std::fs::read(data.path().join("small")).expect("the file").len(), 100);
}
