//! What a guest may do on the network: rules, and the decisions they lead to. Nothing here talks to
//! the system.
//!
//! - What no rule grants is refused, and what any rule refuses is refused whatever others grant, so
//!   the order of rules does not matter. When all rules refuse, everything else is granted.
//! - A rule with a name grants the addresses that *our* resolver gave for that name and that were
//!   pinned then ([`Pins`](super::pins::Pins)), and never an address that names are abused to reach:
//!   this host, the same wire, many hosts. `localhost` may be this host.
//! - Addresses are compared in the form that the kernel would use ([`address`](super::address)).
//! - To listen on all addresses at once is to listen on each: all must be granted, none refused.
//! - A name is resolved when some rule could grant a connection to it. Names are sent to other
//!   machines to be resolved, so rules that only have addresses grant no name.

use super::address::{Group, destination, embedded, unmapped};
use super::rules::{Direction, Host, Ports, Protocol, Rule};
use std::net::{IpAddr, Ipv4Addr};

/// Rules, compiled to decisions. The default refuses everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

/// What a guest wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who begins.
    pub direction: Direction,
    /// How.
    pub protocol: Protocol,
    /// The other side's address, or the own one to listen on.
    pub ip: IpAddr,
    /// The port; 0 to listen on any that is free.
    pub port: u16,
}

impl Policy {
    /// Refuses everything.
    #[must_use]
    pub fn nothing() -> Self {
        Policy::default()
    }

    /// Grants everything, sockets in mounts included.
    #[must_use]
    pub fn everything() -> Self {
        let any = |protocol| Rule {
            allows: true,
            direction: None,
            protocol,
            host: Host::Any,
            ports: Ports::ALL,
        };
        Policy { rules: vec![any(None), any(Some(Protocol::Unix))] }
    }

    /// Grants what `rules` grant. When all of them refuse, everything else is granted.
    #[must_use]
    pub fn new(mut rules: Vec<Rule>) -> Self {
        if !rules.is_empty() && rules.iter().all(|rule| !rule.allows) {
            rules.extend(Policy::everything().rules);
        }
        Policy { rules }
    }

    /// Whether anything over IP, or with files, may be granted: else not even a socket is opened.
    #[must_use]
    pub fn grants_any(&self, protocol: Protocol) -> bool {
        self.rules.iter().any(|rule| rule.allows && is_about(rule, protocol))
    }

    /// Whether sockets that are files of mounts may be used.
    #[must_use]
    pub fn allows_unix(&self, direction: Direction) -> bool {
        let rules = || {
            self.rules
                .iter()
                .filter(move |rule| is_about(rule, Protocol::Unix) && is_toward(rule, direction))
        };
        rules().any(|rule| rule.allows) && rules().all(|rule| rule.allows)
    }

    /// Whether the guest may; `pinned` tells whether the address was given for a name that fits
    /// the question it is asked.
    #[must_use]
    pub fn allows(&self, wish: &Wish, pinned: impl Fn(&dyn Fn(&str) -> bool) -> bool) -> bool {
        let fits = |rule: &&Rule| {
            is_about(rule, wish.protocol)
                && is_toward(rule, wish.direction)
                && rule.ports.contains(wish.port)
        };
        let rules = || self.rules.iter().filter(fits);
        match wish.direction {
            Direction::Connect => {
                let ip = destination(wish.ip);
                let hidden = embedded(ip);
                let denies = |host: &Host| {
                    has_ip(host, ip)
                        || hidden.is_some_and(|hidden| has_ip(host, destination(hidden)))
                        || pinned(&|name| has_name(host, name))
                };
                let allows = |host: &Host| {
                    let named = || pinned(&|name| has_name(host, name) && may_lead_to(name, ip));
                    has_ip(host, ip) || named()
                };
                !rules().any(|rule| !rule.allows && denies(&rule.host))
                    && rules().any(|rule| rule.allows && allows(&rule.host))
            }
            Direction::Listen => {
                let ip = unmapped(wish.ip);
                // All addresses at once: whichever is refused would be among them.
                let denies = |host: &Host| ip.is_unspecified() || has_ip(host, ip);
                !rules().any(|rule| !rule.allows && denies(&rule.host))
                    && rules().any(|rule| rule.allows && has_ip(&rule.host, ip))
            }
        }
    }

    /// Whether the guest may listen on all addresses of both families, as a socket for IPv6 does
    /// that takes IPv4 too.
    #[must_use]
    pub fn allows_both_families(&self, wish: &Wish) -> bool {
        let four = Wish { ip: Ipv4Addr::UNSPECIFIED.into(), ..*wish };
        self.allows(wish, |_| false) && self.allows(&four, |_| false)
    }

    /// Whether a name in its one form may be resolved.
    #[must_use]
    pub fn allows_name(&self, name: &str) -> bool {
        let over_ip = |rule: &&Rule| {
            rule.protocol != Some(Protocol::Unix) && is_toward(rule, Direction::Connect)
        };
        let rules = || self.rules.iter().filter(over_ip);
        // A rule against some ports of a name is no rule against the name.
        let denies = |rule: &Rule| {
            rule.protocol.is_none()
                && rule.ports == Ports::ALL
                && (rule.host == Host::Any || has_name(&rule.host, name))
        };
        !rules().any(|rule| !rule.allows && denies(rule))
            && rules()
                .any(|rule| rule.allows && (rule.host == Host::Any || has_name(&rule.host, name)))
    }

    /// Whether an answer for `name` is passed on: some rule could grant a connection to it.
    #[must_use]
    pub fn allows_answer(&self, name: &str, ip: IpAddr) -> bool {
        let ip = destination(ip);
        let fits = |rule: &Rule| {
            has_ip(&rule.host, ip) || (has_name(&rule.host, name) && may_lead_to(name, ip))
        };
        let rules = || self.rules.iter().filter(|rule| is_toward(rule, Direction::Connect));
        let denied = rules().any(|rule| {
            !rule.allows
                && rule.ports == Ports::ALL
                && rule.protocol.is_none()
                && has_ip(&rule.host, ip)
        });
        !denied && rules().any(|rule| rule.allows && fits(rule))
    }
}

fn is_about(rule: &Rule, protocol: Protocol) -> bool {
    match rule.protocol {
        Some(own) => own == protocol,
        None => protocol != Protocol::Unix,
    }
}

fn is_toward(rule: &Rule, direction: Direction) -> bool {
    rule.direction.is_none_or(|own| own == direction)
}

fn has_ip(host: &Host, ip: IpAddr) -> bool {
    match host {
        Host::Any => true,
        Host::Cidr(cidr) => cidr.contains(ip),
        Host::Group(group) => group.contains(ip),
        Host::Name(_) | Host::Below(_) => false,
    }
}

fn has_name(host: &Host, name: &str) -> bool {
    match host {
        Host::Name(own) => own == name,
        Host::Below(parent) => {
            name.strip_suffix(parent.as_str()).is_some_and(|start| start.ends_with('.'))
        }
        Host::Any | Host::Cidr(_) | Host::Group(_) => false,
    }
}

/// Whether the one who answers for `name` may send the guest to `ip`.
fn may_lead_to(name: &str, ip: IpAddr) -> bool {
    let is_this_host = |ip| Group::Loopback.contains(ip) || ip.is_unspecified();
    let is_trap = |ip| Group::LinkLocal.contains(ip) || Group::Multicast.contains(ip);
    let all = [Some(ip), embedded(ip)];
    let mut each = all.iter().flatten().copied();
    let local_name = name == "localhost" || name.ends_with(".localhost");
    each.all(|ip| !is_trap(ip) && (local_name || !is_this_host(ip)))
}

#[cfg(test)]
mod tests {
    use super::super::rules::parse_rules;
    use super::*;

    fn policy(rules: &str) -> Policy {
        match rules {
            "" => Policy::nothing(),
            "--net" => Policy::everything(),
            rules => Policy::new(parse_rules(rules).unwrap()),
        }
    }

    /// `connect tcp 1.2.3.4 80 [name]`
    fn decide(policy: &Policy, wish: &str) -> bool {
        let parts: Vec<&str> = wish.split(' ').collect();
        let direction = if parts[0] == "connect" { Direction::Connect } else { Direction::Listen };
        let protocol = if parts[1] == "tcp" { Protocol::Tcp } else { Protocol::Udp };
        let (ip, port) = (parts[2].parse().unwrap(), parts[3].parse().unwrap());
        let wish = Wish { direction, protocol, ip, port };
        policy.allows(&wish, |question| parts.get(4).is_some_and(|name| question(name)))
    }

    #[test]
    fn decisions() {
        for (rules, wish, granted) in [
            ("", "connect tcp 1.2.3.4 80", false),
            ("", "connect tcp 127.0.0.1 80", false),
            ("", "listen udp 127.0.0.1 0", false),
            ("--net", "connect tcp 169.254.169.254 80", true),
            ("--net", "listen tcp 0.0.0.0 80", true),
            // Parts of rules.
            ("connect:*", "listen tcp 1.2.3.4 80", false),
            ("connect:*", "connect udp 1.2.3.4 80", true),
            ("listen:*", "connect tcp 1.2.3.4 80", false),
            ("tcp:*", "connect udp 1.2.3.4 80", false),
            ("udp:*:53", "connect udp 1.2.3.4 53", true),
            ("udp:*:53", "connect udp 1.2.3.4 54", false),
            ("unix:*", "connect tcp 1.2.3.4 80", false),
            (":80-90", "connect tcp 1.2.3.4 90", true),
            (":80-90", "connect tcp 1.2.3.4 91", false),
            // A refusal wins, in any order; alone it leaves the rest.
            ("*,deny:10.0.0.0/8", "connect tcp 10.1.1.1 80", false),
            ("deny:10.0.0.0/8,*", "connect tcp 10.1.1.1 80", false),
            ("deny:10.0.0.0/8", "connect tcp 11.1.1.1 80", true),
            ("deny:10.0.0.0/8:22", "connect tcp 10.1.1.1 80", true),
            ("deny:connect:@loopback", "listen tcp 127.0.0.1 80", true),
            // Other spellings of an address.
            ("127.0.0.1:80", "connect tcp ::ffff:127.0.0.1 80", true),
            ("127.0.0.1:80", "connect tcp 0.0.0.0 80", true),
            ("*,deny:@loopback", "connect tcp 0.0.0.0 80", false),
            ("*,deny:@loopback", "connect tcp :: 80", false),
            ("*,deny:127.0.0.1", "connect tcp ::ffff:127.0.0.1 80", false),
            ("*,deny:127.0.0.1", "connect tcp ::ffff:0.0.0.0 80", false),
            ("*,deny:@private", "connect tcp 64:ff9b::a00:1 80", false),
            ("*,deny:@private", "connect tcp 2002:a00:1:: 80", false),
            ("*,deny:@private", "connect tcp ::10.0.0.1 80", false),
            ("10.0.0.1", "connect tcp 64:ff9b::a00:1 80", false),
            ("*,deny:@link-local", "connect udp 169.254.169.254 80", false),
            ("*,deny:@link-local", "connect tcp fe80::1 80", false),
            ("*,deny:@multicast", "connect udp 255.255.255.255 80", false),
            ("0.0.0.0/0", "connect tcp 2001:db8::1 80", false),
            // All addresses at once.
            ("listen:127.0.0.1:80", "listen tcp 0.0.0.0 80", false),
            ("listen:0.0.0.0/0:80", "listen tcp 0.0.0.0 80", true),
            ("listen:0.0.0.0/0:80", "listen tcp :: 80", false),
            ("listen:*,deny:listen:127.0.0.1", "listen tcp 0.0.0.0 80", false),
            ("listen:*,deny:listen:127.0.0.1:22", "listen tcp 0.0.0.0 80", true),
            ("listen:*,deny:listen:10.0.0.1", "listen tcp :: 80", false),
            ("listen:*:1024-65535", "listen tcp 127.0.0.1 0", false),
            ("listen:127.0.0.1", "listen tcp 127.0.0.1 0", true),
            ("listen:127.0.0.1", "listen tcp ::ffff:127.0.0.1 5", true),
            // Names.
            ("a.com:443", "connect tcp 1.2.3.4 443", false),
            ("a.com:443", "connect tcp 1.2.3.4 443 a.com", true),
            ("a.com:443", "connect tcp 1.2.3.4 80 a.com", false),
            ("a.com:443", "connect tcp 1.2.3.4 443 b.com", false),
            ("a.com:443", "connect tcp 1.2.3.4 443 x.a.com", false),
            ("*.a.com", "connect tcp 1.2.3.4 443 x.y.a.com", true),
            ("*.a.com", "connect tcp 1.2.3.4 443 a.com", false),
            ("*.a.com", "connect tcp 1.2.3.4 443 ba.com", false),
            ("a.com", "connect tcp 10.0.0.1 1 a.com", true),
            ("a.com", "connect tcp 127.0.0.1 1 a.com", false),
            ("a.com", "connect tcp ::1 1 a.com", false),
            ("a.com", "connect tcp 0.0.0.0 1 a.com", false),
            ("a.com", "connect tcp 169.254.169.254 1 a.com", false),
            ("a.com", "connect tcp 2002:7f00:1:: 1 a.com", false),
            ("a.com,127.0.0.1", "connect tcp 127.0.0.1 1 a.com", true),
            ("localhost:1", "connect tcp 127.0.0.1 1 localhost", true),
            ("localhost:1", "connect tcp 169.254.0.1 1 localhost", false),
            ("*,deny:a.com", "connect tcp 1.2.3.4 443 a.com", false),
            ("listen:a.com", "listen tcp 1.2.3.4 443 a.com", false),
        ] {
            assert_eq!(decide(&policy(rules), wish), granted, "--net={rules}: {wish}");
        }
    }

    #[test]
    fn both_families() {
        let wish = Wish {
            direction: Direction::Listen,
            protocol: Protocol::Tcp,
            ip: "::".parse().unwrap(),
            port: 80,
        };
        for (rules, granted) in
            [("listen:*", true), ("listen:[::]:80", false), ("[::]:80,0.0.0.0:80", true)]
        {
            assert_eq!(policy(rules).allows_both_families(&wish), granted, "{rules}");
        }
    }

    #[test]
    fn names_that_are_resolved() {
        for (rules, name, granted) in [
            ("", "a.com", false),
            ("--net", "a.com", true),
            ("1.2.3.4,@private", "a.com", false),
            ("a.com:443", "a.com", true),
            ("a.com:443", "b.com", false),
            ("*.a.com", "x.a.com", true),
            ("listen:*", "a.com", false),
            ("unix:*", "a.com", false),
            ("udp:*:53", "a.com", true),
            ("*,deny:a.com", "a.com", false),
            ("*,deny:*.a.com", "a.com", true),
            ("*,deny:a.com:22", "a.com", true),
        ] {
            assert_eq!(policy(rules).allows_name(name), granted, "{rules}: {name}");
        }
        for (rules, ip, granted) in [
            ("a.com", "1.2.3.4", true),
            ("a.com", "127.0.0.1", false),
            ("a.com", "169.254.169.254", false),
            ("*", "127.0.0.1", true),
            ("*,deny:@private", "10.0.0.1", false),
        ] {
            let granted_now = policy(rules).allows_answer("a.com", ip.parse().unwrap());
            assert_eq!(granted_now, granted, "{rules}: {ip}");
        }
    }

    #[test]
    fn sockets_that_are_files() {
        for (rules, connect, listen) in [
            ("", false, false),
            ("--net", true, true),
            ("*", false, false),
            ("unix:*", true, true),
            ("connect:unix:*", true, false),
            ("--net", true, true),
            ("unix:*,deny:listen:unix:*", true, false),
            ("deny:10.0.0.0/8", true, true),
        ] {
            let policy = policy(rules);
            let got =
                (policy.allows_unix(Direction::Connect), policy.allows_unix(Direction::Listen));
            assert_eq!(got, (connect, listen), "{rules}");
        }
        assert!(policy("unix:*").grants_any(Protocol::Unix));
        assert!(!policy("unix:*").grants_any(Protocol::Tcp));
    }
}
