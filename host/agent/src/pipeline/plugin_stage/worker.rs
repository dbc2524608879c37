//! The plugin thread: runs events through the chain of plugins and hands them to the output. Between batches it reloads
//! plugins, calls those that are due, and writes their reports in their place among the events.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use lightmon_event::{Event, Notice, Stats};
use lightmon_output::{Output, OutputHandle};
use lightmon_plugin_host::{Bypass, Chain, Halt};
use lightmon_thread::{Stop, lock};

use super::queue::{Queue, Work};

/// What the thread works with.
pub(super) struct Worker<'a> {
    pub(super) plugins: Chain,
    pub(super) queue: &'a Queue,
    pub(super) output: &'a Mutex<Output>,
    pub(super) output_handle: OutputHandle,
    /// What happens to events that do not go through the plugins. Changes when a plugin is reloaded.
    pub(super) bypass: &'a Mutex<Bypass>,
    /// Wakes a source that waits for events.
    pub(super) stop: &'a Stop,
    pub(super) stats: &'a Stats,
    /// The time of the latest event of a replay, by which plugins are called then; `None` in a live run.
    pub(super) recorded_time: Option<Timestamp>,
    pub(super) began: Instant,
    /// Whether a plugin has failed that lightmon must not go on without.
    pub(super) is_halted: bool,
}

impl Worker<'_> {
    /// Works until there is no more work.
    pub(super) fn run(mut self) {
        loop {
            if self.recorded_time.is_none() {
                self.tick();
            }
            let Some(work) = self.queue.next(self.time_to_next_tick()) else {
                break;
            };
            self.reload();
            match work {
                Work::Events(events) => self.take(events),
                Work::Notice(notice) => lock(self.output).write_notice(&notice),
                Work::Wake => {}
            }
        }
        if !self.is_halted {
            let reports = self.plugins.stop(self.now(), self.stats);
            self.report(reports);
        }
    }

    fn now(&self) -> Timestamp {
        // Before its first event, a replay has no time.
        self.recorded_time
            .filter(|time| *time > Timestamp::MIN)
            .unwrap_or_else(Timestamp::now)
    }

    /// The time that tells when plugins are due: monotonic in a live run, the events' own in a replay.
    fn elapsed(&self) -> Duration {
        self.recorded_time
            .map_or_else(|| self.began.elapsed(), since_epoch)
    }

    /// How long to wait for the next work; `None` for as long as it takes, if no plugin wants to be called.
    fn time_to_next_tick(&self) -> Option<Duration> {
        let due = self
            .plugins
            .next_tick()
            .filter(|_| self.recorded_time.is_none() && !self.is_halted)?;
        Some(due.saturating_sub(self.elapsed()))
    }

    fn reload(&mut self) {
        if let Some(reports) = self.plugins.apply_replacements(self.now(), self.stats) {
            *lock(self.bypass) = self.plugins.bypass();
            self.report(reports);
        }
    }

    fn tick(&mut self) {
        if self.is_halted {
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

    /// Ends lightmon. On an idle host nothing else would wake the source.
    fn halt(&mut self, halt: Halt) {
        self.is_halted = true;
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
        if self.output_handle.is_over() {
            self.output_handle.lose(events.len() as u64);
            return self.queue.finish(events);
        }
        while self.recorded_time.is_some() && !events.is_empty() {
            // Plugins are called by the events' own time, so that the same recording always gives the same result.
            self.recorded_time = self.recorded_time.max(Some(events[0].time));
            self.tick();
            let due = self.plugins.next_tick().filter(|_| !self.is_halted);
            let is_due = |event: &Event| due.is_some_and(|due| since_epoch(event.time) >= due);
            let Some(end) = events.iter().skip(1).position(is_due) else {
                break;
            };
            let later = events.split_off(end + 1);
            self.process(&mut events);
            events = later;
        }
        self.recorded_time = self
            .recorded_time
            .max(events.iter().map(|event| event.time).max());
        self.process(&mut events);
        self.queue.finish(events);
    }

    /// Runs events through the plugins, or past them after one has failed for good, and writes them.
    fn process(&mut self, events: &mut Vec<Event>) {
        let result = if self.is_halted {
            lock(self.bypass).apply(events, self.stats)
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
