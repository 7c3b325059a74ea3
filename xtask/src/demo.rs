//! `cargo xtask demo`: the main job on real programs, with nothing but Rust and one registry client.

use crate::process;
use crate::programs::{self, Program};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::Stdio;

/// What the demonstration runs: name in the manifest, other arguments, standard input.
struct Act {
    program: &'static str,
    args: &'static [&'static str],
    stdin: &'static str,
}

const ACTS: &[Act] = &[
    Act {
        program: "python-3.12",
        args: &[
            "-c",
            "import sys, hashlib; print(sys.version); print(hashlib.sha256(b'wasmoor').hexdigest())",
        ],
        stdin: "",
    },
    Act {
        program: "esbuild",
        args: &["--loader=ts", "--minify"],
        stdin: "const greet = (name: string): string => `hello, ${name}`;\nconsole.log(greet('world'));\n",
    },
];

/// Builds the command line, fetches the programs and runs them.
///
/// # Errors
/// A program cannot be fetched, or fails.
pub fn run() -> Result<()> {
    if !process::exists("npm") {
        bail!("the programs come from npm: install it first (`apt-get install npm`)");
    }
    process::run(process::cargo().args(["build", "--quiet", "--release", "--bin", "wasmoor"]))?;
    let manifest = programs::manifest()?;
    for act in ACTS {
        let program = manifest
            .program
            .iter()
            .find(|program| program.name == act.program)
            .with_context(|| format!("{} is not in the manifest", act.program))?;
        play(act, program)?;
    }
    Ok(())
}

fn play(act: &Act, program: &Program) -> Result<()> {
    let module = programs::fetch(program)?.join(&program.file);
    println!("$ wasmoor run {} {}", module.display(), act.args.join(" "));
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--release", "--bin", "wasmoor", "--", "run"]);
    let mut child = command.arg(&module).args(act.args).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(act.stdin.as_bytes())?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", program.name);
    }
    println!();
    Ok(())
}
