//! Lets repeated connections through once in a while, and says how many there were. Whatever ends otherwise than the one before
//! it comes through always.

mod key;
mod seen;

use std::time::Duration;

use lightmon_plugin::{Config, Event, Fields, Kind, Plugin, Verdict};
use serde::Deserialize;

use crate::{key::Part, seen::Seen};

/// Keys that fit into the memory that a plugin has.
const MOST_KEYS: usize = 100_000;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    key: Vec<Part>,
    /// Seconds.
    window: u64,
    max_keys: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: vec![
                Part::Path,
                Part::User,
                Part::Container,
                Part::Destination,
                Part::Port,
                Part::Protocol,
            ],
            window: 60,
            max_keys: 10_000,
        }
    }
}

/// The plugin.
struct Dedupe {
    parts: Vec<Part>,
    seen: Seen,
}

impl Plugin for Dedupe {
    fn new(config: &Config) -> Result<Self, String> {
        let Settings {
            key,
            window,
            max_keys,
        } = config.parse()?;
        if key.is_empty() {
            return Err(
                "setting `key`: empty, which would make all connections the same".to_owned(),
            );
        }
        if window == 0 {
            return Err("setting `window`: expected at least 1 second".to_owned());
        }
        if !(1..=MOST_KEYS).contains(&max_keys) {
            return Err(format!("setting `max_keys`: expected 1 to {MOST_KEYS}"));
        }
        Ok(Self {
            parts: key,
            seen: Seen::new(Duration::from_secs(window), max_keys),
        })
    }

    fn needs(&self) -> Fields {
        self.parts
            .iter()
            .fold(Fields::empty(), |needs, part| needs | part.needs())
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        if event.kind() != Kind::CONNECTION {
            return Verdict::keep();
        }
        match self.seen.pass(&key::of(event, &self.parts), event) {
            None => Verdict::drop(),
            Some(0) => Verdict::keep(),
            Some(dropped) => Verdict::keep().tag("repeated", dropped.to_string()),
        }
    }
}

lightmon_plugin::register!(
    Dedupe,
    config: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "key": {
                "description": "What makes two connections the same, besides how they end",
                "type": "array",
                "items": {
                    "enum": ["path", "comm", "args", "pid", "user", "container", "image", "destination", "port", "protocol"]
                },
                "minItems": 1,
                "default": ["path", "user", "container", "destination", "port", "protocol"]
            },
            "window": {
                "description": "Seconds in which a repetition is dropped",
                "type": "integer",
                "minimum": 1,
                "default": 60
            },
            "max_keys": {
                "description": "Keys that are remembered; what is forgotten is reported again",
                "type": "integer",
                "minimum": 1,
                "maximum": 100000,
                "default": 10000
            }
        }
    }"#,
    example: "--plugin dedupe.wasm:window=300,key=path+destination+port",
);

#[cfg(test)]
mod tests;
