//! Writes each connection as a line of Elastic Common Schema (ECS) 8 JSON, for Elasticsearch and compatible systems. Does not change
//! other kinds of events. The fields are documented at <https://www.elastic.co/guide/en/ecs/8.17/>.

mod errno;
mod line;
mod time;

use lightmon_plugin::{Config, Event, Fields, Kind, Plugin, Role, Verdict};

use crate::line::{Limits, Line};

/// Maximum length of a line that the host accepts.
const MAX_LINE_BYTES: usize = 16 << 10;

/// The plugin.
struct Ecs;

/// The line of an event. If the line is too long, truncates texts and lists until it fits.
fn line(event: &Event<'_>) -> Option<String> {
    Limits::STEPS
        .iter()
        .filter_map(|limits| serde_json::to_string(&Line::new(event, *limits)).ok())
        .find(|line| line.len() <= MAX_LINE_BYTES)
}

impl Plugin for Ecs {
    fn new(config: &Config) -> Result<Self, String> {
        config.none().map(|()| Self)
    }

    fn needs(&self) -> Fields {
        Fields::ARGS | Fields::PARENTS | Fields::LABELS | Fields::TAGS | Fields::DNAME
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        if event.kind() != Kind::CONNECTION {
            return Verdict::keep();
        }
        match line(event) {
            Some(line) => Verdict::keep().line(line),
            None => Verdict::keep(),
        }
    }
}

lightmon_plugin::register!(Ecs, role: Role::Formatter, example: "--plugin geoip.wasm --plugin ecs.wasm");

#[cfg(test)]
mod tests;
