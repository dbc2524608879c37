//! Converts the times of the kernel program (CLOCK_BOOTTIME) to wall-clock time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// Both clocks, read at the same moment.
pub struct Clock {
    /// Wall-clock time of that moment.
    pub(in crate::ebpf) now: Timestamp,
    /// CLOCK_BOOTTIME of that moment.
    pub(in crate::ebpf) since_boot: Duration,
    /// Wall-clock time of the boot.
    pub(super) boot: Timestamp,
}

impl Clock {
    /// Reads both clocks. To be repeated, since the wall-clock time may be set while lightmon runs.
    pub fn now() -> Self {
        let (now, since_boot) = (Timestamp::now(), since_boot());
        Self {
            now,
            since_boot,
            boot: now
                .saturating_sub(signed(since_boot))
                .unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// The wall-clock time at this time since boot.
    pub(super) fn wall_time(&self, since_boot: Duration) -> Timestamp {
        self.boot
            .saturating_add(signed(since_boot))
            .unwrap_or(Timestamp::MAX)
    }
}

/// Reads CLOCK_BOOTTIME.
pub(in crate::ebpf) fn since_boot() -> Duration {
    // The clock exists since Linux 2.6.39, so this can't fail. If it did, times would be wrong by the time since boot.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
