//! What a plugin says of its own: now and then, and as its last words. A fault counts as one on a batch does.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed, time::Duration};

use jiff::Timestamp;

use super::{Halt, Instance, Runner};
use crate::{Fault, v0_1::Report};
use lightmon_event::{Notice, stats};

/// Most reports of one call.
const REPORTS: usize = 64;

/// Most fields of a report.
const FIELDS: usize = 32;

/// Most bytes of a report's name, or of a field's.
const NAME: usize = 64;

/// Most bytes of a field's text; the rest is cut off.
const TEXT: usize = 1 << 10;

type Call = fn(&mut Instance, u64, Duration) -> Result<Vec<Report>, Fault>;

impl Runner {
    /// When it is to be called; none when it doesn't ask for that, or has not been told yet what time it is.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.due.filter(|_| !self.is_disabled)
    }

    /// Calls it if it is time to, which `elapsed` tells; `now` is for the plugin. The first time only says what time it is.
    pub(crate) fn tick(
        &mut self,
        (now, elapsed): (Timestamp, Duration),
        count: &stats::Plugin,
        reports: &mut Vec<Notice>,
    ) -> Result<(), Halt> {
        let Some(period) = self.period else {
            return Ok(());
        };
        let next = elapsed.saturating_add(period);
        match self.due {
            Some(due) if due <= elapsed => {
                self.due = Some(next);
                let limit = self.limits.tick;
                if let Err(fault) = self.call(now, limit, Instance::tick, count, reports) {
                    self.instance = None;
                    count.faults.fetch_add(1, Relaxed);
                    self.record(&fault, "its tick");
                    self.pause = match fault {
                        Fault::Restart(_) => self.pause_after(self.faults.len()),
                        _ => self.pause_after(self.faults.len().saturating_sub(1)),
                    };
                }
            }
            Some(_) => {}
            None => self.due = Some(next),
        }
        self.halt.take().map_or(Ok(()), Err)
    }

    /// Asks for its last words; nothing is asked after that.
    pub(crate) fn stop(&mut self, now: Timestamp, count: &stats::Plugin) -> Vec<Notice> {
        let mut reports = Vec::new();
        let limit = self.limits.stop;
        if self.has_stop
            && let Err(fault) = self.call(now, limit, Instance::stop, count, &mut reports)
        {
            count.faults.fetch_add(1, Relaxed);
            tracing::warn!(plugin = %self.name, %fault, "plugin failed when it was told to stop");
        }
        self.instance = None;
        reports
    }

    /// Nothing while it is left out.
    fn call(
        &mut self,
        now: Timestamp,
        limit: Duration,
        call: Call,
        count: &stats::Plugin,
        reports: &mut Vec<Notice>,
    ) -> Result<(), Fault> {
        self.pause = self
            .pause
            .filter(|until| std::time::Instant::now() < *until);
        if self.is_disabled || self.pause.is_some() {
            return Ok(());
        }
        let instance = self.instance(count)?;
        let result = call(
            instance,
            u64::try_from(now.as_nanosecond()).unwrap_or(0),
            limit,
        );
        count.memory.fetch_max(instance.memory() as u64, Relaxed);
        self.template.kept().counters.count(count);
        let said = result?;
        let asked = said.len();
        let before = reports.len();
        reports.extend(
            said.into_iter()
                .take(REPORTS)
                .filter_map(|report| self.notice(now, report)),
        );
        let ignored = asked - (reports.len() - before);
        count.ignored.fetch_add(ignored as u64, Relaxed);
        Ok(())
    }

    /// None for what is no report. Of two fields of the same name, the first counts.
    fn notice(&self, time: Timestamp, report: Report) -> Option<Notice> {
        let Report { name, mut fields } = report;
        let is_name = |name: &str| (1..=NAME).contains(&name.len());
        if !is_name(&name) || fields.len() > FIELDS || !fields.iter().all(|(key, _)| is_name(key)) {
            return None;
        }
        let mut keys = HashSet::new();
        fields.retain(|(key, _)| keys.insert(key.clone()));
        for (_, text) in &mut fields {
            text.truncate(text.floor_char_boundary(TEXT));
        }
        Some(Notice::Report {
            time,
            plugin: self.name.clone(),
            report: name,
            fields,
        })
    }
}
