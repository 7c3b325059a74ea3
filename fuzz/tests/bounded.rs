//! Fuzzing within bounds: a fixed number of cases from a fixed seed.
//!
//! `WASMOOR_FUZZ_CASES` sets how many; `BLESS=1` rewrites the list of operators never executed.

use std::fs;
use std::path::{Path, PathBuf};
use wasmoor::Tier;
use wasmoor_fuzz::campaign::{
    Breadth, Campaign, cases, find_misplacement, find_plant, on_large_stack,
};
use wasmoor_fuzz::operators;
use wasmoor_fuzz::oracle::MISPLACEMENTS;
use wasmoor_fuzz::plant::PLANTS;
use wasmoor_fuzz::script::Plan;

/// About half a minute under a compiler that was built without optimization.
const CASES: u64 = 1000;
/// Cases within which every planted miscompile must be found.
const PLANT_CASES: u64 = 400;
const SEED: u64 = 1;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn cases_wanted() -> u64 {
    match std::env::var("WASMOOR_FUZZ_CASES") {
        Ok(text) => text.parse().expect("WASMOOR_FUZZ_CASES is a number"),
        Err(_) => CASES,
    }
}

/// All engines agree, and every operator is executed that is not on the list of exceptions.
#[test]
fn engines_agree_and_operators_are_executed() {
    on_large_stack(|| {
        let wanted = cases_wanted();
        let mut campaign = Campaign::new().unwrap();
        let mut mismatches = Vec::new();
        for case in cases(SEED).take(wanted as usize) {
            if let Some(mismatch) = campaign.run(&case, Breadth::Turns) {
                let (source, subject) = (case.source.name(), mismatch.subject);
                mismatches.push(format!("{source}:{}: {subject}: {}", case.seed, mismatch.what));
            }
        }
        assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
        let totals = campaign.totals;
        println!("{totals:?}");
        // Fuzzing that compares nothing would pass, too.
        assert!(totals.calls > 10 * totals.cases, "{totals:?}");
        assert!(totals.traps < totals.calls / 2, "{totals:?}");
        assert!(totals.backtraces > totals.traps / 4, "{totals:?}");
        assert!(totals.refused < totals.cases / 20, "{totals:?}");
        // Fewer cases than usual execute fewer operators.
        if wanted >= CASES {
            check_never_executed(&campaign.coverage.missing());
        }
    });
}

fn check_never_executed(missing: &[&str]) {
    let path = folder().join("never-executed.txt");
    let head = "# Operators of the enabled proposals that the bounded run never executes.\n\
                # Written by `BLESS=1 cargo nextest run -p wasmoor-fuzz`. No valid module has\n\
                # `typed_select_multi`: the list of a `select` has one type.\n";
    if std::env::var_os("BLESS").is_some() {
        let list: String = missing.iter().map(|name| format!("{name}\n")).collect();
        fs::write(&path, format!("{head}{list}")).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let listed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for name in &listed {
        assert!(operators::by_name(name).is_some(), "{name} is no operator");
    }
    let fresh: Vec<_> = missing.iter().filter(|name| !listed.contains(name)).collect();
    assert!(fresh.is_empty(), "never executed and not listed in never-executed.txt: {fresh:?}");
}

/// If a tier compiled an operator wrongly, fuzzing would tell.
fn planted_miscompiles_are_found(tier: Tier) {
    on_large_stack(|| {
        for &plant in PLANTS {
            let found = find_plant(plant, tier, SEED, PLANT_CASES).unwrap();
            println!("{tier:?}: {}: {found:?}", plant.name);
            assert!(found.is_some(), "not found in {PLANT_CASES} cases: {}", plant.name);
        }
    });
}

#[test]
fn miscompiles_of_the_baseline_are_found() {
    planted_miscompiles_are_found(Tier::Baseline);
}

#[test]
fn miscompiles_of_the_optimizing_tier_are_found() {
    planted_miscompiles_are_found(Tier::Optimizing);
}

/// If a tier said of a trap or call that it was somewhere else, fuzzing would tell.
#[test]
fn wrong_places_of_traps_and_calls_are_found() {
    on_large_stack(|| {
        for tier in [Tier::Baseline, Tier::Optimizing] {
            for &misplacement in MISPLACEMENTS {
                let found = find_misplacement(misplacement, tier, SEED, PLANT_CASES).unwrap();
                println!("{tier:?}: {}: {found:?}", misplacement.name);
                assert!(found.is_some(), "{tier:?}: not found: {}", misplacement.name);
            }
        }
    });
}

/// What engines once disagreed about stays right.
#[test]
fn regressions() {
    on_large_stack(|| {
        let mut campaign = Campaign::new().unwrap();
        let plan =
            Plan { instance_per_function: true, calls_per_function: 20, far_from_limits: false };
        for path in regression_files(&folder().join("regressions")) {
            let wasm = wat::parse_file(&path).unwrap();
            let report = campaign.check(&wasm, plan, SEED);
            assert_eq!(report.mismatch, None, "{}", path.display());
            assert_eq!(report.refused, None, "{}", path.display());
            assert!(report.calls > 0, "{} calls nothing", path.display());
        }
    });
}

fn regression_files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|it| it == "wat")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
