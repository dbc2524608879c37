//! Limits the time and the calls that are spent on one batch after a fault.

use std::time::{Duration, Instant};

use crate::engine::EPOCH_INTERVAL;

/// Calls of one batch after the first has failed: enough to find two events among 256.
const MAX_CALLS: u32 = 32;

/// What is left for bisecting one batch: as much time as for a batch, restarts included, and some calls.
pub(super) struct Budget {
    until: Instant,
    calls: u32,
    call_timeout: Duration,
}

impl Budget {
    /// Each call gets a tenth of the time, so that an endless loop can be found within the whole.
    pub(super) fn new(time: Duration) -> Self {
        Self {
            until: Instant::now() + time,
            calls: MAX_CALLS,
            call_timeout: (time / 10).max(EPOCH_INTERVAL),
        }
    }

    /// The timeout of one more call; `None` if the budget is spent.
    pub(super) fn next_call(&mut self) -> Option<Duration> {
        self.calls = self.calls.checked_sub(1)?;
        (Instant::now() < self.until).then_some(self.call_timeout)
    }
}
