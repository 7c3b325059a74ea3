//! Real programs give the output and the exit status that the manifest promises, on every tier.
//!
//! `$WASMOOR_SEED` repeats a run of the mixed tier, which prints its seed.
//!
//! The packages come from their registries; without a network the test names what it left out, and
//! fails in continuous integration.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wasmoor_tests::binary::{Finished, finish, wasmoor};
use wasmoor_tests::guest::left_out;
use xtask::programs::{self, Manifest, Program};

const LIMIT: Duration = Duration::from_secs(600);

fn manifest() -> Manifest {
    programs::manifest().expect("the manifest is sound")
}

/// Runs one program of the manifest in a folder of its own and compares what it prints.
#[track_caller]
fn check(name: &str, tier: &str) {
    let manifest = manifest();
    let program = manifest.program.iter().find(|p| p.name == name).expect("it is in the manifest");
    let fetched = {
        // Tests of several tiers want the same package.
        static FETCHING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
        programs::fetch(program)
    };
    let package = match fetched {
        Ok(package) => package,
        Err(error) => return left_out(name, &error),
    };
    let folder = TempDir::new().expect("a folder");
    let command = prepare(program, &package, folder.path(), tier);
    let start = Instant::now();
    let finished = finish(command, program.stdin.as_bytes(), LIMIT).expect("it ends in time");
    println!("{name}, {tier}: {:.2} s", start.elapsed().as_secs_f64());
    compare(program, &finished);
    for (path, text) in &program.writes {
        let path = path.replace("{tmp}", &folder.path().to_string_lossy());
        let content = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(content.contains(text), "no {text:?} in {path}: {content}");
    }
}

fn prepare(program: &Program, package: &Path, folder: &Path, tier: &str) -> Command {
    let place = |text: &str| {
        text.replace("{tmp}", &folder.to_string_lossy())
            .replace("{pkg}", &package.to_string_lossy())
    };
    for (path, content) in &program.files {
        std::fs::write(place(path), content).expect("a file of the program");
    }
    for (archive, target) in &program.unpack {
        let target = place(target);
        programs::untar(&package.join(archive), Path::new(&target)).expect("the archive unpacks");
    }
    let mut command = Command::new(wasmoor());
    command.args(["run", "--tier", tier]).current_dir(folder);
    for dir in &program.dirs {
        command.args(["--volume", &place(dir)]);
    }
    for (key, value) in &program.env {
        command.args(["--env", &format!("{key}={value}")]);
    }
    command.arg(package.join(&program.file)).args(&program.args);
    command
}

#[track_caller]
fn compare(program: &Program, finished: &Finished) {
    assert_eq!(finished.status.code(), Some(program.status), "{finished:?}");
    let stdout = finished.stdout();
    if let Some(expected) = &program.stdout {
        assert_eq!(&stdout, expected, "standard error: {}", finished.stderr);
    }
    for part in &program.stdout_contains {
        assert!(stdout.contains(part), "no {part:?} in {stdout:?}; {}", finished.stderr);
    }
    let promises = usize::from(program.stdout.is_some()) + program.stdout_contains.len();
    assert!(promises > 0, "the manifest promises no output of {}", program.name);
}

macro_rules! programs {
    ($($test:ident = $name:literal;)*) => {
        $( mod $test {
            #[test]
            fn auto() {
                super::check($name, "auto");
            }

            #[test]
            fn baseline() {
                super::check($name, "baseline");
            }

            #[test]
            fn optimizing() {
                super::check($name, "optimizing");
            }

            #[test]
            fn mixed() {
                super::check($name, &format!("mixed:{}", wasmoor::raw::seed()));
            }
        } )*

        #[test]
        fn program_list_is_complete() {
            let tested = [$($name),*];
            let named: Vec<String> = manifest().program.into_iter().map(|p| p.name).collect();
            assert_eq!(named, tested);
        }
    };
}

programs! {
    program_esbuild = "esbuild";
    program_python_3_12 = "python-3.12";
    program_php_cgi = "php-cgi-8.2";
    program_sqlite = "sqlite-3.26";
    program_python_3_11 = "python-3.11";
    program_icepll = "icepll";
    program_wasm_ld = "wasm-ld-8";
    program_yosys = "yosys";
}
