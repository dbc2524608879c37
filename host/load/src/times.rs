//! A histogram of durations with a resolution of 1/512: a million values need a few kilobytes.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// The number of leading bits of a duration that are kept.
const BITS: u32 = 10;

/// How often each duration occurred, in nanoseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Times(BTreeMap<u64, u32>);

/// Percentiles in nanoseconds: half of the durations are at most `p50`, 99 % at most `p99`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(BITS);
        *self.0.entry(ns >> shift << shift).or_default() += 1;
    }

    /// Adds the histogram of another process.
    pub(crate) fn merge(&mut self, other: Self) {
        for (ns, count) in other.0 {
            *self.0.entry(ns).or_default() += count;
        }
    }

    /// `None` if there are no durations.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        Some(Percentiles {
            p50: self.percentile(50)?,
            p99: self.percentile(99)?,
        })
    }

    fn percentile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.0.values().map(|count| u64::from(*count)).sum();
        let mut wanted = (all * percent).div_ceil(100);
        self.0.iter().find_map(|(ns, count)| {
            let count = u64::from(*count);
            let is_it = wanted <= count;
            wanted = wanted.saturating_sub(count);
            is_it.then_some(*ns)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ns: impl IntoIterator<Item = u64>) -> Times {
        let mut times = Times::default();
        for ns in ns {
            times.add(Duration::from_nanos(ns));
        }
        times
    }

    #[test]
    fn percentiles() {
        assert_eq!(of([]).percentiles(), None);
        let (p50, p99) = (7, 7);
        assert_eq!(of([7]).percentiles(), Some(Percentiles { p50, p99 }));
        let (p50, p99) = (50, 99);
        assert_eq!(
            of((1..=100).rev()).percentiles(),
            Some(Percentiles { p50, p99 })
        );
    }

    #[test]
    fn merged_as_if_seen_by_one() {
        let mut times = of(1..=30);
        times.merge(of(20..=100));
        let together = of((1..=30).chain(20..=100));
        assert_eq!(times.percentiles(), together.percentiles());
    }

    #[test]
    fn exact_to_one_part_in_512() {
        for ns in [0, 1, 1023, 1024, 8_191, 12_345, 987_654_321, u64::MAX] {
            let Percentiles { p50, .. } = of([ns]).percentiles().unwrap();
            assert!(p50 <= ns && ns - p50 <= ns / 512, "{ns} {p50}");
        }
        assert!(of(8_000_000..8_100_000).0.len() < 20);
    }

    #[test]
    fn goes_through_json() {
        let times = of([5, 5, 4096]);
        let json = serde_json::to_string(&times).unwrap();
        assert_eq!(json, r#"{"5":2,"4096":1}"#);
        let times: Times = serde_json::from_str(&json).unwrap();
        assert_eq!(times.0, BTreeMap::from([(5, 2), (4096, 1)]));
    }
}
