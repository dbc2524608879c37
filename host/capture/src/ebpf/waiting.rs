//! Looks after TCP connections that have no answer yet: after a second each is reported as pending, and one whose answer the kernel
//! program has missed is made good for.
//!
//! The kernel program says when the first of them was begun, then nothing more until we have looked: an idle host has no
//! wake-ups, a busy one has one a second. See `ebpf/src/pending.rs` for the other half.

use std::time::Duration;

use anyhow::Context as _;
use aya::maps::{Array, HashMap, MapData, MapError};
use lightmon_common::Pending;
use nix::sys::socket::{SockaddrIn, connect};
use zerocopy::FromBytes as _;

/// How long a connection may take before it is reported as pending.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Entries of the kernel program's map `PENDING`.
const MAX_PENDING: usize = 65_536;

/// A descriptor that nobody has: the call fails, and only the kernel program sees it.
const NO_FD: i32 = -1;

/// The connections without an answer.
pub(super) struct Waiting {
    pending: HashMap<MapData, u64, [u8; size_of::<Pending>()]>,
    armed: Array<MapData, u64>,
    ask: Array<MapData, u64>,
    /// When to look, since boot.
    due: Option<Duration>,
}

impl Waiting {
    pub(super) fn new(
        pending: HashMap<MapData, u64, [u8; size_of::<Pending>()]>,
        armed: Array<MapData, u64>,
        ask: Array<MapData, u64>,
    ) -> Self {
        Self {
            pending,
            armed,
            ask,
            due: None,
        }
    }

    /// A connection was begun at this time, since boot.
    pub(super) fn began(&mut self, at: Duration) {
        let due = at + PATIENCE;
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// How long it is until then.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        self.due.map(|due| due.saturating_sub(now))
    }

    /// Has the kernel program send a record for each connection that has waited for this long and is not reported yet, and for
    /// each that does not wait any more, which it has missed.
    ///
    /// # Errors
    /// When a map can't be read or written.
    pub(super) fn look(&mut self, now: Duration, patience: Duration) -> anyhow::Result<()> {
        const WHAT: &str = "look after connections without an answer";
        // First: what is begun from now on tells us again.
        self.armed.set(0, 0, 0).context(WHAT)?;
        let mut next = None;
        let mut remind = |at: Duration| next = Some(next.map_or(at, |next: Duration| next.min(at)));
        // An entry that vanishes under the iteration starts it again: bounded, and what is missed comes with the next look.
        let at_most = 2 * MAX_PENDING;
        for entry in self.pending.iter().take(at_most) {
            let (sk, value) = match entry {
                Ok(entry) => entry,
                Err(MapError::KeyNotFound) => continue,
                Err(error) => return Err(error).context(WHAT),
            };
            let (pending, _) = Pending::read_from_prefix(&value)
                .expect("invariant: the value has the size of a Pending");
            let began = Duration::from_nanos(pending.began_ns);
            if began + patience > now {
                remind(began);
                continue;
            }
            remind(now);
            self.ask.set(0, sk, 0).context(WHAT)?;
            // Fails: nobody has the descriptor.
            let _ = connect(NO_FD, &SockaddrIn::new(0, 0, 0, 0, 0));
        }
        self.due = next.map(|began| began + PATIENCE);
        Ok(())
    }
}
