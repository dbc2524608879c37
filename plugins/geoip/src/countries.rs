//! The built-in table of countries. Uses no network. `data/NOTICE` says how old the data are.

mod ranges;

use std::net::{IpAddr, Ipv6Addr};

/// A country.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Country {
    /// ISO 3166-1 alpha-2, or `EU`, which ISO reserves for networks of no single country in Europe.
    pub code: &'static str,
    /// Short name in English.
    pub name: &'static str,
}

/// The built-in table.
#[derive(Clone, Debug)]
pub struct Countries {
    /// Index 1 of the table is the first of these.
    countries: Vec<Country>,
}

impl Countries {
    /// Loads the names of the countries.
    pub fn load() -> Self {
        let lines = include_str!("../data/countries.tsv").lines();
        let countries = lines
            .filter_map(|line| line.split_once('\t'))
            .map(|(code, name)| Country { code, name })
            .collect();
        Self { countries }
    }

    /// The country of an address. Does not check the scope of the address.
    pub fn country(&self, address: Ipv6Addr) -> Option<Country> {
        let index = usize::from(ranges::find(address.to_bits())?);
        self.countries.get(index.checked_sub(1)?).copied()
    }

    /// The country of an IPv4 or IPv6 address.
    pub(crate) fn of(&self, address: IpAddr) -> Option<Country> {
        match address {
            IpAddr::V4(address) => self.country(address.to_ipv6_mapped()),
            IpAddr::V6(address) => self.country(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_well_formed() {
        let Countries { countries } = Countries::load();
        assert_eq!(countries.len(), 250);
        assert!(countries.is_sorted_by(|a, b| a.code < b.code));
        for Country { code, name } in &countries {
            assert!(
                code.len() == 2 && code.bytes().all(|it| it.is_ascii_uppercase()),
                "{code}"
            );
            assert!(!name.is_empty() && name.trim() == *name, "{name}");
        }
        assert!(ranges::borders().all(|(_, index)| usize::from(index) <= countries.len()));
    }
}
