//! Decides when the next connection starts.

use std::{
    thread,
    time::{Duration, Instant},
};

/// A fixed schedule (an open loop): connection `i` starts at its time, however long earlier connections took. A late one
/// starts at once.
pub(crate) struct Pace {
    start: Instant,
    /// `None`: no limit.
    per_second: Option<f64>,
}

impl Pace {
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        Self {
            start: Instant::now(),
            per_second,
        }
    }

    /// Waits until connection `i` may start.
    pub(crate) fn wait(&self, i: u32) {
        if let Some(per_second) = self.per_second {
            let due = Duration::from_secs_f64(f64::from(i) / per_second);
            thread::sleep(due.saturating_sub(self.start.elapsed()));
        }
    }
}
