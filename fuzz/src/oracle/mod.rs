//! Engines as oracles: each runs the same module with the same calls, and tells what it saw.
//!
//! An oracle has four methods (and one more, if it can say where a guest trapped), so a new tier or another engine is added in a page of code. It
//! speaks [`Value`]s and names of exports only; nothing engine-specific leaves it.

mod guarded;
mod host;
mod misplaced;
mod mixed;
mod planted;
mod reference;
mod tiers;
mod wasmi;
mod wasmoor;

pub use self::guarded::Guarded;
pub use self::misplaced::{MISPLACEMENTS, Misplacement};
pub use self::planted::Planted;
pub use self::reference::Reference;
pub use self::tiers::{misplaced, single, tiers};
pub use self::wasmi::Wasmi;
pub use self::wasmoor::Wasmoor;

use crate::value::Value;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// An engine (or a tier of one) that holds one module and one instance of it.
pub trait Oracle {
    /// Loads a module and forgets the former one.
    ///
    /// # Errors
    /// Why the engine refuses it.
    fn load(&mut self, wasm: &[u8]) -> Result<(), String>;

    /// Makes a fresh instance of the module, with imports made by the harness; forgets the former.
    fn instantiate(&mut self) -> Outcome;

    /// Calls an exported function of the instance.
    fn call(&mut self, function: &str, args: &[Value]) -> Outcome;

    /// What the instance's exports hold, and what the host has seen of its calls.
    fn state(&mut self) -> State;

    /// Where the last call or instantiation trapped; `None`: it did not, or the engine cannot say.
    fn frames(&mut self) -> Option<Frames> {
        None
    }
}

/// The wasm frames of a trap, innermost first: index of the function, and offset in the module of
/// the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames(pub Vec<(u32, Option<u32>)>);

impl Frames {
    /// The first difference, in words.
    #[must_use]
    pub fn difference(&self, other: &Frames) -> String {
        let (Frames(ours), Frames(theirs)) = (self, other);
        let at = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs);
        match at {
            Some(at) => format!(
                "frame {at} of {}, (function, offset): {:x?}, here {:x?}",
                ours.len(),
                ours[at],
                theirs[at]
            ),
            None => format!("{} frames, here {}", ours.len(), theirs.len()),
        }
    }
}

/// How an instantiation or a call ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Normally, with these results.
    Returned(Vec<Value>),
    /// With a trap.
    Trapped(Trap),
    /// By a limit that engines set differently: stack, time, fuel. Proves nothing.
    Unknown(String),
    /// Not at all: the engine cannot do what it should.
    Refused(String),
}

impl Outcome {
    /// Whether two engines agree.
    #[must_use]
    pub fn agrees(&self, other: &Outcome) -> bool {
        match (self, other) {
            (Outcome::Returned(ours), Outcome::Returned(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.agrees(b))
            }
            (Outcome::Trapped(ours), Outcome::Trapped(theirs)) => ours == theirs,
            (Outcome::Unknown(_), _) | (_, Outcome::Unknown(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Returned(values) => write!(f, "returned {values:x?}"),
            Outcome::Trapped(trap) => write!(f, "trapped: {trap:?}"),
            Outcome::Unknown(why) => write!(f, "ended by a limit: {why}"),
            Outcome::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// Why a guest stopped, as finely as all engines tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `unreachable`.
    Unreachable,
    /// A memory was left.
    Memory,
    /// A table was left, also by an indirect call.
    Table,
    /// An indirect call met null.
    NullCall,
    /// An indirect call met a function of another type.
    Signature,
    /// Division by zero.
    DivideByZero,
    /// A division or conversion without a representable result.
    Overflow,
    /// A NaN was converted to an integer.
    Conversion,
    /// An atomic access was not aligned.
    Unaligned,
    /// A thread would have waited for a memory that nobody shares.
    Unshared,
    /// An exception that nobody caught: a hash of its tag and values.
    Uncaught(u64),
}

/// What can be seen of an instance between calls.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Facts by name, sorted.
    facts: Vec<(String, Fact)>,
    /// Fuel left, if the engine counts it the way that all tiers of Wasmoor do.
    pub fuel: Option<u64>,
}

/// One thing seen of an instance.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A global's value.
    Global(Value),
    /// Size of a memory or table in its own units, or number of calls of the host; and a hash of
    /// the contents.
    Contents {
        /// Pages, elements or calls.
        size: u64,
        /// Hash of bytes, references or arguments.
        hash: u64,
    },
}

impl State {
    /// Engines list exports in orders of their own.
    fn new(mut facts: Vec<(String, Fact)>, fuel: Option<u64>) -> Self {
        facts.sort_by(|(left, _), (right, _)| left.cmp(right));
        State { facts, fuel }
    }

    /// The first difference, in words.
    #[must_use]
    pub fn difference(&self, other: &State) -> Option<String> {
        let agree = |a: &Fact, b: &Fact| match (a, b) {
            (Fact::Global(a), Fact::Global(b)) => a.agrees(b),
            (Fact::Contents { size: a, hash: x }, Fact::Contents { size: b, hash: y }) => {
                (a, x) == (b, y)
            }
            _ => false,
        };
        if self.facts.len() != other.facts.len() {
            return Some(format!("{} facts and {}", self.facts.len(), other.facts.len()));
        }
        self.facts.iter().zip(&other.facts).find_map(|((name, ours), (other_name, theirs))| {
            let same = name == other_name && agree(ours, theirs);
            (!same).then(|| format!("{name} {ours:x?}, {other_name} {theirs:x?}"))
        })
    }
}

/// Elements of a table that are looked at.
const ELEMENTS_MAX: u64 = 256;

fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn hash_values<'a>(values: impl IntoIterator<Item = &'a Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for value in values {
        let (kind, bits) = value.bits();
        hasher.write_u8(kind);
        hasher.write_u128(bits);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_agree() {
        let returned = |value| Outcome::Returned(vec![Value::I32(value)]);
        let trapped = Outcome::Trapped;
        for (left, right, agree) in [
            (returned(1), returned(1), true),
            (returned(1), returned(2), false),
            (returned(1), Outcome::Returned(vec![]), false),
            (trapped(Trap::Memory), trapped(Trap::Memory), true),
            (trapped(Trap::Memory), trapped(Trap::Table), false),
            (trapped(Trap::Memory), returned(1), false),
            (Outcome::Unknown(String::new()), returned(1), true),
            (Outcome::Refused(String::new()), returned(1), false),
        ] {
            assert_eq!(left.agrees(&right), agree, "{left} {right}");
        }
    }

    #[test]
    fn states_differ() {
        let fact = |size, hash| ("m".into(), Fact::Contents { size, hash });
        let state = |size, hash| State::new(vec![fact(size, hash)], None);
        assert_eq!(state(1, 2).difference(&state(1, 2)), None);
        for other in [state(2, 2), state(1, 3), State::default()] {
            assert!(state(1, 2).difference(&other).is_some());
        }
    }
}
