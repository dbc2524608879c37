//! Counters of one plugin: what it did, and what it cost.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::escape;

/// One plugin's counters.
#[derive(Debug, Default)]
pub struct Plugin {
    /// Name of the plugin.
    pub name: String,
    /// Calls with a batch, including failed calls.
    pub calls: AtomicU64,
    /// Events in these calls.
    pub events: AtomicU64,
    /// Events that the plugin dropped, or that were dropped because it failed.
    pub dropped: AtomicU64,
    /// Tags that the plugin set.
    pub tagged: AtomicU64,
    /// Batches that the plugin failed on: traps, deadlines, memory limits.
    pub faults: AtomicU64,
    /// Events without its verdict: the plugin failed on them, was disabled, or could not keep up.
    pub skipped: AtomicU64,
    /// Skipped events in the dead-letter queue.
    pub letters: AtomicU64,
    /// How often the plugin was restarted.
    pub restarts: AtomicU64,
    /// Invalid decisions, which were ignored: index out of range, too large, unknown field.
    pub ignored: AtomicU64,
    /// The highest memory use, in bytes.
    pub memory: AtomicU64,
    /// Executed fuel, about one for each instruction. Counted only if the limits of the plugin host say so.
    pub fuel: AtomicU64,
    /// The plugin's own counters, by name.
    counters: Mutex<BTreeMap<String, u64>>,
    /// Nanoseconds for each event, of all calls.
    time: Histogram,
}

impl Plugin {
    /// Counters at zero.
    pub fn new(name: String) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Counts a call.
    pub fn called(&self, events: usize, time: Duration, memory: usize) {
        let events = events as u64;
        self.calls.fetch_add(1, Relaxed);
        self.events.fetch_add(events, Relaxed);
        self.memory.fetch_max(memory as u64, Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.time.add(nanoseconds / events.max(1));
    }

    /// Adds to one of the plugin's own counters.
    pub fn add(&self, name: &str, delta: u64) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        match counters.get_mut(name) {
            Some(sum) => *sum = sum.saturating_add(delta),
            None => drop(counters.insert(name.to_owned(), delta)),
        }
    }

    /// The plugin's own counters, by name.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// `geoip: 12 calls, 3000 events, 210 ns an event (p99 480), 2997 tags, 1 fault, 1 restart, 40 skipped, 1 dead letter, 3 MiB`. Counters
/// between the times and the memory are left out if they are 0. At the end come the plugin's own counters: `, suppressed 12`.
impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [calls, events, memory] =
            [&self.calls, &self.events, &self.memory].map(|n| n.load(Relaxed));
        write!(
            f,
            "{}: {}, {}, {} ns an event (p99 {})",
            self.name,
            counted(calls, "call", "calls"),
            counted(events, "event", "events"),
            self.time.quantile(50),
            self.time.quantile(99),
        )?;
        for (count, one, more) in [
            (&self.tagged, "tag", "tags"),
            (&self.dropped, "dropped", "dropped"),
            (&self.ignored, "decision ignored", "decisions ignored"),
            (&self.faults, "fault", "faults"),
            (&self.restarts, "restart", "restarts"),
            (&self.skipped, "skipped", "skipped"),
            (&self.letters, "dead letter", "dead letters"),
        ] {
            match count.load(Relaxed) {
                0 => {}
                n => write!(f, ", {}", counted(n, one, more))?,
            }
        }
        write!(f, ", {} MiB", memory.div_ceil(1 << 20))?;
        for (name, sum) in self.counters() {
            write!(f, ", {} {sum}", escape::Text(&name))?;
        }
        Ok(())
    }
}

fn counted(n: u64, one: &str, more: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { more })
}

/// A histogram with four buckets for each power of two: a quantile is at most 19 % too high.
#[derive(Debug)]
struct Histogram([AtomicU64; BUCKETS]);

const BUCKETS: usize = 4 * 64;

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Histogram {
    fn add(&self, number: u64) {
        self.0[bucket(number)].fetch_add(1, Relaxed);
    }

    /// The upper end of the bucket that this percentile is in; 0 without numbers.
    fn quantile(&self, percent: u64) -> u64 {
        let counts: Vec<u64> = self.0.iter().map(|n| n.load(Relaxed)).collect();
        let wanted = (counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut below = 0;
        for (bucket, count) in counts.iter().enumerate() {
            below += count;
            if below >= wanted && *count > 0 {
                return end(bucket);
            }
        }
        0
    }
}

fn bucket(number: u64) -> usize {
    if number < 4 {
        return number as usize;
    }
    let power = number.ilog2();
    let quarter = (number >> (power - 2)) & 3;
    (4 * (power - 1) + quarter as u32) as usize
}

/// The largest number in the bucket.
fn end(bucket: usize) -> u64 {
    if bucket < 4 {
        return bucket as u64;
    }
    let (power, quarter) = (bucket as u32 / 4 + 1, bucket as u64 % 4);
    let width = 1_u64 << (power - 2);
    (1_u64 << power) + quarter * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plugin_is_one_line() {
        let plugin = Plugin::new("geoip".to_owned());
        assert_eq!(
            plugin.to_string(),
            "geoip: 0 calls, 0 events, 0 ns an event (p99 0), 0 MiB"
        );
        for nanoseconds in 1..=100 {
            plugin.called(10, Duration::from_nanos(1000 * nanoseconds), 1 << 20);
        }
        // 5,000 and 9,900 ns, as their buckets end.
        assert_eq!(
            plugin.to_string(),
            "geoip: 100 calls, 1000 events, 5119 ns an event (p99 10239), 1 MiB"
        );
        for count in [
            &plugin.tagged,
            &plugin.dropped,
            &plugin.ignored,
            &plugin.faults,
            &plugin.restarts,
            &plugin.skipped,
            &plugin.letters,
        ] {
            count.fetch_add(1, Relaxed);
        }
        plugin.tagged.fetch_add(1, Relaxed);
        assert_eq!(
            plugin.to_string(),
            "geoip: 100 calls, 1000 events, 5119 ns an event (p99 10239), 2 tags, 1 dropped, 1 decision ignored, 1 fault, 1 restart, \
             1 skipped, 1 dead letter, 1 MiB"
        );
        for (name, delta) in [
            ("seen", 1),
            ("most\n", u64::MAX),
            ("most\n", 1),
            ("seen", 2),
        ] {
            plugin.add(name, delta);
        }
        assert!(
            plugin
                .to_string()
                .ends_with(", 1 MiB, most\\n 18446744073709551615, seen 3"),
            "{plugin}"
        );
    }

    proptest! {
        #[test]
        fn buckets_are_narrow(number: u64) {
            let end = end(bucket(number));
            prop_assert!(end >= number && end - number <= number / 4);
            prop_assert!(bucket(end) == bucket(number) && (end == u64::MAX || bucket(end + 1) == bucket(number) + 1));
        }
    }
}
