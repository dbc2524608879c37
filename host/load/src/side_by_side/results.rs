//! The results: the file format, and the statistics (medians, ratios within a round, spread).

use std::{fs, io, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::tools::NOTHING;
use crate::times::Percentiles;

/// All results.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Results {
    pub(super) machine: Machine,
    /// The first line of each program's version.
    pub(super) versions: Vec<String>,
    pub(super) runs: Vec<Run>,
    pub(super) rests: Vec<Rest>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) kernel: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
}

/// One tool under one load.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) load: String,
    pub(super) tool: String,
    pub(super) round: u32,
    pub(super) made: u32,
    /// The duration of the load.
    pub(super) seconds: f64,
    /// Times of the calls that connect.
    pub(super) times: Percentiles,
    /// `None` for the run without a tool.
    pub(super) cost: Option<Cost>,
}

/// What a tool reported under a load, and what it cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cost {
    /// The connections of the load in its output.
    pub(super) reported: u32,
    /// The lost connections that the tool states, those of other programs included.
    pub(super) excluded: u64,
    pub(super) lost: u64,
    pub(super) cpu_seconds: f64,
    /// KiB, see [`super::measure::Memory`].
    pub(super) peak: u64,
    pub(super) ring: u64,
}

/// One tool without any load.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rest {
    pub(super) tool: String,
    pub(super) round: u32,
    pub(super) first_event_ms: f64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    /// How often the tool's threads went to sleep.
    pub(super) sleeps: u64,
    /// The number of processes that other programs started meanwhile. Some tools handle each of them.
    pub(super) forks_of_others: u64,
    pub(super) peak: u64,
    pub(super) ring: u64,
}

/// The median, the smallest and the largest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) least: f64,
    pub(super) median: f64,
    pub(super) most: f64,
}

impl Spread {
    /// Returns `None` if there are no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[half - 1], values[half]),
            _ => values[half],
        };
        Some(Self {
            least,
            median,
            most,
        })
    }
}

impl Results {
    /// Reads the file. A missing file has no results.
    ///
    /// # Errors
    /// If the file contains something else.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} has no results in it", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    /// The runs of a tool under a load.
    pub(super) fn runs<'a>(
        &'a self,
        load: &'a str,
        tool: &'a str,
    ) -> impl Iterator<Item = &'a Run> {
        let is_it = move |run: &&Run| run.load == load && run.tool == tool;
        self.runs.iter().filter(is_it)
    }

    /// Pairs each run with the run of another tool in the same round.
    fn pairs<'a>(
        &'a self,
        load: &'a str,
        tool: &'a str,
        other: &'a str,
    ) -> impl Iterator<Item = (&'a Run, &'a Run)> {
        self.runs(load, tool).filter_map(move |run| {
            let other = self
                .runs(load, other)
                .find(|other| other.round == run.round);
            Some((run, other?))
        })
    }

    /// CPU seconds per million connections.
    pub(super) fn cpu(&self, load: &str, tool: &str) -> Option<Spread> {
        Spread::of(self.runs(load, tool).filter_map(Run::cpu))
    }

    /// Ratio of its CPU time to another tool's.
    pub(super) fn cpu_ratio(&self, load: &str, tool: &str, other: &str) -> Option<Spread> {
        let pairs = self.pairs(load, tool, other);
        Spread::of(pairs.filter_map(|(run, other)| Some(run.cpu()? / other.cpu()?)))
    }

    /// The time that a connect call takes longer than without any tool, in microseconds.
    pub(super) fn added(
        &self,
        load: &str,
        tool: &str,
        of: impl Fn(Percentiles) -> u64,
    ) -> Option<Spread> {
        let pairs = self.pairs(load, tool, NOTHING);
        let us = |run: &Run| of(run.times) as f64 / 1000.0;
        Spread::of(pairs.map(|(run, nothing)| us(run) - us(nothing)))
    }

    pub(super) fn rests<'a>(&'a self, tool: &'a str) -> impl Iterator<Item = &'a Rest> {
        self.rests.iter().filter(move |rest| rest.tool == tool)
    }

    /// The time from the start to the first connection in the output, in milliseconds.
    pub(super) fn first_event(&self, tool: &str) -> Option<Spread> {
        Spread::of(self.rests(tool).map(|rest| rest.first_event_ms))
    }

    /// Memory under a load without the pages shared with the kernel, in MiB.
    pub(super) fn memory(&self, load: &str, tool: &str) -> Option<Spread> {
        let costs = self.runs(load, tool).filter_map(|run| run.cost);
        Spread::of(costs.map(|cost| mib(cost.peak.saturating_sub(cost.ring))))
    }
}

impl Run {
    fn cpu(&self) -> Option<f64> {
        Some(self.cost?.cpu_seconds * 1e6 / f64::from(self.made))
    }
}

pub(super) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::side_by_side::tools::{BPFTRACE, LIGHTMON};

    /// In the format of a real run, with invented numbers.
    pub(in crate::side_by_side) fn sample() -> Results {
        serde_json::from_str(include_str!("sample.json")).unwrap()
    }

    #[test]
    fn spreads() {
        let of = |values: &[f64]| {
            Spread::of(values.iter().copied()).map(|s| (s.least, s.median, s.most))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[2.0]), Some((2.0, 2.0, 2.0)));
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some((1.0, 2.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), Some((1.0, 2.5, 4.0)));
    }

    #[test]
    fn ratios_and_differences_are_taken_within_a_round() {
        let results = sample();
        let spread = |least, median, most| {
            Some(Spread {
                least,
                median,
                most,
            })
        };
        assert_eq!(results.cpu("tcp-1000", LIGHTMON), spread(2.0, 3.0, 4.0));
        assert_eq!(results.cpu("tcp-1000", BPFTRACE), spread(8.0, 12.0, 40.0));
        // 2 of 8, 4 of 40, 3 of 12.
        let ratio = results.cpu_ratio("tcp-1000", LIGHTMON, BPFTRACE);
        assert_eq!(ratio, spread(0.1, 0.25, 0.25));
        // 11 over 10, 22 over 20, 15 over 12.
        let added = results.added("tcp-1000", LIGHTMON, |times| times.p50);
        assert_eq!(added, spread(1.0, 2.0, 3.0));
        assert_eq!(results.added("udp", LIGHTMON, |times| times.p50), None);
        assert_eq!(
            results.memory("tcp-1000", LIGHTMON),
            spread(10.0, 11.0, 12.0)
        );
        assert_eq!(results.first_event(LIGHTMON), spread(25.0, 25.0, 25.0));
    }

    #[test]
    fn read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        assert_eq!(Results::read(&path).unwrap().runs.len(), 0);
        sample().write(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            include_str!("sample.json")
        );
        fs::write(&path, "{}").unwrap();
        assert!(Results::read(&path).is_err());
    }
}
