//! Tags each public destination with its country: `country`, the ISO 3166-1 code, and `country_name`. Uses a built-in table, or a
//! file that the user grants.

mod countries;
mod file;

use std::net::{IpAddr, Ipv6Addr};

use lightmon_plugin::{
    Actions, Batch, Config, Event, Permission, Plugin, Scope, Verdict, carried_ipv4,
};
use serde::Deserialize;

pub use crate::countries::{Countries, Country};
use crate::file::{File, Location};

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    city: bool,
}

/// The plugin, with its source of countries.
enum Geoip {
    BuiltIn(Countries),
    File(File),
}

/// The address to look up for a destination; none if the address is not public.
fn public(destination: IpAddr) -> Option<IpAddr> {
    if Scope::of(destination) != Scope::Public {
        return None;
    }
    match destination {
        IpAddr::V4(_) => Some(destination),
        IpAddr::V6(address) => Some(carried(address)),
    }
}

fn carried(address: Ipv6Addr) -> IpAddr {
    carried_ipv4(address).map_or(address.into(), IpAddr::from)
}

impl Geoip {
    /// The location of each address.
    fn locations(&self, addresses: &[IpAddr]) -> Vec<Location> {
        match self {
            Self::File(file) => file.locations(addresses),
            Self::BuiltIn(countries) => {
                let location = |address: &IpAddr| match countries.of(*address) {
                    Some(Country { code, name }) => Location {
                        code: Some(code.into()),
                        name: Some(name.into()),
                        city: None,
                    },
                    None => Location::default(),
                };
                addresses.iter().map(location).collect()
            }
        }
    }
}

fn verdict(Location { code, name, city }: Location) -> Verdict {
    let tags = [("country", code), ("country_name", name), ("city", city)];
    tags.into_iter()
        .filter_map(|(key, value)| Some((key, value.filter(|it| !it.is_empty())?)))
        .fold(Verdict::keep(), |verdict, (key, value)| {
            verdict.tag(key, value)
        })
}

impl Plugin for Geoip {
    fn new(config: &Config) -> Result<Self, String> {
        let Settings { city } = config.parse()?;
        Ok(match File::open(city)? {
            Some(file) => Self::File(file),
            None => Self::BuiltIn(Countries::load()),
        })
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        let address = public(event.destination());
        let location = address.and_then(|address| self.locations(&[address]).pop());
        location.map_or(Verdict::keep(), verdict)
    }

    /// Looks up each distinct address of the batch once, with one call for each column.
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        let destinations = batch.events().map(|event| public(event.destination()));
        let mut addresses: Vec<IpAddr> = destinations.flatten().collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return;
        }
        let locations = self.locations(&addresses);
        for event in batch.events() {
            let location = public(event.destination())
                .and_then(|address| addresses.binary_search(&address).ok())
                .and_then(|at| locations.get(at));
            if let Some(location) = location {
                actions.push(&event, verdict(location.clone()));
            }
        }
    }
}

lightmon_plugin::register!(
    Geoip,
    permissions: &[Permission {
        table: file::TABLE,
        why: "your own file of countries instead of the built-in table: MMDB (such as GeoLite2), or CSV with the columns country \
              and country_name",
        optional: true,
    }],
    config: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "city": {"description": "Also tag the city; needs a granted file that contains cities", "type": "boolean", "default": false}
        }
    }"#,
    example: "--plugin geoip.wasm:table.country=GeoLite2-Country.mmdb",
    notice: include_str!("../data/NOTICE"),
);

#[cfg(test)]
mod tests;
