//! Lets repeated connections through once in a while, and says how many there were. Whatever ends otherwise than the one before
//! it comes through always.

mod key;
mod seen;

use std::time::Duration;

use lightmon_plugin::{
    Actions, Batch, Config, Event, Fields, Kind, Plugin, Report, Verdict, counter,
};
use serde::Deserialize;

use crate::{
    key::Part,
    seen::{Seen, Suppressed},
};

/// Keys that fit into the memory that a plugin has.
const MOST_KEYS: usize = 100_000;

/// Keys that a report names.
const REPORTED: usize = 20;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    key: Vec<Part>,
    /// Seconds.
    window: u64,
    max_keys: usize,
    /// Seconds; 0 is only at the end.
    report: u64,
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
            report: 0,
        }
    }
}

/// The plugin.
struct Dedupe {
    parts: Vec<Part>,
    seen: Seen,
    report: Option<Duration>,
}

impl Dedupe {
    /// What was dropped since the last report; nothing where nothing was.
    fn report(&mut self) -> Vec<Report> {
        let Suppressed { total, most } = self.seen.report(REPORTED);
        if total == 0 {
            return vec![];
        }
        let named: u64 = most.iter().map(|(_, count)| count).sum();
        let of_key = |(key, count)| {
            Report::new("suppressed")
                .field("count", count)
                .field("key", key)
        };
        let mut reports = vec![Report::new("suppressed").field("total", total)];
        if named < total {
            reports[0] = reports[0].clone().field("others", total - named);
        }
        reports.extend(most.into_iter().map(of_key));
        reports
    }
}

impl Plugin for Dedupe {
    fn new(config: &Config) -> Result<Self, String> {
        let Settings {
            key,
            window,
            max_keys,
            report,
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
            report: (report > 0).then(|| Duration::from_secs(report)),
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
        let Self { parts, seen, .. } = self;
        let key = key::of(event, parts);
        match seen.pass(&key, event, || key::text_of(event, parts)) {
            None => Verdict::drop(),
            Some(0) => Verdict::keep(),
            Some(dropped) => Verdict::keep().tag("repeated", dropped.to_string()),
        }
    }
    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        let mut dropped = 0;
        for event in batch.events() {
            let verdict = self.on_event(&event);
            dropped += u64::from(verdict.is_drop());
            actions.push(&event, verdict);
        }
        if dropped > 0 {
            counter::add("suppressed", dropped);
        }
    }

    fn tick_period(&self) -> Option<Duration> {
        self.report
    }

    fn on_tick(&mut self, _now: Duration) -> Vec<Report> {
        self.report()
    }

    fn on_stop(&mut self, _now: Duration) -> Vec<Report> {
        self.report()
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
            },
            "report": {
                "description": "Seconds between reports of what was dropped; 0 is one at the end",
                "type": "integer",
                "minimum": 0,
                "default": 0
            }
        }
    }"#,
    example: "--plugin dedupe.wasm:window=300,key=path+destination+port",
);

#[cfg(test)]
mod tests;
