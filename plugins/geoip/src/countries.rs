//! The countries of all addresses, from the table that is in here. Asks nobody, and is as old as its NOTICE says.

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

/// The countries of all addresses.
#[derive(Clone, Debug)]
pub struct Countries {
    /// By the table's index, which begins at 1.
    countries: Vec<Country>,
}

impl Countries {
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
        let index = usize::from(ranges::find(address.to_bits())?);
        self.countries.get(index.checked_sub(1)?).copied()
    }

    /// The same, for either family.
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
    fn names() {
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
