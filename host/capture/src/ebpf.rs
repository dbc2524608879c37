//! The live source: loads the kernel program, attaches its hooks and reads its records.
//! Knows nothing about processes, users and containers beyond their numbers.

mod ahead;
pub(crate) mod btf;
pub mod decode;
mod load;
mod programs;
pub mod requirements;
mod skipped;
mod vmlinux;
mod wait;
mod waiting;

use std::{
    array,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{Array, MapData, PerCpuArray, RingBuf},
};
use jiff::Timestamp;
use lightmon_common::{counter, exclude::Rule};

pub use self::{
    decode::Malformed,
    load::{Degraded, Error, hooks},
};
use self::{
    decode::{Clock, Decoded, Tasks},
    skipped::Skipped,
    wait::Wait,
    waiting::{PATIENCE, Waiting},
};
use super::{Next, Source};
use lightmon_event::{Lost, Record, Stats};
use lightmon_thread::Stop;

/// How often the kernel program's counters of losses are looked at while there is something to do.
const LOOK: Duration = Duration::from_millis(100);

/// Settings of the live source.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A kernel object to load instead of the one in this binary.
    pub object: Option<std::path::PathBuf>,
    /// Whether lightmon's own connections come like all others, not as [`Record::FromSelf`].
    pub report_own: bool,
    /// Connections that any of them matches are counted, and do not come. The first [`MAX_RULES`](lightmon_common::exclude::MAX_RULES)
    /// are taken.
    pub exclude: Vec<Rule>,
    /// Bytes of the kernel's ring buffer, a power of two and at least a page; the object's own default without.
    pub buffer_size: Option<u32>,
}

/// The attached kernel program.
pub struct EbpfSource {
    records: RingBuf<MapData>,
    tasks: Tasks,
    counters: Counters,
    moves: CgroupMigrations,
    wait: Wait,
    waiting: Waiting,
    skipped: Skipped,
    links: Vec<load::Link>,
    /// When somebody wants to be woken.
    wake_by: Option<Instant>,
    /// Whether the ring buffer was empty when last looked at.
    empty: bool,
    /// Excluded and lost connections and lost processes that were counted before, and when.
    kept: [u64; 3],
    looked: Timestamp,
    /// When to look again.
    look_at: Instant,
    /// What could not be attached, and what is missing because of it.
    pub degraded: Vec<load::Degraded>,
    // Holds the programs; the links are dropped before it.
    _ebpf: Ebpf,
}

/// Begins to find out about the kernel what [`EbpfSource::open`] will have to know, while the caller does something else.
pub fn prefetch() {
    ahead::look();
}

impl EbpfSource {
    /// Loads and attaches.
    ///
    /// # Errors
    /// When the machine or the user's rights don't allow it; the text says what is missing and what to do.
    pub fn open(options: &Options) -> Result<Self, Error> {
        load::open(options)
    }

    /// The kernel program's own counters.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// The kernel program's count of moves between cgroups.
    pub fn cgroup_migrations(&self) -> CgroupMigrations {
        self.moves.clone()
    }

    fn has_stopped(&self) -> bool {
        self.links.is_empty()
    }

    /// Waits until there are records, `stop` is set, or something else is to be done.
    fn wait(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let now = Instant::now();
        let look = self.waiting.left(decode::since_boot());
        let until = [self.wake_by, look.map(|left| now + left)];
        let until = until.into_iter().flatten().min();
        self.wait.wait(&self.records, stop, until)
    }

    fn look_after_skipped(&mut self, stats: &Stats) -> anyhow::Result<()> {
        const WHAT: &str = "read how often the kernel has skipped a hook";
        let skipped = self.skipped.look().context(WHAT)?;
        if skipped > 0 {
            stats.skipped.fetch_add(skipped, Relaxed);
            tracing::warn!(
                "the kernel has skipped {skipped} runs of hooks: as many connections may be missing"
            );
        }
        Ok(())
    }

    /// Counts what the kernel program has kept to itself since the last look, and returns what it has lost.
    fn lost(&mut self, now: Timestamp, stats: &Stats) -> anyhow::Result<Option<Lost>> {
        let before = std::mem::replace(
            &mut self.kept,
            [
                self.counters.get(counter::EXCLUDED)?,
                self.counters.get(counter::LOST)?,
                self.counters.get(counter::LOST_PROCESSES)?,
            ],
        );
        let [excluded, connections, processes] = array::from_fn(|i| self.kept[i] - before[i]);
        stats.seen.fetch_add(excluded + connections, Relaxed);
        stats.excluded_kernel.fetch_add(excluded, Relaxed);
        stats.lost_kernel.fetch_add(connections, Relaxed);
        let lost = Lost {
            since: std::mem::replace(&mut self.looked, now),
            until: now,
            connections,
            processes,
        };
        Ok((connections + processes > 0).then_some(lost))
    }
}

/// What the kernel program counts; can be read from any thread.
#[derive(Clone)]
pub struct Counters(Arc<PerCpuArray<MapData, u64>>);

impl Counters {
    /// Connections so far, whether they were read, lost, excluded, or wait to be read.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn connections(&self) -> anyhow::Result<u64> {
        Ok(self.get(counter::SUBMITTED)? + self.get(counter::LOST)? + self.excluded()?)
    }

    /// Those among them that were excluded.
    ///
    /// # Errors
    /// As above.
    pub fn excluded(&self) -> anyhow::Result<u64> {
        self.get(counter::EXCLUDED)
    }

    fn get(&self, counter: u32) -> anyhow::Result<u64> {
        let values = self
            .0
            .get(&counter, 0)
            .context("read the kernel program's counters")?;
        Ok(values.iter().sum())
    }
}

/// How often processes were moved to another cgroup; can be read from any thread.
#[derive(Clone)]
pub struct CgroupMigrations(Arc<Array<MapData, u64>>);

impl CgroupMigrations {
    /// Until now. None where the kernel program can't count them, or the kernel refuses to tell.
    pub fn now(&self) -> Option<lightmon_event::CgroupMigrations> {
        // The records have as much of it.
        lightmon_event::CgroupMigrations::new(self.0.get(&0, 0).ok()? as u32)
    }
}

impl Source for EbpfSource {
    fn wake_by(&mut self, at: Option<Instant>) {
        self.wake_by = at;
    }

    fn next(
        &mut self,
        batch: &mut Vec<Record>,
        max: usize,
        stop: &Stop,
        stats: &Stats,
    ) -> anyhow::Result<Next> {
        if self.empty && !self.has_stopped() {
            self.wait(stop)?;
        }
        let clock = Clock::now();
        if stop.is_set() && !self.has_stopped() {
            self.waiting.look(clock.since_boot, Duration::ZERO)?;
            // Before the links go, and the numbers with them.
            self.look_after_skipped(stats)?;
            // Detached first, then read to the end: nothing that was seen is left behind.
            self.links.clear();
        } else if self.waiting.is_due(clock.since_boot) {
            self.waiting.look(clock.since_boot, PATIENCE)?;
            self.look_after_skipped(stats)?;
        }
        self.empty = false;
        while batch.len() < max {
            let Some(bytes) = self.records.next() else {
                self.empty = true;
                break;
            };
            self.wait.found();
            match decode::record(&bytes, &clock, &mut self.tasks) {
                Ok(Decoded::Record(record)) => batch.push(record),
                Ok(Decoded::Waiting(began)) => self.waiting.began(began),
                Err(error) => {
                    stats.malformed.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "record of the kernel program skipped");
                }
            }
        }
        let connections = batch
            .iter()
            .filter(|record| matches!(record, Record::Connection(_) | Record::FromSelf(_)))
            .count() as u64;
        stats.seen.fetch_add(connections, Relaxed);
        let has_ended = self.empty && self.has_stopped();
        if has_ended || self.wait.is_asleep() || Instant::now() >= self.look_at {
            self.look_at = Instant::now() + LOOK;
            batch.extend(self.lost(clock.now, stats)?.map(Record::Lost));
        }
        Ok(if has_ended { Next::End } else { Next::More })
    }
}
