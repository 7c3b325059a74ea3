//! What is done with a module, on every engine alike, and what came of it.
//!
//! A script is a list of rounds; each has an instance of its own and calls on it. It is run on the
//! reference engine first. Where that ends by a limit (stack, fuel) the round is cut, since what
//! follows would prove nothing; what remains is run on the engines under test and compared.

use crate::interface::Interface;
use crate::oracle::{Frames, Oracle, Outcome, State};
use crate::random::Random;
use crate::value::Value;
use std::fmt;

/// A call of an exported function.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the export.
    pub function: String,
    /// Arguments.
    pub args: Vec<Value>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:x?})", self.function, self.args)
    }
}

/// How instances and calls are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether each function gets an instance of its own, so that one that uses up the module's
    /// budget of steps, or breaks its state, does not keep others from running.
    pub instance_per_function: bool,
    /// Calls of each function, with different arguments.
    pub calls_per_function: usize,
    /// Whether the modules stay so far from all limits that an engine which meets one is wrong.
    pub far_from_limits: bool,
}

/// The calls that one instance gets.
pub type Round = Vec<Call>;

/// The rounds for a module.
#[must_use]
pub fn script(interface: &Interface, plan: Plan, random: &mut Random) -> Vec<Round> {
    let rounds = interface.functions.iter().map(|function| {
        (0..plan.calls_per_function)
            .map(|_| {
                let args = function.params.iter().map(|&ty| Value::interesting(ty, random));
                Call { function: function.name.clone(), args: args.collect() }
            })
            .collect()
    });
    if plan.instance_per_function {
        // Even without functions there is an instantiation to compare.
        let rounds: Vec<Round> = rounds.collect();
        if rounds.is_empty() { vec![Round::new()] } else { rounds }
    } else {
        vec![rounds.flat_map(|round: Round| round).collect()]
    }
}

/// What an engine made of a round.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// Of the instantiation, then of each call that was made.
    pub outcomes: Vec<Outcome>,
    /// Where each of them trapped, if it did and the engine can say.
    pub frames: Vec<Option<Frames>>,
    /// Afterwards, if the instantiation succeeded and no limit was met.
    pub state: Option<State>,
}

impl Transcript {
    /// Runs a round on an engine that has loaded the module. Ends early where an outcome leaves
    /// nothing to compare.
    pub fn record(oracle: &mut dyn Oracle, round: &[Call]) -> Transcript {
        let mut outcomes = vec![oracle.instantiate()];
        let mut frames = vec![oracle.frames()];
        if !matches!(outcomes[0], Outcome::Returned(_)) {
            return Transcript { outcomes, frames, state: None };
        }
        for call in round {
            let outcome = oracle.call(&call.function, &call.args);
            let last = matches!(outcome, Outcome::Unknown(_) | Outcome::Refused(_));
            outcomes.push(outcome);
            // How deep a stack gets before its end differs between tiers.
            frames.push(oracle.frames().filter(|_| !last));
            if last {
                return Transcript { outcomes, frames, state: None };
            }
        }
        Transcript { outcomes, frames, state: Some(oracle.state()) }
    }

    /// The limit that ended the round, in words.
    #[must_use]
    pub fn limit(&self) -> Option<String> {
        let last = self.outcomes.last().filter(|it| matches!(it, Outcome::Unknown(_)));
        last.map(|outcome| format!("{outcome}, from which the module stays far"))
    }

    /// The calls of the round whose outcome is known.
    #[must_use]
    pub fn known<'a>(&self, round: &'a [Call]) -> &'a [Call] {
        let is_known = |it: &&Outcome| !matches!(it, Outcome::Unknown(_) | Outcome::Refused(_));
        let known = self.outcomes.iter().filter(is_known).count();
        &round[..known.saturating_sub(1).min(round.len())]
    }

    /// The first difference to what another engine made of the same round.
    #[must_use]
    pub fn difference(&self, other: &Transcript, round: &[Call]) -> Option<String> {
        for (number, (ours, theirs)) in self.outcomes.iter().zip(&other.outcomes).enumerate() {
            if !ours.agrees(theirs) {
                let what = match number.checked_sub(1) {
                    None => "instantiation".to_owned(),
                    Some(call) => round[call].to_string(),
                };
                return Some(format!("{what}: expected: {ours}; found: {theirs}"));
            }
        }
        let (Some(ours), Some(theirs)) = (&self.state, &other.state) else { return None };
        ours.difference(theirs).map(|difference| format!("state: expected and found: {difference}"))
    }
}
