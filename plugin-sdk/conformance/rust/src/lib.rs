//! The conformance plugin in Rust. Every SDK has the same plugin, which uses all of the contract. The suite's README specifies
//! its behaviour.

mod texts;

use std::time::Duration;

use lightmon_plugin::{
    Actions, Batch, Config, Event, Field, Fields, Permission, Plugin, Report, Role, Verdict,
    counter, kv, log, table::Table,
};
use serde::Deserialize;

/// The destination port whose events get an output line of the plugin.
const LINE_PORT: u16 = 514;

/// The column of the table that a lookup returns.
const COLUMN: &str = "name";

/// The key in the store, the counter and the report field that hold the number of events.
const EVENTS: &str = "events";

/// The settings. `new` checks for unknown ones itself, so that the message is the same in every language.
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
        let tags = texts::tags(event).into_iter();
        let mut verdict = tags.fold(Verdict::keep(), |verdict, (key, value)| {
            verdict.tag(key, texts::truncate(&value))
        });
        if self.table.is_some() {
            verdict = verdict.tag("table", texts::truncate(looked_up.unwrap_or("-")));
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
        kv::set(EVENTS, &(stored_events() + events).to_string());
    }

    fn tick_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn on_tick(&mut self, _now: Duration) -> Vec<Report> {
        vec![Report::new("seen").field(EVENTS, stored_events())]
    }

    fn on_stop(&mut self, _now: Duration) -> Vec<Report> {
        vec![Report::new("total").field(EVENTS, stored_events())]
    }
}

/// The number of events in all batches so far, including those of earlier instances.
fn stored_events() -> u64 {
    kv::get(EVENTS)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

lightmon_plugin::register!(
    Conformance,
    role: Role::Filter,
    config: r#"{
        "type": "object",
        "properties": {
            "drop_port": {"description": "Events to this port are dropped", "type": "integer", "default": 53},
            "greeting": {"description": "First word of the output line of events to port 514", "type": "string", "default": "hello"},
            "when": {"description": "The plugin receives only events that match this expression", "type": "string"},
            "table": {"description": "Name of the table in which destinations are looked up", "type": "string"}
        }
    }"#,
    permissions: &[Permission {
        table: "names",
        why: "with table=names: the `name` of each destination",
        optional: true,
    }],
    example: "--plugin conformance.wasm:drop_port=53",
);

#[cfg(test)]
mod tests;
