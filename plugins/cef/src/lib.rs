//! Writes each connection as a line of Common Event Format (CEF), which ArcSight, QRadar, Sentinel and other collectors read.
//! Writes no syslog header: the transport adds one if needed.

mod escape;
mod line;

use lightmon_plugin::{Config, Event, Fields, Kind, Plugin, Role, Verdict};

use crate::line::Line;

/// The plugin.
struct Cef;

impl Plugin for Cef {
    fn new(config: &Config) -> Result<Self, String> {
        config.none().map(|()| Self)
    }

    fn needs(&self) -> Fields {
        Fields::ARGS | Fields::PARENTS | Fields::CONTAINER | Fields::TAGS | Fields::DNAME
    }

    fn on_event(&mut self, event: &Event<'_>) -> Verdict {
        if event.kind() == Kind::CONNECTION {
            Verdict::keep().line(Line::of(event))
        } else {
            Verdict::keep()
        }
    }
}

lightmon_plugin::register!(Cef, role: Role::Formatter, example: "--plugin geoip.wasm --plugin cef.wasm");

#[cfg(test)]
mod tests;
