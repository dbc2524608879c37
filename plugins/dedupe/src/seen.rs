//! What has come through lately, and whether an event repeats it. In doubt it doesn't: an event too many is a nuisance, one too
//! few a hole.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use lightmon_plugin::{Event, Outcome};

/// Bytes of all keys together: a quarter of what the host lets a plugin have.
const LARGEST: usize = 16 << 20;

/// After this time without an answer the host says `pending`, and the end comes as an event of its own.
const PENDING_AFTER: Duration = Duration::from_secs(1);

/// How far apart the times of a `pending` and its end may be: both say when the connection was begun, but wall-clock time was
/// looked up anew. Less than [`PENDING_AFTER`], so that what goes on meanwhile isn't taken for it.
const CLOCKS_DIFFER: Duration = Duration::from_millis(500);

/// How a connection ended.
type End = (Outcome, Option<u16>);

/// What is known of a key.
#[derive(Debug, Default)]
struct Entry {
    /// The last end that came through, and when that connection was begun.
    end: Option<(End, Duration)>,
    /// When the last connection was begun whose `pending` came through.
    pending: Option<Duration>,
    /// Events since then that did not.
    dropped: u64,
    /// Events that did not since the last report, and the key's text for it.
    unreported: u64,
    text: Option<Box<str>>,
    /// Its place in the order of what came through.
    turn: u64,
}

/// What was dropped since the last report.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Suppressed {
    pub(crate) total: u64,
    /// The keys with the most, and how many each.
    pub(crate) most: Vec<(Box<str>, u64)>,
}

/// The keys, with the order in which something of them last came through. Sorted rather than hashed: who chooses a path can't
/// choose collisions.
#[derive(Debug)]
pub(crate) struct Seen {
    window: Duration,
    most: usize,
    entries: BTreeMap<Rc<[u8]>, Entry>,
    turns: BTreeMap<u64, Rc<[u8]>>,
    turn: u64,
    bytes: usize,
    /// What was dropped since the last report, of all keys.
    unreported: u64,
}

impl Seen {
    /// Nothing yet; at most that many keys.
    pub(crate) fn new(window: Duration, most: usize) -> Self {
        Self {
            window,
            most,
            entries: BTreeMap::new(),
            turns: BTreeMap::new(),
            turn: 0,
            bytes: 0,
            unreported: 0,
        }
    }

    /// Whether the event comes through: none if not, else how many of its key did not since the last one that did.
    /// `text` makes the text that a report names the key by.
    pub(crate) fn pass(
        &mut self,
        key: &[u8],
        event: &Event<'_>,
        text: impl FnOnce() -> String,
    ) -> Option<u64> {
        if let Some(entry) = self.entries.get_mut(key)
            && entry.repeats(event, self.window)
        {
            entry.dropped += 1;
            entry.unreported += 1;
            entry.text.get_or_insert_with(|| text().into());
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
        self.turns.remove(&entry.turn);
        let dropped = entry.take(event);
        self.turn += 1;
        entry.turn = self.turn;
        self.turns.insert(entry.turn, Rc::clone(&key));
        self.entries.insert(key, entry);
        self.forget();
        Some(dropped)
    }

    /// What was dropped since this was last asked, with that many of the keys.
    pub(crate) fn report(&mut self, keys: usize) -> Suppressed {
        let total = std::mem::take(&mut self.unreported);
        if total == 0 {
            return Suppressed::default();
        }
        // Different keys may have the same text, since not everything of them is told.
        let mut counts: BTreeMap<Box<str>, u64> = BTreeMap::new();
        for entry in self.entries.values_mut() {
            if let Some(text) = entry.text.take() {
                *counts.entry(text).or_default() += std::mem::take(&mut entry.unreported);
            }
        }
        let mut most: Vec<_> = counts.into_iter().collect();
        most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        most.truncate(keys);
        Suppressed { total, most }
    }

    /// Forgets what has not come through for longest, until there is room.
    fn forget(&mut self) {
        while self.entries.len() > self.most || self.bytes > LARGEST {
            let Some((_, key)) = self.turns.pop_first() else {
                return;
            };
            self.bytes -= key.len();
            self.entries.remove(&key);
        }
    }
}

impl Entry {
    /// Whether the event says nothing that has not come through within the window.
    fn repeats(&self, event: &Event<'_>, window: Duration) -> bool {
        // A clock that was set back must not keep anything silent, so the window is one to both sides.
        let is_recent = |since: Duration| event.time().abs_diff(since) < window;
        if event.outcome() == Outcome::PENDING {
            return self.pending.is_some_and(is_recent);
        }
        let is_known = self
            .end
            .is_some_and(|(end, since)| end == end_of(event) && is_recent(since));
        is_known && !self.is_awaited(event)
    }

    /// Whether the connection's `pending` may have come through: then its end must too. What was begun later than the last one
    /// that did was kept silent.
    fn is_awaited(&self, event: &Event<'_>) -> bool {
        match self.pending {
            Some(last) => event.time() <= last + CLOCKS_DIFFER,
            None => event.latency().is_some_and(|it| it >= PENDING_AFTER),
        }
    }

    /// Notes that the event comes through, and hands out the count.
    fn take(&mut self, event: &Event<'_>) -> u64 {
        if event.outcome() == Outcome::PENDING {
            self.pending = Some(event.time());
        } else {
            self.end = Some((end_of(event), event.time()));
        }
        std::mem::take(&mut self.dropped)
    }
}

fn end_of(event: &Event<'_>) -> End {
    (event.outcome(), event.errno())
}

#[cfg(test)]
mod tests {
    use lightmon_plugin::{Config, Plugin, Verdict, test};

    use super::*;

    /// Makes events for a [`Seen`] without a plugin around it.
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
        assert_eq!(seen.entries.len(), seen.turns.len());
        let bytes: usize = seen.entries.keys().map(|key| key.len()).sum();
        assert_eq!(seen.bytes, bytes);
        for (turn, key) in &seen.turns {
            assert_eq!(seen.entries[key].turn, *turn);
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
        assert!(!pass(&mut seen, &900u32.to_le_bytes()), "is still known");
        assert!(pass(&mut seen, &899u32.to_le_bytes()), "was forgotten");
        check(&seen);
    }

    #[test]
    fn long_keys_count_as_what_they_are() {
        let mut seen = Seen::new(Duration::from_secs(60), 100);
        for n in 0..40u8 {
            assert!(pass(&mut seen, &vec![n; 1 << 20]));
        }
        assert_eq!(seen.entries.len(), 16);
        check(&seen);
        // Larger than all there may be: forgotten at once, and so reported each time.
        assert!(pass(&mut seen, &vec![0; LARGEST + 1]));
        assert!(pass(&mut seen, &vec![0; LARGEST + 1]));
        assert_eq!(seen.bytes, 0);
        check(&seen);
    }
}
