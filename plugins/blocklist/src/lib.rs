//! Tags or drops connections to networks and host names that are on a list. The lists are in the settings or in files that the
//! user grants. The plugin downloads nothing.

mod granted;
mod list;
mod names;
mod networks;

use std::iter;

use lightmon_plugin::{Actions, Batch, Config, Event, Fields, Plugin, Verdict};
use serde::Deserialize;

use crate::{granted::GrantedLists, list::List, names::Names, networks::Networks};

/// Maximum size of a tag in the host, key and value together.
const MAX_TAG_BYTES: usize = 128;

/// Maximum size of the setting `name`. The rest of the tag has room for any network.
const MAX_NAME_BYTES: usize = 64;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    networks: List,
    domains: List,
    name: String,
    action: Action,
    column: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            networks: List::default(),
            domains: List::default(),
            name: "blocklist".to_owned(),
            action: Action::Tag,
            column: "list".to_owned(),
        }
    }
}

/// What the plugin does with a connection whose destination is on a list.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Tag,
    Drop,
}

/// The plugin.
struct Blocklist {
    networks: Networks,
    domains: Names,
    granted: GrantedLists,
    name: String,
    action: Action,
}

impl Blocklist {
    /// The list entry that matches the destination address, or else the resolved host name.
    fn entry(&self, event: &Event<'_>) -> Option<String> {
        match self.networks.find(event.destination()) {
            Some(network) => Some(network.to_string()),
            None => self.domains.find(event.dname()?).map(str::to_owned),
        }
    }

    /// The verdict on an event whose destination matches `entry`.
    fn verdict(&self, entry: Option<String>) -> Verdict {
        match (entry, self.action) {
            (None, _) => Verdict::keep(),
            (Some(_), Action::Drop) => Verdict::drop(),
            (Some(mut entry), Action::Tag) => {
                // A network always fits. A host name, or the name of a list in a file, may be too long.
                entry.truncate(entry.floor_char_boundary(MAX_TAG_BYTES - self.name.len()));
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
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(char::is_control) {
            return Err(format!(
                "setting `name`: expected 1 to {MAX_NAME_BYTES} bytes without control characters"
            ));
        }
        let networks: Networks = networks.parse("networks", networks::Network::parse)?;
        let domains: Names = domains.parse("domains", names::parse)?;
        let granted = GrantedLists::open(&column)?;
        if networks.is_empty() && domains.is_empty() && granted.is_empty() {
            return Err(
                "no list: set `networks`, `domains`, `table.networks` or `table.names`".to_owned(),
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

    /// Looks up a whole batch in each file with one call.
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
                "description": "Networks and addresses; the text may have several lines and comments after #",
                "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
            },
            "domains": {
                "description": "Host names; each one matches its subdomains too",
                "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
            },
            "name": {
                "description": "Key of the tag; the value is the matching entry",
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "default": "blocklist"
            },
            "action": {"description": "What to do with a matching connection", "enum": ["tag", "drop"], "default": "tag"},
            "column": {"description": "Column of the granted files that contains the name of the list", "type": "string", "default": "list"}
        }
    }"##,
    permissions: granted::PERMISSIONS,
    example: "--plugin blocklist.wasm:networks=192.0.2.0/24+2001:db8::/32,action=drop",
);

#[cfg(test)]
mod tests;
