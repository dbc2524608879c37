//! Waits for records in the ring buffer, the consumer's half of `ebpf/src/consumer.rs`.
//!
//! Is not woken for each record: a wake-up costs the connecting program more than everything else. While records come, the consumer
//! polls every [`POLL_INTERVAL`]. After [`MAX_EMPTY_POLLS`] it asks the kernel program to wake it for the next record, and sleeps.

use std::{
    os::fd::{AsFd, BorrowedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::maps::{Array, MapData};
use lightmon_thread::Stop;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// How long records are collected before they are read together.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// After this number of polls in a row that found no record, the consumer sleeps.
const MAX_EMPTY_POLLS: u32 = 3;

/// Whether the consumer polls, and for how long still.
pub(super) struct Consumer {
    /// The map `CONSUMER_POLLING`.
    polling: Array<MapData, u64>,
    /// Polls in a row that found no record.
    empty_polls: u32,
}

impl Consumer {
    pub(super) fn new(polling: Array<MapData, u64>) -> Self {
        Self {
            polling,
            empty_polls: MAX_EMPTY_POLLS,
        }
    }

    /// To be called for each record that was found.
    pub(super) fn found_record(&mut self) {
        self.empty_polls = 0;
    }

    /// Whether no more records come: the next wait is a sleep.
    pub(super) fn is_idle(&self) -> bool {
        self.empty_polls >= MAX_EMPTY_POLLS
    }

    /// Waits until there may be records in `records`, `stop` is set, or the deadline is reached.
    ///
    /// # Errors
    /// If poll(2) or the write to the map fails.
    pub(super) fn wait(
        &mut self,
        records: &impl AsFd,
        stop: &Stop,
        deadline: Option<Instant>,
    ) -> anyhow::Result<()> {
        if self.is_idle() {
            self.sleep(records, stop, deadline)
        } else {
            self.empty_polls += 1;
            // Also if `stop` is set: it does not change how many records are read together.
            thread::sleep(POLL_INTERVAL);
            Ok(())
        }
    }

    fn sleep(
        &mut self,
        records: &impl AsFd,
        stop: &Stop,
        deadline: Option<Instant>,
    ) -> anyhow::Result<()> {
        self.set_polling(false)?;
        let fds = [records.as_fd(), stop.as_fd()];
        let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // Another CPU may not see the changed map yet, and submit records without a wake-up. A short wait first: if there are
        // such records, poll(2) finds them when it is called again.
        let short = left().map_or(POLL_INTERVAL, |left| left.min(POLL_INTERVAL));
        if is_any_readable(fds, Some(short))? || is_any_readable(fds, left())? {
            // Reads at once, then polls: more records may follow.
            self.empty_polls = 0;
        }
        // If the kernel program has woken the consumer, it has set this already.
        self.set_polling(true)
    }

    fn set_polling(&mut self, is_polling: bool) -> anyhow::Result<()> {
        self.polling
            .set(0, u64::from(is_polling), 0)
            .context("tell the kernel program whether to wake lightmon")
    }
}

/// Waits until one of the descriptors is readable. Without a timeout, waits as long as needed.
fn is_any_readable(fds: [BorrowedFd<'_>; 2], timeout: Option<Duration>) -> anyhow::Result<bool> {
    let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // Rounded up to a millisecond: a wait that ends before the deadline would be repeated.
    let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
        let rounded = Duration::from_millis(timeout.as_nanos().div_ceil(1_000_000) as u64);
        PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut fds, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(error).context("wait for records of the kernel program"),
    }
}
