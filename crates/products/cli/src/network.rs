//! What the guest is granted of the network: `--net`, `--publish`, `--max-sockets`.

use crate::args::Run;
use crate::report;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;
use wasmoor_host::net::{Network, Policy, Rule, parse_rules};

/// One `--net`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    /// Without rules: everything.
    Everything,
    /// With rules.
    Rules(Vec<Rule>),
}

/// Parses the value of `--net`, which is empty when there is none.
///
/// # Errors
/// A rule that is wrong.
pub(crate) fn parse_net(text: &str) -> Result<Net, String> {
    if text.is_empty() {
        return Ok(Net::Everything);
    }
    parse_rules(text).map(Net::Rules).map_err(|error| error.to_string())
}

/// The guest's network; nothing without a grant.
pub(crate) fn network(args: &Run) -> Network {
    if args.net.is_empty() && args.publish.is_empty() {
        return Network::default();
    }
    let _ = tracing::subscriber::set_global_default(Notes);
    raise_open_files();
    Network::new(policy(&args.net)).publish(args.publish.iter().copied())
}

/// A server has a descriptor per connection; the usual limit is for programs that do not.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // If the system refuses, the guest has fewer.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// One policy of all `--net`: without rules in any, everything.
fn policy(given: &[Net]) -> Policy {
    let rules: Vec<Rule> = given
        .iter()
        .filter_map(|net| match net {
            Net::Everything => None,
            Net::Rules(rules) => Some(rules.iter().cloned()),
        })
        .flatten()
        .collect();
    let everything = given.contains(&Net::Everything);
    match (rules.is_empty(), everything) {
        (true, false) => Policy::nothing(),
        (true, true) => Policy::everything(),
        // Everything but what the rules refuse.
        (false, true) => {
            let refusals: Vec<Rule> = rules.into_iter().filter(|rule| !rule.allows).collect();
            if refusals.is_empty() { Policy::everything() } else { Policy::new(refusals) }
        }
        (false, false) => Policy::new(rules),
    }
}

/// Shows warnings of the libraries, such as refusals, as notes.
struct Notes;

impl tracing::Subscriber for Notes {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN && metadata.target().starts_with("wasmoor")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        report::note(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// The text of an event.
struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_options_are_one_policy() {
        let policy_of = |texts: &[&str]| {
            let given: Vec<Net> = texts.iter().map(|text| parse_net(text).unwrap()).collect();
            policy(&given)
        };
        let of_rules = |text| Policy::new(parse_rules(text).unwrap());
        assert_eq!(policy_of(&[]), Policy::nothing());
        assert_eq!(policy_of(&[""]), Policy::everything());
        assert_eq!(policy_of(&["a:1", "b:2"]), of_rules("a:1,b:2"));
        assert_eq!(policy_of(&["", "deny:10.0.0.0/8"]), of_rules("deny:10.0.0.0/8"));
        assert_eq!(policy_of(&["", "a:1"]), Policy::everything());
        assert!(parse_net("a:b").is_err());
    }
}
