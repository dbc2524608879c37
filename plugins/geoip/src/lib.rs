//! Tags each public destination with its country: `country`, the ISO 3166-1 code, and `country_name`.
//! Knows them from the table that is in here, or from a file that the user grants.

mod countries;
mod file;

use std::net::{IpAddr, Ipv6Addr};

use lightmon_plugin::{
    Actions, Batch, Config, Event, Permission, Plugin, Scope, Verdict, carried_ipv4,
};
use serde::Deserialize;

pub use crate::countries::{Countries, Country};
use crate::file::{File, Place};

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    city: bool,
}

/// The plugin: where it knows countries from.
enum Geoip {
    Inside(Countries),
    File(File),
}

/// The address that is looked up for a destination: none where nobody else can say who has it.
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
    /// What is known of each address.
    fn places(&self, addresses: &[IpAddr]) -> Vec<Place> {
        match self {
            Self::File(file) => file.places(addresses),
            Self::Inside(countries) => {
                let place = |address: &IpAddr| match countries.of(*address) {
                    Some(Country { code, name }) => Place {
                        code: Some(code.into()),
                        name: Some(name.into()),
                        city: None,
                    },
                    None => Place::default(),
                };
                addresses.iter().map(place).collect()
            }
        }
    }
}

fn verdict(Place { code, name, city }: Place) -> Verdict {
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
            None => Self::Inside(Countries::load()),
        })
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        let address = public(event.destination());
        let place = address.and_then(|address| self.places(&[address]).pop());
        place.map_or(Verdict::keep(), verdict)
    }

    /// One look-up a batch and column, of each address once.
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        let destinations = batch.events().map(|event| public(event.destination()));
        let mut addresses: Vec<IpAddr> = destinations.flatten().collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return;
        }
        let places = self.places(&addresses);
        for event in batch.events() {
            let place = public(event.destination())
                .and_then(|address| addresses.binary_search(&address).ok())
                .and_then(|at| places.get(at));
            if let Some(place) = place {
                actions.push(&event, verdict(place.clone()));
            }
        }
    }
}

lightmon_plugin::register!(
    Geoip,
    permissions: &[Permission {
        table: file::TABLE,
        why: "a file of countries of your own, in the place of the table inside: MMDB (GeoLite2 and alike), or CSV with the \
              columns country and country_name",
        optional: true,
    }],
    config: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "city": {"description": "Tags the city too; needs a granted file that knows it", "type": "boolean", "default": false}
        }
    }"#,
    example: "--plugin geoip.wasm:table.country=GeoLite2-Country.mmdb",
    notice: include_str!("../data/NOTICE"),
);

#[cfg(test)]
mod tests;
