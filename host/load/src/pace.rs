//! When the next connection is due.

use std::{
    thread,
    time::{Duration, Instant},
};

/// An open loop: the i-th is due at its time, however long those before it took; one that is late is made at once.
pub(crate) struct Pace {
    start: Instant,
    /// None: always.
    per_second: Option<f64>,
}

impl Pace {
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        Self {
            start: Instant::now(),
            per_second,
        }
    }

    /// Waits until the i-th is due.
    pub(crate) fn wait(&self, i: u32) {
        if let Some(per_second) = self.per_second {
            let due = Duration::from_secs_f64(f64::from(i) / per_second);
            thread::sleep(due.saturating_sub(self.start.elapsed()));
        }
    }
}
