//! `-W`: proposals that modules may use, switched one by one.

use clap::Args;
use wasmoor::{Config, Feature, Features};

/// What the results of relaxed vector instructions depend on.
const DETERMINISTIC: &str = "relaxed-simd-deterministic";

/// Switches of proposals.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Proposals {
    /// Switch a proposal on or off (`wasmoor config` lists them), or with
    /// `relaxed-simd-deterministic` have relaxed vector instructions do the same on every machine
    #[arg(
        short = 'W',
        long = "wasm",
        value_name = "PROPOSAL[=y|n]",
        value_parser = parse,
        value_delimiter = ',',
        help_heading = "WebAssembly"
    )]
    switches: Vec<Switch>,
}

/// One switch and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Switch {
    what: What,
    on: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Feature(Feature),
    Deterministic,
}

fn parse(text: &str) -> Result<Switch, String> {
    let (name, on) = match text.split_once('=') {
        None => (text, true),
        Some((name, "y" | "yes" | "on" | "true")) => (name, true),
        Some((name, "n" | "no" | "off" | "false")) => (name, false),
        Some(_) => return Err("expected `y` or `n` behind the `=`".to_owned()),
    };
    if name == DETERMINISTIC {
        return Ok(Switch { what: What::Deterministic, on });
    }
    let Some(feature) = Feature::from_name(name) else {
        let names: Vec<&str> = Features::IMPLEMENTED.iter().map(Feature::name).collect();
        return Err(format!("no such proposal; there are {}", names.join(", ")));
    };
    if on && !Features::IMPLEMENTED.contains(feature) {
        return Err("the proposal is not implemented".to_owned());
    }
    Ok(Switch { what: What::Feature(feature), on })
}

impl Proposals {
    /// A set of proposals after all switches, in their order.
    pub(crate) fn features(&self, mut features: Features) -> Features {
        for switch in &self.switches {
            if let What::Feature(feature) = switch.what {
                features.set(feature, switch.on);
            }
        }
        features
    }

    /// Whether relaxed vector instructions are to do the same on every machine.
    pub(crate) fn deterministic(&self) -> bool {
        let last = self.switches.iter().rfind(|switch| switch.what == What::Deterministic);
        last.is_some_and(|switch| switch.on)
    }

    /// Tells an engine's configuration.
    pub(crate) fn configure(&self, config: &mut Config) {
        config
            .features(self.features(Features::default()))
            .relaxed_simd_deterministic(self.deterministic());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposals(texts: &[&str]) -> Proposals {
        Proposals { switches: texts.iter().map(|text| parse(text).expect(text)).collect() }
    }

    #[test]
    fn each_proposal_can_be_switched_off() {
        for feature in Features::IMPLEMENTED.iter() {
            let off = proposals(&[&format!("{feature}=n")]).features(Features::default());
            assert!(!off.contains(feature), "{feature}");
            let on = proposals(&[&format!("{feature}=n"), feature.name()]);
            assert!(on.features(Features::default()).contains(feature), "{feature}");
        }
    }

    #[test]
    fn the_last_switch_counts_and_wrong_ones_are_named() {
        assert!(proposals(&["relaxed-simd-deterministic"]).deterministic());
        let both = ["relaxed-simd-deterministic", "relaxed-simd-deterministic=no"];
        assert!(!proposals(&both).deterministic());
        assert!(parse("warp-drive").unwrap_err().contains("multi-memory"));
        assert!(parse("simd=maybe").is_err());
        let missing = Feature::ALL.iter().find(|f| !Features::IMPLEMENTED.contains(**f));
        if let Some(feature) = missing {
            assert!(parse(feature.name()).is_err(), "{feature}");
        }
    }
}
