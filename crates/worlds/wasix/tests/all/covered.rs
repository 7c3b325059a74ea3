//! Every call has its tests: `calls.txt` says which, and they are there.

use crate::calls;
use crate::common::{TIERS, engine};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use wasmoor::{Linker, Module};
use wasmoor_wasix::Thread;

const TABLE: &str = include_str!("calls.txt");
const NETWORK: &str = include_str!("../network_calls.rs");
const THREADS: &str = include_str!("threads.rs");

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests")
}

fn text(path: &str) -> String {
    let path = tests().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The names that a module of WASIX can import and one of preview 1 cannot, or with another meaning.
fn offered() -> BTreeSet<String> {
    let engine = engine(TIERS[0]);
    // Some are there for those that import them.
    let old = ["create", "destroy", "get", "set"].map(|what| format!("thread_local_{what}"));
    let imports = old.each_ref().map(|name| format!("(import \"wasix_32v1\" \"{name}\" (func))"));
    let module = Module::new(&engine, format!("(module {})", imports.concat())).expect("a module");
    let mut linker: Linker<Thread> = Linker::new(&engine);
    wasmoor_wasix::add_to_linker(&mut linker, &module).expect("no name twice");
    let mut preview1: Linker<wasmoor_wasi_p1::WasiCtx> = Linker::new(&engine);
    wasmoor_wasi_p1::add_to_linker(&mut preview1, |wasi| wasi).expect("no name twice");
    let known: BTreeSet<&str> = preview1.names().map(|(_, name)| name).collect();
    let other =
        ["fd_renumber", "poll_oneoff", "proc_raise", "sock_accept", "sock_recv", "sock_send"];
    let ours = linker.names().filter(|(module, _)| module.starts_with("wasi"));
    let new = ours.map(|(_, name)| name).filter(|name| !known.contains(name));
    new.chain(other).map(str::to_owned).collect()
}

/// The body of a function in a text, if it is there.
fn body<'a>(text: &'a str, function: &str) -> Option<&'a str> {
    let from = text.find(&format!("\nfn {function}("))? + 1;
    let len = text[from..].find("\n}\n")?;
    text.get(from..from + len)
}

/// Whether all words are in a text, each as a whole.
fn has_words<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let has = |word: &str| text.split(|letter| !is_part(letter)).any(|other| other == word);
    words.into_iter().all(has)
}

/// Whether a case of a guest of `tests/wasix` that imports the call has this outcome.
fn has_case(call: &str, case: &str, outcome: &str) -> bool {
    let listed = text("processes.rs");
    let ends = ["Answer", "Status"].map(|end| format!("(\"{case}\", {end}({outcome}))"));
    let is_listed = ends.iter().any(|line| listed.contains(line.as_str()));
    let guests = std::fs::read_dir(tests().join("wasix")).expect("the folder").flatten();
    let texts = guests.map(|guest| std::fs::read_to_string(guest.path()).unwrap_or_default());
    let import = format!("\"{call}\" (func");
    let mut texts = texts.map(|text| text.replace("\"\n    (func", "\" (func"));
    is_listed
        && texts.any(|text| {
            text.contains(&format!("(func (export \"{case}\")")) && text.contains(&import)
        })
}

/// Whether a guest makes the call, itself or by a header.
fn makes(guest: &str, call: &str) -> bool {
    let source = text(&format!("guests/{guest}.c"));
    let mut used = source.clone();
    for header in ["threaded.h", "posix.h", "wasix.h"] {
        if used.contains(&format!("#include \"{header}\"")) {
            used.push_str(&text(&format!("guests/{header}")));
        }
    }
    let is_made = used.contains(&format!("wx_{call}(")) || used.contains(&format!("p1_{call}("));
    is_made && tests().join(format!("guests/{guest}.out")).is_file()
}

/// Whether what a cell refers to is there.
fn is_there(call: &str, column: usize, reference: &str) -> bool {
    let (kind, rest) = reference.split_once(':').unwrap_or((reference, ""));
    let answers = || calls::answers(call);
    let quoted = format!("\"{call}\"");
    let in_body = |text: &str, rest: &str| {
        let (test, words) = rest.split_once(':').unwrap_or((rest, ""));
        let words = words.split(',').filter(|word| !word.is_empty());
        body(text, test).is_some_and(|body| {
            // The generic tests go by the list of calls.
            let names =
                body.contains(&quoted) || body.contains("in CALLS") && text.contains(&quoted);
            names && has_words(body, words)
        })
    };
    match (kind, column) {
        ("-", _) => true,
        ("rows", 1) => answers().contains(&0),
        ("rows", 2) => rest
            .split(',')
            .all(|name| calls::number(name).is_some_and(|number| answers().contains(&number))),
        ("rows", _) => answers().contains(&calls::MEMORY),
        ("net", _) => in_body(NETWORK, rest),
        // Their guests have one list of imports.
        ("threads", _) => THREADS.contains(&quoted) && body(THREADS, rest).is_some(),
        ("others", _) => text("wasix.rs").contains(&format!("/{rest}\"")),
        ("case", _) => {
            rest.split_once('=').is_some_and(|(case, outcome)| has_case(call, case, outcome))
        }
        ("like", _) => makes(rest, call),
        _ => false,
    }
}

#[test]
fn every_call_has_its_tests() {
    let mut listed = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{line}");
        let call = cells[0];
        listed.insert(call.to_owned());
        for (column, cell) in cells.iter().enumerate().skip(1) {
            let missing = cell.split_whitespace().filter(|what| !is_there(call, column, what));
            wrong.extend(missing.map(|what| format!("{call}: no {what}")));
        }
    }
    let offered = offered();
    wrong.extend(offered.difference(&listed).map(|call| format!("{call} is not in calls.txt")));
    wrong.extend(listed.difference(&offered).map(|call| format!("{call} is no call")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
