//! Addresses in guest memory: `addr_port`, 110 bytes with a tag.
//!
//! ```text
//! 0  tag: 0 unspecified, 1 IPv4, 2 IPv6, 3 Unix
//! 2  IPv4: port, 4 bytes of address
//!    IPv6: port, 16 bytes of address, flow information, scope
//!    Unix: 108 bytes of path, ended by a NUL if shorter
//! ```
//! Ports, flow information and scope are little-endian both ways; the two halves of the latter come
//! with the high one first. Bytes of addresses are in the order of the network.

use crate::abi::Out;
use crate::errno::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use wasmoor_host::GuestMemory;
use wasmoor_host::net::socket::{Address, Family};

/// Size of `addr_port`.
pub(crate) const ADDR_PORT_BYTES: u32 = 110;
/// Size of an `addr_ip` as `resolve` puts it: a tag and, at 2, up to 16 bytes.
pub(crate) const ADDR_IP_BYTES: u32 = 18;

const UNSPECIFIED: u8 = 0;
const INET4: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;

/// Where the parts of an address are.
const PORT_AT: usize = 2;
const IP_AT: usize = 4;
const FLOW_AT: usize = 20;
const SCOPE_AT: usize = 24;
const PATH_AT: usize = 2;

/// `address_family`.
pub(crate) fn family(raw: u32) -> Result<Family, Errno> {
    match u8::try_from(raw) {
        Ok(INET4) => Ok(Family::V4),
        Ok(INET6) => Ok(Family::V6),
        Ok(UNIX) => Ok(Family::Unix),
        _ => Err(rustix::io::Errno::AFNOSUPPORT.into()),
    }
}

/// The address at `addr`.
pub(crate) fn read(memory: &GuestMemory<'_>, addr: u32) -> Result<Address, Errno> {
    let bytes: [u8; ADDR_PORT_BYTES as usize] = memory.read_array(addr)?;
    decode(&bytes).ok_or_else(|| rustix::io::Errno::AFNOSUPPORT.into())
}

fn decode(bytes: &[u8; ADDR_PORT_BYTES as usize]) -> Option<Address> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let halves = |at: usize| u32::from(u16_at(at)) << 16 | u32::from(u16_at(at + 2));
    let port = u16_at(PORT_AT);
    Some(match bytes[0] {
        UNSPECIFIED => Address::Unspecified,
        INET4 => {
            let ip: [u8; 4] = bytes[IP_AT..IP_AT + 4].try_into().ok()?;
            Address::Ip(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
        }
        INET6 => {
            let ip: [u8; 16] = bytes[IP_AT..IP_AT + 16].try_into().ok()?;
            let (flow, scope) = (halves(FLOW_AT), halves(SCOPE_AT));
            Address::Ip(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
        }
        UNIX => {
            let path = &bytes[PATH_AT..];
            let len = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            Address::Unix(path[..len].to_vec())
        }
        _ => return None,
    })
}

fn encode(address: &Address) -> [u8; ADDR_PORT_BYTES as usize] {
    let mut bytes = [0; ADDR_PORT_BYTES as usize];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    let halves = |value: u32| {
        // Truncation splits it.
        let (high, low) = ((value >> 16) as u16, value as u16);
        [high.to_le_bytes(), low.to_le_bytes()].concat()
    };
    match address {
        Address::Unspecified => {}
        Address::Ip(SocketAddr::V4(address)) => {
            put(0, &[INET4]);
            put(PORT_AT, &address.port().to_le_bytes());
            put(IP_AT, &address.ip().octets());
        }
        Address::Ip(SocketAddr::V6(address)) => {
            put(0, &[INET6]);
            put(PORT_AT, &address.port().to_le_bytes());
            put(IP_AT, &address.ip().octets());
            put(FLOW_AT, &halves(address.flowinfo()));
            put(SCOPE_AT, &halves(address.scope_id()));
        }
        Address::Unix(path) => {
            put(0, &[UNIX]);
            put(PATH_AT, &path[..path.len().min(ADDR_PORT_BYTES as usize - PATH_AT)]);
        }
    }
    bytes
}

/// A place for an address.
pub(crate) fn place<'a>(memory: &GuestMemory<'a>, addr: u32) -> Result<Out<'a>, Errno> {
    Out::new(memory, addr, ADDR_PORT_BYTES)
}

/// Puts an address.
pub(crate) fn put(out: Out<'_>, address: &Address) {
    out.put(&encode(address));
}

/// An address as `resolve` puts it.
pub(crate) fn encode_ip(ip: IpAddr) -> [u8; ADDR_IP_BYTES as usize] {
    let mut bytes = [0; ADDR_IP_BYTES as usize];
    match ip {
        IpAddr::V4(ip) => {
            bytes[0] = INET4;
            bytes[2..6].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes[0] = INET6;
            bytes[2..18].copy_from_slice(&ip.octets());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_read() {
        for address in [
            Address::Unspecified,
            Address::Ip("1.2.3.4:258".parse().unwrap()),
            Address::Ip("[2001:db8::5]:65535".parse().unwrap()),
            Address::Ip(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0x0102_0304, 0xa0b0_c0d0).into()),
            Address::Unix(b"/run/x".to_vec()),
            Address::Unix(vec![b'a'; 108]),
        ] {
            assert_eq!(decode(&encode(&address)), Some(address));
        }
        assert_eq!(decode(&[4; 110]), None);
    }

    #[test]
    fn bytes_as_the_library_lays_them_out() {
        let v4 = encode(&Address::Ip("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(v4[..8], [1, 0, 0x90, 0x1f, 127, 0, 0, 1]);
        let scope = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0x1234, 0, 0x0001_0002);
        let v6 = encode(&Address::Ip(scope.into()));
        assert_eq!((v6[..4].to_vec(), v6[19]), (vec![2, 0, 0x34, 0x12], 1));
        assert_eq!(v6[24..28], [1, 0, 2, 0]);
        let name = encode_ip("1.2.3.4".parse().unwrap());
        assert_eq!(name[..6], [1, 0, 1, 2, 3, 4]);
    }
}
