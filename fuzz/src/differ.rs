//! Runs one case on all engines and compares.

use crate::dead_store;
use crate::generate::Case;
use crate::interface::Interface;
use crate::oracle::{Frames, Oracle, Outcome};
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
    /// Backtraces that were compared with another tier's.
    pub backtraces: u64,
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
    let mut tiers = Tiers::default();
    for (name, subject) in &mut engines.subjects {
        if let Some(what) = compare(&recorded, *subject, &mut tiers, &mut report) {
            report.mismatch = Some(Mismatch { subject: name, what });
            return report;
        }
    }
    report
}

/// What only Wasmoor's tiers can tell, and must tell alike; as the first of them did.
#[derive(Default)]
struct Tiers {
    /// Fuel that rounds left over.
    fuel: BTreeMap<usize, u64>,
    /// Where calls trapped, by round and number in it.
    frames: BTreeMap<(usize, usize), Frames>,
}

impl Tiers {
    /// Notes what a round left over, or says how it differs from before.
    fn check_fuel(&mut self, round: usize, transcript: &Transcript) -> Option<String> {
        let left = transcript.state.as_ref()?.fuel?;
        let before = *self.fuel.entry(round).or_insert(left);
        (before != left).then(|| format!("fuel left after round {round}: {before}, here {left}"))
    }

    /// Notes where the calls of a round trapped, or says how it differs from before. Counts what
    /// was compared.
    fn check_frames(
        &mut self,
        round: usize,
        transcript: &Transcript,
        wasm: &[u8],
        compared: &mut u64,
    ) -> Option<String> {
        for (number, found) in transcript.frames.iter().enumerate() {
            let Some(found) = found else { continue };
            let Some(before) = self.frames.get(&(round, number)) else {
                self.frames.insert((round, number), found.clone());
                continue;
            };
            *compared += 1;
            if before != found && !dead_store::explains(wasm, before, found) {
                let what = before.difference(found);
                return Some(format!("call {number} of round {round} trapped elsewhere: {what}"));
            }
        }
        None
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
    tiers: &mut Tiers,
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
        let difference = difference
            .or_else(|| tiers.check_fuel(number, &found))
            .or_else(|| tiers.check_frames(number, &found, recorded.wasm, &mut report.backtraces));
        if let Some(difference) = difference {
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
            Transcript { outcomes: Vec::new(), frames: Vec::new(), state: Some(state) }
        };
        let mut tiers = Tiers::default();
        assert_eq!(tiers.check_fuel(0, &left(Some(5))), None);
        assert_eq!(tiers.check_fuel(1, &left(Some(6))), None);
        assert_eq!(tiers.check_fuel(0, &left(None)), None);
        assert_eq!(tiers.check_fuel(0, &left(Some(5))), None);
        assert!(tiers.check_fuel(0, &left(Some(6))).is_some());
    }

    #[test]
    fn tiers_must_agree_on_backtraces() {
        let trapped = |frames: Option<&[(u32, Option<u32>)]>| Transcript {
            outcomes: Vec::new(),
            frames: vec![None, frames.map(|frames| Frames(frames.to_vec()))],
            state: None,
        };
        let mut tiers = Tiers::default();
        let mut compared = 0;
        let mut check =
            |round, frames| tiers.check_frames(round, &trapped(frames), &[], &mut compared);
        let here = [(1, Some(40)), (0, Some(30))];
        assert_eq!(check(0, Some(&here)), None);
        assert_eq!(check(0, None), None);
        assert_eq!(check(0, Some(&here)), None);
        assert_eq!(check(1, Some(&here[..1])), None);
        assert!(check(0, Some(&here[..1])).is_some());
        assert!(check(0, Some(&[(1, Some(41)), (0, Some(30))])).is_some());
        assert!(check(0, Some(&[(1, None), (0, Some(30))])).is_some());
        assert_eq!(compared, 4);
    }
}
