//! Compares the events of the source with the connections that the self-test has made.

use std::{fmt::Debug, net::SocketAddr, sync::Arc};

use lightmon_event::{Event, Outcome, Protocol};

/// What must be reported about all attempts of one run, and what was reported so far.
#[derive(Clone, Debug)]
pub struct Expectations {
    pub(super) expected: Vec<Expectation>,
    pub(super) skipped: Vec<String>,
}

impl Expectations {
    /// Compares an event with the expectations. Returns whether it is about a connection of the self-test.
    pub fn observe(&mut self, event: &Event) -> bool {
        let expectation = self.expected.iter_mut().find(|it| it.is_about(event));
        expectation.map(|it| it.observe(event)).is_some()
    }

    /// Whether every connection was reported, right or wrong.
    pub fn are_all_seen(&self) -> bool {
        self.expected.iter().all(|it| it.times_seen > 0)
    }

    /// Number of connections that were made.
    pub const fn made(&self) -> usize {
        self.expected.len()
    }

    /// The connections that could not be made, or that this source can't report, and why. They are no failures.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The connections that were not reported, reported wrong, or reported more than once. Empty: the self-test has passed.
    pub fn failures(&self) -> Vec<String> {
        self.expected
            .iter()
            .filter_map(Expectation::failure)
            .collect()
    }
}

/// What must be reported about one attempt, and what was reported so far.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    pub(super) name: &'static str,
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) outcome: Outcome,
    pub(super) errno: Option<u16>,
    /// Process id and thread id. `None` in a pid namespace, where events have other ids than this process sees.
    pub(super) ids: Option<(u32, u32)>,
    pub(super) uid: u32,
    pub(super) comm: Arc<str>,
    pub(super) times_seen: u32,
    /// The first difference from what was expected.
    pub(super) wrong: Option<String>,
}

impl Expectation {
    /// Whether the event is about this attempt: the destination is the same, and so is the source or the thread.
    fn is_about(&self, event: &Event) -> bool {
        event.protocol == self.protocol
            && event.destination == self.destination
            && (event.source == self.source || self.ids == Some((event.pid, event.tid)))
            // The outcome of the same connection follows.
            && event.outcome != Outcome::Pending
    }

    fn observe(&mut self, event: &Event) {
        self.times_seen += 1;
        let (pid, tid) = self.ids.unzip();
        let wrong = [
            difference("source", &event.source, &self.source),
            difference("outcome", &event.outcome, &self.outcome),
            difference("errno", &event.errno, &self.errno),
            pid.and_then(|pid| difference("pid", &event.pid, &pid)),
            tid.and_then(|tid| difference("tid", &event.tid, &tid)),
            difference("uid", &event.uid, &self.uid),
            difference("comm", &event.comm, &self.comm),
        ];
        let wrong: Vec<_> = wrong.into_iter().flatten().collect();
        if !wrong.is_empty() {
            self.wrong.get_or_insert(wrong.join(", "));
        }
    }

    fn failure(&self) -> Option<String> {
        let Self {
            name,
            destination,
            times_seen,
            wrong,
            ..
        } = self;
        match (times_seen, wrong) {
            (0, _) => Some(format!("{name} to {destination} was not seen")),
            (_, Some(wrong)) => Some(format!("{name} to {destination} is wrong: {wrong}")),
            (1, None) => None,
            (n, None) => Some(format!("{name} to {destination} was seen {n} times")),
        }
    }
}

fn difference<T: Debug + PartialEq>(field: &str, is: &T, expected: &T) -> Option<String> {
    (is != expected).then(|| format!("{field} is {is:?} instead of {expected:?}"))
}
