//! Every proposal has its switch: a module that needs it loads by default, is refused by name when
//! `-W` turns it off, and `inspect` lists it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use wasmoor::{Config, Engine, Feature, Features, Module};
use wasmoor_tests::binary::{Finished, finish, wasmoor};

const LIMIT: Duration = Duration::from_secs(60);

/// A module for each proposal that is implemented, and what else it cannot do without.
const ROWS: &[(Feature, &[Feature], &str)] = &[
    (Feature::SaturatingFloatToInt, &[], "(func (drop (i32.trunc_sat_f32_s (f32.const 0))))"),
    (Feature::SignExtension, &[], "(func (drop (i32.extend8_s (i32.const 0))))"),
    (Feature::MultiValue, &[], "(func (result i32 i32) (i32.const 0) (i32.const 0))"),
    (
        Feature::BulkMemory,
        &[],
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))",
    ),
    (Feature::ReferenceTypes, &[], "(func (param externref))"),
    (Feature::Simd, &[], "(func (param v128))"),
    (Feature::ExtendedConst, &[], "(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
    (Feature::TailCall, &[], "(func $f (return_call $f))"),
    (Feature::MultiMemory, &[], "(memory 1) (memory 1)"),
    (Feature::Memory64, &[], "(memory i64 1)"),
    (Feature::Memory64, &[], "(table i64 1 funcref)"),
    (
        Feature::RelaxedSimd,
        &[Feature::Simd],
        "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
    ),
    (Feature::Threads, &[], "(memory 1 1 shared)"),
    (
        Feature::Threads,
        &[],
        "(memory 1) (func (drop (memory.atomic.notify (i32.const 0) (i32.const 0))))",
    ),
    (
        Feature::Exceptions,
        &[Feature::ReferenceTypes],
        "(tag $e) (func (block $h (try_table (catch $e $h) (throw $e))))",
    ),
    (Feature::Exceptions, &[Feature::ReferenceTypes], "(func (param exnref))"),
    (
        Feature::LegacyExceptions,
        &[Feature::ReferenceTypes, Feature::Exceptions],
        "(tag $e) (func try throw $e catch $e end)",
    ),
    (
        Feature::FunctionReferences,
        &[Feature::ReferenceTypes],
        "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))",
    ),
    (
        Feature::WideArithmetic,
        &[Feature::MultiValue],
        "(func (result i64 i64) (i64.mul_wide_u (i64.const 1) (i64.const 2)))",
    ),
    (Feature::CustomPageSizes, &[], "(memory 1 (pagesize 1))"),
];

fn run(args: &[&str], file: &Path) -> Finished {
    let mut command = Command::new(wasmoor());
    command.args(args).arg(file);
    finish(command, b"", LIMIT).expect("it ends in time")
}

fn listed(file: &Path) -> Vec<String> {
    let finished = run(&["inspect", "--json"], file);
    let summary: serde_json::Value =
        serde_json::from_slice(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    let proposals = summary["proposals"].as_array().expect("a list");
    proposals.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn each_is_listed_where_it_is_needed_and_can_be_turned_off() {
    let folder = TempDir::new().expect("a folder");
    for (feature, others, fields) in ROWS {
        let file = folder.path().join("module.wat");
        std::fs::write(&file, format!("(module {fields})")).expect("a file");
        let mut needed: Vec<Feature> = others.to_vec();
        needed.push(*feature);
        let needed = needed.into_iter().collect::<Features>();
        // WebAssembly 1.0 has that already.
        let needed: Vec<&str> =
            needed.iter().filter(|it| !Features::WASM1.contains(*it)).map(Feature::name).collect();
        assert_eq!(listed(&file), needed, "{fields}");
        let finished = run(&["validate"], &file);
        assert!(finished.status.success(), "{fields}: {finished:?}");
        let off = format!("{feature}=n");
        let finished = run(&["run", "--no-cache", "-W", &off], &file);
        assert_eq!(finished.status.code(), Some(1), "{fields}: {finished:?}");
        assert!(finished.stderr.contains(feature.name()), "{fields}: {finished:?}");
        // The same in the library.
        let without = Features::default().without(*feature);
        let engine = Engine::new(Config::new().features(without)).expect("an engine");
        let error = Module::new(&engine, format!("(module {fields})")).expect_err("a refusal");
        assert!(error.to_string().contains(feature.name()), "{fields}: {error}");
    }
}

/// Nothing that is implemented stands aside.
#[test]
fn the_rows_are_complete() {
    for feature in Features::IMPLEMENTED.iter() {
        let has_row = ROWS.iter().any(|(of, ..)| *of == feature);
        // A part of WebAssembly 1.0.
        assert!(has_row || feature == Feature::MutableGlobal, "{feature}");
    }
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("module.wat");
    std::fs::write(&file, "(module (type (struct)))").expect("a file");
    let finished = run(&["run", "--no-cache"], &file);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("gc"), "{finished:?}");
    let finished = run(&["run", "--no-cache", "-W", "gc=y"], &file);
    assert_eq!(finished.status.code(), Some(2), "{finished:?}");
    assert!(finished.stderr.contains("not implemented"), "{finished:?}");
}
