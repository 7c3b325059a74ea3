//! The arguments of the command, as `clap` sees them.
//!
//! Whatever follows FILE belongs to the guest, options included.

use crate::mounts::{self, EnvVar, Mount};
use crate::network::{self, Net};
use crate::proposals::Proposals;
use crate::report::{self, Failure};
use crate::tier::TierParser;
use crate::units;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use wasmoor::{Features, Tier};
use wasmoor_host::net::Published;

const AFTER_HELP: &str = "\
`wasmoor FILE` is `wasmoor run FILE`. FILE may be binary (.wasm), text (.wat) or compiled (.wcode); `-` is standard input.
Exit status: the guest's; 134 for a trap; 1 for an error; 2 for wrong usage.";

/// Runs WebAssembly programs.
#[derive(Debug, Parser)]
#[command(name = "wasmoor", bin_name = "wasmoor", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program
    Run(Box<Run>),
    /// Compile a program ahead of time, to a file that `run` takes
    Compile(Compile),
    /// Show or remove what is kept of earlier runs
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Check that modules are valid, without running them
    Validate(Validate),
    /// Show imports, exports, sizes and the proposals that a module uses
    Inspect(Inspect),
    /// Show functions beside the machine code that they become
    Explore(Explore),
    /// Run scripts of the official test suite (.wast)
    Wast(Wast),
    /// Show what this build does on this machine
    Config,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// `wasmoor run`
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Grant a directory or a file of the host; the guest knows it by the same path, or as GUEST. With
    /// `:ro` it may only read. A guest reaches no file that is not granted
    #[arg(long, value_name = "HOST[::GUEST][:ro]", value_parser = mounts::parse_dir, help_heading = "Grants")]
    pub(crate) dir: Vec<Mount>,
    /// As --dir, with the guest's path first
    #[arg(long, value_name = "GUEST:HOST[:ro]", value_parser = mounts::parse_mapdir, help_heading = "Grants")]
    pub(crate) mapdir: Vec<Mount>,
    /// As --dir, with one colon between
    #[arg(long, value_name = "HOST:GUEST[:ro]", value_parser = mounts::parse_volume, help_heading = "Grants")]
    pub(crate) volume: Vec<Mount>,
    /// Set a variable of the guest's environment; without VALUE, to what it is here, where it must be set.
    /// The guest has no other variables
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = mounts::parse_env, help_heading = "Grants")]
    pub(crate) env: Vec<EnvVar>,
    /// Set variables from the lines of a file, as `docker run` does
    #[arg(long, value_name = "FILE", help_heading = "Grants")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Start the guest in this directory, a path of the guest inside a granted one
    #[arg(long, value_name = "PATH", help_heading = "Grants")]
    pub(crate) cwd: Option<String>,
    /// Listen on an address; the guest accepts the connections. Its first listener is descriptor 3, plus
    /// one for each --dir, --mapdir and --volume, plus one with --cwd; port 0 means any that is free
    #[arg(long, value_name = "HOST:PORT", value_parser = mounts::parse_listen, help_heading = "Grants")]
    pub(crate) tcplisten: Vec<String>,
    /// Grant the network: everything, or what RULES say, such as `connect:example.com:443`
    #[arg(long, value_name = "RULES", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = network::parse_net, help_heading = "Grants")]
    pub(crate) net: Vec<Net>,
    /// Let what the guest binds at its port GUEST be reached at the port HOST
    #[arg(long, value_name = "[ADDR:]HOST:GUEST[/udp]", value_parser = clap::value_parser!(Published), help_heading = "Grants")]
    pub(crate) publish: Vec<Published>,

    /// Call this exported function; its arguments follow FILE
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) invoke: Option<String>,
    /// The program's name as the guest sees it [default: the name of FILE]
    #[arg(long, value_name = "NAME")]
    pub(crate) argv0: Option<String>,

    /// Stop after so many instructions (all but `block`, `loop`, `end`, `else` and `nop` count)
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) fuel: Option<u64>,
    /// Stop after this time, also while the guest waits: 500ms, 1.5s, 2m
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, help_heading = "Limits")]
    pub(crate) timeout: Option<Duration>,
    /// The most linear memory that the guest may have: 64MiB, 1G [default: what its module says]
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, help_heading = "Limits")]
    pub(crate) max_memory: Option<u64>,
    /// The most elements that the guest's tables may have together
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_table: Option<u64>,
    /// The most files that the guest may have open at a time; standard streams and grants count
    /// [default: 4096]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_open_files: Option<u64>,
    /// The most sockets that the guest may have at a time
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_sockets: Option<u64>,
    /// The most threads that a WASIX guest may have at a time besides its first; with --fuel none
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Limits")]
    pub(crate) max_threads: u32,
    /// The most processes that a WASIX guest may have at a time besides its first; each has all other
    /// limits for itself, but for the time [default: 256, with --fuel 0]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) max_processes: Option<u32>,
    /// The most bytes that the guest may write, to files, streams and sockets together; each file,
    /// directory or link that it creates counts as 4 KiB
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, help_heading = "Limits")]
    pub(crate) max_output: Option<u64>,
    /// The most stack that calls of the guest's functions may take, 64KiB to 4GiB
    #[arg(long, value_name = "SIZE", value_parser = stack_size, default_value = "1MiB", help_heading = "Limits")]
    pub(crate) max_stack: u64,

    /// Which compiler makes the code
    #[arg(long, value_parser = TierParser, default_value = "auto", help_heading = "Compilation")]
    pub(crate) tier: Tier,
    /// Compile all functions before the start, rather than each at its first call
    #[arg(long, help_heading = "Compilation")]
    pub(crate) eager: bool,
    /// Neither use nor keep code of other runs
    #[arg(long, help_heading = "Compilation")]
    pub(crate) no_cache: bool,
    /// Make no code: run only what `wasmoor compile` made
    #[arg(long, conflicts_with = "eager", help_heading = "Compilation")]
    pub(crate) no_jit: bool,
    #[command(flatten)]
    pub(crate) proposals: Proposals,
    /// Print to standard error where time and memory went
    #[arg(long)]
    pub(crate) stats: bool,

    /// The module, then the guest's arguments
    #[arg(
        value_names = ["FILE", "ARGS"],
        required = true,
        trailing_var_arg = true,
        num_args = 1..
    )]
    pub(crate) file_and_args: Vec<OsString>,
}

/// `wasmoor compile`
#[derive(Args, Debug)]
pub(crate) struct Compile {
    /// The module
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The file to write, `.wcode` by custom
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Which compiler makes the code; `auto`: the optimizing one where it can
    #[arg(long, value_parser = TierParser, default_value = "auto")]
    pub(crate) tier: Tier,
    /// Make code that counts fuel, for `run --fuel`
    #[arg(long)]
    pub(crate) fuel: bool,
}

/// `wasmoor cache`
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show where the cache is and what it holds
    Status,
    /// Remove everything, or what was used longest ago
    Clean {
        /// Leave this much: 100MiB, 1G
        #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
        keep: Option<u64>,
    },
}

/// `wasmoor validate`
#[derive(Args, Debug)]
pub(crate) struct Validate {
    #[command(flatten)]
    pub(crate) proposals: Proposals,
    /// The modules
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// `wasmoor inspect`
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The module
    pub(crate) file: PathBuf,
}

/// `wasmoor explore`
#[derive(Args, Debug)]
pub(crate) struct Explore {
    /// Whose code is shown
    #[arg(long, value_enum, default_value_t = ShownTier::Both)]
    pub(crate) tier: ShownTier,
    /// Only this function: a name, or its number among all functions
    #[arg(long, value_name = "NAME|INDEX")]
    pub(crate) func: Option<String>,
    /// Make an HTML page rather than text
    #[arg(long)]
    pub(crate) html: bool,
    /// Write to this file rather than to standard output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// The module
    pub(crate) file: PathBuf,
}

/// Whose code is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShownTier {
    /// The baseline compiler's, as with `run --tier baseline`
    Baseline,
    /// The optimizing compiler's
    Optimizing,
    /// Both, as with `run --tier auto`: baseline code has polls, which tell what is hot
    Both,
}

/// `wasmoor wast`
#[derive(Args, Debug)]
pub(crate) struct Wast {
    /// Which compiler makes the code
    #[arg(long, value_parser = TierParser, default_value = "auto")]
    pub(crate) tier: Tier,
    /// How instances get their memory
    #[arg(long, value_enum, default_value_t = Allocator::OnDemand)]
    pub(crate) allocator: Allocator,
    /// How accesses to linear memories are kept in bounds
    #[arg(long, value_enum, default_value_t = MemoryMode::Auto)]
    pub(crate) memory: MemoryMode,
    /// Compile all functions before the start
    #[arg(long)]
    pub(crate) eager: bool,
    /// Which proposals modules may use: wasm1, wasm2, wasm3 or default
    #[arg(long, value_name = "SET", value_parser = features, default_value = "default")]
    pub(crate) features: Features,
    #[command(flatten)]
    pub(crate) proposals: Proposals,
    /// The scripts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// How accesses to linear memories are kept in bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MemoryMode {
    /// Guard regions where the machine grants the address space, else checks
    Auto,
    /// Guard regions
    Guard,
    /// Explicit checks
    Checked,
}

/// How instances get their memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allocator {
    /// Each instance maps its own
    OnDemand,
    /// One instance's memory serves the next
    Pooling,
    /// As pooling, in few mappings
    Dense,
}

fn features(name: &str) -> Result<Features, String> {
    Features::from_name(name).ok_or_else(|| "expected wasm1, wasm2, wasm3 or default".to_owned())
}

/// Stacks below this cannot hold the frames of one host call.
const STACK_BYTES_MIN: u64 = 64 << 10;
/// More than this is a mistake, and would not be granted by many machines.
const STACK_BYTES_MAX: u64 = 4 << 30;

fn stack_size(text: &str) -> Result<u64, String> {
    let bytes = units::parse_size(text)?;
    if (STACK_BYTES_MIN..=STACK_BYTES_MAX).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("a stack has between {STACK_BYTES_MIN} and {STACK_BYTES_MAX} bytes"))
    }
}

/// Puts `run` before the first argument unless that names a subcommand or asks for help.
pub(crate) fn with_default_command(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let first = args.get(1).map(|arg| arg.to_string_lossy().into_owned());
    let known = match first.as_deref() {
        None | Some("help" | "-h" | "--help" | "-V" | "--version") => true,
        Some(first) => subcommands().iter().any(|name| name == first),
    };
    if !known {
        args.insert(1, "run".into());
    }
    args
}

/// Names of the subcommands.
pub(crate) fn subcommands() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// `wasmoor completions`
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wasmoor", &mut script);
    report::print(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        let words = std::iter::once("wasmoor").chain(line.split_whitespace());
        Cli::try_parse_from(with_default_command(words.map(OsString::from)))
    }

    fn run(line: &str) -> Run {
        match parse(line) {
            Ok(Cli { command: Command::Run(run) }) => *run,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_file_alone_is_run() {
        for (line, file_and_args) in [
            ("a.wasm", "a.wasm"),
            ("run a.wasm", "a.wasm"),
            ("a.wasm x --eager -- -y", "a.wasm x --eager -- -y"),
            ("--eager a.wasm --dir x", "a.wasm --dir x"),
            ("run --eager -- a.wasm --dir x", "a.wasm --dir x"),
            ("./validate", "./validate"),
            ("-", "-"),
        ] {
            assert_eq!(run(line).file_and_args.join(" ".as_ref()), file_and_args, "{line}");
        }
        assert!(run("--eager a.wasm --stats").eager);
        assert!(!run("--eager a.wasm --stats").stats);
    }

    #[test]
    fn options_of_run() {
        let run = run(
            "run --dir a --dir b::c:ro --mapdir /g:h --volume h:/g --env A=1 --env B --fuel 9 \
             --timeout 1.5s --max-memory 64MiB --max-table 10 --max-stack 2MiB --tier optimizing \
             --max-open-files 20 --max-output 1KiB --tcplisten 127.0.0.1:80 --tcplisten [::1]:0 \
             --env-file vars --cwd /g --argv0 me -W simd=n,multi-memory a.wasm",
        );
        assert!(!run.proposals.features(Features::default()).contains(wasmoor::Feature::Simd));
        assert_eq!(run.dir.len(), 2);
        assert!(run.dir[1].read_only);
        assert_eq!(run.mapdir, run.volume);
        assert_eq!(run.env.len(), 2);
        assert_eq!(run.fuel, Some(9));
        assert_eq!(run.timeout, Some(Duration::from_millis(1500)));
        assert_eq!(run.max_memory, Some(64 << 20));
        assert_eq!(run.max_table, Some(10));
        assert_eq!(run.max_stack, 2 << 20);
        assert_eq!(run.tier, Tier::Optimizing);
        assert_eq!(run.max_open_files, Some(20));
        assert_eq!(run.max_output, Some(1024));
        assert_eq!(run.tcplisten, ["127.0.0.1:80", "[::1]:0"]);
        assert_eq!(run.env_file, [PathBuf::from("vars")]);
        assert_eq!((run.cwd.as_deref(), run.argv0.as_deref()), (Some("/g"), Some("me")));
    }

    #[test]
    fn wrong_usage_is_refused_with_status_2() {
        for line in [
            "",
            "run",
            "--no-such-option a.wasm",
            "run --timeout soon a.wasm",
            "run --max-memory 1x a.wasm",
            "run --max-stack 1 a.wasm",
            "run --mapdir x a.wasm",
            "run --volume x a.wasm",
            "run --dir :: a.wasm",
            "run --tcplisten 80 a.wasm",
            "run -W simd=maybe a.wasm",
            "validate -W warp-drive a.wasm",
            "run --max-open-files many a.wasm",
            "run --max-output 1x a.wasm",
            "run --no-jit --eager a.wcode",
            "compile a.wasm",
            "compile -o a.wcode",
            "cache",
            "cache clean --keep much",
            "validate",
            "inspect",
            "inspect a b",
            "explore",
            "explore --tier auto a.wasm",
            "completions tcsh",
            "wast --tier fastest a.wast",
            "run --tier mixed:x a.wasm",
            "wast --features wasm9 a.wast",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        for line in ["--help", "help", "run --help", "--version", "help run"] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 0, "{line}");
        }
    }
}
