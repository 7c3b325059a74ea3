//! The values of `--tier`.

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsStr;
use wasmoor::Tier;

/// Names and tiers, the default first.
const TIERS: [(&str, Tier, &str); 3] = [
    (
        "auto",
        Tier::Auto,
        "The baseline compiler at first, the optimizing one for what turns out to be hot",
    ),
    (
        "optimizing",
        Tier::Optimizing,
        "The optimizing compiler; a function that it cannot take is an error",
    ),
    ("baseline", Tier::Baseline, "The baseline compiler: ready at once, slower code"),
];
/// For tests: every call chooses between both compilers; `mixed:SEED` repeats the choices.
const MIXED: &str = "mixed";

/// Names of the tiers, as `--tier` takes them.
pub(crate) fn names() -> Vec<&'static str> {
    TIERS.iter().map(|(name, ..)| *name).collect()
}

fn parse(text: &str) -> Option<Tier> {
    if let Some((_, tier, _)) = TIERS.iter().find(|(name, ..)| *name == text) {
        return Some(*tier);
    }
    match text.strip_prefix(MIXED)? {
        "" => Some(wasmoor::raw::mixed_tier(wasmoor::raw::seed())),
        seed => Some(wasmoor::raw::mixed_tier(seed.strip_prefix(':')?.parse().ok()?)),
    }
}

/// Parses and lists the values of `--tier`.
#[derive(Clone, Debug)]
pub(crate) struct TierParser;

impl TypedValueParser for TierParser {
    type Value = Tier;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Tier, clap::Error> {
        let text = value.to_string_lossy();
        parse(&text).ok_or_else(|| {
            let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
            let names = names().into_iter().map(str::to_owned).collect();
            let argument = argument.map_or_else(|| "--tier".to_owned(), ToString::to_string);
            error.insert(ContextKind::InvalidArg, ContextValue::String(argument));
            error.insert(ContextKind::InvalidValue, ContextValue::String(text.into_owned()));
            error.insert(ContextKind::ValidValue, ContextValue::Strings(names));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let shown = TIERS.iter().map(|(name, _, help)| PossibleValue::new(*name).help(*help));
        // Hidden: it is for tests.
        Some(Box::new(shown.chain([PossibleValue::new(MIXED).hide(true)])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_by_name_and_the_seed_of_the_mixed_one() {
        assert_eq!(parse("auto"), Some(Tier::Auto));
        assert_eq!(parse("optimizing"), Some(Tier::Optimizing));
        assert_eq!(parse("baseline"), Some(Tier::Baseline));
        assert_eq!(parse("mixed:42"), Some(wasmoor::raw::mixed_tier(42)));
        assert!(matches!(parse("mixed"), Some(Tier::Mixed { .. })));
        for wrong in ["", "Auto", "fastest", "mixed:", "mixed:x", "mixed42", "mixed:-1"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
