//! Formatting: from an event to its line, in each format.

use jiff::tz::TimeZone;
use lightmon_output::{Format, Formatter, Terminal};

use crate::{
    bench::{BATCH, Bench},
    events::event,
};

pub(crate) fn stages(bench: &mut Bench<'_>) {
    let terminal = Terminal {
        width: || Some(120),
        color: true,
    };
    for (name, format, terminal) in [
        ("format-json", Format::Json, Terminal::NONE),
        ("format-log", Format::Log, Terminal::NONE),
        ("format-table", Format::Table, Terminal::NONE),
        ("format-table-terminal", Format::Table, terminal),
    ] {
        bench.stage(name, BATCH, || {
            let events: Vec<_> = (0..BATCH).map(event).collect();
            let mut formatter = Formatter::new(format, TimeZone::UTC, terminal, true);
            let mut lines = Vec::new();
            let run = move |()| {
                lines.clear();
                formatter.begin(&mut lines);
                for event in &events {
                    formatter.event(event, &mut lines);
                }
                lines.len()
            };
            (|| (), run)
        });
    }
}
