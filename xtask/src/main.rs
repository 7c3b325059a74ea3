//! `cargo xtask COMMAND`: dispatches to the tools of the library.

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test     formatting, clippy, tidy, all tests, doc tests, then the real programs
  tidy     checks of the tree that no compiler makes; part of `test`
  bench    times, beside the peers found under $PEERS: [steady] [startup] [--runs N] [--binary FILE]
           [--out FILE] [NAME...]
  guests   rebuilds the committed guest modules; names the toolchain that is missing
  fetch    downloads the real programs named in tests/programs/programs.toml [NAME...]
  demo     fetches a real program and runs it
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match command.as_str() {
        "test" => xtask::test::run(),
        "tidy" => xtask::tidy::run(),
        "bench" => xtask::bench::run(&rest),
        "guests" => xtask::guests::run(),
        "fetch" => xtask::programs::run(&rest),
        "demo" => xtask::demo::run(),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprint!("error: unknown command `{other}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
