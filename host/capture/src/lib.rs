//! The sources of records: the live source (the kernel program) and recordings; and the self-test of the live source.
//!
//! A source returns records in batches. It does not know what happens to them afterwards.

pub mod ebpf;
pub mod replay;
pub mod self_test;

#[cfg(any(fuzzing, test))]
pub mod fuzz;

use std::time::Instant;

use lightmon_event::{Record, Stats};
use lightmon_thread::Stop;

/// Maximum number of records in a batch.
pub const MAX_BATCH: usize = 256;

/// A source of records.
pub trait Source: Send {
    /// Waits for records and appends at most `max` of them to `batch`. Returns when there are records, when `stop` is set, or when
    /// the source has ended. May return without a record. Adds to `seen`, `lost_kernel` and `malformed` of `stats`.
    ///
    /// After `stop` is set, the source still returns all records of what happened before, and then [`Next::End`].
    ///
    /// # Errors
    /// If the source can't be read any more.
    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next>;

    /// Makes the next call of [`next`](Self::next) return at this time, even without a record. A source that never waits can ignore this.
    fn wake_by(&mut self, _at: Option<Instant>) {}
}

/// Whether a source has more records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Call again: more records may come.
    More,
    /// The source has ended: no more records come.
    End,
}
