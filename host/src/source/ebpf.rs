//! The live source: loads the kernel program, attaches its hooks and reads its records.
//! Knows nothing about processes, users and containers beyond their numbers.

mod btf;
mod decode;
mod load;
mod requirements;

use std::{
    os::fd::AsFd,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use anyhow::Context as _;
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, RingBuf},
    programs::trace_point::TracePointLink,
};
use lightmon_common::counter;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

pub use self::{decode::Malformed, load::Error};
use super::{Next, Source, Stop};
use crate::{event::Record, stats::Stats};

/// How long records gather after the first of them has woken us, so that a busy host pays one wake-up for many.
const GATHER: u16 = 2;

/// Settings of the live source.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A kernel object to load instead of the one in this binary.
    pub object: Option<std::path::PathBuf>,
    /// Bytes of the kernel's ring buffer, a power of two and at least a page; the object's own default without.
    pub buffer_size: Option<u32>,
}

/// The attached kernel program.
pub struct EbpfSource {
    records: RingBuf<MapData>,
    counters: Counters,
    links: Vec<TracePointLink>,
    /// Whether the ring buffer was empty when last looked at.
    empty: bool,
    /// Lost connections and execs that were counted before.
    lost: [u64; 2],
    /// What could not be attached, and what is missing because of it.
    pub degraded: Vec<load::Degraded>,
    // Holds the programs; the links are dropped before it.
    _ebpf: Ebpf,
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

    fn has_stopped(&self) -> bool {
        self.links.is_empty()
    }

    /// Waits until there are records, or `stop` is set.
    fn wait(&self, stop: &Stop) -> anyhow::Result<()> {
        let ready = |timeout: PollTimeout, fds: &mut [PollFd<'_>]| match poll(fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("wait for records of the kernel program"),
        };
        let stop_fd = || PollFd::new(stop.as_fd(), PollFlags::POLLIN);
        ready(
            PollTimeout::NONE,
            &mut [
                PollFd::new(self.records.as_fd(), PollFlags::POLLIN),
                stop_fd(),
            ],
        )?;
        ready(PollTimeout::from(GATHER), &mut [stop_fd()])
    }

    /// Adds what the kernel program has lost since the last time.
    fn count_lost(&mut self, stats: &Stats) -> anyhow::Result<()> {
        let now = [
            self.counters.get(counter::LOST)?,
            self.counters.get(counter::LOST_EXECS)?,
        ];
        let [connections, execs] = [now[0] - self.lost[0], now[1] - self.lost[1]];
        self.lost = now;
        if connections > 0 {
            stats.seen.fetch_add(connections, Relaxed);
            stats.lost_kernel.fetch_add(connections, Relaxed);
            tracing::warn!(
                connections,
                "the kernel's buffer was full: connections lost"
            );
        }
        if execs > 0 {
            tracing::warn!(
                execs,
                "the kernel's buffer was full: new processes may lack path and arguments"
            );
        }
        Ok(())
    }
}

/// What the kernel program counts; can be read from any thread.
#[derive(Clone)]
pub struct Counters(Arc<PerCpuArray<MapData, u64>>);

impl Counters {
    /// Connections so far, whether they were read, lost, or wait to be read.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub fn connections(&self) -> anyhow::Result<u64> {
        Ok(self.get(counter::SENT)? + self.get(counter::LOST)?)
    }

    fn get(&self, counter: u32) -> anyhow::Result<u64> {
        let values = self
            .0
            .get(&counter, 0)
            .context("read the kernel program's counters")?;
        Ok(values.iter().sum())
    }
}

impl Source for EbpfSource {
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
        if stop.is_set() {
            // Detached first, then read to the end: nothing that was seen is left behind.
            self.links.clear();
        }
        let clock = decode::Clock::now();
        let mut connections = 0;
        self.empty = false;
        while batch.len() < max {
            let Some(bytes) = self.records.next() else {
                self.empty = true;
                break;
            };
            match decode::record(&bytes, &clock) {
                Ok(record) => {
                    connections += u64::from(matches!(record, Record::Connection(_)));
                    batch.push(record);
                }
                Err(error) => {
                    stats.malformed.fetch_add(1, Relaxed);
                    tracing::warn!(%error, "record of the kernel program skipped");
                }
            }
        }
        stats.seen.fetch_add(connections, Relaxed);
        self.count_lost(stats)?;
        Ok(if self.empty && self.has_stopped() {
            Next::End
        } else {
            Next::More
        })
    }
}
