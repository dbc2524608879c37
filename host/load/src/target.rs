//! Maps the index of a connection to its destination address, and back.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// `count` consecutive addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) from: IpAddr,
    pub(crate) count: u32,
}

/// The text "lightmo" in a unique local address (RFC 4193).
const DEFAULT6: Ipv6Addr = Ipv6Addr::new(0xfd6c, 0x6967, 0x6874, 0x6d6f, 0, 0, 0, 0);
/// Other programs often use the first addresses: 127.0 to 127.15 are left to them.
const DEFAULT4: Ipv4Addr = Ipv4Addr::new(127, 16, 0, 0);

impl Range {
    /// # Errors
    /// If one of the addresses is not local to the loopback device.
    pub(crate) fn new(from: Option<IpAddr>, count: u32, is_ipv6: bool) -> anyhow::Result<Self> {
        let default = || match is_ipv6 {
            true => DEFAULT6.into(),
            false => DEFAULT4.into(),
        };
        let range = Self {
            from: from.unwrap_or_else(default),
            count,
        };
        let (first, last) = (range.from, range.last());
        match (first, last) {
            (IpAddr::V4(_), Some(IpAddr::V4(last))) if !is_ipv6 => ensure!(
                first.is_loopback() && last < Ipv4Addr::new(127, 255, 255, 255),
                "{count} addresses from {first} are not all in 127.0.0.0/8: give another --from"
            ),
            (IpAddr::V6(first), Some(IpAddr::V6(last))) if is_ipv6 => ensure!(
                first.is_unique_local() && first.segments()[..4] == last.segments()[..4],
                "{count} addresses from {first} are not all in one /64 of fd00::/8: give another --from"
            ),
            _ => anyhow::bail!("--from {first} is of the wrong family for this kind"),
        }
        Ok(range)
    }

    /// Returns address `i`.
    pub(crate) fn address(&self, i: u32) -> IpAddr {
        self.nth(i).expect("invariant: the last one was looked at")
    }

    /// Returns the index of this address.
    pub(crate) fn index(&self, address: IpAddr) -> Option<u32> {
        let i = match (self.from, address) {
            (IpAddr::V4(from), IpAddr::V4(address)) => {
                address.to_bits().checked_sub(from.to_bits())?
            }
            (IpAddr::V6(from), IpAddr::V6(address)) => address
                .to_bits()
                .checked_sub(from.to_bits())?
                .try_into()
                .ok()?,
            _ => return None,
        };
        (i < self.count).then_some(i)
    }

    fn last(&self) -> Option<IpAddr> {
        self.nth(self.count - 1)
    }

    fn nth(&self, i: u32) -> Option<IpAddr> {
        Some(match self.from {
            IpAddr::V4(from) => Ipv4Addr::from_bits(from.to_bits().checked_add(i)?).into(),
            IpAddr::V6(from) => Ipv6Addr::from_bits(from.to_bits().checked_add(i.into())?).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_its_address() {
        for (from, is_ipv6, third) in [
            (None, false, "127.16.0.2"),
            (Some("127.1.255.254"), false, "127.2.0.0"),
            (None, true, "fd6c:6967:6874:6d6f::2"),
        ] {
            let from = from.map(|from| from.parse().unwrap());
            let range = Range::new(from, 3, is_ipv6).unwrap();
            assert_eq!(range.address(2), third.parse::<IpAddr>().unwrap());
            assert_eq!(range.index(range.address(2)), Some(2));
            assert_eq!(range.index(range.nth(3).unwrap()), None);
            for other in ["127.1.255.253", "10.0.0.1", "::1", "ff02::1"] {
                assert_eq!(range.index(other.parse().unwrap()), None, "{other}");
            }
        }
    }

    #[test]
    fn only_the_loopbacks_addresses() {
        for (from, count, is_ipv6) in [
            ("10.0.0.1", 1, false),
            ("126.255.255.255", 2, false),
            ("127.255.255.254", 2, false),
            ("255.255.255.255", 2, false),
            ("fd00::", 1, false),
            ("127.0.0.1", 1, true),
            ("2001:db8::", 1, true),
            ("fd00::ffff:ffff:ffff:ffff", 2, true),
        ] {
            let range = Range::new(Some(from.parse().unwrap()), count, is_ipv6);
            assert!(range.is_err(), "{from} {count}");
        }
    }
}
