//! Waits for records without being woken for each: being woken costs the programs that connect more than all the rest.
//!
//! While records come, we look for them each [`GATHER`] by ourselves. When none came for a while, we tell the kernel program to wake
//! us for the next one, and sleep. See `ebpf/src/consumer.rs` for the other half.

use std::{
    os::fd::{AsFd, BorrowedFd},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::maps::{Array, MapData, MapError};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use lightmon_thread::Stop;

/// How long records gather before they are read together.
const GATHER: Duration = Duration::from_millis(2);

/// So many times in a row nothing was there: we go to sleep.
const PATIENCE: u32 = 3;

/// Whether we look for records by ourselves, and for how long still.
pub(super) struct Wait {
    /// The kernel program's `CONSUMER_POLLING`.
    awake: Array<MapData, u64>,
    /// How often there was nothing, since there was something.
    in_vain: u32,
}

impl Wait {
    pub(super) fn new(awake: Array<MapData, u64>) -> Self {
        Self {
            awake,
            in_vain: PATIENCE,
        }
    }

    /// There was something to read.
    pub(super) fn found(&mut self) {
        self.in_vain = 0;
    }

    /// Whether the next wait may be a long one.
    pub(super) fn is_asleep(&self) -> bool {
        self.in_vain >= PATIENCE
    }

    /// Waits until there may be something in `records`, `stop` is set, or it is that late.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(super) fn wait(
        &mut self,
        records: &impl AsFd,
        stop: &Stop,
        until: Option<Instant>,
    ) -> anyhow::Result<()> {
        if self.is_asleep() {
            // What wakes us is read at once: nobody knows whether there will be more.
            self.sleep(records, stop, until)
        } else {
            self.in_vain += 1;
            // `stop` is no reason to read less than there is.
            thread::sleep(GATHER);
            Ok(())
        }
    }

    /// Until something comes, or it is that late.
    fn sleep(
        &mut self,
        records: &impl AsFd,
        stop: &Stop,
        until: Option<Instant>,
    ) -> anyhow::Result<()> {
        self.wake_me(true)?;
        let either = [records.as_fd(), stop.as_fd()];
        let left = || until.map(|until| until.saturating_duration_since(Instant::now()));
        // A program on another CPU may not have seen yet that we want to be woken: what it submits until it has is found after
        // this short wait.
        let short = left().map_or(GATHER, |left| left.min(GATHER));
        let is_ready = ready(either, Some(short))? || ready(either, left())?;
        if is_ready {
            self.in_vain = 0;
        }
        // When it has woken us, the kernel program knows already.
        self.wake_me(false)
    }

    fn wake_me(&mut self, wake: bool) -> anyhow::Result<()> {
        let set: Result<(), MapError> = self.awake.set(0, u64::from(!wake), 0);
        set.context("tell the kernel program when to wake lightmon")
    }
}

/// Whether one of them is, in that time; for ever without a time.
fn ready(fds: [BorrowedFd<'_>; 2], timeout: Option<Duration>) -> anyhow::Result<bool> {
    let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // Rounded up: who is too early finds nothing.
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
