//! Reads a recording into memory, and converts events to JSON values for comparison.

use std::path::Path;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::Usage;
use lightmon_capture::{MAX_BATCH, Next, Source as _, replay::Replay};
use lightmon_event::{Event, Record, Stats, json};
use lightmon_thread::Stop;

/// Reads all events of a recording. Skips notices.
pub(super) fn events(path: &Path) -> anyhow::Result<Vec<Event>> {
    let mut replay = Replay::open(path).map_err(|error| Usage(error.to_string()))?;
    let (stop, stats) = (Stop::new()?, Stats::default());
    let (mut events, mut records) = (Vec::new(), Vec::new());
    loop {
        let next = replay.next(&mut records, MAX_BATCH, &stop, &stats)?;
        events.extend(records.drain(..).filter_map(|record| match record {
            Record::Connection(event) => Some(event),
            _ => None,
        }));
        if next == Next::End {
            return Ok(events);
        }
    }
}

/// Returns the event as `-f json` writes it, without a plugin's own line.
pub(super) fn value(event: &Event) -> Value {
    let mut line = Vec::new();
    json::event(event, &TimeZone::UTC, &mut line);
    serde_json::from_slice(&line).unwrap_or_default()
}
