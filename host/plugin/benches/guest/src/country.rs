//! An address's place in a table of 64 networks, as geoip's in small.

use std::net::IpAddr;

const COUNTRIES: [&str; 8] = ["US", "DE", "FR", "JP", "BR", "IN", "GB", "NL"];

/// Where each 64th of IPv4 begins.
static IPV4: [u32; 64] = {
    let mut starts = [0; 64];
    let mut i = 0;
    while i < 64 {
        starts[i] = (i as u32) << 26;
        i += 1;
    }
    starts
};

/// Where each 16th of IPv6 begins.
static IPV6: [u128; 16] = {
    let mut starts = [0; 16];
    let mut i = 0;
    while i < 16 {
        starts[i] = (i as u128) << 124;
        i += 1;
    }
    starts
};

/// The country of an address, by a search in the table.
pub fn of(address: IpAddr) -> &'static str {
    let at = match address {
        IpAddr::V4(address) => IPV4.partition_point(|start| *start <= address.to_bits()),
        IpAddr::V6(address) => IPV6.partition_point(|start| *start <= address.to_bits()),
    };
    COUNTRIES[(at - 1) % COUNTRIES.len()]
}
