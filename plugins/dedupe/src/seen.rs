//! Remembers recent connections and decides whether an event repeats one. In doubt, the event is kept: a superfluous event is a
//! nuisance, a missing event is a gap.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use lightmon_plugin::{Event, Outcome};

/// Maximum size of all keys together: a quarter of the memory that the host allows a plugin.
const MAX_TOTAL_KEY_BYTES: usize = 16 << 20;

/// After this time without an answer, the host reports `pending`. It reports the outcome later, as a second event.
const PENDING_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum difference between the times of a `pending` event and of its outcome. Both give the beginning of the connection, but
/// the host reads the wall clock for each. Less than [`PENDING_TIMEOUT`], so that other connections do not match.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_millis(500);

/// The outcome of a connection and its errno.
type FullOutcome = (Outcome, Option<u16>);

/// The state of a key.
#[derive(Debug, Default)]
struct Entry {
    /// The outcome of the last kept connection, and when that connection began.
    outcome: Option<(FullOutcome, Duration)>,
    /// When the last connection began whose `pending` event was kept.
    pending: Option<Duration>,
    /// Number of events dropped since the last kept one.
    dropped: u64,
    /// Number of events dropped since the last report.
    unreported: u64,
    /// The description of the key for the next report.
    description: Option<Box<str>>,
    /// Position in the order of the last kept events.
    order: u64,
}

/// What was dropped since the last report.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Suppressed {
    pub(crate) total: u64,
    /// The keys with the most dropped events, and their numbers.
    pub(crate) top_keys: Vec<(Box<str>, u64)>,
}

/// The recent keys, with the order of their last kept events. Uses sorted maps, because an attacker who chooses paths could cause
/// collisions in a hash map.
#[derive(Debug)]
pub(crate) struct Seen {
    window: Duration,
    max_keys: usize,
    entries: BTreeMap<Rc<[u8]>, Entry>,
    by_order: BTreeMap<u64, Rc<[u8]>>,
    order: u64,
    bytes: usize,
    /// Number of events of all keys dropped since the last report.
    unreported: u64,
}

impl Seen {
    /// An empty set that remembers at most `max_keys` keys.
    pub(crate) fn new(window: Duration, max_keys: usize) -> Self {
        Self {
            window,
            max_keys,
            entries: BTreeMap::new(),
            by_order: BTreeMap::new(),
            order: 0,
            bytes: 0,
            unreported: 0,
        }
    }

    /// Decides on an event. Returns none if it is dropped. Otherwise returns how many events of the key were dropped since the
    /// last kept one. `description` describes the key for a report.
    pub(crate) fn pass(
        &mut self,
        key: &[u8],
        event: &Event<'_>,
        description: impl FnOnce() -> String,
    ) -> Option<u64> {
        if let Some(entry) = self.entries.get_mut(key)
            && entry.repeats(event, self.window)
        {
            entry.dropped += 1;
            entry.unreported += 1;
            entry
                .description
                .get_or_insert_with(|| description().into());
            self.unreported += 1;
            return None;
        }
        let (key, mut entry) = match self.entries.remove_entry(key) {
            Some(known) => known,
            None => {
                self.bytes += key.len();
                (key.into(), Entry::default())
            }
        };
        self.by_order.remove(&entry.order);
        let dropped = entry.record(event);
        self.order += 1;
        entry.order = self.order;
        self.by_order.insert(entry.order, Rc::clone(&key));
        self.entries.insert(key, entry);
        self.evict();
        Some(dropped)
    }

    /// Returns what was dropped since the last call, with at most `max_reported` keys.
    pub(crate) fn report(&mut self, max_reported: usize) -> Suppressed {
        let total = std::mem::take(&mut self.unreported);
        if total == 0 {
            return Suppressed::default();
        }
        // Different keys may have the same description, because it does not contain everything.
        let mut counts: BTreeMap<Box<str>, u64> = BTreeMap::new();
        for entry in self.entries.values_mut() {
            if let Some(description) = entry.description.take() {
                *counts.entry(description).or_default() += std::mem::take(&mut entry.unreported);
            }
        }
        let mut top_keys: Vec<_> = counts.into_iter().collect();
        top_keys.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        top_keys.truncate(max_reported);
        Suppressed { total, top_keys }
    }

    /// Removes the keys whose last kept event is the oldest, until the rest are within the limits.
    fn evict(&mut self) {
        while self.entries.len() > self.max_keys || self.bytes > MAX_TOTAL_KEY_BYTES {
            let Some((_, key)) = self.by_order.pop_first() else {
                return;
            };
            self.bytes -= key.len();
            self.entries.remove(&key);
        }
    }
}

impl Entry {
    /// Whether an event with the same outcome was kept within the window.
    fn repeats(&self, event: &Event<'_>, window: Duration) -> bool {
        // The window extends in both directions, so that a clock that was set back does not suppress events.
        let is_recent = |since: Duration| event.time().abs_diff(since) < window;
        if event.outcome() == Outcome::PENDING {
            return self.pending.is_some_and(is_recent);
        }
        let is_known = self
            .outcome
            .is_some_and(|(outcome, since)| outcome == full_outcome(event) && is_recent(since));
        is_known && !self.may_follow_pending(event)
    }

    /// Whether the `pending` event of this connection may have been kept. If so, its outcome must be kept too. The `pending`
    /// event was dropped if the connection began after the last one whose `pending` event was kept.
    fn may_follow_pending(&self, event: &Event<'_>) -> bool {
        match self.pending {
            Some(last) => event.time() <= last + MAX_CLOCK_DIFFERENCE,
            None => event.latency().is_some_and(|it| it >= PENDING_TIMEOUT),
        }
    }

    /// Records a kept event. Returns the number of events dropped before it.
    fn record(&mut self, event: &Event<'_>) -> u64 {
        if event.outcome() == Outcome::PENDING {
            self.pending = Some(event.time());
        } else {
            self.outcome = Some((full_outcome(event), event.time()));
        }
        std::mem::take(&mut self.dropped)
    }
}

fn full_outcome(event: &Event<'_>) -> FullOutcome {
    (event.outcome(), event.errno())
}

#[cfg(test)]
mod tests {
    use lightmon_plugin::{Config, Plugin, Verdict, test};

    use super::*;

    /// A plugin that does nothing, to create events with its harness.
    struct Nothing;

    impl Plugin for Nothing {
        fn new(_: &Config) -> Result<Self, String> {
            Ok(Self)
        }

        fn on_event(&mut self, _: &Event<'_>) -> Verdict {
            Verdict::keep()
        }
    }

    fn pass(seen: &mut Seen, key: &[u8]) -> bool {
        let harness = test::Harness::<Nothing>::new("{}").unwrap();
        let batch = harness.make_batch([test::event()]);
        let event = batch.events().next().unwrap();
        seen.pass(key, &event, String::new).is_some()
    }

    fn check(seen: &Seen) {
        assert_eq!(seen.entries.len(), seen.by_order.len());
        let bytes: usize = seen.entries.keys().map(|key| key.len()).sum();
        assert_eq!(seen.bytes, bytes);
        for (order, key) in &seen.by_order {
            assert_eq!(seen.entries[key].order, *order);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::new(Duration::from_secs(60), 100);
        for n in 0..1000u32 {
            assert!(pass(&mut seen, &n.to_le_bytes()));
        }
        assert_eq!(seen.entries.len(), 100);
        check(&seen);
        assert!(!pass(&mut seen, &900u32.to_le_bytes()), "still remembered");
        assert!(pass(&mut seen, &899u32.to_le_bytes()), "evicted");
        check(&seen);
    }

    #[test]
    fn the_size_of_keys_is_bounded() {
        let mut seen = Seen::new(Duration::from_secs(60), 100);
        for n in 0..40u8 {
            assert!(pass(&mut seen, &vec![n; 1 << 20]));
        }
        assert_eq!(seen.entries.len(), 16);
        check(&seen);
        // Larger than the limit: evicted at once, and so kept each time.
        assert!(pass(&mut seen, &vec![0; MAX_TOTAL_KEY_BYTES + 1]));
        assert!(pass(&mut seen, &vec![0; MAX_TOTAL_KEY_BYTES + 1]));
        assert_eq!(seen.bytes, 0);
        check(&seen);
    }
}
