//! Drops repeated connections. Keeps one connection in each time window and tags it with the number of dropped ones. Always keeps
//! a connection whose outcome differs from the previous one.

mod key;
mod seen;

use std::time::Duration;

use lightmon_plugin::{
    Actions, Batch, Config, Event, Fields, Kind, Plugin, Report, Verdict, counter,
};
use serde::Deserialize;

use crate::{
    key::KeyField,
    seen::{Seen, Suppressed},
};

/// Maximum of the setting `max_keys`. This many keys fit into the memory of a plugin.
const MAX_KEYS: usize = 100_000;

/// Maximum number of keys in a report.
const MAX_REPORTED_KEYS: usize = 20;

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    key: Vec<KeyField>,
    /// Length of the window in seconds.
    window: u64,
    max_keys: usize,
    /// Interval between reports in seconds; 0 means one report at the end.
    report: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            key: vec![
                KeyField::Path,
                KeyField::User,
                KeyField::Container,
                KeyField::Destination,
                KeyField::Port,
                KeyField::Protocol,
            ],
            window: 60,
            max_keys: 10_000,
            report: 0,
        }
    }
}

/// The plugin.
struct Dedupe {
    fields: Vec<KeyField>,
    seen: Seen,
    report: Option<Duration>,
}

impl Dedupe {
    /// Reports what was dropped since the last report; none if nothing was dropped.
    fn report(&mut self) -> Vec<Report> {
        let Suppressed { total, top_keys } = self.seen.report(MAX_REPORTED_KEYS);
        if total == 0 {
            return vec![];
        }
        let named: u64 = top_keys.iter().map(|(_, count)| count).sum();
        let of_key = |(key, count)| {
            Report::new("suppressed")
                .field("count", count)
                .field("key", key)
        };
        let mut reports = vec![Report::new("suppressed").field("total", total)];
        if named < total {
            reports[0] = reports[0].clone().field("others", total - named);
        }
        reports.extend(top_keys.into_iter().map(of_key));
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
            return Err("setting `key`: empty, so that all connections would be equal".to_owned());
        }
        if window == 0 {
            return Err("setting `window`: expected at least 1 second".to_owned());
        }
        if !(1..=MAX_KEYS).contains(&max_keys) {
            return Err(format!("setting `max_keys`: expected 1 to {MAX_KEYS}"));
        }
        Ok(Self {
            fields: key,
            seen: Seen::new(Duration::from_secs(window), max_keys),
            report: (report > 0).then(|| Duration::from_secs(report)),
        })
    }

    fn needs(&self) -> Fields {
        self.fields
            .iter()
            .fold(Fields::empty(), |needs, field| needs | field.needs())
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        if event.kind() != Kind::CONNECTION {
            return Verdict::keep();
        }
        let Self { fields, seen, .. } = self;
        let key = key::of(event, fields);
        match seen.pass(&key, event, || key::description(event, fields)) {
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
                "description": "Fields that decide whether two connections are equal; the outcome always counts",
                "type": "array",
                "items": {
                    "enum": ["path", "comm", "args", "pid", "user", "container", "image", "destination", "port", "protocol"]
                },
                "minItems": 1,
                "default": ["path", "user", "container", "destination", "port", "protocol"]
            },
            "window": {
                "description": "Time in seconds in which repeated connections are dropped",
                "type": "integer",
                "minimum": 1,
                "default": 60
            },
            "max_keys": {
                "description": "Maximum number of remembered keys; connections of a forgotten key are kept again",
                "type": "integer",
                "minimum": 1,
                "maximum": 100000,
                "default": 10000
            },
            "report": {
                "description": "Interval between reports in seconds; 0 means one report at the end",
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
