//! What must be reported of the canary's connections, and what was.

use std::{fmt::Debug, net::SocketAddr, sync::Arc};

use lightmon_event::{Event, Outcome, Protocol};

/// What must be reported about one attempt.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    pub(super) name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) outcome: Outcome,
    pub(super) errno: Option<u16>,
    /// Process and thread; not comparable from within another pid namespace than the kernel's own.
    pub(super) ids: Option<(u32, u32)>,
    pub(super) uid: u32,
    pub(super) comm: Arc<str>,
    pub(super) times_seen: u32,
    pub(super) wrong: Option<String>,
}

/// What must be reported about all attempts of one round, and what was so far.
#[derive(Clone, Debug)]
pub struct Expectations {
    pub(super) expected: Vec<Expectation>,
    pub(super) skipped: Vec<String>,
}
impl Expectation {
    /// Whether the event is about this attempt: its destination is our own, and so is its source or its thread.
    fn is_about(&self, event: &Event) -> bool {
        event.protocol == self.protocol
            && event.destination == self.destination
            && (event.source == self.source || self.ids == Some((event.pid, event.tid)))
            // The outcome of the same connection follows.
            && event.outcome != Outcome::Pending
    }

    fn saw(&mut self, event: &Event) {
        self.times_seen += 1;
        let wrong = [
            differs("source", &event.source, &self.source),
            differs("outcome", &event.outcome, &self.outcome),
            differs("errno", &event.errno, &self.errno),
            self.ids
                .and_then(|(pid, _)| differs("pid", &event.pid, &pid)),
            self.ids
                .and_then(|(_, tid)| differs("tid", &event.tid, &tid)),
            differs("uid", &event.uid, &self.uid),
            differs("comm", &event.comm, &self.comm),
        ];
        let wrong: Vec<_> = wrong.into_iter().flatten().collect();
        if !wrong.is_empty() {
            self.wrong.get_or_insert(wrong.join(", "));
        }
    }

    fn missing(&self) -> Option<String> {
        let Self {
            name,
            destination,
            times_seen,
            wrong,
            ..
        } = self;
        match (times_seen, wrong) {
            (0, _) => Some(format!("{name} to {destination} was not seen")),
            (_, Some(wrong)) => Some(format!("{name} to {destination} came wrong: {wrong}")),
            (1, None) => None,
            (n, None) => Some(format!("{name} to {destination} came {n} times")),
        }
    }
}

fn differs<T: Debug + PartialEq>(what: &str, is: &T, expected: &T) -> Option<String> {
    (is != expected).then(|| format!("{what} is {is:?} instead of {expected:?}"))
}

impl Expectations {
    /// Compares an event; says whether it was one of the canary's.
    pub fn saw(&mut self, event: &Event) -> bool {
        let attempt = self.expected.iter_mut().find(|it| it.is_about(event));
        attempt.map(|it| it.saw(event)).is_some()
    }

    /// Whether all have been seen, right or wrong.
    pub fn are_all_seen(&self) -> bool {
        self.expected.iter().all(|attempt| attempt.times_seen > 0)
    }

    /// How many connections were made.
    pub const fn made(&self) -> usize {
        self.expected.len()
    }

    /// Flights that could not be made, or can't be seen, and why; no fault of what was flown.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// What did not come, came wrong or came more than once; empty: all is well.
    pub fn missing(&self) -> Vec<String> {
        self.expected
            .iter()
            .filter_map(Expectation::missing)
            .collect()
    }
}
