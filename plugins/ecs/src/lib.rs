//! Writes each connection as a line of Elastic Common Schema 8 JSON, as Elasticsearch and what reads its indices want it.
//! Leaves alone what is no connection. What a field means is told at <https://www.elastic.co/guide/en/ecs/8.17/>.

mod errno;
mod line;
mod time;

use lightmon_plugin::{Config, Event, Fields, Kind, Plugin, Role, Verdict};

use crate::line::{Cut, Line};

/// Most bytes in a line: the host takes no longer ones.
const LONGEST: usize = 16 << 10;

/// The plugin.
struct Ecs;

/// The line of an event; where arguments or labels would make it too long, with less of them.
fn line(event: &Event<'_>) -> Option<String> {
    Cut::STEPS
        .iter()
        .filter_map(|cut| serde_json::to_string(&Line::new(event, *cut)).ok())
        .find(|line| line.len() <= LONGEST)
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
