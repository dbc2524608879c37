//! Looks up addresses in the built-in table, for `data/make.py --check`. Reads one address from each line, as hex digits of its
//! 128 bits. Writes the code of its country, or `-`. With `--time`, measures the time of a lookup instead.
#![expect(
    clippy::print_stdout,
    reason = "the program writes its result to stdout"
)]

use std::{error::Error, hint::black_box, io, net::Ipv6Addr, time::Instant};

use geoip::Countries;

fn main() -> Result<(), Box<dyn Error>> {
    let geoip = Countries::load();
    let addresses = io::stdin()
        .lines()
        .map(|line| Ok(Ipv6Addr::from_bits(u128::from_str_radix(line?.trim(), 16)?)))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    if std::env::args().any(|argument| argument == "--time") {
        const ROUNDS: usize = 5;
        let start = Instant::now();
        for address in addresses.iter().cycle().take(addresses.len() * ROUNDS) {
            black_box(geoip.country(black_box(*address)));
        }
        let each = start.elapsed().as_nanos() / (addresses.len() * ROUNDS).max(1) as u128;
        println!("{each} ns per lookup, {} addresses", addresses.len());
        return Ok(());
    }
    let mut text = String::new();
    for address in addresses {
        text.push_str(geoip.country(address).map_or("-", |country| country.code));
        text.push('\n');
    }
    print!("{text}");
    Ok(())
}
