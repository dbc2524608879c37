//! Classifies addresses by the IANA registries of special-purpose addresses (RFC 6890 and its successors).
//! Looks only at the address, not at the addresses or routes of the host.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The scope of an address: how far it reaches.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// This host: loopback, and the unspecified address, which Linux treats as loopback.
    Host,
    /// This link: 169.254.0.0/16, fe80::/10, and the broadcast address.
    Link,
    /// This site or provider: RFC 1918, carrier-grade NAT (100.64.0.0/10), unique local (fc00::/7).
    Private,
    /// Multicast groups.
    Multicast,
    /// No host: documentation, benchmarks, discard, and addresses that IANA has not allocated.
    Reserved,
    /// The Internet.
    Public,
}

impl Scope {
    /// The scope of an address. An IPv6 address that carries an IPv4 address (NAT64, 6to4) has the scope of the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => v4(address),
            IpAddr::V6(address) => carried_ipv4(address).map_or_else(|| v6(address), v4),
        }
    }
}

/// Extracts the IPv4 address from a NAT64 (64:ff9b::/96, RFC 6052) or 6to4 (2002::/16, RFC 3056) address.
pub fn carried_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    if bits >> 32 == 0x64_ff9b << 64 {
        Some(Ipv4Addr::from_bits(bits as u32))
    } else if bits >> 112 == 0x2002 {
        Some(Ipv4Addr::from_bits((bits >> 80) as u32))
    } else {
        None
    }
}

fn v4(address: Ipv4Addr) -> Scope {
    match address.octets() {
        [127, ..] | [0, 0, 0, 0] => Scope::Host,
        [169, 254, ..] | [255, 255, 255, 255] => Scope::Link,
        [10, ..] | [172, 16..32, ..] | [192, 168, ..] | [100, 64..128, ..] => Scope::Private,
        [224..240, ..] => Scope::Multicast,
        // Anycast addresses of PCP and TURN: the only routed addresses in 192.0.0.0/24.
        [192, 0, 0, 9 | 10] => Scope::Public,
        [0, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] | [240..=255, ..] => Scope::Reserved,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Scope::Reserved,
        _ => Scope::Public,
    }
}

fn v6(address: Ipv6Addr) -> Scope {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Scope::Host,
        [0xfe80..0xfec0, ..] => Scope::Link,
        // Unique local addresses, and the older site-local addresses.
        [0xfc00..0xfe00 | 0xfec0..0xff00, ..] => Scope::Private,
        // NAT64 prefix for local use (RFC 8215).
        [0x64, 0xff9b, 1, ..] => Scope::Private,
        [0xff00..=0xffff, ..] => Scope::Multicast,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => Scope::Reserved,
        // Benchmarks, and the first ORCHID prefix (RFC 4843).
        [0x2001, 2, 0, ..] | [0x2001, 0x10..0x20, ..] => Scope::Reserved,
        [0x2000..0x4000, ..] => Scope::Public,
        _ => Scope::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        for (scope, addresses) in [
            (
                Scope::Host,
                "127.0.0.1 127.255.255.255 0.0.0.0 :: ::1 ::ffff:127.0.0.1",
            ),
            (
                Scope::Link,
                "169.254.169.254 255.255.255.255 fe80::1 febf:ffff::",
            ),
            (
                Scope::Private,
                "10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.0 100.127.255.255 fc00::1 fdff::1 \
                 fec0::1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 2002:a00:1::1",
            ),
            (
                Scope::Multicast,
                "224.0.0.1 239.255.255.255 ff02::fb ff0e::1",
            ),
            (
                Scope::Reserved,
                "0.0.0.1 0.255.255.255 192.0.0.1 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 240.0.0.1 \
                 255.255.255.254 100::1 2001:db8::1 3fff:fff::1 2001:2::1 2001:10::1 5f00::1 ::2 ::1.2.3.4 4000::1 64:ff9b:2::1",
            ),
            (
                Scope::Public,
                "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 169.253.255.255 169.255.0.0 \
                 192.0.0.9 192.0.1.1 198.17.255.255 198.20.0.0 223.255.255.255 2001:4860:4860::8888 2606:4700::1111 2001:20::1 \
                 3fff:1000::1 64:ff9b::1.1.1.1 2002:101:101::1 ::ffff:8.8.8.8",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(Scope::of(address.parse().unwrap()), scope, "{address}");
            }
        }
    }

    #[test]
    fn carried() {
        let carried = |text: &str| carried_ipv4(text.parse().unwrap()).map(|ip| ip.to_string());
        assert_eq!(
            carried("64:ff9b::192.0.2.33").as_deref(),
            Some("192.0.2.33")
        );
        assert_eq!(carried("2002:c000:221::1").as_deref(), Some("192.0.2.33"));
        assert_eq!(carried("64:ff9b:1::192.0.2.33"), None);
        assert_eq!(carried("64:ff9b:0:0:1::192.0.2.33"), None);
        assert_eq!(carried("2001:db8::1"), None);
    }
}
