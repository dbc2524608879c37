//! Caches parts of lines as they were written: most events are of a process and a container that had an event a moment ago, and
//! the keys of these two are most of a line. Does not know which keys they are.
//!
//! A part belongs to an owner (a process or container), which is recognised by its address. The owner is behind an [`Arc`] and
//! never changes. The cache holds the [`Arc`], so no other owner can get the same address. Each owner has one slot; a later
//! owner of the same slot replaces it. Caching does not pay for an owner with one event, and costs little. The cache holds at
//! most 32 owners, some of which may have ended, and 48 KiB of text.

use std::sync::Arc;

use super::object::Object;

const SLOTS: usize = 32;

/// Longer parts are not cached.
const MAX_PART_BYTES: usize = 1536;

/// Cached parts, by owner. `K` is what else a part depends on.
#[derive(Debug)]
pub(crate) struct Fragments<T, K>([Slot<T, K>; SLOTS]);

#[derive(Debug)]
struct Slot<T, K> {
    owner: Option<(Arc<T>, K)>,
    text: Vec<u8>,
}

impl<T, K> Default for Fragments<T, K> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Slot {
            owner: None,
            text: Vec::new(),
        }))
    }
}

impl<T, K: Copy + PartialEq> Fragments<T, K> {
    /// Adds the owner's part to the line: the cached part, or what `write` adds. The slot is `hash` modulo 32, so owners that
    /// take turns should differ in its low bits.
    pub(crate) fn put(
        &mut self,
        hash: usize,
        owner: &Arc<T>,
        key: K,
        line: &mut Object<'_>,
        write: impl FnOnce(&T, K, &mut Object<'_>),
    ) {
        let slot = &mut self.0[hash % SLOTS];
        if let Some((cached, cached_key)) = &slot.owner
            && Arc::ptr_eq(cached, owner)
            && *cached_key == key
        {
            return line.extend(&slot.text);
        }
        let before = line.len();
        write(owner, key, line);
        let text = line.since(before);
        if text.len() <= MAX_PART_BYTES {
            slot.owner = Some((owner.clone(), key));
            slot.text.clear();
            slot.text.reserve_exact(text.len());
            slot.text.extend_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};
    use proptest::{
        collection::vec,
        prelude::*,
        sample::{Index, select},
    };

    use super::*;
    use crate::json::{self, log};
    use crate::{Container, Event, Process, Provenance, arbitrary};

    /// The two formats that use the cache.
    enum Lines {
        Log(Box<log::Lines>),
        Json(Box<json::Lines>),
    }

    impl Lines {
        fn new(is_log: bool, zone: TimeZone) -> Self {
            match is_log {
                true => Self::Log(log::Lines::new(zone).into()),
                false => Self::Json(json::Lines::new(zone).into()),
            }
        }

        fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
            match self {
                Self::Log(lines) => lines.event(event, out),
                Self::Json(lines) => lines.event(event, out),
            }
        }
    }

    /// An event made of the parts of others: the same parts, or equal ones.
    #[derive(Clone, Debug)]
    struct Mixed {
        process: Index,
        container: Option<Index>,
        other: Index,
        is_same: bool,
        is_named_alike: bool,
        pid: u32,
        container_provenance: Option<Provenance>,
        time: Timestamp,
    }

    impl Mixed {
        fn of(self, events: &[Event]) -> Event {
            let other = self.other.get(events);
            let mut process = self.process.get(events).process.clone();
            let container = self.container.map(|it| &it.get(events).container);
            let mut container = container.cloned().flatten();
            if !self.is_same {
                process = Arc::new(Process::clone(&process));
                container = container.map(|it| Arc::new(Container::clone(&it)));
            }
            let named = if self.is_named_alike {
                &process.comm
            } else {
                &other.comm
            };
            Event {
                time: self.time,
                pid: self.pid,
                comm: named.clone(),
                process,
                container,
                container_provenance: self.container_provenance,
                ..other.clone()
            }
        }
    }

    fn mixed() -> impl Strategy<Value = Mixed> {
        // Before 1970, and where New York's summer begins.
        let second = select(&[-1, 0, 1_772_953_199, 1_772_953_200][..]);
        let provenances = [None, Some(Provenance::Exec), Some(Provenance::Proc)];
        (
            any::<(Index, Option<Index>, Index)>(),
            any::<(bool, bool)>(),
            (0..3_u32, select(provenances.to_vec())),
            (second, 0..1_000_000_000),
        )
            .prop_map(|(parts, (is_same, is_named_alike), of, time)| Mixed {
                process: parts.0,
                container: parts.1,
                other: parts.2,
                is_same,
                is_named_alike,
                pid: of.0,
                container_provenance: of.1,
                time: Timestamp::new(time.0, time.1).unwrap(),
            })
    }

    fn long(event: Event) -> Event {
        let process = Process {
            args: Some(vec!["x".repeat(MAX_PART_BYTES).into(); 2].into()),
            ..Process::clone(&event.process)
        };
        Event {
            process: Arc::new(process),
            ..event
        }
    }

    proptest! {
        #[test]
        fn cached_parts_change_no_line(
            mut events in vec(arbitrary::event(), 1..4),
            long_one in prop::option::of(arbitrary::event()),
            mixed in vec(mixed(), 1..40),
            is_log in any::<bool>(),
        ) {
            events.extend(long_one.map(long));
            let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
            let fresh = || Lines::new(is_log, zone.clone());
            let mut cached = fresh();
            for event in mixed {
                // The event is dropped here, so a later process may get the same address.
                let event = event.of(&events);
                let (mut line, mut expected) = (Vec::new(), Vec::new());
                cached.event(&event, &mut line);
                fresh().event(&event, &mut expected);
                prop_assert_eq!(String::from_utf8(line), String::from_utf8(expected));
            }
        }
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut fragments = Fragments::default();
        let owners: Vec<Arc<usize>> = (0..10 * SLOTS).map(Arc::new).collect();
        for (number, owner) in owners.iter().enumerate() {
            let mut out = Vec::new();
            let text = vec![b'x'; number * 100];
            let line = &mut Object::begin(&mut out);
            fragments.put(number, owner, (), line, |_, (), line| line.extend(&text));
        }
        let held = owners.iter().filter(|it| Arc::strong_count(it) > 1);
        assert!(held.count() <= SLOTS);
        let texts = fragments.0.iter().map(|slot| slot.text.capacity());
        assert!(texts.sum::<usize>() <= SLOTS * MAX_PART_BYTES);
    }
}
