//! Tags each public destination with its country: `country`, the ISO 3166-1 code, and `country_name`.
//! Asks nobody: the table is in here, and is as old as its NOTICE says.

mod table;

use std::net::{IpAddr, Ipv6Addr};

use lightmon_plugin::{Config, Event, Plugin, Scope, Verdict, carried_ipv4};

/// A country.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Country {
    /// ISO 3166-1 alpha-2, or `EU`, which ISO reserves for networks of no single country in Europe.
    pub code: &'static str,
    /// Short name in English.
    pub name: &'static str,
}

/// The countries of all addresses.
#[derive(Clone, Debug)]
pub struct Geoip {
    /// By the table's index, which begins at 1.
    countries: Vec<Country>,
}

impl Geoip {
    /// Ready for look-ups.
    pub fn load() -> Self {
        let lines = include_str!("../data/countries.tsv").lines();
        let countries = lines
            .filter_map(|line| line.split_once('\t'))
            .map(|(code, name)| Country { code, name })
            .collect();
        Self { countries }
    }

    /// What the data say of an address, whatever its scope.
    pub fn country(&self, address: Ipv6Addr) -> Option<Country> {
        let index = usize::from(table::find(address.to_bits())?);
        self.countries.get(index.checked_sub(1)?).copied()
    }

    /// The country that a destination is tagged with.
    fn of_destination(&self, address: IpAddr) -> Option<Country> {
        if Scope::of(address) != Scope::Public {
            return None;
        }
        match address {
            IpAddr::V4(address) => self.country(address.to_ipv6_mapped()),
            IpAddr::V6(address) => match carried_ipv4(address) {
                Some(carried) => self.country(carried.to_ipv6_mapped()),
                None => self.country(address),
            },
        }
    }
}

impl Plugin for Geoip {
    fn new(config: &Config) -> Result<Self, String> {
        config.none().map(|()| Self::load())
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        match self.of_destination(event.destination()) {
            Some(Country { code, name }) => Verdict::keep()
                .tag("country", code)
                .tag("country_name", name),
            None => Verdict::keep(),
        }
    }
}

lightmon_plugin::register!(
    Geoip,
    example: "--plugin geoip.wasm",
    notice: include_str!("../data/NOTICE"),
);

#[cfg(test)]
mod tests {
    use lightmon_plugin::test::{Harness, event, manifest};

    use super::*;

    fn check(country: Option<(&str, &str)>, destinations: &str) {
        let mut plugin = Harness::<Geoip>::new("{}").unwrap();
        let expect = country.map_or(Verdict::keep(), |(code, name)| {
            Verdict::keep()
                .tag("country", code)
                .tag("country_name", name)
        });
        for destination in destinations.split_whitespace() {
            let verdict = plugin.event(event().destination(destination));
            assert_eq!(verdict, expect, "{destination}");
        }
    }

    /// Addresses that have long been where they are: root name servers, universities, registries.
    #[test]
    fn well_known() {
        check(
            Some(("US", "United States")),
            "8.8.8.8:53 18.0.0.1:80 128.32.0.1:80 198.41.0.4:53 [2001:4860:4860::8888]:53 [2620:0:860::1]:80 \
             [::ffff:8.8.8.8]:53 [64:ff9b::8.8.8.8]:53 [2002:808:808::1]:53",
        );
        check(
            Some(("NL", "Netherlands")),
            "193.0.0.1:80 [2001:67c:2e8::1]:80",
        );
        check(Some(("AU", "Australia")), "1.1.1.1:443 203.119.101.1:80");
        check(Some(("JP", "Japan")), "133.11.0.1:80 [2001:200::1]:80");
        check(Some(("DE", "Germany")), "129.187.1.1:80 [2001:638::1]:80");
        check(
            Some(("GB", "United Kingdom")),
            "131.111.8.1:80 [2001:630::1]:80",
        );
        check(Some(("TR", "Türkiye")), "144.122.1.1:80");
    }

    #[test]
    fn nobody_elses_business() {
        check(
            None,
            "10.0.0.1:1 172.16.0.1:1 192.168.1.1:1 127.0.0.1:1 0.0.0.0:1 169.254.169.254:1 100.64.0.1:1 224.0.0.251:1 \
             255.255.255.255:1 192.0.2.1:1 198.51.100.1:1 203.0.113.1:1 198.18.0.1:1 240.0.0.1:1 [::]:1 [::1]:1 [fe80::1]:1 \
             [fd00::1]:1 [ff02::1]:1 [2001:db8::1]:1 [3fff::1]:1 [2001:2::1]:1 [100::1]:1 [::ffff:10.0.0.1]:1 \
             [64:ff9b::10.0.0.1]:1 [2002:a00:1::1]:1 [2001::1]:1",
        );
    }

    #[test]
    fn names() {
        let geoip = Geoip::load();
        assert_eq!(geoip.countries.len(), 250);
        assert!(geoip.countries.is_sorted_by(|a, b| a.code < b.code));
        for Country { code, name } in &geoip.countries {
            assert!(
                code.len() == 2 && code.bytes().all(|it| it.is_ascii_uppercase()),
                "{code}"
            );
            assert!(!name.is_empty() && name.trim() == *name, "{name}");
        }
        assert!(table::borders().all(|(_, index)| usize::from(index) <= geoip.countries.len()));
    }

    #[test]
    fn settings_are_refused() {
        assert_eq!(
            Harness::<Geoip>::new(r#"{"db":"x"}"#).err().as_deref(),
            Some("unknown setting `db`, the plugin takes none")
        );
    }

    #[test]
    fn the_licence_is_told() {
        let manifest = manifest::<Geoip>();
        assert_eq!(manifest["license"], "Apache-2.0 AND CC-BY-SA-4.0");
        let notice = manifest["notice"].as_str().unwrap();
        assert!(
            notice.contains("IPFire") && notice.contains("CC BY-SA 4.0"),
            "{notice}"
        );
    }
}
