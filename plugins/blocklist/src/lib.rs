//! Finds connections to networks and names that are on a list: tags or drops them. The list is in the settings; the plugin
//! fetches nothing.

mod list;
mod names;
mod networks;

use lightmon_plugin::{Config, Event, Fields, Plugin, Verdict};
use serde::Deserialize;

use crate::{list::List, names::Names, networks::Networks};

/// Bytes of a tag that the host takes, key and value together.
const LONGEST_TAG: usize = 128;

/// Bytes of the list's name: it leaves room for any network behind it.
const LONGEST_NAME: usize = 64;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    networks: List,
    domains: List,
    name: String,
    action: Reaction,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            networks: List::default(),
            domains: List::default(),
            name: "blocklist".to_owned(),
            action: Reaction::Tag,
        }
    }
}

/// What becomes of a connection to something on the list.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reaction {
    Tag,
    Drop,
}

/// The plugin.
struct Blocklist {
    networks: Networks,
    domains: Names,
    name: String,
    action: Reaction,
}

impl Blocklist {
    /// The entry that the destination is on the list by: its address, or else the name it was looked up by.
    fn entry(&self, event: &Event<'_>) -> Option<String> {
        match self.networks.find(event.destination()) {
            Some(network) => Some(network.to_string()),
            None => self.domains.find(event.dname()?).map(str::to_owned),
        }
    }
}

impl Plugin for Blocklist {
    fn new(config: &Config) -> Result<Self, String> {
        let Settings {
            networks,
            domains,
            name,
            action,
        } = config.parse()?;
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
            return Err(format!(
                "setting `name`: expected 1 to {LONGEST_NAME} bytes without control characters"
            ));
        }
        let networks: Networks = networks.parse("networks", networks::Network::parse)?;
        let domains: Names = domains.parse("domains", names::parse)?;
        if networks.is_empty() && domains.is_empty() {
            return Err("nothing to look for: give `networks` or `domains`".to_owned());
        }
        Ok(Self {
            networks,
            domains,
            name,
            action,
        })
    }

    fn needs(&self) -> Fields {
        if self.domains.is_empty() {
            Fields::empty()
        } else {
            Fields::DNAME
        }
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        match (self.entry(event), self.action) {
            (None, _) => Verdict::keep(),
            (Some(_), Reaction::Drop) => Verdict::drop(),
            (Some(mut entry), Reaction::Tag) => {
                // Only names are ever too long, and they are ASCII.
                entry.truncate(LONGEST_TAG - self.name.len());
                Verdict::keep().tag(&self.name, entry)
            }
        }
    }
}

lightmon_plugin::register!(
    Blocklist,
    config: r##"{
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{"required": ["networks"]}, {"required": ["domains"]}],
        "properties": {
            "networks": {
                "description": "Networks and addresses; a text may have many lines, with comments behind #",
                "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
            },
            "domains": {
                "description": "Names; what is below them counts too",
                "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
            },
            "name": {
                "description": "Key of the tag; its value is the entry",
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "default": "blocklist"
            },
            "action": {"description": "What becomes of a connection", "enum": ["tag", "drop"], "default": "tag"}
        }
    }"##,
    example: "--plugin blocklist.wasm:networks=192.0.2.0/24+2001:db8::/32,action=drop",
);

#[cfg(test)]
mod tests;
