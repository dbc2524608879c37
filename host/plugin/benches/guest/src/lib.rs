//! The plugin for benchmarks. Each mode is a typical task: drop by port, tag by address, or write a JSON line. The benchmark also
//! calls these functions natively.

use lightmon_plugin::{Config, Event, Fields, Plugin, Verdict};

pub mod country;
pub mod line;

/// Destination port of the events that the mode `drop` drops, and on which the mode `trap` panics.
pub const PORT: u16 = 53;

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Drop,
    Tag,
    Line,
    Trap,
}

#[derive(serde::Deserialize)]
struct Bench {
    mode: Mode,
}

impl Plugin for Bench {
    fn new(config: &Config) -> Result<Self, String> {
        config.parse()
    }

    fn needs(&self) -> Fields {
        match self.mode {
            Mode::Drop | Mode::Tag | Mode::Trap => Fields::empty(),
            Mode::Line => Fields::ARGS | Fields::CONTAINER | Fields::TAGS,
        }
    }

    fn on_event(&mut self, event: &Event) -> Verdict {
        match self.mode {
            Mode::Drop if event.destination_port() == PORT => Verdict::drop(),
            Mode::Drop => Verdict::keep(),
            Mode::Tag => Verdict::keep().tag("geo", country::of(event.destination())),
            Mode::Line => Verdict::keep().line(line(event)),
            Mode::Trap if event.destination_port() == PORT => {
                panic!("the mode `trap` panics on this port")
            }
            Mode::Trap => Verdict::keep(),
        }
    }
}

fn line(event: &Event) -> String {
    let process = event.process();
    line::Line {
        time: event.time().as_nanos() as u64,
        latency: event.latency().map_or(0, |it| it.as_nanos() as u64),
        source: (event.source(), event.source_port()),
        destination: (event.destination(), event.destination_port()),
        pid: event.pid(),
        uid: event.uid(),
        user: process.map_or("", |it| &it.user),
        comm: process.map_or("", |it| &it.comm),
        path: process.and_then(|it| it.path.as_deref()).unwrap_or(""),
        container: event.container().map(|it| (&*it.id, &*it.name, &*it.image)),
        outcome: event.outcome().as_str(),
    }
    .json(
        process
            .into_iter()
            .flat_map(|it| it.args())
            .map(String::as_str),
        event.tags().iter().map(|(k, v)| (&**k, &**v)),
    )
}

lightmon_plugin::register!(Bench);
