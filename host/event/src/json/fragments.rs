//! Parts of lines, kept as they were written: most events are of a process, and in a container, that had one a moment ago, and
//! what belongs to those two is most of a line. Knows no keys: which part is whose is the formats' business.
//!
//! An owner is known by its address. It never changes, being behind an [`Arc`], and as long as its part is kept it is kept too,
//! so that no other can come to be at that address. Each owner has one place where its part may be, and whoever comes to that
//! place later takes it: by an owner that never comes again nothing is won, and little is lost. So at most 32 owners are held,
//! ended ones among them, and 48 KiB of text.

use std::sync::Arc;

use super::object::Object;

const PLACES: usize = 32;

/// Bytes of a part that is kept.
const LONGEST: usize = 1536;

/// A part for each owner. `K` is what else it depends on.
#[derive(Debug)]
pub(crate) struct Fragments<T, K>([Place<T, K>; PLACES]);

#[derive(Debug)]
struct Place<T, K> {
    owner: Option<(Arc<T>, K)>,
    text: Vec<u8>,
}

impl<T, K> Default for Fragments<T, K> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Place {
            owner: None,
            text: Vec::new(),
        }))
    }
}

impl<T, K: Copy + PartialEq> Fragments<T, K> {
    /// Adds the owner's part to the line: what was kept, or what `write` adds. Of `place` the low bits
    /// count, in which owners that come in turns should differ.
    pub(crate) fn put(
        &mut self,
        place: usize,
        owner: &Arc<T>,
        key: K,
        line: &mut Object<'_>,
        write: impl FnOnce(&T, K, &mut Object<'_>),
    ) {
        let place = &mut self.0[place % PLACES];
        if let Some((kept, of)) = &place.owner
            && Arc::ptr_eq(kept, owner)
            && *of == key
        {
            return line.extend(&place.text);
        }
        let before = line.len();
        write(owner, key, line);
        let text = line.since(before);
        if text.len() <= LONGEST {
            place.owner = Some((owner.clone(), key));
            place.text.clear();
            place.text.reserve_exact(text.len());
            place.text.extend_from_slice(text);
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

    /// The two formats whose lines are made of fragments.
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

    /// An event made of parts of others, which are the same ones or only equal.
    #[derive(Clone, Debug)]
    struct Mixed {
        process: Index,
        container: Option<Index>,
        other: Index,
        is_same: bool,
        has_its_name: bool,
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
            let named = if self.has_its_name {
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
            .prop_map(|(parts, (is_same, has_its_name), of, time)| Mixed {
                process: parts.0,
                container: parts.1,
                other: parts.2,
                is_same,
                has_its_name,
                pid: of.0,
                container_provenance: of.1,
                time: Timestamp::new(time.0, time.1).unwrap(),
            })
    }

    fn long(event: Event) -> Event {
        let process = Process {
            args: Some(vec!["x".repeat(LONGEST).into(); 2].into()),
            ..Process::clone(&event.process)
        };
        Event {
            process: Arc::new(process),
            ..event
        }
    }

    proptest! {
        #[test]
        fn what_was_written_before_changes_nothing(
            mut events in vec(arbitrary::event(), 1..4),
            long_one in prop::option::of(arbitrary::event()),
            mixed in vec(mixed(), 1..40),
            is_log in any::<bool>(),
        ) {
            events.extend(long_one.map(long));
            let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").unwrap();
            let fresh = || Lines::new(is_log, zone.clone());
            let mut experienced = fresh();
            for event in mixed {
                // Ends with its turn: others may come to be where its process was.
                let event = event.of(&events);
                let (mut line, mut expected) = (Vec::new(), Vec::new());
                experienced.event(&event, &mut line);
                fresh().event(&event, &mut expected);
                prop_assert_eq!(String::from_utf8(line), String::from_utf8(expected));
            }
        }
    }

    #[test]
    fn little_is_held() {
        let mut fragments = Fragments::default();
        let owners: Vec<Arc<usize>> = (0..10 * PLACES).map(Arc::new).collect();
        for (number, owner) in owners.iter().enumerate() {
            let mut out = Vec::new();
            let text = vec![b'x'; number * 100];
            let line = &mut Object::begin(&mut out);
            fragments.put(number, owner, (), line, |_, (), line| line.extend(&text));
        }
        let held = owners.iter().filter(|it| Arc::strong_count(it) > 1);
        assert!(held.count() <= PLACES);
        let texts = fragments.0.iter().map(|place| place.text.capacity());
        assert!(texts.sum::<usize>() <= PLACES * LONGEST);
    }
}
