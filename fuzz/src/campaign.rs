//! Many cases in a row: generated, run on all engines, counted.

use crate::coverage::Coverage;
use crate::differ::{self, Engines, Mismatch, Report};
use crate::generate::{Case, SOURCES_PERIOD, Source};
use crate::oracle::{
    self, Guarded, Misplacement, Oracle, Planted, Reference, Wasmi, Wasmoor, tiers,
};
use crate::plant::Plant;
use crate::reduce::reduce;
use crate::script::Plan;
use std::thread;
use wasmoor::Tier;

/// Bytes of stack for a thread that runs guests: deep recursion in guests must meet the guest's
/// limit first.
const STACK_BYTES: usize = 64 << 20;

/// Runs on a thread with a stack that is large enough for guests.
///
/// # Panics
/// When `f` panics, or the system refuses a thread.
pub fn on_large_stack<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, f);
        match thread.expect("the system grants a thread").join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Which of Wasmoor's tiers a case is run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breadth {
    /// All.
    All,
    /// Two neighbours on the list, in turn.
    Turns,
}

/// What a campaign has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Cases run.
    pub cases: u64,
    /// Cases that the reference engine refused, wholly or in part.
    pub refused: u64,
    /// Calls compared.
    pub calls: u64,
    /// Of these, how many trapped.
    pub traps: u64,
    /// Backtraces of traps that were compared between tiers.
    pub backtraces: u64,
    /// Cases on which engines disagree.
    pub mismatches: u64,
}

/// Engines and what they have done.
pub struct Campaign {
    reference: Guarded<Reference>,
    tiers: Vec<(&'static str, Guarded<Wasmoor>)>,
    /// What has been executed.
    pub coverage: Coverage,
    /// What has been done.
    pub totals: Totals,
}

impl Campaign {
    /// Engines that have not run anything yet.
    ///
    /// # Errors
    /// When the machine cannot run Wasmoor.
    pub fn new() -> wasmoor::Result<Self> {
        Ok(Campaign {
            reference: Guarded(Reference::new()?),
            tiers: tiers()?.into_iter().map(|(name, tier)| (name, Guarded(tier))).collect(),
            coverage: Coverage::default(),
            totals: Totals::default(),
        })
    }

    /// Runs a case, counts it, and answers where engines disagree.
    pub fn run(&mut self, case: &Case, breadth: Breadth) -> Option<Mismatch> {
        self.coverage.add(case);
        // Sources come round again: each shall meet all tiers.
        let turn = (self.totals.cases + self.totals.cases / SOURCES_PERIOD) as usize;
        let report = self.report(&case.wasm, case.source.plan(), case.seed, breadth, turn);
        self.totals.cases += 1;
        self.totals.refused += u64::from(report.refused.is_some());
        self.totals.calls += report.calls;
        self.totals.traps += report.traps;
        self.totals.backtraces += report.backtraces;
        self.totals.mismatches += u64::from(report.mismatch.is_some());
        report.mismatch
    }

    /// Runs a module on all tiers without counting it.
    pub fn check(&mut self, wasm: &[u8], plan: Plan, seed: u64) -> Report {
        self.report(wasm, plan, seed, Breadth::All, 0)
    }

    /// The smallest module found on which engines still disagree about what they do for the case.
    pub fn reduce(&mut self, case: &Case) -> Vec<u8> {
        reduce(&case.wasm, |wasm| {
            self.check(wasm, case.source.plan(), case.seed).mismatch.is_some()
        })
    }

    fn report(
        &mut self,
        wasm: &[u8],
        plan: Plan,
        seed: u64,
        breadth: Breadth,
        turn: usize,
    ) -> Report {
        let first = turn % self.tiers.len();
        let second = (turn + 1) % self.tiers.len();
        let subjects = self.tiers.iter_mut().enumerate();
        let subjects = subjects
            .filter(|(number, _)| breadth == Breadth::All || [first, second].contains(number))
            .map(|(_, (name, tier))| (*name, tier as &mut dyn Oracle))
            .collect();
        let mut engines = Engines { reference: &mut self.reference, subjects };
        differ::run_module(wasm, plan, seed, &mut engines)
    }
}

/// The cases of a campaign's seed.
pub fn cases(seed: u64) -> impl Iterator<Item = Case> {
    (0..).filter_map(move |number| Case::new(Source::of_case(number), seed.wrapping_add(number)))
}

/// Number of cases that were looked at until engines disagreed about a miscompile planted in this
/// tier; `None`: more than `cases_max`. Cases without the operator are skipped, but counted.
///
/// # Errors
/// When the machine cannot run Wasmoor.
pub fn find_plant(
    plant: Plant,
    tier: Tier,
    seed: u64,
    cases_max: u64,
) -> wasmoor::Result<Option<u64>> {
    let mut reference = Guarded(Wasmi::default());
    let mut planted = Planted::new(oracle::single(tier)?, plant);
    for (number, case) in (1..=cases_max).zip(cases(seed)) {
        if !matches!(plant.apply(&case.wasm), Ok(Some(_))) {
            continue;
        }
        let subjects = vec![(plant.name, &mut planted as &mut dyn Oracle)];
        let mut engines = Engines { reference: &mut reference, subjects };
        if differ::run(&case, &mut engines).mismatch.is_some() {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// As [`find_plant`], for a wrong address map in this tier, which only another tier's backtraces
/// can show.
///
/// # Errors
/// When the machine cannot run Wasmoor.
pub fn find_misplacement(
    misplacement: Misplacement,
    tier: Tier,
    seed: u64,
    cases_max: u64,
) -> wasmoor::Result<Option<u64>> {
    let other = if tier == Tier::Baseline { Tier::Optimizing } else { Tier::Baseline };
    let mut reference = Guarded(Wasmi::default());
    let mut right = oracle::single(other)?;
    let mut wrong = oracle::misplaced(tier, misplacement)?;
    for (number, case) in (1..=cases_max).zip(cases(seed)) {
        let subjects =
            vec![("right", &mut right as &mut dyn Oracle), (misplacement.name, &mut wrong)];
        let mut engines = Engines { reference: &mut reference, subjects };
        let mismatch = differ::run(&case, &mut engines).mismatch;
        if mismatch.is_some_and(|mismatch| mismatch.subject == misplacement.name) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
