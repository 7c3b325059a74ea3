//! What code the compilers make of the patterns that matter: each file in `tests/disas` has a
//! module and, behind it as comments, the code of its functions in each tier.
//!
//! ```text
//! ;;! polls = on                  directives, all optional: tiers = baseline | optimizing | both,
//! (module ...)                    memory = guarded | checked, polls = on | off, fuel = on | off
//!
//! ;;; baseline: function 0 `f`    what is expected, written by BLESS=1
//! ;;; local.get 0                 an operator, or `-` for none
//! ;;;         mov eax, esi        its code; what it may trap with, or whom it calls
//! ```
//!
//! Code is made for one CPU, whatever the machine has. `BLESS=1 cargo nextest run -p wasmoor-tests
//! --test disas` writes what is found into the files; read the difference before it is committed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use wasmoor_abi::{MemoryMode, Tunables};
use wasmoor_baseline::{BaselineCompiler, Cpu};
use wasmoor_codegen::FunctionCompiler;
use wasmoor_explore::{Maker, list, operators, text};
use wasmoor_module::{Features, Module};
use wasmoor_optimizing::{OptimizingCompiler, Options, Target};
use xtask::process;

/// Begins a line of a directive.
const DIRECTIVE: &str = ";;!";
/// Begins a line of what is expected.
const EXPECTED: &str = ";;;";

/// What a file asks for.
#[derive(Debug)]
struct Wanted {
    baseline: bool,
    optimizing: bool,
    tunables: Tunables,
}

impl Wanted {
    fn read(text: &str) -> Result<Wanted, String> {
        let tunables = Tunables { poll: false, ..Tunables::default() };
        let mut wanted = Wanted { baseline: true, optimizing: true, tunables };
        for line in text.lines().filter_map(|line| line.strip_prefix(DIRECTIVE)) {
            let (name, value) = line.split_once('=').ok_or_else(|| format!("no `=`: {line}"))?;
            let tunables = &mut wanted.tunables;
            match (name.trim(), value.trim()) {
                ("tiers", "both") => {}
                ("tiers", "baseline") => wanted.optimizing = false,
                ("tiers", "optimizing") => wanted.baseline = false,
                ("memory", "guarded") => {}
                ("memory", "checked") => {
                    (tunables.memory_mode, tunables.clamped64) = (MemoryMode::Checked, false);
                }
                ("polls", value) => tunables.poll = is_on(value)?,
                ("fuel", value) => tunables.fuel = is_on(value)?,
                _ => return Err(format!("unknown directive: {line}")),
            }
        }
        Ok(wanted)
    }

    fn compilers(&self) -> Vec<Box<dyn FunctionCompiler>> {
        let mut compilers: Vec<Box<dyn FunctionCompiler>> = Vec::new();
        if self.baseline {
            let cpu = Cpu { popcnt: true, lzcnt: true, bmi1: true, bmi2: true, fma: true };
            compilers.push(Box::new(BaselineCompiler::for_cpu(cpu).with_every_operator()));
        }
        if self.optimizing {
            let features = ["has_sse42", "has_popcnt", "has_lzcnt", "has_bmi1", "has_bmi2"];
            let target = Target::Named {
                triple: "x86_64-unknown-linux-gnu".into(),
                features: features.map(String::from).to_vec(),
            };
            let compiler = OptimizingCompiler::new(&Options { target, ..Options::default() });
            compilers.push(Box::new(compiler.expect("the backend knows the CPU")));
        }
        compilers
    }
}

fn is_on(value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("neither on nor off: {other}")),
    }
}

/// The part of a file before what is expected.
fn input(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.starts_with(EXPECTED));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    text.trim_end().to_owned() + "\n"
}

/// The file as it should be: its input and the code that comes of it.
fn found(text: &str) -> Result<String, String> {
    let input = input(text);
    let wanted = Wanted::read(&input)?;
    let bytes = wat::parse_str(&input).map_err(|error| error.to_string())?;
    let module =
        Module::parse(bytes, &Features::default(), 1).map_err(|error| error.to_string())?;
    let module = Arc::new(module);
    let funcs: Vec<_> = module.bodies.keys().collect();
    let operators = operators::read(&module, &funcs)?;
    let mut file = input;
    for compiler in wanted.compilers() {
        for func in &funcs {
            let mut makers = [Maker::new(&*compiler, wanted.tunables)];
            let operators = operators.get(func).cloned().unwrap_or_default();
            let listing = list(&module, *func, operators, &mut makers);
            let (index, name) = (listing.index, &listing.name);
            let _ = writeln!(file, "\n{EXPECTED} {}: function {index} `{name}`", compiler.name());
            for (_, machine) in &listing.tiers {
                let machine = machine.as_ref().map_err(ToString::to_string)?;
                for line in text::code(&listing.operators, machine).lines() {
                    let _ = writeln!(file, "{}", format!("{EXPECTED} {line}").trim_end());
                }
            }
        }
    }
    Ok(file)
}

/// Lines that differ, with some around them: `-` is expected, `+` is found.
fn difference(expected: &str, found: &str) -> String {
    const AROUND: usize = 3;
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    // Longest common subsequences of all ends; files have a few hundred lines.
    let mut common = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let mut lines = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    let is_near = |at: usize| {
        let around = at.saturating_sub(AROUND)..(at + AROUND + 1).min(lines.len());
        lines[around].iter().any(|(mark, _)| *mark != ' ')
    };
    let shown = (0..lines.len()).filter(|&at| is_near(at));
    shown.map(|at| format!("{}{}\n", lines[at].0, lines[at].1)).collect()
}

#[test]
fn code_is_as_expected() {
    let folder: PathBuf = process::workspace_root().join("tests/disas");
    let files = std::fs::read_dir(&folder).expect("the folder").map(|file| file.expect("a file"));
    let mut files: Vec<PathBuf> = files.map(|file| file.path()).collect();
    files.sort();
    assert!(files.len() >= 15, "{files:?}");
    let mut wrong = String::new();
    for path in files {
        let expected = std::fs::read_to_string(&path).expect("a text");
        let found = found(&expected).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &found).expect("the file can be written");
        } else if found != expected {
            let _ = writeln!(wrong, "{}:\n{}", path.display(), difference(&expected, &found));
        }
    }
    assert!(wrong.is_empty(), "other code than expected (BLESS=1 accepts it):\n{wrong}");
}

#[test]
fn other_code_than_expected_is_told() {
    let right = found("(module (func (param i32) (result i32) local.get 0))").expect("a module");
    assert!(right.contains(";;; baseline: function 0") && right.contains(";;; optimizing: "));
    let wrong = right.replacen("mov eax", "mov edx", 1);
    assert_ne!(wrong, right, "there is something to change");
    // Only the input counts, so the code comes out right again.
    assert_eq!(found(&wrong).expect("a module"), right);
    let told = difference(&wrong, &right);
    assert!(told.contains("\n-;;;") && told.contains("\n+;;;"), "{told}");
    assert!(difference(&right, &right).is_empty());
}

#[test]
fn directives_change_the_code_or_are_refused() {
    let module = "(module (memory 1) (func (param i32) (result i32) loop end
        local.get 0 i32.load))";
    let plain = found(module).expect("a module");
    for directive in ["memory = checked", "polls = on", "fuel = on", "tiers = baseline"] {
        let other = found(&format!(";;! {directive}\n{module}")).expect("a module");
        assert_ne!(other.lines().skip(1).collect::<Vec<_>>(), plain.lines().collect::<Vec<_>>());
    }
    for directive in ["memory", "polls = maybe", "colour = red"] {
        assert!(found(&format!(";;! {directive}\n{module}")).is_err(), "{directive}");
    }
}

/// The instructions of a function in the listing of a file, without operators.
fn instructions(listing: &str, tier: &str, function: &str) -> Vec<String> {
    let head = format!("{EXPECTED} {tier}: function ");
    let name = format!("`{function}`");
    let lines =
        listing.lines().skip_while(|line| !line.starts_with(&head) || !line.ends_with(&name));
    let lines = lines.skip(1).map_while(|line| line.strip_prefix(EXPECTED));
    let code = lines.filter(|line| line.starts_with("     "));
    code.map(|line| line.trim().to_owned()).collect()
}

fn disas_file(name: &str) -> String {
    let path = process::workspace_root().join("tests/disas").join(name);
    found(&std::fs::read_to_string(path).expect("a text")).expect("a module")
}

#[test]
fn hints_put_unlikely_code_behind() {
    let listing = disas_file("branch-hints.wat");
    for (function, is_behind) in [
        ("if_plain", false),
        ("if_unlikely", true),
        ("else_plain", false),
        ("if_likely", true),
        ("br_plain", false),
        ("br_likely", true),
    ] {
        let code = instructions(&listing, "optimizing", function);
        let at = |what: &str| code.iter().position(|line| line.ends_with(what));
        let (call, end) = (at("; calls $rare"), at("ret"));
        assert!(call.is_some() && end.is_some(), "{function}: {code:?}");
        assert_eq!(call > end, is_behind, "{function}: {code:?}");
    }
}

/// The instructions until the function returns, when no condition holds.
fn straight_way(code: &[String]) -> Vec<&str> {
    let mut way = Vec::new();
    let mut at = 0;
    while at < code.len() && way.len() <= code.len() {
        let line = code[at].split_once(": ").filter(|(label, _)| label.starts_with('L'));
        let line = line.map_or(&*code[at], |(_, line)| line);
        if line == "ret" {
            return way;
        }
        if let Some((_, label)) = line.split_once("jmp ") {
            let label = format!("{}: ", label.trim_start_matches("short "));
            let target = code.iter().position(|line| line.starts_with(&label));
            at = target.unwrap_or_else(|| panic!("no {label} in {code:?}"));
        } else {
            way.push(line);
            at += 1;
        }
    }
    panic!("no end: {code:?}");
}

/// What a function does outside of its frame and registers on the straight way, in order: calls,
/// conditional jumps, accesses to memory. Registers have no names.
fn effects(code: &[String]) -> Vec<String> {
    let is_register = |word: &str| (2..=4).contains(&word.len()) && word.starts_with(['r', 'e']);
    let is_effect = |line: &&str| {
        let is_in_frame = line.contains("[rsp") || line.contains("[rbp");
        line.starts_with("call ") || line.starts_with('j') || line.contains('[') && !is_in_frame
    };
    let nameless = |word: &str| {
        let name = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_register(name) { word.replacen(name, "R", 1) } else { word.to_owned() }
    };
    let effects = straight_way(code).into_iter().filter(is_effect);
    // Where a jump goes depends on the code behind.
    let effects = effects.map(|line| line.split_once(" L").map_or(line, |(jump, _)| jump));
    let words = |line: &str| {
        let words = line.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        words.map(nameless).collect()
    };
    effects.map(words).collect()
}

#[test]
fn a_try_block_is_neither_entered_nor_left_by_code() {
    let listing = disas_file("exceptions.wat");
    for tier in ["baseline", "optimizing"] {
        for (outside, inside) in [("outside", "inside"), ("outside_all", "inside_all")] {
            let outside = effects(&instructions(&listing, tier, outside));
            let inside = effects(&instructions(&listing, tier, inside));
            assert!(outside.iter().any(|line| line.ends_with("; calls $work")), "{outside:?}");
            assert_eq!(inside, outside, "{tier}");
        }
    }
}
