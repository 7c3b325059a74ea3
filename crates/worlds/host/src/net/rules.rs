//! The text form of the rules that say what a guest may do on the network.
//!
//! ```text
//! rules     = rule { "," rule }
//! rule      = [ "allow:" | "deny:" ] [ direction ":" ] [ protocol ":" ] target
//! direction = "connect" | "listen"                     (both when left out)
//! protocol  = "tcp" | "udp" | "unix"                   (tcp and udp when left out)
//! target    = host [ ":" ports ] | ports-with-colon    (any host: "*"; any port when left out)
//! host      = "*" | name | "*." name | IPv4 [ "/" bits ] | "[" IPv6 [ "/" bits ] "]" | group
//! group     = "@loopback" | "@link-local" | "@private" | "@multicast"
//! ports     = number | number "-" number | "*"
//! ```

use super::address::{Cidr, Group, unmapped};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Who begins to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The guest: it connects, or sends a datagram.
    Connect,
    /// The other side: the guest binds a port to be reached at.
    Listen,
}

/// How they talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Streams over IP.
    Tcp,
    /// Datagrams over IP.
    Udp,
    /// Sockets that are files of mounts.
    Unix,
}

/// With whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Anybody.
    Any,
    /// The host of this name, in lower case.
    Name(String),
    /// All hosts below this name, in lower case; not the host of that name itself.
    Below(String),
    /// These addresses.
    Cidr(Cidr),
    /// These addresses.
    Group(Group),
}

/// Port numbers, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

impl Ports {
    /// Every port, and the wish for any that is free.
    pub const ALL: Ports = Ports { first: 0, last: u16::MAX };

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether it grants; else it refuses, whatever other rules grant.
    pub allows: bool,
    /// Which direction it is about; `None`: both.
    pub direction: Option<Direction>,
    /// Which protocol it is about; `None`: those over IP.
    pub protocol: Option<Protocol>,
    /// Which hosts it is about.
    pub host: Host,
    /// Which ports it is about.
    pub ports: Ports,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rule `{rule}` is wrong: {what}")]
pub struct RuleError {
    /// The rule as it was given.
    pub rule: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads rules that are separated by commas.
///
/// # Errors
/// The first rule that is wrong.
pub fn parse_rules(text: &str) -> Result<Vec<Rule>, RuleError> {
    text.split(',').map(|rule| rule.trim().parse()).collect()
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        parse(text).map_err(|what| RuleError { rule: text.to_owned(), what })
    }
}

/// Takes `word` and a colon off the start of `rest`.
fn take(rest: &mut &str, word: &str) -> bool {
    let after = rest.strip_prefix(word).and_then(|rest| rest.strip_prefix(':'));
    if let Some(after) = after {
        *rest = after;
    }
    after.is_some()
}

fn parse(text: &str) -> Result<Rule, &'static str> {
    let mut rest = text;
    let denies = take(&mut rest, "deny");
    if !denies {
        take(&mut rest, "allow");
    }
    let directions = [("connect", Direction::Connect), ("listen", Direction::Listen)];
    let direction = directions.into_iter().find(|(word, _)| take(&mut rest, word));
    let protocols = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("unix", Protocol::Unix)];
    let protocol = protocols.into_iter().find(|(word, _)| take(&mut rest, word));
    let protocol = protocol.map(|(_, protocol)| protocol);
    if protocol == Some(Protocol::Unix) && rest != "*" {
        return Err("sockets that are files have neither host nor port: write `unix:*`");
    }
    let (host, ports) = target(rest)?;
    let direction = direction.map(|(_, direction)| direction);
    Ok(Rule { allows: !denies, direction, protocol, host, ports })
}

/// Splits host and ports.
fn target(text: &str) -> Result<(Host, Ports), &'static str> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']').ok_or("`]` is missing")?;
        let ip = |text: &str| text.parse::<Ipv6Addr>().map(IpAddr::V6).ok();
        let host = cidr(inside, ip)?.ok_or("this is no IPv6 address")?;
        return match (rest, rest.strip_prefix(':')) {
            ("", _) => Ok((host, Ports::ALL)),
            (_, Some(text)) => Ok((host, ports(text)?)),
            _ => Err("expected `:` and a port after `]`"),
        };
    }
    match text.split_once(':') {
        None => Ok((host(text)?, Ports::ALL)),
        Some((_, text)) if text.contains(':') => Err("IPv6 addresses are written in brackets"),
        Some(("", text)) => Ok((Host::Any, ports(text)?)),
        Some((before, text)) => Ok((host(before)?, ports(text)?)),
    }
}

fn ports(text: &str) -> Result<Ports, &'static str> {
    let number = |text: &str| match text.parse() {
        // `from_str` would take a sign.
        Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err("a port is a number up to 65535"),
    };
    let (first, last) = match text.split_once('-') {
        _ if text == "*" => return Ok(Ports::ALL),
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last { Err("the first port is above the last") } else { Ok(Ports { first, last }) }
}

/// An address with or without a count of bits; `None` when it is no address.
fn cidr(text: &str, ip: impl Fn(&str) -> Option<IpAddr>) -> Result<Option<Host>, &'static str> {
    let (start, bits) = match text.split_once('/') {
        Some((start, bits)) => (start, Some(bits)),
        None => (text, None),
    };
    let Some(ip) = ip(start) else { return Ok(None) };
    let cidr = match bits {
        None => Cidr::one(unmapped(ip)),
        Some(_) if unmapped(ip) != ip => return Err("write the IPv4 address itself"),
        Some(bits) => {
            let bits = bits.parse().map_err(|_| "the count of bits is no number")?;
            Cidr::new(ip, bits).ok_or("the address has fewer bits")?
        }
    };
    Ok(Some(Host::Cidr(cidr)))
}

fn host(text: &str) -> Result<Host, &'static str> {
    if text == "*" {
        return Ok(Host::Any);
    }
    if text.starts_with('@') {
        return Group::from_name(text).map(Host::Group).ok_or("there is no such group");
    }
    if let Some(host) = cidr(text, |text| text.parse().ok().map(IpAddr::V4))? {
        return Ok(host);
    }
    if text.contains('/') {
        return Err("this is no address");
    }
    match text.strip_prefix("*.") {
        Some(name) => Ok(Host::Below(host_name(name).ok_or("this is no name of a host")?)),
        None => Ok(Host::Name(host_name(text).ok_or("this is no name or address of a host")?)),
    }
}

/// Longest name of a host in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 253;

/// The one form of a host's name: lower case, no dot at the end. `None` for what is no name; so are
/// the many spellings of IPv4 addresses that C libraries know, such as `127.1` and `0x7f000001`.
#[must_use]
pub fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    let last = name.rsplit('.').next()?;
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    let is_name = name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label) && !is_number;
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_part_may_be_left_out() {
        let any = Rule {
            allows: true,
            direction: None,
            protocol: None,
            host: Host::Any,
            ports: Ports::ALL,
        };
        assert_eq!(rule("*"), any);
        assert_eq!(rule("allow:*:*"), any);
        assert_eq!(rule("deny:*"), Rule { allows: false, ..any.clone() });
        let connect = Rule { direction: Some(Direction::Connect), ..any.clone() };
        assert_eq!(rule("connect:*"), connect);
        let ports = Ports { first: 80, last: 90 };
        let tcp = Rule { protocol: Some(Protocol::Tcp), ports, ..connect };
        assert_eq!(rule("connect:tcp::80-90"), tcp);
        assert_eq!(rule("connect:tcp:*:80-90"), tcp);
        let host = Host::Name("a.example".to_owned());
        assert_eq!(rule("A.example.:80-90"), Rule { host, ports, ..any.clone() });
        let unix = Rule { protocol: Some(Protocol::Unix), ..any };
        assert_eq!(rule("unix:*"), unix);
    }

    #[test]
    fn hosts() {
        let of = |text: &str| rule(text).host;
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(of("10.0.0.0/8:1"), Host::Cidr(Cidr::new(ip("10.0.0.0"), 8).unwrap()));
        assert_eq!(of("1.2.3.4"), Host::Cidr(Cidr::one(ip("1.2.3.4"))));
        assert_eq!(of("[::1]:5"), Host::Cidr(Cidr::one(ip("::1"))));
        assert_eq!(of("[::ffff:1.2.3.4]"), Host::Cidr(Cidr::one(ip("1.2.3.4"))));
        assert_eq!(of("[fd00::/8]"), Host::Cidr(Cidr::new(ip("fd00::"), 8).unwrap()));
        assert_eq!(of("*.example.com:443"), Host::Below("example.com".to_owned()));
        assert_eq!(of("@loopback:1"), Host::Group(Group::Loopback));
        // Words of the grammar are names where a name is expected.
        assert_eq!(of("connect:tcp"), Host::Name("tcp".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, what) in [
            ("", "no name"),
            ("connect:", "no name"),
            ("a b", "no name"),
            ("127.1", "no name"),
            ("0x7f000001", "no name"),
            ("2130706433", "no name"),
            ("a..b", "no name"),
            ("*.*", "no name"),
            ("a/8", "no address"),
            ("1.2.3.4/33", "fewer bits"),
            ("1.2.3.4/x", "no number"),
            ("[::ffff:1.2.3.4/100]", "IPv4 address itself"),
            ("::1", "in brackets"),
            ("[::1", "missing"),
            ("[1.2.3.4]", "no IPv6"),
            ("[::1]80", "after `]`"),
            ("a:b", "up to 65535"),
            ("a:65536", "up to 65535"),
            ("a:+1", "up to 65535"),
            ("a:2-1", "above"),
            ("a:", "up to 65535"),
            ("@all", "no such group"),
            ("unix:/tmp", "unix:*"),
            ("unix:*:80", "unix:*"),
        ] {
            let error = text.parse::<Rule>().expect_err(text).to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
        assert!(parse_rules("*,").is_err() && parse_rules("a:1, b:2").unwrap().len() == 2);
    }

    #[test]
    fn names_have_one_form() {
        for (text, name) in [
            ("Example.COM.", Some("example.com")),
            ("a_b-c", Some("a_b-c")),
            ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
            ("1.2.3.4", None),
            ("a.1", None),
            ("a.0xfe", None),
            ("a\0b", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(host_name(text).as_deref(), name, "{text:?}");
        }
        let label = "a".repeat(63);
        assert!(host_name(&label).is_some() && host_name(&format!("{label}a")).is_none());
        assert!(host_name(&[label.as_str(); 4].join(".")).is_none());
    }
}
