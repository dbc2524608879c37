//! What the plugins' thread does with the work that comes: events through the chain and on to the output, and meanwhile what
//! plugins have to say of their own, in its place among the events.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{Queue, Work, lock};
use lightmon_event::{Event, Notice, Stats};
use lightmon_output::{Output, OutputHandle};
use lightmon_plugin_host::{Bypass, Chain, Halt};
use lightmon_thread::Stop;

pub(super) struct Worker<'a> {
    pub(super) plugins: Chain,
    pub(super) queue: &'a Queue,
    pub(super) output: &'a Mutex<Output>,
    pub(super) remote: OutputHandle,
    /// Changes with the plugins.
    pub(super) past: &'a Mutex<Bypass>,
    /// Wakes a source that waits for events.
    pub(super) stop: &'a Stop,
    pub(super) stats: &'a Stats,
    /// The time of the latest event of a recording, whose time it is then; none when it is the clock's.
    pub(super) recorded: Option<Timestamp>,
    pub(super) began: Instant,
    /// A plugin has failed that lightmon must not go on without.
    pub(super) halted: bool,
}

impl Worker<'_> {
    /// Until there is no more work.
    pub(super) fn run(mut self) {
        loop {
            if self.recorded.is_none() {
                self.tick();
            }
            let Some(work) = self.queue.next(self.at_most()) else {
                break;
            };
            self.swap();
            match work {
                Work::Events(events) => self.take(events),
                Work::Notice(notice) => lock(self.output).write_notice(&notice),
                Work::Swap | Work::Nothing => {}
            }
        }
        if !self.halted {
            let reports = self.plugins.stop(self.now(), self.stats);
            self.report(reports);
        }
    }

    fn now(&self) -> Timestamp {
        // Before the first event of a recording there is no other time.
        self.recorded
            .filter(|time| *time > Timestamp::MIN)
            .unwrap_or_else(Timestamp::now)
    }

    /// What tells when plugins are due: time that goes on evenly, whatever is done to the clock, or that of a recording.
    fn elapsed(&self) -> Duration {
        self.recorded
            .map_or_else(|| self.began.elapsed(), since_epoch)
    }

    /// How long the next work may be waited for: for ever, unless a plugin wants to be called.
    fn at_most(&self) -> Option<Duration> {
        let due = self
            .plugins
            .next_tick()
            .filter(|_| self.recorded.is_none() && !self.halted)?;
        Some(due.saturating_sub(self.elapsed()))
    }

    fn swap(&mut self) {
        if let Some(reports) = self.plugins.swap(self.now(), self.stats) {
            *lock(self.past) = self.plugins.bypass();
            self.report(reports);
        }
    }

    fn tick(&mut self) {
        if self.halted {
            return;
        }
        let mut reports = Vec::new();
        let times = (self.now(), self.elapsed());
        let result = self.plugins.tick(times, self.stats, &mut reports);
        self.report(reports);
        if let Err(halt) = result {
            self.halt(halt);
        }
    }

    /// Ends lightmon: on an idle host nothing else would tell the source to look.
    fn halt(&mut self, halt: Halt) {
        self.halted = true;
        self.queue.halt(halt);
        self.stop.set();
    }

    fn report(&self, reports: Vec<Notice>) {
        if !reports.is_empty() {
            let mut output = lock(self.output);
            reports
                .iter()
                .for_each(|report| output.write_notice(report));
        }
    }

    fn take(&mut self, mut events: Vec<Event>) {
        if self.remote.is_over() {
            self.remote.lose(events.len() as u64);
            return self.queue.done(events);
        }
        while self.recorded.is_some() && !events.is_empty() {
            // The events' own time tells when to call plugins: the same recording always gives the same.
            self.recorded = self.recorded.max(Some(events[0].time));
            self.tick();
            let due = self.plugins.next_tick().filter(|_| !self.halted);
            let is_due = |event: &Event| due.is_some_and(|due| since_epoch(event.time) >= due);
            let Some(end) = events.iter().skip(1).position(is_due) else {
                break;
            };
            let later = events.split_off(end + 1);
            self.pass(&mut events);
            events = later;
        }
        self.recorded = self
            .recorded
            .max(events.iter().map(|event| event.time).max());
        self.pass(&mut events);
        self.queue.done(events);
    }

    /// Through the plugins, or past them after one has failed for good, to the output.
    fn pass(&mut self, events: &mut Vec<Event>) {
        let result = if self.halted {
            lock(self.past).apply(events, self.stats)
        } else {
            self.plugins.run(events, self.stats)
        };
        lock(self.output).write(events);
        if let Err(halt) = result {
            self.halt(halt);
        }
    }
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
}
