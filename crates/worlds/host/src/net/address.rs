//! Addresses as rules see them: in one form, whatever form a guest wrote them in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The well-known prefix of addresses that a translator turns into IPv4 (RFC 6052).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// The address that the kernel talks to when asked for `ip`: an IPv4 address in an IPv6 one is that
/// IPv4 address, and the address of no host is this host.
#[must_use]
pub fn destination(ip: IpAddr) -> IpAddr {
    match unmapped(ip) {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// `ip`, or the IPv4 address that it stands for in IPv6 (`::ffff:0:0/96`).
#[must_use]
pub fn unmapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// The IPv4 address that some other machine may make of an IPv6 one: a translator, a relay of 6to4,
/// or a stack that knows the old compatible form. A rule that denies it denies these too.
#[must_use]
pub fn embedded(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(ip) = ip else { return None };
    let parts = ip.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
    };
    match parts {
        [0x2002, high, low, ..] => four(high, low),
        [a, b, c, d, e, f, high, low] if [a, b, c, d, e, f] == NAT64 => four(high, low),
        // `::` and `::1` are no such thing.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => four(high, low),
        _ => None,
    }
}

/// A set of addresses with a common start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    ip: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The addresses whose first `bits` bits are those of `ip`; `None` when there are not as many.
    #[must_use]
    pub const fn new(ip: IpAddr, bits: u8) -> Option<Self> {
        let max = match ip {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if bits <= max { Some(Cidr { ip, bits }) } else { None }
    }

    /// One address.
    #[must_use]
    pub const fn one(ip: IpAddr) -> Self {
        let bits = match ip {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Cidr { ip, bits }
    }

    /// Whether `ip`, which is not mapped, is one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let differ = match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => u128::from(own.to_bits() ^ ip.to_bits()) << 96,
            (IpAddr::V6(own), IpAddr::V6(ip)) => own.to_bits() ^ ip.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(self.bits)
    }
}

/// Sets of addresses that have a name in rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// This host: `127.0.0.0/8`, `::1`.
    Loopback,
    /// Hosts on the same wire, among them the services by which clouds tell secrets to machines:
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// Networks without a way in from outside: RFC 1918, RFC 6598, `fc00::/7`.
    Private,
    /// Many hosts at once: `224.0.0.0/4`, `255.255.255.255`, `ff00::/8`.
    Multicast,
}

const fn four(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Cidr {
    Cidr { ip: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits }
}

const fn six(first: u16, last: u16, bits: u8) -> Cidr {
    Cidr { ip: IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last)), bits }
}

impl Group {
    /// Each group with its name in rules and its addresses.
    const ALL: &[(Group, &str, &[Cidr])] = &[
        (Group::Loopback, "@loopback", &[four(127, 0, 0, 0, 8), six(0, 1, 128)]),
        (Group::LinkLocal, "@link-local", &[four(169, 254, 0, 0, 16), six(0xfe80, 0, 10)]),
        (
            Group::Private,
            "@private",
            &[
                four(10, 0, 0, 0, 8),
                four(172, 16, 0, 0, 12),
                four(192, 168, 0, 0, 16),
                four(100, 64, 0, 0, 10),
                six(0xfc00, 0, 7),
            ],
        ),
        (
            Group::Multicast,
            "@multicast",
            &[four(224, 0, 0, 0, 4), four(255, 255, 255, 255, 32), six(0xff00, 0, 8)],
        ),
    ];

    /// The group of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own, _)| *own == name).map(|(group, ..)| *group)
    }

    /// Whether `ip`, which is not mapped, is one of them.
    #[must_use]
    pub fn contains(self, ip: IpAddr) -> bool {
        let own = Self::ALL.iter().filter(|(group, ..)| *group == self);
        own.flat_map(|(_, _, cidrs)| *cidrs).any(|cidr| cidr.contains(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_form_for_all() {
        for (written, talked_to) in [
            ("1.2.3.4", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("::ffff:0.0.0.0", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("::1", "::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(destination(ip(written)), ip(talked_to), "{written}");
        }
        for (written, inside) in [
            ("64:ff9b::7f00:1", Some("127.0.0.1")),
            ("2002:7f00:1::", Some("127.0.0.1")),
            ("::7f00:1", Some("127.0.0.1")),
            ("::1", None),
            ("::", None),
            ("64:ff9b:1::7f00:1", None),
            ("1.2.3.4", None),
        ] {
            assert_eq!(embedded(ip(written)), inside.map(ip), "{written}");
        }
    }

    #[test]
    fn cidrs_end_where_they_end() {
        for (of, bits, inside, outside) in [
            ("10.0.0.0", 8, "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3", "10.1.2.2"),
            ("192.168.4.0", 23, "192.168.5.255", "192.168.6.0"),
            ("2001:db8::", 32, "2001:db8:ffff::1", "2001:db9::"),
            ("0.0.0.0", 0, "255.255.255.255", "::"),
            ("::", 0, "ffff::", "1.2.3.4"),
        ] {
            let cidr = Cidr::new(ip(of), bits).unwrap();
            assert!(cidr.contains(ip(inside)), "{inside} in {of}/{bits}");
            assert!(!cidr.contains(ip(outside)), "{outside} in {of}/{bits}");
        }
        assert!(Cidr::new(ip("1.2.3.4"), 33).is_none() && Cidr::new(ip("::"), 129).is_none());
        assert!(
            Cidr::one(ip("::5")).contains(ip("::5")) && !Cidr::one(ip("::5")).contains(ip("::4"))
        );
    }

    #[test]
    fn groups() {
        for (name, inside, outside) in [
            ("@loopback", "127.9.9.9", "128.0.0.1"),
            ("@loopback", "::1", "::2"),
            ("@link-local", "169.254.169.254", "169.253.0.1"),
            ("@link-local", "febf::1", "fec0::1"),
            ("@private", "100.127.0.1", "100.128.0.1"),
            ("@private", "172.31.0.1", "172.32.0.1"),
            ("@private", "fdff::1", "fe00::1"),
            ("@multicast", "239.1.1.1", "240.0.0.1"),
            ("@multicast", "ff02::1", "fe02::1"),
        ] {
            let group = Group::from_name(name).unwrap();
            assert!(group.contains(ip(inside)) && !group.contains(ip(outside)), "{name} {inside}");
        }
        assert_eq!(Group::from_name("@nothing"), None);
    }
}
