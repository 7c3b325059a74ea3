//! `wasmoor explore`: operators beside their code, of real programs and of hostile modules.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use wasmoor_tests::binary::{Finished, finish, wasmoor};
use wasmoor_tests::guest;
use xtask::corpus;

const LIMIT: Duration = Duration::from_secs(120);

fn explore_in(folder: &Path, args: &[&str]) -> Finished {
    let mut command = Command::new(wasmoor());
    command.arg("explore").args(args).current_dir(folder);
    finish(command, b"", LIMIT).expect("the command ends in time")
}

fn explore(args: &[&str]) -> Finished {
    explore_in(&guest::path(""), args)
}

#[track_caller]
fn succeeded(finished: &Finished) -> String {
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    finished.stdout()
}

#[test]
fn operators_stand_beside_the_code_of_each_tier() {
    let text = succeeded(&explore(&["--func", "divide", "add.wat"]));
    for part in ["`divide`", "baseline: ", "optimizing: ", "i32.div_s", "idiv", "poll"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // The operator's own line has code of both tiers.
    let line = text.lines().find(|line| line.contains("i32.div_s")).expect("the operator");
    assert!(line.split_whitespace().count() > 6, "{line}");
    for (tier, other) in [("baseline", "optimizing"), ("optimizing", "baseline")] {
        let text = succeeded(&explore(&["--tier", tier, "add.wat"]));
        assert!(text.contains(&format!("{tier}: ")) && !text.contains(other), "{text}");
        assert!(text.contains("trap: integer divide by zero"), "{text}");
        assert!(!text.contains("poll"), "one tier alone has no polls: {text}");
    }
}

#[test]
fn callees_are_named() {
    let text = succeeded(&explore(&["trap.wat"]));
    assert!(text.contains("slot of inner") && text.contains("slot of middle"), "{text}");
    let text = succeeded(&explore(&["memory.wat"]));
    assert!(text.contains("runtime: memory_grow"), "{text}");
    let text = succeeded(&explore(&["exit.wat"]));
    assert!(text.contains("calls $exit"), "{text}");
    // The offset of the import in the vmctx is no place in the code, though there is one like it.
    assert!(text.contains("mov rax, [r15+0x40]"), "{text}");
}

#[test]
fn functions_are_found_by_name_export_and_number() {
    for name in ["divide", "add", "0"] {
        let text = succeeded(&explore(&["--func", name, "add.wat"]));
        assert_eq!(text.lines().filter(|line| line.starts_with("function ")).count(), 1);
    }
    for (args, part) in [
        (&["--func", "dvide", "add.wat"][..], "similar: `divide`"),
        (&["--func", "99999", "add.wat"], "no function `99999`"),
        (&["--func", "0", "exit.wat"], "is imported"),
        (&["absent.wasm"], "absent.wasm"),
        (&["-o", "/absent/folder/x", "add.wat"], "cannot write `/absent/folder/x`"),
    ] {
        let finished = explore(args);
        assert_eq!(finished.status.code(), Some(1), "{args:?}: {finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
        assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
    }
}

#[test]
fn a_page_stands_alone() {
    let folder = TempDir::new().expect("a folder");
    std::fs::copy(guest::path("trap.wat"), folder.path().join("a&b.wat")).expect("a copy");
    let finished = explore_in(folder.path(), &["--html", "-o", "out.html", "a&b.wat"]);
    assert_eq!(succeeded(&finished), "");
    let page = std::fs::read_to_string(folder.path().join("out.html")).expect("the page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("<h1>a&amp;b.wat</h1>"));
    for remote in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(remote), "{remote}");
    }
    assert_eq!(page.matches("<div").count(), page.matches("</div>").count());
    assert_eq!(page.matches("<details").count(), page.matches("</details>").count());
}

#[test]
fn output_is_bounded_and_says_so() {
    let folder = TempDir::new().expect("a folder");
    let mut text = String::from("(module\n");
    for number in 0..4000 {
        let body = "local.get 0 i32.const 100000 i32.mul ".repeat(20) + &"drop ".repeat(20);
        let _ = writeln!(text, "(func $f{number} (param i32) {body})");
    }
    text += ")";
    std::fs::write(folder.path().join("many.wat"), text).expect("a file");
    for args in [&["many.wat"][..], &["--html", "many.wat"]] {
        let finished = explore_in(folder.path(), args);
        let listed = succeeded(&finished);
        assert!(listed.len() < 64 << 20, "{}", listed.len());
        assert!(finished.stderr.contains("of 4000 functions are shown"), "{}", finished.stderr);
    }
    let one = explore_in(folder.path(), &["--func", "f3999", "many.wat"]);
    assert!(succeeded(&one).contains("`f3999`") && one.stderr.is_empty(), "{}", one.stderr);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let folder = TempDir::new().expect("a folder");
    let functions =
        "(func (param i32) (result i32) local.get 0 i32.const 7 i32.add)\n".repeat(9000);
    std::fs::write(folder.path().join("a.wat"), format!("(module {functions})")).expect("a file");
    let mut command = Command::new(wasmoor());
    command.args(["explore", "--tier", "baseline", "a.wat"]).current_dir(folder.path());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let ended = child.wait_with_output().expect("the command ends");
    assert_eq!(ended.status.signal(), Some(13), "{ended:?}");
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("error"), "{ended:?}");
}

/// All functions of a program made by a real compiler, or the first that fit.
#[test]
fn a_real_program_is_listed() {
    let program = corpus::testdata().join("bench/regex/benchmark.wasm");
    if !program.is_file() {
        return guest::left_out("a program in C", &"no test data");
    }
    let program = program.display().to_string();
    let text = succeeded(&explore(&[&program]));
    assert!(text.contains("call_indirect") && text.contains("calls through a table"), "{program}");
    assert!(!text.contains("internal error"), "{program}");
}
