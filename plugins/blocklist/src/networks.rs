//! A set of networks that finds the network of an address.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use lightmon_plugin::carried_ipv4;

/// The prefix length of the network of IPv4-mapped addresses, `::ffff:0:0/96`.
const MAPPED_PREFIX_BITS: u32 = 96;

/// A network: its first address and its prefix length.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Network {
    first: u128,
    prefix: u8,
    family: Family,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Family {
    V4,
    V6,
}

impl Family {
    const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl Network {
    /// Parses a network such as `192.0.2.0/24` or `2001:db8::/32`, or a single address. Ignores bits after the prefix. A network
    /// of IPv4-mapped addresses becomes an IPv4 network.
    ///
    /// # Errors
    /// If the text is not a network. The text of the error says why.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = address
            .parse()
            .map_err(|_| "not an address or a network such as 192.0.2.0/24")?;
        let (bits, family) = match address {
            IpAddr::V4(address) => (address.to_bits().into(), Family::V4),
            IpAddr::V6(address) => (address.to_bits(), Family::V6),
        };
        let prefix = match prefix {
            None => family.bits(),
            Some(prefix) if prefix.bytes().all(|it| it.is_ascii_digit()) => prefix
                .parse()
                .ok()
                .filter(|prefix| *prefix <= family.bits())
                .ok_or("the prefix length is missing or longer than the address")?,
            Some(_) => return Err("the prefix length is not a number"),
        };
        Ok(match address {
            IpAddr::V6(mapped) if u32::from(prefix) >= MAPPED_PREFIX_BITS => {
                match mapped.to_ipv4_mapped() {
                    Some(v4) => Self::new(
                        v4.to_bits().into(),
                        prefix - MAPPED_PREFIX_BITS as u8,
                        Family::V4,
                    ),
                    None => Self::new(bits, prefix, family),
                }
            }
            _ => Self::new(bits, prefix, family),
        })
    }

    fn new(bits: u128, prefix: u8, family: Family) -> Self {
        let network = Self {
            first: bits,
            prefix,
            family,
        };
        Self {
            first: bits & !network.host_mask(),
            ..network
        }
    }

    /// A mask of the bits after the prefix.
    fn host_mask(self) -> u128 {
        let free = u32::from(self.family.bits() - self.prefix);
        1u128.checked_shl(free).unwrap_or(0).wrapping_sub(1)
    }

    fn last(self) -> u128 {
        self.first | self.host_mask()
    }
}

/// In CIDR notation.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::V4 => Ipv4Addr::from_bits(self.first as u32).fmt(f)?,
            Family::V6 => Ipv6Addr::from_bits(self.first).fmt(f)?,
        }
        write!(f, "/{}", self.prefix)
    }
}

/// Networks, prepared for a binary search. Two networks overlap only if one contains the other. Networks inside another network
/// are removed, so the rest are disjoint and sorted. The only candidate for an address is the last network that starts before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks {
    v4: Vec<Network>,
    v6: Vec<Network>,
}

impl Networks {
    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The widest network that contains the address. For an IPv6 address that carries an IPv4 address (NAT64, 6to4), also looks
    /// up the IPv4 address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<Network> {
        match address.to_canonical() {
            IpAddr::V4(address) => find(&self.v4, address.to_bits().into()),
            IpAddr::V6(address) => find(&self.v6, address.to_bits())
                .or_else(|| find(&self.v4, carried_ipv4(address)?.to_bits().into())),
        }
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        let (v4, v6) = networks
            .into_iter()
            .partition(|network| network.family == Family::V4);
        Self {
            v4: outermost(v4),
            v6: outermost(v6),
        }
    }
}

/// Sorts the networks and removes those inside another network.
fn outermost(mut networks: Vec<Network>) -> Vec<Network> {
    // For networks with the same first address, the widest comes first.
    networks.sort_unstable();
    networks.dedup_by(|inner, outer| inner.last() <= outer.last());
    networks.shrink_to_fit();
    networks
}

fn find(networks: &[Network], address: u128) -> Option<Network> {
    let after = networks.partition_point(|network| network.first <= address);
    let network = networks[..after].last()?;
    (address <= network.last()).then_some(*network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_parsed() {
        for (text, expect) in [
            ("192.0.2.0/24", Ok("192.0.2.0/24")),
            ("192.0.2.7/24", Ok("192.0.2.0/24")),
            ("192.0.2.7", Ok("192.0.2.7/32")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("2001:DB8::1/32", Ok("2001:db8::/32")),
            ("::1", Ok("::1/128")),
            ("::/0", Ok("::/0")),
            ("::ffff:192.0.2.0/120", Ok("192.0.2.0/24")),
            ("::ffff:192.0.2.1", Ok("192.0.2.1/32")),
            ("::ffff:0:0/96", Ok("0.0.0.0/0")),
            ("::ffff:0:0/95", Ok("::fffe:0:0/95")),
            (
                "192.0.2.0/33",
                Err("the prefix length is missing or longer than the address"),
            ),
            (
                "192.0.2.0/",
                Err("the prefix length is missing or longer than the address"),
            ),
            ("192.0.2.0/+8", Err("the prefix length is not a number")),
            (
                "192.0.2.0/255.0.0.0",
                Err("the prefix length is not a number"),
            ),
            (
                "192.0.2",
                Err("not an address or a network such as 192.0.2.0/24"),
            ),
            (
                "192.0.2.1-192.0.2.9",
                Err("not an address or a network such as 192.0.2.0/24"),
            ),
            (
                "fe80::1%eth0",
                Err("not an address or a network such as 192.0.2.0/24"),
            ),
        ] {
            let parsed = Network::parse(text).map(|it| it.to_string());
            assert_eq!(parsed, expect.map(str::to_owned), "{text}");
        }
    }

    /// Checks in which network each address is found.
    fn check(networks: &str, expect: &[(&str, Option<&str>)]) {
        let networks: Networks = networks
            .split(' ')
            .map(|it| Network::parse(it).unwrap())
            .collect();
        for (address, network) in expect {
            let found = networks
                .find(address.parse().unwrap())
                .map(|it| it.to_string());
            assert_eq!(found.as_deref(), *network, "{address}");
        }
    }

    #[test]
    fn the_first_and_last_address_match() {
        check(
            "192.0.2.0/24 198.51.100.7 2001:db8::/64",
            &[
                ("192.0.1.255", None),
                ("192.0.2.0", Some("192.0.2.0/24")),
                ("192.0.2.255", Some("192.0.2.0/24")),
                ("192.0.3.0", None),
                ("198.51.100.6", None),
                ("198.51.100.7", Some("198.51.100.7/32")),
                ("198.51.100.8", None),
                ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", None),
                ("2001:db8::", Some("2001:db8::/64")),
                ("2001:db8::ffff:ffff:ffff:ffff", Some("2001:db8::/64")),
                ("2001:db8:0:1::", None),
            ],
        );
    }

    #[test]
    fn the_widest_network_is_found() {
        check(
            "10.9.0.0/16 10.1.2.0/24 10.0.0.0/8 10.0.0.0/32 10.255.0.0/16 11.0.0.0/8",
            &[
                ("10.0.0.0", Some("10.0.0.0/8")),
                ("10.1.2.3", Some("10.0.0.0/8")),
                ("10.200.0.1", Some("10.0.0.0/8")),
                ("10.255.255.255", Some("10.0.0.0/8")),
                ("11.0.0.0", Some("11.0.0.0/8")),
                ("12.0.0.0", None),
            ],
        );
    }

    #[test]
    fn address_families_are_separate() {
        check(
            "::/0 10.0.0.0/8",
            &[
                ("10.0.0.1", Some("10.0.0.0/8")),
                ("::ffff:10.0.0.1", Some("10.0.0.0/8")),
                ("11.0.0.1", None),
                ("::ffff:11.0.0.1", None),
                ("::a00:1", Some("::/0")),
                ("ffff::", Some("::/0")),
            ],
        );
        check(
            "0.0.0.0/0",
            &[("255.255.255.255", Some("0.0.0.0/0")), ("::1", None)],
        );
        check(
            "192.0.2.0/24",
            &[
                ("64:ff9b::192.0.2.1", Some("192.0.2.0/24")),
                ("2002:c000:201::1", Some("192.0.2.0/24")),
                ("64:ff9b::192.0.3.1", None),
            ],
        );
    }

    /// Compares the binary search with a linear search over random networks.
    #[test]
    fn the_binary_search_finds_what_a_linear_search_finds() {
        let mut random = 1u64;
        let mut next = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 32) as u32
        };
        // Few distinct addresses, so that many lookups match.
        let mut all: Vec<Network> = (0..2_000)
            .map(|_| {
                Network::new(
                    (next() & 0x00ff_0f0f).into(),
                    8 + (next() % 25) as u8,
                    Family::V4,
                )
            })
            .collect();
        all.retain(|network| network.prefix > 12);
        let networks: Networks = all.iter().copied().collect();
        assert!(
            networks
                .v4
                .windows(2)
                .all(|two| two[0].last() < two[1].first)
        );
        for _ in 0..10_000 {
            let address = next() & 0x00ff_ffff;
            let widest = all
                .iter()
                .filter(|it| (it.first..=it.last()).contains(&u128::from(address)))
                .min_by_key(|it| it.prefix);
            let found = networks.find(Ipv4Addr::from_bits(address).into());
            assert_eq!(found, widest.copied());
        }
    }
}
