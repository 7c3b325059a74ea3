//! Ports of the guest that are others on the host.

use super::rules::Protocol;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// `[ADDRESS:]HOST:GUEST[/udp]`: what the guest binds at its port GUEST is reached at the host's
/// port HOST, on ADDRESS, or on the address that the guest gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The address on the host.
    pub ip: Option<IpAddr>,
    /// The port on the host.
    pub host: u16,
    /// The port as the guest knows it.
    pub guest: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl FromStr for Published {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (ports, protocol) = match text.rsplit_once('/') {
            None | Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err("the protocol is `tcp` or `udp`".to_owned()),
        };
        let form = "expected HOST:GUEST, two port numbers";
        let (rest, guest) = ports.rsplit_once(':').ok_or(form)?;
        let (ip, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((ip, host)) => (Some(ip), host),
        };
        let bare = |ip: &str| match ip.strip_prefix('[') {
            Some(six) => six.strip_suffix(']').map(str::to_owned),
            None if ip.contains(':') => None,
            None => Some(ip.to_owned()),
        };
        let ip = ip
            .map(|ip| bare(ip).and_then(|ip| ip.parse().ok()).ok_or("this is no address"))
            .transpose()?;
        let port = |text: &str| match text.parse() {
            Ok(0) | Err(_) => Err(format!("`{text}` is no port number")),
            Ok(port) => Ok(port),
        };
        Ok(Published { ip, host: port(host)?, guest: port(guest)?, protocol })
    }
}

/// Where a socket that the guest binds to `wanted` is bound on the host, if that port is published.
#[must_use]
pub fn on_host(all: &[Published], protocol: Protocol, wanted: SocketAddr) -> Option<SocketAddr> {
    let fits = |one: &&Published| one.protocol == protocol && one.guest == wanted.port();
    let mut fitting = all.iter().filter(fits).filter_map(|one| match (one.ip, wanted.ip()) {
        (None, ip) => Some(SocketAddr::new(ip, one.host)),
        // A socket for IPv6 takes an IPv4 address in its mapped form only.
        (Some(IpAddr::V4(ip)), IpAddr::V6(_)) => {
            Some(SocketAddr::new(ip.to_ipv6_mapped().into(), one.host))
        }
        (Some(IpAddr::V6(_)), IpAddr::V4(_)) => None,
        (Some(ip), _) => Some(SocketAddr::new(ip, one.host)),
    });
    fitting.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let of = |text: &str| text.parse::<Published>();
        let plain = Published { ip: None, host: 8080, guest: 80, protocol: Protocol::Tcp };
        assert_eq!(of("8080:80"), Ok(plain));
        assert_eq!(of("8080:80/tcp"), Ok(plain));
        assert_eq!(of("8080:80/udp"), Ok(Published { protocol: Protocol::Udp, ..plain }));
        let ip = |text: &str| Some(text.parse().unwrap());
        assert_eq!(of("127.0.0.1:8080:80"), Ok(Published { ip: ip("127.0.0.1"), ..plain }));
        assert_eq!(of("[::1]:8080:80"), Ok(Published { ip: ip("::1"), ..plain }));
        for wrong in ["", "80", "a:80", "80:", "0:80", "80:0", "80:65536", "::1:80:80", "80:80/x"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn where_the_host_binds() {
        let all = ["8080:80", "127.0.0.1:9090:90", "[::1]:9091:91"].map(|one| one.parse().unwrap());
        for (wanted, bound) in [
            ("0.0.0.0:80", Some("0.0.0.0:8080")),
            ("[::]:80", Some("[::]:8080")),
            ("0.0.0.0:90", Some("127.0.0.1:9090")),
            ("[::]:90", Some("[::ffff:127.0.0.1]:9090")),
            ("0.0.0.0:91", None),
            ("127.0.0.1:8080", None),
        ] {
            let got = on_host(&all, Protocol::Tcp, wanted.parse().unwrap());
            assert_eq!(got, bound.map(|bound| bound.parse().unwrap()), "{wanted}");
        }
        assert_eq!(on_host(&all, Protocol::Udp, "0.0.0.0:80".parse().unwrap()), None);
    }
}
