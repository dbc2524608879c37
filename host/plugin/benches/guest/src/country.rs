//! A small version of geoip: looks up an address in a table of 64 networks.

use std::net::IpAddr;

const COUNTRIES: [&str; 8] = ["US", "DE", "FR", "JP", "BR", "IN", "GB", "NL"];

/// The first address of each of 64 IPv4 networks.
static IPV4: [u32; 64] = {
    let mut starts = [0; 64];
    let mut i = 0;
    while i < 64 {
        starts[i] = (i as u32) << 26;
        i += 1;
    }
    starts
};

/// The first address of each of 16 IPv6 networks.
static IPV6: [u128; 16] = {
    let mut starts = [0; 16];
    let mut i = 0;
    while i < 16 {
        starts[i] = (i as u128) << 124;
        i += 1;
    }
    starts
};

/// Looks up the country of an address.
pub fn of(address: IpAddr) -> &'static str {
    let at = match address {
        IpAddr::V4(address) => IPV4.partition_point(|start| *start <= address.to_bits()),
        IpAddr::V6(address) => IPV6.partition_point(|start| *start <= address.to_bits()),
    };
    COUNTRIES[(at - 1) % COUNTRIES.len()]
}
