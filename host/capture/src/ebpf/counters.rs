//! Reads the counters of the kernel program. Any thread can read them, while another one reads the records.

use std::sync::Arc;

use anyhow::Context as _;
use aya::maps::{Array, MapData, PerCpuArray};
use lightmon_common::counter;

/// The counters of connections.
#[derive(Clone)]
pub struct Counters(Arc<PerCpuArray<MapData, u64>>);

impl Counters {
    pub(super) fn new(map: PerCpuArray<MapData, u64>) -> Self {
        Self(Arc::new(map))
    }

    /// Number of connections so far: in a record (read or not), lost, or excluded.
    ///
    /// # Errors
    /// If the kernel does not allow to read the map.
    pub fn connections(&self) -> anyhow::Result<u64> {
        Ok(self.get(counter::SUBMITTED)? + self.get(counter::LOST)? + self.excluded()?)
    }

    /// Number of connections that were excluded, so far.
    ///
    /// # Errors
    /// As [`connections`](Self::connections).
    pub fn excluded(&self) -> anyhow::Result<u64> {
        self.get(counter::EXCLUDED)
    }

    pub(super) fn get(&self, counter: u32) -> anyhow::Result<u64> {
        let per_cpu = self
            .0
            .get(&counter, 0)
            .context("read the counters of the kernel program")?;
        Ok(per_cpu.iter().sum())
    }
}

/// The counter of cgroup migrations.
#[derive(Clone)]
pub struct CgroupMigrations(Arc<Array<MapData, u64>>);

impl CgroupMigrations {
    pub(super) fn new(map: Array<MapData, u64>) -> Self {
        Self(Arc::new(map))
    }

    /// Number of cgroup migrations so far. `None` if the kernel program does not count them, or if the map can't be read.
    pub fn now(&self) -> Option<lightmon_event::CgroupMigrations> {
        // Records have the low 32 bits, too.
        lightmon_event::CgroupMigrations::new(self.0.get(&0, 0).ok()? as u32)
    }
}
