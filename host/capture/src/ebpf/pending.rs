//! Scans the pending TCP connections, the host's half of `ebpf/src/pending.rs`. Pending: without an answer yet.
//!
//! A scan probes each connection that has been pending for [`PENDING_TIMEOUT`]. The kernel program then reports the connection as
//! pending. If a hook run was skipped and the connection has an answer, the kernel program recovers the outcome.
//!
//! The kernel program requests a scan when a connection begins and no scan is scheduled. So an idle host has no wake-ups, and a busy
//! one has one a second.

use std::time::Duration;

use anyhow::Context as _;
use aya::maps::{Array, HashMap, MapData, MapError};
use lightmon_common::Pending;
use nix::sys::socket::{SockaddrIn, connect};
use zerocopy::FromBytes as _;

/// How long a connection may have no answer before it is reported as pending.
pub(super) const PENDING_TIMEOUT: Duration = Duration::from_secs(1);

/// Size of the kernel program's map `PENDING`, in entries.
const MAX_PENDING: usize = 65_536;

/// The descriptor of a probe. It does not exist, so connect(2) fails, and only the kernel program sees the call.
const PROBE_FD: i32 = -1;

/// The kernel program's maps of pending connections, and when to scan them. Times are since boot.
pub(super) struct PendingConnections {
    /// The map `PENDING`: by `struct sock *`.
    connections: HashMap<MapData, u64, [u8; size_of::<Pending>()]>,
    /// The map `SCAN_SCHEDULED`.
    scan_scheduled: Array<MapData, u64>,
    /// The map `PROBED_SOCKET`.
    probed_socket: Array<MapData, u64>,
    /// When the next scan is due.
    scan_at: Option<Duration>,
}

impl PendingConnections {
    pub(super) fn new(
        connections: HashMap<MapData, u64, [u8; size_of::<Pending>()]>,
        scan_scheduled: Array<MapData, u64>,
        probed_socket: Array<MapData, u64>,
    ) -> Self {
        Self {
            connections,
            scan_scheduled,
            probed_socket,
            scan_at: None,
        }
    }

    /// Schedules a scan for a connection that began at this time.
    pub(super) fn schedule_scan(&mut self, began: Duration) {
        let at = began + PENDING_TIMEOUT;
        self.scan_at = Some(self.scan_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether a scan is due.
    pub(super) fn is_scan_due(&self, now: Duration) -> bool {
        self.scan_at.is_some_and(|at| at <= now)
    }

    /// Time until the next scan. `None` if no scan is scheduled.
    pub(super) fn time_to_scan(&self, now: Duration) -> Option<Duration> {
        self.scan_at.map(|at| at.saturating_sub(now))
    }

    /// Probes each connection that has been pending for at least `min_age`, and schedules the next scan.
    ///
    /// # Errors
    /// If a map can't be read or written.
    pub(super) fn scan(&mut self, now: Duration, min_age: Duration) -> anyhow::Result<()> {
        const ACTION: &str = "scan the pending connections";
        // Before the scan: a connection that begins during the scan then requests another one.
        self.scan_scheduled.set(0, 0, 0).context(ACTION)?;
        let mut oldest = None;
        let mut keep_oldest =
            |began: Duration| oldest = Some(oldest.map_or(began, |it: Duration| it.min(began)));
        // If an entry is removed during the iteration, the iteration starts again. The limit bounds that. The next scan finds
        // what is missed here.
        for entry in self.connections.iter().take(2 * MAX_PENDING) {
            let (sk, value) = match entry {
                Ok(entry) => entry,
                Err(MapError::KeyNotFound) => continue,
                Err(error) => return Err(error).context(ACTION),
            };
            let (pending, _) = Pending::read_from_prefix(&value)
                .expect("invariant: the value has the size of a Pending");
            let began = Duration::from_nanos(pending.began_ns);
            if began + min_age > now {
                keep_oldest(began);
                continue;
            }
            // Stays pending: probed again a timeout from now.
            keep_oldest(now);
            self.probed_socket.set(0, sk, 0).context(ACTION)?;
            // Fails with EBADF, as it must.
            let _ = connect(PROBE_FD, &SockaddrIn::new(0, 0, 0, 0, 0));
        }
        self.scan_at = oldest.map(|began| began + PENDING_TIMEOUT);
        Ok(())
    }
}
