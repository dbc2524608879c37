//! Writes events as log, JSON or table, on a thread of its own, and counts each event as written or lost.
//! Changes no event. A slow or closed reader stalls the pipeline for at most a moment, unless the run is lossless.
//!
//! | format | sink | for |
//! |---|---|---|
//! | `log` | standard output, or hourly files in the log path | parsers of the original lightmon's log |
//! | `json` | the same | programs; it is complete and can be replayed |
//! | `table` | standard output | people |
//!
//! In every format, a line that a plugin has written replaces its event's line. Text from processes, containers and plugins
//! can't break a line or control a terminal ([`lightmon_event::escape`]).
//!
//! ```text
//! pipeline's thread │                              │ output's thread
//! Output ─ Formatter ─► Chunk ─► queue (4 MiB) ─► Writer ─► Sink
//!                         └──── direct write ────────────────┘   if nothing is queued and the sink takes it at once
//! ```
//!
//! A batch is one write. Batches share a write if the reader is slow, or if they come quickly and go to a file. Events that
//! find no room in the queue are lost. The output counts them, logs them on stderr, and writes a [`Notice`] among the events
//! when the reader takes lines again.
//!
//! [`Notice`]: lightmon_event::Notice

mod formats;
mod sinks;

mod error;
mod options;
mod terminal;

mod notices;
mod queue;
mod writer;

mod output;
#[cfg(test)]
mod tests;

pub use self::{
    error::Error,
    formats::{Format, Formatter, UnknownFormat},
    options::{Options, zone},
    output::{DRAIN_TIMEOUT, Output, OutputHandle},
    terminal::Terminal,
};
