//! The order of the stages. What a stage does is the stage's business; what comes after what is said here only.
//!
//! ```text
//! source ──► enrich ──► exclude ──► plugins ──► output
//! └──── this thread ──────────┘    └── tail.rs ──────┘
//! ```

mod tail;

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

use self::tail::Tail;

/// Looks at connections that are not reported.
pub type Watcher = Box<dyn FnMut(&Event) + Send>;

/// All stages, ready to run.
pub struct Pipeline {
    /// Where events come from.
    pub source: Box<dyn Source>,
    /// None when the source brings complete events, as a replay does.
    pub enrich: Option<Identity>,
    /// What the user does not want to see.
    pub exclude: Exclude,
    /// The user's plugins.
    pub plugins: Chain,
    /// Where events go.
    pub output: Output,
    /// Ends after this many events were written.
    pub count: Option<u64>,
    /// Whether the source waits for as long as it takes, as a recording does.
    pub is_lossless: bool,
    /// Who looks at lightmon's own connections, which are counted and go no further.
    pub own: Option<Watcher>,
}

impl Pipeline {
    /// Runs until the source ends, or `count` is reached.
    ///
    /// # Errors
    /// When the source fails, or when something could not be written; capture went on until the end then.
    pub fn run(self, stop: &Stop, stats: &Stats) -> anyhow::Result<()> {
        let remote = self.output.handle();
        thread::scope(|scope| {
            let mut tail = Tail::start(
                scope,
                self.plugins,
                self.output,
                (stop, stats),
                self.is_lossless,
            )?;
            let mut head = Head {
                source: self.source,
                enrich: self.enrich,
                exclude: self.exclude,
                count: self.count,
                own: self.own,
                output: remote,
            };
            let result = head.run(&mut tail, stop, stats);
            let finished = tail.finish();
            result?;
            finished
        })
    }
}

/// The stages that keep up with the kernel.
struct Head {
    source: Box<dyn Source>,
    enrich: Option<Identity>,
    exclude: Exclude,
    count: Option<u64>,
    own: Option<Watcher>,
    output: OutputHandle,
}

impl Head {
    fn run(&mut self, tail: &mut Tail<'_>, stop: &Stop, stats: &Stats) -> anyhow::Result<()> {
        let (mut records, mut events) = (Vec::new(), Vec::new());
        let mut ended = false;
        while let Some(max) = self.room(tail) {
            let held = self.enrich.as_ref().map_or(0, Identity::held);
            let next = if ended {
                Next::End
            } else {
                self.source
                    .wake_by(self.enrich.as_ref().and_then(Identity::due));
                self.source.next(&mut records, max, stop, stats)?
            };
            let notices = self.set_aside(&mut records, stats);
            if self.output.is_over() {
                // Too late for all of it: but what has come is counted to the end.
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
                tail.take(&mut events, stats)?;
            }
            for notice in notices {
                tail.write_notice(notice);
            }
            if next == Next::End {
                // Those that are held have 100 ms at most.
                let Some(due) = self.enrich.as_ref().and_then(Identity::due) else {
                    break;
                };
                thread::sleep(due.saturating_duration_since(Instant::now()));
                ended = true;
            }
        }
        Ok(())
    }

    /// Takes out what is for nobody's eyes, and what is no event. Returns the notices of another run.
    fn set_aside(&mut self, records: &mut Vec<Record>, stats: &Stats) -> Vec<Notice> {
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

    /// How many records may be read; none when enough was written.
    fn room(&self, tail: &mut Tail<'_>) -> Option<usize> {
        let left = match self.count {
            Some(count) => {
                tail.settle();
                let held = self.enrich.as_ref().map_or(0, Identity::held);
                // Those that are held will be written: so many less are to be read.
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
