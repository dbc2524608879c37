//! Calls `tick` periodically and `stop` at the end, and turns what a plugin returns into notices. A fault counts like a fault on
//! a batch.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed, time::Duration};

use jiff::Timestamp;
use lightmon_event::{Notice, stats};

use super::Runner;
use crate::{
    error::{Fault, Halt},
    instance::Instance,
    v0_1::Report,
};

/// Reports of one call; further ones are ignored.
const MAX_REPORTS: usize = 64;

/// Fields of a report.
const MAX_FIELDS: usize = 32;

/// Bytes of the name of a report or a field.
const MAX_NAME_BYTES: usize = 64;

/// Bytes of the text of a field; longer text is truncated.
const MAX_TEXT_BYTES: usize = 1 << 10;

type Call = fn(&mut Instance, u64, Duration) -> Result<Vec<Report>, Fault>;

impl Runner {
    /// The `elapsed` time of the next tick. `None` if the plugin has no ticks, or before the first call of [`tick`](Self::tick).
    pub(crate) fn next_tick(&self) -> Option<Duration> {
        self.next_tick.filter(|_| !self.is_disabled)
    }

    /// Calls the plugin's `tick` if it is due at `elapsed`; `now` is the time that the plugin is given. The first call only
    /// starts the timer.
    pub(crate) fn tick(
        &mut self,
        (now, elapsed): (Timestamp, Duration),
        stats: &stats::Plugin,
        reports: &mut Vec<Notice>,
    ) -> Result<(), Halt> {
        let Some(period) = self.period else {
            return Ok(());
        };
        let next = elapsed.saturating_add(period);
        match self.next_tick {
            Some(due) if due <= elapsed => {
                self.next_tick = Some(next);
                let timeout = self.limits.tick;
                if let Err(fault) = self.report(now, timeout, Instance::tick, stats, reports) {
                    self.instance = None;
                    stats.faults.fetch_add(1, Relaxed);
                    self.record_fault(&fault, "its tick");
                    self.back_off(matches!(fault, Fault::Restart(_)));
                }
            }
            Some(_) => {}
            None => self.next_tick = Some(next),
        }
        self.halt.take().map_or(Ok(()), Err)
    }

    /// Calls the plugin's `stop`. The plugin must not be called after that.
    pub(crate) fn stop(&mut self, now: Timestamp, stats: &stats::Plugin) -> Vec<Notice> {
        let mut reports = Vec::new();
        let timeout = self.limits.stop;
        if self.has_stop
            && let Err(fault) = self.report(now, timeout, Instance::stop, stats, &mut reports)
        {
            stats.faults.fetch_add(1, Relaxed);
            tracing::warn!(plugin = %self.name, %fault, "plugin failed when it was told to stop");
        }
        self.instance = None;
        reports
    }

    /// Makes the call, and appends what the plugin reports. Does nothing while the plugin is paused.
    fn report(
        &mut self,
        now: Timestamp,
        timeout: Duration,
        call: Call,
        stats: &stats::Plugin,
        notices: &mut Vec<Notice>,
    ) -> Result<(), Fault> {
        if self.is_paused() {
            return Ok(());
        }
        let instance = self.instance(stats)?;
        let now_ns = u64::try_from(now.as_nanosecond()).unwrap_or(0);
        let result = call(instance, now_ns, timeout);
        stats.memory.fetch_max(instance.memory() as u64, Relaxed);
        self.template.state().counters.flush(stats);
        let reports = result?;
        let (returned, before) = (reports.len(), notices.len());
        notices.extend(
            reports
                .into_iter()
                .take(MAX_REPORTS)
                .filter_map(|report| self.notice(now, report)),
        );
        let ignored = returned - (notices.len() - before);
        stats.ignored.fetch_add(ignored as u64, Relaxed);
        Ok(())
    }

    /// `None` for a report that is not valid. Of two fields with the same name, the first counts.
    fn notice(&self, time: Timestamp, report: Report) -> Option<Notice> {
        let Report { name, mut fields } = report;
        let is_name = |name: &str| (1..=MAX_NAME_BYTES).contains(&name.len());
        if !is_name(&name)
            || fields.len() > MAX_FIELDS
            || !fields.iter().all(|(key, _)| is_name(key))
        {
            return None;
        }
        let mut keys = HashSet::new();
        fields.retain(|(key, _)| keys.insert(key.clone()));
        for (_, text) in &mut fields {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        }
        Some(Notice::Report {
            time,
            plugin: self.name.clone(),
            report: name,
            fields,
        })
    }
}
