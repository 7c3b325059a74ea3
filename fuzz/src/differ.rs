//! Runs one case on all engines and compares.

use crate::generate::Case;
use crate::interface::Interface;
use crate::oracle::{Oracle, Outcome};
use crate::random::Random;
use crate::script::{Plan, Round, Transcript, script};
use std::collections::BTreeMap;

/// Engines that ought to agree, with their names in reports.
pub struct Engines<'a> {
    /// The one whose word is taken.
    pub reference: &'a mut dyn Oracle,
    /// Those under test.
    pub subjects: Vec<(&'static str, &'a mut dyn Oracle)>,
}

/// What came of a case.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Calls whose outcomes were compared, over all subjects.
    pub calls: u64,
    /// Of these, how many trapped.
    pub traps: u64,
    /// Whether the reference engine refused the module, so that nothing was compared.
    pub refused: Option<String>,
    /// The first disagreement.
    pub mismatch: Option<Mismatch>,
}

/// Two engines disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The engine under test.
    pub subject: &'static str,
    /// What was done, expected, and found.
    pub what: String,
}

/// Runs a case.
pub fn run(case: &Case, engines: &mut Engines<'_>) -> Report {
    run_module(&case.wasm, case.source.plan(), case.seed, engines)
}

/// Runs a module with calls chosen by a seed.
pub fn run_module(wasm: &[u8], plan: Plan, seed: u64, engines: &mut Engines<'_>) -> Report {
    let mut report = Report::default();
    let interface = match Interface::read(wasm) {
        Ok(interface) => interface,
        Err(error) => {
            report.refused = Some(format!("invalid module: {error}"));
            return report;
        }
    };
    if let Err(why) = engines.reference.load(wasm) {
        report.refused = Some(why);
        return report;
    }
    let rounds = script(&interface, plan, &mut Random::new(seed));
    let rounds = rounds
        .into_iter()
        .map(|round| record_known(engines.reference, round, &mut report))
        .collect();
    let recorded = Recorded { wasm, plan, rounds };
    let mut fuel = Fuel::default();
    for (name, subject) in &mut engines.subjects {
        if let Some(what) = compare(&recorded, *subject, &mut fuel, &mut report) {
            report.mismatch = Some(Mismatch { subject: name, what });
            return report;
        }
    }
    report
}

/// Fuel that rounds left over in the first tier that counts it: the rule is the same for all.
#[derive(Default)]
struct Fuel(BTreeMap<usize, u64>);

impl Fuel {
    /// Notes what a round left over, or says how it differs from before.
    fn check(&mut self, round: usize, transcript: &Transcript) -> Option<String> {
        let left = transcript.state.as_ref()?.fuel?;
        let before = *self.0.entry(round).or_insert(left);
        (before != left).then(|| format!("fuel left after round {round}: {before}, here {left}"))
    }
}

/// Runs a round on the reference engine, cut before the first outcome that proves nothing.
fn record_known(
    reference: &mut dyn Oracle,
    round: Round,
    report: &mut Report,
) -> (Round, Transcript) {
    let transcript = Transcript::record(reference, &round);
    if let Some(Outcome::Refused(why)) = transcript.outcomes.last() {
        report.refused = Some(why.clone());
    }
    let known = transcript.known(&round).to_vec();
    let instantiated = matches!(transcript.outcomes[0], Outcome::Returned(_));
    if known.len() == round.len() || !instantiated {
        return (known, transcript);
    }
    // Once more without the rest, for the state at that point.
    let transcript = Transcript::record(reference, &known);
    (known, transcript)
}

/// What the reference engine made of a module.
struct Recorded<'a> {
    wasm: &'a [u8],
    plan: Plan,
    rounds: Vec<(Round, Transcript)>,
}

/// Runs the recorded rounds on a subject; answers the first difference.
fn compare(
    recorded: &Recorded<'_>,
    subject: &mut dyn Oracle,
    fuel: &mut Fuel,
    report: &mut Report,
) -> Option<String> {
    if let Err(why) = subject.load(recorded.wasm) {
        return Some(format!("load: refused: {why}"));
    }
    for (number, (round, expected)) in recorded.rounds.iter().enumerate() {
        if matches!(expected.outcomes[0], Outcome::Unknown(_) | Outcome::Refused(_)) {
            continue;
        }
        let found = Transcript::record(subject, round);
        report.calls += found.outcomes.len() as u64 - 1;
        let is_trap = |outcome: &&Outcome| matches!(outcome, Outcome::Trapped(_));
        report.traps += found.outcomes.iter().filter(is_trap).count() as u64;
        let limit = found.limit().filter(|_| recorded.plan.far_from_limits);
        let difference = expected.difference(&found, round).or(limit);
        if let Some(difference) = difference.or_else(|| fuel.check(number, &found)) {
            return Some(difference);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::State;

    #[test]
    fn tiers_must_agree_on_fuel() {
        let left = |fuel| {
            let mut state = State::default();
            state.fuel = fuel;
            Transcript { outcomes: Vec::new(), state: Some(state) }
        };
        let mut fuel = Fuel::default();
        assert_eq!(fuel.check(0, &left(Some(5))), None);
        assert_eq!(fuel.check(1, &left(Some(6))), None);
        assert_eq!(fuel.check(0, &left(None)), None);
        assert_eq!(fuel.check(0, &left(Some(5))), None);
        assert!(fuel.check(0, &left(Some(6))).is_some());
    }
}
