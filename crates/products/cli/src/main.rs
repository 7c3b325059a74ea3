//! The `wasmoor` command.
//!
//! `wasmoor FILE` is `wasmoor run FILE`. Exit status: the guest's; 134 for a trap; 1 for an error of
//! ours, with one line on standard error; 2 for wrong usage. Each subcommand is a module with one
//! `run` function; what a user reads goes through [`report`], so that all messages look alike.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::unreachable)
)]

mod args;
mod before;
mod cache;
mod compile;
mod config;
mod explore;
mod hints;
mod input;
mod inspect;
mod load;
mod mounts;
mod network;
mod outcome;
mod overdue;
mod progress;
mod proposals;
mod report;
mod run;
mod signals;
mod stats;
mod tier;
mod units;
mod validate;
mod values;
mod wast;
mod world;

use args::Command;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    before::restore_faults();
    let cli = match args::Cli::try_parse_from(args::with_default_command(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let result = match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Compile(args) => compile::run(&args),
        Command::Cache(command) => cache::run(&command),
        Command::Config => config::run(),
        Command::Completions { shell } => args::print_completions(shell),
        Command::Explore(args) => explore::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Wast(args) => wast::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(),
    }
}
