//! The conformance plugin in Rust: one plugin, the same in each language, that uses everything a plugin has. What it does is
//! told in the suite's README.

mod texts;

use std::time::Duration;

use lightmon_plugin::{
    Actions, Batch, Config, Event, Field, Fields, Permission, Plugin, Report, Role, Verdict,
    counter, kv, log, table::Table,
};
use serde::Deserialize;

/// The port whose events get a line of their own.
const LINE_PORT: u16 = 514;

/// The column of a table that look-ups give.
const COLUMN: &str = "name";

/// Where the sum of all batches is kept.
const EVENTS: &str = "events";

/// The settings. Unknown ones are refused by hand, with the words that all languages have.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Settings {
    drop_port: u16,
    greeting: String,
    when: Option<String>,
    table: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            drop_port: 53,
            greeting: "hello".to_owned(),
            when: None,
            table: None,
        }
    }
}

/// The plugin.
struct Conformance {
    drop_port: u16,
    greeting: String,
    when: Option<String>,
    table: Option<Table>,
}

impl Conformance {
    fn verdict(&self, event: &Event<'_>, looked_up: Option<&str>) -> Verdict {
        if event.destination_port() == self.drop_port {
            return Verdict::drop();
        }
        let tags = texts::of(event).into_iter();
        let mut verdict = tags.fold(Verdict::keep(), |verdict, (key, value)| {
            verdict.tag(key, texts::cut(&value))
        });
        if self.table.is_some() {
            verdict = verdict.tag("table", texts::cut(looked_up.unwrap_or("-")));
        }
        let process = event.process();
        if process.is_some_and(|it| it.args().len() >= 2) {
            verdict = verdict.set(Field::Arg(1), "***");
        }
        if event.destination_port() == LINE_PORT {
            let comm = process.map_or("-", |it| &it.comm);
            verdict = verdict.line(format!("{} {comm}", self.greeting));
        }
        verdict
    }
}

impl Plugin for Conformance {
    fn new(config: &Config) -> Result<Self, String> {
        const KEYS: [&str; 4] = ["drop_port", "greeting", "when", "table"];
        let settings: serde_json::Map<String, serde_json::Value> = config.parse()?;
        if let Some(key) = settings.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown setting `{key}`"));
        }
        let Settings {
            drop_port,
            greeting,
            when,
            table,
        } = config.parse()?;
        let table = table.map(|name| Table::open(&name, COLUMN)).transpose()?;
        log::info("conformance started");
        Ok(Self {
            drop_port,
            greeting,
            when,
            table,
        })
    }

    fn needs(&self) -> Fields {
        Fields::all()
    }

    fn when(&self) -> Option<String> {
        self.when.clone()
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        let looked_up = self
            .table
            .and_then(|table| table.lookup_ip(&[event.destination()]).pop()?);
        self.verdict(event, looked_up.as_deref())
    }

    fn on_batch(&mut self, batch: &Batch, actions: &mut Actions) {
        let destinations: Vec<_> = batch.events().map(|event| event.destination()).collect();
        let looked_up = self.table.map(|table| table.lookup_ip(&destinations));
        let looked_up = looked_up.unwrap_or_else(|| vec![None; destinations.len()]);
        for (event, entry) in batch.events().zip(&looked_up) {
            actions.push(&event, self.verdict(&event, entry.as_deref()));
        }
        let events = destinations.len() as u64;
        counter::add(EVENTS, events);
        kv::set(EVENTS, &(kept() + events).to_string());
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn on_tick(&mut self, _now: Duration) -> Vec<Report> {
        vec![Report::new("seen").field(EVENTS, kept())]
    }

    fn on_stop(&mut self, _now: Duration) -> Vec<Report> {
        vec![Report::new("total").field(EVENTS, kept())]
    }
}

/// The sum of all batches so far, those of instances before this one included.
fn kept() -> u64 {
    kv::get(EVENTS)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

lightmon_plugin::register!(
    Conformance,
    role: Role::Filter,
    config: r#"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "drop_port": {"description": "Events to this port are dropped", "type": "integer", "default": 53},
            "greeting": {"description": "Begins the lines of events to port 514", "type": "string", "default": "hello"},
            "when": {"description": "Only events that match are looked at", "type": "string"},
            "table": {"description": "Name of the table that destinations are looked up in", "type": "string"}
        }
    }"#,
    permissions: &[Permission {
        table: "names",
        why: "with table=names: each destination's `name`",
        optional: true,
    }],
    example: "--plugin conformance.wasm:drop_port=53",
);

#[cfg(test)]
mod tests;
