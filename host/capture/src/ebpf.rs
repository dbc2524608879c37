//! The live source: loads the kernel program, attaches its hooks and reads its records.
//!
//! Knows processes, users and cgroups by their numbers only.
//!
//! Each file imports only files of the lines above its own:
//! - `btf`: parses BTF; `consumer`: waits for records; `counters`; [`decode`]; `error`; `hooks`: the list of hooks
//! - `vmlinux`: the BTF of the running kernel; `pending`: connections without an answer; `skipped`: skipped hook runs
//! - `prefetch`; `programs`: the verifier; [`requirements`]
//! - `load`

mod btf;
mod consumer;
mod counters;
pub mod decode;
mod error;
mod hooks;

mod pending;
mod skipped;
mod vmlinux;

mod prefetch;
mod programs;
pub mod requirements;

mod load;

use std::{
    array, mem,
    path::PathBuf,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use jiff::Timestamp;
use lightmon_common::{counter, exclude::Rule};
use lightmon_event::{Lost, Record, Stats};
use lightmon_thread::Stop;

#[cfg(any(fuzzing, test))]
pub(crate) use self::btf::Btf;
use self::{
    consumer::Consumer,
    decode::{Clock, Decoded, Tasks},
    pending::{PENDING_TIMEOUT, PendingConnections},
    skipped::SkippedRuns,
};
pub use self::{
    counters::{CgroupMigrations, Counters},
    decode::Malformed,
    error::{Degraded, Error},
    hooks::hooks,
    prefetch::prefetch,
};
use crate::{Next, Source};

/// How often the kernel program's counters are read while records come.
const COUNTERS_INTERVAL: Duration = Duration::from_millis(100);

/// Settings of the live source.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A kernel object to load instead of the one that is part of this binary.
    pub object: Option<PathBuf>,
    /// Whether lightmon's own connections are reported like all others, and not as [`Record::FromSelf`].
    pub report_self: bool,
    /// The kernel program counts a connection that matches one of these rules, and does not report it. Rules after the first
    /// [`MAX_RULES`](lightmon_common::exclude::MAX_RULES) are ignored.
    pub exclude: Vec<Rule>,
    /// Size of the ring buffer in bytes: a power of two, at least a page. If it is `None`, the object's default is used.
    pub buffer_size: Option<u32>,
}

/// The kernel program, with its hooks attached.
pub struct EbpfSource {
    records: RingBuf<MapData>,
    tasks: Tasks,
    counters: Counters,
    cgroup_migrations: CgroupMigrations,
    consumer: Consumer,
    pending: PendingConnections,
    skipped: SkippedRuns,
    /// Empty after the hooks were detached.
    links: Vec<load::Link>,
    /// See [`Source::wake_by`].
    wake_by: Option<Instant>,
    /// Whether the ring buffer was empty when it was last read.
    is_empty: bool,
    /// The values of [`counter::EXCLUDED`], [`counter::LOST`] and [`counter::LOST_PROCESSES`] when they were last read.
    counted: [u64; 3],
    /// When the counters were last read.
    counted_at: Timestamp,
    /// When to read the counters again.
    next_count: Instant,
    /// The hooks that could not be attached.
    pub degraded: Vec<Degraded>,
    // Owns the programs. The fields are dropped in this order, so the hooks are detached first.
    _ebpf: Ebpf,
}

impl EbpfSource {
    /// Loads the kernel program and attaches its hooks.
    ///
    /// # Errors
    /// If the kernel or the user's privileges do not allow it. The text says what is missing and what to do.
    pub fn open(options: &Options) -> Result<Self, Error> {
        load::open(options)
    }

    /// The counters of the kernel program.
    pub fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// The kernel program's counter of cgroup migrations.
    pub fn cgroup_migrations(&self) -> CgroupMigrations {
        self.cgroup_migrations.clone()
    }

    fn is_detached(&self) -> bool {
        self.links.is_empty()
    }

    /// Waits until there are records, `stop` is set, the pending connections must be scanned, or `wake_by` is reached.
    fn wait(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let scan = self.pending.time_to_scan(decode::since_boot());
        let scan_at = scan.map(|left| Instant::now() + left);
        let deadline = [self.wake_by, scan_at].into_iter().flatten().min();
        self.consumer.wait(&self.records, stop, deadline)
    }

    fn count_skipped(&mut self, stats: &Stats) -> anyhow::Result<()> {
        let skipped = self
            .skipped
            .take()
            .context("read how many hook runs the kernel has skipped")?;
        if skipped > 0 {
            stats.skipped.fetch_add(skipped, Relaxed);
            tracing::warn!(
                "the kernel has skipped {skipped} hook runs: up to {skipped} connections may be missing"
            );
        }
        Ok(())
    }

    /// Adds what the kernel program has excluded and lost since the last call to `stats`. Returns the loss, if there is one.
    fn count_lost(&mut self, now: Timestamp, stats: &Stats) -> anyhow::Result<Option<Lost>> {
        let counted = [
            self.counters.get(counter::EXCLUDED)?,
            self.counters.get(counter::LOST)?,
            self.counters.get(counter::LOST_PROCESSES)?,
        ];
        let before = mem::replace(&mut self.counted, counted);
        let [excluded, connections, processes] = array::from_fn(|i| counted[i] - before[i]);
        stats.seen.fetch_add(excluded + connections, Relaxed);
        stats.excluded_kernel.fetch_add(excluded, Relaxed);
        stats.lost_kernel.fetch_add(connections, Relaxed);
        let lost = Lost {
            since: mem::replace(&mut self.counted_at, now),
            until: now,
            connections,
            processes,
        };
        Ok((connections + processes > 0).then_some(lost))
    }

    /// Moves records from the ring buffer to `batch`, until the batch is full or the ring buffer is empty.
    fn read(&mut self, batch: &mut Vec<Record>, max: usize, clock: &Clock, stats: &Stats) {
        self.is_empty = false;
        while batch.len() < max {
            let Some(bytes) = self.records.next() else {
                self.is_empty = true;
                break;
            };
            self.consumer.found_record();
            match decode::record(&bytes, clock, &mut self.tasks) {
                Ok(Decoded::Record(record)) => batch.push(record),
                Ok(Decoded::ScanRequest { began }) => self.pending.schedule_scan(began),
                Err(error) => {
                    stats.malformed.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "skipped a malformed record of the kernel program");
                }
            }
        }
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
        if self.is_empty && !self.is_detached() {
            self.wait(stop)?;
        }
        let clock = Clock::now();
        if stop.is_set() && !self.is_detached() {
            // Every pending connection is reported, however young it is.
            self.pending.scan(clock.since_boot, Duration::ZERO)?;
            // The kernel forgets the numbers with the links.
            self.count_skipped(stats)?;
            // Detached before the ring buffer is read to its end: nothing that was seen stays behind.
            self.links.clear();
        } else if self.pending.is_scan_due(clock.since_boot) {
            self.pending.scan(clock.since_boot, PENDING_TIMEOUT)?;
            self.count_skipped(stats)?;
        }
        self.read(batch, max, &clock, stats);
        let connections = batch
            .iter()
            .filter(|record| matches!(record, Record::Connection(_) | Record::FromSelf(_)))
            .count() as u64;
        stats.seen.fetch_add(connections, Relaxed);
        let has_ended = self.is_empty && self.is_detached();
        if has_ended || self.consumer.is_idle() || Instant::now() >= self.next_count {
            self.next_count = Instant::now() + COUNTERS_INTERVAL;
            batch.extend(self.count_lost(clock.now, stats)?.map(Record::Lost));
        }
        Ok(if has_ended { Next::End } else { Next::More })
    }
}
