//! The order of the stages. What a stage does is the stage's business; what comes after what is said here only.

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    enrich::Enrich,
    event::{Event, Record},
    exclude::Exclude,
    output::{self, Output},
    plugin::Chain,
    source::{MAX_BATCH, Next, Source, Stop},
    stats::Stats,
};

/// Plugins run on the pipeline's thread: it needs room for wasm's own stack of 512 KiB and the host below it.
pub const STACK_SIZE: usize = 8 << 20;

/// All stages, ready to run.
pub struct Pipeline {
    /// Where events come from.
    pub source: Box<dyn Source>,
    /// None when the source brings complete events, as a replay does.
    pub enrich: Option<Enrich>,
    /// What the user does not want to see.
    pub exclude: Exclude,
    /// The user's plugins.
    pub plugins: Chain,
    /// Where events go.
    pub output: Output,
    /// Ends after this many events were written.
    pub count: Option<u64>,
}

impl Pipeline {
    /// Runs until the source ends, `count` is reached, or the reader of the output has gone.
    ///
    /// # Errors
    /// When the source fails, or when something could not be written; capture went on until the end then.
    pub fn run(mut self, stop: &Stop, stats: &Stats) -> anyhow::Result<()> {
        let (mut records, mut events) = (Vec::new(), Vec::new());
        let mut failed = None;
        while let Some(max) = self.room(stats) {
            let next = self.source.next(&mut records, max, stop, stats)?;
            match &mut self.enrich {
                Some(enrich) => enrich.apply(records.drain(..), &mut events),
                None => events.extend(records.drain(..).filter_map(complete)),
            }
            self.exclude.retain(&mut events, stats);
            self.plugins.run(&mut events, stats);
            match self.output.write(&events, stats) {
                Ok(()) => {}
                Err(output::Error::Closed) => break,
                Err(error) => {
                    if failed.is_none() {
                        tracing::error!(%error, "events can't be written; further failures are counted only");
                    }
                    failed.get_or_insert(error);
                }
            }
            events.clear();
            if next == Next::End {
                break;
            }
        }
        self.output.finish()?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// How many records may be read; none when enough was written.
    fn room(&self, stats: &Stats) -> Option<usize> {
        let Some(count) = self.count else {
            return Some(MAX_BATCH);
        };
        let left = count.saturating_sub(stats.written.load(Relaxed));
        (left > 0).then(|| usize::try_from(left).unwrap_or(MAX_BATCH).min(MAX_BATCH))
    }
}

fn complete(record: Record) -> Option<Event> {
    match record {
        Record::Connection(event) => Some(*event),
        Record::Own(_)
        | Record::Fork(_)
        | Record::Exec(_)
        | Record::Cgroup { .. }
        | Record::Lost(_) => None,
    }
}
