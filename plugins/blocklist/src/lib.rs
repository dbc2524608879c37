//! Finds connections to networks and names that are on a list: tags or drops them. The lists are in the settings, or in files that
//! the user grants; the plugin fetches nothing.

mod granted;
mod list;
mod names;
mod networks;

use std::iter;

use lightmon_plugin::{Actions, Batch, Config, Event, Fields, Plugin, Verdict};
use serde::Deserialize;

use crate::{granted::Granted, list::List, names::Names, networks::Networks};

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
    column: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            networks: List::default(),
            domains: List::default(),
            name: "blocklist".to_owned(),
            action: Reaction::Tag,
            column: "list".to_owned(),
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
    granted: Granted,
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

    /// What becomes of an event with that entry.
    fn verdict(&self, entry: Option<String>) -> Verdict {
        match (entry, self.action) {
            (None, _) => Verdict::keep(),
            (Some(_), Reaction::Drop) => Verdict::drop(),
            (Some(mut entry), Reaction::Tag) => {
                // Networks are never too long; names and what files say may be.
                entry.truncate(entry.floor_char_boundary(LONGEST_TAG - self.name.len()));
                Verdict::keep().tag(&self.name, entry)
            }
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
            column,
        } = config.parse()?;
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains(char::is_control) {
            return Err(format!(
                "setting `name`: expected 1 to {LONGEST_NAME} bytes without control characters"
            ));
        }
        let networks: Networks = networks.parse("networks", networks::Network::parse)?;
        let domains: Names = domains.parse("domains", names::parse)?;
        let granted = Granted::open(&column)?;
        if networks.is_empty() && domains.is_empty() && granted.is_empty() {
            return Err(
                "nothing to look for: give `networks`, `domains`, `table.networks` or `table.names`"
                    .to_owned(),
            );
        }
        Ok(Self {
            networks,
            domains,
            granted,
            name,
            action,
        })
    }

    fn needs(&self) -> Fields {
        if self.domains.is_empty() && !self.granted.has_names() {
            Fields::empty()
        } else {
            Fields::DNAME
        }
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        self.verdict(self.entry(event))
    }

    /// The files are asked once a batch.
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        let lists = if self.granted.is_empty() {
            vec![]
        } else {
            self.granted.lists(batch)
        };
        let lists = lists.into_iter().chain(iter::repeat(None));
        for (event, list) in batch.events().zip(lists) {
            let entry = self.entry(&event).or(list);
            actions.push(&event, self.verdict(entry));
        }
    }
}

lightmon_plugin::register!(
    Blocklist,
    config: r##"{
        "type": "object",
        "additionalProperties": false,
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
            "action": {"description": "What becomes of a connection", "enum": ["tag", "drop"], "default": "tag"},
            "column": {"description": "Column of granted files that names the list", "type": "string", "default": "list"}
        }
    }"##,
    permissions: granted::PERMISSIONS,
    example: "--plugin blocklist.wasm:networks=192.0.2.0/24+2001:db8::/32,action=drop",
);

#[cfg(test)]
mod tests;
