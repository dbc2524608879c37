//! Where events come from. A source brings records in batches and knows nothing of what happens to them.

pub mod ebpf;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
pub mod replay;
pub mod self_test;

use std::time::Instant;

use lightmon_event::{Record, Stats};
use lightmon_thread::Stop;

/// Most records in one batch.
pub const MAX_BATCH: usize = 256;

/// A source of events.
pub trait Source: Send {
    /// Waits for records and appends at most `max` of them to `batch`; may append none. Returns when there are some, when `stop` is set, or when the source has ended. Adds to `seen`, `lost_kernel` and `malformed`.
    ///
    /// After `stop` is set it goes on returning what has happened until then, and [`Next::End`] at last.
    ///
    /// # Errors
    /// When the source can't be read any more.
    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next>;

    /// The next call returns by then, even with nothing: only sources that wait for others need to care.
    fn wake_by(&mut self, _at: Option<Instant>) {}
}

/// Whether a source has more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Ask again.
    More,
    /// That was all.
    End,
}
