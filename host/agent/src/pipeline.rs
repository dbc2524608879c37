//! The order of the stages. What a stage does is in the stage's crate; the order is here only.
//!
//! ```text
//! source ──► identity ──► exclude ──► plugins ──► output
//! └──── capture thread ─────────┘    └─ plugin_stage.rs ─┘
//! ```
//!
//! `--count` is kept in `CaptureStage::max_records`: the source is asked for no more records than are left to write.

mod plugin_stage;

#[cfg(test)]
mod tests;

use std::{sync::atomic::Ordering::Relaxed, thread, time::Instant};

use lightmon_capture::{MAX_BATCH, Next, Source};
use lightmon_event::{Event, LostIn, Notice, Record, Stats};
use lightmon_filter::Exclude;
use lightmon_identity::Identity;
use lightmon_output::{Output, OutputHandle};
use lightmon_plugin_host::Chain;
use lightmon_thread::Stop;

use self::plugin_stage::PluginStage;

/// Is shown the connections of lightmon itself, which are not reported.
pub type Watcher = Box<dyn FnMut(&Event) + Send>;

/// All stages, ready to run.
pub struct Pipeline {
    /// Where events come from.
    pub source: Box<dyn Source>,
    /// `None` if the source brings complete events, as a replay does.
    pub enrich: Option<Identity>,
    /// Which events to leave out.
    pub exclude: Exclude,
    /// The user's plugins.
    pub plugins: Chain,
    /// Where events go.
    pub output: Output,
    /// End after this many events are written.
    pub count: Option<u64>,
    /// Whether the source can wait as long as it takes, as a replay can.
    pub is_lossless: bool,
    /// Is shown lightmon's own connections, which are counted and go no further.
    pub own: Option<Watcher>,
}

impl Pipeline {
    /// Runs until the source ends, or `count` events are written.
    ///
    /// # Errors
    /// If the source fails, or if something could not be written. If only writing fails, capture goes on until the end.
    pub fn run(self, stop: &Stop, stats: &Stats) -> anyhow::Result<()> {
        let output = self.output.handle();
        thread::scope(|scope| {
            let mut plugin_stage = PluginStage::start(
                scope,
                self.plugins,
                self.output,
                (stop, stats),
                self.is_lossless,
            )?;
            let mut capture_stage = CaptureStage {
                source: self.source,
                enrich: self.enrich,
                exclude: self.exclude,
                count: self.count,
                own: self.own,
                output,
            };
            let result = capture_stage.run(&mut plugin_stage, stop, stats);
            let finished = plugin_stage.finish();
            result?;
            finished
        })
    }
}

/// The stages on the capture thread, which must keep up with the kernel.
struct CaptureStage {
    source: Box<dyn Source>,
    enrich: Option<Identity>,
    exclude: Exclude,
    count: Option<u64>,
    own: Option<Watcher>,
    output: OutputHandle,
}

impl CaptureStage {
    fn run(
        &mut self,
        plugins: &mut PluginStage<'_>,
        stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<()> {
        let (mut records, mut events) = (Vec::new(), Vec::new());
        let mut has_ended = false;
        while let Some(max) = self.max_records(plugins) {
            let held = self.enrich.as_ref().map_or(0, Identity::held);
            let next = if has_ended {
                Next::End
            } else {
                self.source
                    .wake_by(self.enrich.as_ref().and_then(Identity::due));
                self.source.next(&mut records, max, stop, stats)?
            };
            let notices = self.take_other_records(&mut records, stats);
            if self.output.is_over() {
                // It is too late for these events. They are counted.
                let is_event = |record: &Record| matches!(record, Record::Connection(_));
                let lost = records.drain(..).filter(is_event).count();
                self.output.lose((lost + held) as u64);
                self.enrich = None;
            } else {
                match &mut self.enrich {
                    Some(enrich) => enrich.apply(records.drain(..), &mut events),
                    None => events.extend(records.drain(..).filter_map(complete)),
                }
                self.exclude.retain(&mut events, stats);
                plugins.take(&mut events, stats)?;
            }
            for notice in notices {
                plugins.write_notice(notice);
            }
            if next == Next::End {
                // Identity holds events for at most 100 ms.
                let Some(due) = self.enrich.as_ref().and_then(Identity::due) else {
                    break;
                };
                thread::sleep(due.saturating_duration_since(Instant::now()));
                has_ended = true;
            }
        }
        Ok(())
    }

    /// Takes out lightmon's own connections, losses and notices. Returns the notices, which are of another run.
    fn take_other_records(&mut self, records: &mut Vec<Record>, stats: &Stats) -> Vec<Notice> {
        let mut notices = Vec::new();
        records.retain(|record| {
            match record {
                Record::FromSelf(event) => {
                    stats.from_self.fetch_add(1, Relaxed);
                    if let Some(own) = &mut self.own {
                        own(event);
                    }
                }
                Record::Lost(lost) => {
                    let (place, lost) = (LostIn::Kernel, *lost);
                    self.output.notice(Notice::Lost { place, lost });
                }
                Record::Notice(notice) => notices.push(notice.clone()),
                _ => return true,
            }
            false
        });
        notices
    }

    /// How many records may be read; `None` if enough events are written.
    fn max_records(&self, plugins: &mut PluginStage<'_>) -> Option<usize> {
        let left = match self.count {
            Some(count) => {
                plugins.drain();
                let held = self.enrich.as_ref().map_or(0, Identity::held);
                // The held events will be written too.
                self.output.left(count)?.saturating_sub(held as u64)
            }
            None => u64::MAX,
        };
        Some(usize::try_from(left).unwrap_or(MAX_BATCH).min(MAX_BATCH))
    }
}

fn complete(record: Record) -> Option<Event> {
    match record {
        Record::Connection(event) => Some(event),
        _ => None,
    }
}
